//! What ends a deployment before its time: a stop, a red alarm, a failure, the end of the Ready wait; and the rollback
//! that may follow as a deployment of its own.

use super::{
    Creator, Deployment, DeploymentStatus, LifecycleEvent, RollbackInfo, Side, Stage, lifecycle,
    mishap::Later,
};
use crate::world::{World, cloudwatch::AlarmState, ecs};

/// What a stop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It is stopped; nothing more follows.
    Succeeded,
    /// It is stopped and its rollback has begun.
    Pending,
}

/// A failure: the status is Failed, and a rollback follows if the event asks for it.
pub(super) fn fail(world: &mut World, id: &str, code: &str, message: &str) {
    end(world, id, DeploymentStatus::Failed, code, message);
    roll_back_on(world, id, "DEPLOYMENT_FAILURE", message);
}

/// The Ready wait is over without a word: the deployment is stopped.
pub(super) fn ready_wait_over(world: &mut World, id: &str) {
    let message = "The deployment was stopped because it was not continued within the wait time of its deployment group.";
    end(world, id, DeploymentStatus::Stopped, "MANUAL_STOP", message);
    roll_back_on(world, id, "DEPLOYMENT_STOP_ON_REQUEST", message);
}

/// A failure that nobody takes back: everything stays as it is.
pub(super) fn give_up(world: &mut World, id: &str, code: &str, message: &str) {
    end(world, id, DeploymentStatus::Failed, code, message);
    if let Some(found) = world.codedeploy.deployments.get_mut(id) {
        found.stage = Stage::Ended;
    }
}

fn end(world: &mut World, id: &str, status: DeploymentStatus, code: &str, message: &str) {
    let now = world.now();
    let Some(deployment) = world.codedeploy.deployments.get_mut(id) else { return };
    for open in deployment.events.iter_mut().filter(|e| e.status == "InProgress") {
        (open.status, open.end) =
            (if status == DeploymentStatus::Failed { "Failed" } else { "Skipped" }, Some(now));
    }
    deployment.status = status;
    deployment.completed = Some(now);
    deployment.error = Some((code.to_owned(), message.to_owned()));
    deployment.turn += 1;
}

fn roll_back_on(world: &mut World, id: &str, event: &str, message: &str) -> bool {
    let Some(deployment) = world.codedeploy.deployments.get(id).cloned() else { return false };
    // A failed rollback is not rolled back again.
    if !deployment.rollback.on(event) || deployment.creator == Creator::CodeDeployRollback {
        if let Some(found) = world.codedeploy.deployments.get_mut(id) {
            found.stage = Stage::Ended;
        }
        return false;
    }
    roll_back(world, &deployment, message);
    true
}

/// The rollback is a deployment of its own: traffic goes back to blue at once, green's tasks go.
fn roll_back(world: &mut World, of: &Deployment, message: &str) {
    let id = world.deployment_id();
    let now = world.now();
    let Some(group) = world.codedeploy.group_of(of).cloned() else { return };
    let fails = of.mishap == Some(Later::RollbackFails);
    if !of.blue.target_group.is_empty() && !fails {
        let pair = [(&of.blue.target_group, 100), (&of.green.target_group, 0)];
        lifecycle::set_weights(world, &group.production_listener, &pair);
        if let Some(listener) = &group.test_listener {
            lifecycle::set_weights(world, listener, &pair);
        }
        world.make_primary(&group.cluster, &group.service, &of.blue.task_set);
        world.delete_task_set(&group.cluster, &group.service, &of.green.task_set);
    }
    let event = |name| LifecycleEvent { name, status: "Succeeded", start: Some(now), end: Some(now) };
    let rollback = Deployment {
        id: id.clone(),
        task_definition: of.blue.task_definition.clone(),
        description: Some(format!("Rolled back deployment {}", of.id)),
        status: DeploymentStatus::InProgress,
        creator: Creator::CodeDeployRollback,
        created: now,
        started: Some(now),
        completed: None,
        error: None,
        rollback_info: Some(RollbackInfo {
            rollback_deployment: None,
            triggering_deployment: Some(of.id.clone()),
            message: message.to_owned(),
        }),
        // The traffic is back already; what is left of the rollback is green's end.
        stage: Stage::DeletingBlue,
        events: super::EVENTS.into_iter().map(event).collect(),
        blue: of.green.clone(),
        green: Side { task_set: of.blue.task_set.clone(), ..of.blue.clone() },
        steps: 1,
        turn: 0,
        mishap: None,
        ..of.clone()
    };
    lifecycle::begin(world, rollback);
    if fails {
        give_up(world, &id, "INTERNAL_ERROR", "There was an internal error.");
    }
    if let Some(found) = world.codedeploy.deployments.get_mut(&of.id) {
        found.stage = Stage::Ended;
        found.rollback_info = Some(RollbackInfo {
            rollback_deployment: Some(id.clone()),
            triggering_deployment: None,
            message: message.to_owned(),
        });
    }
    world.note_effect(
        "codedeploy",
        "RollbackDeployment",
        &id,
        format!("rolls back {}: traffic to blue", of.id),
        None,
    );
}

