//! What is really there, whatever any answer said: for those who check, never for those who decide.
//!
//! Read by the simulation's oracles and by tests. Nothing here changes anything, and nothing here is reachable through a
//! wire protocol.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{World, cloudwatch::AlarmState, ecs::TaskState, rds::SnapshotStatus};

/// One side of a listener's forward action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The target group's ARN.
    pub group: String,
    /// Its weight.
    pub weight: u32,
    /// Its targets that pass their checks.
    pub healthy: usize,
    /// The image of its running tasks, if any run.
    pub image: Option<String>,
    /// True if some of its running tasks have another one.
    pub mixed: bool,
    /// The task definition of its running tasks: its ARN.
    pub definition: Option<String>,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Its id.
    pub id: String,
    /// The cluster and service that it changes.
    pub service: (String, String),
    /// The description that it was created with: our marker, if it is ours.
    pub description: Option<String>,
    /// The task definition that it brings: its ARN.
    pub definition: String,
    /// The group that it brings it to.
    pub green: String,
    /// The group that served when it began.
    pub blue: String,
    /// Green's weight steps that were taken.
    pub steps: u32,
    /// True once it is over.
    pub ended: bool,
    /// True if its status is `Ready`.
    pub ready: bool,
    /// True while it waits before it deletes blue.
    pub waits_to_terminate: bool,
    /// True if its status is `Succeeded`.
    pub succeeded: bool,
    /// True if CodeDeploy itself made it to undo another.
    pub rollback: bool,
    /// True if no alarm can stop it: an older revision is brought back whatever is red.
    pub heedless: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// The instance that it is of, by the id that no other instance ever has.
    pub resource_id: String,
    /// When it was begun.
    pub created: Timestamp,
    /// True once it can be restored.
    pub available: bool,
}

impl World {
    /// Where the listener at a port sends its traffic.
    pub fn sides(&self, port: u16) -> Vec<Side> {
        let listener = self.elb.listeners.values().find(|listener| listener.port == port);
        let groups = listener.map(|listener| listener.default.groups.as_slice()).unwrap_or_default();
        groups.iter().map(|(group, weight)| self.side(group, *weight)).collect()
    }

    /// A target group, as if a listener sent `weight` to it.
    pub fn side(&self, group: &str, weight: u32) -> Side {
        let mut tasks =
            self.ecs.tasks.values().filter(|task| {
                task.target_group.as_deref() == Some(group) && task.state == TaskState::Running
            });
        let task = tasks.next();
        Side {
            group: group.to_owned(),
            weight,
            healthy: self.elb.healthy(group),
            image: task.map(|task| task.image.clone()),
            mixed: task.is_some_and(|task| tasks.any(|other| other.image != task.image)),
            definition: task.map(|task| task.task_definition.clone()),
        }
    }

    /// Tasks of a service that may still do something, by image: pending, running, draining and stopping ones.
    pub fn tasks_of(&self, cluster: &str, service: &str) -> BTreeMap<String, usize> {
        let mut images = BTreeMap::new();
        for task in self.ecs.tasks.values() {
            let mine = task.cluster == cluster && task.service.as_deref() == Some(service);
            if mine && task.state != TaskState::Stopped {
                *images.entry(task.image.clone()).or_default() += 1;
            }
        }
        images
    }

    /// ARNs of the running tasks behind a group.
    pub fn running_behind(&self, group: &str) -> Vec<String> {
        let behind = |task: &&super::ecs::Task| {
            task.target_group.as_deref() == Some(group) && task.state == TaskState::Running
        };
        self.ecs.tasks.values().filter(behind).map(|task| task.arn.clone()).collect()
    }

    /// The ARN of a target group.
    pub fn target_group_named(&self, name: &str) -> Option<String> {
        let part = format!("targetgroup/{name}/");
        self.elb.groups.keys().find(|arn| arn.contains(&part)).cloned()
    }

    /// The group of a service's primary task set.
    pub fn primary_group(&self, cluster: &str, service: &str) -> Option<String> {
        let service = self.ecs.services.get(&(cluster.to_owned(), service.to_owned()))?;
        service.primary().map(|set| set.target_group.clone())
    }

    /// Tasks that a service wants.
    pub fn desired(&self, cluster: &str, service: &str) -> Option<u32> {
        self.ecs.services.get(&(cluster.to_owned(), service.to_owned())).map(|service| service.desired)
    }

    /// Every deployment that was ever made, in the order of their creation.
    pub fn deployed(&self) -> Vec<Deployed> {
        let mut all: Vec<Deployed> = self
            .codedeploy
            .deployments
            .values()
            .map(|deployment| {
                let key = (deployment.application.clone(), deployment.group.clone());
                let group = self.codedeploy.groups.get(&key);
                let service = group.map(|group| (group.cluster.clone(), group.service.clone()));
                Deployed {
                    id: deployment.id.clone(),
                    service: service.unwrap_or_default(),
                    description: deployment.description.clone(),
                    definition: deployment.task_definition.clone(),
                    green: deployment.green.target_group.clone(),
                    blue: deployment.blue.target_group.clone(),
                    steps: deployment.steps,
                    ended: deployment.status.is_terminal(),
                    ready: deployment.status == super::codedeploy::DeploymentStatus::Ready,
                    waits_to_terminate: deployment.stage == super::codedeploy::Stage::TerminationWait,
                    succeeded: deployment.status == super::codedeploy::DeploymentStatus::Succeeded,
                    rollback: deployment.creator == super::codedeploy::Creator::CodeDeployRollback,
                    heedless: !deployment.alarms.enabled,
                    created: deployment.created,
                }
            })
            .collect();
        all.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        all
    }

    /// Every snapshot there is.
    pub fn kept(&self) -> Vec<Kept> {
        let snapshots = self.rds.snapshots.values();
        snapshots
            .map(|snapshot| Kept {
                id: snapshot.id.clone(),
                resource_id: snapshot.resource_id.clone(),
                created: snapshot.created,
                available: snapshot.status == SnapshotStatus::Available,
            })
            .collect()
    }

    /// The id that an instance alone has, ever.
    pub fn resource_id_of(&self, instance: &str) -> Option<String> {
        self.rds.instances.get(instance).map(|instance| instance.resource_id.clone())
    }

    /// The image of a task definition.
    pub fn image_of(&self, definition: &str) -> Option<String> {
        self.ecs.task_definition(definition).map(super::ecs::TaskDefinition::image)
    }

    /// Alarms that are red.
    pub fn red_alarms(&self) -> Vec<String> {
        let alarms = self.cloudwatch.alarms.values();
        alarms.filter(|alarm| alarm.state == AlarmState::Alarm).map(|alarm| alarm.name.clone()).collect()
    }

    /// The newest text of a parameter and its version.
    pub fn parameter(&self, path: &str) -> Option<(u64, String)> {
        let newest = self.ssm.parameters.get(path)?.versions.last()?;
        Some((newest.number, newest.value.clone()))
    }

    /// When the newest version of a parameter was written.
    pub fn written(&self, path: &str) -> Option<Timestamp> {
        Some(self.ssm.parameters.get(path)?.versions.last()?.modified)
    }
}
