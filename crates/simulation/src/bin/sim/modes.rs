//! What `sim` can be asked for: single runs, hunts and sweeps, each told as it ends.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tidegate_simulation::{
    bookmark::Bookmarks,
    commit::commit,
    fault::{Fault, Plan},
    hunt::hunt,
    plans::{self, Cell, Places},
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario, with_two_daemons},
    summary,
    sweep::{DAY, Job, REST, Tally, play_and_rest, sweep},
};

use crate::Cli;

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

    fn tell(&self, seed: u64) {
        let tally = &self.tally;
        println!(
            "{}: {} runs from seed {} on, commit {}: {} broken; {:.0} calls and {:.0} virtual minutes a run; {:.0} runs a minute on a core; ends {:?}",
            self.title,
            tally.runs,
            seed,
            commit(),
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

/// Tells in which phases of a release the faults of all these sweeps struck.
pub(crate) fn tell_phases<'s>(swept: impl IntoIterator<Item = &'s Swept>) {
    let phases = summary::phases(swept.into_iter().map(|swept| &swept.tally));
    println!("faults by class, and by what the status told of the release as they struck:\n{phases}");
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
    let (ids, commit, runs) = (ids.join(" "), commit(), hunt.runs);
    println!("{ids} by {scenario}, seed {seed}, commit {commit}, faults [{faults}], in {runs} runs");
    println!("{found}");
    false
}

/// Which crossings a daemon dies or stands still at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossings {
    /// Every one.
    Every,
    /// One of those at which it leaves the same behind in the same second.
    OneOfAlike,
    /// Of those one in so many: the seed draws which.
    OneIn(usize),
}

impl Crossings {
    /// Its share of jobs at every crossing, and at one of those that are alike.
    fn of(
        self,
        seed: u64,
        every: impl FnOnce() -> Vec<Job>,
        one_of_alike: impl FnOnce() -> Vec<Job>,
    ) -> Vec<Job> {
        match self {
            Self::Every => every(),
            Self::OneOfAlike => one_of_alike(),
            Self::OneIn(many) => plans::one_in(many, seed, one_of_alike()),
        }
    }
}

/// Sweeps that go on where they stood.
pub(crate) struct Sweeps<'c> {
    pub(crate) cli: &'c Cli,
    pub(crate) bookmarks: Bookmarks,
}

