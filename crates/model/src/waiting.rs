//! The waiting record: one sentence that says why a release waits, on what, since when, until when, and how to unblock
//! it. Page and API show all of this one record; CLI, status parameter and metrics a part of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gate::Gate;

/// Why a release waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The stable reason.
    pub reason: Reason,
    /// One sentence for people, with measured and required values where there are any.
    pub message: String,
    /// The object it waits for: a deployment, a session, a parameter, a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// What is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// When it is looked at again.
    pub next_check_at: Timestamp,
    /// Until when, if there is an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What happens at the deadline.
    pub on_deadline: OnDeadline,
    /// A sentence or command that unblocks it.
    pub unblock: String,
    /// Who or what can end it.
    pub class: Class,
}

/// Why a release waits, as one stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A gate is closed.
    Gate(Gate),
    /// It is held.
    Held(Held),
    /// CodeDeploy starts green's tasks.
    Provisioning,
    /// CodeDeploy moves traffic.
    Shifting,
    /// Green serves everything and the confirming reads are not complete.
    Confirming,
    /// Green serves everything, blue is warm.
    Baking,
    /// Blue is being removed.
    Retiring,
    /// Traffic goes back to blue.
    RollingBack,
    /// Existing rows are being filled, batch by batch.
    Backfilling,
    /// An index is being built while everybody goes on.
    BuildingIndex,
    /// The team's own migration tool runs as an ECS task.
    MigrationTask,
    /// Contract has been allowed to start and waits for its evidence.
    Soaking,
    /// The old form is hidden, and whoever misses it is looked for.
    Quarantined,
    /// The snapshot is being taken.
    Snapshotting,
    /// A fact that the next step needs could not be read.
    Unobserved,
    /// AWS or the database refused a step; it is tried again later.
    Refused,
    /// The outcome of a call is not known yet and is resolved by reading.
    InDoubt,
    /// The ledger cannot be read or written.
    LedgerUnavailable,
}

impl Reason {
    /// The stable word: a gate's name, a held reason's name, or the activity.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate(gate) => gate.as_str(),
            Self::Held(held) => held.as_str(),
            Self::Provisioning => "provisioning",
            Self::Shifting => "shifting",
            Self::Confirming => "confirming",
            Self::Baking => "baking",
            Self::Retiring => "retiring",
            Self::RollingBack => "rolling-back",
            Self::Backfilling => "backfilling",
            Self::BuildingIndex => "building-index",
            Self::MigrationTask => "migration-task",
            Self::Soaking => "soaking",
            Self::Quarantined => "quarantined",
            Self::Snapshotting => "snapshotting",
            Self::Unobserved => "unobserved",
            Self::Refused => "refused",
            Self::InDoubt => "in-doubt",
            Self::LedgerUnavailable => "ledger-unavailable",
        }
    }
}

macro_rules! held {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $next:literal),+ $(,)?) => {
        /// Why a machine is held: a closed list, each with the operator's next step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Held { $($(#[$doc])+ #[serde(rename = $text)] $name),+ }

        impl Held {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What an operator does next.
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next),+ }
            }
        }
    };
}

held! {
    /// A hold order.
    Ordered = "hold-ordered", "delete the hold parameter to go on",
    /// An abort that is malformed or names no spec version in flight or in force.
    AbortUnmatched = "abort-unmatched", "write the abort as {\"spec\": N} with the version that the status shows, or delete it",
    /// The spec was deleted or cannot be read while something is in flight.
    SpecGone = "spec-gone", "write the spec again, or abort the version in flight",
    /// A deployment that is not ours runs on the group.
    ForeignDeployment = "foreign-deployment", "let it end or stop it; nothing is started meanwhile",
    /// The listener's weights are none that this release could have caused.
    ListenerEdited = "listener-edited", "put the listener back to the weights shown as expected, or abort",
    /// An object carries a marker newer than the ledger knows.
    LedgerBehind = "ledger-behind", "point the daemon to the newer ledger, or to an empty one to adopt what is in flight",
    /// Two sources disagree on the traffic, and the listener is right.
    TrafficDisagrees = "traffic-disagrees", "compare the listener's weights with the primary task set; the status shows both",
    /// The database is in no state that the journal can explain.
    SchemaDrifted = "schema-drifted", "compare the objects shown with the database; put back what was changed by hand",
    /// The team's own tool says that it is done, or failed half way, and the catalog does not show what it is for.
    TaskDisagrees = "task-disagrees", "compare what the spec's runner adds and removes with what the tool does, then write a newer spec or finish by hand",
    /// Migration text that was already applied has changed.
    MigrationChanged = "migration-changed", "restore the applied text and make a new change for what is new",
    /// Only a restore can bring the old revision back.
    RestoreOnly = "restore-only", "follow the restore plan in the status; Tidegate never restores",
    /// The desired revision names what was purged.
    NamesPurged = "names-purged", "write a newer spec version with a revision that does not name it; to run this one, people restore the database first",
    /// A rollback could not be completed.
    RollbackFailed = "rollback-failed", "look at the deployment named in the status; traffic is kept as it is",
    /// The revision failed under this spec version.
    RevisionFailed = "revision-failed", "write a newer spec version, with another revision or as a deliberate retry",
    /// The ledger is damaged: a gap or a bad hash.
    LedgerDamaged = "ledger-damaged", "point the daemon to an empty ledger and restart it: it adopts what is in flight",
}

/// Who or what can end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Class {
    NeedsTime,
    NeedsHuman,
    NeedsFix,
    Throttled,
    Suspended,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::NeedsTime, Self::NeedsHuman, Self::NeedsFix, Self::Throttled, Self::Suspended];

    /// True of what somebody must do something about.
    pub fn needs_somebody(self) -> bool {
        match self {
            Self::NeedsHuman | Self::NeedsFix => true,
            Self::NeedsTime | Self::Throttled | Self::Suspended => false,
        }
    }

    /// The class as it is published.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeedsTime => "NeedsTime",
            Self::NeedsHuman => "NeedsHuman",
            Self::NeedsFix => "NeedsFix",
            Self::Throttled => "Throttled",
            Self::Suspended => "Suspended",
        }
    }
}

/// What happens when a wait's deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDeadline {
    /// Tidegate rolls back.
    RollBack,
    /// The wait has served its purpose and the release goes on.
    Continue,
    /// Nothing: it stays as it is.
    Stall,
}
