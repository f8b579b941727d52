//! What everybody in a run shares: the world, the ledger, the faults that are still to come, and who watches.
//!
//! Every way out of a daemon is a crossing ([`Scene::cross`]): one place where faults strike, oracles look, and the trace is
//! written. Nothing here knows what a crossing is for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tidegate_ledger::{Sealed, store::memory::Memory};
use tidegate_sandbox::{Call, Sandbox, error::ApiError, node::Node, world::truth::Deployed};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    database::{Model, Operation},
    deeds::{Deeds, Gaps, Troubles},
    downgrade,
    fault::{Armed, CodedeployMishap, Failure, Fault, Mishap, Moment, Plan, Position, What, seconds},
    machine::{Machine, Passes},
    oracle::{Arrival, Invariant, Leased, Oracles, secrets},
    struck::Struck,
    time::Calendar,
    trace::Trace,
};

mod strikes;

pub(crate) use strikes::world_of;

/// The service of every simulated release, and its database instance.
const CLUSTER: &str = "ecommerce";
const SERVICE: &str = "ecommerce";
const INSTANCE: &str = "ecommerce-db";

/// How long a call is under way.
const LATENCY: Duration = Duration::from_millis(8);

/// Backups of the ledger are made this often, in runs that may need one.
const BACKUP_EVERY: Duration = Duration::from_secs(60);

/// A call on its way out of a daemon.
pub(crate) struct Crossing {
    /// Service and operation: `ecs.DescribeServices`, `ledger.append`.
    pub(crate) operation: String,
    /// True if it may change something.
    pub(crate) changes: bool,
}

impl Crossing {
    fn service(&self) -> &str {
        self.operation.split_once('.').map_or("", |(service, _)| service)
    }
}

/// What a crossing came to.
pub(crate) enum Passed<T> {
    /// It was carried out, and the answer is on its way, where these faults may bend it.
    Answer(T, Vec<Fault>),
    /// The daemon is told that it failed.
    Failed(Failure),
}

/// What is still to strike a crossing that is under way.
#[derive(Default)]
pub(crate) struct Passage {
    crash: Option<Position>,
    fails: Option<Failure>,
    twice: bool,
    late: Option<Duration>,
    bends: Vec<Fault>,
}

impl Passage {
    /// It has its effect, and whoever sent it is never told.
    pub(crate) fn is_lost(&mut self) {
        self.fails = Some(Failure::Disconnect);
    }
}

/// What the run must see to itself.
pub(crate) enum Notice {
    /// This machine died.
    Died(u32),
    /// This machine is off for so long.
    Off(u32, Duration),
    /// The ledger is lost, and whoever used it is cut off.
    LedgerLost,
    /// The ledger is set back to this, and whoever used it is cut off.
    LedgerRestored(Memory),
}

/// What everybody shares.
pub(crate) struct Scene {
    pub(crate) calendar: Calendar,
    pub(crate) sandbox: Sandbox,
    pub(crate) passes: Arc<Passes>,
    /// The release's database, where the scenario has a schema change.
    pub(crate) database: Option<Model>,
    pub(crate) oracles: Mutex<Oracles>,
    pub(crate) trace: Mutex<Trace>,
    armed: Mutex<Armed>,
    /// What happens to the world by mishap.
    pub(crate) deeds: Mutex<Deeds>,
    /// What CloudWatch does not tell.
    pub(crate) gaps: Mutex<Gaps>,
    /// What the database's server does to operations.
    pub(crate) troubles: Mutex<Troubles>,
    outages: Mutex<Vec<Outage>>,
    /// When a fault struck last, or ended last.
    struck_at: Mutex<Duration>,
    /// When every clock is steady again: one that was set back goes on at half its pace until time has caught up with it.
    clocks_settle_at: Mutex<Duration>,
    /// Answers to reads that were given before, where a fault may want an old one.
    views: Option<Mutex<Views>>,
    ledger: Mutex<Memory>,
    backups: Option<Mutex<Vec<(Instant, Memory)>>>,
    /// How often each operation was crossed.
    operations: Mutex<BTreeMap<String, u64>>,
    /// What of the faults has struck.
    pub(crate) struck: Mutex<Struck>,
    notices: mpsc::UnboundedSender<Notice>,
}

