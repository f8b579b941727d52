//! Many runs: every crash point, every operation with every fault, and random swarms; with progress, on as many threads as
//! there are cores, each run on one.
//!
//! A sweep that is interrupted goes on where it stood when it is asked for again.
//! What was to be seen is counted, and a cell that no run saw is a failure of its own. A run that broke something is made
//! small before it is told: seed, commit, plan, and how to play it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::IsTerminal as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    bookmark::{Bookmark, Bookmarks, Standing},
    commit::commit,
    fault::Plan,
    oracle::Violation,
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario},
};

/// A run that is to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The plan.
    pub plan: Plan,
}

/// A run that broke something.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which run, its plan made small.
    pub job: Job,
    /// What it broke.
    pub violations: Vec<Violation>,
    /// The pace of its daemons, where that is not the product's own.
    pub pace: Option<SignedDuration>,
    /// How many daemons it had, where that is not what its scenario says.
    pub daemons: Option<u32>,
}

impl Broken {
    /// A run of this scenario, and what it broke.
    pub(crate) fn new(scenario: &Scenario, job: Job, violations: Vec<Violation>) -> Self {
        let daemons = scenario.other_daemons.filter(|daemons| *daemons != scenario.daemons);
        Self { job, violations, pace: scenario.pace, daemons }
    }
}

/// What many runs came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How many were made.
    pub runs: u64,
    /// Calls to AWS in them.
    pub calls: u64,
    /// Virtual seconds in them.
    pub virtual_seconds: u64,
    /// What is told of those that broke something, made small: the first few.
    pub broken: Vec<String>,
    /// How many broke something.
    pub failures: u64,
    /// By operation and class of fault, how often it struck.
    pub seen: BTreeMap<String, BTreeMap<String, u64>>,
    /// By operation, the classes of faults that could have struck it in a run from the first time on, and changed nothing.
    pub idle: BTreeMap<String, BTreeSet<String>>,
    /// By class of fault and by the phases of the release it struck in, how often.
    pub in_phases: BTreeMap<String, BTreeMap<String, u64>>,
    /// The longest that any run stood undecided after its last fault, and the most passes that any did.
    pub undecided: (Duration, u64),
    /// The summary at the end, and how many ended so.
    pub ends: BTreeMap<String, u64>,
    /// How long it all took, in real time.
    pub took: Duration,
    /// Threads that worked.
    pub threads: usize,
}

/// How many broken runs are made small and told.
const TOLD: usize = 20;

/// How long a run's end is watched in a sweep: longer than a call can be late, and than a lease lasts.
pub const REST: Duration = Duration::from_secs(6 * 60);

/// How long an end is watched where every fault has struck, and something may come of it hours later.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Of so many runs of a sweep one is watched for a day, where that is no more than [`DAYS`] in all: a day takes as long as five other
/// runs, and as long as twenty where a schema change is open.
const DAYS_APART: usize = 50;

/// Days that are watched in a large sweep.
const DAYS: usize = 100;

impl Tally {
    /// Runs a minute on one core.
    pub fn rate(&self) -> f64 {
        let minutes = self.took.as_secs_f64() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let (runs, threads) = (self.runs as f64, self.threads.max(1) as f64);
        runs / minutes.max(f64::MIN_POSITIVE) / threads
    }

    fn take(&mut self, report: &Report) {
        self.runs += 1;
        self.calls += report.calls;
        self.virtual_seconds += report.took.as_secs();
        self.stood_undecided(report.undecided);
        *self.ends.entry(report.summary.to_owned()).or_default() += 1;
        self.failures += u64::from(!report.violations.is_empty());
        for ((operation, class), times) in &report.seen {
            self.saw(operation, class, *times);
        }
        for (operation, class) in &report.idle {
            self.idle.entry(operation.clone()).or_default().insert((*class).to_owned());
        }
        for ((class, phases), times) in &report.in_phases {
            self.saw_in(class, &phases.to_string(), *times);
        }
    }

    fn stood_undecided(&mut self, (time, passes): (Duration, u64)) {
        let (longest, most) = self.undecided;
        self.undecided = (longest.max(time), most.max(passes));
    }

    pub(crate) fn saw(&mut self, operation: &str, class: &str, times: u64) {
        let classes = self.seen.entry(operation.to_owned()).or_default();
        *classes.entry(class.to_owned()).or_default() += times;
    }

    pub(crate) fn saw_in(&mut self, class: &str, phases: &str, times: u64) {
        let all = self.in_phases.entry(class.to_owned()).or_default();
        *all.entry(phases.to_owned()).or_default() += times;
    }

