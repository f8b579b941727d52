//! Limits that need no statistics: red flags for targets, latency and connections, and the teams' own.
//!
//! Called by the judge. Pure.

use tidegate_model::{
    MetricName,
    observation::Minute,
    spec::{MetricCheck, MetricRule, Preset, Toggle},
    verdict::{Check, Guard, Unit},
};

use super::Question;
use crate::{
    errors,
    rules::{Look, Looker, Rule, Window},
};

/// Latency, targets and connections are red flags: every one of the last three minutes must fail.
const RED_FLAG: Window = Window::in_a_row(3);
/// Green's p95 may be this many times the worse of blue now and blue's history (the guide's 200 ms against 50 ms).
const LATENCY_FACTOR: f64 = 4.0;
/// No p95 below this is a red flag, in seconds: on a service that answers in 2 ms four times that is nobody's pain.
const LATENCY_FLOOR: f64 = 0.1;
/// A p95 of fewer requests than this is the opinion of a single one.
const LATENCY_MIN_REQUESTS: f64 = 20.0;
/// Where nothing is known of how connections vary, both colors together may hold this many times the connections that blue held alone, and five more for deploy tools.
const CONNECTION_LIMIT: (f64, f64) = (2.0, 5.0);

/// The guide's factors on failed requests, p95 and database connections.
const GUIDE: (f64, f64, f64) = (2.0, 1.2, 2.0);

/// The limits of the checks that are built in.
pub(super) fn built_in<'a>(question: &'a Question<'a>) -> Vec<Rule<'a>> {
    let red_flag = |toggle, check, unit, look| Rule {
        toggle,
        check,
        guard: None,
        measure: None,
        unit,
        holds: None,
        fails: RED_FLAG,
        look,
    };
    let checks = question.checks;
    let mut rules = vec![
        red_flag(checks.targets, Check::Targets, Unit::Count, targets(question)),
        red_flag(checks.latency, Check::Latency, Unit::Seconds, latency(question)),
    ];
    if let Some(look) = connections(question) {
        rules.push(red_flag(checks.database_connections, Check::DatabaseConnections, Unit::Count, look));
    }
    rules
}

/// Green's unhealthy targets, beyond blue's: what makes both sick is not green's fault.
fn targets<'a>(question: &'a Question<'a>) -> Looker<'a> {
    Box::new(|minute| {
        let measured = minute.groups.get(question.green)?.unhealthy?;
        let blue = minute.groups.get(question.blue).and_then(|counts| counts.unhealthy);
        Some(Look::above(measured, blue.filter(|blue| *blue >= 0.0).unwrap_or(0.0)))
    })
}

fn latency<'a>(question: &'a Question<'a>) -> Looker<'a> {
    let history = question.baseline.and_then(|b| b.latency);
    Box::new(move |minute| {
        let green = minute.groups.get(question.green)?;
        let measured = green.latency.filter(|_| green.requests.is_some_and(|r| r >= LATENCY_MIN_REQUESTS))?;
        let now = minute.groups.get(question.blue).and_then(|blue| blue.latency);
        let reference = now.into_iter().chain(history).reduce(f64::max)?;
        Some(Look::above(measured, (LATENCY_FACTOR * reference).max(LATENCY_FLOOR)))
    })
}

fn connections<'a>(question: &'a Question<'a>) -> Option<Looker<'a>> {
    let baseline = question.baseline.filter(|baseline| baseline.connection_history.is_none())?;
    let before = baseline.connections?;
    let limit = CONNECTION_LIMIT.0 * before + CONNECTION_LIMIT.1;
    Some(Box::new(move |minute| Some(Look::above(minute.connections?, limit))))
}

/// The limits on metrics of the team's own; rules that are judged by evidence are none.
pub(super) fn of_the_team<'a>(question: &'a Question<'a>) -> impl Iterator<Item = Rule<'a>> {
    let metrics = question.checks.metrics.iter().filter(|(_, check)| check.judge.alarm().is_none());
    metrics.flat_map(move |(name, check)| {
        let limit = (!check.judge.by_evidence()).then(|| Rule {
            toggle: toggle(check),
            check: Check::Metrics,
            guard: None,
            measure: Some(name.to_string()),
            unit: Unit::Plain,
            holds: None,
            fails: Window { needed: check.failing.max(1) as usize, of: check.of as usize },
            look: Box::new(move |minute| metric(question, (name, check), minute)),
        });
        limit.into_iter().chain(check.missing.map(|minutes| no_value(question, (name, check), minutes)))
    })
}

