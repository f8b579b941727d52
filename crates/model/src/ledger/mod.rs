//! The ledger's records and the state they fold to.
//!
//! The ledger holds only what has no other witness: accepted text, intents, outcomes, verdicts that decided something,
//! time served. [`Entry`] values are appended by the controller (durably, with a hash chain, in `tidegate-ledger`);
//! [`ReleaseState::apply`] folds them. Pure: replaying the same entries gives the same state.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Digest, ParameterVersion,
    calibration::Calibrated,
    decision::{Outcome, Step},
    observation::{Alarm, ColorHealth, Minute, TargetGroup},
    revision::RevisionArn,
    runner::TaskEnd,
    schema::{ChangePlan, CheckReading, EvidenceRead, Namer},
    spec::{Checks, Problem, SchemaSpec, Spec},
    verdict::{Baseline, Finding},
};

mod change;
mod state;
mod telling;

pub use change::{ChangeState, Quarantine, Recurrence};
pub use state::{
    BakeClock, EVENTS_KEPT, FailedRedeployment, FailedRevision, Hold, LastRollout, Refusals, ReleaseState,
    Rollout,
};

/// One durable record about one release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// A spec was accepted; from now on it is in force.
    Accepted(Box<Accepted>),
    /// A newer spec was refused; the accepted one stays in force.
    Refused(Refused),
    /// The spec parameter was read as absent while nothing is in flight, or, once it had been, as there again.
    SpecAbsent {
        /// True if it is not there.
        absent: bool,
    },
    /// The spec parameter stayed absent while nothing is in flight: the release is no longer managed.
    Unmanaged,
    /// An order was seen that does not count, so that it is told once.
    OrderIgnored {
        /// Which order: its parameter's name under the release.
        order: String,
        /// The order parameter's version.
        version: ParameterVersion,
        /// Its modification time: with the version it names one writing of it.
        modified: Timestamp,
        /// Why it does not count.
        why: String,
    },
    /// The clock of the daemon was set forward by this much since its last entry, so windows that run seem to be over sooner by
    /// as much. A machine that was suspended looks the same.
    ClockSetForward {
        /// By how much; never negative.
        by: SignedDuration,
    },
    /// A hold order was read as present, or, once it had been, as absent. It ends with two absent reads.
    Hold {
        /// True if any hold order is there.
        present: bool,
    },
    /// The service was calibrated on its own history.
    Calibrated(Box<Calibrated>),
    /// A rollout begins.
    RolloutStarted(Box<RolloutStart>),
    /// The rollout reached a phase.
    Advanced(RolloutPhase),
    /// The exact revision that green runs is known.
    GreenKnown(RevisionArn),
    /// The deployment that carries the rollout is known (created, or adopted by its marker).
    DeploymentKnown(String),
    /// The deployment ended without the revision having failed (Ready wait over while a gate was closed).
    DeploymentForgotten,
    /// A redeployment ended without success; it is made again.
    RedeploymentFailed {
        /// The deployment.
        deployment: String,
        /// `errorInformation.code`, or the status.
        code: String,
    },
    /// The deployment that rolls back is known.
    RollbackDeploymentKnown(String),
    /// Blue's history before the first production weight.
    BaselineTaken(Box<Baseline>),
    /// The first production weight was seen.
    TrafficSeen,
    /// One of the two confirming reads of weights and counts was made.
    Confirmed,
    /// The bake clock runs or stands from now on.
    BakeClock {
        /// True if it runs.
        running: bool,
    },
    /// The listener has weights that nobody of this release gave it (true), or is right again (false).
    Frozen(bool),
    /// The release goes back: sticky, no later forward step for this rollout.
    RollbackDecided(Cause),
    /// What green was judged by, when it took over everything or went back: for explanation and replay.
    Judged(Box<Judged>),
    /// The rollout ended.
    RolloutEnded(RolloutEnd),
    /// A change was opened for this release.
    ChangeOpened(Box<OpenedChange>),
    /// A complete read of the statement statistics, kept as the mark to compare with.
    EvidenceMarked(EvidenceMark),
    /// Every row was checked, and the counts are others than last time.
    RowsChecked(CheckReading),
    /// The database knows revisions that were cut off by a purge, and the ledger did not: it was lost.
    FloorKnown(Vec<Digest>),
    /// A statement that names the old form was called again.
    ReaderSeen(ReaderSeen),
    /// The server's log is watched for whoever misses the old form. Up to this instant of the server's clock it was read;
    /// `None` where watching begins.
    LogWatched(Option<Timestamp>),
    /// The old form is seen hidden: its time in quarantine counts from now, anew if a part of the log was lost.
    QuarantineBegan,
    /// The old form must be given back, and why.
    QuarantineBroken(Broken),
    /// Nothing is hidden, and the log is watched no more.
    QuarantineEnded,
    /// The last run of the team's own tool ended.
    TaskEnded(TaskEnd),
    /// The id of the snapshot before purge, computed once.
    SnapshotNamed(String),
    /// The change is complete: the old form is gone.
    ChangePurged,
    /// A step is about to be sent.
    Intended(Box<Intent>),
    /// What became of an intent.
    Resolved {
        /// The intent's id.
        intent: u64,
        /// What became of it.
        resolution: Resolution,
    },
}

