//! Limits that need no statistics: red flags for targets, latency and connections, and the teams' own.
//!
//! Called by the judge. Each looks at the last few closed minutes and finds, if enough of them break its limit. Pure.

use jiff::Timestamp;
use tidegate_model::{
    MetricName,
    observation::Minute,
    spec::{MetricCheck, MetricRule},
    verdict::{Check, Finding, Unit},
};

use super::Question;

/// Latency, targets and connections are red flags: every one of the last three minutes must fail.
const RED_FLAG_MINUTES: usize = 3;
/// Green's p95 may be this many times the worse of blue now and blue's history (the guide's 200 ms against 50 ms).
const LATENCY_FACTOR: f64 = 4.0;
/// No p95 below this is a red flag, in seconds: on a service that answers in 2 ms four times that is nobody's pain.
const LATENCY_FLOOR: f64 = 0.1;
/// A p95 of fewer requests than this is the opinion of a single one.
const LATENCY_MIN_REQUESTS: f64 = 20.0;
/// Both colors together may hold this many times the connections that blue held alone, and five more for deploy tools.
const CONNECTION_LIMIT: (f64, f64) = (2.0, 5.0);

/// A measured value over its limit in one minute.
pub(super) struct Breach {
    pub(super) at: Timestamp,
    pub(super) measured: f64,
    pub(super) limit: f64,
}

/// Looks at the last `window` minutes and finds, if at least `needed` of them breach.
pub(super) fn in_window(
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
        measure: None,
    })
}

pub(super) fn targets(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
    in_window(judged, (RED_FLAG_MINUTES, RED_FLAG_MINUTES), Check::Targets, Unit::Count, |minute| {
        let measured = minute.groups.get(question.green)?.unhealthy?;
        (measured > 0.0).then_some(Breach { at: minute.at, measured, limit: 0.0 })
    })
}

pub(super) fn latency(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
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

pub(super) fn connections(question: &Question<'_>, judged: &[&Minute]) -> Option<Finding> {
    let before = question.baseline.and_then(|b| b.connections)?;
    let limit = CONNECTION_LIMIT.0 * before + CONNECTION_LIMIT.1;
    let window = (RED_FLAG_MINUTES, RED_FLAG_MINUTES);
    in_window(judged, window, Check::DatabaseConnections, Unit::Count, |minute| {
        let measured = minute.connections?;
        (measured > limit).then_some(Breach { at: minute.at, measured, limit })
    })
}

/// A team's own limit on a metric of its own; `None` also for rules that are judged by evidence.
pub(super) fn metric(
    question: &Question<'_>,
    judged: &[&Minute],
    (name, check): (&MetricName, &MetricCheck),
) -> Option<Finding> {
    let window = (check.of as usize, check.failing.max(1) as usize);
    let found = in_window(judged, window, Check::Metrics, Unit::Plain, |minute| {
        if !counts_already(question, check, minute) {
            return None;
        }
        let sides = minute.metrics.get(name)?;
        let measured = sides.green.filter(|value| value.is_finite())?;
        let blue = sides.blue.filter(|value| value.is_finite());
        let (limit, broken) = match check.judge {
            MetricRule::Drop | MetricRule::Rise => return None,
            MetricRule::Above(limit) => (limit, measured > limit),
            MetricRule::Below(limit) => (limit, measured < limit),
            MetricRule::TimesBlue(times) => (times * blue?, measured > times * blue?),
            MetricRule::OverBlue(more) => (blue? + more, measured > blue? + more),
        };
        broken.then_some(Breach { at: minute.at, measured, limit })
    })?;
    Some(Finding { measure: Some(name.to_string()), ..found })
}

/// False for the first minutes of green under traffic, if the check leaves them out.
pub(super) fn counts_already(question: &Question<'_>, check: &MetricCheck, minute: &Minute) -> bool {
    check.after.is_none_or(|after| minute.at >= question.traffic_since + after.duration())
}
