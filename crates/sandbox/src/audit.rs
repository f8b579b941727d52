//! What was asked of the world and what it did: the request log and the audit log.
//!
//! Tests read the audit log to count effects ("exactly one effect per intent"), the request log to derive the IAM policy.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A mutating effect on the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Position in the log, from 1.
    pub seq: u64,
    /// When, by the sandbox's clock.
    pub at: Timestamp,
    /// The service: `ecs`, `codedeploy`, ...
    pub service: String,
    /// The operation.
    pub operation: String,
    /// The object that was changed: an ARN, an id, a name.
    pub object: String,
    /// One readable sentence.
    pub effect: String,
    /// Our marker, where the call carried one (description or tag).
    pub marker: Option<String>,
}

/// A request, whatever came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestEntry {
    /// When, by the sandbox's clock.
    pub at: Timestamp,
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// `ok`, or the error's wire code.
    pub outcome: String,
}
