//! What a release's ledger entries fold to. Pure: replaying the same entries gives the same state.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Accepted, Cause, ChangeState, Entry, Event, Intent, Refused, Resolution, RolloutEnd, RolloutKind,
    RolloutPhase, RolloutStart,
};
use crate::{
    Digest, ParameterVersion,
    calibration::Calibrated,
    decision::{Outcome, Step},
    revision::RevisionArn,
    verdict::Baseline,
};

/// How many events a release keeps in its folded state.
pub const EVENTS_KEPT: usize = 50;

/// How many registered revisions a release remembers: far more than can serve at once.
const REGISTERED_KEPT: usize = 20;

/// How many of its deployments a release remembers: what CodeDeploy lists newest is asked for.
const DEPLOYMENTS_KEPT: usize = 20;

/// The folded state of one release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReleaseState {
    /// Entries folded so far: 0 means that the ledger knows nothing of this release.
    pub length: u64,
    /// The spec in force.
    pub accepted: Option<Accepted>,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// A newer spec that was refused.
    pub refused: Option<Refused>,
    /// What the service does by itself, by its own history, and when that was last looked at.
    pub calibrated: Option<(Calibrated, Timestamp)>,
    /// The rollout in flight.
    pub rollout: Option<Rollout>,
    /// How the last rollout ended.
    pub last: Option<LastRollout>,
    /// The newest revisions that were registered for this release, with the digest that each was registered with. A revision
    /// never changes (ECS), so what a later reading of it shows cannot make it another one.
    pub registered: Vec<(RevisionArn, Digest)>,
    /// The newest deployments that this ledger made or took over, oldest first. One of ours that is not among them was made
    /// under a ledger that knew more.
    pub deployments: Vec<String>,
    /// Since when the spec of a release at rest is absent.
    pub spec_absent: Option<Timestamp>,
    /// The revision before the serving one, with its digest.
    pub previous: Option<(RevisionArn, Digest)>,
    /// When the rollout that replaced it started.
    pub previous_until: Option<Timestamp>,
    /// Revisions that failed, with the incarnation and version of the spec that asked for them.
    pub failed: Vec<FailedRevision>,
    /// The open change, or the last one once purged.
    pub change: Option<ChangeState>,
    /// Intents without a resolution: at most one in normal running.
    pub open: Vec<(Intent, Timestamp)>,
    /// The last refusals in a row: how many, since when, the last instant, the code.
    pub refusals: Option<Refusals>,
    /// The hold in force.
    pub hold: Option<Hold>,
    /// Orders told as not counting: name to (version, modified).
    pub ignored: BTreeMap<String, (ParameterVersion, Timestamp)>,
    /// How far clocks of daemons were set forward altogether.
    pub set_forward: SignedDuration,
    /// The newest events, oldest first.
    pub events: Vec<Event>,
}

/// A hold in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Complete reads in a row that showed it absent; the second one ends it.
    pub absent_reads: u32,
}

/// Refusals in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// How many.
    pub count: u32,
    /// How many of them refused to give a hidden form back.
    pub of_unhide: u32,
    /// The first.
    pub since: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// Its code.
    pub code: String,
    /// What was refused.
    pub step: &'static str,
}

/// A revision that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedRevision {
    /// Its content.
    pub desired: Digest,
    /// The spec version under which it failed.
    pub version: ParameterVersion,
    /// When that version was written.
    pub modified: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// How the last rollout ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRollout {
    /// The spec version that it carried out.
    pub version: ParameterVersion,
    /// How.
    pub end: RolloutEnd,
    /// When.
    pub at: Timestamp,
    /// When it began.
    pub started: Timestamp,
}

