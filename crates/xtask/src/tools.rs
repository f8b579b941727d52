//! Tools that tasks need: found, or installed from the distribution or from crates.io.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::run::{self, Failed};

/// The version whose configuration `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";
/// The version whose flags `fuzz.rs` is written for.
const CARGO_FUZZ: &str = "0.13.2";
/// The version whose settings `.cargo/mutants.toml` has.
const CARGO_MUTANTS: &str = "27.1.0";
/// The oldest PostgreSQL that is supported.
const POSTGRESQL: u32 = 14;

/// True if a program of that name is on the path.
pub(crate) fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// cargo-deny: the machine's, or one of our own below the target folder.
pub(crate) fn cargo_deny() -> Result<PathBuf, Failed> {
    of_crates_io("cargo-deny", CARGO_DENY)
}

/// cargo-fuzz: the machine's, or one of our own below the target folder.
pub(crate) fn cargo_fuzz() -> Result<PathBuf, Failed> {
    of_crates_io("cargo-fuzz", CARGO_FUZZ)
}

/// cargo-mutants: the machine's, or one of our own below the target folder.
pub(crate) fn cargo_mutants() -> Result<PathBuf, Failed> {
    of_crates_io("cargo-mutants", CARGO_MUTANTS)
}

fn of_crates_io(name: &str, version: &str) -> Result<PathBuf, Failed> {
    if has(name) {
        return Ok(name.into());
    }
    let root = run::target().join("tools");
    let own = root.join("bin").join(name);
    if !own.is_file() {
        run::say(&format!("installing {name}; once, this takes some minutes"));
        let root = root.display().to_string();
        run::cargo(["install", name, "--version", version, "--locked", "--root", &root])?;
    }
    Ok(own)
}

/// The binaries of a PostgreSQL server.
pub(crate) fn postgresql() -> Result<(), Failed> {
    if server_is_installed() {
        return Ok(());
    }
    install("postgresql", "PostgreSQL 14 or newer")?;
    if server_is_installed() {
        return Ok(());
    }
    Err(Failed::Missing("PostgreSQL was installed, but no server of version 14 or newer is found".into()))
}

/// promtool, which checks the metrics.
pub(crate) fn promtool() -> Result<(), Failed> {
    if has("promtool") { Ok(()) } else { install("prometheus", "promtool (of Prometheus)") }
}

/// In the distribution's folders, or on the path.
fn server_is_installed() -> bool {
    let versioned = |folder: &Path| {
        let version = folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        version.is_some_and(|version| version >= POSTGRESQL) && folder.join("bin/initdb").is_file()
    };
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    installed.map(|entry| entry.path()).any(|folder| versioned(&folder)) || (has("initdb") && has("postgres"))
}

/// Installs a package of the distribution, as root or with sudo that asks nothing.
fn install(package: &str, what: &str) -> Result<(), Failed> {
    let missing =
        || Failed::Missing(format!("{what} is needed: install the package `{package}` of your system"));
    if !has("apt-get") {
        return Err(missing());
    }
    let prefix: &[&str] = match (is_root(), has("sudo")) {
        (true, _) => &[],
        (false, true) => &["sudo", "-n"],
        (false, false) => return Err(missing()),
    };
    run::say(&format!("installing {package}"));
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> = prefix
            .iter()
            .copied()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"])
            .chain(arguments.iter().copied())
            .collect();
        Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).status()
    };
    // An old list of packages names files that are gone, so a first failure is answered with a new list.
    let wanted = ["install", "--no-install-recommends", package];
    let installed = apt(&wanted).is_ok_and(|status| status.success());
    let installed =
        installed || (apt(&["update"]).is_ok() && apt(&wanted).is_ok_and(|status| status.success()));
    if installed { Ok(()) } else { Err(missing()) }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
