//! One run: a scenario, a seed and a plan of faults in; what happened and what was found out.
//!
//! Everything runs on this thread in virtual time: the daemons are whole controllers with their own loops, and die, stand
//! still and come back as the plan has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tidegate_controller::Settings;
use tidegate_ledger::store::memory::Memory;
use tidegate_model::{
    ReleaseName,
    status::{ReleaseStatus, Summary},
    waiting::Reason,
};
use tidegate_sandbox::{
    Sandbox,
    clock::Clock as SandboxClock,
    world::{Mode, World},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    daemon::{Daemon, Shown},
    database::{Committed, Model, Operation, Plans, Row, story},
    fault::{Fault, Moment, Plan},
    log::{Leak, Listener, heard_by},
    machine::Machine,
    oracle::{Invariant, Oracles, Violation, convergence::Convergence, traffic::SPEC},
    panics,
    scenario::{Deed, RELEASE, Scenario},
    scene::{Notice, Scene, locked},
    struck::Phases,
    time::{Calendar, MachineClock},
    tool::Tool,
    trace::Trace,
};

mod ending;
mod told;

/// The story's world.
const WORLD: &str = include_str!("../../../config/world.toml");

/// Rows of the story's table.
const CUSTOMERS: i64 = 60;

/// How often the run looks at what was published, and at what is due.
const TICK: Duration = Duration::from_secs(1);

/// How long a machine takes to come back after its daemon died.
const REBOOT: Duration = Duration::from_secs(5);

/// What a run may take longer if a single thing goes wrong in it that lasts no longer than a call may be late: less than
/// CodeDeploy keeps green waiting.
const LITTLE_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What a run may take longer than its scenario, besides what its faults last: leases that end, doubts that are waited out.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

