//! What the listener shows against what this release can have caused: the base of every freeze.

use tidegate_model::{
    Fact,
    ledger::{Rollout, RolloutPhase},
    observation::{Listeners, Observation, Service, TargetGroup, TaskSet, TaskSetStatus},
    revision::RevisionArn,
};

/// How production traffic stands against expectation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Split {
    /// As expected: green's share in percent.
    Expected(f64),
    /// Something else, with both in words.
    Edited { found: String, expected: String },
    /// Not known.
    Unknown(&'static str),
}

/// Green's share in percent as the production listener has it, if every rule agrees.
pub(crate) fn green_percent(listeners: &Fact<Listeners>, green: &TargetGroup) -> Option<f64> {
    listeners.known()?.production.percent(green)
}

/// Compares the production listener with what the rollout can have caused.
///
/// Before traffic only blue serves. While CodeDeploy moves weights, the listener must show what CodeDeploy says, or one
/// step beside it (both are read one after the other). Afterwards only green serves. Any third value was written by
/// somebody else.
pub(crate) fn split(rollout: &Rollout, seen: &Observation, asked: Option<u8>, step: f64) -> Split {
    let Some(listeners) = seen.listeners.known() else {
        return Split::Unknown("the listeners could not be read");
    };
    let green = &rollout.start.green_group;
    let Some(found) = listeners.production.percent(green) else {
        return Split::Edited {
            found: "rules that disagree, or no weight at all".into(),
            expected: "every rule forwards with the same weights".into(),
        };
    };
    let blue_rest = listeners.production.percent(&rollout.start.blue_group).unwrap_or(0.0);
    let foreign = 100.0 - found - blue_rest > 0.05;
    let expected = match rollout.phase {
        RolloutPhase::Preflight | RolloutPhase::Provisioning | RolloutPhase::Verifying => Some((0.0, 0.0)),
        RolloutPhase::Shifting => asked.map(|weight| (f64::from(weight), step)),
        RolloutPhase::Confirming | RolloutPhase::Baking | RolloutPhase::Retiring => Some((100.0, 0.0)),
        RolloutPhase::RollingBack(_) => None,
    };
    match expected {
        Some((wanted, tolerance)) if foreign || (found - wanted).abs() > tolerance + 0.05 => Split::Edited {
            found: format!("{found:.0} % on {green}"),
            expected: format!("{wanted:.0} % on {green}"),
        },
        Some(_) | None => Split::Expected(found),
    }
}

/// Where production traffic must stand when nothing is in flight: wholly on the primary task set's group.
pub(crate) fn split_at_rest(service: &Service, listeners: &Listeners) -> Split {
    let Some(primary) = service.primary().and_then(|set| set.target_group.as_ref()) else {
        return Split::Unknown("the service has no primary task set behind a target group");
    };
    if listeners.production.forwards_only_to(primary) {
        return Split::Expected(0.0);
    }
    let found = listeners
        .production
        .percent(primary)
        .map_or_else(|| "rules that disagree".to_owned(), |p| format!("{p:.0} % on {primary}"));
    Split::Edited { found, expected: format!("100 % on {primary}, the primary task set's group") }
}

/// A task set of another revision behind a group: a deployment that has ended and was not cleared away, so that some requests
/// reach it.
pub(crate) fn left_behind<'s>(
    service: &'s Service,
    revision: Option<&RevisionArn>,
    group: &TargetGroup,
) -> Option<&'s TaskSet> {
    service.task_sets.iter().find(|set| {
        set.target_group.as_ref() == Some(group)
            && Some(&set.revision) != revision
            && set.status != TaskSetStatus::Draining
            && set.running > 0
    })
}
