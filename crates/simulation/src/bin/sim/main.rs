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
    bookmark::Bookmarks,
    fault::Plan,
    plans::Places,
    scenario::{Catalogue, Scenario, ScenarioError},
};

mod bugs;
mod figures;
mod modes;

use modes::{Crossings, Sweeps, Swept};

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
    /// A crash at every crossing, in each position that leaves something else behind.
    #[arg(long)]
    crash_points: bool,
    /// Only every n-th of them.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Of the crash points and takeovers at which a daemon leaves the same behind in the same second, only one.
    #[arg(long)]
    moments: bool,
    /// Only the golden scenarios of the long mode; for the matrix also others, at operations that no golden one has.
    #[arg(long)]
    golden: bool,
    /// Begin a sweep anew that was interrupted, instead of going on.
    #[arg(long)]
    afresh: bool,
    /// Two crashes in one run: every pair of what leaves something behind.
    #[arg(long)]
    pairs: bool,
    /// Every operation with every fault.
    #[arg(long)]
    matrix: bool,
    /// Each service away for up to hours, alone and together with each other one.
    #[arg(long)]
    outages: bool,
    /// Two daemons; the leading one stands still at every crossing, and goes on when the other one leads.
    #[arg(long)]
    takeovers: bool,
    /// The first thing that is broken, for so many seconds: without faults, with likely ones, and at random.
    #[arg(long)]
    hunt: Option<u64>,
    /// The shortest time in seconds between two passes of a daemon, instead of the product's own; a scenario that says one keeps it.
    #[arg(long)]
    pace: Option<i64>,
    /// So many daemons, instead of as many as the scenario says: takeovers have two.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    daemons: Option<u32>,
    /// The whole proof, with a table of figures at the end: some hours. `--schedules` and `--twice` say how many, or 5 000 and 200.
    #[arg(long)]
    long: bool,
    /// How many of the shortest rollouts a minute one core makes, measured for half a minute.
    #[arg(long, conflicts_with = "scenario")]
    rate: bool,
    /// On a machine of any speed: the rate is told, and too low a one fails nothing.
    #[arg(long)]
    any_machine: bool,
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
    #[error("keep where a sweep stands in {}", path.display())]
    Bookmarks { path: PathBuf, source: std::io::Error },
    #[error("there is no scenario of that name in tests/scenarios")]
    NoScenario,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = catalogue(cli.scenario.as_deref()).and_then(|mut catalogue| {
        if let Some(pace) = cli.pace {
            let pace = jiff::SignedDuration::from_secs(pace);
            catalogue.values_mut().for_each(|scenario| scenario.pace = scenario.pace.or(Some(pace)));
        }
        if cli.daemons.is_some() {
            catalogue.values_mut().for_each(|scenario| scenario.other_daemons = cli.daemons);
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
    if cli.rate {
        return Ok(figures::tell_rate(cli, catalogue));
    }
    let asked = [
        cli.hunt.map(|seconds| modes::hunted(cli, catalogue, Duration::from_secs(seconds))),
        cli.twice.filter(|_| !cli.long).map(|seeds| modes::twice(catalogue, seeds) == seeds),
        swept(cli, catalogue)?,
    ];
    let sound: Vec<bool> = asked.into_iter().flatten().collect();
    if sound.is_empty() {
        let plan = cli.plan.as_deref().map(plan).transpose()?.unwrap_or_default();
        return Ok(modes::single(cli, catalogue, &plan));
    }
    Ok(sound.into_iter().all(|sound| sound))
}

/// Makes the sweeps that were asked for, if any was.
fn swept(cli: &Cli, catalogue: &Catalogue) -> Result<Option<bool>, Unusable> {
    let any = cli.long
        || cli.crash_points
        || cli.pairs
        || cli.takeovers
        || cli.matrix
        || cli.outages
        || cli.schedules.is_some();
    if !any {
        return Ok(None);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sweeps");
    let bookmarks = Bookmarks::new(&folder, cli.afresh);
    let bookmarks = bookmarks.map_err(|source| Unusable::Bookmarks { path: folder, source })?;
    let sweeps = Sweeps { cli, bookmarks };
    let crossings = if cli.moments { Crossings::OneOfAlike } else { Crossings::Every };
    let sound = if cli.long {
        figures::long(&sweeps, catalogue)
    } else {
        let wanted = if cli.golden { figures::golden(catalogue) } else { catalogue.clone() };
        let swept = [
            cli.crash_points.then(|| sweeps.crash_points(&wanted, crossings)),
            cli.pairs.then(|| sweeps.pairs(&wanted)),
            cli.takeovers.then(|| sweeps.takeovers(&wanted, crossings)),
            cli.matrix.then(|| {
                if cli.golden {
                    figures::matrix(&sweeps, catalogue, Places::Three)
                } else {
                    sweeps.matrix(catalogue)
                }
            }),
            cli.outages.then(|| sweeps.outages(&wanted)),
            cli.schedules.map(|schedules| sweeps.swarm(&wanted, schedules)),
        ];
        modes::tell_phases(swept.iter().flatten());
        swept.iter().flatten().all(Swept::is_sound)
    };
    sweeps.bookmarks.clear();
    Ok(Some(sound))
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
