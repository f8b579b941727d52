//! Verdicts: judging green against blue from closed CloudWatch minutes.
//!
//! One function, [`judge`], called by the planner in every pass in which green has production weight. Failed requests, slow
//! requests and a team's own counts are judged by evidence ([`Process`]), for failures calibrated on the service's own history
//! ([`calibrate`]); targets, connections and a team's own limits by the last few minutes. Pure: no clock, no I/O; what is not
//! in the question does not exist.

use jiff::Timestamp;
use tidegate_model::{
    observation::{Counts, Minute, TargetGroup},
    spec::{Checks, Toggle},
    verdict::{Baseline, Check, Evidence, Finding, Verdict},
};

use compare::Gathered;

mod baseline;
mod calibration;
mod compare;
mod errors;
mod evidence;
mod foresight;
mod history;
mod limits;
mod ramp;

pub use baseline::{RECENT as BASELINE_MINUTES, baseline};
pub use calibration::{calibrate, uncalibrated};
pub use compare::{EVIDENCE_MINUTES, LIMIT, SUSPECT, share_of_errors};
pub use evidence::{Effects, Pair, Process, Tally};
pub use foresight::foresee;
pub use history::{calibrated, windows};
pub use ramp::{FIRST_WEIGHT, Ramping, next_weight};

/// Traffic is due in a minute when the last known total times green's weight lets this many requests be expected.
const DUE_REQUESTS: f64 = 10.0;
/// So many minutes in a row without due traffic are *no data*.
pub const NO_DATA_MINUTES: u32 = 5;
/// The minutes that a pass rests on.
const RECENT: usize = 5;
/// A pass needs this many minutes with data and this many requests in them.
const PASS: (usize, f64) = (3, 30.0);

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which checks are on.
    pub checks: &'a Checks,
    /// The target group that served before.
    pub blue: &'a TargetGroup,
    /// The candidate's target group.
    pub green: &'a TargetGroup,
    /// Blue's history, frozen before the first weight.
    pub baseline: Option<&'a Baseline>,
    /// Closed minutes, oldest first; those before `traffic_since` are not judged.
    pub minutes: &'a [Minute],
    /// Green's production weight now, 0 to 1.
    pub weight: f64,
    /// When green got its first production weight.
    pub traffic_since: Timestamp,
}

/// A verdict and the minutes that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Start of the last closed minute that was looked at.
    pub until: Option<Timestamp>,
    /// What speaks for green being worse, if it was compared with blue.
    pub evidence: Option<Evidence>,
    /// What checks on trial found: it decides nothing.
    pub dry_run: Vec<Finding>,
}

/// Judges green against blue. Fail beats no data, no data beats everything else; the first failing check in the order
/// evidence, errors, targets, latency, connections, the team's metrics is the finding.
pub fn judge(question: &Question<'_>) -> Judgement {
    let judged: Vec<&Minute> = question
        .minutes
        .iter()
        .filter(|minute| minute.at.as_second() + 60 > question.traffic_since.as_second())
        .collect();
    let gathered = compare::gather(question, &judged);
    let (decisive, dry_run): (Vec<_>, Vec<_>) =
        findings(question, &judged, &gathered).into_iter().partition(|(toggle, _)| toggle.is_on());
    let verdict = decisive.into_iter().next().map_or_else(
        || without_finding(question, &judged, gathered.evidence.as_ref()),
        |(_, finding)| Verdict::Fail(finding),
    );
    Judgement {
        verdict,
        until: judged.last().map(|minute| minute.at),
        evidence: gathered.evidence,
        dry_run: dry_run.into_iter().map(|(_, finding)| finding).collect(),
    }
}

/// Everything that fails, each with what its check may do.
fn findings(question: &Question<'_>, judged: &[&Minute], gathered: &Gathered) -> Vec<(Toggle, Finding)> {
    let checks = question.checks;
    let compared = gathered.compared(Check::Errors);
    let limits = [
        (checks.errors, errors::finding(question, judged, compared)),
        (checks.targets, limits::targets(question, judged)),
        (checks.latency, limits::latency(question, judged)),
        (checks.database_connections, limits::connections(question, judged)),
    ];
    let metrics = checks.metrics.iter().map(|(name, check)| {
        let toggle = if check.dry_run { Toggle::DryRun } else { Toggle::On };
        (toggle, limits::metric(question, judged, (name, check)))
    });
    let found = limits.into_iter().chain(metrics).filter(|(toggle, _)| toggle.is_judged());
    let found = found.filter_map(|(toggle, finding)| Some((toggle, finding?)));
    gathered.findings.iter().cloned().chain(found).collect()
}

fn without_finding(question: &Question<'_>, judged: &[&Minute], evidence: Option<&Evidence>) -> Verdict {
    let silent = silent_minutes(question, judged);
    if silent >= NO_DATA_MINUTES {
        return Verdict::NoData { minutes: silent };
    }
    if evidence.is_some_and(|evidence| evidence.factor >= SUSPECT) {
        return Verdict::Suspect;
    }
    let recent = &judged[judged.len().saturating_sub(RECENT)..];
    let possible = |counts: &Counts| counts.requests.and_then(|_| errors::tally(counts));
    let seen: Vec<f64> =
        recent.iter().filter_map(|m| Some(possible(m.groups.get(question.green)?)?.requests)).collect();
    if seen.len() >= PASS.0 && seen.iter().sum::<f64>() >= PASS.1 {
        Verdict::Pass
    } else {
        Verdict::Undecided
    }
}

/// Minutes at the end in which traffic was due and green reported none. Minutes that are not published yet look the same,
/// which is why five are asked for.
fn silent_minutes(question: &Question<'_>, judged: &[&Minute]) -> u32 {
    let total =
        |minute: &Minute| -> f64 { minute.groups.values().filter_map(|counts| counts.requests).sum() };
    let known = question.minutes.iter().rev().map(total).find(|total| *total > 0.0);
    let history = question.baseline.filter(|b| b.minutes > 0).map(|b| b.requests / f64::from(b.minutes));
    let due = known.or(history).is_some_and(|total| total * question.weight >= DUE_REQUESTS);
    if !due {
        return 0;
    }
    let silent = |minute: &&&Minute| {
        minute.groups.get(question.green).is_none_or(|counts| counts.requests.is_none_or(|r| r <= 0.0))
            // The minute in which the first weight came is not wholly green's.
            && minute.at >= question.traffic_since
    };
    u32::try_from(judged.iter().rev().take_while(silent).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
