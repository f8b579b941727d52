//! The four versions of the shop, and which form of an address each one knows.
//!
//! Called by: the store (which statements), the service (fault, application name). Must not: hold state.

use std::{fmt, str::FromStr};

/// A version of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Reads and writes only the text `address`.
    V1,
    /// Reads the four columns and writes both forms: its statements name `address` and the columns.
    V2,
    /// Reads and writes only the four columns.
    V3,
    /// Version 3 with a fault: it starts healthy and fails a share of requests once it has served some.
    V4,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// Whether its code has the fault.
    pub fn is_faulty(self) -> bool {
        match self {
            Self::V1 | Self::V2 | Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// The name under which its sessions appear in `pg_stat_activity`.
    pub fn application_name(self) -> String {
        format!("shop-v{}", self.number())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The text is none of `1`, `2`, `3`, `4`.
#[derive(Debug, thiserror::Error)]
#[error("version must be 1, 2, 3 or 4")]
pub struct UnknownVersion;

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL.into_iter().find(|version| version.to_string() == text).ok_or(UnknownVersion)
    }
}