/// Once a minute CodeDeploy looks at the alarms of every deployment in progress.
pub(crate) fn minute_closes(world: &mut World) {
    let active: Vec<Deployment> = world
        .codedeploy
        .deployments
        .values()
        .filter(|d| !d.status.is_terminal() && d.alarms.enabled && d.creator == Creator::User)
        .cloned()
        .collect();
    for deployment in active {
        let red = deployment.alarms.names.iter().find(|name| {
            world.cloudwatch.alarms.get(*name).is_some_and(|alarm| alarm.state == AlarmState::Alarm)
        });
        let Some(red) = red else { continue };
        let message = format!(
            "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected deployments have been stopped. Activated alarms: <{red}>"
        );
        end(world, &deployment.id, DeploymentStatus::Stopped, "ALARM_ACTIVE", &message);
        roll_back_on(world, &deployment.id, "DEPLOYMENT_STOP_ON_ALARM", &message);
    }
}

impl World {
    /// StopDeployment. `None` if the deployment has ended already.
    pub(crate) fn stop_deployment(&mut self, id: &str, auto_rollback: Option<bool>) -> Option<Stopped> {
        let deployment = self.codedeploy.deployments.get(id).filter(|d| !d.status.is_terminal()).cloned()?;
        if deployment.mishap == Some(Later::StopIsLost) {
            if let Some(found) = self.codedeploy.deployments.get_mut(id) {
                found.mishap = None;
            }
            return Some(Stopped::Pending);
        }
        let message = "The deployment was stopped by the user.";
        let wanted = auto_rollback.unwrap_or_else(|| deployment.rollback.on("DEPLOYMENT_STOP_ON_REQUEST"));
        end(self, id, DeploymentStatus::Stopped, "MANUAL_STOP", message);
        if wanted && deployment.creator == Creator::User {
            roll_back(self, &deployment, message);
            return Some(Stopped::Pending);
        }
        if let Some(found) = self.codedeploy.deployments.get_mut(id) {
            found.stage = Stage::Ended;
        }
        Some(Stopped::Succeeded)
    }

    /// Green's weight in percent as CodeDeploy says it: what it wrote last.
    pub(crate) fn asked_weight(&self, deployment: &Deployment) -> u32 {
        match deployment.stage {
            Stage::AllowTraffic => {
                self.codedeploy.routing(&deployment.config).map_or(0, |r| r.weight(deployment.steps).0)
            }
            Stage::AfterAllowTraffic | Stage::TerminationWait | Stage::DeletingBlue => 100,
            Stage::Ended if deployment.status == DeploymentStatus::Succeeded => 100,
            Stage::Created
            | Stage::BeforeInstall
            | Stage::Install
            | Stage::AfterInstall
            | Stage::AllowTestTraffic
            | Stage::AfterAllowTestTraffic
            | Stage::Ready
            | Stage::BeforeAllowTraffic
            | Stage::Ended => 0,
        }
    }

    /// A task set of a deployment's side, if it is still there.
    pub(crate) fn side_task_set(
        &self,
        deployment: &Deployment,
        side: &Side,
    ) -> Option<(ecs::Service, ecs::TaskSet)> {
        let group = self.codedeploy.group_of(deployment)?;
        let service = self.ecs.services.get(&(group.cluster.clone(), group.service.clone()))?;
        let set = service.task_sets.iter().find(|set| set.id == side.task_set)?;
        Some((service.clone(), set.clone()))
    }
}