/// What a metric of the team's own may do.
pub(super) fn toggle(check: &MetricCheck) -> Toggle {
    if check.dry_run { Toggle::DryRun } else { Toggle::On }
}

/// No value of green's in so many minutes one after another.
fn no_value<'a>(
    question: &'a Question<'a>,
    (name, check): (&'a MetricName, &'a MetricCheck),
    minutes: u32,
) -> Rule<'a> {
    Rule {
        toggle: toggle(check),
        check: Check::Metrics,
        guard: Some(Guard::NoValue),
        measure: Some(name.to_string()),
        unit: Unit::Count,
        holds: None,
        fails: Window::in_a_row(minutes.max(1) as usize),
        look: Box::new(move |minute| {
            let counts = counts_already(question, check, minute) && minute.at >= question.traffic_since;
            let value = minute.metrics.get(name).and_then(|sides| sides.green).filter(|v| v.is_finite());
            let measured = f64::from(u8::from(value.is_some()));
            counts.then_some(Look { measured, limit: 1.0, broken: value.is_none() })
        }),
    }
}

/// The guide's thresholds. Each obeys its check's switch.
pub(super) fn preset<'a>(question: &'a Question<'a>) -> Vec<Rule<'a>> {
    let checks = question.checks;
    match checks.preset {
        None => vec![],
        Some(Preset::Guide) => {
            let rule = |toggle, check, measure: &str, unit, look| Rule {
                toggle,
                check,
                guard: None,
                measure: Some(format!("{measure}, by the guide,")),
                unit,
                holds: None,
                fails: RED_FLAG,
                look,
            };
            vec![
                rule(checks.errors, Check::Errors, "failed requests", Unit::Ratio, guide_errors(question)),
                rule(checks.latency, Check::Latency, "p95", Unit::Seconds, guide_latency(question)),
                rule(
                    checks.database_connections,
                    Check::DatabaseConnections,
                    "database connections",
                    Unit::Count,
                    guide_connections(question),
                ),
            ]
        }
    }
}

/// Above twice blue's average before the release.
fn guide_errors<'a>(question: &'a Question<'a>) -> Looker<'a> {
    let before = question.baseline.filter(|b| b.requests > 0.0).map(|b| b.failures / b.requests);
    Box::new(move |minute| {
        let green = errors::pair(question, minute)?.green;
        Some(Look::above(green.failures / green.requests, GUIDE.0 * before?))
    })
}

/// Above blue's in the same minute by a fifth.
fn guide_latency<'a>(question: &'a Question<'a>) -> Looker<'a> {
    Box::new(|minute| {
        let p95 = |group| minute.groups.get(group).and_then(|counts| counts.latency);
        Some(Look::above(p95(question.green)?, GUIDE.1 * p95(question.blue)?))
    })
}

/// Green uses no more than blue did, so both together no more than twice as many.
fn guide_connections<'a>(question: &'a Question<'a>) -> Looker<'a> {
    let before = question.baseline.and_then(|b| b.connections);
    Box::new(move |minute| Some(Look::above(minute.connections?, GUIDE.2 * before?)))
}

fn metric(
    question: &Question<'_>,
    (name, check): (&MetricName, &MetricCheck),
    minute: &Minute,
) -> Option<Look> {
    if !counts_already(question, check, minute) {
        return None;
    }
    let sides = minute.metrics.get(name)?;
    let measured = sides.green.filter(|value| value.is_finite())?;
    let blue = sides.blue.filter(|value| value.is_finite());
    match check.judge {
        MetricRule::Drop
        | MetricRule::Rise
        | MetricRule::Higher
        | MetricRule::Lower
        | MetricRule::Alarm(_) => None,
        MetricRule::Above(limit) => Some(Look::above(measured, limit)),
        MetricRule::Below(limit) => Some(Look { measured, limit, broken: measured < limit }),
        MetricRule::TimesBlue(times) => Some(Look::above(measured, times * blue?)),
        MetricRule::OverBlue(more) => Some(Look::above(measured, blue? + more)),
    }
}

/// False for the first minutes of green under traffic, if the check leaves them out.
pub(super) fn counts_already(question: &Question<'_>, check: &MetricCheck, minute: &Minute) -> bool {
    check.after.is_none_or(|after| minute.at >= question.traffic_since + after.duration())
}
