//! Guards: what a comparison of green with blue cannot see.
//!
//! Called by the judge. A green without healthy targets answers nothing that could be compared; what the load balancer answers
//! itself is in one number for all groups; and a release that hurts what both colors share hurts both alike. Each guard makes
//! green suspect first, which closes `healthy-so-far`, and rolls it back when it stays so. An incident of three minutes that has
//! nothing to do with the release never does. Pure.

use jiff::Timestamp;
use tidegate_model::{
    observation::{Minute, TargetHealth},
    verdict::{Check, Finding, Guard, RuleReading, Standing, Unit},
};

use super::Question;
use crate::{
    errors,
    limits::toggle,
    rules::{Look, Outcome, Rule, Window},
    values::{before_weight, connections},
};

/// Without a healthy target for so many closed minutes green goes back; the second one is not waited for if there is none now.
const NO_TARGET: Window = Window::in_a_row(2);
/// More 5xx of the load balancer itself for so many minutes: suspect, and back.
const BALANCER: (Window, Window) = (Window::but_one(2), Window::but_one(BALANCER_MINUTES));
pub(super) const BALANCER_MINUTES: usize = 5;
/// It counts for so long after the last step, in minutes.
const NEAR_MINUTES: i64 = 15;
/// Both colors failing for so many minutes: suspect, and back. Source: incidents that hit both are over in a few minutes.
const BOTH: (Window, Window) = (Window::but_one(3), Window::but_one(BOTH_MINUTES));
pub(super) const BOTH_MINUTES: usize = 10;
/// Connections that run out, for so many minutes: suspect, and back.
const RUN_OUT: (Window, Window) = (Window::in_a_row(2), Window::but_one(3));
/// Of the most that the server allows, this share counts as full.
const CONNECTIONS: f64 = 0.9;
/// The line goes through so many minutes.
const LINE: usize = 5;
/// And so many minutes ahead, where the ramp ends before.
const AHEAD: f64 = 10.0;
/// So many times as often as the service fails by itself.
const TIMES: f64 = 5.0;
/// And never less than this share of the requests: below it nobody goes back for a guard.
const BALANCER_FLOOR: f64 = 0.005;
const BOTH_FLOOR: f64 = 0.001;
/// A minute with fewer failures is no incident.
pub(super) const MIN_FAILURES: f64 = 10.0;

/// The alarms of the team's own. One that is red decides at once: when that is, it says by itself.
pub(super) fn alarms<'a>(
    question: &'a Question<'a>,
    judged: &'a [&Minute],
) -> impl Iterator<Item = Outcome> + 'a {
    let at = judged.last().map_or(question.traffic_since, |minute| minute.at);
    question.checks.metrics.values().filter_map(move |check| {
        let name = check.judge.alarm()?;
        let early = check.after.is_some_and(|after| at < question.traffic_since + after.duration());
        let found = question.alarms.iter().flat_map(|all| all.iter()).find(|alarm| alarm.name == name);
        let red = found.map(|alarm| alarm.red);
        let broken = red == Some(true) && !early;
        let failing = u32::from(broken);
        let reading = RuleReading {
            check: Check::Metrics,
            guard: Some(Guard::AlarmRed),
            measure: Some(name.to_owned()),
            measured: red.map(|red| f64::from(u8::from(red))),
            limit: Some(0.0),
            unit: Unit::Count,
            failing_minutes: failing,
            of_minutes: 1,
            needed_minutes: 1,
            standing: if broken { Standing::Broken } else { Standing::Kept },
            dry_run: check.dry_run,
        };
        let finding = broken.then(|| Finding {
            check: Check::Metrics,
            measured: 1.0,
            limit: 0.0,
            unit: Unit::Count,
            first_failing: at,
            failing_minutes: 1,
            of_minutes: 1,
            factor: None,
            measure: Some(name.to_owned()),
            guard: Some(Guard::AlarmRed),
        });
        Some(Outcome { toggle: toggle(check), reading, finding })
    })
}

