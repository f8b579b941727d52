//! The table: what was released, what became of it, and why.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_model::{
    status::{ReleaseStatus, Summary},
    verdict::{Check, Verdict},
};

use super::versions::Expected;

/// With fewer requests in a minute of the world the machine was too slow, and nothing is proven.
pub const FEWEST_REQUESTS: f64 = 300.0;
/// The word for a release that is to stay.
const SETTLES: &str = "settles";

/// All releases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// How many times faster than real time the world was.
    pub speed: u32,
    /// Requests a second, in real time.
    pub rate: u32,
    /// In the order in which they were.
    pub releases: Vec<Release>,
}

/// One release.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The version's name.
    pub version: String,
    /// What it does.
    pub does: String,
    /// The check that must roll it back; none if it must stay.
    pub expected: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Minutes of the world's time from its first weight to the call that stopped it, or until it had settled.
    pub minutes: f64,
    /// Requests a minute of the world's time meanwhile, both colours together.
    pub requests_a_minute: f64,
    /// Requests that it served until then.
    pub green_requests: f64,
    /// How many of those failed.
    pub failed: f64,
    /// Checkouts that were refused.
    pub lost_checkouts: u64,
    /// Most connections that the database had meanwhile.
    pub most_connections: f64,
}

/// What became of a release, by its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The check that rolled it back; none if it settled, or went back for another reason.
    pub check: Option<String>,
    /// True if it settled.
    pub settled: bool,
    /// Requests that were slow, as they were judged.
    pub slow: f64,
    /// Why, in the status's own words.
    pub explanation: String,
}

impl From<Expected> for Option<String> {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::RolledBack(check) => Some(check.as_str().to_owned()),
            Expected::Settled => None,
        }
    }
}

impl Outcome {
    /// Reads it from the status of a release that is over.
    pub fn read(status: &ReleaseStatus) -> Self {
        let verdict = status.verdict.as_ref();
        let evidence = verdict.and_then(|verdict| verdict.evidence.as_ref());
        let told =
            verdict.zip(evidence).map(|(verdict, evidence)| format!("{}: {evidence}", verdict.message));
        let cause = status.rollout.cause.clone().unwrap_or_default();
        let went_back = status.summary == Summary::RolledBack;
        let by_verdict = status.rollout.cause_reason.as_deref() == Some("verdict");
        let check = verdict.and_then(|verdict| match &verdict.verdict {
            Verdict::Fail(finding) => Some(finding.check),
            Verdict::Pass | Verdict::Undecided | Verdict::Suspect | Verdict::NoData { .. } => None,
        });
        let metrics = evidence.map(|evidence| &evidence.metrics[..]).unwrap_or_default();
        let slow = metrics.iter().filter(|metric| metric.check == Check::Latency);
        Self {
            check: check.filter(|_| went_back && by_verdict).map(|check| check.as_str().to_owned()),
            settled: status.summary == Summary::Healthy,
            slow: slow.map(|metric| metric.green_counted).fold(0.0, f64::max),
            explanation: if went_back { cause } else { told.unwrap_or_default() },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.check, self.settled) {
            (_, true) => write!(f, "settled: {}", self.explanation),
            (Some(check), false) => write!(f, "rolled back by {check}: {}", self.explanation),
            (None, false) => write!(f, "went back for another reason: {}", self.explanation),
        }
    }
}

impl Release {
    /// True if it became what it must, with its reason told, under enough traffic to tell.
    pub fn is_right(&self) -> bool {
        let became = match &self.expected {
            Some(check) => self.outcome.check.as_ref() == Some(check),
            None => self.outcome.settled,
        };
        became && !self.outcome.explanation.is_empty() && self.had_traffic()
    }

    fn had_traffic(&self) -> bool {
        self.requests_a_minute >= FEWEST_REQUESTS
    }