impl Sweeps<'_> {
    pub(crate) fn crash_points(&self, catalogue: &Catalogue, crossings: Crossings) -> Swept {
        let title = if crossings == Crossings::Every { "crash points" } else { "crash moments" };
        let (every, alike) = (plans::crash_points, plans::crash_moments);
        let jobs =
            crossings.of(self.cli.seed, || self.each(catalogue, every), || self.each(catalogue, alike));
        self.told(title, self.sweep(title, catalogue, &jobs))
    }

    /// The second crash comes in the run that the first one has made another, so that is made first.
    pub(crate) fn pairs(&self, catalogue: &Catalogue) -> Swept {
        let first = self.each(catalogue, plans::crash_classes);
        let second = |first: &Job| {
            let report = play_and_rest(catalogue.get(&first.scenario)?, first, REST);
            Some(plans::second_crashes(first, &report))
        };
        let jobs: Vec<Job> = first.iter().filter_map(second).flatten().collect();
        let mut tally = self.sweep("first crashes", catalogue, &first);
        tally.add(self.sweep("pairs of crashes", catalogue, &jobs));
        self.told("pairs of crashes", tally)
    }

    pub(crate) fn takeovers(&self, catalogue: &Catalogue, crossings: Crossings) -> Swept {
        let catalogue = with_two_daemons(catalogue);
        let title = if crossings == Crossings::Every { "takeovers" } else { "takeover moments" };
        let (every, alike) = (plans::takeovers, plans::takeover_moments);
        let jobs =
            crossings.of(self.cli.seed, || self.each(&catalogue, every), || self.each(&catalogue, alike));
        self.told(title, self.sweep(title, &catalogue, &jobs))
    }

    /// Each service away, alone and with each other one.
    pub(crate) fn outages(&self, catalogue: &Catalogue) -> Swept {
        let title = "outages";
        let jobs = self.each(catalogue, plans::outages);
        self.told(title, self.sweep(title, catalogue, &jobs))
    }

    /// Every operation with every fault, in each scenario.
    pub(crate) fn matrix(&self, catalogue: &Catalogue) -> Swept {
        self.matrix_of(catalogue, Places::Three, |_, _| true)
    }

    /// Every operation with every fault: in each of these scenarios, and in others where these have no such operation.
    pub(crate) fn matrix_mostly(&self, catalogue: &Catalogue, places: Places, names: &[&str]) -> Swept {
        let these = catalogue.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let operations: BTreeSet<String> =
            these.flat_map(|(_, scenario)| golden(scenario, self.cli.seed).operations.into_keys()).collect();
        let wanted = |name: &str, operation: &str| names.contains(&name) || !operations.contains(operation);
        self.matrix_of(catalogue, places, wanted)
    }

    fn matrix_of(&self, catalogue: &Catalogue, places: Places, wanted: impl Fn(&str, &str) -> bool) -> Swept {
        let mut cells = Vec::<Cell>::new();
        let jobs = self.each(catalogue, |name, seed, golden| {
            let (jobs, more) = plans::matrix(name, seed, golden, places, |operation| wanted(name, operation));
            cells.extend(more);
            jobs
        });
        cells.sort();
        cells.dedup();
        let tally = self.sweep("matrix", catalogue, &jobs);
        let is_unseen = |cell: &&Cell| !tally.has_tried(&cell.operation, cell.class);
        let unseen =
            cells.iter().filter(is_unseen).map(|cell| format!("{} {}", cell.operation, cell.class)).collect();
        let swept = self.seen("matrix", tally, cells.len(), unseen);
        println!("  of them tried in vain, because the answer stays as it is: {}", swept.tally.idle());
        swept
    }

    pub(crate) fn swarm(&self, catalogue: &Catalogue, schedules: u64) -> Swept {
        let tally = self.sweep("swarm", catalogue, &self.drawn(catalogue, schedules));
        if !self.cli.long && !summary::is_large(&tally) {
            return self.told("swarm", tally);
        }
        let with_database = catalogue.values().any(|scenario| scenario.database);
        let missing = summary::missing(&tally, with_database);
        let unseen = missing.iter().map(|class| format!("{}: {}", class.id, class.what)).collect();
        self.seen("swarm", tally, summary::drawable(with_database), unseen)
    }

    /// The same with a second daemon, which leads where the first one cannot.
    pub(crate) fn swarm_of_two(&self, catalogue: &Catalogue, schedules: u64) -> Swept {
        let catalogue = with_two_daemons(catalogue);
        let title = "swarm of two daemons";
        self.told(title, self.sweep(title, &catalogue, &self.drawn(&catalogue, schedules)))
    }

    /// The same at the product's own pace: what it would do in every pass shows only there.
    pub(crate) fn swarm_at_own_pace(&self, catalogue: &Catalogue, schedules: u64) -> Swept {
        let mut catalogue = catalogue.clone();
        catalogue.values_mut().for_each(|scenario| scenario.pace = None);
        let title = "swarm at the product's own pace";
        self.told(title, self.sweep(title, &catalogue, &self.drawn(&catalogue, schedules)))
    }

    /// So many plans at random, for one scenario after the other.
    fn drawn(&self, catalogue: &Catalogue, schedules: u64) -> Vec<Job> {
        let seed = self.cli.seed;
        let goldens: Vec<(&String, Report)> =
            catalogue.iter().map(|(name, scenario)| (name, golden(scenario, seed))).collect();
        (0..schedules)
            .zip(goldens.iter().cycle())
            .map(|(nth, (name, golden))| plans::swarm(name, seed.wrapping_add(nth), golden))
            .collect()
    }

    /// Jobs for each scenario, from its run without faults; every n-th of them.
    fn each(&self, catalogue: &Catalogue, mut jobs: impl FnMut(&str, u64, &Report) -> Vec<Job>) -> Vec<Job> {
        let seed = self.cli.seed;
        let all = catalogue.iter().flat_map(|(name, scenario)| jobs(name, seed, &golden(scenario, seed)));
        all.step_by(self.cli.every.max(1)).collect()
    }

    fn told(&self, title: &'static str, tally: Tally) -> Swept {
        self.seen(title, tally, 0, Vec::new())
    }

    fn seen(&self, title: &'static str, tally: Tally, to_see: usize, unseen: Vec<String>) -> Swept {
        let swept = Swept { title, tally, to_see, unseen };
        swept.tell(self.cli.seed);
        swept
    }

    fn sweep(&self, title: &str, catalogue: &Catalogue, jobs: &[Job]) -> Tally {
        sweep(title, catalogue, jobs, &self.bookmarks)
    }
}

