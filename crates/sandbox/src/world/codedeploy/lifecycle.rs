//! The walk through the lifecycle, stage by stage.

use jiff::SignedDuration;

use super::{Deployment, DeploymentStatus, Event, LifecycleEvent, Stage, stop};
use crate::world::World;

/// Between stages that only take notice, and from Created to the first one.
const MOMENT: SignedDuration = SignedDuration::from_secs(3);
/// Install looks for steady state this often.
const LOOK: SignedDuration = SignedDuration::from_secs(5);
/// Install fails after this long without steady state.
const INSTALL_LIMIT: SignedDuration = SignedDuration::from_mins(60);
/// Deleting blue takes this long once it is told to.
const DELETING: SignedDuration = SignedDuration::from_secs(15);

/// Puts a new deployment on its way.
pub(crate) fn begin(world: &mut World, deployment: Deployment) {
    let id = deployment.id.clone();
    world.codedeploy.deployments.insert(id.clone(), deployment);
    again(world, &id, MOMENT);
}

fn again(world: &mut World, id: &str, after: SignedDuration) {
    let Some(turn) = world.codedeploy.deployments.get(id).map(|d| d.turn) else { return };
    world.book(after, crate::world::Event::CodeDeploy(Event::Go { deployment: id.to_owned(), turn }));
}

/// Enters a stage: closes the event of the stage before, opens its own.
pub(super) fn enter(world: &mut World, id: &str, stage: Stage) {
    let now = world.now();
    let Some(deployment) = world.codedeploy.deployments.get_mut(id) else { return };
    if let Some(open) = deployment.events.iter_mut().find(|e| e.status == "InProgress") {
        (open.status, open.end) = ("Succeeded", Some(now));
    }
    deployment.stage = stage;
    deployment.turn += 1;
    if let Some(name) = event_name(stage) {
        deployment.events.push(LifecycleEvent { name, status: "InProgress", start: Some(now), end: None });
    }
}

fn event_name(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::BeforeInstall => Some("BeforeInstall"),
        Stage::Install => Some("Install"),
        Stage::AfterInstall => Some("AfterInstall"),
        Stage::AllowTestTraffic => Some("AllowTestTraffic"),
        Stage::AfterAllowTestTraffic => Some("AfterAllowTestTraffic"),
        Stage::BeforeAllowTraffic => Some("BeforeAllowTraffic"),
        Stage::AllowTraffic => Some("AllowTraffic"),
        Stage::AfterAllowTraffic => Some("AfterAllowTraffic"),
        Stage::Created | Stage::Ready | Stage::TerminationWait | Stage::DeletingBlue | Stage::Ended => None,
    }
}

/// Goes on from the present stage.
pub(super) fn go(world: &mut World, id: &str) {
    let Some(deployment) = world.codedeploy.deployments.get(id).cloned() else { return };
    if let Some(until) = world.stands_until(id) {
        again(world, id, until.duration_since(world.now()));
        return;
    }
    match deployment.stage {
        Stage::Created => start(world, &deployment),
        Stage::BeforeInstall => install(world, &deployment),
        Stage::Install => installed(world, &deployment),
        Stage::AfterInstall => to(world, id, Stage::AllowTestTraffic, MOMENT),
        Stage::AllowTestTraffic => {
            test_traffic(world, &deployment);
            to(world, id, Stage::AfterAllowTestTraffic, MOMENT);
        }
        Stage::AfterAllowTestTraffic => ready(world, &deployment),
        Stage::Ready => stop::ready_wait_over(world, id),
        Stage::BeforeAllowTraffic => allow_traffic(world, &deployment),
        Stage::AllowTraffic => step(world, &deployment),
        Stage::AfterAllowTraffic => shifted(world, &deployment),
        Stage::TerminationWait => delete_blue(world, &deployment),
        Stage::DeletingBlue => succeed(world, id),
        Stage::Ended => {}
    }
}

fn to(world: &mut World, id: &str, stage: Stage, after: SignedDuration) {
    enter(world, id, stage);
    again(world, id, after);
}