/// The folded state of the rollout in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// What it started from.
    pub start: RolloutStart,
    /// When.
    pub started: Timestamp,
    /// Its phase.
    pub phase: RolloutPhase,
    /// Since when.
    pub since: Timestamp,
    /// The exact revision of green.
    pub green: Option<RevisionArn>,
    /// The deployment that carries it.
    pub deployment: Option<String>,
    /// When that deployment became known.
    pub deployment_since: Option<Timestamp>,
    /// The deployment that rolls back.
    pub rollback_deployment: Option<String>,
    /// Blue's history.
    pub baseline: Option<Baseline>,
    /// When the first production weight was seen.
    pub traffic_since: Option<Timestamp>,
    /// When the test listener's probes passed.
    pub verified: Option<Timestamp>,
    /// When the production probes passed after the shift.
    pub verified_production: Option<Timestamp>,
    /// What the failing probe found.
    pub probe_failure: Option<String>,
    /// Confirming reads made.
    pub confirmations: u32,
    /// When the last one was made.
    pub confirmed_at: Option<Timestamp>,
    /// The bake clock.
    pub bake: BakeClock,
    /// Since when the listener is edited by hand.
    pub frozen: Option<Timestamp>,
    /// When a stop was last accepted.
    pub stop_sent: Option<Timestamp>,
    /// When production traffic was last let go.
    pub continue_sent: Option<Timestamp>,
    /// How often it was, for this deployment.
    pub continue_count: u32,
    /// When the deletion of blue was last let go.
    pub retire_sent: Option<Timestamp>,
    /// The last redeployment that ended without success.
    pub redeployment_failed: Option<FailedRedeployment>,
}

/// The last of a rollout's redeployments that ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRedeployment {
    /// How many did.
    pub count: u32,
    /// The last one.
    pub deployment: String,
    /// Why it ended: `errorInformation.code`, or the status.
    pub code: String,
}

/// How much bake time is served. Restarts with a lost ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BakeClock {
    /// Served in closed stretches.
    pub served: SignedDuration,
    /// Start of the running stretch.
    pub running_since: Option<Timestamp>,
}

impl BakeClock {
    /// Bake time served until `now`.
    pub fn served_at(&self, now: Timestamp) -> SignedDuration {
        let running = self
            .running_since
            .map_or(SignedDuration::ZERO, |since| now.duration_since(since).max(SignedDuration::ZERO));
        self.served.checked_add(running).unwrap_or(self.served)
    }
}

/// Moves beginnings of windows; one that cannot be later stays.
pub(super) fn moved<'a>(by: SignedDuration, beginnings: impl IntoIterator<Item = &'a mut Timestamp>) {
    for beginning in beginnings {
        *beginning = beginning.saturating_add(by).unwrap_or(*beginning);
    }
}

