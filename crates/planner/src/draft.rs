//! The decision while it is being made: entries are folded at once, so that everything after them sees them.

use jiff::{SignedDuration, Timestamp};
use tidegate_analysis::Judgement;
use tidegate_model::{
    ParameterVersion, ReleaseName,
    decision::Step,
    duration::human,
    gate::{Gate, GateReading, GateState},
    ledger::{Accepted, Entry, ReleaseState, Rollout},
    name::Marker,
    observation::Observation,
    spec::Problem,
    status::ReleaseStatus,
    waiting::{Class, Held, OnDeadline, Reason, Waiting},
};

use crate::Input;

/// How long a call may still have its effect after it was sent: the SDK's operation timeout (30 s) and a margin. Before
/// that, not seeing an effect proves nothing.
pub(crate) const CALL_MAY_LAND: SignedDuration = SignedDuration::from_secs(45);

/// Look again after this long when nothing is in flight.
const AT_REST: SignedDuration = SignedDuration::from_secs(60);

/// Back-off after a refused step: 2 s doubled each time, at most 5 minutes forward. For going back at most 15 s, and a minute once it was
/// refused so often that it does not pass by itself.
const BACKOFF: (i64, i64, i64) = (2, 300, 15);
const OFTEN: u32 = 8;
const BACK_AT_LAST: i64 = 60;

