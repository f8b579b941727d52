//! Faults on the way between a client and the world: calls that fail before or after their effect, and positions at which
//! everything stops so that a test can kill the client there.

use serde::{Deserialize, Serialize};

/// A fault and the call that it strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Only calls of this operation; any mutating call when absent. Status writes (PutParameter of a parameter that ends
    /// in `/status`) never count.
    #[serde(default)]
    pub operation: Option<String>,
    /// The n-th such call from now on, from 1.
    pub nth: u64,
    /// Where on its way it is struck.
    pub position: Position,
    /// What happens to it.
    pub action: Action,
}

/// Where a call is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Received, and not applied.
    BeforeEffect,
    /// Applied, and not answered.
    AfterEffect,
    /// Applied and answered; it strikes whatever comes next.
    AfterReply,
}

/// What happens to a struck call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Everything stops until the faults are cleared: the test kills the client meanwhile.
    Stop,
    /// HTTP 500.
    ServerError,
    /// A throttling error.
    Throttle,
    /// The connection breaks without an answer.
    Disconnect,
}

/// The faults that are armed, and what they struck.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    armed: Vec<(Fault, u64)>,
    stopped: Option<String>,
}

impl FaultPlan {
    /// Arms a fault.
    pub fn arm(&mut self, fault: Fault) {
        self.armed.push((fault, 0));
    }

    /// Disarms everything and lets stopped calls go on (they are answered with an error).
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The operation at which everything stopped, if it did.
    pub fn stopped_at(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Stops everything.
    pub(crate) fn stop(&mut self, operation: &str) {
        self.stopped = Some(operation.to_owned());
    }

    /// Counts a mutating call and gives the fault that strikes it, which is then spent.
    pub(crate) fn strike(&mut self, operation: &str) -> Option<(Position, Action)> {
        let mut hit = None;
        for (fault, seen) in &mut self.armed {
            if fault.operation.as_deref().is_none_or(|wanted| wanted == operation) {
                *seen += 1;
                if *seen == fault.nth && hit.is_none() {
                    hit = Some((fault.position, fault.action));
                }
            }
        }
        self.armed.retain(|(fault, seen)| *seen < fault.nth);
        hit
    }
}
