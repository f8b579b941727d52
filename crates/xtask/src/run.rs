//! Running programs: what they print is shown as it comes, and a failure ends the task.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// A task did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// A program could not be run.
    #[error("run {program}: {source}")]
    NotRun {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended with an error, which it has told by itself.
    #[error("{program} ended with {}", code.map_or("a signal".to_owned(), |code| code.to_string()))]
    Ended {
        /// Which.
        program: String,
        /// Its exit code.
        code: Option<i32>,
    },
    /// Fuzzing found something, or could not begin.
    #[error("fuzzing ended early: {0}")]
    Found(String),
    /// A hunt ended otherwise than it must.
    #[error("{0}")]
    Hunted(String),
    /// Something is missing that this task cannot install by itself.
    #[error("{0}")]
    Missing(String),
}

/// Tells which part of a task begins.
pub(crate) fn say(part: &str) {
    println!("xtask: {part}");
}

/// Runs cargo in the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), Failed> {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

/// Runs a program in the workspace.
pub(crate) fn command<'a>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<(), Failed> {
    command_with(program, arguments, &[])
}

/// Runs a program in the workspace, with these variables besides.
pub(crate) fn command_with<'a>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = &'a str>,
    variables: &[(&str, &str)],
) -> Result<(), Failed> {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).envs(variables.iter().copied()).current_dir(root());
    // Build scripts ask for them (ring's does): everything above it would be built anew whenever a task follows a bare `cargo build`.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
        command.env_remove(name);
    }
    let name = Path::new(program.as_ref()).file_name().unwrap_or(program.as_ref());
    let program = name.to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed::Ended { program, code: status.code() }),
        Err(source) => Err(Failed::NotRun { program, source }),
    }
}

/// True of a variable in which cargo tells what it runs about itself.
fn is_of_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
