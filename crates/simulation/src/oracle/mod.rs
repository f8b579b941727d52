//! Oracles: what must never happen, checked against the truth after every crossing, whatever the daemon believes.
//!
//! They see the world itself, what each daemon was told, and what the ledger was given. They never look into a daemon, so
//! that no mistake of it can hide another. Each finding names the invariant that it breaks.

use std::{collections::BTreeSet, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::Sealed;
use tidegate_model::name::Marker;
use tidegate_sandbox::{
    Call,
    error::ApiError,
    node::Node,
    world::{World, truth::Deployed},
};

use crate::{
    database::{Model, Operation},
    fault::{Fault, MetricsMishap, Mishap, Newer, SnapshotMishap, What, seconds},
    machine::Machine,
};

mod chronicle;
pub(crate) mod convergence;
mod doubt;
mod effect;
pub mod elsewhere;
mod given_back;
mod gone;
mod grounds;
mod invariant;
mod journal;
mod leases;
mod orders;
mod schema;
pub(crate) mod secrets;
mod served;
mod steps;
pub(crate) mod traffic;

use effect::Effect;
pub use invariant::Invariant;

/// What somebody has done to the world is seen, and answered, within this time.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// An invariant was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, by the world's calendar.
    pub at: Timestamp,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, what } = self;
        write!(f, "{} ({}) at {at}: {what}", invariant.id(), invariant.sentence())
    }
}

/// Everything that watches a run.
#[derive(Default)]
pub(crate) struct Oracles {
    found: Found,
    traffic: traffic::Traffic,
    journal: journal::Journal,
    leases: leases::Leases,
    chronicle: chronicle::Chronicle,
    doubts: doubt::Doubts,
    orders: orders::Orders,
    schema: schema::Schema,
    steps: steps::Steps,
    /// How what is being carried out has come.
    arrival: Arrival,
    /// What was about to happen when it was asked, if it then does.
    pending: Vec<(Invariant, String)>,
}

/// How a call has come to be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// As it was sent.
    #[default]
    Sent,
    /// Later: whoever sent it has given up, and knows more by now.
    Late,
    /// A second time: nobody has sent that.
    Again,
}

/// What a store does with the release's lease.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leased {
    /// It is granted in this epoch, for so long from now on.
    Granted { epoch: u64, term: Duration },
    /// It goes on for so long from now on.
    Renewed { term: Duration },
    /// It was given back.
    Resigned,
}

/// What is wrong, if anything is.
type Wrong = Option<(Invariant, String)>;

/// What was found so far: each invariant once, or a broken one would fill the memory.
#[derive(Default)]
pub(crate) struct Found {
    violations: Vec<Violation>,
    invariants: BTreeSet<Invariant>,
}

impl Found {
    fn add(&mut self, invariant: Invariant, at: Timestamp, what: String) {
        if self.invariants.insert(invariant) {
            self.violations.push(Violation { invariant, at, what });
        }
    }

    fn add_if(&mut self, wrong: Wrong, at: Timestamp) {
        if let Some((invariant, what)) = wrong {
            self.add(invariant, at, what);
        }
    }
}

/// What a deployment was made for, if it is ours: its description is our marker.
pub(crate) fn made_for(deployment: &Deployed) -> Option<Marker> {
    deployment.description.as_deref()?.parse().ok()
}

/// What no daemon ever asks for: what is no step of a release, and no status, changes nothing.
fn never(call: &Call) -> Wrong {
    let operation = &call.operation;
    // Reading a log file has a name of its own.
    let reads = !call.counts_as_mutating() || operation.starts_with("Download");
    if reads || Effect::of(call).is_some() {
        return None;
    }
    let what = format!("{operation} was sent, which is no step of a release");
    let invariant = match operation {
        deletes if deletes.starts_with("Delete") => Invariant::N3,
        restores if restores.starts_with("Restore") => Invariant::N4,
        _ => Invariant::J1,
    };
    Some((invariant, what))
}

impl Oracles {
    /// A fault has struck.
    pub(crate) fn struck(&mut self, fault: &Fault, at: Timestamp) {
        if let Some(lasts) = fault.what.hinders() {
            self.traffic.hinder(at.saturating_add(lasts).unwrap_or(at));
        }
        match &fault.what {
            // What was decided before it is told after it.
            What::Freeze { lasts } => self.orders.misled = self.orders.misled.max(Some(at + seconds(*lasts))),
            What::Downgrade(Newer::Format) => {
                self.journal.outgrown = true;
                // Nobody watches from now on, whatever hands do.
                self.traffic.excuse(Timestamp::MAX);
            }
            What::World { mishap, lasts } => self.mishap(*mishap, at + seconds(*lasts)),
            What::Stale { .. } | What::Partial | What::Mangled(_) => {
                self.orders.misled = self.orders.misled.max(Some(at));
            }
            What::Crash(_)
            | What::Downgrade(Newer::Members)
            | What::Fail(..)
            | What::Twice
            | What::Late { .. }
            | What::LedgerLost
            | What::LedgerRestored { .. }
            | What::Outage { .. }
            | What::Absent { .. } => {}
            What::ClockJump { .. } => self.doubts.clock_was_wrong = true,
        }
    }

