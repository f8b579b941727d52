//! Durations as people write them in a spec: `90s`, `3m`, `24h`, `8d`.

use std::{fmt, str::FromStr};

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole, positive number of seconds, written with one unit: `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u32);

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASpan {
    /// It is not a number with a unit.
    #[error("a duration is a whole number and one of s, m, h, d, for example 3m")]
    Malformed,
    /// It is nothing, or too long.
    #[error("a duration is between 1s and 90d")]
    OutOfRange,
}

impl Span {
    /// The longest that any wait of Tidegate can be asked for: 90 days.
    pub const MAX_SECONDS: u32 = 90 * 86_400;

    /// A span of whole seconds, capped at [`Self::MAX_SECONDS`].
    pub const fn seconds(seconds: u32) -> Self {
        if seconds > Self::MAX_SECONDS { Self(Self::MAX_SECONDS) } else { Self(seconds) }
    }

    /// A span of whole minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self::seconds(minutes.saturating_mul(60))
    }

    /// Its length in seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// Its length as a jiff duration.
    pub const fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(self.0 as i64)
    }

    /// Its length in whole minutes, if it has no rest.
    pub const fn whole_minutes(self) -> Option<u32> {
        if self.0.is_multiple_of(60) { Some(self.0 / 60) } else { None }
    }
}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let unit = text.chars().next_back().ok_or(NotASpan::Malformed)?;
        let factor: u32 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(NotASpan::Malformed),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotASpan::Malformed);
        }
        // Only digits: what does not fit is too long.
        let seconds = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(factor));
        match seconds {
            Some(seconds) if (1..=Self::MAX_SECONDS).contains(&seconds) => Ok(Self(seconds)),
            Some(_) | None => Err(NotASpan::OutOfRange),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % 86_400 == 0 && s > 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 && s > 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 && s > 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = NotASpan;

    fn try_from(text: String) -> Result<Self, NotASpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[1-9][0-9]*[smhd]$",
            "description": "a whole number and one of s, m, h, d, for example 3m or 24h; at most 90d",
        })
    }
}

/// A duration for people: the two largest units, `2h 5m`, `40s`.
pub fn human(duration: SignedDuration) -> String {
    let total = duration.as_secs().max(0);
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) if seconds == 0 => format!("{m}m"),
        (0, 0, m) => format!("{m}m {seconds}s"),
        (0, h, 0) => format!("{h}h"),
        (0, h, m) => format!("{h}h {m}m"),
        (d, 0, _) => format!("{d}d"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_the_same_text() {
        for text in ["90s", "3m", "24h", "8d", "1s"] {
            let span: Span = text.parse().unwrap();
            let printed = span.to_string();
            assert_eq!(printed.parse::<Span>().unwrap(), span, "{text} prints as {printed}");
        }
        assert_eq!("24h".parse::<Span>().unwrap().to_string(), "1d");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "m", "3", "0m", "-3m", "3 m", "1.5h", "3w", "91d", "99999999999d", "3M", "é"] {
            assert!(text.parse::<Span>().is_err(), "{text} was taken");
        }
    }
}