impl ReleaseState {
    /// Folds one entry that was appended at `at`.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry) {
        self.length += 1;
        self.tell(at, entry);
        match entry {
            Entry::Accepted(accepted) => self.accept(at, accepted),
            Entry::Refused(refused) => self.refused = Some(refused.clone()),
            Entry::SpecAbsent { absent } => self.spec_absent = absent.then_some(at),
            Entry::Unmanaged => {
                // What was deployed for the old incarnation says nothing of the next one.
                let deployments = std::mem::take(&mut self.deployments);
                let (length, events) = (self.length, std::mem::take(&mut self.events));
                let set_forward = self.set_forward;
                *self = Self { length, events, deployments, set_forward, ..Self::default() };
            }
            Entry::OrderIgnored { order, version, modified, why: _ } => {
                self.ignored.insert(order.clone(), (*version, *modified));
            }
            Entry::ClockSetForward { by } => self.move_windows(*by),
            Entry::Hold { present } => self.hold(at, *present),
            Entry::Calibrated(calibrated) => self.calibrated = Some((Calibrated::clone(calibrated), at)),
            Entry::RolloutStarted(start) => self.rollout = Some(Rollout::new(start, at)),
            Entry::RolloutEnded(end) => self.end_rollout(at, end),
            // For people and replays: nothing is decided by it.
            Entry::Judged(_) => {}
            Entry::ChangeOpened(opened) => self.change = Some(ChangeState::new(opened, at)),
            Entry::EvidenceMarked(_)
            | Entry::RowsChecked(_)
            | Entry::FloorKnown(_)
            | Entry::ReaderSeen(_)
            | Entry::LogWatched(_)
            | Entry::QuarantineBegan
            | Entry::QuarantineBroken(_)
            | Entry::QuarantineEnded
            | Entry::TaskEnded(_)
            | Entry::SnapshotNamed(_)
            | Entry::ChangePurged => {
                if let Some(change) = &mut self.change {
                    change.apply(at, entry);
                }
            }
            Entry::Intended(intent) => self.open.push((Intent::clone(intent), at)),
            Entry::DeploymentKnown(id) => {
                self.remember_deployment(id);
                if let Some(rollout) = &mut self.rollout {
                    rollout.apply(at, entry);
                }
            }
            Entry::Resolved { intent, resolution } => self.resolve(at, *intent, resolution),
            Entry::Advanced(_)
            | Entry::GreenKnown(_)
            | Entry::DeploymentForgotten
            | Entry::RedeploymentFailed { .. }
            | Entry::RollbackDeploymentKnown(_)
            | Entry::BaselineTaken(_)
            | Entry::TrafficSeen
            | Entry::Confirmed
            | Entry::BakeClock { .. }
            | Entry::Frozen(_)
            | Entry::RollbackDecided(_) => {
                if let Some(rollout) = &mut self.rollout {
                    rollout.apply(at, entry);
                }
            }
        }
    }

    /// Moves the beginning of every window that runs, so that what was served of it stays what it was. What is compared with
    /// times of AWS or of the server stays.
    fn move_windows(&mut self, by: SignedDuration) {
        let Self { set_forward, spec_absent, rollout, change, open, refusals, .. } = self;
        *set_forward = set_forward.saturating_add(by);
        moved(by, spec_absent.iter_mut());
        moved(by, open.iter_mut().map(|(_, since)| since));
        moved(by, refusals.iter_mut().flat_map(|refusals| [&mut refusals.since, &mut refusals.last]));
        if let Some(rollout) = rollout {
            let Rollout { bake, confirmed_at, stop_sent, continue_sent, retire_sent, .. } = rollout;
            let sent = [stop_sent, continue_sent, retire_sent];
            moved(by, [&mut bake.running_since, confirmed_at].into_iter().chain(sent).flatten());
        }
        if let Some(change) = change {
            change.move_windows(by);
        }
    }

    fn accept(&mut self, at: Timestamp, accepted: &Accepted) {
        // A newer spec of the same change may set another mode and other times; its text stays as it was opened.
        if let (Some(change), Some(schema)) = (&mut self.change, &accepted.spec.schema)
            && change.is_open()
            && change.opened.schema.change == schema.change
        {
            change.opened.schema.contract = schema.contract;
            change.opened.schema.contract_after = schema.contract_after;
            change.opened.schema.quarantine = schema.quarantine;
        }
        // New bake, checks or contract mode of the same rollout take effect at the next pass.
        if let Some(rollout) = &mut self.rollout
            && rollout.start.kind == RolloutKind::Forward
            && rollout.start.spec.same_rollout(accepted)
        {
            if rollout.start.spec.spec.verify != accepted.spec.verify {
                // What the other probes have shown proves nothing of these.
                rollout.verified = None;
                rollout.verified_production = None;
            }
            rollout.start.spec = accepted.clone();
        }
        self.accepted = Some(accepted.clone());
        self.accepted_at = Some(at);
        self.refused = None;
    }

    fn hold(&mut self, at: Timestamp, present: bool) {
        let before = self.hold.unwrap_or(Hold { since: at, absent_reads: 0 });
        self.hold = match (present, before.absent_reads + 1) {
            (true, _) => Some(Hold { absent_reads: 0, ..before }),
            (false, 1) => Some(Hold { absent_reads: 1, ..before }),
            (false, _) => None,
        };
    }

    fn end_rollout(&mut self, at: Timestamp, end: &RolloutEnd) {
        let Some(rollout) = self.rollout.take() else { return };
        let spec = &rollout.start.spec;
        match (end, &rollout.start.kind) {
            (RolloutEnd::Settled, RolloutKind::Forward) => {
                // What asked for what served already has nothing of its own to go back to.
                if rollout.start.blue_digest != spec.desired {
                    let blue = rollout.start.blue.clone();
                    self.previous_until = Some(rollout.started);
                    self.previous = Some((blue, rollout.start.blue_digest.clone()));
                }
                self.failed.retain(|f| f.desired != spec.desired);
            }
            (RolloutEnd::RolledBack(cause), _) if *cause != Cause::Superseded => {
                self.failed.push(FailedRevision {
                    desired: spec.desired.clone(),
                    version: spec.version,
                    modified: spec.modified,
                    cause: cause.clone(),
                });
            }
            (RolloutEnd::Settled | RolloutEnd::RolledBack(_), _) => {}
        }
        self.last =
            Some(LastRollout { version: spec.version, end: end.clone(), at, started: rollout.started });
    }

    fn resolve(&mut self, at: Timestamp, id: u64, resolution: &Resolution) {
        let Some(position) = self.open.iter().position(|(intent, _)| intent.id == id) else { return };
        let (intent, _) = self.open.remove(position);
        match resolution {
            Resolution::Done(outcome) => {
                self.refusals = None;
                if let (Step::RegisterTaskDefinition(register), Outcome::Registered(arn)) =
                    (&intent.step, outcome)
                {
                    self.registered.push((arn.clone(), register.digest.clone()));
                    let too_many = self.registered.len().saturating_sub(REGISTERED_KEPT);
                    self.registered.drain(..too_many);
                }
                if let Outcome::DeploymentCreated(id) = outcome {
                    self.remember_deployment(id);
                }
                if let Some(rollout) = &mut self.rollout {
                    rollout.learn(at, &intent.step, outcome);
                }
                if let Some(change) = &mut self.change {
                    change.learn(at, &intent.step, outcome);
                }
            }
            Resolution::Refused { code } => {
                let (step, code) = (intent.step.as_str(), code.clone());
                let before = self.refusals.as_ref();
                let (count, since) = before.map_or((1, at), |r| (r.count + 1, r.since));
                let of_unhide = before.map_or(0, |r| r.of_unhide);
                let of_unhide = of_unhide + u32::from(matches!(intent.step, Step::Unhide(_)));
                self.refusals = Some(Refusals { count, of_unhide, since, last: at, code, step });
            }
            Resolution::NotApplied => {}
        }
    }

    fn remember_deployment(&mut self, id: &str) {
        if self.deployments.iter().any(|known| known == id) {
            return;
        }
        self.deployments.push(id.to_owned());
        let too_many = self.deployments.len().saturating_sub(DEPLOYMENTS_KEPT);
        self.deployments.drain(..too_many);
    }

    /// The digest under which a revision was registered, if this ledger saw that.
    pub fn registered_as(&self, revision: &RevisionArn) -> Option<&Digest> {
        self.registered.iter().rev().find(|(arn, _)| arn == revision).map(|(_, digest)| digest)
    }

    /// Keeps the event that an entry is, if it is one that people want to read.
    fn tell(&mut self, at: Timestamp, entry: &Entry) {
        let Some((kind, reason, message)) = super::telling::telling(entry) else { return };
        match self.events.iter_mut().rev().find(|event| event.reason == reason) {
            Some(same) if same.message == message => {
                same.at = at;
                same.count += 1;
            }
            Some(_) | None => {
                self.events.push(Event { at, kind, reason: reason.to_owned(), message, count: 1 });
            }
        }
        let surplus = self.events.len().saturating_sub(EVENTS_KEPT);
        self.events.drain(..surplus);
    }
}

