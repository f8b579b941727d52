//! The verdict in a pass: asks the judge when green has weight, freezes blue's history before that.

use tidegate_analysis::{Judgement, Question, baseline, foresee, judge, share_of_errors};
use tidegate_model::{
    Fact, Why,
    ledger::{Cause, Entry, Judged, Rollout},
    observation::{ColorHealth, Minute},
    spec::Traffic,
    verdict::Verdict,
    waiting::{Class, Reason},
};

use crate::{calibration, draft::Draft, traffic::green_percent};

/// Blue's last closed minutes with traffic that must exist before the first weight.
const BASELINE_MINUTES: usize = 5;

/// Freezes blue's last hour and what the service does by itself, once enough of both is known.
pub(super) fn take_baseline(draft: &mut Draft<'_>, rollout: &Rollout) {
    if rollout.baseline.is_some() {
        return;
    }
    let spec = &rollout.start.spec.spec;
    let Some(calibrated) = calibration::good(&draft.state, spec, draft.now).cloned() else {
        if let Some(why) = draft.seen.history.unknown().filter(|why| *why != Why::NotAsked) {
            draft.unobserved("the service's own history", why.as_str());
        }
        return;
    };
    let taken = draft
        .seen
        .minutes
        .known()
        .and_then(|minutes| baseline(minutes, &rollout.start.blue_group, BASELINE_MINUTES));
    if let Some(mut taken) = taken {
        taken.calibration = Some(calibrated.failures);
        taken.metrics = calibrated.metrics;
        taken.max_connections = draft.seen.schema.max_connections.known().map(|most| f64::from(*most));
        let Traffic::Codedeploy(traffic) = &spec.traffic;
        if let (Some(calibration), Some(share)) = (&taken.calibration, share_of_errors(&spec.checks, &taken))
        {
            taken.detectable = foresee(calibration, share, |minute| traffic.shift.green_share(minute));
        }
        draft.note(Entry::BaselineTaken(Box::new(taken)));
    }
}

/// Judges green at its present weight (0 to 100). `None` before the first weight, or while the minutes are unknown:
/// then nothing is concluded from them.
pub(super) fn judged(draft: &mut Draft<'_>, rollout: &Rollout, percent: f64) -> Option<Judgement> {
    let since = rollout.traffic_since?;
    if !names_both(draft, rollout) {
        let what = "green is not judged: the deployment group does not name both target groups";
        draft
            .wait(Reason::Unobserved, what.to_owned(), Class::NeedsFix)
            .unblock("name the target groups of blue and green in the deployment group again, or abort");
        return None;
    }
    let judgement = match &draft.seen.minutes {
        Fact::Known(minutes) => judge(&Question {
            checks: &rollout.start.spec.spec.checks,
            blue: &rollout.start.blue_group,
            green: &rollout.start.green_group,
            baseline: rollout.baseline.as_ref(),
            minutes,
            weight: percent / 100.0,
            traffic_since: since,
            ramp_minutes: ramp_minutes(rollout),
            health: health(draft, rollout),
            alarms: draft.seen.alarms.known().map(Vec::as_slice),
        }),
        Fact::Absent => return None,
        Fact::Unknown(why) => {
            let why = why.as_str();
            draft.unobserved("the load balancer's metrics", why);
            return None;
        }
    };
    draft.judgement = Some(judgement.clone());
    Some(judgement)
}

/// False if the deployment group, whose target groups are read, is not that of the rollout's: somebody edited it, or a part of its
/// description is missing. That green is not among what was read says nothing of green.
fn names_both(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let wanted = [&rollout.start.blue_group, &rollout.start.green_group];
    draft.seen.group.known().is_none_or(|group| wanted.iter().all(|one| group.target_groups.contains(one)))
}

fn ramp_minutes(rollout: &Rollout) -> u32 {
    let Traffic::Codedeploy(traffic) = &rollout.start.spec.spec.traffic;
    traffic.shift.ramp_minutes()
}

/// Targets of both colors as read now; `None` if they were not read.
fn health(draft: &Draft<'_>, rollout: &Rollout) -> Option<ColorHealth> {
    let all = draft.seen.health.known()?;
    let of = |group| all.get(group).copied();
    Some(ColorHealth { blue: of(&rollout.start.blue_group)?, green: of(&rollout.start.green_group)? })
}

/// Keeps what green was judged by: a verdict that decided something can be judged again by anybody.
pub(super) fn keep(draft: &mut Draft<'_>) {
    let Some(rollout) = draft.rollout() else { return };
    let (Some(since), Fact::Known(minutes)) = (rollout.traffic_since, &draft.seen.minutes) else { return };
    let green = rollout.start.green_group.clone();
    // A number that is none has no text in the ledger, and was not judged either.
    let finite = |minute: &&Minute| minute.groups.values().all(|counts| counts.failures.is_finite());
    let judged = Judged {
        version: rollout.start.spec.version,
        blue: rollout.start.blue_group.clone(),
        checks: rollout.start.spec.spec.checks.clone(),
        baseline: rollout.baseline.clone(),
        traffic_since: since,
        ramp_minutes: ramp_minutes(&rollout),
        health: health(draft, &rollout),
        alarms: draft.seen.alarms.known().cloned(),
        weight: green_percent(&draft.seen.listeners, &green).unwrap_or(0.0) / 100.0,
        green,
        minutes: minutes.iter().filter(finite).cloned().collect(),
    };
    draft.note(Entry::Judged(Box::new(judged)));
}

/// The cause for going back that a verdict is while traffic moves; in the bake silence only stops the clock.
pub(super) fn cause(judgement: &Judgement, silence_counts: bool) -> Option<Cause> {
    match &judgement.verdict {
        Verdict::Fail(finding) => Some(Cause::Verdict(finding.clone())),
        Verdict::NoData { minutes } if silence_counts => Some(Cause::NoData { minutes: *minutes }),
        Verdict::NoData { .. } | Verdict::Pass | Verdict::Undecided | Verdict::Suspect => None,
    }
}
