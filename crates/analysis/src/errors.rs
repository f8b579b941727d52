//! Whether green's requests fail more often than blue's.
//!
//! Called by the judge. While both colours have traffic, evidence over all closed minutes since green's first weight decides;
//! where blue has none, there is nothing to compare with, and a fixed limit on blue's history does. Pure.

use std::f64::consts::LN_10;

use tidegate_model::{
    observation::{Counts, Minute},
    verdict::{Check, Evidence, Finding, Unit},
};

use super::{Breach, Question, in_window};
use crate::evidence::{Effects, Pair, Process, Tally};

/// A good release is rolled back once in so many: `1/alpha` of Ville's inequality, as a power of ten.
pub const LIMIT: f64 = 3.0;
/// From this evidence on, as a power of ten, a release is suspect.
pub const SUSPECT: f64 = 1.0;
/// Evidence is gathered over this many minutes from green's first weight on: the longest ramp that is usual and a first hour
/// of bake. Each pass makes it anew, so more would cost without telling more: blue has no traffic by then.
pub const EVIDENCE_MINUTES: u32 = 180;
/// Error minutes are looked for in this many closed minutes, and this many of them must fail.
const WINDOW: (usize, usize) = (5, 3);
/// A minute can fail on errors only with at least this many failed requests: one failure is noise at any rate.
const MIN_FAILURES: f64 = 2.0;
/// Green's error rate may be this many times the worse of blue now and blue's history.
const FACTOR: f64 = 2.0;
/// Blue has traffic in a minute if it has at least this share of the requests.
const BLUE_SHARE: f64 = 0.005;

/// The evidence, if blue's history was calibrated and every minute since green's first weight is there.
pub(super) fn evidence(question: &Question<'_>, judged: &[&Minute]) -> Option<Evidence> {
    let calibration = question.baseline?.calibration.as_ref()?;
    let whole = question.minutes.first()?.at <= question.traffic_since;
    let pairs: Vec<Pair> = judged.iter().filter_map(|minute| pair(question, minute)).collect();
    if !whole || pairs.is_empty() {
        return None;
    }
    let mut process = Process::new(calibration, &Effects::errors());
    let mut sum = Pair::default();
    let mut peak: f64 = 0.0;
    for pair in &pairs {
        process.see(pair);
        peak = peak.max(process.ln_evidence());
        for (sum, part) in [(&mut sum.blue, &pair.blue), (&mut sum.green, &pair.green)] {
            sum.requests += part.requests;
            sum.failures += part.failures;
        }
    }
    Some(Evidence {
        minutes: u32::try_from(pairs.len()).unwrap_or(u32::MAX),
        blue_requests: sum.blue.requests,
        blue_failures: sum.blue.failures,
        green_requests: sum.green.requests,
        green_failures: sum.green.failures,
        // Ville's inequality is about the highest evidence ever: what reached the limit once stays so, unless its minutes
        // are corrected.
        factor: if peak >= LIMIT * LN_10 { peak } else { process.ln_evidence() } / LN_10,
        limit: LIMIT,
        calibration: calibration.describe(),
    })
}

/// A minute's counts of both colours; `None` if green has none, or the counts cannot be.
fn pair(question: &Question<'_>, minute: &Minute) -> Option<Pair> {
    let green = tally(minute.groups.get(question.green)?)?;
    let blue = minute.groups.get(question.blue).map_or(Some(Tally::default()), tally)?;
    (green.requests > 0.0).then_some(Pair { blue, green })
}

/// Connections that a group refused are failures without a request that reached a target, so there are at least as many
/// requests as failures.
pub(crate) fn tally(counts: &Counts) -> Option<Tally> {
    let possible = |n: f64| n.is_finite() && (0.0..=1e15).contains(&n);
    let (requests, failures) = (counts.requests.unwrap_or(0.0), counts.failures);
    (possible(requests) && possible(failures))
        .then(|| Tally { requests: requests.max(failures).round(), failures: failures.round() })
}

/// What failed, if the evidence reaches the limit, or the fixed rule does where there is none.
pub(super) fn finding(
    question: &Question<'_>,
    judged: &[&Minute],
    evidence: Option<&Evidence>,
) -> Option<Finding> {
    let decided = evidence.filter(|evidence| evidence.factor >= evidence.limit);
    decided.and_then(|evidence| by_evidence(question, judged, evidence)).or_else(|| {
        let compared = evidence.is_some();
        by_rule(question, judged, |minute| !compared || !has_blue(question, minute))
    })
}

fn by_evidence(question: &Question<'_>, judged: &[&Minute], evidence: &Evidence) -> Option<Finding> {
    let blue = evidence.blue_failures / evidence.blue_requests.max(1.0);
    let measured = (evidence.green_failures / evidence.green_requests.max(1.0)).min(1.0);
    let worse = judged
        .iter()
        .filter(|minute| pair(question, minute).is_some_and(|p| p.green.failures > blue * p.green.requests));
    let failing: Vec<&&Minute> = worse.collect();
    Some(Finding {
        check: Check::Errors,
        measured,
        limit: blue,
        unit: Unit::Ratio,
        first_failing: failing.first().or(judged.first().as_ref())?.at,
        failing_minutes: u32::try_from(failing.len()).unwrap_or(u32::MAX),
        of_minutes: evidence.minutes,
        factor: Some(evidence.factor),
    })
}

fn has_blue(question: &Question<'_>, minute: &Minute) -> bool {
    let requests = |group| minute.groups.get(group).and_then(|c: &Counts| c.requests).unwrap_or(0.0);
    let (blue, green) = (requests(question.blue), requests(question.green));
    blue > BLUE_SHARE * (blue + green)
}

/// Twice the worse of blue now and blue's history, at least two failures, in three of the last five minutes.
fn by_rule(
    question: &Question<'_>,
    judged: &[&Minute],
    applies: impl Fn(&Minute) -> bool,
) -> Option<Finding> {
    let history = question.baseline.filter(|b| b.requests > 0.0).map_or(0.0, |b| b.failures / b.requests);
    in_window(judged, WINDOW, Check::Errors, Unit::Ratio, |minute| {
        let green = minute.groups.get(question.green).filter(|_| applies(minute))?;
        let now = minute.groups.get(question.blue).and_then(rate).unwrap_or(0.0);
        // Connections that green refused are failures without a request that reached a target.
        let measured = rate(green).unwrap_or(if green.failures > 0.0 { 1.0 } else { 0.0 });
        let limit = FACTOR * now.max(history);
        (green.failures >= MIN_FAILURES && measured > limit).then_some(Breach {
            at: minute.at,
            measured,
            limit,
        })
    })
}

fn rate(counts: &Counts) -> Option<f64> {
    counts.requests.filter(|requests| *requests > 0.0).map(|requests| (counts.failures / requests).min(1.0))
}
