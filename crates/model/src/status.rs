//! What is published of a release: the API's document, the page's source and, cut down, the status parameter.
//!
//! A dedicated set of types: nothing secret can stand in it. `phase` words are shown and never relied on; machines read
//! [`Condition`]s.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ParameterVersion, ReleaseName,
    gate::GateReading,
    ledger::Event,
    spec::Problem,
    verdict::{Detectable, Evidence, Finding, RuleReading, Verdict},
    waiting::Waiting,
};

/// Everything that is published at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The managed releases: those that this daemon leads as it sees them, the others as their leaders last told.
    pub releases: BTreeMap<ReleaseName, ReleaseStatus>,
    /// Releases that another daemon on the same ledger leads, and which one.
    pub followed: BTreeMap<ReleaseName, String>,
    /// When a pass last ended that read the world.
    pub last_pass: Option<Timestamp>,
    /// True once every release that was found at the start has been looked at.
    pub ready: bool,
}

/// The document of one release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Always `tidegate/v1`.
    pub api_version: String,
    /// The release.
    pub name: ReleaseName,
    /// When the pass that made this document looked at the world.
    pub observed_at: Timestamp,
    /// The daemon that leads the release, if it is another one than the one that shows this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led_by: Option<String>,
    /// The state in one word, derived here once so that no two readers differ.
    pub summary: Summary,
    /// Spec versions.
    pub versions: Versions,
    /// Everything wrong with the newest spec, if it was refused, and with the texts of orders (their paths begin with the
    /// order's name: `abort:spec`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Conditions in Kubernetes' shape, every known one always present.
    pub conditions: Vec<Condition>,
    /// What it waits for, the most important first; empty when there is nothing to wait for.
    pub waiting: Vec<Waiting>,
    /// The traffic machine.
    pub rollout: RolloutStatus,
    /// The schema machine, if a change was ever opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,
    /// Every gate that this stage reads.
    pub gates: Vec<GateReading>,
    /// What a rollback would be now.
    pub rollback: RollbackStatus,
    /// The last verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// The newest events, newest last.
    pub events: Vec<Event>,
}

/// The state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Summary {
    /// The world matches the spec in force.
    Healthy,
    /// On its way, nothing in the way.
    Progressing,
    /// Waits for a gate.
    Waiting,
    /// Held.
    Held,
    /// Traffic goes back.
    RollingBack,
    /// It went back; the spec's revision does not serve.
    RolledBack,
    /// The newest spec is invalid.
    Invalid,
    /// Not observed well enough to say.
    Unknown,
}

impl Summary {
    /// Every summary.
    pub const ALL: [Self; 8] = [
        Self::Healthy,
        Self::Progressing,
        Self::Waiting,
        Self::Held,
        Self::RollingBack,
        Self::RolledBack,
        Self::Invalid,
        Self::Unknown,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Waiting => "Waiting",
            Self::Held => "Held",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Invalid => "Invalid",
            Self::Unknown => "Unknown",
        }
    }
}

/// Spec versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// The parameter's version as last read.
    pub observed: Option<ParameterVersion>,
    /// The accepted version in force.
    pub in_force: Option<ParameterVersion>,
    /// The version that the rollout in flight carries out.
    pub in_flight: Option<ParameterVersion>,
    /// The newest version that was refused.
    pub refused: Option<ParameterVersion>,
}

/// A condition in Kubernetes' shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    pub r#type: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The spec version that it was said about.
    pub observed_version: Option<ParameterVersion>,
    /// One stable CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// The world matches the newest spec.
    Ready,
    /// Something is under way.
    Reconciling,
    /// Nothing moves until somebody acts.
    Stalled,
    /// The newest spec is valid.
    SpecValid,
    /// Listener, task sets and ledger agree.
    Synced,
    /// A hold is ordered.
    Suspended,
    /// Old and new form are both in the database.
    DatabaseExpanded,
    /// Green has enough healthy targets.
    GreenHealthy,
    /// All production traffic is on green.
    TrafficShifted,
    /// The bake is served.
    Baked,
    /// The revision of the spec in force serves and blue is gone.
    Promoted,
    /// The last rollout went back.
    RolledBack,
    /// Every gate before contract is open.
    ContractAllowed,
    /// The old form is gone.
    Contracted,
}