impl Rollout {
    fn new(start: &RolloutStart, at: Timestamp) -> Self {
        let phase = start.first_phase();
        let green = match &start.kind {
            RolloutKind::Forward => None,
            RolloutKind::Redeploy { to, .. } => Some(to.clone()),
        };
        Self {
            start: start.clone(),
            started: at,
            phase,
            since: at,
            green,
            deployment: None,
            deployment_since: None,
            rollback_deployment: None,
            baseline: None,
            traffic_since: None,
            verified: None,
            verified_production: None,
            probe_failure: None,
            confirmations: 0,
            confirmed_at: None,
            bake: BakeClock::default(),
            frozen: None,
            stop_sent: None,
            continue_sent: None,
            continue_count: 0,
            retire_sent: None,
            redeployment_failed: None,
        }
    }

    fn enter(&mut self, at: Timestamp, phase: RolloutPhase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = at;
            self.confirmations = 0;
        }
    }

    /// Another deployment is made for what this one was for.
    fn forget_deployment(&mut self, at: Timestamp) {
        self.deployment = None;
        self.deployment_since = None;
        // Nothing went to it, and the next one may be days away: blue's history is frozen anew for it.
        self.traffic_since = None;
        self.baseline = None;
        self.verified = None;
        self.continue_sent = None;
        self.continue_count = 0;
        self.retire_sent = None;
        self.enter(at, self.start.first_phase());
        self.since = at;
    }

    fn apply(&mut self, at: Timestamp, entry: &Entry) {
        match entry {
            Entry::Advanced(phase) => self.enter(at, phase.clone()),
            Entry::GreenKnown(arn) => self.green = Some(arn.clone()),
            Entry::DeploymentKnown(id) => self.know_deployment(at, id),
            Entry::DeploymentForgotten => self.forget_deployment(at),
            Entry::RedeploymentFailed { deployment, code } => {
                let count = self.redeployment_failed.as_ref().map_or(0, |failed| failed.count) + 1;
                let (deployment, code) = (deployment.clone(), code.clone());
                self.redeployment_failed = Some(FailedRedeployment { count, deployment, code });
                self.forget_deployment(at);
            }
            Entry::RollbackDeploymentKnown(id) => self.rollback_deployment = Some(id.clone()),
            Entry::BaselineTaken(baseline) => self.baseline = Some(Baseline::clone(baseline)),
            Entry::TrafficSeen => self.traffic_since = self.traffic_since.or(Some(at)),
            Entry::Confirmed => {
                self.confirmations += 1;
                self.confirmed_at = Some(at);
            }
            Entry::BakeClock { running } => {
                self.bake =
                    BakeClock { served: self.bake.served_at(at), running_since: running.then_some(at) };
            }
            Entry::Frozen(frozen) => self.frozen = frozen.then_some(at),
            Entry::RollbackDecided(cause) => {
                self.bake = BakeClock { served: self.bake.served_at(at), running_since: None };
                self.enter(at, RolloutPhase::RollingBack(cause.clone()));
            }
            Entry::Accepted(_)
            | Entry::Refused(_)
            | Entry::SpecAbsent { .. }
            | Entry::Unmanaged
            | Entry::OrderIgnored { .. }
            | Entry::ClockSetForward { .. }
            | Entry::Hold { .. }
            | Entry::Calibrated(_)
            | Entry::RolloutStarted(_)
            | Entry::Judged(_)
            | Entry::RolloutEnded(_)
            | Entry::ChangeOpened(_)
            | Entry::EvidenceMarked(_)
            | Entry::RowsChecked(_)
            | Entry::FloorKnown(_)
            | Entry::ReaderSeen(_)
            | Entry::LogWatched(_)
            | Entry::QuarantineBegan
            | Entry::QuarantineBroken(_)
            | Entry::QuarantineEnded
            | Entry::TaskEnded(_)
            | Entry::SnapshotNamed(_)
            | Entry::ChangePurged
            | Entry::Intended(_)
            | Entry::Resolved { .. } => {}
        }
    }

    fn know_deployment(&mut self, at: Timestamp, id: &str) {
        if self.deployment.as_deref() != Some(id) {
            self.deployment = Some(id.to_owned());
            self.deployment_since = Some(at);
        }
    }

    fn learn(&mut self, at: Timestamp, step: &Step, outcome: &Outcome) {
        match step {
            Step::StopDeployment { .. } => self.stop_sent = Some(at),
            // What is learnt late may be of the deployment before this one.
            Step::ContinueTraffic { deployment } => {
                if self.deployment.as_ref() == Some(deployment) {
                    self.continue_sent = Some(at);
                    self.continue_count = self.continue_count.saturating_add(1);
                }
            }
            Step::ContinueTermination { deployment } => {
                if self.deployment.as_ref() == Some(deployment) {
                    self.retire_sent = Some(at);
                }
            }
            Step::RegisterTaskDefinition(_)
            | Step::CreateDeploymentConfig { .. }
            | Step::CreateDeployment(_)
            | Step::Verify(_)
            | Step::RunTask(_)
            | Step::Expand(_)
            | Step::Backfill(_)
            | Step::Hide(_)
            | Step::Unhide(_)
            | Step::CreateSnapshot { .. }
            | Step::Purge(_) => {}
        }
        match outcome {
            Outcome::Registered(arn) => self.green = Some(arn.clone()),
            Outcome::DeploymentCreated(id) => self.know_deployment(at, id),
            Outcome::Probed { production, failure: None } if *production => {
                self.verified_production = Some(at);
            }
            Outcome::Probed { failure: None, .. } => self.verified = Some(at),
            Outcome::Probed { failure: Some(what), .. } => self.probe_failure = Some(what.clone()),
            Outcome::Accepted
            | Outcome::TaskStarted(_)
            | Outcome::Expanded
            | Outcome::Backfilled { .. }
            | Outcome::Hidden
            | Outcome::Unhidden
            | Outcome::Purged => {}
        }
    }
}
