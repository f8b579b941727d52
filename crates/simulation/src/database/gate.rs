//! The door at which a simulation lets faults in.
//!
//! Each process opens the database through a gate of its own, and the port asks it before an operation and after it. A fault is
//! data: what happens, not why. Must not know of plans of faults.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_schema::Failure;

/// What is asked of a target database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the port's own names")]
pub enum Operation {
    Claim,
    Observe,
    Expand,
    Backfill,
    Hide,
    Unhide,
    Purge,
    /// What the log cannot tell; the log itself is read through AWS.
    Log,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 8] = [
        Self::Claim,
        Self::Observe,
        Self::Expand,
        Self::Backfill,
        Self::Hide,
        Self::Unhide,
        Self::Purge,
        Self::Log,
    ];

    /// The operation's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Observe => "observe",
            Self::Expand => "expand",
            Self::Backfill => "backfill",
            Self::Hide => "hide",
            Self::Unhide => "unhide",
            Self::Purge => "purge",
            Self::Log => "log",
        }
    }

    /// True if it may change something in the database.
    pub(crate) fn changes(self) -> bool {
        match self {
            Self::Observe | Self::Log => false,
            Self::Claim | Self::Expand | Self::Backfill | Self::Hide | Self::Unhide | Self::Purge => true,
        }
    }
}

/// What becomes of an operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It fails before it had an effect: refused, timed out, nobody there.
    Fail(Failure),
    /// The process stands still inside its transaction, with its locks. Beyond the server's limit for idle transactions the
    /// server ends the session.
    Freeze(Duration),
}

/// What becomes of an operation's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It arrives.
    Arrives,
    /// The connection breaks behind the commit.
    Lost,
}

/// Faults at the door of one process. What takes time waits in it, in tokio's time.
pub trait Gate: Send + Sync {
    /// Asked before anything is sent.
    fn before(&self, operation: Operation) -> BoxFuture<'_, Verdict>;

    /// Asked once the effect is committed, or nothing is left to be done.
    fn after(&self, operation: Operation) -> BoxFuture<'_, Answer>;
}

/// No faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {
    fn before(&self, _operation: Operation) -> BoxFuture<'_, Verdict> {
        std::future::ready(Verdict::Pass).boxed()
    }

    fn after(&self, _operation: Operation) -> BoxFuture<'_, Answer> {
        std::future::ready(Answer::Arrives).boxed()
    }
}