/// Every guard that can be judged.
pub(super) fn all(question: &Question<'_>, judged: &[&Minute]) -> Vec<Outcome> {
    let rules = [balancer_errors(question), both_fail(question), connections_run_out(question, judged)];
    let mut outcomes = vec![no_healthy_target(question, judged)];
    outcomes.extend(rules.into_iter().flatten().map(|rule| rule.judge(judged)));
    outcomes
}

/// No healthy target in a whole minute. With every target unhealthy a load balancer sends to all of them; with none registered
/// it answers 503 itself.
fn no_healthy_target(question: &Question<'_>, judged: &[&Minute]) -> Outcome {
    let rule = Rule {
        toggle: question.checks.targets,
        check: Check::Targets,
        guard: Some(Guard::NoHealthyTarget),
        measure: None,
        unit: Unit::Count,
        holds: Some(Window::in_a_row(1)),
        fails: NO_TARGET,
        look: Box::new(|minute| {
            let green = minute.groups.get(question.green)?.healthy?;
            let blue = minute.groups.get(question.blue);
            let both = blue.is_some_and(|b| b.healthy == Some(0.0) && b.unhealthy.is_some_and(|n| n > 0.0));
            let broken = green == 0.0 && !both && question.weight > 0.0;
            Some(Look { measured: green, limit: 1.0, broken })
        }),
    };
    let mut outcome = rule.judge(judged);
    let now = question.health.filter(|health| {
        let dead = |targets: TargetHealth| targets.healthy == 0;
        dead(health.green) && !(dead(health.blue) && health.blue.unhealthy > 0) && question.weight > 0.0
    });
    if now.is_some() && outcome.reading.standing != Standing::Broken {
        let reading = &mut outcome.reading;
        (reading.measured, reading.limit) = (Some(0.0), Some(1.0));
        let confirmed = judged.last().filter(|minute| nothing_works(question, minute));
        reading.standing = if confirmed.is_some() { Standing::Broken } else { Standing::Suspect };
        outcome.finding = confirmed.map(|minute| dead_now(minute.at));
    }
    outcome
}

/// In this minute green had no healthy target, or it reported neither targets nor requests.
fn nothing_works(question: &Question<'_>, minute: &Minute) -> bool {
    let silent = minute.at >= question.traffic_since;
    minute.groups.get(question.green).map_or(silent, |counts| match counts.healthy {
        Some(healthy) => healthy == 0.0,
        None => silent && counts.requests.is_none(),
    })
}

fn dead_now(at: Timestamp) -> Finding {
    Finding {
        check: Check::Targets,
        measured: 0.0,
        limit: 1.0,
        unit: Unit::Count,
        first_failing: at,
        failing_minutes: 1,
        of_minutes: 1,
        factor: None,
        measure: None,
        guard: Some(Guard::NoHealthyTarget),
    }
}

/// What the load balancer answers itself with 5xx, of all its requests.
fn balancer_errors<'a>(question: &'a Question<'a>) -> Option<Rule<'a>> {
    let [usual, worst] = question.baseline?.balancer?;
    let limit = (TIMES * usual).max(worst).max(BALANCER_FLOOR);
    Some(Rule {
        toggle: question.checks.errors,
        check: Check::Errors,
        guard: Some(Guard::BalancerErrors),
        measure: None,
        unit: Unit::Ratio,
        holds: Some(BALANCER.0),
        fails: BALANCER.1,
        look: Box::new(move |minute| {
            let (errors, share) = of_balancer(minute).filter(|_| is_near_a_step(question, minute))?;
            Some(Look { measured: share, limit, broken: errors >= MIN_FAILURES && share > limit })
        }),
    })
}

/// While green's weight grows and shortly after. Its one number is of every target group: later on it would be anybody's.
fn is_near_a_step(question: &Question<'_>, minute: &Minute) -> bool {
    let seconds = 60 * (i64::from(question.ramp_minutes) + NEAR_MINUTES);
    minute.at.as_second() - question.traffic_since.as_second() <= seconds
}