type Outcome = Result<Node, ApiError>;
type Views = BTreeMap<(String, String), Vec<Outcome>>;

struct Outage {
    service: String,
    until: Instant,
    how: Failure,
    /// What began it, until something was asked of the service.
    uncounted: Option<Fault>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // One thread: nobody else can have panicked while holding it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene {
    pub(crate) fn new(
        calendar: Calendar,
        sandbox: Sandbox,
        database: Option<Model>,
        plan: &Plan,
        oracles: Oracles,
        trace: Trace,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Notice>) {
        let (notices, received) = mpsc::unbounded_channel();
        let wants = |wanted: fn(&What) -> bool| plan.faults.iter().any(|fault| wanted(&fault.what));
        let stale = wants(|what| matches!(what, What::Stale { .. }));
        let restored = wants(|what| matches!(what, What::LedgerRestored { .. }));
        let scene = Self {
            calendar,
            sandbox,
            passes: Arc::default(),
            database,
            oracles: Mutex::new(oracles),
            trace: Mutex::new(trace),
            armed: Mutex::new(Armed::new(plan)),
            deeds: Mutex::default(),
            gaps: Mutex::default(),
            troubles: Mutex::default(),
            outages: Mutex::default(),
            struck_at: Mutex::default(),
            clocks_settle_at: Mutex::default(),
            views: stale.then(Mutex::default),
            ledger: Mutex::new(Memory::named("1")),
            backups: restored.then(Mutex::default),
            operations: Mutex::default(),
            struck: Mutex::new(Struck::new(plan)),
            notices,
        };
        (Arc::new(scene), received)
    }

    /// The ledger as it is now.
    pub(crate) fn ledger(&self) -> Memory {
        locked(&self.ledger).clone()
    }

    /// The ledger is another one from now on, for this machine and later ones.
    pub(crate) fn set_ledger(&self, ledger: Memory, first: u32) {
        *locked(&self.ledger) = ledger;
        locked(&self.oracles).lose_ledger(first);
    }

    /// When something went wrong last, as far as that is over; now, while it is not.
    pub(crate) fn last_trouble(&self) -> Duration {
        let now = Instant::now();
        if locked(&self.outages).iter().any(|outage| outage.until > now) {
            return self.calendar.elapsed();
        }
        *locked(&self.struck_at)
    }

    /// When no daemon's clock is ahead any more.
    pub(crate) fn clocks_settle_at(&self) -> Duration {
        *locked(&self.clocks_settle_at)
    }

    pub(crate) fn crossings(&self) -> u64 {
        locked(&self.armed).crossings()
    }

    pub(crate) fn landmarks(&self) -> Vec<u64> {
        locked(&self.armed).landmarks().to_vec()
    }

    pub(crate) fn moments(&self) -> Vec<Moment> {
        locked(&self.armed).moments().to_vec()
    }

    pub(crate) fn operations(&self) -> BTreeMap<String, u64> {
        locked(&self.operations).clone()
    }

