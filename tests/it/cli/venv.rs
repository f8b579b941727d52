//! A virtual environment with the AWS CLI from PyPI: made once under the target directory and kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Bumping it makes a new environment; an old one is left to `cargo clean`.
const AWSCLI: &str = "1.46.3";

/// The environment's Python, in which `-m awscli` is the CLI. `None` means that the test is skipped, and the reason is
/// printed.
///
/// # Panics
/// In CI, where nothing is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    match ready() {
        Ok(python) => Some(python),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "the AWS CLI cannot be had: {why}");
            eprintln!("skipped: the AWS CLI cannot be had: {why}");
            None
        }
    }
}

fn ready() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("there is no target directory")?;
    let home = target.join(format!("tidegate-awscli-{AWSCLI}"));
    let python = home.join("bin/python");
    // Tests run at once and as processes: whoever comes first makes it, the others wait. A lock dies with its process.
    let lock = File::create(target.join("tidegate-awscli.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !home.exists() {
        make(target, &home)?;
    }
    Ok(python)
}

/// Only a complete environment gets the name that is looked for.
fn make(target: &Path, home: &Path) -> Result<(), String> {
    let unfinished = tempfile::Builder::new()
        .prefix("tidegate-awscli-unfinished-")
        .tempdir_in(target)
        .map_err(|error| error.to_string())?;
    let place = unfinished.path().join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    // Called as a module: pip's own script would name the unfinished directory, and so would `aws`.
    run(Command::new(place.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--only-binary=:all:", &format!("awscli=={AWSCLI}")]))?;
    fs::rename(&place, home).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
