//! Clusters, task definitions, services, task sets and tasks.
//!
//! Source: the ECS model's texts and the lifecycle of tasks. A service here is either driven by CodeDeploy (task sets made
//! from outside) or by ECS itself (one implicit task set). Tasks start after a while, register in their target group, are
//! replaced when they stop, and are drained before they are killed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use jiff::{SignedDuration, Timestamp};

use super::World;
use crate::node::Node;

mod tasks;

/// The service's state.
#[derive(Clone, Debug, Default)]
pub struct Ecs {
    pub(crate) clusters: Vec<String>,
    /// Revisions by family, oldest first.
    pub(crate) families: BTreeMap<String, Vec<TaskDefinition>>,
    /// By cluster and name.
    pub(crate) services: BTreeMap<(String, String), Service>,
    /// By ARN. Stopped tasks stay visible for an hour.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Tokens of RunTask: the call, and the tasks that it started.
    pub(crate) run_tokens: BTreeMap<String, (Node, Vec<String>)>,
}

/// A registered task definition.
#[derive(Clone, Debug)]
pub(crate) struct TaskDefinition {
    pub arn: String,
    pub family: String,
    pub revision: u32,
    pub active: bool,
    /// Every member as it was registered.
    pub content: Node,
    pub tags: Vec<(String, String)>,
    pub registered: Timestamp,
}

impl TaskDefinition {
    /// The first container that is not marked as inessential: the one whose image a task stands for.
    pub(crate) fn container(&self) -> Option<&Node> {
        let containers = self.content.items("containerDefinitions").ok()?;
        containers.iter().find(|c| *c.get("essential") != Node::Bool(false)).or(containers.first())
    }

    pub(crate) fn container_name(&self) -> String {
        self.container().and_then(|c| c.get("name").as_text()).unwrap_or_default().to_owned()
    }

    pub(crate) fn image(&self) -> String {
        self.container().and_then(|c| c.get("image").as_text()).unwrap_or_default().to_owned()
    }
}

/// Who deploys a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Controller {
    #[default]
    CodeDeploy,
    Ecs,
}

impl Controller {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CodeDeploy => "CODE_DEPLOY",
            Self::Ecs => "ECS",
        }
    }
}

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub cluster: String,
    pub name: String,
    pub arn: String,
    pub controller: Controller,
    pub desired: u32,
    pub container: String,
    pub port: u16,
    pub task_sets: Vec<TaskSet>,
    pub created: Timestamp,
}

impl Service {
    pub(crate) fn primary(&self) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| set.status == Status::Primary)
    }
}

/// A task set.
#[derive(Clone, Debug)]
pub(crate) struct TaskSet {
    pub id: String,
    pub status: Status,
    pub task_definition: String,
    pub target_group: String,
    pub external_id: Option<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Tasks wanted, in percent of the service's desired count.
    pub scale: u32,
}

/// Status of a task set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Primary,
    Active,
    Draining,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub arn: String,
    pub cluster: String,
    pub service: Option<String>,
    pub task_set: Option<String>,
    pub task_definition: String,
    pub image: String,
    /// The container that the task stands for.
    pub container: String,
    /// Its command, if it is not the image's own.
    pub command: Vec<String>,
    pub environment: Environment,
    pub state: TaskState,
    pub address: Option<SocketAddr>,
    pub target_group: Option<String>,
    pub started_by: Option<String>,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub stopped: Option<Timestamp>,
    pub reason: String,
    pub exit_code: Option<i32>,
}

/// A task's environment, secrets resolved. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment(pub BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a task outside of any service is run with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub started_by: Option<String>,
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// Being placed, pulled and started.
    Pending,
    /// Its process is up.
    Running,
    /// Out of its target group, still serving what it had.
    Deactivating,
    /// It was told to stop.
    Stopping,
    /// Over.
    Stopped,
}

impl TaskState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
        }
    }

    /// True while the task counts for its task set.
    pub(crate) fn counts(self) -> bool {
        match self {
            Self::Pending | Self::Running => true,
            Self::Deactivating | Self::Stopping | Self::Stopped => false,
        }
    }
}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A modelled task comes up, or cannot be pulled.
    TaskStarts(String),
    /// A task's targets are drained: it is told to stop.
    TaskDrained(String),
    /// A service's tasks are compared with what it wants.
    Reconcile { cluster: String, service: String },
    /// A stopped task is forgotten.
    Forget(String),
}