/// How many requests the load balancer answered itself with 5xx, and their share; `None` if it is not known.
pub(super) fn of_balancer(minute: &Minute) -> Option<(f64, f64)> {
    let possible = |n: &f64| n.is_finite() && (0.0..=1e15).contains(n);
    let (requests, errors) = (minute.balancer_requests, minute.balancer_errors);
    if !requests.iter().chain(&errors).all(possible) {
        return None;
    }
    // It chose no target for what it answered itself, or chose one that never answered.
    let all = requests.or(errors)?.max(errors.unwrap_or(0.0));
    (all > 0.0).then(|| (errors.unwrap_or(0.0), errors.unwrap_or(0.0) / all))
}

/// Failures of both colors together while both have traffic, against what the service does by itself.
fn both_fail<'a>(question: &'a Question<'a>) -> Option<Rule<'a>> {
    let baseline = question.baseline?;
    let rate = baseline.calibration.as_ref()?.rate?;
    let limit = (TIMES * rate).max(baseline.worst_stretch.unwrap_or(0.0)).max(BOTH_FLOOR);
    Some(Rule {
        toggle: question.checks.errors,
        check: Check::Errors,
        guard: Some(Guard::BothFail),
        measure: None,
        unit: Unit::Ratio,
        holds: Some(BOTH.0),
        fails: BOTH.1,
        look: Box::new(move |minute| {
            let pair = errors::pair(question, minute).filter(|_| errors::has_blue(question, minute))?;
            let failures = pair.blue.failures + pair.green.failures;
            let share = failures / (pair.blue.requests + pair.green.requests).max(1.0);
            Some(Look { measured: share, limit, broken: failures >= MIN_FAILURES && share > limit })
        }),
    })
}

/// A line through the last minutes' connections, up to the end of the ramp. Growth is the median of the differences from minute
/// to minute, so that a single step of a pool or of a deploy tool is none, less what they vary by anyway.
fn connections_run_out<'a>(question: &'a Question<'a>, judged: &'a [&Minute]) -> Option<Rule<'a>> {
    let baseline = question.baseline?;
    let (history, most) = (baseline.connection_history?, baseline.max_connections?);
    let limit = CONNECTIONS * most;
    let start = before_weight(question).unwrap_or(2.0 * history.level);
    let ramp_ends = question.traffic_since.as_second() + 60 * i64::from(question.ramp_minutes);
    let look = move |minute: &Minute| {
        let end = judged.partition_point(|one| one.at <= minute.at);
        let last: Vec<f64> =
            judged[end.saturating_sub(LINE)..end].iter().filter_map(|one| connections(one)).collect();
        let now = connections(minute).filter(|_| last.len() == LINE)?;
        let mut steps: Vec<f64> = last.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_by(f64::total_cmp);
        let median = (steps[(steps.len() - 1) / 2] + steps[steps.len() / 2]) / 2.0;
        let growth = (median - history.noise).max(0.0);
        let left = ((ramp_ends - minute.at.as_second()) as f64 / 60.0).max(AHEAD);
        let headed = now + growth * left;
        let grown = now - start > 3.0 * history.deviation.max(1.0);
        Some(Look { measured: headed, limit, broken: headed > limit && grown })
    };
    Some(Rule {
        toggle: question.checks.database_connections,
        check: Check::DatabaseConnections,
        guard: Some(Guard::ConnectionsRunOut),
        measure: None,
        unit: Unit::Count,
        holds: Some(RUN_OUT.0),
        fails: RUN_OUT.1,
        look: Box::new(look),
    })
}

/// The highest value that was kept for so many minutes in a row; 0 if there are not so many.
pub(super) fn worst_stretch(values: &[f64], minutes: usize) -> f64 {
    let kept = values.windows(minutes).map(|stretch| stretch.iter().copied().fold(f64::INFINITY, f64::min));
    kept.fold(0.0, f64::max)
}