/// Whether a step leads forward or back; going back is not stopped by holds, doubts or long back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// The decision while it is being made.
pub(crate) struct Draft<'a> {
    pub release: &'a ReleaseName,
    /// The ledger's state with this pass's entries folded in.
    pub state: ReleaseState,
    pub seen: &'a Observation,
    pub previous: Option<&'a ReleaseStatus>,
    pub now: Timestamp,
    /// When reading began: nothing that was seen is younger for sure.
    pub read_since: Timestamp,
    /// How far the time is ahead of the machine's clock.
    pub ahead: SignedDuration,
    pub entries: Vec<Entry>,
    pub step: Option<Step>,
    pub waiting: Vec<Waiting>,
    pub gates: Vec<GateReading>,
    pub next_look: Timestamp,
    pub judgement: Option<Judgement>,
    /// What is wrong with the orders, for the status: each acts as a hold.
    pub unmatched_abort: Option<String>,
    /// What is wrong with the texts of orders, for the status.
    pub order_problems: Vec<Problem>,
    /// The abort in force, by the spec version that it names.
    pub abort: Option<ParameterVersion>,
    /// Why no forward step may be proposed although nothing is held: the spec cannot be read.
    pub spec_unread: Option<String>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        Self {
            release: input.release,
            state: input.state.clone(),
            seen: input.observation,
            previous: input.previous,
            now: input.now,
            read_since: input.read_since,
            ahead: input.ahead,
            entries: Vec::new(),
            step: None,
            waiting: Vec::new(),
            gates: Vec::new(),
            next_look: input.now + AT_REST,
            judgement: None,
            unmatched_abort: None,
            order_problems: Vec::new(),
            abort: None,
            spec_unread: None,
        }
    }

    /// Journals an entry and folds it.
    pub(crate) fn note(&mut self, entry: Entry) {
        self.state.apply(self.now, &entry);
        self.entries.push(entry);
    }

    /// The rollout in flight, cloned out so that the draft can be written while it is read.
    pub(crate) fn rollout(&self) -> Option<Rollout> {
        self.state.rollout.clone()
    }

    /// The marker for something that is made for `spec` under the next intent.
    pub(crate) fn marker(&self, spec: &Accepted) -> Marker {
        Marker {
            release: self.release.clone(),
            version: spec.version,
            hash: spec.digest.short().to_owned(),
            intent: format!("i{}", self.state.length),
        }
    }

    /// The marker for a deployment that goes in this direction.
    pub(crate) fn deployment_marker(&self, spec: &Accepted, direction: Direction) -> Marker {
        let marker = self.marker(spec);
        match direction {
            Direction::Forward => marker,
            Direction::Back => Marker { intent: format!("r{}", self.state.length), ..marker },
        }
    }

    /// Looks again in `seconds` at the latest.
    pub(crate) fn look_in(&mut self, seconds: i64) {
        self.next_look = self.next_look.min(self.now + SignedDuration::from_secs(seconds));
    }

    /// Proposes the pass's one step. False if there is one already, if an earlier call is still in doubt, or if the last
    /// refusal is too young; the reason is then among the waits.
    pub(crate) fn propose(&mut self, step: Step, direction: Direction) -> bool {
        if self.step.is_some() {
            self.look_in(1);
            return false;
        }
        if let Some((intent, since)) = self.state.open.first().cloned() {
            let same = intent.step.as_str() == step.as_str();
            if direction == Direction::Forward || same {
                let name = intent.step.as_str();
                self.wait(
                    Reason::InDoubt,
                    format!("whether {name} had its effect is not known yet"),
                    Class::NeedsTime,
                )
                .until(since + CALL_MAY_LAND, OnDeadline::Continue)
                .unblock("it is resolved by reading");
                self.look_in(5);
                return false;
            }
        }
        if let Some(until) = self.backing_off(direction) {
            self.tell_refusals().until(until, OnDeadline::Continue);
            let seconds = until.duration_since(self.now).as_secs();
            self.look_in(seconds.max(1));
            return false;
        }
        if self.state.refusals.as_ref().is_some_and(|refusals| refusals.count > OFTEN) {
            // That it is tried once more is no news.
            self.tell_refusals();
        }
        self.step = Some(step);
        self.next_look = self.now;
        true
    }

    fn tell_refusals(&mut self) -> WaitBuilder<'_> {
        let refusals = self.state.refusals.clone();
        let (count, code, what) = refusals.map_or((0, String::new(), ""), |r| (r.count, r.code, r.step));
        self.wait(Reason::Refused, format!("{what} was refused {count} times ({code})"), Class::NeedsFix)
            .unblock("remove what refuses it; it is tried again by itself")
    }

    fn backing_off(&self, direction: Direction) -> Option<Timestamp> {
        let refusals = self.state.refusals.as_ref()?;
        let (base, most, most_back) = BACKOFF;
        let most = match direction {
            Direction::Forward => most,
            Direction::Back if refusals.count > OFTEN => BACK_AT_LAST,
            Direction::Back => most_back,
        };
        let doubled = base.saturating_mul(1 << refusals.count.min(10));
        // Deterministic jitter of up to a quarter: many releases refused at once do not come back at once.
        let salt: i64 =
            self.release.as_str().bytes().map(i64::from).sum::<i64>() + i64::from(refusals.count) * 7;
        let wait = doubled.min(most);
        let until = refusals.last + SignedDuration::from_millis(wait * 1_000 - (salt % 25) * wait * 10);
        (until > self.now).then_some(until)
    }

    /// Notes a reason for waiting, complete but for what the returned builder adds.
    pub(crate) fn wait(&mut self, reason: Reason, message: String, class: Class) -> WaitBuilder<'_> {
        let since = self
            .previous
            .and_then(|status| status.waiting.iter().find(|w| w.reason == reason))
            .map_or(self.now, |same| same.since);
        self.waiting.push(Waiting {
            reason,
            message,
            blocked_by: None,
            since,
            measured: None,
            required: None,
            next_check_at: self.now,
            deadline: None,
            on_deadline: OnDeadline::Stall,
            unblock: String::new(),
            class,
        });
        let last = self.waiting.len() - 1;
        WaitBuilder(&mut self.waiting[last])
    }

    /// Notes that a machine is held.
    pub(crate) fn held(&mut self, held: Held, message: String) -> WaitBuilder<'_> {
        let class = match held {
            Held::Ordered => Class::Suspended,
            Held::AbortUnmatched
            | Held::SpecGone
            | Held::ForeignDeployment
            | Held::ListenerEdited
            | Held::LedgerBehind
            | Held::TrafficDisagrees
            | Held::SchemaDrifted
            | Held::TaskDisagrees
            | Held::MigrationChanged
            | Held::RestoreOnly
            | Held::NamesPurged
            | Held::RollbackFailed
            | Held::RevisionFailed
            | Held::LedgerDamaged => Class::NeedsHuman,
        };
        self.look_while_it_matters();
        self.wait(Reason::Held(held), message, class).unblock(held.next_step())
    }

    /// Looks again soon where something is in flight, or hidden and perhaps missed. At rest a change is open for days, and each look at
    /// it reads statistics and rows in the team's database; people are noticed as a new spec is.
    fn look_while_it_matters(&mut self) {
        let hidden = self.state.change.as_ref().is_some_and(|change| change.quarantine.is_some());
        if self.state.rollout.is_some() || hidden {
            self.look_in(15);
        }
    }

    /// Notes that a fact is unknown.
    pub(crate) fn unobserved(&mut self, what: &str, why: &str) {
        self.look_in(10);
        self.wait(Reason::Unobserved, format!("{what} is not known: {why}"), Class::NeedsTime)
            .unblock("it is read again; nothing that rests on it is done meanwhile");
    }

    /// Records gates and, for each closed one, a wait. True if all let pass.
    pub(crate) fn pass_gates(&mut self, readings: Vec<GateReading>) -> bool {
        let mut open = true;
        for reading in readings {
            open &= self.gate(reading);
        }
        open
    }

    /// Records one gate and, if it is closed, a wait. True if it lets pass.
    pub(crate) fn gate(&mut self, reading: GateReading) -> bool {
        let passes = reading.lets_pass();
        if let GateState::Closed(closed) = &reading.state {
            let closed = closed.clone();
            let builder = self.wait(Reason::Gate(reading.gate), closed.message, closed.class);
            builder.0.measured = closed.measured;
            builder.0.required = closed.required;
            builder.0.unblock = closed.unblock;
            self.look_while_it_matters();
        }
        self.gates.retain(|known| known.gate != reading.gate);
        self.gates.push(reading);
        passes
    }

    /// True if the gate was read in this pass and lets pass.
    pub(crate) fn is_open(&self, gate: Gate) -> bool {
        self.gates.iter().any(|reading| reading.gate == gate && reading.lets_pass())
    }
}

/// Completes a waiting record.
pub(crate) struct WaitBuilder<'w>(&'w mut Waiting);

impl WaitBuilder<'_> {
    pub(crate) fn until(self, deadline: Timestamp, then: OnDeadline) -> Self {
        self.0.deadline = Some(deadline);
        self.0.on_deadline = then;
        self
    }

    pub(crate) fn on(self, object: impl Into<String>) -> Self {
        self.0.blocked_by = Some(object.into());
        self
    }

    pub(crate) fn since(self, since: Timestamp) -> Self {
        self.0.since = since;
        self
    }

    pub(crate) fn measured(self, measured: impl Into<String>, required: impl Into<String>) -> Self {
        self.0.measured = Some(measured.into());
        self.0.required = Some(required.into());
        self
    }

    pub(crate) fn unblock(self, how: impl Into<String>) -> Self {
        self.0.unblock = how.into();
        self
    }
}

/// `12m 30s ago`-style age of an instant.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    human(now.duration_since(since))
}