pub(crate) fn happen(world: &mut World, event: Event) {
    match event {
        Event::TaskStarts(arn) => tasks::modelled_start(world, &arn),
        Event::TaskDrained(arn) => tasks::tell_to_stop(world, &arn),
        Event::Reconcile { cluster, service } => tasks::reconcile(world, &cluster, &service),
        Event::Forget(arn) => {
            world.ecs.tasks.remove(&arn);
        }
    }
}

/// A service to make.
#[derive(Clone, Debug)]
pub(crate) struct NewService<'a> {
    pub cluster: &'a str,
    pub name: &'a str,
    pub controller: Controller,
    pub desired: u32,
    pub task_definition: &'a str,
    pub container: &'a str,
    pub port: u16,
    pub target_group: &'a str,
}

impl Ecs {
    /// A task definition by ARN, `family:revision` or family (its newest active revision).
    pub(crate) fn task_definition(&self, asked: &str) -> Option<&TaskDefinition> {
        let short = asked.rsplit('/').next().unwrap_or(asked);
        match short.rsplit_once(':') {
            Some((family, revision)) => {
                let revision: u32 = revision.parse().ok()?;
                self.families.get(family)?.iter().find(|td| td.revision == revision)
            }
            None => self.families.get(short)?.iter().rev().find(|td| td.active),
        }
    }

    pub(crate) fn service(&self, cluster: &str, asked: &str) -> Option<&Service> {
        let name = asked.rsplit('/').next().unwrap_or(asked);
        self.services.get(&(cluster_name(cluster), name.to_owned()))
    }

    /// Tasks of services that run now.
    pub(crate) fn running_service_tasks(&self) -> usize {
        self.tasks.values().filter(|t| t.service.is_some() && t.state == TaskState::Running).count()
    }

    /// Running and pending tasks of a task set.
    pub(crate) fn counts(&self, task_set: &str) -> (u32, u32) {
        let of = |state| {
            let n = self
                .tasks
                .values()
                .filter(|t| t.task_set.as_deref() == Some(task_set) && t.state == state)
                .count();
            u32::try_from(n).unwrap_or(u32::MAX)
        };
        (of(TaskState::Running), of(TaskState::Pending))
    }
}

/// A cluster's short name from its name or ARN.
pub(crate) fn cluster_name(asked: &str) -> String {
    asked.rsplit('/').next().unwrap_or(asked).to_owned()
}

impl World {
    /// Registers a task definition; never idempotent, as ECS is not.
    pub(crate) fn register_task_definition(
        &mut self,
        family: &str,
        content: Node,
        tags: Vec<(String, String)>,
    ) -> TaskDefinition {
        let registered = self.now();
        let revisions = self.ecs.families.entry(family.to_owned()).or_default();
        let revision = revisions.last().map_or(1, |td| td.revision + 1);
        let arn = self.identity.arn("ecs", &format!("task-definition/{family}:{revision}"));
        let definition = TaskDefinition {
            arn,
            family: family.to_owned(),
            revision,
            active: true,
            content,
            tags,
            registered,
        };
        revisions.push(definition.clone());
        definition
    }

    /// Makes a service with its primary task set at full size.
    pub(crate) fn create_ecs_service(&mut self, new: &NewService<'_>) {
        let service = Service {
            cluster: new.cluster.to_owned(),
            name: new.name.to_owned(),
            arn: self.identity.arn("ecs", &format!("service/{}/{}", new.cluster, new.name)),
            controller: new.controller,
            desired: new.desired,
            container: new.container.to_owned(),
            port: new.port,
            task_sets: vec![],
            created: self.now(),
        };
        if !self.ecs.clusters.contains(&service.cluster) {
            self.ecs.clusters.push(service.cluster.clone());
        }
        self.ecs.services.insert((service.cluster.clone(), service.name.clone()), service);
        let id = self.create_task_set(new.cluster, new.name, new.task_definition, new.target_group, None);
        if let Some(id) = id {
            self.make_primary(new.cluster, new.name, &id);
        }
    }