/// All rules and the default action must forward to the primary's group before anything is touched.
fn start(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    let primary = world
        .ecs
        .services
        .get(&(group.cluster.clone(), group.service.clone()))
        .and_then(|service| service.primary().cloned());
    let Some(primary) = primary else {
        stop::fail(world, &deployment.id, "INVALID_ECS_SERVICE", "The ECS service has no primary task set.");
        return;
    };
    let behind = world
        .elb
        .forwards_mut(&group.production_listener)
        .filter(|forward| group.target_groups.iter().any(|g| forward.names(g)))
        .all(|forward| {
            forward.groups.iter().any(|(arn, weight)| *arn == primary.target_group && *weight > 0)
        });
    if !behind {
        let text = "The ELB could not be updated due to the following error: Primary taskset target group must be behind listener";
        stop::fail(world, &deployment.id, "ELASTIC_LOAD_BALANCING_INVALID", text);
        return;
    }
    let other = group.target_groups.iter().find(|g| **g != primary.target_group).cloned().unwrap_or_default();
    let now = world.now();
    if let Some(found) = world.codedeploy.deployments.get_mut(&deployment.id) {
        found.status = DeploymentStatus::InProgress;
        found.started = Some(now);
        found.blue.task_set.clone_from(&primary.id);
        found.blue.task_definition.clone_from(&primary.task_definition);
        found.blue.target_group.clone_from(&primary.target_group);
        found.green.task_definition.clone_from(&deployment.task_definition);
        found.green.target_group = other;
    }
    to(world, &deployment.id, Stage::BeforeInstall, MOMENT);
}

/// Green is made at full size. Unless everything moves at once it is attached at weight 0, so that health checks run.
fn install(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    let (green, blue) = (&deployment.green, &deployment.blue);
    let id = world.create_task_set(
        &group.cluster,
        &group.service,
        &green.task_definition,
        &green.target_group,
        Some(deployment.id.clone()),
    );
    if let (Some(task_set), Some(found)) = (id, world.codedeploy.deployments.get_mut(&deployment.id)) {
        found.green.task_set = task_set;
    }
    if !is_all_at_once(world, deployment) {
        set_weights(
            world,
            &group.production_listener,
            &[(&blue.target_group, 100), (&green.target_group, 0)],
        );
    }
    to(world, &deployment.id, Stage::Install, LOOK);
}

fn is_all_at_once(world: &World, deployment: &Deployment) -> bool {
    world.codedeploy.routing(&deployment.config) == Some(super::Routing::AllAtOnce)
}

/// Writes the weights of the pair into the default action and every rule that forwards to it. Roles are by group: the
/// order of the pair in the action does not matter.
pub(super) fn set_weights(world: &mut World, listener: &str, weights: &[(&String, u32)]) {
    let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
    if sum == 0 {
        return;
    }
    for forward in world.elb.forwards_mut(listener) {
        if weights.iter().any(|(arn, _)| forward.names(arn)) {
            forward.groups = weights.iter().map(|(arn, weight)| ((*arn).clone(), *weight)).collect();
        }
    }
}

/// Waits for steady state; with all-at-once only the tasks are looked at, as AWS does.
fn installed(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    let service = world.ecs.services.get(&(group.cluster.clone(), group.service.clone())).cloned();
    let set =
        service.as_ref().and_then(|s| s.task_sets.iter().find(|set| set.id == deployment.green.task_set));
    let steady = match (&service, set) {
        (Some(service), Some(set)) => world.is_steady(service, set),
        _ => false,
    };
    if steady {
        to(world, &deployment.id, Stage::AfterInstall, MOMENT);
        return;
    }
    let began = deployment.events.iter().find(|e| e.name == "Install").and_then(|e| e.start);
    if began.is_some_and(|began| world.now() >= began + INSTALL_LIMIT) {
        let text = "The deployment timed out while waiting for the replacement task set to become healthy. This time out period is 60 minutes.";
        stop::fail(world, &deployment.id, "TIMEOUT", text);
        return;
    }
    again(world, &deployment.id, LOOK);
}

