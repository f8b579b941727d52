//! From preflight to a deployment that exists: gates, expand, the task definition, the config, the deployment.

use tidegate_model::{
    Fact,
    decision::{CreateDeployment, Register, Step},
    ledger::{Entry, Rollout, RolloutKind},
    revision::RevisionArn,
    spec::{Shift, Traffic},
    waiting::{Class, Reason},
};

use crate::{
    change,
    draft::{Direction, Draft},
    engine::codedeploy::config_name,
    gates,
};

/// The container and port are AWS's to say; a service without them never passes `engine-ready`.
fn container(draft: &Draft<'_>) -> Option<(String, u16)> {
    draft.seen.service.known()?.container.clone()
}

/// Brings a forward rollout from its gates to a deployment.
pub(super) fn preflight(draft: &mut Draft<'_>, rollout: &Rollout) {
    let readings = vec![
        gates::spec_valid(draft),
        gates::not_held(draft),
        gates::not_superseded(draft, rollout),
        gates::engine_ready(draft, rollout),
    ];
    let ready = draft.pass_gates(readings);
    let expanded = change::expand(draft, rollout, ready);
    if !ready || !expanded || draft.step.is_some() {
        return;
    }
    let Some(green) = green_revision(draft, rollout) else { return };
    if config_exists(draft, rollout) {
        create(draft, rollout, green, Direction::Forward);
    }
}

/// The exact revision to deploy: known, found by its content, or registered now.
fn green_revision(draft: &mut Draft<'_>, rollout: &Rollout) -> Option<RevisionArn> {
    if rollout.green.is_some() {
        return rollout.green.clone();
    }
    let spec = &rollout.start.spec;
    let seen = draft.seen;
    let same = |asked: &str| match seen.revisions.get(asked) {
        Some(Fact::Known(found)) if found.active && found.digest() == spec.desired => {
            Ok(Some(found.arn.clone()))
        }
        Some(Fact::Known(_) | Fact::Absent) => Ok(None),
        Some(Fact::Unknown(why)) => Err(why.as_str()),
        None => Err("it was not asked for"),
    };
    let found = match (same(&spec.base.0), same(spec.base.family())) {
        (Ok(Some(arn)), _) | (_, Ok(Some(arn))) => Some(arn),
        (Err(why), _) | (_, Err(why)) => {
            draft.unobserved("the family's newest task definition", why);
            return None;
        }
        (Ok(None), Ok(None)) => None,
    };
    if let Some(arn) = found {
        draft.note(Entry::GreenKnown(arn.clone()));
        return Some(arn);
    }
    let register = Register {
        base: spec.base.clone(),
        content: spec.content.clone(),
        digest: spec.desired.clone(),
        marker: draft.marker(spec),
    };
    draft.propose(Step::RegisterTaskDefinition(register), Direction::Forward);
    None
}

fn shift(rollout: &Rollout) -> Shift {
    let Traffic::Codedeploy(traffic) = &rollout.start.spec.spec.traffic;
    match rollout.start.kind {
        RolloutKind::Forward => traffic.shift,
        RolloutKind::Redeploy { .. } => Shift::AllAtOnce,
    }
}

fn config_exists(draft: &mut Draft<'_>, rollout: &Rollout) -> bool {
    let shift = shift(rollout);
    let (name, predefined) = config_name(shift);
    if predefined {
        return true;
    }
    match &draft.seen.deployment_config {
        Fact::Known(_) => true,
        Fact::Absent => {
            draft.propose(Step::CreateDeploymentConfig { name, shift }, Direction::Forward);
            false
        }
        Fact::Unknown(why) => {
            let why = why.as_str();
            draft.unobserved("the deployment config", why);
            false
        }
    }
}

/// Proposes the deployment of `revision`. It is sent only after a complete list showed none of ours since the last try:
/// an open create intent is settled by marker before this is reached.
pub(super) fn create(draft: &mut Draft<'_>, rollout: &Rollout, revision: RevisionArn, direction: Direction) {
    let Some((container, port)) = container(draft) else {
        draft.unobserved("the service's container and port", "the service has no load balancer");
        return;
    };
    let spec = &rollout.start.spec;
    let Traffic::Codedeploy(traffic) = &spec.spec.traffic;
    let step = CreateDeployment {
        application: traffic.application.clone(),
        group: traffic.deployment_group.clone(),
        revision,
        container,
        port,
        config: config_name(shift(rollout)).0,
        ignore_alarms: direction == Direction::Back,
        marker: draft.deployment_marker(spec, direction),
    };
    if draft.propose(Step::CreateDeployment(step), direction) {
        draft
            .wait(Reason::Provisioning, "the deployment is being created".into(), Class::NeedsTime)
            .unblock("it passes with time");
    }
}