    /// Takes a call out of a daemon: struck by what is to strike it, carried out, looked at, answered.
    pub(crate) async fn cross<T: Send + 'static>(
        self: &Arc<Self>,
        machine: &Arc<Machine>,
        crossing: &Crossing,
        mut perform: impl FnMut() -> T + Send + 'static,
    ) -> Passed<T> {
        let passage = match self.enter(machine, crossing).await {
            Ok(passage) => passage,
            Err(how) => return Passed::Failed(how),
        };
        if let Some(by) = passage.late {
            let scene = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                drop(scene.arriving(Arrival::Late, perform));
            });
            self.note(crossing, Failure::Silence);
            return Passed::Failed(Failure::Silence);
        }
        let mut value = perform();
        if passage.twice {
            value = self.arriving(Arrival::Again, perform);
        }
        match self.leave(machine, crossing, passage).await {
            Ok(bends) => Passed::Answer(value, bends),
            Err(how) => Passed::Failed(how),
        }
    }

    /// Carries out a call that comes in another way than it was sent.
    fn arriving<T>(&self, arrival: Arrival, mut perform: impl FnMut() -> T) -> T {
        locked(&self.oracles).arriving(arrival);
        let value = perform();
        locked(&self.oracles).arriving(Arrival::Sent);
        value
    }

    /// The way out, up to where the effect would be.
    ///
    /// # Errors
    /// How it fails without an effect.
    pub(crate) async fn enter(&self, machine: &Machine, crossing: &Crossing) -> Result<Passage, Failure> {
        machine.stands().await;
        if machine.is_doomed() {
            self.kill(machine, Notice::Died(machine.number)).await;
        }
        tokio::time::sleep(LATENCY).await;
        let mut passage = Passage::default();
        // What happens to the world happens, whatever a daemon dies of in the same instant.
        let (of_world, struck): (Vec<_>, Vec<_>) = self
            .strike(machine, crossing)
            .into_iter()
            .partition(|fault| matches!(fault.what, What::World { .. }));
        of_world.into_iter().for_each(|fault| self.begin(fault));
        self.downgrade(machine, &struck).await;
        for fault in struck {
            let uncounted = Some(fault.clone());
            match fault.what {
                What::Crash(Position::BeforeEffect) => self.kill(machine, Notice::Died(machine.number)).await,
                What::Absent { lasts } => {
                    self.kill(machine, Notice::Off(machine.number, seconds(lasts))).await;
                }
                What::LedgerLost => self.kill(machine, Notice::LedgerLost).await,
                What::World { .. } | What::Downgrade(_) => {}
                What::LedgerRestored { ago } => {
                    let backup = self.backup(seconds(ago));
                    self.kill(machine, Notice::LedgerRestored(backup)).await;
                }
                What::Crash(position) => passage.crash = Some(position),
                // Whoever refuses does so before anything is done.
                What::Fail(position, how) if position == Position::BeforeEffect || how.is_refusal() => {
                    return self.noted(crossing, how);
                }
                What::Fail(_, how) => passage.fails = Some(how),
                What::Twice => passage.twice = true,
                What::Late { by } => passage.late = Some(seconds(by)),
                What::Stale { .. } | What::Partial | What::Mangled(_) => passage.bends.push(fault),
                What::Outage { service, lasts, how } => {
                    let until = Instant::now() + seconds(lasts);
                    locked(&self.outages).push(Outage { service, until, how, uncounted });
                }
                What::Freeze { lasts } => machine.freeze(Instant::now() + seconds(lasts)),
                What::ClockJump { by, lasts } => {
                    machine.clock.jump(SignedDuration::from_secs(by));
                    let ahead = seconds(u64::try_from(by).unwrap_or(0));
                    let mut settle = locked(&self.clocks_settle_at);
                    // Jumps add up, and what is ahead is caught up with at half the pace.
                    *settle = settle.max(self.calendar.elapsed() + seconds(lasts)) + ahead * 2;
                    drop(settle);
                    let clock = Arc::clone(&machine.clock);
                    tokio::spawn(async move {
                        tokio::time::sleep(seconds(lasts)).await;
                        clock.jump(SignedDuration::from_secs(-by));
                    });
                }
            }
        }
        machine.stands().await;
        match self.outage(crossing) {
            Some(how) => self.noted(crossing, how),
            None => Ok(passage),
        }
    }

    /// The way back, from where the effect was.
    ///
    /// # Errors
    /// How it fails though it had its effect.
    pub(crate) async fn leave(
        &self,
        machine: &Machine,
        crossing: &Crossing,
        passage: Passage,
    ) -> Result<Vec<Fault>, Failure> {
        self.crossed(machine, crossing);
        match passage.crash {
            Some(Position::AfterReply) => machine.doom(),
            Some(Position::BeforeEffect | Position::AfterEffect) => {
                self.kill(machine, Notice::Died(machine.number)).await;
            }
            None => {}
        }
        match passage.fails {
            Some(how) => self.noted(crossing, how),
            None => Ok(passage.bends),
        }
    }

    /// A newer version writes to the ledger, and the daemon dies. Before everything else that strikes: whoever dies by something else at
    /// the same crossing would leave it unwritten.
    async fn downgrade(&self, machine: &Machine, struck: &[Fault]) {
        let mut dies = false;
        for fault in struck {
            if let What::Downgrade(newer) = fault.what {
                downgrade::write(&self.ledger(), newer);
                dies = true;
            }
        }
        if dies {
            self.kill(machine, Notice::Died(machine.number)).await;
        }
    }

    fn strike(&self, machine: &Machine, crossing: &Crossing) -> Vec<Fault> {
        let elapsed = self.calendar.elapsed();
        let leads = locked(&self.oracles).leads(machine.number, elapsed);
        let struck = locked(&self.armed).strike(&crossing.operation, leads, elapsed);
        // A mishap happens when it can, and what bends an answer strikes the first one that it changes: they count from then on.
        let counts = |fault: &&Fault| !matches!(fault.what, What::World { .. }) && !fault.what.bends();
        for fault in struck.iter().filter(counts) {
            self.note_struck(fault, &crossing.operation, fault.what.lasts());
        }
        struck
    }

    /// Something goes wrong for so long from now on.
    pub(crate) fn troubled_for(&self, lasts: Duration) {
        let ends = self.calendar.elapsed() + lasts;
        let mut struck_at = locked(&self.struck_at);
        *struck_at = ends.max(*struck_at);
    }

    /// Somebody has just changed the world.
    pub(crate) fn interfered(&self) {
        locked(&self.oracles).interfered(self.calendar.now());
    }

    fn note(&self, crossing: &Crossing, how: Failure) {
        let at = self.calendar.elapsed().as_millis();
        locked(&self.trace).line(format_args!("{at} {} failed: {how:?}", crossing.operation));
    }

    fn noted<T>(&self, crossing: &Crossing, how: Failure) -> Result<T, Failure> {
        self.note(crossing, how);
        Err(how)
    }

    /// Ends a machine where it is; whoever waits for this waits for ever.
    async fn kill(&self, machine: &Machine, notice: Notice) {
        machine.die();
        // The run holds the receiver for as long as it lasts.
        drop(self.notices.send(notice));
        std::future::pending::<()>().await;
    }

    /// A machine's daemon has ended by itself.
    pub(crate) fn ended(&self, machine: &Machine) {
        machine.die();
        drop(self.notices.send(Notice::Died(machine.number)));
    }

    /// A machine's rows are in the release's ledger.
    pub(crate) fn appended(&self, machine: u32, epoch: u64, rows: &[Sealed]) {
        for row in rows {
            let mut trace = locked(&self.trace);
            trace.said(row.at.as_bytes());
            trace.said(row.body.as_bytes());
        }
        locked(&self.oracles).appended(machine, epoch, rows, self.calendar.now());
    }

    /// The store has done something with the release's lease.
    pub(crate) fn leased(&self, machine: u32, deed: Leased) {
        locked(&self.oracles).leased(machine, deed, (self.calendar.elapsed(), self.calendar.now()));
    }

    /// An operation of the database is asked for.
    pub(crate) fn begins(&self, machine: &Machine, operation: Operation) {
        let world = self.sandbox.world();
        locked(&self.oracles).begins(&world, machine, operation, self.calendar.elapsed());
    }

    /// A call leaves a daemon.
    pub(crate) fn sends(&self, machine: &Machine, call: &Call) {
        locked(&self.oracles).sends(machine, call, (self.calendar.elapsed(), self.calendar.now()));
    }

    /// What a daemon asked and was answered, as it went over the wire.
    pub(crate) fn said(&self, asked: &[u8], answered: &[u8]) {
        let mut trace = locked(&self.trace);
        trace.said(asked);
        trace.said(answered);
    }

    /// A daemon was told that its call had no effect.
    pub(crate) fn declined(&self, call: &Call) {
        locked(&self.oracles).declined(call, self.calendar.now());
    }

    fn outage(&self, crossing: &Crossing) -> Option<Failure> {
        let now = Instant::now();
        let mut outages = locked(&self.outages);
        let hit = |outage: &&mut Outage| outage.until > now && outage.service == crossing.service();
        let mut hits = outages.iter_mut().filter(hit).peekable();
        let how = hits.peek().map(|outage| outage.how);
        for fault in hits.filter_map(|outage| outage.uncounted.take()) {
            locked(&self.struck).struck(&fault, &crossing.operation);
        }
        how
    }

    /// Looks at the truth after a crossing.
    fn crossed(&self, machine: &Machine, crossing: &Crossing) {
        let at = self.calendar.elapsed().as_millis();
        locked(&self.trace).line(format_args!("{at} {} {}", machine.number, crossing.operation));
        *locked(&self.operations).entry(crossing.operation.clone()).or_default() += 1;
        if crossing.changes {
            self.keep_backup();
        }
        self.look();
    }

    /// Looks at the truth. What the database's server has logged is handed on, so that it can be read.
    pub(crate) fn look(&self) {
        let mut world = self.sandbox.world();
        let mut oracles = locked(&self.oracles);
        oracles.look(&world);
        if let Some(database) = &self.database {
            let tasks = world.tasks_of(CLUSTER, SERVICE);
            let running: Vec<&str> = tasks.keys().map(String::as_str).collect();
            database.set_running(&running);
            database.advance(world.now());
            database.deliver_log(&mut world, INSTANCE);
            oracles.look_at(&world, database, &running);
        }
    }

    /// A call is about to have its effect.
    pub(crate) fn about_to(&self, machine: &Machine, call: &Call) {
        let writes = call.counts_as_mutating() || call.operation == "PutParameter";
        if writes && secrets::leaks(&format!("{:?}", call.input)) {
            self.leaked(&call.operation);
        }
        if call.counts_as_mutating() {
            let world = self.sandbox.world();
            locked(&self.oracles).about_to(&world, machine, call);
        }
    }

    /// A secret is where nobody may find it.
    pub(crate) fn leaked(&self, into: &str) {
        locked(&self.oracles).add(Invariant::X1, self.calendar.now(), format!("a secret is in {into}"));
    }

    /// A call had its effect, or was refused.
    pub(crate) fn done(&self, machine: &Machine, call: &Call, outcome: &Result<Node, ApiError>) {
        let world = self.sandbox.world();
        locked(&self.oracles).done(&world, machine, call, outcome);
        if call.operation == "StopDeployment" && outcome.is_ok() {
            let stopped = call.input.get("deploymentId").as_text().unwrap_or_default();
            let goes_on = |deployment: &Deployed| deployment.id == stopped && !deployment.ended;
            if world.deployed().iter().any(goes_on) {
                self.bites(Mishap::Codedeploy(CodedeployMishap::StopIsLost));
            }
        }
    }

    fn keep_backup(&self) {
        let Some(backups) = &self.backups else { return };
        let mut backups = locked(backups);
        let now = Instant::now();
        if backups.last().is_none_or(|(at, _)| now.duration_since(*at) >= BACKUP_EVERY) {
            backups.push((now, self.ledger().backup()));
        }
    }

    /// The ledger as it was so long ago; empty if it was not there yet.
    fn backup(&self, ago: Duration) -> Memory {
        let now = Instant::now();
        let backups = self.backups.as_ref().map(locked);
        let before = backups.iter().flat_map(|backups| backups.iter().rev());
        before
            .into_iter()
            .find(|(at, _)| now.duration_since(*at) >= ago)
            .map_or_else(|| Memory::named("1"), |(_, ledger)| ledger.backup())
    }

    /// Keeps an answer, so that it can be given again when it is old.
    pub(crate) fn remember(&self, call: &Call, outcome: &Result<Node, ApiError>) {
        if let (Some(views), false) = (&self.views, call.counts_as_mutating()) {
            let mut views = locked(views);
            let answers = views.entry(view(call)).or_default();
            if answers.last() != Some(outcome) {
                answers.push(outcome.clone());
            }
        }
    }

    /// What was answered to the same question so many different answers before the last; the oldest there is if there are fewer.
    pub(crate) fn older(&self, call: &Call, versions: usize) -> Option<Outcome> {
        let views = locked(self.views.as_ref()?);
        let answers = views.get(&view(call))?;
        let place = answers.len().saturating_sub(versions.saturating_add(1));
        answers.get(place).cloned()
    }
}

/// What a call asks, whatever the time that it asks of.
fn view(call: &Call) -> (String, String) {
    let mut input = call.input.clone();
    ["StartTime", "EndTime"].iter().for_each(|time| input.set(time, Node::Null));
    (call.operation.clone(), format!("{input:?}"))
}
