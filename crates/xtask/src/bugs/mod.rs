//! `cargo xtask bugs`: does the simulation bite? Every seeded bug is switched on in turn, and must be found.
//!
//! Its finder is `sim --hunt`, which stops at the first thing that is broken. Without a bug it must find nothing. What came of all of
//! them is kept below the target folder, where the long mode of the simulation reads it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    commit::{self, VARIABLE},
    run::{self, Failed, cargo},
};

mod catalogue;
mod weave;

use catalogue::Bug;

/// Seconds between two passes of a hunted daemon: a rollout then goes through the same states in fewer calls.
const PACE: &str = "30";

/// What hunting came to.
enum Hunted {
    /// In what it printed: the first line says which run found what.
    Found(String),
    /// Nothing was broken in the time there was.
    Escaped,
}

/// What hunting every seeded bug came to, as the long mode of the simulation reads it (`crates/simulation/src/bin/sim/bugs.rs`).
#[derive(Serialize)]
struct Outcome {
    commit: String,
    found: usize,
    of: usize,
    slowest: Option<Slowest>,
    /// Findings without any bug.
    false_alarms: usize,
}

/// The bug that took longest of those that were found.
#[derive(Serialize)]
struct Slowest {
    bug: String,
    seconds: f64,
}

/// Builds the copy with every bug, and hunts those whose names begin with `only`, each for `limit` seconds.
pub(crate) fn hunt(only: &str, limit: u64) -> Result<(), Failed> {
    let commit = commit::now();
    let bugs = catalogue::read(&run::root()).map_err(|error| wrong(&error))?;
    let hunter = build(&bugs)?;
    let result = run::target().join("bugs/result.json");
    // An older one would stand for this hunt if it ends early.
    drop(fs::remove_file(&result));
    run::say("hunting");
    let begun = Instant::now();
    let wanted: Vec<&Bug> = bugs.iter().filter(|bug| bug.name.starts_with(only)).collect();
    let (slowest, escaped) = each(&hunter, &commit, &wanted, limit)?;
    let (hunted, _) = one(&hunter, &commit, "", limit)?;
    let found = wanted.len() - escaped.len();
    let took = begun.elapsed().as_secs_f64();
    println!("seeded bugs found: {found} of {}, in {took:.0} s, at commit {commit}", wanted.len());
    let false_alarms = usize::from(matches!(hunted, Hunted::Found(_)));
    if wanted.len() == bugs.len() {
        write(&result, &Outcome { commit, found, of: bugs.len(), slowest, false_alarms })?;
    }
    if let Hunted::Found(how) = hunted {
        return Err(Failed::Hunted(format!("without a bug something is broken: {how}")));
    }
    println!("without a bug nothing is broken in {limit} s");
    if escaped.is_empty() {
        return Ok(());
    }
    Err(Failed::Hunted(format!("not found in {limit} s each: {}", escaped.join(", "))))
}

fn wrong(error: &dyn std::error::Error) -> Failed {
    Failed::Hunted(error.to_string())
}

/// Builds the copy with every bug: the hunter.
fn build(bugs: &[Bug]) -> Result<PathBuf, Failed> {
    let copy = run::target().join("bugs");
    weave::weave(&run::root(), &copy, bugs).map_err(|error| wrong(&error))?;
    run::say("building a copy with every seeded bug in it; the first time this takes some ten minutes");
    let (manifest, target) = (copy.join("Cargo.toml"), run::target());
    let (manifest, target) = (manifest.display().to_string(), target.display().to_string());
    // Not locked: the copy's crates have another version than its lock file says.
    cargo([
        "build",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &target,
        "--profile",
        "sim",
        "-p",
        "tidegate-simulation",
    ])?;
    let hunter = copy.join("sim");
    keep(&hunter)?;
    Ok(hunter)
}

/// Hunts one bug after the other: the one that took longest of those that were found, and the names of those that were not.
fn each(
    hunter: &Path,
    commit: &str,
    wanted: &[&Bug],
    limit: u64,
) -> Result<(Option<Slowest>, Vec<String>), Failed> {
    let (mut slowest, mut escaped) = (None::<Slowest>, Vec::new());
    for (nth, Bug { name, what, .. }) in (1..).zip(wanted) {
        let (hunted, took) = one(hunter, commit, name, limit)?;
        let seconds = took.as_secs_f64();
        match hunted {
            Hunted::Found(how) => {
                println!("{nth} of {}: {name} found in {seconds:.1} s: {how}", wanted.len());
                if slowest.as_ref().is_none_or(|slowest| slowest.seconds < seconds) {
                    slowest = Some(Slowest { bug: name.clone(), seconds });
                }
            }
            Hunted::Escaped => {
                println!("{nth} of {}: {name} ESCAPED: {what}", wanted.len());
                escaped.push(name.clone());
            }
        }
    }
    Ok((slowest, escaped))
}

fn write(result: &Path, outcome: &Outcome) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(outcome).map_err(|error| wrong(&error))?;
    fs::write(result, text).map_err(|error| wrong(&error))
}

/// Takes the hunter out of cargo's folder, where the next build of the product's own simulation puts that in its place.
fn keep(hunter: &Path) -> Result<(), Failed> {
    let built = run::target().join("sim").join("sim");
    match fs::copy(&built, hunter) {
        Ok(_) => Ok(()),
        Err(source) => Err(Failed::NotRun { program: built.display().to_string(), source }),
    }
}

/// Hunts one bug, or none.
fn one(hunter: &Path, commit: &str, name: &str, limit: u64) -> Result<(Hunted, Duration), Failed> {
    let begun = Instant::now();
    let mut command = Command::new(hunter);
    command
        .args(["--hunt", &limit.to_string(), "--pace", PACE])
        .env("TIDEGATE_BUG", name)
        .env(VARIABLE, commit)
        .env_remove("RUST_BACKTRACE");
    let ran = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = ran.map_err(|source| Failed::NotRun { program: hunter.display().to_string(), source })?;
    let told = String::from_utf8_lossy(&output.stdout);
    let first = told.lines().next().unwrap_or_default().to_owned();
    let hunted = match output.status.code() {
        Some(0) => Hunted::Escaped,
        Some(1) => Hunted::Found(first),
        code => return Err(Failed::Ended { program: format!("sim --hunt with bug {name}"), code }),
    };
    Ok((hunted, begun.elapsed()))
}
