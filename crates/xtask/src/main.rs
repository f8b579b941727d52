//! The project's tasks: `cargo xtask lint`, `test`, `sim`, `bugs`, `mutants`, `chaos`, `fuzz`, `bench` and `demo`.
//!
//! Each installs what it needs and the machine does not have, or says in one line what to install. Nothing else of the
//! project calls this.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bugs;
mod commit;
mod fuzz;
mod run;
mod tools;

use run::{Failed, cargo};

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, clippy without warnings, the fuzz targets too, and licences, bans and sources of dependencies.
    Lint,
    /// Every test: units, scenarios in virtual time, real PostgreSQL, real processes.
    Test {
        /// Handed to the test runner: names of tests, for example.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Play whole releases in virtual time, with faults, and watch what must never happen. `--help` behind `--` tells how.
    Sim {
        /// Handed to the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Does the simulation bite? Builds a copy with every seeded bug in it, switches on one after the other, and hunts each.
    Bugs {
        /// Only those whose names begin like this.
        #[arg(default_value = "")]
        only: String,
        /// How long each is hunted.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Does a test fail for every change of what decides, is kept and is shown? Changes one thing at a time, and tests each: some seconds for one.
    Mutants {
        /// Handed to cargo-mutants: `--re gates/schema`, for example.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Kill the daemon again and again, at random, through whole releases under live traffic: some minutes for 100 kills.
    Chaos {
        /// Handed to the runner: `--kills`, `--seed`, `--speed`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Look for inputs that break what must hold of everything that is read from outside.
    Fuzz {
        /// One target: documents, records, wire, statements or secrets. All, if absent.
        target: Option<String>,
        /// How long, for each.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Measure what the product promises.
    Bench {
        /// What to measure.
        #[command(subcommand)]
        what: Bench,
    },
    /// Build, and tell the story live.
    Demo {
        /// Handed to `tidegate demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// What a schema change costs whoever uses the database meanwhile.
    Schema {
        /// Rows of the table.
        #[arg(long, default_value_t = 200_000)]
        rows: u32,
        /// Runs; medians are told.
        #[arg(long, default_value_t = 3)]
        runs: u32,
    },
    /// How early a regression is seen, and how seldom a good release is rolled back.
    Analysis {
        /// 20 000 good releases a family instead of 1 600: some twenty minutes instead of three.
        #[arg(long)]
        full: bool,
    },
    /// Whether eight versions, four bad and four good, get the verdict they deserve under live traffic: some fifteen minutes.
    Verdicts {
        /// Handed to `tidegate verdicts`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Lint => lint(),
        Task::Test { rest } => test(&rest),
        Task::Sim { rest } => sim(&rest),
        Task::Bugs { only, seconds } => bugs::hunt(&only, seconds),
        Task::Mutants { rest } => mutants(&rest),
        Task::Chaos { rest } => chaos(&rest),
        Task::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        Task::Bench { what: Bench::Schema { rows, runs } } => bench_schema(rows, runs),
        Task::Bench { what: Bench::Analysis { full } } => bench_analysis(full),
        Task::Bench { what: Bench::Verdicts { rest } } => live("verdicts", &rest),
        Task::Demo { rest } => live("demo", &rest),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lint() -> Result<(), Failed> {
    run::say("formatting");
    cargo(["fmt", "--all", "--check"])?;
    cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    run::say("clippy");
    cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    fuzz::lint()?;
    run::say("dependencies");
    run::command(tools::cargo_deny()?, ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
}

fn test(rest: &[String]) -> Result<(), Failed> {
    tools::postgresql()?;
    tools::promtool()?;
    run::say("building");
    // One build of everything: the end-to-end tests run the binaries that lie beside them.
    cargo(["build", "--workspace", "--all-targets", "--locked"])?;
    run::say("testing");
    let rest = rest.iter().map(String::as_str);
    if tools::has("cargo-nextest") {
        cargo(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"].into_iter().chain(rest))
    } else {
        cargo(["test", "--workspace", "--locked", "--no-fail-fast"].into_iter().chain(rest))
    }
}

/// Builds the simulation alone: nothing else is built with its profile, so nothing else would have use for more.
/// As a release where its speed is told or hours of it are to come; otherwise as what is built sooner.
fn sim(rest: &[String]) -> Result<(), Failed> {
    run::say("building; the first time this takes some ten minutes");
    let whole = rest.iter().any(|argument| argument == "--long" || argument == "--rate");
    let profile = if whole { "release" } else { "sim" };
    cargo(["build", "--locked", "-p", "tidegate-simulation", "--profile", profile])?;
    let program = run::target().join(profile).join("sim");
    let commit = commit::now();
    run::command_with(program, rest.iter().map(String::as_str), &[(commit::VARIABLE, &commit)])
}

fn bench_schema(rows: u32, runs: u32) -> Result<(), Failed> {
    tools::postgresql()?;
    run::say("building and measuring");
    let (rows, runs) = (rows.to_string(), runs.to_string());
    cargo(["bench", "--locked", "-p", "tidegate-schema", "--bench", "schema", "--", &rows, &runs])
}

fn bench_analysis(full: bool) -> Result<(), Failed> {
    run::say("building and measuring");
    let size = if full { "full" } else { "quick" };
    cargo(["bench", "--locked", "-p", "tidegate-analysis", "--bench", "analysis", "--", size])
}

/// What is changed, and which changes no test can see, stands in `.cargo/mutants.toml`.
fn mutants(rest: &[String]) -> Result<(), Failed> {
    let told_in = run::target().display().to_string();
    let own = ["mutants", "--workspace", "--jobs", "2", "--output", &told_in];
    run::command(tools::cargo_mutants()?, own.into_iter().chain(rest.iter().map(String::as_str)))
}

/// Builds for the whole workspace: the runner, and beside it the programs that it runs.
fn chaos(rest: &[String]) -> Result<(), Failed> {
    tools::postgresql()?;
    run::say("building; the first time this takes some minutes");
    cargo(["build", "--locked", "--workspace", "--bins"])?;
    run::command(run::target().join("debug/chaos"), rest.iter().map(String::as_str))
}

/// A verb of the binary that plays on a live stage.
fn live(verb: &str, rest: &[String]) -> Result<(), Failed> {
    tools::postgresql()?;
    run::say("building; the first time this takes some minutes");
    cargo(["build", "--locked", "-p", "tidegate", "-p", "tidegate-shop"])?;
    let program = run::target().join("debug").join("tidegate");
    run::command(program, [verb].into_iter().chain(rest.iter().map(String::as_str)))
}