    /// Whether a fault of the class has struck the operation.
    pub fn has_seen(&self, operation: &str, class: &str) -> bool {
        self.seen.get(operation).is_some_and(|classes| classes.contains_key(class))
    }

    /// Whether a fault of the class has struck the operation, or was tried and changes nothing of it.
    pub fn has_tried(&self, operation: &str, class: &str) -> bool {
        self.has_seen(operation, class) || self.idle.get(operation).is_some_and(|all| all.contains(class))
    }

    /// Cells in which a fault was tried and never changed anything.
    pub fn idle(&self) -> usize {
        let of = |(operation, classes): (&String, &BTreeSet<String>)| {
            classes.iter().filter(|class| !self.has_seen(operation, class)).count()
        };
        self.idle.iter().map(of).sum()
    }

    /// Adds what another sweep came to.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.virtual_seconds += other.virtual_seconds;
        self.stood_undecided(other.undecided);
        self.broken.extend(other.broken);
        self.failures += other.failures;
        self.took += other.took;
        self.threads = other.threads;
        for (operation, classes) in other.seen {
            classes.iter().for_each(|(class, times)| self.saw(&operation, class, *times));
        }
        for (operation, classes) in other.idle {
            self.idle.entry(operation).or_default().extend(classes);
        }
        for (class, phases) in other.in_phases {
            phases.iter().for_each(|(phases, times)| self.saw_in(&class, phases, *times));
        }
        for (end, times) in other.ends {
            *self.ends.entry(end).or_default() += times;
        }
    }
}

/// Makes one run of a sweep, and watches its end for as long as `rest`.
pub fn play_and_rest(scenario: &Scenario, job: &Job, rest: Duration) -> Report {
    run(&Setup { scenario, plan: &job.plan, seed: job.seed, rest, keep_trace: false })
}

/// Makes every run that its bookmark does not know of.
pub fn sweep(title: &str, catalogue: &Catalogue, jobs: &[Job], bookmarks: &Bookmarks) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let bookmark = bookmarks.of(title, catalogue, jobs);
    let under_way = UnderWay::new(bookmark, Progress::new(title, jobs.len()));
    let work = || {
        while let Some(place) = under_way.begin(jobs.len()) {
            let Some(job) = jobs.get(place) else { continue };
            let Some(scenario) = catalogue.get(&job.scenario) else { continue };
            let rest = if place % DAYS_APART.max(jobs.len() / DAYS) == 0 { DAY } else { REST };
            let report = play_and_rest(scenario, job, rest);
            let tell = !report.violations.is_empty() && under_way.tells_more();
            let told = tell.then(|| smaller(scenario, job, rest, report.violations.clone()).to_string());
            under_way.end(place, &report, told);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    Tally { threads, ..under_way.over() }
}

/// A sweep under way: what its threads share.
struct UnderWay {
    standing: Mutex<Standing>,
    /// Runs that somebody began before, and never ended.
    again: Mutex<Vec<usize>>,
    /// What was spent before, and since when this goes on.
    before: Duration,
    begun: Instant,
    bookmark: Bookmark,
    kept: Mutex<Instant>,
    progress: Progress,
}

/// How often the bookmark is put anew.
const KEPT_EVERY: Duration = Duration::from_secs(10);

impl UnderWay {
    fn new(bookmark: Bookmark, progress: Progress) -> Self {
        let standing = bookmark.open();
        let again = standing.begun.iter().copied().collect();
        progress.goes_on(&standing.tally);
        Self {
            before: standing.tally.took,
            standing: Mutex::new(standing),
            again: Mutex::new(again),
            begun: Instant::now(),
            bookmark,
            kept: Mutex::new(Instant::now()),
            progress,
        }
    }

    /// The next run's place.
    fn begin(&self, runs: usize) -> Option<usize> {
        let mut standing = locked(&self.standing);
        let place = locked(&self.again).pop().or_else(|| {
            let next = standing.next;
            standing.next += usize::from(next < runs);
            (next < runs).then_some(next)
        })?;
        standing.begun.insert(place);
        Some(place)
    }

    fn tells_more(&self) -> bool {
        locked(&self.standing).tally.broken.len() < TOLD
    }

    fn end(&self, place: usize, report: &Report, told: Option<String>) {
        let mut standing = locked(&self.standing);
        standing.begun.remove(&place);
        standing.tally.take(report);
        if let Some(told) = told {
            self.progress.tell(&told);
            standing.tally.broken.push(told);
        }
        self.progress.step(&standing.tally);
        let mut kept = locked(&self.kept);
        if kept.elapsed() >= KEPT_EVERY {
            *kept = Instant::now();
            self.keep(&mut standing);
        }
    }

    fn keep(&self, standing: &mut Standing) {
        standing.tally.took = self.before + self.begun.elapsed();
        if let Err(error) = self.bookmark.put(standing) {
            self.progress.tell(&format!("where the sweep stands cannot be kept: {error}"));
        }
    }

    fn over(self) -> Tally {
        self.keep(&mut locked(&self.standing));
        self.progress.end();
        self.standing.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).tally
    }
}