fn test_traffic(world: &mut World, deployment: &Deployment) {
    let listener = world.codedeploy.group_of(deployment).and_then(|group| group.test_listener.clone());
    if let Some(listener) = listener {
        set_weights(
            world,
            &listener,
            &[(&deployment.green.target_group, 100), (&deployment.blue.target_group, 0)],
        );
    }
}

fn ready(world: &mut World, deployment: &Deployment) {
    match deployment.ready_wait {
        // A rollback never waits to be let go.
        Some(minutes) if deployment.creator == super::Creator::User => {
            enter(world, &deployment.id, Stage::Ready);
            if let Some(found) = world.codedeploy.deployments.get_mut(&deployment.id) {
                found.status = DeploymentStatus::Ready;
            }
            again(world, &deployment.id, SignedDuration::from_mins(i64::from(minutes)));
        }
        Some(_) | None => to(world, &deployment.id, Stage::BeforeAllowTraffic, MOMENT),
    }
}

fn allow_traffic(world: &mut World, deployment: &Deployment) {
    enter(world, &deployment.id, Stage::AllowTraffic);
    let deployment = world.codedeploy.deployments.get(&deployment.id).cloned();
    if let Some(deployment) = deployment {
        step(world, &deployment);
    }
}

/// One step of weights, at the start of its interval; the last one goes on to the next stage.
fn step(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    let routing = world.codedeploy.routing(&deployment.config).unwrap_or(super::Routing::AllAtOnce);
    let steps = deployment.steps + 1;
    let (weight, next) = routing.weight(steps);
    set_weights(
        world,
        &group.production_listener,
        &[(&deployment.blue.target_group, 100 - weight), (&deployment.green.target_group, weight)],
    );
    if let Some(found) = world.codedeploy.deployments.get_mut(&deployment.id) {
        found.steps = steps;
    }
    match next {
        Some(minutes) => again(world, &deployment.id, SignedDuration::from_mins(i64::from(minutes))),
        None => to(world, &deployment.id, Stage::AfterAllowTraffic, MOMENT),
    }
}

/// All weight is on green: it becomes primary, and blue waits for its end.
fn shifted(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    world.make_primary(&group.cluster, &group.service, &deployment.green.task_set);
    let minutes = if deployment.creator == super::Creator::User { deployment.termination_wait } else { 0 };
    enter(world, &deployment.id, Stage::TerminationWait);
    again(world, &deployment.id, SignedDuration::from_mins(i64::from(minutes)));
}

/// Blue's task set is deleted: the wait is over, or was ended by ContinueDeployment.
pub(super) fn delete_blue(world: &mut World, deployment: &Deployment) {
    let Some(group) = world.codedeploy.group_of(deployment).cloned() else { return };
    world.delete_task_set(&group.cluster, &group.service, &deployment.blue.task_set);
    to(world, &deployment.id, Stage::DeletingBlue, DELETING);
}

fn succeed(world: &mut World, id: &str) {
    enter(world, id, Stage::Ended);
    let now = world.now();
    if let Some(found) = world.codedeploy.deployments.get_mut(id) {
        found.status = DeploymentStatus::Succeeded;
        found.completed = Some(now);
    }
}

impl World {
    /// ContinueDeployment: true if the deployment was waiting there.
    pub(crate) fn continue_deployment(&mut self, id: &str, wait: Stage) -> bool {
        let Some(deployment) = self.codedeploy.deployments.get(id).filter(|d| d.stage == wait).cloned()
        else {
            return false;
        };
        if self.stands_until(id).is_some() {
            return true;
        }
        match wait {
            Stage::Ready => {
                if let Some(found) = self.codedeploy.deployments.get_mut(id) {
                    found.status = DeploymentStatus::InProgress;
                }
                to(self, id, Stage::BeforeAllowTraffic, MOMENT);
            }
            Stage::TerminationWait => delete_blue(self, &deployment),
            Stage::Created
            | Stage::BeforeInstall
            | Stage::Install
            | Stage::AfterInstall
            | Stage::AllowTestTraffic
            | Stage::AfterAllowTestTraffic
            | Stage::BeforeAllowTraffic
            | Stage::AllowTraffic
            | Stage::AfterAllowTraffic
            | Stage::DeletingBlue
            | Stage::Ended => return false,
        }
        true
    }
}
