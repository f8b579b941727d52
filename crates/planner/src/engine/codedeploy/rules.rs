//! What CodeDeploy can keep of what a spec asks, and the names and instants that follow from it.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    duration::Span,
    observation::{Deployment, DeploymentGroup, Service},
    spec::{CodeDeployTraffic, Shift, Spec},
};

/// The bake must be served this long before CodeDeploy deletes blue.
const BEFORE_TERMINATION: SignedDuration = SignedDuration::from_mins(30);

/// The bake clock runs once it is confirmed that all traffic is on green, and CodeDeploy's own from the last shift on: two closed
/// minutes and the probes lie between them, and a restart or a minute of silence may.
const CONFIRMED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// The deployment config for a shift: a predefined one where CodeDeploy has it, else a custom one named after the shift.
/// Source: CodeDeploy's list of predefined configurations for ECS.
pub fn config_name(shift: Shift) -> (String, bool) {
    let minutes = |span: Span| span.whole_minutes().unwrap_or(0);
    match shift {
        Shift::AllAtOnce => ("CodeDeployDefault.ECSAllAtOnce".to_owned(), true),
        Shift::Linear { percent: 10, every } if [1, 3].contains(&minutes(every)) => {
            (format!("CodeDeployDefault.ECSLinear10PercentEvery{}Minutes", minutes(every)), true)
        }
        Shift::Canary { percent: 10, r#for } if [5, 15].contains(&minutes(r#for)) => {
            (format!("CodeDeployDefault.ECSCanary10Percent{}Minutes", minutes(r#for)), true)
        }
        Shift::Linear { percent, every } => {
            (format!("tidegate-linear-{percent}-every-{}m", minutes(every)), false)
        }
        Shift::Canary { percent, r#for } => {
            (format!("tidegate-canary-{percent}-for-{}m", minutes(r#for)), false)
        }
    }
}

/// The largest distance in percent between what CodeDeploy says and what the listener shows while both are right: one step.
pub(crate) fn shift_step(shift: Shift) -> f64 {
    match shift {
        Shift::Linear { percent, .. } => f64::from(percent),
        Shift::Canary { percent, .. } => f64::from(100 - percent).max(f64::from(percent)),
        Shift::AllAtOnce => 100.0,
    }
}

/// Until when the bake must be served: 30 minutes before CodeDeploy deletes blue. `None` if it keeps blue for ever.
///
/// Group and deployment both say how long that is. If they differ, one of them was edited meanwhile or misread, and the longer
/// one counts: a good release must not go back for it.
pub(crate) fn bake_deadline(
    group: &DeploymentGroup,
    deployment: &Deployment,
    all_on_green_since: Timestamp,
) -> Option<Timestamp> {
    let minutes = group.termination_wait_minutes?.max(deployment.termination_wait_minutes.unwrap_or(0));
    Some(all_on_green_since + SignedDuration::from_mins(i64::from(minutes)) - BEFORE_TERMINATION)
}

/// How long a deployment waits at Ready before CodeDeploy stops it. `None` if neither it nor its group says.
///
/// If they differ, the shorter one counts: a good version must not fail because its time is over.
pub(crate) fn ready_wait(group: Option<&DeploymentGroup>, deployment: &Deployment) -> Option<SignedDuration> {
    let of_group = group.and_then(|group| group.ready_wait_minutes);
    let minutes = [of_group, deployment.ready_wait_minutes].into_iter().flatten().min()?;
    Some(SignedDuration::from_mins(i64::from(minutes)))
}

/// Every setting of group and service that cannot give what the spec asks, each with the exact setting to change.
pub(crate) fn ready_problems(
    spec: &Spec,
    traffic: &CodeDeployTraffic,
    group: &DeploymentGroup,
    service: &Service,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut need = |ok: bool, problem: String| {
        if !ok {
            problems.push(problem);
        }
    };
    need(service.active, "the service is not ACTIVE".into());
    need(service.by_codedeploy, "the service's deployment controller must be CODE_DEPLOY".into());
    need(service.container.is_some(), "the service has no load balancer with container and port".into());
    need(
        group.cluster == spec.service.cluster && group.service == spec.service.name,
        "the deployment group deploys another service: ecsServices must name the spec's".into(),
    );
    need(
        group.target_groups.len() == 2,
        "the group needs exactly two target groups in targetGroupPairInfoList".into(),
    );
    need(
        group.production_listener.is_some(),
        "the group has no production listener in prodTrafficRoute".into(),
    );
    need(
        group.ready_wait_minutes.is_some_and(|minutes| minutes > 0),
        "deploymentReadyOption must be STOP_DEPLOYMENT with waitTimeInMinutes, or no gate can be read before traffic".into(),
    );
    let wanted = spec.bake.duration() + CONFIRMED_WITHIN + BEFORE_TERMINATION;
    // A deployment that keeps blue alive need not wait for anything: it could be over before the bake begins.
    need(
        group.termination_wait_minutes.is_some_and(|m| SignedDuration::from_mins(i64::from(m)) >= wanted),
        format!(
            "terminateBlueInstancesOnDeploymentSuccess must be TERMINATE with terminationWaitTimeInMinutes of at least {} for this bake",
            wanted.as_mins()
        ),
    );
    need(!group.alarms.is_empty(), "alarmConfiguration must be enabled with at least one alarm".into());
    let events = group.rollback_on;
    need(
        events.failure && events.alarm && events.request,
        "autoRollbackConfiguration must be enabled for DEPLOYMENT_FAILURE, DEPLOYMENT_STOP_ON_ALARM and DEPLOYMENT_STOP_ON_REQUEST".into(),
    );
    let needs_test = !spec.verify.is_empty() || traffic.shift == Shift::AllAtOnce;
    need(
        !needs_test || group.test_listener.is_some(),
        "verify (and allAtOnce) needs a test listener in testTrafficRoute".into(),
    );
    problems
}