/// Leaves faults out of a plan for as long as what it breaks stays broken.
fn smaller(scenario: &Scenario, job: &Job, rest: Duration, violations: Vec<Violation>) -> Broken {
    let mut kept = Broken::new(scenario, job.clone(), violations);
    let Some(invariant) = kept.violations.first().map(|violation| violation.invariant) else { return kept };
    let mut place = 0;
    while place < kept.job.plan.faults.len() {
        let mut job = kept.job.clone();
        job.plan.faults.remove(place);
        let violations = play_and_rest(scenario, &job, rest).violations;
        if violations.iter().any(|violation| violation.invariant == invariant) {
            kept = Broken::new(scenario, job, violations);
        } else {
            place += 1;
        }
    }
    kept
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    title: String,
    total: usize,
    told: Mutex<Instant>,
}

/// How often a log is told how far it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn new(title: &str, total: usize) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:24} {bar:30} {pos}/{len} {per_sec} {msg} {eta} to go")
        {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        Self { bar, title: title.to_owned(), total, told: Mutex::new(Instant::now()) }
    }

    fn step(&self, tally: &Tally) {
        self.bar.inc(1);
        if tally.failures > 0 {
            self.bar.set_message(format!("{} broken", tally.failures));
        }
        let mut told = locked(&self.told);
        if self.bar.is_hidden() && told.elapsed() >= LINE_EVERY {
            *told = Instant::now();
            println!("{}: {} of {} runs, {} broken", self.title, tally.runs, self.total, tally.failures);
        }
    }

    /// Says that a part was done before, and what was found in it.
    fn goes_on(&self, tally: &Tally) {
        if tally.runs > 0 {
            self.bar.set_position(tally.runs);
            self.tell(&format!("{}: goes on after {} runs; --afresh begins anew", self.title, tally.runs));
            tally.broken.iter().for_each(|broken| self.tell(broken));
        }
    }

    fn tell(&self, what: &str) {
        self.bar.suspend(|| println!("{what}"));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Job { scenario, seed, plan } = &self.job;
        writeln!(f, "{scenario}, seed {seed}, commit {}, {} faults:", commit(), plan.faults.len())?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        // A plan has a JSON form.
        let plan = serde_json::to_string(plan).unwrap_or_default();
        let pace = self.pace.map(|pace| format!(" --pace {}", pace.as_secs())).unwrap_or_default();
        let daemons = self.daemons.map(|daemons| format!(" --daemons {daemons}")).unwrap_or_default();
        write!(
            f,
            "  again: cargo xtask sim --scenario {scenario} --seed {seed}{pace}{daemons} --plan '{plan}'"
        )
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic of a run is a failure of the sweep; what was counted before stands.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::with_two_daemons;

    fn again(scenario: &Scenario) -> String {
        let job = Job { scenario: "it".to_owned(), seed: 3, plan: Plan::default() };
        let told = Broken::new(scenario, job, Vec::new()).to_string();
        told.lines().last().unwrap_or_default().trim().to_owned()
    }

    #[test]
    fn how_to_play_it_again_says_what_the_scenario_does_not() {
        let text = |daemons: u32| {
            format!(
                "title = \"\"\ndaemons = {daemons}\nevent = []\nexpect = {{ summary = \"healthy\", phase = \"settled\", image = \"\", effects = [] }}"
            )
        };
        let scenario = |daemons| Scenario::read(&text(daemons)).expect("a scenario");
        assert_eq!(
            again(&scenario(1)),
            "again: cargo xtask sim --scenario it --seed 3 --plan '{\"faults\":[]}'"
        );
        let two = |scenario| with_two_daemons(&Catalogue::from([("it".to_owned(), scenario)]))["it"].clone();
        let paced = Scenario { pace: Some(SignedDuration::from_secs(30)), ..two(scenario(1)) };
        assert!(again(&paced).contains(" --seed 3 --pace 30 --daemons 2 --plan "), "{}", again(&paced));
        assert!(!again(&two(scenario(2))).contains("--daemons"), "it has two by itself");
        assert_eq!(two(scenario(3)).daemons(), 3);
    }
}
