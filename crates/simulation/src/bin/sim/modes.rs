//! What `sim` can be asked for: single runs, hunts and sweeps, each told as it ends.

use std::time::{Duration, Instant};

use tidegate_simulation::{
    fault::{Fault, Plan},
    hunt::hunt,
    plans::{self, Cell},
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario, with_two_daemons},
    summary,
    sweep::{Job, Tally, play, sweep},
};

use crate::Cli;

/// A day at rest, in which nothing may be changed.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a sweep came to.
pub(crate) struct Swept {
    /// Its name.
    pub(crate) title: &'static str,
    /// What was counted.
    pub(crate) tally: Tally,
    /// How much there was to see of what it had to see: cells of a matrix, classes of faults.
    pub(crate) to_see: usize,
    /// What of that no run saw.
    pub(crate) unseen: Vec<String>,
}

impl Swept {
    /// Nothing was broken, and everything was seen.
    pub(crate) fn is_sound(&self) -> bool {
        self.tally.failures == 0 && self.unseen.is_empty()
    }

    fn told(title: &'static str, tally: Tally) -> Self {
        Self::seen(title, tally, 0, Vec::new())
    }

    fn seen(title: &'static str, tally: Tally, to_see: usize, unseen: Vec<String>) -> Self {
        let swept = Self { title, tally, to_see, unseen };
        swept.tell();
        swept
    }

    fn tell(&self) {
        let tally = &self.tally;
        println!(
            "{}: {} runs, {} broken; {:.0} calls and {:.0} virtual minutes a run; {:.0} runs a minute on a core; ends {:?}",
            self.title,
            tally.runs,
            tally.failures,
            per(tally.calls, tally.runs),
            per(tally.virtual_seconds, tally.runs) / 60.0,
            tally.rate(),
            tally.ends,
        );
        let (longest, passes) = tally.undecided;
        println!("  undecided after the last fault for at most {longest:.0?} ({passes} passes)");
        println!("  faults that struck: {}", summary::classes(tally));
        if self.to_see > 0 {
            println!("  seen of what was to be seen: {} of {}", self.to_see - self.unseen.len(), self.to_see);
        }
        self.unseen.iter().for_each(|what| println!("  UNSEEN {what}"));
    }
}

/// Hunts, and tells in its first line what was found.
pub(crate) fn hunted(cli: &Cli, catalogue: &Catalogue, limit: Duration) -> bool {
    let hunt = hunt(catalogue, cli.seed, limit);
    let Some(found) = hunt.found else {
        println!("nothing in {} runs, {:.1} s", hunt.runs, hunt.took.as_secs_f64());
        return true;
    };
    let ids: Vec<&str> = found.violations.iter().map(|violation| violation.invariant.id()).collect();
    let faults = found.job.plan.faults.iter().map(Fault::class).collect::<Vec<_>>().join(" ");
    let (scenario, seed) = (&found.job.scenario, found.job.seed);
    println!("{} by {scenario}, seed {seed}, faults [{faults}], in {} runs", ids.join(" "), hunt.runs);
    println!("{found}");
    false
}

pub(crate) fn crash_points(cli: &Cli, catalogue: &Catalogue) -> Swept {
    let jobs = each(cli, catalogue, plans::crash_points);
    Swept::told("crash points", sweep("crash points", catalogue, &jobs))
}

/// The second crash comes in the run that the first one has made another, so that is made first.
pub(crate) fn pairs(cli: &Cli, catalogue: &Catalogue) -> Swept {
    let first = each(cli, catalogue, plans::crash_classes);
    let second = |first: &Job| {
        let report = play(catalogue.get(&first.scenario)?, first);
        Some(plans::second_crashes(first, &report))
    };
    let jobs: Vec<Job> = first.iter().filter_map(second).flatten().collect();
    let mut tally = sweep("first crashes", catalogue, &first);
    tally.add(sweep("pairs of crashes", catalogue, &jobs));
    Swept::told("pairs of crashes", tally)
}

