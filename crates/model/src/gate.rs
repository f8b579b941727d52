//! Gates: named pure checks that must be open before a step.

use serde::{Deserialize, Serialize};

use crate::waiting::Class;

macro_rules! gates {
    ($($(#[$doc:meta])+ $name:ident = $text:literal),+ $(,)?) => {
        /// Every gate, in the order in which they are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Gate { $($(#[$doc])+ #[serde(rename = $text)] $name),+ }

        impl Gate {
            /// Every gate, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name: the same in status, metrics, page and log.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

gates! {
    /// The newest spec is valid, and readable.
    SpecValid = "spec-valid",
    /// No hold order, for this release or for all.
    NotHeld = "not-held",
    /// No newer accepted spec changes revision or traffic.
    NotSuperseded = "not-superseded",
    /// Group, listeners, target groups and alarms give what the spec asks.
    EngineReady = "engine-ready",
    /// No other open change on the same database.
    OneChangePerDatabase = "one-change-per-database",
    /// No session would make the DDL wait beyond its lock budget.
    NoBlockers = "no-blockers",
    /// The catalog shows the post-state of expand.
    Expanded = "expanded",
    /// Enough healthy targets of the exact revision, read now.
    GreenHealthy = "green-healthy",
    /// Every probe passed.
    Verified = "verified",
    /// The check's count is 0.
    InSync = "in-sync",
    /// The verdict is not fail.
    HealthySoFar = "healthy-so-far",
    /// Rollback of grade instant is proven.
    RollbackReady = "rollback-ready",
    /// The bake time is served.
    Baked = "baked",
    /// No serving or warm revision names what contract removes.
    ReadersGone = "readers-gone",
    /// Quiet for long enough to have seen the slowest reader.
    RecurrenceCovered = "recurrence-covered",
    /// Rollback of grade redeploy is proven for the revision before the serving one.
    RedeployReady = "redeploy-ready",
    /// The order exists for this spec version and plan digest, or the mode is automatic.
    ContractApproved = "contract-approved",
    /// Hidden for the set time, and the server's log shows nobody whom that stopped.
    HiddenLongEnough = "hidden-long-enough",
    /// A snapshot of exactly this instance is available and young enough.
    SnapshotAvailable = "snapshot-available",
    /// Settled or rolled back, nothing newer started.
    RolloutAtRest = "rollout-at-rest",
}

/// What a gate was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GateState {
    /// Open: the step may go.
    Open,
    /// It does not apply to this release now.
    NotApplicable,
    /// Closed, and why.
    Closed(Closed),
}

/// Why a gate is closed, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// One sentence: what is missing.
    pub message: String,
    /// What was measured, if there is a number or a state to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// What is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// A sentence or command that opens it.
    pub unblock: String,
    /// Who can open it.
    pub class: Class,
}

/// A gate with its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateReading {
    /// Which gate.
    pub gate: Gate,
    /// Its state.
    pub state: GateState,
}

impl GateReading {
    /// True unless the gate is closed.
    pub fn lets_pass(&self) -> bool {
        match self.state {
            GateState::Open | GateState::NotApplicable => true,
            GateState::Closed(_) => false,
        }
    }
}