/// Everything that a verdict rested on: judging it again gives it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The spec version that asked for green.
    pub version: ParameterVersion,
    /// Blue's target group.
    pub blue: TargetGroup,
    /// Green's target group.
    pub green: TargetGroup,
    /// The checks in force.
    pub checks: Checks,
    /// Blue's history.
    pub baseline: Option<Baseline>,
    /// When green got its first production weight.
    pub traffic_since: Timestamp,
    /// Green's production weight at the end, 0 to 1.
    pub weight: f64,
    /// The closed minutes, oldest first.
    pub minutes: Vec<Minute>,
    /// Minutes from green's first weight until it has all of it, by the spec.
    #[serde(default)]
    pub ramp_minutes: u32,
    /// Target health as it was read at the end, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ColorHealth>,
    /// The alarms as they were read at the end, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<Vec<Alarm>>,
}

/// An accepted spec with everything that is pinned at acceptance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The parameter's version.
    pub version: ParameterVersion,
    /// When that version was written: with the version it names one incarnation of the parameter.
    pub modified: Timestamp,
    /// Digest of the text.
    pub digest: Digest,
    /// The text itself.
    pub text: String,
    /// What it says.
    pub spec: Spec,
    /// The revision that an image is laid over, or the exact revision named.
    pub base: RevisionArn,
    /// The content to run.
    pub content: Value,
    /// Its digest.
    pub desired: Digest,
    /// The change's plan, read and checksummed, if the spec has a schema section.
    pub plan: Option<ChangePlan>,
}

impl Accepted {
    /// True if `other` asks for the same revision and the same way of traffic, so that it need not supersede.
    pub fn same_rollout(&self, other: &Self) -> bool {
        self.desired == other.desired
            && self.spec.traffic == other.spec.traffic
            && self.spec.service == other.spec.service
    }
}

/// A spec that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The parameter's version.
    pub version: ParameterVersion,
    /// When that version was written.
    pub modified: Timestamp,
    /// Everything wrong with it.
    pub problems: Vec<Problem>,
}

impl Refused {
    /// That it was refused, in a few words.
    pub fn describe(&self) -> String {
        let problems = if self.problems.len() == 1 { "problem" } else { "problems" };
        format!("spec version {} has {} {problems}", self.version, self.problems.len())
    }
}

/// What a rollout starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStart {
    /// What it carries out.
    pub spec: Accepted,
    /// Forward, or back to an exact revision.
    pub kind: RolloutKind,
    /// The revision that serves.
    pub blue: RevisionArn,
    /// The digest of its content.
    pub blue_digest: Digest,
    /// The target group that serves.
    pub blue_group: TargetGroup,
    /// The target group that green gets.
    pub green_group: TargetGroup,
    /// True if it was found in flight by its marker after the ledger was lost.
    pub adopted: bool,
}

impl RolloutStart {
    /// Where it begins, and begins again when its deployment is made anew.
    pub(crate) fn first_phase(&self) -> RolloutPhase {
        match &self.kind {
            RolloutKind::Forward => RolloutPhase::Preflight,
            RolloutKind::Redeploy { cause, .. } => RolloutPhase::RollingBack(cause.clone()),
        }
    }
}

/// Forward, or back to an exact revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutKind {
    /// To the revision that the spec asks for.
    Forward,
    /// Back to a revision whose tasks are gone: a new deployment of it, all at once.
    Redeploy {
        /// The exact revision.
        to: RevisionArn,
        /// Why.
        cause: Cause,
    },
}