    /// Adds a task set at full size; gives its id.
    pub(crate) fn create_task_set(
        &mut self,
        cluster: &str,
        service: &str,
        task_definition: &str,
        target_group: &str,
        external_id: Option<String>,
    ) -> Option<String> {
        let serial = self.serial();
        let id = format!("ecs-svc/{:019}", 4_000_000_000_000_000_000_u64 + serial * 7_919);
        let now = self.now();
        let found = self.ecs.services.get_mut(&(cluster.to_owned(), service.to_owned()))?;
        found.task_sets.push(TaskSet {
            id: id.clone(),
            status: Status::Active,
            task_definition: task_definition.to_owned(),
            target_group: target_group.to_owned(),
            external_id,
            created: now,
            updated: now,
            scale: 100,
        });
        tasks::reconcile(self, cluster, service);
        Some(id)
    }

    /// Makes a task set the primary one.
    pub(crate) fn make_primary(&mut self, cluster: &str, service: &str, id: &str) {
        let now = self.now();
        let Some(found) = self.ecs.services.get_mut(&(cluster.to_owned(), service.to_owned())) else {
            return;
        };
        for set in &mut found.task_sets {
            let status = match (set.id == id, set.status) {
                (true, _) => Status::Primary,
                (false, Status::Primary) => Status::Active,
                (false, other) => other,
            };
            if status != set.status {
                (set.status, set.updated) = (status, now);
            }
        }
    }

    /// Drains a task set and lets it go: its tasks leave the target group, serve on for the delay, and stop.
    pub(crate) fn delete_task_set(&mut self, cluster: &str, service: &str, id: &str) {
        let Some(found) = self.ecs.services.get_mut(&(cluster.to_owned(), service.to_owned())) else {
            return;
        };
        if let Some(set) = found.task_sets.iter_mut().find(|set| set.id == id) {
            (set.status, set.scale) = (Status::Draining, 0);
        }
        tasks::reconcile(self, cluster, service);
    }

    /// True if a task set has all its tasks running and, where something forwards to its group, healthy.
    pub(crate) fn is_steady(&self, service: &Service, set: &TaskSet) -> bool {
        let wanted = tasks::wanted(service, set);
        let (running, pending) = self.ecs.counts(&set.id);
        let healthy = self.elb.healthy(&set.target_group);
        let in_use = self.elb.is_in_use(&set.target_group);
        running == wanted && pending == 0 && (!in_use || healthy >= wanted as usize)
    }

    /// The image behind a target group: of its running tasks, or none.
    pub fn image_behind(&self, group: &str) -> Option<String> {
        let serves =
            |task: &&Task| task.target_group.as_deref() == Some(group) && task.state == TaskState::Running;
        self.ecs.tasks.values().find(serves).map(|task| task.image.clone())
    }

    /// The task definition that runs behind a target group, as `family:revision`.
    pub(crate) fn definition_behind(&self, group: &str) -> Option<String> {
        let serves =
            |task: &&Task| task.target_group.as_deref() == Some(group) && task.state == TaskState::Running;
        let task = self.ecs.tasks.values().find(serves)?;
        task.task_definition.rsplit('/').next().map(str::to_owned)
    }

    /// True if a modelled task passes its health checks.
    pub(crate) fn passes_checks(&self, address: SocketAddr) -> bool {
        let task =
            self.ecs.tasks.values().find(|t| t.address == Some(address) && t.state == TaskState::Running);
        task.is_some_and(|task| {
            let sick = self.traffic.images.get(&task.image).is_some_and(|image| image.unhealthy);
            let group = task.target_group.as_deref().unwrap_or_default();
            !sick && !self.traffic.hangs(group, &task.image)
        })
    }

    /// An address for a modelled task: never given twice.
    fn modelled_address(&mut self, port: u16) -> SocketAddr {
        let serial = self.serial();
        let octet = |shift: u64| u8::try_from((serial >> shift) % 250 + 1).unwrap_or(1);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, octet(16), octet(8), octet(0))), port)
    }
}

/// How long a modelled task takes to come up.
pub(crate) const START_TIME: SignedDuration = SignedDuration::from_secs(20);