    /// What customers had of it. Some requests are slow on any service: they are told where that is what is wrong.
    fn harm(&self) -> String {
        let is_slow = self.expected.as_deref() == Some(Check::Latency.as_str());
        let slow = if is_slow { self.outcome.slow } else { 0.0 };
        let harms = [
            (format!("{:.0}", self.failed), "failed"),
            (format!("{slow:.0}"), "slow"),
            (self.lost_checkouts.to_string(), "checkouts lost"),
        ];
        let done = harms.iter().filter(|(count, _)| count != "0");
        done.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }

    fn became(&self) -> String {
        match (&self.outcome.check, self.outcome.settled) {
            (_, true) => SETTLES.to_owned(),
            (Some(check), false) => check.clone(),
            (None, false) => "went back".to_owned(),
        }
    }
}

impl Report {
    /// True if every release was right.
    pub fn is_right(&self) -> bool {
        !self.releases.is_empty() && self.releases.iter().all(Release::is_right)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n── What was released, and what became of it {}", "─".repeat(25))?;
        let [stopped, by] = ["must be stopped by", "was stopped by"];
        writeln!(f, "  version    {stopped:<20} {by:<20} minutes   req/min   served  connections  of these")?;
        for release in &self.releases {
            let mark = if release.is_right() { "✓" } else { "✗" };
            writeln!(
                f,
                "{mark} {:<10} {:<20} {:<20} {:>7.1} {:>9.0} {:>8.0} {:>12.0}  {}",
                release.version,
                release.expected.as_deref().unwrap_or(SETTLES),
                release.became(),
                release.minutes,
                release.requests_a_minute,
                release.green_requests,
                release.most_connections,
                release.harm(),
            )?;
            writeln!(f, "             it {}", release.does)?;
            writeln!(f, "             status: {}", release.outcome.explanation)?;
            if !release.had_traffic() {
                writeln!(
                    f,
                    "             the machine is too slow: fewer than {FEWEST_REQUESTS} requests a minute; try a lower --speed"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(expected: Option<&str>, check: Option<&str>, settled: bool) -> Release {
        let outcome = Outcome {
            check: check.map(str::to_owned),
            settled,
            slow: 0.0,
            explanation: "errors of green 1.00 % against 0.10 % of blue".to_owned(),
        };
        Release {
            version: "failing".to_owned(),
            does: "fails one request in a hundred".to_owned(),
            expected: expected.map(str::to_owned),
            outcome,
            minutes: 9.0,
            requests_a_minute: 450.0,
            green_requests: 900.0,
            failed: 9.0,
            lost_checkouts: 0,
            most_connections: 24.0,
        }
    }

    #[test]
    fn a_bad_version_must_be_stopped_by_its_own_check_and_a_good_one_must_stay() {
        assert!(release(Some("errors"), Some("errors"), false).is_right());
        assert!(!release(Some("errors"), Some("latency"), false).is_right());
        assert!(!release(Some("errors"), None, false).is_right());
        assert!(!release(Some("errors"), None, true).is_right());
        assert!(release(None, None, true).is_right());
        assert!(!release(None, Some("errors"), false).is_right());
    }

    #[test]
    fn too_little_traffic_or_no_explanation_proves_nothing() {
        let right = release(None, None, true);
        let slow = Release { requests_a_minute: 299.0, ..right.clone() };
        let mute =
            Release { outcome: Outcome { explanation: String::new(), ..right.outcome.clone() }, ..right };
        let report = |releases| Report { speed: 20, rate: 150, releases };
        assert!(
            !report(vec![slow.clone()]).is_right()
                && !report(vec![mute]).is_right()
                && !report(vec![]).is_right()
        );
        assert!(report(vec![slow]).to_string().contains("too slow"));
    }

    #[test]
    fn the_table_tells_harm_and_explanation() {
        let text =
            Report { speed: 20, rate: 150, releases: vec![release(Some("errors"), Some("errors"), false)] }
                .to_string();
        for part in ["✓ failing", "9 failed", "status: errors of green 1.00 %", "450"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
