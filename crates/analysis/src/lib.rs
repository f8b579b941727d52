//! Verdicts: judging green against blue from closed CloudWatch minutes.
//!
//! One function, [`judge`], called by the planner in every pass in which green has production weight. Failed requests are judged
//! by evidence that is calibrated on the service's own history ([`calibrate`], [`Process`]); latency, targets and connections are
//! red flags with wide limits. Pure: no clock, no I/O; what is not in the question does not exist.

use jiff::Timestamp;
use tidegate_model::{
    observation::{Counts, Minute, TargetGroup},
    spec::Checks,
    verdict::{Baseline, Check, Evidence, Finding, Unit, Verdict},
};

mod baseline;
mod calibration;
mod errors;
mod evidence;

pub use baseline::baseline;
pub use calibration::{MINUTES as CALIBRATION_MINUTES, calibrate, uncalibrated};
pub use errors::{EVIDENCE_MINUTES, LIMIT, SUSPECT};
pub use evidence::{Effects, Pair, Process, Tally};

/// Latency, targets and connections are red flags: every one of the last three minutes must fail.
const RED_FLAG_MINUTES: usize = 3;
/// Green's p95 may be this many times the worse of blue now and blue's history (the guide's 200 ms against 50 ms).
const LATENCY_FACTOR: f64 = 4.0;
/// No p95 below this is a red flag, in seconds: on a service that answers in 2 ms four times that is nobody's pain.
const LATENCY_FLOOR: f64 = 0.1;
/// A p95 of fewer requests than this is the opinion of a single one.
const LATENCY_MIN_REQUESTS: f64 = 20.0;
/// Both colours together may hold this many times the connections that blue held alone, and five more for deploy tools.
const CONNECTION_LIMIT: (f64, f64) = (2.0, 5.0);
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
    pub checks: Checks,
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
    /// What speaks for green failing more often, if it was compared with blue.
    pub evidence: Option<Evidence>,
}

/// Judges green against blue. Fail beats no data, no data beats everything else; the first failing check in the order
/// errors, targets, latency, connections is the finding.
pub fn judge(question: &Question<'_>) -> Judgement {
    let judged: Vec<&Minute> = question
        .minutes
        .iter()
        .filter(|minute| minute.at.as_second() + 60 > question.traffic_since.as_second())
        .collect();
    let evidence = question.checks.errors.is_on().then(|| errors::evidence(question, &judged)).flatten();
    let verdict = finding(question, &judged, evidence.as_ref())
        .map_or_else(|| without_finding(question, &judged, evidence.as_ref()), Verdict::Fail);
    Judgement { verdict, until: judged.last().map(|minute| minute.at), evidence }
}

fn finding(question: &Question<'_>, judged: &[&Minute], evidence: Option<&Evidence>) -> Option<Finding> {
    let checks = question.checks;
    None.or_else(|| checks.errors.is_on().then(|| errors::finding(question, judged, evidence)).flatten())
        .or_else(|| checks.targets.is_on().then(|| targets(question, judged)).flatten())
        .or_else(|| checks.latency.is_on().then(|| latency(question, judged)).flatten())
        .or_else(|| checks.database_connections.is_on().then(|| connections(question, judged)).flatten())
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

/// A measured value over its limit in one minute.
struct Breach {
    at: Timestamp,
    measured: f64,
    limit: f64,
}

/// Looks at the last `window` minutes and finds, if at least `needed` of them breach.
fn in_window(
    judged: &[&Minute],
    (window, needed): (usize, usize),
    check: Check,
    unit: Unit,
    breach: impl Fn(&Minute) -> Option<Breach>,
) -> Option<Finding> {
    let looked_at = &judged[judged.len().saturating_sub(window)..];
    let breaches: Vec<Breach> = looked_at.iter().filter_map(|minute| breach(minute)).collect();
    if breaches.len() < needed {
        return None;
    }
    let worst = breaches.iter().max_by(|a, b| a.measured.total_cmp(&b.measured))?;
    Some(Finding {
        check,
        measured: worst.measured,
        limit: worst.limit,
        unit,
        first_failing: breaches.first()?.at,
        failing_minutes: u32::try_from(breaches.len()).unwrap_or(u32::MAX),
        of_minutes: u32::try_from(looked_at.len()).unwrap_or(u32::MAX),
        factor: None,
    })
}

fn targets(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
    in_window(judged, (RED_FLAG_MINUTES, RED_FLAG_MINUTES), Check::Targets, Unit::Count, |minute| {
        let measured = minute.groups.get(question.green)?.unhealthy?;
        (measured > 0.0).then_some(Breach { at: minute.at, measured, limit: 0.0 })
    })
}

fn latency(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
    let history = question.baseline.and_then(|b| b.latency);
    in_window(judged, (RED_FLAG_MINUTES, RED_FLAG_MINUTES), Check::Latency, Unit::Seconds, |minute| {
        let green = minute.groups.get(question.green)?;
        let measured = green.latency.filter(|_| green.requests.is_some_and(|r| r >= LATENCY_MIN_REQUESTS))?;
        let now = minute.groups.get(question.blue).and_then(|blue| blue.latency);
        let reference = now.into_iter().chain(history).reduce(f64::max)?;
        let limit = (LATENCY_FACTOR * reference).max(LATENCY_FLOOR);
        (measured > limit).then_some(Breach { at: minute.at, measured, limit })
    })
}

fn connections(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
    let before = question.baseline.and_then(|b| b.connections)?;
    let limit = CONNECTION_LIMIT.0 * before + CONNECTION_LIMIT.1;
    let window = (RED_FLAG_MINUTES, RED_FLAG_MINUTES);
    in_window(judged, window, Check::DatabaseConnections, Unit::Count, |minute| {
        let measured = minute.connections?;
        (measured > limit).then_some(Breach { at: minute.at, measured, limit })
    })
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
