//! Verdicts: the result of judging green against blue, with the figures it rests on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;

/// The result of judging green against blue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Enough was seen, and green is no worse.
    Pass,
    /// Green is worse: the cause with its figures.
    Fail(Finding),
    /// Too little was seen to say.
    Undecided,
    /// It looks as if green failed more often than blue, and not yet so clearly that it is rolled back.
    Suspect,
    /// Green should have had traffic and reports none, for so many closed minutes in a row.
    NoData {
        /// Closed minutes in a row in which traffic was due and none was reported.
        minutes: u32,
    },
}

impl Verdict {
    /// The verdict's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Undecided => "undecided",
            Self::Suspect => "suspect",
            Self::NoData { .. } => "no data",
        }
    }
}

/// Why a verdict is fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check that failed.
    pub check: Check,
    /// What was measured in the worst minute.
    pub measured: f64,
    /// The limit it broke.
    pub limit: f64,
    /// The unit of both.
    pub unit: Unit,
    /// Start of the first failing minute.
    pub first_failing: Timestamp,
    /// How many of the looked-at minutes failed.
    pub failing_minutes: u32,
    /// How many minutes were looked at.
    pub of_minutes: u32,
    /// Power of ten of the evidence, where the verdict rests on evidence; the limit is then what blue had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

/// What speaks for green failing more often than blue, over all closed minutes since green got traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Closed minutes in which both had requests, or green alone.
    pub minutes: u32,
    /// Blue's requests in them.
    pub blue_requests: f64,
    /// How many of those failed.
    pub blue_failures: f64,
    /// Green's requests in them.
    pub green_requests: f64,
    /// How many of those failed.
    pub green_failures: f64,
    /// Power of ten: what was seen is so many times likelier if green is worse than if it is as blue.
    pub factor: f64,
    /// From this power on green is rolled back: a good release reaches it once in so many.
    pub limit: f64,
    /// What is known of the service before the release, in words.
    pub calibration: String,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = |failures: f64, requests: f64| {
            if requests > 0.0 {
                Unit::Ratio.show((failures / requests).min(1.0))
            } else {
                "nothing".to_owned()
            }
        };
        write!(
            f,
            "{} of green and {} of blue failed in {} minutes: evidence of {} that green is worse, {} roll it back",
            rate(self.green_failures, self.green_requests),
            rate(self.blue_failures, self.blue_requests),
            self.minutes,
            to_one(self.factor),
            to_one(self.limit)
        )
    }
}

/// A factor for people, from its power of ten: `7889 to 1`.
pub fn to_one(power: f64) -> String {
    if power > 6.0 {
        return format!("10^{power:.0} to 1");
    }
    let times = 10f64.powf(power);
    if times >= 1.0 { format!("{times:.0} to 1") } else { format!("1 to {:.0}", 1.0 / times) }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(power) = self.factor {
            return write!(
                f,
                "{} of green {} against {} of blue in {} minutes: evidence of {} that green is worse",
                self.check.as_str(),
                self.unit.show(self.measured),
                self.unit.show(self.limit),
                self.of_minutes,
                to_one(power)
            );
        }
        write!(
            f,
            "{} of green {} over the limit {} in {} of {} minutes",
            self.check.as_str(),
            self.unit.show(self.measured),
            self.unit.show(self.limit),
            self.failing_minutes,
            self.of_minutes
        )
    }
}

/// What green is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are the spec's")]
pub enum Check {
    Errors,
    Latency,
    Targets,
    DatabaseConnections,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 4] = [Self::Errors, Self::Latency, Self::Targets, Self::DatabaseConnections];

    /// The check's name, as in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Targets => "targets",
            Self::DatabaseConnections => "databaseConnections",
        }
    }
}

/// The unit of a measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// A share of requests, 0 to 1.
    Ratio,
    /// Seconds.
    Seconds,
    /// A number of things.
    Count,
}

impl Unit {
    /// The value with its unit, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{:.2} %", value * 100.0),
            Self::Seconds => format!("{:.0} ms", value * 1_000.0),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// Blue's history, frozen before the first production weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Start of the first minute in it.
    pub from: Timestamp,
    /// How many closed minutes with traffic it covers.
    pub minutes: u32,
    /// Requests in all.
    pub requests: f64,
    /// Failed requests in all.
    pub failures: f64,
    /// The median of the minutes' 95th percentiles of the response time, in seconds.
    pub latency: Option<f64>,
    /// The highest number of database connections seen.
    pub connections: Option<f64>,
    /// How often and how irregularly the service fails by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}