/// Phases of a rollout in flight. Settled and rolled back are ends, not phases: see [`RolloutEnd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutPhase {
    /// Gates before anything is made.
    Preflight,
    /// Green's tasks are starting.
    Provisioning,
    /// Green is asked through the test listener.
    Verifying,
    /// Production traffic moves.
    Shifting,
    /// All traffic is on green and two reads confirm it.
    Confirming,
    /// Green serves all, blue is warm.
    Baking,
    /// Blue is being removed.
    Retiring,
    /// Traffic goes back.
    RollingBack(Cause),
}

impl RolloutPhase {
    /// The phase's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Provisioning => "provisioning",
            Self::Verifying => "verifying",
            Self::Shifting => "shifting",
            Self::Confirming => "confirming",
            Self::Baking => "baking",
            Self::Retiring => "retiring",
            Self::RollingBack(_) => "rolling-back",
        }
    }
}

/// Why a release went back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Green was judged worse than blue.
    Verdict(Finding),
    /// Green should have had traffic and reported none.
    NoData {
        /// For so many closed minutes.
        minutes: u32,
    },
    /// A probe was not answered as expected.
    ProbeFailed {
        /// What the first failing probe found, in our own words.
        what: String,
    },
    /// An abort order.
    Ordered,
    /// A newer spec asks for something else and no production traffic had moved, or somebody has deployed something else since.
    Superseded,
    /// CodeDeploy ended the deployment by itself.
    DeploymentEnded {
        /// `errorInformation.code`, or the status.
        code: String,
    },
    /// Weight stood on blue by hand until AWS would have deleted the serving tasks.
    FreezeOver,
    /// The bake could not be served before AWS would have deleted blue.
    BakeUnserved,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verdict(finding) => finding.fmt(f),
            Self::NoData { minutes } => {
                write!(f, "green reported no request for {minutes} minutes in which traffic was due")
            }
            Self::ProbeFailed { what } => write!(f, "verification failed: {what}"),
            Self::Ordered => f.write_str("an abort was ordered"),
            Self::Superseded => f.write_str("something newer is asked for, or was deployed since"),
            Self::DeploymentEnded { code } => write!(f, "CodeDeploy ended the deployment ({code})"),
            Self::FreezeOver => f.write_str(
                "the listener stayed edited by hand until AWS would have deleted the serving tasks",
            ),
            Self::BakeUnserved => {
                f.write_str("the bake was not served 30 minutes before AWS would have deleted blue")
            }
        }
    }
}

impl Cause {
    /// The cause as one stable word, for metrics and conditions.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Verdict(_) => "verdict",
            Self::NoData { .. } => "no-data",
            Self::ProbeFailed { .. } => "probe-failed",
            Self::Ordered => "ordered",
            Self::Superseded => "superseded",
            Self::DeploymentEnded { .. } => "deployment-ended",
            Self::FreezeOver => "freeze-over",
            Self::BakeUnserved => "bake-unserved",
        }
    }
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutEnd {
    /// Green serves and blue is gone.
    Settled,
    /// Blue serves; the revision has failed under its spec version, unless it was only superseded.
    RolledBack(Cause),
}

/// A change that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenedChange {
    /// The spec version that opened it.
    pub spec: ParameterVersion,
    /// Database, mode and times as that spec gave them; a later spec that names the same change replaces mode and times.
    pub schema: SchemaSpec,
    /// Its files.
    pub plan: ChangePlan,
}

/// The calls of every naming statement at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceMark {
    /// Reset instant of the statistics.
    pub stats_reset: Timestamp,
    /// Deallocations of the statistics.
    pub dealloc: i64,
    /// Calls by statement key.
    pub calls: BTreeMap<String, i64>,
}

impl EvidenceMark {
    /// What a read says.
    pub fn of(read: &EvidenceRead) -> Self {
        let calls = read.namers.iter().map(|(key, namer)| (key.clone(), namer.calls)).collect();
        Self { stats_reset: read.stats_reset, dealloc: read.dealloc, calls }
    }

    /// True if nothing that was counted has been forgotten since: whoever called meanwhile is in the newer one. Source:
    /// `pg_stat_statements_reset` of one role, database or statement leaves `stats_reset` as it is.
    pub fn is_continued_by(&self, newer: &Self) -> bool {
        let kept = |(key, calls): (&String, &i64)| newer.calls.get(key).is_some_and(|now| now >= calls);
        self.stats_reset == newer.stats_reset && self.dealloc == newer.dealloc && self.calls.iter().all(kept)
    }

