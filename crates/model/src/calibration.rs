//! What a service's own history says of how often, and how irregularly, it fails by itself.
//!
//! Learned by `tidegate-analysis` before a release's first weight, kept in the ledger, and what every verdict on errors is
//! measured with. Nothing here decides.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{MetricName, verdict::Unit};

/// Nodes of the common factor: how far the failures of a whole service are from usual, in steps.
pub const COMMON_NODES: usize = 14;

/// Two parts of one version that differ by less for minutes at a time are not worth a word.
const FELT_DRIFT: f64 = 0.08;

/// What a service's own history says, as the ledger keeps it from day to day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calibrated {
    /// How often and how irregularly requests fail.
    pub failures: Calibration,
    /// How the team's own counts vary, by the metric's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<MetricName, Calibration>,
    /// Start of the oldest minute that it rests on; `None` if there is none.
    pub from: Option<Timestamp>,
    /// Availability zones that were told apart; 0 if none were.
    pub zones: u32,
}

/// A service before a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calibration {
    /// Failures a request; `None` if there is no history, then only how failures split between blue and green tells.
    pub rate: Option<f64>,
    /// Requests a minute.
    pub volume: f64,
    /// Minutes of history that it rests on.
    pub minutes: u32,
    /// The dispersions that are possible; their weights sum to one. Those that the history speaks for come first, the
    /// likeliest of them before the others.
    pub dispersions: Vec<Weighed>,
}

/// A dispersion with what the history says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighed {
    /// The dispersion.
    pub dispersion: Dispersion,
    /// How likely it is, 0 to 1.
    pub weight: f64,
    /// How often the common factor is at each of its nodes, if this is the dispersion; they sum to one.
    pub common: [f64; COMMON_NODES],
}

/// How failures deviate from independence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dispersion {
    /// Size-weighted mean size of clusters of failures that fall on one group whole: 1 if failures come alone.
    pub cluster: f64,
    /// Squared coefficient of variation of a factor of its own for each group and minute.
    pub jitter: f64,
    /// Standard deviation of the log ratio of two groups of one version that lasts for minutes.
    pub drift: f64,
    /// Share of minutes that split far more unevenly than usual: clusters are several times as large, or a single client or task
    /// fails for all.
    pub outliers: f64,
}

/// What a history says of a value that is no count, such as CPU or connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GaugeHistory {
    /// Its median.
    pub level: f64,
    /// Standard deviation from one minute to the next: what more requests in a minute would average out.
    pub noise: f64,
    /// Standard deviation that a minute counts with: more than the former where minutes hang together.
    pub deviation: f64,
    /// Minutes of history that it rests on.
    pub minutes: u32,
}

impl GaugeHistory {
    /// In words for people, of a value in this unit.
    pub fn describe(&self, unit: Unit) -> String {
        let (level, deviation) = (unit.show(self.level), unit.show(self.deviation));
        format!("{level} is usual, give or take {deviation}, by {} minutes", self.minutes)
    }
}

impl Calibrated {
    /// What the service does by itself and how that is known, in words for people.
    pub fn describe(&self) -> String {
        let what = self.failures.describe();
        let Some(from) = self.from else { return what };
        let zones = match self.zones {
            0 => "zones not told apart".to_owned(),
            zones => format!("{zones} zones told apart"),
        };
        format!("{what}; by {} minutes since {}, {zones}", self.failures.minutes, from.strftime("%F"))
    }
}

impl Calibration {
    /// The likeliest dispersion of failures, in words for people.
    pub fn describe(&self) -> String {
        self.told("it fails in", "failure")
    }

    /// The same of what a team counts itself.
    pub fn describe_counted(&self) -> String {
        self.told("it is counted in", "count")
    }

    fn told(&self, what: &str, one: &str) -> String {
        let Some(rate) = self.rate else {
            return format!(
                "no history: an outage is found in minutes all the same, by how {one}s split between blue and green; some times as \
                 many {one}s as usual are found later, and a tenth of a percent more is not"
            );
        };
        let how =
            self.dispersions.first().map_or_else(String::new, |likeliest| likeliest.dispersion.describe(one));
        format!("{what} {:.3} % of requests by itself, {how}", rate * 100.0)
    }
}

impl Dispersion {
    fn describe(&self, one: &str) -> String {
        let mut words = vec![];
        if self.cluster >= 1.5 {
            words.push(format!("in clusters of about {:.0}", self.cluster));
        }
        if self.jitter > 0.0 {
            words.push(format!(
                "each group {:.0} % up and down from minute to minute",
                100.0 * self.jitter.sqrt()
            ));
        }
        if self.drift >= FELT_DRIFT {
            words.push(format!("two parts of it {:.0} % apart for minutes at a time", 100.0 * self.drift));
        }
        if self.outliers > 1e-3 {
            words.push(format!("and far more unevenly in {:.1} % of minutes", 100.0 * self.outliers));
        }
        if words.is_empty() { format!("one {one} apart from another") } else { words.join(", ") }
    }
}