    /// The ledger is another one from now on: `first` is the first machine that uses it.
    pub(crate) fn lose_ledger(&mut self, first: u32) {
        self.journal.lose(first);
        self.steps.lose(first);
        self.leases.lose(first);
        self.chronicle = chronicle::Chronicle::of_another_ledger();
        self.doubts.forget();
        self.schema.lose_ledger();
    }

    /// Something happened to the world: what is so because of it is nobody's fault.
    fn mishap(&mut self, mishap: Mishap, ends: Timestamp) {
        if mishap.writes_the_listener() {
            self.traffic.written_by_others();
        }
        match mishap {
            // A hand on the listener may give weight to a group without tasks; what dies or is never placed leaves one behind.
            // CodeDeploy heeds a red alarm a minute later, and takes some more to go back.
            Mishap::Hand(_)
            | Mishap::Foreign(_)
            | Mishap::Codedeploy(_)
            | Mishap::App(_)
            | Mishap::Metrics(MetricsMishap::AlarmRed) => {
                self.traffic.excuse(ends + SEEN_WITHIN);
            }
            // What CloudWatch does not tell takes no task away.
            Mishap::Metrics(
                MetricsMishap::Missing
                | MetricsMishap::Late
                | MetricsMishap::Rewritten
                | MetricsMishap::AlarmInsufficient,
            ) => {}
            Mishap::Snapshot(SnapshotMishap::Deleted) => self.journal.deleted += 1,
            Mishap::Database(_)
            | Mishap::Spec(_)
            | Mishap::Snapshot(_)
            | Mishap::Crowd(_)
            | Mishap::Canary(_) => {}
        }
    }

    /// A machine appended rows to the release's ledger.
    pub(crate) fn appended(&mut self, machine: u32, epoch: u64, rows: &[Sealed], at: Timestamp) {
        self.journal.appended(machine, rows);
        self.steps.appended(machine, rows, at);
        self.orders.appended(rows);
        self.schema.appended(rows);
        self.doubts.appended(rows, at, &mut self.found);
        self.chronicle.appended(rows, at, &mut self.found);
        self.found.add_if(self.leases.appended(machine, epoch), at);
    }

    /// Something was done with the release's lease.
    pub(crate) fn leased(&mut self, machine: u32, deed: Leased, (now, at): (Duration, Timestamp)) {
        match deed {
            Leased::Granted { epoch, term } => {
                self.found.add_if(self.leases.granted(machine, epoch, now, term), at);
            }
            Leased::Renewed { term } => self.leases.renewed(machine, now, term),
            Leased::Resigned => self.leases.resigned(machine, now),
        }
    }

    /// True while a machine holds the release's lease.
    pub(crate) fn leads(&self, machine: u32, now: Duration) -> bool {
        self.leases.leads(machine, now)
    }

    /// A call leaves a daemon.
    pub(crate) fn sends(&mut self, machine: &Machine, call: &Call, (now, at): (Duration, Timestamp)) {
        self.found.add_if(never(call), at);
        let Some(effect) = Effect::of(call) else { return };
        self.found.add_if(self.journal.is_meant(machine, &effect), at);
        self.found.add_if(self.journal.sends(machine.number, &effect), at);
        if !machine.may_send_unwritten(&call.operation) {
            self.found.add_if(self.leases.sends(machine.number, &call.operation, now), at);
        }
    }

    /// A daemon was told that its call had no effect.
    pub(crate) fn declined(&mut self, call: &Call, at: Timestamp) {
        if let Some(effect) = Effect::of(call) {
            self.journal.declined(&effect);
            self.found.add_if(self.journal.refused(&effect.operation, at), at);
        }
    }

    /// What is carried out from now on comes like this.
    pub(crate) fn arriving(&mut self, arrival: Arrival) {
        self.arrival = arrival;
    }

    /// Somebody changed the world by hand.
    pub(crate) fn interfered(&mut self, at: Timestamp) {
        self.orders.interfered = Some(at);
    }