    /// Naming statements that were called since: one that named the old form once and rests is quiet.
    pub fn grown<'r>(&self, read: &'r EvidenceRead) -> impl Iterator<Item = &'r Namer> {
        let grew = |key: &String, namer: &Namer| namer.calls > self.calls.get(key).copied().unwrap_or(0);
        read.namers.iter().filter(move |(key, namer)| grew(key, namer)).map(|(_, namer)| namer)
    }
}

/// A naming statement grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderSeen {
    /// The statement, escaped and cut.
    pub text: String,
    /// How it names the old form.
    pub how: String,
    /// Digests of the revisions that served or were warm at that time: any of them may be the reader.
    pub revisions: Vec<Digest>,
}

/// Why a hidden form must be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Broken {
    /// The server refused a statement because of it.
    Missed(ReaderSeen),
    /// It is wanted back: why, in our own words.
    Wanted(String),
}

/// A step that is about to be sent, or was sent and is not resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Unique within the ledger: the sequence number of its entry.
    pub id: u64,
    /// The step.
    pub step: Step,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resolution {
    /// It had its effect.
    Done(Outcome),
    /// It was refused, by a stable code of AWS or the database.
    Refused {
        /// The code.
        code: String,
    },
    /// Reading showed that it had no effect.
    NotApplied,
}

/// An event, as status, page and API show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `Normal` or `Warning`.
    pub kind: EventKind,
    /// One stable CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// How often it happened in a row; `at` is the last time.
    pub count: u32,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Kubernetes' two event types")]
pub enum EventKind {
    Normal,
    Warning,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_kept_of_a_verdict_is_still_read() {
        let kept = r#"{ "version": 3, "blue": "b", "green": "g", "trafficSince": "2026-03-01T12:00:00Z", "weight": 0.1,
            "checks": { "errors": "on", "latency": "on", "targets": "off", "databaseConnections": "dryRun", "metrics": {
                "queue": { "namespace": "Shop", "metric": "Depth", "judge": { "above": 500.0 }, "failing": 3, "of": 5 } } },
            "baseline": { "from": "2026-03-01T11:00:00Z", "minutes": 60, "requests": 6e4, "failures": 6.0, "latency": 0.05,
                "connections": 10.0 },
            "minutes": [ { "at": "2026-03-01T12:00:00Z", "connections": 12.0, "metrics": {}, "groups": { "g": {
                "requests": 100.0, "failures": 1.0, "latency": 0.05, "unhealthy": 0.0, "quantiles": [null, null],
                "slow": [null, null] } } } ] }"#;
        let judged: Judged = serde_json::from_str(kept).unwrap();
        assert_eq!((judged.ramp_minutes, judged.health, &judged.alarms), (0, None, &None));
        let again: Judged = serde_json::from_str(&serde_json::to_string(&judged).unwrap()).unwrap();
        assert_eq!(again, judged);
    }

    fn evidence(calls: &[(&str, i64)]) -> EvidenceRead {
        let namer =
            |calls| Namer { calls, text: String::new(), role: String::new(), how: "names the column".into() };
        EvidenceRead {
            stats_reset: Timestamp::UNIX_EPOCH,
            dealloc: 0,
            namers: calls.iter().map(|(key, calls)| ((*key).to_owned(), namer(*calls))).collect(),
        }
    }

    #[test]
    fn only_growth_of_calls_counts() {
        let mark = EvidenceMark::of(&evidence(&[("a", 5)]));
        assert_eq!(mark.grown(&evidence(&[("a", 5)])).count(), 0);
        let grown = evidence(&[("a", 6), ("b", 1)]);
        assert_eq!(mark.grown(&grown).map(|namer| namer.calls).collect::<Vec<_>>(), [6, 1]);
        assert!(mark.is_continued_by(&EvidenceMark::of(&grown)));
    }

    #[test]
    fn reads_that_cannot_be_compared_are_no_silence() {
        let before = evidence(&[("a", 5)]);
        let later = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1);
        let reset = EvidenceRead { stats_reset: later, ..before.clone() };
        let full = EvidenceRead { dealloc: 1, ..before.clone() };
        for now in [reset, full, evidence(&[]), evidence(&[("a", 4)])] {
            assert!(!EvidenceMark::of(&before).is_continued_by(&EvidenceMark::of(&now)));
        }
    }
}