/// No run takes longer, whatever its status names: a deadline that is put off again and again is no end.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Setup<'s> {
    /// The scenario.
    pub scenario: &'s Scenario,
    /// What goes wrong besides.
    pub plan: &'s Plan,
    /// Of everything random.
    pub seed: u64,
    /// How long the end is watched for calls that nobody asked for.
    pub rest: Duration,
    /// Whether the trace is kept as text.
    pub keep_trace: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The trace's hash.
    pub hash: String,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// Crossings until the scenario's end was reached.
    pub crossings: u64,
    /// Which of all crossings left something behind that a new daemon finds.
    pub landmarks: Vec<u64>,
    /// The moment of each crossing.
    pub moments: Vec<Moment>,
    /// Calls to AWS, until the end of the rest.
    pub calls: u64,
    /// What the daemons did to AWS, in order.
    pub effects: Vec<String>,
    /// Virtual time until the scenario's end was reached.
    pub took: Duration,
    /// How often each operation was crossed, to the end of the rest.
    pub operations: BTreeMap<String, u64>,
    /// Operation, class of fault, and how often it struck.
    pub seen: BTreeMap<(String, &'static str), u64>,
    /// Class of fault, the phases that were told of the release, and how often it struck in them.
    pub in_phases: BTreeMap<(&'static str, Phases), u64>,
    /// Operations and classes of faults that changed no answer, however often they could have.
    pub idle: BTreeSet<(String, &'static str)>,
    /// Faults of the plan and of the scenario that struck nothing.
    pub never_struck: Vec<Fault>,
    /// The longest that the release stood undecided after the last fault: time, and passes.
    pub undecided: (Duration, u64),
    /// The summary's word at the end.
    pub summary: &'static str,
    /// The trace, if it was to be kept.
    pub trace: String,
}

/// When every world begins.
fn start() -> Timestamp {
    Timestamp::from_second(1_795_420_800).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The story's world after its first minutes: the service is up before anybody asks anything of it.
fn world(seed: u64, besides: &str) -> World {
    static PLAIN: OnceLock<World> = OnceLock::new();
    let mut world = if besides.is_empty() { PLAIN.get_or_init(|| grown("")).clone() } else { grown(besides) };
    world.mode = Mode::Modelled { seed };
    world
}

fn grown(besides: &str) -> World {
    let begins = start() - SignedDuration::from_mins(2);
    let text = format!("{WORLD}\n{besides}");
    let mut world = World::from_file(&text, begins, Mode::Modelled { seed: 7 })
        .unwrap_or_else(|error| panic!("a scenario's world: {error}"));
    world.advance(start());
    world
}

/// The story's database. Plans are read once for all runs.
fn database(calendar: Calendar) -> Model {
    static PLANS: OnceLock<Plans> = OnceLock::new();
    let rows = (1..=CUSTOMERS).map(|key| (key, Row::Old));
    let setup = story::setup(rows, ("sandbox-tidegate-password", "sandbox-shop-password"));
    Model::new(setup, Arc::new(MachineClock::new(calendar)), PLANS.get_or_init(Plans::default).clone())
}

/// Runs it. The calling thread must not be inside a runtime.
///
/// # Panics
/// If a scenario's world cannot be made.
pub fn run(setup: &Setup<'_>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|error| panic!("a runtime: {error}"));
    fastrand::seed(setup.seed);
    panics::watch();
    let listener = setup.plan.pastes_secrets().then(Listener::default);
    let leak = listener.as_ref().map(|listener| Arc::clone(&listener.leak));
    let _heard = heard_by(listener);
    runtime.block_on(async { Stage::new(setup, leak).play().await })
}

/// A run under way.
struct Stage<'s> {
    setup: &'s Setup<'s>,
    release: ReleaseName,
    scene: Arc<Scene>,
    notices: mpsc::UnboundedReceiver<Notice>,
    daemons: Vec<Daemon>,
    booted: u32,
    /// When machines come back, in order.
    reboots: Vec<Instant>,
    /// The next event, and since when its time has come.
    next: usize,
    ready: Option<Instant>,
    /// Since when the release is where it should be.
    there_since: Option<Instant>,
    /// Since when nothing is told of a deployment that is under way.
    untold_since: Option<Duration>,
    /// When the last event happened, or the last thing went wrong.
    last_trouble: Duration,
    convergence: Convergence,
    /// The team's own migration tool, where the scenario has one.
    tool: Option<Tool>,
    /// Every reason to wait that was told.
    told: BTreeSet<&'static str>,
    /// True once only the rest is watched: nobody does anything any more.
    over: bool,
    /// What of the log had a secret in it.
    leak: Option<Leak>,
}

impl<'s> Stage<'s> {
    fn new(setup: &'s Setup<'s>, leak: Option<Leak>) -> Self {
        let calendar = Calendar::new(start());
        let world = world(setup.seed, &setup.scenario.world);
        let sandbox = Sandbox::new(world, SandboxClock::of_tokio(start()));
        let mut plan = setup.scenario.faults.clone();
        plan.faults.extend(setup.plan.faults.iter().cloned());
        let trace = if setup.keep_trace { Trace::kept() } else { Trace::default() };
        let database = setup.scenario.database.then(|| database(calendar));
        let (scene, notices) = Scene::new(calendar, sandbox, database, &plan, Oracles::default(), trace);
        let release = RELEASE.parse().unwrap_or_else(|error| panic!("the release's name: {error}"));
        let mut stage = Self {
            setup,
            release,
            scene,
            notices,
            daemons: Vec::new(),
            booted: 0,
            reboots: Vec::new(),
            next: 0,
            ready: None,
            there_since: None,
            untold_since: None,
            last_trouble: Duration::ZERO,
            convergence: Convergence::default(),
            tool: setup.scenario.has_tool().then(Tool::default),
            told: BTreeSet::new(),
            over: false,
            leak,
        };
        for _ in 0..setup.scenario.daemons() {
            stage.boot();
        }
        stage
    }

    async fn play(mut self) -> Report {
        let reached = self.reach_end().await;
        let took = self.scene.calendar.elapsed();
        let crossings = self.scene.crossings();
        let at_end = self.effects().len();
        // What is held for people may not have failed: whoever loses the ledger begins it anew. And what did not bring back what served
        // is tried again until it does.
        let held = self.status().filter(|status| status.summary == Summary::Held);
        let unfinished =
            held.is_some_and(|status| self.setup.plan.forgets() || told::is_tried_again(&status));
        self.scene.calm();
        self.over = true;
        if reached && !self.waits_for_somebody() {
            let (before, steps) = (self.looks(), self.schema_steps());
            let changes = self.status().and_then(|status| Some(status.schema.as_ref()?.phase != "purged"));
            let goes_on = changes.unwrap_or(false);
            self.go_on(self.setup.rest).await;
            self.rests(self.looks() - before);
            self.parameter_is_told();
            let more = self.schema_steps() - steps;
            // A change that waits for its quiet window, or for people, goes on by itself when that is over.
            if more > 0 && !goes_on {
                self.found(Invariant::G16, format!("at rest: {more} steps in the database"));
            }
            let mut late = self.effects().split_off(at_end);
            if goes_on {
                late.retain(|operation| !is_of_a_change(operation));
            }
            // Who was answered what is not so may do what is not needed.
            let misled = locked(&self.scene.oracles).was_misled_since(start(), took);
            if !late.is_empty() && !misled && !unfinished {
                self.found(Invariant::G16, format!("at rest: {late:?}"));
            }
        }
        if reached {
            self.matches_what_is_asked();
        }
        self.look_back().await;
        self.report(took, crossings)
    }

    /// Plays until everything has happened and the release is where it should be; false if that takes too long.
    async fn reach_end(&mut self) -> bool {
        let patience = if self.setup.plan.is_hard() { PATIENCE } else { LITTLE_PATIENCE };
        let most = self.setup.scenario.within() + self.troubles() + patience;
        // What was once told to end by itself may take until then, and as long again to come to rest.
        let mut named = Duration::ZERO;
        loop {
            self.tick().await;
            self.converges();
            if self.is_broken() {
                return false;
            }
            if self.is_over() {
                return true;
            }
            if !self.setup.plan.faults.is_empty() {
                let deadline = self.status().and_then(|status| self.deadline(&status));
                let ends = deadline.unwrap_or_default().max(self.scene.clocks_settle_at());
                named = named.max(ends + patience);
                // Whoever only dies leaves nothing behind that would be an end of another kind.
                if !self.setup.plan.only_crashes() {
                    named = named.max(self.believed_by());
                }
            }
            // An end that is being watched is one.
            if self.scene.calendar.elapsed() > most.max(named).min(LONGEST) && self.there_since.is_none() {
                let stands = self.status().map_or_else(|| "nothing".to_owned(), |status| told(&status));
                self.found(Invariant::Lv1, format!("after {most:?} the status is {stands}"));
                return false;
            }
        }
    }

    /// When what is told to wait ends by itself, if it does. That something refused is tried again is no end.
    fn deadline(&self, status: &ReleaseStatus) -> Option<Duration> {
        let waits = status.waiting.iter().filter(|wait| wait.reason != Reason::Refused);
        let ends = waits.filter_map(|wait| wait.deadline).max()?;
        Duration::try_from(ends.duration_since(start())).ok()
    }

    /// How often the service was looked at.
    fn looks(&self) -> u64 {
        self.scene.operations().get("ecs.DescribeServices").copied().unwrap_or(0)
    }

    /// How many steps have changed the schema, or rows.
    fn schema_steps(&self) -> usize {
        let changes = |step: &&Committed| step.operation.changes() && step.operation != Operation::Claim;
        let committed = self.scene.database.as_ref().map(Model::committed).unwrap_or_default();
        committed.iter().filter(changes).count()
    }

    /// LV2: what has settled is looked at as often as the settings say. Each look is a little earlier by chance, and there are looks
    /// besides when something is written: 1.6 times as many were measured at most.
    fn rests(&self, looks: u64) {
        let settled =
            self.status().is_some_and(|status| status.summary == Summary::Healthy && status.schema.is_none());
        let alone = self.setup.scenario.daemons() == 1 && self.setup.plan.faults.is_empty();
        let each = Settings::default().resync.unsigned_abs().as_secs();
        let most = self.setup.rest.as_secs() * 9 / 5 / each + 2;
        if settled && alone && looks > most {
            self.found(Invariant::Lv2, format!("{looks} looks in {:?} at rest", self.setup.rest));
        }
    }

    /// G15.
    fn converges(&mut self) {
        let quiet_since = self.last_trouble.max(self.scene.clocks_settle_at());
        let times = (self.scene.calendar.elapsed(), quiet_since);
        let status = self.status();
        if status.is_none() && self.spec_version().is_none() {
            // Nothing is asked for, and nothing is told.
            self.is_untold(quiet_since);
            self.convergence.nothing_is_asked();
            return;
        }
        self.untold_since = None;
        self.told.extend(status.iter().flat_map(|status| &status.waiting).map(|wait| wait.reason.as_str()));
        self.edits_are_told(status.as_deref(), times);
        if let Some(what) = self.convergence.look(times, status.as_deref()) {
            let stands = status.map_or_else(|| "nothing".to_owned(), |status| told(&status));
            self.found(Invariant::G15, format!("{what}; the status is {stands}"));
        }
    }

    /// What the faults of the plan last.
    fn troubles(&self) -> Duration {
        self.setup.plan.faults.iter().map(|fault| fault.what.lasts()).sum()
    }

    async fn go_on(&mut self, lasts: Duration) {
        let until = Instant::now() + lasts;
        while Instant::now() < until && !self.is_broken() {
            self.tick().await;
        }
    }

    async fn tick(&mut self) {
        tokio::select! {
            biased;
            notice = self.notices.recv() => {
                if let Some(notice) = notice {
                    self.died(notice);
                }
            }
            () = tokio::time::sleep(TICK) => {}
        }
        self.scene.look();
        self.tool_works();
        locked(&self.scene.struck).told(self.status().as_deref());
        let now = Instant::now();
        while self.reboots.first().is_some_and(|at| *at <= now) {
            self.reboots.remove(0);
            self.boot();
        }
        self.scene.carry_on();
        self.last_trouble = self.last_trouble.max(self.scene.last_trouble());
        self.events();
    }

    /// The team's own tool does its work in the tasks that it was started in.
    fn tool_works(&mut self) {
        let (Some(tool), Some(database)) = (&mut self.tool, &self.scene.database) else { return };
        let at = self.scene.calendar.elapsed().as_millis();
        for told in tool.work(&mut self.scene.sandbox.world(), database) {
            locked(&self.scene.trace).line(format_args!("{at} tool {told}"));
        }
    }

    /// Lets what is due happen.
    fn events(&mut self) {
        let scenario = self.setup.scenario;
        if self.over {
            return;
        }
        let Some(event) = scenario.events.get(self.next) else { return };
        if self.ready.is_none() && event.is_ready(self.status().as_deref()) {
            self.ready = Some(Instant::now());
        }
        let after = event.after.unwrap_or_default().unsigned_abs();
        let status = self.status();
        let due = self.ready.is_some_and(|ready| ready.elapsed() >= after);
        if due && !event.deed.is_possible(status.as_deref()) {
            self.ready = None;
        } else if due {
            event.deed.happen(&self.scene, status.as_deref());
            let now = self.scene.calendar.now();
            locked(&self.scene.oracles).interfered(now);
            match event.deed {
                Deed::Weights(..) => locked(&self.scene.oracles).weights_were_given(now),
                Deed::Stop(number) => self.stop(number),
                _ => {}
            }
            let at = self.scene.calendar.elapsed().as_millis();
            locked(&self.scene.trace).line(format_args!("{at} event {}", self.next));
            self.last_trouble = self.scene.calendar.elapsed();
            self.next += 1;
            self.ready = None;
        }
    }

    /// Asks the daemon of a machine to end by itself: it gives its leases back first.
    fn stop(&self, number: u32) {
        let its = self.daemons.iter().filter(|daemon| daemon.machine.number == number);
        its.for_each(|daemon| daemon.stopping.cancel());
    }

    fn died(&mut self, notice: Notice) {
        if let Some(database) = &self.scene.database {
            database.kill_builds();
        }
        let (number, off) = match notice {
            Notice::Died(number) => (Some(number), REBOOT),
            Notice::Off(number, lasts) => (Some(number), lasts.max(REBOOT)),
            Notice::LedgerLost => {
                // Newer ledgers have later names.
                let next = self.booted + 1;
                self.scene.set_ledger(Memory::named(&next.to_string()), next);
                (None, REBOOT)
            }
            Notice::LedgerRestored(ledger) => {
                self.scene.set_ledger(ledger, self.booted + 1);
                (None, REBOOT)
            }
        };
        // All daemons use one ledger: who puts another one in its place stops them before, or cuts them off.
        let (gone, stay): (Vec<_>, _) = std::mem::take(&mut self.daemons)
            .into_iter()
            .partition(|daemon| number.is_none_or(|number| daemon.machine.number == number));
        self.daemons = stay;
        for daemon in gone {
            daemon.machine.die();
            daemon.running.abort();
            self.reboots.push(Instant::now() + off);
        }
        self.reboots.sort();
    }

    fn boot(&mut self) {
        self.booted += 1;
        let machine = Arc::new(Machine::new(self.booted, MachineClock::new(self.scene.calendar)));
        let mut settings = Settings::default();
        if let Some(pace) = self.setup.scenario.pace {
            settings.floor = pace;
            settings.in_flight_look = settings.in_flight_look.max(pace);
        }
        self.daemons.push(Daemon::boot(&self.scene, machine, settings));
    }

    /// The release's newest status, of whoever publishes it.
    fn status(&self) -> Option<Shown> {
        let shown = self.daemons.iter().filter_map(|daemon| daemon.shows(&self.release));
        shown.max_by_key(|status| status.observed_at)
    }

    /// True once something is broken: what happens after it proves nothing.
    fn is_broken(&self) -> bool {
        !locked(&self.scene.oracles).found().is_empty()
    }

    fn effects(&self) -> Vec<String> {
        let oracles = locked(&self.scene.oracles);
        oracles.effects().iter().map(|effect| effect.operation.clone()).collect()
    }

    /// The version of the spec that is there.
    fn spec_version(&self) -> Option<u64> {
        self.scene.sandbox.world().parameter(SPEC).map(|(version, _)| version)
    }

    /// True once everybody has done what the scenario has them do.
    fn all_happened(&self) -> bool {
        self.next >= self.setup.scenario.events.len()
    }

    fn found(&self, invariant: Invariant, what: String) {
        locked(&self.scene.oracles).add(invariant, self.scene.calendar.now(), what);
    }

    fn report(&self, took: Duration, crossings: u64) -> Report {
        let oracles = locked(&self.scene.oracles);
        let trace = locked(&self.scene.trace);
        let struck = locked(&self.scene.struck);
        Report {
            hash: trace.hash(),
            violations: oracles.found().to_vec(),
            crossings,
            landmarks: self.scene.landmarks(),
            moments: self.scene.moments(),
            calls: self.scene.sandbox.world().request_log().len() as u64,
            effects: oracles.effects().iter().map(|effect| effect.operation.clone()).collect(),
            took,
            operations: self.scene.operations(),
            seen: struck.seen.clone(),
            in_phases: struck.in_phases.clone(),
            never_struck: struck.to_come.clone(),
            idle: self.scene.idle(),
            undecided: self.convergence.longest,
            summary: self.status().map_or("none", |status| status.summary.as_str()),
            trace: trace.text().to_owned(),
        }
    }
}

/// True of a call that is made on the way of a schema change alone.
fn is_of_a_change(operation: &str) -> bool {
    ["CreateDBSnapshot", "RunTask"].contains(&operation)
}

/// Where a release stands, in a line.
fn told(status: &ReleaseStatus) -> String {
    let waiting = status.waiting.iter().map(|wait| format!("{}: {}", wait.reason.as_str(), wait.message));
    let problems = status.problems.iter().map(ToString::to_string);
    let why: Vec<String> = waiting.chain(problems).collect();
    format!("{} in {}: {}", status.summary.as_str(), status.rollout.phase, why.join("; "))
}