pub(crate) fn takeovers(cli: &Cli, catalogue: &Catalogue) -> Swept {
    let catalogue = with_two_daemons(catalogue);
    let jobs = each(cli, &catalogue, plans::takeovers);
    Swept::told("takeovers", sweep("takeovers", &catalogue, &jobs))
}

pub(crate) fn matrix(cli: &Cli, catalogue: &Catalogue) -> Swept {
    let mut cells = Vec::<Cell>::new();
    let jobs = each(cli, catalogue, |name, seed, golden| {
        let (jobs, more) = plans::matrix(name, seed, golden);
        cells.extend(more);
        jobs
    });
    cells.sort();
    cells.dedup();
    let tally = sweep("matrix", catalogue, &jobs);
    let is_unseen = |cell: &&Cell| !tally.seen.contains_key(&(cell.operation.clone(), cell.class));
    let unseen =
        cells.iter().filter(is_unseen).map(|cell| format!("{} {}", cell.operation, cell.class)).collect();
    Swept::seen("matrix", tally, cells.len(), unseen)
}

pub(crate) fn swarm(cli: &Cli, catalogue: &Catalogue, schedules: u64) -> Swept {
    let goldens: Vec<(&String, Report)> =
        catalogue.iter().map(|(name, scenario)| (name, golden(scenario, cli.seed))).collect();
    let jobs: Vec<Job> = (0..schedules)
        .zip(goldens.iter().cycle())
        .map(|(nth, (name, golden))| plans::swarm(name, cli.seed.wrapping_add(nth), golden))
        .collect();
    let tally = sweep("swarm", catalogue, &jobs);
    let missing = summary::missing(&tally, catalogue.values().any(|scenario| scenario.database));
    let unseen = missing.iter().map(|class| format!("{}: {}", class.id, class.what)).collect();
    Swept::seen("swarm", tally, 0, unseen)
}

/// Plays each scenario once and tells what came of it.
pub(crate) fn single(cli: &Cli, catalogue: &Catalogue, plan: &Plan) -> bool {
    let mut sound = true;
    for (name, scenario) in catalogue {
        let rest = DAY;
        let begun = Instant::now();
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

pub(crate) fn golden(scenario: &Scenario, seed: u64) -> Report {
    run(&Setup { scenario, plan: &Plan::default(), seed, rest: Duration::ZERO, keep_trace: false })
}

/// Jobs for each scenario, from its run without faults; every n-th of them.
fn each(cli: &Cli, catalogue: &Catalogue, mut jobs: impl FnMut(&str, u64, &Report) -> Vec<Job>) -> Vec<Job> {
    let all = catalogue.iter().flat_map(|(name, scenario)| jobs(name, cli.seed, &golden(scenario, cli.seed)));
    all.step_by(cli.every.max(1)).collect()
}

/// Plays each seed twice, and counts those whose trace is the same both times.
pub(crate) fn twice(catalogue: &Catalogue, seeds: u64) -> u64 {
    const TOLD_EVERY: u64 = 20;
    let mut same = 0;
    let scenarios: Vec<(&String, Report)> =
        catalogue.iter().map(|(name, scenario)| (name, golden(scenario, 1))).collect();
    for (seed, (name, golden)) in (1..=seeds).zip(scenarios.iter().cycle()) {
        let job = plans::swarm(name, seed, golden);
        let Some(scenario) = catalogue.get(*name) else { continue };
        let setup =
            Setup { scenario, plan: &job.plan, seed, rest: Duration::from_secs(60), keep_trace: false };
        // Side by side: what another thread does must not matter either.
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| run(&setup).hash);
            (run(&setup).hash, other.join())
        });
        if other.is_ok_and(|other| other == one) {
            same += 1;
        } else {
            println!("{name}, seed {seed}: two runs differ");
        }
        if seed % TOLD_EVERY == 0 && seed < seeds {
            println!("twice: {seed} of {seeds} seeds, {same} the same");
        }
    }
    println!("the same trace twice: {same} of {seeds}");
    same
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn per(all: u64, runs: u64) -> f64 {
    all as f64 / runs.max(1) as f64
}