/// Plays each scenario once and tells what came of it. A fault that strikes nothing is as wrong as what is broken: without it the run is
/// another one than was asked for.
pub(crate) fn single(cli: &Cli, catalogue: &Catalogue, plan: &Plan) -> bool {
    let mut sound = true;
    for (name, scenario) in catalogue {
        let rest = DAY;
        let begun = Instant::now();
        let report = run(&Setup { scenario, plan, seed: cli.seed, rest, keep_trace: cli.trace });
        print!("{}", report.trace);
        println!(
            "{name}: {}, {} after {:.0?}, {} crossings, {} calls; seed {}, commit {}, trace {}; {:.0?}",
            scenario.title,
            report.summary,
            report.took,
            report.crossings,
            report.calls,
            cli.seed,
            commit(),
            report.hash,
            begun.elapsed()
        );
        println!("  {}", report.effects.join(", "));
        for violation in &report.violations {
            println!("  BROKEN {violation}");
        }
        for ((class, phases), times) in &report.in_phases {
            println!("  {class} struck {times} times in {phases}");
        }
        for fault in &report.never_struck {
            println!("  STRUCK NOTHING {fault:?}");
        }
        sound &= report.violations.is_empty() && report.never_struck.is_empty();
    }
    sound
}

pub(crate) fn golden(scenario: &Scenario, seed: u64) -> Report {
    run(&Setup { scenario, plan: &Plan::default(), seed, rest: Duration::ZERO, keep_trace: false })
}

/// Plays each seed twice, and counts those whose trace is the same both times: once in order and once backwards, side by side. So each
/// run has other neighbours the second time, and another past: nothing of the process may matter.
pub(crate) fn twice(catalogue: &Catalogue, seeds: u64) -> u64 {
    let goldens: Vec<(&String, &Scenario, Report)> =
        catalogue.iter().map(|(name, scenario)| (name, scenario, golden(scenario, 1))).collect();
    let jobs: Vec<(&Scenario, Job)> = (1..=seeds)
        .zip(goldens.iter().cycle())
        .map(|(seed, (name, scenario, golden))| (*scenario, plans::swarm(name, seed, golden)))
        .collect();
    let (there, back) = std::thread::scope(|scope| {
        let back = scope.spawn(|| hashes(jobs.iter().rev(), None));
        (hashes(jobs.iter(), Some(seeds)), back.join().unwrap_or_default())
    });
    let mut same = 0;
    for ((one, other), (_, job)) in there.iter().zip(back.iter().rev()).zip(&jobs) {
        same += u64::from(one == other);
        if one != other {
            println!("{}, seed {}, commit {}: two runs differ", job.scenario, job.seed, commit());
        }
    }
    println!("the same trace twice: {same} of {seeds} seeds, commit {}", commit());
    same
}

/// The hash of each run, one after the other; who has them told says how many there are.
fn hashes<'j>(jobs: impl Iterator<Item = &'j (&'j Scenario, Job)>, told_of: Option<u64>) -> Vec<String> {
    const TOLD_EVERY: u64 = 20;
    const DAYS_APART: u64 = 50;
    let hash = |(done, (scenario, job)): (u64, &(&Scenario, Job))| {
        if let Some(seeds) = told_of.filter(|_| done > 0 && done % TOLD_EVERY == 0) {
            println!("twice: {done} of {seeds} seeds");
        }
        let rest = if job.seed % DAYS_APART == 1 { DAY } else { REST };
        play_and_rest(scenario, job, rest).hash
    };
    (0..).zip(jobs).map(hash).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn per(all: u64, runs: u64) -> f64 {
    all as f64 / runs.max(1) as f64
}
