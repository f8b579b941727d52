//! Rules that need no statistics: what each measured, its limit, and how it stands.
//!
//! Made by `tidegate-analysis` in every judgement, and shown whether a rule is kept or broken.

use serde::{Deserialize, Serialize};

use super::{Check, Unit};

/// A rule that watches for something that a comparison of green with blue cannot see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Guard {
    /// Green has traffic and no healthy target: the load balancer answers itself, or sends to sick targets.
    NoHealthyTarget,
    /// The load balancer itself answers more requests with 5xx than it did before the release. It has one number for all its
    /// target groups.
    BalancerErrors,
    /// Blue and green fail together, far more often than the service does by itself: the release may have hurt what they share.
    BothFail,
    /// If connections to the database go on growing as they do, the server has none left before the ramp ends.
    ConnectionsRunOut,
    /// A metric of the team's own has had no value for green in so many minutes one after another.
    NoValue,
    /// An alarm of the team's own is red.
    AlarmRed,
}

impl Guard {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHealthyTarget => "no-healthy-target",
            Self::BalancerErrors => "balancer-errors",
            Self::BothFail => "both-fail",
            Self::ConnectionsRunOut => "connections-run-out",
            Self::NoValue => "no-value",
            Self::AlarmRed => "alarm-red",
        }
    }
}

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Not broken for long enough to say anything.
    Kept,
    /// Broken, and not for so long that green goes back: the release is suspect.
    Suspect,
    /// Broken for so long that green goes back.
    Broken,
}

/// One rule in one judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleReading {
    /// The check that it belongs to.
    pub check: Check,
    /// The guard that it is, if it is none of the check's own limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What is measured, where the check's name does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// The value in the last closed minute; `None` if there is none.
    pub measured: Option<f64>,
    /// The limit in that minute.
    pub limit: Option<f64>,
    /// The unit of both.
    pub unit: Unit,
    /// How many of the looked-at minutes broke it.
    pub failing_minutes: u32,
    /// How many minutes are looked at.
    pub of_minutes: u32,
    /// From so many failing ones on green goes back.
    pub needed_minutes: u32,
    /// How it stands.
    pub standing: Standing,
    /// True if it is on trial and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl std::fmt::Display for RuleReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let measure = self.measure.as_deref().unwrap_or(self.check.as_str());
        let said = sentence(self.guard, measure, self.unit, (self.measured, self.limit));
        write!(
            f,
            "{said}, broken in {} of {} minutes; rolled back at {}",
            self.failing_minutes, self.of_minutes, self.needed_minutes
        )
    }
}

/// What was measured against which limit, in words.
pub(super) fn sentence(
    guard: Option<Guard>,
    measure: &str,
    unit: Unit,
    (measured, limit): (Option<f64>, Option<f64>),
) -> String {
    let show = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| unit.show(value));
    let what = match guard {
        Some(Guard::AlarmRed) => {
            return match measured {
                Some(red) if red > 0.0 => format!("alarm {measure} is red"),
                Some(_) => format!("alarm {measure} is not red"),
                None => format!("alarm {measure} does not exist, or was not read"),
            };
        }
        Some(Guard::NoValue) => format!("values of {measure} for green"),
        None => format!("{measure} of green"),
        Some(Guard::NoHealthyTarget) => "healthy targets of green".to_owned(),
        Some(Guard::BalancerErrors) => "requests answered with 5xx by the load balancer itself".to_owned(),
        Some(Guard::ConnectionsRunOut) => "database connections headed for".to_owned(),
        Some(Guard::BothFail) => "failed requests of both colors together".to_owned(),
    };
    let side = match (measured, limit) {
        (Some(measured), Some(limit)) if measured < limit => "under",
        (Some(measured), Some(limit)) if measured > limit => "over",
        (Some(_), Some(_)) => "at",
        (None, _) | (_, None) => "against",
    };
    format!("{what} {} {side} the limit {}", show(measured), show(limit))
}