impl ConditionType {
    /// Every condition, in order.
    pub const ALL: [Self; 14] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::SpecValid,
        Self::Synced,
        Self::Suspended,
        Self::DatabaseExpanded,
        Self::GreenHealthy,
        Self::TrafficShifted,
        Self::Baked,
        Self::Promoted,
        Self::RolledBack,
        Self::ContractAllowed,
        Self::Contracted,
    ];

    /// The type's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::SpecValid => "SpecValid",
            Self::Synced => "Synced",
            Self::Suspended => "Suspended",
            Self::DatabaseExpanded => "DatabaseExpanded",
            Self::GreenHealthy => "GreenHealthy",
            Self::TrafficShifted => "TrafficShifted",
            Self::Baked => "Baked",
            Self::Promoted => "Promoted",
            Self::RolledBack => "RolledBack",
            Self::ContractAllowed => "ContractAllowed",
            Self::Contracted => "Contracted",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Kubernetes' three values")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The traffic machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The phase's word: settled, preflight, ... , rolled-back.
    pub phase: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The cluster.
    pub cluster: String,
    /// The service.
    pub service: String,
    /// The engine.
    pub engine: String,
    /// The revision that serves, `family:n`.
    pub blue: Option<String>,
    /// The candidate.
    pub green: Option<String>,
    /// The deployment that carries the rollout.
    pub deployment: Option<String>,
    /// Green's production weight in percent as the listener has it.
    pub green_weight: Option<f64>,
    /// Green's production weight in percent as CodeDeploy says it.
    pub green_weight_asked: Option<f64>,
    /// Bake time served, in seconds.
    pub baked_seconds: Option<i64>,
    /// Bake time wanted, in seconds.
    pub bake_seconds: Option<i64>,
    /// What the service does by itself, once its history was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationStatus>,
    /// What would be found in this release, and how fast, once blue's history is frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectable: Vec<Detectable>,
    /// Why the last rollout went back, if it did.
    pub cause: Option<String>,
    /// The cause's stable word.
    pub cause_reason: Option<String>,
}

/// What is known of the service by its own history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalibrationStatus {
    /// When the history was looked at; it is once a day.
    pub at: Timestamp,
    /// Start of the oldest minute that it rests on.
    pub from: Option<Timestamp>,
    /// Minutes that it rests on: those in which one target group served alone.
    pub minutes: u32,
    /// Availability zones that were told apart; 0 if none were.
    pub zones: u32,
    /// Requests of a usual minute.
    pub requests_per_minute: f64,
    /// What the service does by itself, in words; without history, what that costs.
    pub message: String,
}

/// The schema machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// The change.
    pub change: String,
    /// The database instance that it is in.
    #[serde(default)]
    pub instance: String,
    /// The phase's word.
    pub phase: String,
    /// The digest that an approval must name; it covers the number of unmapped rows.
    pub plan: String,
    /// What contract removes of what was there before the change.
    pub removes: Vec<String>,
    /// What contract removes of what expand added: the triggers, their functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removes_added: Vec<String>,
    /// What is worth knowing before the change begins; it closes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noticed: Vec<String>,
    /// The locks that each applied file took and that stop somebody, as the server showed them, and for how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked: Vec<String>,
    /// Keys left to backfill: an upper bound of the rows.
    pub backfill_keys_left: Option<u64>,
    /// Rows a second that the running backfill was measured to change.
    #[serde(default)]
    pub backfill_rows_per_second: Option<u64>,
    /// Seconds that the running backfill takes at that rate, at most.
    #[serde(default)]
    pub backfill_seconds_left: Option<u64>,
    /// Rows in which old and new form disagree.
    pub disagreeing: Option<u64>,
    /// Rows that have no new form.
    pub unmapped: Option<u64>,
    /// Rows that have no old form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmapped_back: Option<u64>,
    /// Writes that gave both forms and they disagreed; the new one won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<u64>,
    /// The last statement that named the old form.
    pub last_reader: Option<String>,
    /// When it was last seen growing.
    pub last_reader_at: Option<Timestamp>,
    /// Start of the quiet window.
    pub quiet_since: Option<Timestamp>,
    /// What goes with it without being named: indexes, constraints, statistics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vanishing: Vec<String>,
    /// Since when the old form is hidden.
    #[serde(default)]
    pub hidden_since: Option<Timestamp>,
    /// How long it is to be hidden, in seconds.
    #[serde(default)]
    pub quarantine_seconds: Option<i64>,
    /// Roles that hiding cannot stop: what they do is not tried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bypassed_by: Vec<String>,
    /// The snapshot before purge.
    pub snapshot: Option<String>,
}

/// What a rollback would be now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The grade.
    pub grade: Grade,
    /// What it would be: how, how long, what is lost.
    pub how: String,
    /// What is not proven about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
    /// How statements of the revision from before fare under the change, while that revision is warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}

/// The rollback certificate in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// When it was read.
    pub at: Timestamp,
    /// Statements that still hold.
    pub proven: u32,
    /// Statements of which that cannot be told.
    pub unproven: u32,
    /// Statements that the change broke.
    pub broken: u32,
}

/// The grades of rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// Blue is warm: one call, seconds.
    Instant,
    /// Blue is gone and the schema fits it: a new deployment, minutes.
    Redeploy,
    /// The old form is gone: a restore by people, with loss.
    Restore,
    /// There is no revision to go back to.
    None,
}

impl Grade {
    /// Every grade.
    pub const ALL: [Self; 4] = [Self::Instant, Self::Redeploy, Self::Restore, Self::None];

    /// The grade's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Redeploy => "redeploy",
            Self::Restore => "restore",
            Self::None => "none",
        }
    }
}

/// The last verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictStatus {
    /// What it was.
    pub verdict: Verdict,
    /// The verdict in words.
    pub message: String,
    /// The end of the last closed minute that it rests on.
    pub until: Option<Timestamp>,
    /// What speaks for green being worse, if it was compared with blue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What checks on trial found: it decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<Finding>,
    /// Every limit and guard, with its value, whether it is kept or broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleReading>,
}
