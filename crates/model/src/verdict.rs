//! Verdicts: the result of judging green against blue, with the figures it rests on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    MetricName,
    calibration::{Calibration, GaugeHistory},
};

mod rule;

pub use rule::{Guard, RuleReading, Standing};

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
    /// It looks as if green were worse than blue, and not yet so clearly that it is rolled back.
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
    /// What was measured, where the check's name does not say it: what was counted, or the team's name of a metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// The guard that found it, if it was none of the check's own limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// What speaks for green being worse than blue, over all closed minutes since green got traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Power of ten: what was seen is so many times likelier if green is worse than if it is as blue. The mean of the metrics'
    /// evidence by their shares, those on trial left out.
    pub factor: f64,
    /// From this power on green is rolled back: a good release reaches it once in so many.
    pub limit: f64,
    /// What it is made of.
    pub metrics: Vec<MetricEvidence>,
}

impl Evidence {
    /// The metric whose evidence weighs most.
    pub fn strongest(&self) -> Option<&MetricEvidence> {
        let weight = |metric: &MetricEvidence| metric.share.log10() + metric.factor;
        self.metrics.iter().filter(|m| m.share > 0.0).max_by(|a, b| weight(a).total_cmp(&weight(b)))
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(strongest) = self.strongest() {
            write!(f, "{strongest}: ")?;
        }
        let (factor, limit) = (to_one(self.factor), to_one(self.limit));
        write!(f, "evidence of {factor} that green is worse, {limit} roll it back")
    }
}

/// What one metric's counts say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricEvidence {
    /// The check that looks at it.
    pub check: Check,
    /// What is counted, for people: `failed requests`, `requests slower than 120 ms`, the name of a team's metric.
    pub counted: String,
    /// Its share in the mean, 0 to 1; 0 if it is on trial.
    pub share: f64,
    /// Closed minutes in which both had requests, or green alone.
    pub minutes: u32,
    /// Blue's requests in them.
    pub blue_requests: f64,
    /// How many of those counted.
    pub blue_counted: f64,
    /// Green's requests in them.
    pub green_requests: f64,
    /// How many of those counted.
    pub green_counted: f64,
    /// What both had, if it is no count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<ComparedValues>,
    /// Power of ten, as in [`Evidence`].
    pub factor: f64,
    /// What it would take: so many of green's in one more minute like the last would roll it back by this metric alone. `None`
    /// where no number would, and for what is no count or may not fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u32>,
    /// What is known of the service before the release, in words.
    pub calibration: String,
}

/// Values that are no counts: means of the minutes that were compared. Of database connections, which are one number for
/// everybody, `blue` is what was usual before the release and `green` what is there now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparedValues {
    /// Blue's.
    pub blue: f64,
    /// Green's.
    pub green: f64,
    /// The unit of both.
    pub unit: Unit,
}

impl MetricEvidence {
    /// What of green's requests counted, 0 to 1.
    pub fn green_rate(&self) -> f64 {
        self.green_counted / self.green_requests.max(1.0)
    }

    /// What of blue's requests counted, 0 to 1.
    pub fn blue_rate(&self) -> f64 {
        self.blue_counted / self.blue_requests.max(1.0)
    }
}

impl std::fmt::Display for MetricEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(ComparedValues { blue, green, unit }) = self.values {
            let (now, usual) = match self.check {
                Check::DatabaseConnections => ("now", "before the release"),
                Check::Errors | Check::Latency | Check::Targets | Check::Metrics => ("of green", "of blue"),
            };
            return write!(
                f,
                "{} {} {now} and {} {usual} in {} minutes",
                self.counted,
                unit.show(green),
                unit.show(blue),
                self.minutes
            );
        }
        let rate = |counted: f64, requests: f64| {
            if requests > 0.0 { Unit::Ratio.show(counted / requests) } else { "nothing".to_owned() }
        };
        write!(
            f,
            "{} are {} of green's and {} of blue's in {} minutes",
            self.counted,
            rate(self.green_counted, self.green_requests),
            rate(self.blue_counted, self.blue_requests),
            self.minutes
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
        let measure = self.measure.as_deref().unwrap_or(self.check.as_str());
        if let Some(power) = self.factor {
            let (now, usual) = match self.check {
                Check::DatabaseConnections => ("", "before the release"),
                Check::Errors | Check::Latency | Check::Targets | Check::Metrics => (" of green", "of blue"),
            };
            return write!(
                f,
                "{measure}{now} {} against {} {usual} in {} minutes: evidence of {} that green is worse",
                self.unit.show(self.measured),
                self.unit.show(self.limit),
                self.of_minutes,
                to_one(power)
            );
        }
        let said = rule::sentence(self.guard, measure, self.unit, (Some(self.measured), Some(self.limit)));
        write!(f, "{said} in {} of {} minutes", self.failing_minutes, self.of_minutes)
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
    Metrics,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 5] =
        [Self::Errors, Self::Latency, Self::Targets, Self::DatabaseConnections, Self::Metrics];

    /// The check's name, as in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Targets => "targets",
            Self::DatabaseConnections => "databaseConnections",
            Self::Metrics => "metrics",
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
    /// A metric's own unit, which is not known here.
    Plain,
}

impl Unit {
    /// The value with its unit, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{:.2} %", value * 100.0),
            Self::Seconds => format!("{:.0} ms", value * 1_000.0),
            Self::Count => format!("{value:.0}"),
            // At most four digits after the point, and none that say nothing.
            Self::Plain => format!("{}", (value * 1e4).round() / 1e4),
        }
    }
}

/// Blue's history, frozen before the first production weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Above this a request is slow, in seconds: somewhat more than what one in ten, and one in a hundred, takes longer than,
    /// and never less than what anybody feels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<[f64; 2]>,
    /// How the team's own counts vary by themselves, by the metric's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<MetricName, Calibration>,
    /// How often the service failed for three minutes in a row by itself at the worst: failures a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_minutes: Option<f64>,
    /// The same for ten minutes in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_stretch: Option<f64>,
    /// What the load balancer itself answers with 5xx, of all requests: usually, and at the worst for five minutes in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<[f64; 2]>,
    /// How the team's own values that are no counts vary by themselves, by the metric's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gauges: BTreeMap<MetricName, GaugeHistory>,
    /// How the database connections vary by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_history: Option<GaugeHistory>,
    /// The most connections that the server allows, if it could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<f64>,
    /// What would be found in this release, and how fast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectable: Vec<Detectable>,
}

/// A regression, and after how many closed minutes under traffic it would usually be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detectable {
    /// What would be wrong with green.
    pub regression: Regression,
    /// Closed minutes; `None` if it would not be found while evidence is gathered.
    pub minutes: Option<u32>,
}

impl std::fmt::Display for Detectable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.minutes {
            Some(1) => write!(f, "{} in 1 minute", self.regression),
            Some(minutes) => write!(f, "{} in {minutes} minutes", self.regression),
            None => write!(f, "{} not at this traffic", self.regression),
        }
    }
}

/// How green could be worse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Regression {
    /// It fails so many times as often as the service does anyway.
    Times(f64),
    /// This share of its requests fails on top, 0 to 1.
    Share(f64),
}

impl std::fmt::Display for Regression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times} times as many failures"),
            Self::Share(share) => write!(f, "{} % of requests failing", share * 100.0),
        }
    }
}
