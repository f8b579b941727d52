//! Names and numbers at the border: parsed once, believed afterwards.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a release: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseName(String);

/// The name of a schema change, under the same rule as a release's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChangeName(String);

/// The name that a team gives a metric it is judged by, under the same rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MetricName(String);

/// The text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 63 lowercase letters, digits and hyphens and does not begin with a hyphen")]
pub struct NotAName;

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                if is_name(text) { Ok(Self(text.to_owned())) } else { Err(NotAName) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(ReleaseName);
name!(ChangeName);
name!(MetricName);

/// The version number that Parameter Store gives a parameter: from 1, plus one for each write, from 1 again after a
/// delete and re-create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterVersion(pub u64);

impl fmt::Display for ParameterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The mark on everything Tidegate makes: `tidegate:<release>/<spec version>-<8 hex of its content hash>/<intent>`.
///
/// It stands in deployment descriptions, task definition and snapshot tags and the journal in the target database, and is
/// how an object in flight is adopted after the ledger was lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Marker {
    /// The release it was made for.
    pub release: ReleaseName,
    /// The spec version that asked for it.
    pub version: ParameterVersion,
    /// The first 8 hex digits of that spec's content digest.
    pub hash: String,
    /// The intent under which it was made, unique within the ledger that made it: `i7` for what leads forward, `r7` for a
    /// deployment that takes the version back.
    pub intent: String,
}

/// The text is not a marker of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a marker")]
pub struct NotAMarker;

impl Marker {
    /// True if both were made for the same spec text of the same release, whatever the intent.
    pub fn same_spec(&self, other: &Self) -> bool {
        self.release == other.release && self.version == other.version && self.hash == other.hash
    }

    /// True of a deployment that brings an older revision back: without the ledger nothing else tells it from one that brings
    /// the version itself.
    pub fn takes_back(&self) -> bool {
        self.intent.starts_with('r')
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tidegate:{}/{}-{}/{}", self.release, self.version, self.hash, self.intent)
    }
}

impl FromStr for Marker {
    type Err = NotAMarker;

    fn from_str(text: &str) -> Result<Self, NotAMarker> {
        let rest = text.trim().strip_prefix("tidegate:").ok_or(NotAMarker)?;
        let mut parts = rest.splitn(3, '/');
        let (Some(release), Some(spec), Some(intent)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotAMarker);
        };
        let (version, hash) = spec.split_once('-').ok_or(NotAMarker)?;
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if hash.len() != 8 || !plain(hash) || !plain(intent) {
            return Err(NotAMarker);
        }
        Ok(Self {
            release: release.parse().map_err(|_| NotAMarker)?,
            version: ParameterVersion(version.parse().map_err(|_| NotAMarker)?),
            hash: hash.to_owned(),
            intent: intent.to_owned(),
        })
    }
}

impl TryFrom<String> for Marker {
    type Error = NotAMarker;

    fn try_from(text: String) -> Result<Self, NotAMarker> {
        text.parse()
    }
}

impl From<Marker> for String {
    fn from(marker: Marker) -> Self {
        marker.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_as_itself() {
        let text = "tidegate:ecommerce/12-0a1b2c3d/i7";
        let marker: Marker = text.parse().unwrap();
        assert_eq!(marker.to_string(), text);
        assert_eq!(marker.version, ParameterVersion(12));
    }

    #[test]
    fn foreign_descriptions_are_no_markers() {
        for text in [
            "",
            "deploy by terraform",
            "tidegate:x",
            "tidegate:x/12/i",
            "tidegate:X/12-00000000/i",
            "tidegate:x/12-short/i",
            "tidegate:x/12-00000000/a b",
        ] {
            assert!(text.parse::<Marker>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn names_keep_to_their_rule() {
        assert!("a".parse::<ReleaseName>().is_ok());
        assert!("0-shop".parse::<ReleaseName>().is_ok());
        for text in ["", "-a", "A", "a_b", "a/b", &"a".repeat(64)] {
            assert!(text.parse::<ReleaseName>().is_err(), "{text} was taken");
        }
    }
}
