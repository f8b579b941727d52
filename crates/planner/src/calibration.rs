//! When a service's own history is read, and what is made of it.
//!
//! Once a day while nothing is in flight, so that a release begins with it, people see it before, and no release has to wait
//! for it; and when a release begins without one that is young enough. It is heavy, and the calls are many, so never oftener.

use jiff::{SignedDuration, Timestamp};
use tidegate_analysis::{calibrated, windows};
use tidegate_model::{
    Fact, MetricName, ReleaseName,
    calibration::Calibrated,
    ledger::{Entry, ReleaseState, RolloutPhase},
    observation::HistoryNeeds,
    spec::{MetricCheck, Spec},
};

use crate::draft::Draft;

/// How long a calibration is good: a service's day is like the day before.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// A release may begin with one that is a little older: the next one may be on its way.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// One that rests on less than a day says little: a release that begins takes a new one once it is as old as the margin.
const LITTLE: u32 = 1_440;
/// Services that are first seen at once are calibrated over so many minutes, by their names.
const SPREAD: i64 = 10;

/// What of the service's history is to be read in this pass.
pub(crate) fn needs(release: &ReleaseName, state: &ReleaseState, now: Timestamp) -> Option<HistoryNeeds> {
    let spec = wanted(release, state, now)?;
    let metrics = counts(spec).map(|(name, check)| (name.clone(), check.clone())).collect();
    Some(HistoryNeeds { windows: windows(), metrics })
}

/// Calibrates the service if its history was read for that.
pub(crate) fn take(draft: &mut Draft<'_>) {
    let (Fact::Known(history), Fact::Known(service)) = (&draft.seen.history, &draft.seen.service) else {
        return;
    };
    let Some(spec) = wanted(draft.release, &draft.state, draft.now) else { return };
    let Some(serving) = service.primary().and_then(|set| set.target_group.as_ref()) else { return };
    let metrics = counts(spec).map(|(name, _)| name);
    let calibrated = calibrated(history, serving, metrics);
    draft.note(Entry::Calibrated(Box::new(calibrated)));
}

/// The calibration that a release may begin with.
pub(crate) fn good<'s>(state: &'s ReleaseState, spec: &Spec, now: Timestamp) -> Option<&'s Calibrated> {
    let (calibrated, at) = state.calibrated.as_ref()?;
    let age = now.duration_since(*at);
    let young = age <= if calibrated.failures.minutes < LITTLE { MARGIN } else { GOOD_FOR + MARGIN };
    let complete = counts(spec).all(|(name, _)| calibrated.metrics.contains_key(name));
    (young && complete).then_some(calibrated)
}

/// The spec whose service is due for calibration.
fn wanted<'s>(release: &ReleaseName, state: &'s ReleaseState, now: Timestamp) -> Option<&'s Spec> {
    let Some(rollout) = &state.rollout else {
        let due = match &state.calibrated {
            Some((_, at)) => *at + GOOD_FOR,
            None => state.accepted_at? + SignedDuration::from_mins(turn(release)),
        };
        return state.accepted.as_ref().filter(|_| due <= now).map(|accepted| &accepted.spec);
    };
    let spec = &rollout.start.spec.spec;
    let begins = match rollout.phase {
        RolloutPhase::Provisioning | RolloutPhase::Verifying => rollout.baseline.is_none(),
        RolloutPhase::Preflight
        | RolloutPhase::Shifting
        | RolloutPhase::Confirming
        | RolloutPhase::Baking
        | RolloutPhase::Retiring
        | RolloutPhase::RollingBack(_) => false,
    };
    (begins && good(state, spec, now).is_none()).then_some(spec)
}

fn turn(release: &ReleaseName) -> i64 {
    release.as_str().bytes().map(i64::from).sum::<i64>() % SPREAD
}

/// The team's own counts in which green is compared with blue. Values that are no counts have no share in requests to learn.
fn counts(spec: &Spec) -> impl Iterator<Item = (&MetricName, &MetricCheck)> {
    spec.checks.metrics.iter().filter(|(_, check)| check.judge.counts())
}
