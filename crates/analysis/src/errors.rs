//! Whether green's requests fail more often than blue's.
//!
//! Called by the judge. While both colors have traffic, evidence over all closed minutes since green's first weight decides;
//! where blue has none, there is nothing to compare with, and a fixed limit on blue's history does. Pure.

use tidegate_model::{
    observation::{Counts, Minute},
    verdict::{Check, Unit},
};

use super::Question;
use crate::{
    evidence::{Pair, Tally},
    rules::{Look, Rule, Window},
};

/// Error minutes are looked for in this many closed minutes, and this many of them must fail.
pub(super) const WINDOW: Window = Window { needed: 3, of: 5 };
/// A minute can fail on errors only with at least this many failed requests: one failure is noise at any rate.
pub(super) const MIN_FAILURES: f64 = 2.0;
/// Green's error rate may be this many times the worst of blue now, blue's history, and its worst minutes: in a long bake an
/// incident that the service has now and then by itself must not roll back.
const FACTOR: f64 = 2.0;
/// Blue has traffic in a minute if it has at least this share of the requests.
const BLUE_SHARE: f64 = 0.005;

/// A minute's counts of both colours; `None` if green has none, or the counts cannot be.
pub(super) fn pair(question: &Question<'_>, minute: &Minute) -> Option<Pair> {
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

/// The fixed rule for minutes that were not compared: twice the worst of blue now, blue's last hour and the worst three minutes
/// of its last day, at least two failures, in three of the last five minutes.
pub(super) fn rule<'a>(question: &'a Question<'a>, compared: bool) -> Rule<'a> {
    let history = question.baseline.filter(|b| b.requests > 0.0).map_or(0.0, |b| b.failures / b.requests);
    let worst = question.baseline.and_then(|b| b.worst_minutes).unwrap_or(0.0);
    let look = move |minute: &Minute| {
        let green = minute.groups.get(question.green).filter(|_| !compared || !has_blue(question, minute))?;
        let now = minute.groups.get(question.blue).and_then(rate).unwrap_or(0.0);
        // Connections that green refused are failures without a request that reached a target.
        let measured = rate(green).unwrap_or(if green.failures > 0.0 { 1.0 } else { 0.0 });
        let limit = FACTOR * now.max(history).max(worst);
        Some(Look { measured, limit, broken: green.failures >= MIN_FAILURES && measured > limit })
    };
    Rule {
        toggle: question.checks.errors,
        check: Check::Errors,
        guard: None,
        measure: None,
        unit: Unit::Ratio,
        holds: None,
        fails: WINDOW,
        look: Box::new(look),
    }
}

/// Whether blue has traffic of its own in this minute.
pub(super) fn has_blue(question: &Question<'_>, minute: &Minute) -> bool {
    let requests = |group| minute.groups.get(group).and_then(|c: &Counts| c.requests).unwrap_or(0.0);
    let (blue, green) = (requests(question.blue), requests(question.green));
    blue > BLUE_SHARE * (blue + green)
}

fn rate(counts: &Counts) -> Option<f64> {
    counts.requests.filter(|requests| *requests > 0.0).map(|requests| (counts.failures / requests).min(1.0))
}