    /// An operation of the database is asked for.
    pub(crate) fn begins(&mut self, world: &World, machine: &Machine, operation: Operation, now: Duration) {
        let number = machine.number;
        let stands = (number, self.leads(number, now), self.journal.outgrown);
        let mut wrong = self.steps.begins(stands, operation, world.now());
        wrong.extend(self.orders.begins(world, machine, operation));
        for (invariant, what) in wrong {
            self.found.add(invariant, world.now(), what);
        }
    }

    /// How long traffic has not been where CodeDeploy has left it, though nothing is to move it.
    pub(crate) fn edited_for(&self, now: Timestamp) -> SignedDuration {
        self.orders.edited.map_or(SignedDuration::ZERO, |since| now.duration_since(since))
    }

    /// True if an answer was not what the world is, so long after the start or later.
    pub(crate) fn was_misled_since(&self, start: Timestamp, elapsed: std::time::Duration) -> bool {
        let since = start.saturating_add(elapsed).unwrap_or(start);
        self.orders.misled.is_some_and(|misled| misled > since)
    }

    /// Somebody has given production other weights: what it lacks for it is their doing, as it is where a mishap does so.
    pub(crate) fn weights_were_given(&mut self, at: Timestamp) {
        self.traffic.written_by_others();
        self.traffic.excuse(at + SEEN_WITHIN);
    }

    /// Looks at the world after a crossing.
    pub(crate) fn look(&mut self, world: &World) {
        let sides = world.sides(traffic::PRODUCTION);
        let open: Vec<Deployed> =
            world.deployed().into_iter().filter(|deployment| !deployment.ended).collect();
        self.orders.look(world, &sides, &open);
        let meddled = self.orders.is_meddled_with(world.now());
        self.found.add_if(self.chronicle.look(&sides).filter(|_| !meddled), world.now());
        self.traffic.look(world, &sides, &open, &mut self.found);
    }

    /// Looks at the database after a crossing; `running` are the images that have tasks.
    pub(crate) fn look_at(&mut self, world: &World, database: &Model, running: &[&str]) {
        self.schema.look(world, database, (running, self.orders.plans()), &mut self.found);
    }

    /// A call of a daemon that changes something is about to have its effect.
    pub(crate) fn about_to(&mut self, world: &World, machine: &Machine, call: &Call) {
        self.pending.clear();
        let Some(effect) = Effect::of(call) else { return };
        let mut pending = Vec::new();
        match self.arrival {
            Arrival::Sent => {
                self.traffic.about_to(world, machine, call, &mut pending);
                self.journal.about_to(machine, &effect, &mut pending);
                self.orders.about_to(world, machine, call, &mut pending);
                let back = orders::named_revision(call).filter(|_| orders::is_back(call));
                pending.extend(back.and_then(|revision| self.chronicle.brings_back(&revision)));
                self.found.add_if(self.orders.hurries(world, call), world.now());
            }
            // It was sent before what is known by now: what comes of it is to go back, and the run's end says whether it did.
            Arrival::Late => self.journal.has_intent(machine, &effect, &mut pending),
            Arrival::Again => {}
        }
        if self.orders.is_misled(world.now()) {
            // Who was shown an older spec goes by it.
            pending.retain(|(invariant, _)| *invariant != Invariant::P1);
        }
        self.pending = pending;
    }

    /// A call of a daemon came to this.
    pub(crate) fn done(
        &mut self,
        world: &World,
        machine: &Machine,
        call: &Call,
        outcome: &Result<Node, ApiError>,
    ) {
        if outcome.is_err() {
            self.pending.clear();
            return;
        }
        for (invariant, what) in self.pending.drain(..) {
            self.found.add(invariant, world.now(), what);
        }
        if call.operation == "RunTask" {
            let call = (call, self.arrival == Arrival::Late);
            self.schema.tool_started(world, call, self.orders.plans(), &mut self.found);
        }
        if call.counts_as_mutating() {
            if let Some(effect) = Effect::of(call) {
                self.journal.done(machine, effect, (world.now(), self.arrival), &mut self.found);
                self.orders.done(world, call);
            }
        } else if call.operation == "PutParameter" {
            self.orders.told(world, call, &mut self.found);
        } else {
            self.journal.read(machine, call.service);
        }
    }

    /// The most weight that an image had.
    pub(crate) fn most(&self, image: &str) -> u32 {
        self.traffic.most(image)
    }

    /// What was found.
    pub(crate) fn found(&self) -> &[Violation] {
        &self.found.violations
    }

    /// Something that was found by looking at the run as a whole.
    pub(crate) fn add(&mut self, invariant: Invariant, at: Timestamp, what: String) {
        self.found.add(invariant, at, what);
    }

    /// Effects so far.
    pub(crate) fn effects(&self) -> &[Effect] {
        self.journal.effects()
    }
}
