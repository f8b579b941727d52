//! Virtual environments with programs from PyPI that tests run: each made once under the target directory and kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// What an environment holds.
pub(crate) struct Environment {
    /// Its name, which its directory has.
    pub(crate) name: &'static str,
    /// What it is called where it cannot be had.
    pub(crate) what: &'static str,
    /// Every package with its exact version, one on each line. Changing it makes the environment anew.
    pub(crate) requirements: &'static str,
}

impl Environment {
    /// The environment's Python. `None` means that the test is skipped, and the reason is printed.
    ///
    /// # Panics
    /// In CI, where nothing is skipped.
    pub(crate) fn python(&self) -> Option<PathBuf> {
        match self.ready() {
            Ok(python) => Some(python),
            Err(why) => {
                assert!(std::env::var_os("CI").is_none(), "{} cannot be had: {why}", self.what);
                eprintln!("skipped: {} cannot be had: {why}", self.what);
                None
            }
        }
    }

    fn ready(&self) -> Result<PathBuf, String> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("there is no target directory")?;
        let home = target.join(format!("tidegate-{}", self.name));
        // Tests run at once and as processes: whoever comes first makes it, the others wait. A lock dies with its process.
        let lock = File::create(target.join(format!("tidegate-{}.lock", self.name))).map_err(told)?;
        lock.lock().map_err(told)?;
        let made_of = fs::read_to_string(home.join("requirements.txt")).unwrap_or_default();
        if made_of != self.requirements {
            self.make(target, &home)?;
        }
        Ok(home.join("bin/python"))
    }

    /// Only a complete environment gets the name that is looked for.
    fn make(&self, target: &Path, home: &Path) -> Result<(), String> {
        let unfinished = tempfile::Builder::new()
            .prefix(&format!("tidegate-{}-unfinished-", self.name))
            .tempdir_in(target)
            .map_err(told)?;
        let place = unfinished.path().join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        let requirements = place.join("requirements.txt");
        fs::write(&requirements, self.requirements).map_err(told)?;
        // Called as a module: pip's own script would name the unfinished directory, and so would the packages'.
        run(Command::new(place.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--only-binary=:all:", "--no-deps", "--requirement"])
            .arg(&requirements))?;
        if home.exists() {
            fs::remove_dir_all(home).map_err(told)?;
        }
        fs::rename(&place, home).map_err(told)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
fn told(error: std::io::Error) -> String {
    error.to_string()
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.lines().last().unwrap_or_default()))
}
