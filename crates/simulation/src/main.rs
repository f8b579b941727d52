//! `cargo xtask sim`: single runs to look at, and sweeps of many.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use mimalloc::MiMalloc;
use tidegate_simulation::{
    fault::Plan,
    hunt::hunt,
    plans::{self, Cell},
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario, ScenarioError, with_two_daemons},
    summary,
    sweep::{Job, Tally, sweep},
};

/// A run is some million small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Plays whole releases in virtual time, with faults, and watches what must never happen.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Cli {
    /// Only this scenario, by the name of its file in `tests/scenarios`.
    #[arg(long)]
    scenario: Option<String>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A plan of faults: JSON, or a file of it.
    #[arg(long)]
    plan: Option<String>,
    /// Print everything that happened.
    #[arg(long)]
    trace: bool,
    /// So many runs with faults at random.
    #[arg(long)]
    schedules: Option<u64>,
    /// A crash at every crossing, in each of its positions.
    #[arg(long)]
    crash_points: bool,
    /// Only every n-th of them.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Every operation with every fault.
    #[arg(long)]
    matrix: bool,
    /// Two daemons; the leading one stands still at every crossing, and goes on when the other one leads.
    #[arg(long)]
    takeovers: bool,
    /// The first thing that is broken, for so many seconds: without faults, with likely ones, and at random.
    #[arg(long)]
    hunt: Option<u64>,
    /// The shortest time in seconds between two passes of a daemon, instead of the product's own.
    #[arg(long)]
    pace: Option<i64>,
    /// So many seeds, each played twice: the same trace both times.
    #[arg(long)]
    twice: Option<u64>,
}

/// What cannot be run.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("read {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("read {}", path.display())]
    Scenario { path: PathBuf, source: ScenarioError },
    #[error("read the plan")]
    Plan(#[source] serde_json::Error),
    #[error("there is no scenario of that name in tests/scenarios")]
    NoScenario,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = catalogue(cli.scenario.as_deref()).and_then(|mut catalogue| {
        if let Some(pace) = cli.pace {
            let pace = Some(jiff::SignedDuration::from_secs(pace));
            catalogue.values_mut().for_each(|scenario| scenario.pace = pace);
        }
        work(&cli, &catalogue)
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            eprintln!("sim: {error}{}", cause.unwrap_or_default());
            ExitCode::from(2)
        }
    }
}

/// Does what was asked for; false if anything was broken.
fn work(cli: &Cli, catalogue: &Catalogue) -> Result<bool, Unusable> {
    let sweeps = [
        cli.hunt.map(|seconds| hunted(cli, catalogue, Duration::from_secs(seconds))),
        cli.twice.map(|seeds| twice(catalogue, seeds)),
        cli.crash_points.then(|| crash_points(cli, catalogue)),
        cli.takeovers.then(|| takeovers(cli, catalogue)),
        cli.matrix.then(|| matrix(cli, catalogue)),
        cli.schedules.map(|schedules| swarm(cli, catalogue, schedules)),
    ];
    let sound: Vec<bool> = sweeps.into_iter().flatten().collect();
    if sound.is_empty() {
        let plan = cli.plan.as_deref().map(plan).transpose()?.unwrap_or_default();
        return Ok(single(cli, catalogue, &plan));
    }
    Ok(sound.into_iter().all(|sound| sound))
}

/// Hunts, and tells in its first line what was found.
fn hunted(cli: &Cli, catalogue: &Catalogue, limit: Duration) -> bool {
    let hunt = hunt(catalogue, cli.seed, limit);
    let Some(found) = hunt.found else {
        println!("nothing in {} runs, {:.1} s", hunt.runs, hunt.took.as_secs_f64());
        return true;
    };
    let ids: Vec<&str> = found.violations.iter().map(|violation| violation.invariant.id()).collect();
    let faults = found.job.plan.faults.iter().map(|fault| fault.class()).collect::<Vec<_>>().join(" ");
    let (scenario, seed) = (&found.job.scenario, found.job.seed);
    println!("{} by {scenario}, seed {seed}, faults [{faults}], in {} runs", ids.join(" "), hunt.runs);
    println!("{found}");
    false
}

fn crash_points(cli: &Cli, catalogue: &Catalogue) -> bool {
    let jobs = each(cli, catalogue, plans::crash_points);
    told("crash points", &sweep("crash points", catalogue, &jobs), &[])
}

fn takeovers(cli: &Cli, catalogue: &Catalogue) -> bool {
    let catalogue = with_two_daemons(catalogue);
    let jobs = each(cli, &catalogue, plans::takeovers);
    told("takeovers", &sweep("takeovers", &catalogue, &jobs), &[])
}

fn matrix(cli: &Cli, catalogue: &Catalogue) -> bool {
    let mut cells = Vec::new();
    let jobs = each(cli, catalogue, |name, seed, golden| {
        let (jobs, more) = plans::matrix(name, seed, golden);
        cells.extend(more);
        jobs
    });
    cells.sort();
    cells.dedup();
    told("matrix", &sweep("matrix", catalogue, &jobs), &cells)
}

