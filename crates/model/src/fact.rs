//! A fact about the world: known, absent, or unknown and why. Unknown is never treated as absent.

use serde::{Deserialize, Serialize};

/// What was read of one thing in the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact<T> {
    /// It was read, and this is what it was.
    Known(T),
    /// A complete read showed that it does not exist.
    Absent,
    /// It could not be read, or nobody asked; nothing destructive may rest on it.
    Unknown(Why),
}

/// Why a fact is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Why {
    /// This pass had no need of it.
    NotAsked,
    /// The service throttled the read.
    Throttled,
    /// The caller may not read it.
    Denied,
    /// No answer came in time, or none at all.
    Unreachable,
    /// The answer could not be understood (a new enum value, a missing member).
    Malformed,
    /// The service answered with an error of its own.
    Failed,
    /// Two reads that must agree did not, so neither is believed yet.
    Inconsistent,
}

impl Why {
    /// The words that follow "because".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "it was not asked for",
            Self::Throttled => "the read was throttled",
            Self::Denied => "the read was denied",
            Self::Unreachable => "the read got no answer",
            Self::Malformed => "the answer could not be understood",
            Self::Failed => "the service answered with an error",
            Self::Inconsistent => "two reads disagreed",
        }
    }
}

impl<T> Fact<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// True only after a complete read that did not find it.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Known(_) | Self::Unknown(_) => false,
        }
    }

    /// Why it is unknown, if it is.
    pub fn unknown(&self) -> Option<Why> {
        match self {
            Self::Unknown(why) => Some(*why),
            Self::Known(_) | Self::Absent => None,
        }
    }

    /// The same fact about something derived from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(f(value)),
            Self::Absent => Fact::Absent,
            Self::Unknown(why) => Fact::Unknown(why),
        }
    }

    /// A borrowed view.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unknown(why) => Fact::Unknown(*why),
        }
    }
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self::Unknown(Why::NotAsked)
    }
}
