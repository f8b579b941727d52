//! `cargo xtask fuzz`: libFuzzer on every target, or on one.
//!
//! On the pinned toolchain, not on nightly: what libFuzzer needs, the counters of branches and comparisons, is in every rustc, and
//! cargo-fuzz wants nightly for the address sanitizer only. The whole project forbids unsafe code, so that sanitizer would watch
//! the allocator; instead, assertions and overflow checks are on in an optimised build (`fuzz/Cargo.toml`).
//!
//! What was found on the way stays below the target folder and is where the next run begins. An input that breaks a promise is
//! kept beside it and printed; once it is mended it goes into `fuzz/corpus/TARGET`, where the tests play it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    run::{self, Failed, cargo},
    tools,
};

/// The targets, as `fuzz/Cargo.toml` has them.
const TARGETS: [&str; 5] = ["documents", "records", "wire", "statements", "secrets"];
/// Seconds after which one input counts as one that hangs: nothing that is read takes a tenth of it.
const HANGS: &str = "-timeout=20";
/// Longest input: a parameter is 8 KB at most, and what breaks at more breaks at less.
const LONGEST: &str = "-max_len=12000";

/// Fuzzes a target, or one after the other, for so many seconds each.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Result<(), Failed> {
    let targets: Vec<&str> =
        TARGETS.into_iter().filter(|name| target.is_none_or(|target| target == *name)).collect();
    if targets.is_empty() {
        return Err(Failed::Missing(format!("no such target; there are {}", TARGETS.join(", "))));
    }
    let program = tools::cargo_fuzz()?;
    run::say("building; the first time this takes some ten minutes");
    cargo(["build", "--locked", "--workspace", "--bin", "fuzz-seeds"])?;
    let home = home();
    let mut broken = Vec::new();
    for (number, name) in targets.iter().enumerate() {
        run::say(&format!("{name}, {} of {}, {seconds} s", number + 1, targets.len()));
        let folder = home.join(name);
        match one(&program, &home, &folder, name, seconds) {
            Ok(()) => {}
            // The input is told by then; the other targets are played all the same.
            Err(Failed::Ended { .. }) => {
                broken.push(format!("{name} (in {})", folder.join("broken").display()));
            }
            Err(error) => return Err(error),
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Failed::Found(broken.join(", "))) }
}

/// Clippy on the targets, without libFuzzer and without its counters: so they compile on every commit, though they are fuzzed seldom.
/// In the folder of what is fuzzed: a workspace of its own has other features and another profile. The first time takes a minute or two, each
/// later one seconds.
pub(crate) fn lint() -> Result<(), Failed> {
    let home = home().display().to_string();
    let what =
        ["clippy", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", &home, "--no-default-features"];
    cargo(what.into_iter().chain(["--locked", "--", "-D", "warnings"]))
}

/// Where everything of fuzzing is built and kept.
fn home() -> PathBuf {
    run::target().join("fuzz")
}

fn one(program: &Path, home: &Path, folder: &Path, name: &str, seconds: u32) -> Result<(), Failed> {
    let failed = |source| Failed::NotRun { program: "the fuzz target".to_owned(), source };
    let (grown, broken) = (folder.join("grown"), folder.join("broken"));
    fs::create_dir_all(&grown).and_then(|()| fs::create_dir_all(&broken)).map_err(failed)?;
    let [folder, grown, home] = [folder, grown.as_path(), home].map(|path| path.display().to_string());
    run::command(run::target().join("debug/fuzz-seeds"), [name, &folder])?;
    let time = format!("-max_total_time={seconds}");
    let keep = format!("-artifact_prefix={}/", broken.display());
    let words = format!("{folder}/words.dict");
    // libFuzzer takes no empty dictionary; a target without text has no words.
    let has_words = fs::metadata(&words).is_ok_and(|file| file.len() > 0);
    let words = has_words.then(|| format!("-dict={words}"));
    let seeds = format!("{folder}/seeds");
    let cargo_fuzz =
        ["fuzz", "run", "--sanitizer", "none", "--target-dir", &home, name, &grown, &seeds, "--"];
    let libfuzzer = [time.as_str(), &keep, HANGS, LONGEST, "-print_final_stats=1"];
    let libfuzzer = libfuzzer.into_iter().chain(words.as_deref());
    run::command(program, cargo_fuzz.into_iter().chain(libfuzzer))
}