fn swarm(cli: &Cli, catalogue: &Catalogue, schedules: u64) -> bool {
    let goldens: Vec<(&String, Report)> =
        catalogue.iter().map(|(name, scenario)| (name, golden(scenario, cli.seed))).collect();
    let jobs: Vec<Job> = (0..schedules)
        .zip(goldens.iter().cycle())
        .map(|(nth, (name, golden))| plans::swarm(name, cli.seed.wrapping_add(nth), golden))
        .collect();
    let tally = sweep("swarm", catalogue, &jobs);
    let missing = summary::missing(&tally, catalogue.values().any(|scenario| scenario.database));
    missing.iter().for_each(|class| println!("  UNSEEN {}: {}", class.id, class.what));
    told("swarm", &tally, &[]) && missing.is_empty()
}

/// Plays each scenario once and tells what came of it.
fn single(cli: &Cli, catalogue: &Catalogue, plan: &Plan) -> bool {
    let mut sound = true;
    for (name, scenario) in catalogue {
        let rest = Duration::from_secs(24 * 3600);
        let begun = std::time::Instant::now();
        let report = run(&Setup { scenario, plan, seed: cli.seed, rest, keep_trace: cli.trace });
        print!("{}", report.trace);
        println!(
            "{name}: {}, {} after {:.0?}, {} crossings, {} calls; trace {}; {:.0?}",
            scenario.title,
            report.summary,
            report.took,
            report.crossings,
            report.calls,
            report.hash,
            begun.elapsed()
        );
        println!("  {}", report.effects.join(", "));
        for violation in &report.violations {
            println!("  BROKEN {violation}");
        }
        sound &= report.violations.is_empty();
    }
    sound
}

fn golden(scenario: &Scenario, seed: u64) -> Report {
    run(&Setup { scenario, plan: &Plan::default(), seed, rest: Duration::ZERO, keep_trace: false })
}

/// Jobs for each scenario, from its run without faults; every n-th of them.
fn each(cli: &Cli, catalogue: &Catalogue, mut jobs: impl FnMut(&str, u64, &Report) -> Vec<Job>) -> Vec<Job> {
    let all = catalogue.iter().flat_map(|(name, scenario)| jobs(name, cli.seed, &golden(scenario, cli.seed)));
    all.step_by(cli.every.max(1)).collect()
}

/// Plays each seed twice.
fn twice(catalogue: &Catalogue, seeds: u64) -> bool {
    let mut same = 0;
    let scenarios: Vec<(&String, Report)> =
        catalogue.iter().map(|(name, scenario)| (name, golden(scenario, 1))).collect();
    for (seed, (name, golden)) in (1..=seeds).zip(scenarios.iter().cycle()) {
        let job = plans::swarm(name, seed, golden);
        let Some(scenario) = catalogue.get(*name) else { continue };
        let setup =
            Setup { scenario, plan: &job.plan, seed, rest: Duration::from_secs(60), keep_trace: false };
        let (one, other) = (run(&setup), run(&setup));
        if one.hash == other.hash {
            same += 1;
        } else {
            println!("{name}, seed {seed}: two runs differ");
        }
    }
    println!("the same trace twice: {same} of {seeds}");
    same == seeds
}

/// Tells what a sweep came to; false if it broke something, or did not see what it was to see.
fn told(title: &str, tally: &Tally, cells: &[Cell]) -> bool {
    println!(
        "{title}: {} runs, {} broken; {:.0} calls and {:.0} virtual minutes a run; {:.0} runs a minute on a core; ends {:?}",
        tally.runs,
        tally.failures,
        per(tally.calls, tally.runs),
        per(tally.virtual_seconds, tally.runs) / 60.0,
        tally.rate(),
        tally.ends,
    );
    println!("  faults that struck: {}", summary::classes(tally));
    let unseen: Vec<&Cell> =
        cells.iter().filter(|cell| !tally.seen.contains_key(&(cell.operation.clone(), cell.class))).collect();
    if !cells.is_empty() {
        println!("  cells seen: {} of {}", cells.len() - unseen.len(), cells.len());
        unseen.iter().for_each(|cell| println!("  UNSEEN {} {}", cell.operation, cell.class));
    }
    tally.failures == 0 && unseen.is_empty()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn per(all: u64, runs: u64) -> f64 {
    all as f64 / runs.max(1) as f64
}

fn plan(given: &str) -> Result<Plan, Unusable> {
    let text = if given.trim_start().starts_with('{') { given.to_owned() } else { file(Path::new(given))? };
    serde_json::from_str(&text).map_err(Unusable::Plan)
}

fn file(path: &Path) -> Result<String, Unusable> {
    fs::read_to_string(path).map_err(|source| Unusable::File { path: path.to_owned(), source })
}

/// Every scenario of the project, or one of them.
fn catalogue(only: Option<&str>) -> Result<Catalogue, Unusable> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let entries = fs::read_dir(&folder).map_err(|source| Unusable::File { path: folder.clone(), source })?;
    let mut catalogue = Catalogue::new();
    for entry in entries {
        let path = entry.map_err(|source| Unusable::File { path: folder.clone(), source })?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if only.is_none_or(|only| only == name) {
            let scenario = Scenario::read(&file(&path)?)
                .map_err(|source| Unusable::Scenario { path: path.clone(), source })?;
            catalogue.insert(name, scenario);
        }
    }
    if catalogue.is_empty() { Err(Unusable::NoScenario) } else { Ok(catalogue) }
}
