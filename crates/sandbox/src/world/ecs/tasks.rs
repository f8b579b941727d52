//! The life of tasks: placed, started, registered, drained, stopped, replaced.

use std::net::SocketAddr;

use jiff::SignedDuration;

use super::{Environment, Event, Run, START_TIME, Service, Status, Task, TaskDefinition, TaskSet, TaskState};
use crate::{
    node::Node,
    world::{World, live::LiveTask},
};

/// A service that lost a task tries again after this long.
const REPLACE_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A task that could not be pulled is tried again after this long.
const PULL_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Stopped tasks stay visible for an hour.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Tasks that a task set wants: its percentage of the service's count, rounded up.
pub(super) fn wanted(service: &Service, set: &TaskSet) -> u32 {
    (service.desired * set.scale).div_ceil(100)
}

/// Compares every task set's tasks with what it wants; starts what is missing, drains what is too many.
pub(super) fn reconcile(world: &mut World, cluster: &str, name: &str) {
    let Some(service) = world.ecs.services.get(&(cluster.to_owned(), name.to_owned())).cloned() else {
        return;
    };
    for set in &service.task_sets {
        let mine: Vec<(String, TaskState)> = world
            .ecs
            .tasks
            .values()
            .filter(|t| t.task_set.as_deref() == Some(&set.id) && t.state.counts())
            .map(|t| (t.arn.clone(), t.state))
            .collect();
        let wanted = wanted(&service, set) as usize;
        for _ in mine.len()..wanted {
            place(world, &service, set);
        }
        for (arn, _) in mine.iter().skip(wanted) {
            drain(world, arn);
        }
    }
    let gone: Vec<String> = service
        .task_sets
        .iter()
        .filter(|set| set.status == Status::Draining)
        .filter(|set| {
            !world
                .ecs
                .tasks
                .values()
                .any(|t| t.task_set.as_deref() == Some(&set.id) && t.state != TaskState::Stopped)
        })
        .map(|set| set.id.clone())
        .collect();
    if let Some(found) = world.ecs.services.get_mut(&(cluster.to_owned(), name.to_owned())) {
        found.task_sets.retain(|set| !gone.contains(&set.id));
    }
}

fn place(world: &mut World, service: &Service, set: &TaskSet) {
    let Some(definition) = world.ecs.task_definition(&set.task_definition).cloned() else { return };
    let arn = new_task(world, &service.cluster, &definition);
    if let Some(task) = world.ecs.tasks.get_mut(&arn) {
        task.service = Some(service.name.clone());
        task.task_set = Some(set.id.clone());
        task.target_group = Some(set.target_group.clone());
        task.started_by = Some(set.id.clone());
    }
}

/// A pending task of a definition, its secrets resolved now; gives its ARN.
fn new_task(world: &mut World, cluster: &str, definition: &TaskDefinition) -> String {
    let id = world.hex_id();
    let arn = world.identity.arn("ecs", &format!("task/{cluster}/{id}"));
    let task = Task {
        arn: arn.clone(),
        cluster: cluster.to_owned(),
        service: None,
        task_set: None,
        task_definition: definition.arn.clone(),
        image: definition.image(),
        container: definition.container_name(),
        command: Vec::new(),
        environment: Environment::default(),
        state: TaskState::Pending,
        address: None,
        target_group: None,
        started_by: None,
        created: world.now(),
        started: None,
        stopped: None,
        reason: String::new(),
        exit_code: None,
    };
    world.ecs.tasks.insert(arn.clone(), task);
    match environment(world, definition) {
        Ok(environment) => {
            if let Some(task) = world.ecs.tasks.get_mut(&arn) {
                task.environment = environment;
            }
            if !world.is_live() {
                world.book(START_TIME, crate::world::Event::Ecs(Event::TaskStarts(arn.clone())));
            }
        }
        Err(missing) => {
            let reason = format!(
                "ResourceInitializationError: unable to pull secrets or registry auth: {missing} cannot be found"
            );
            world.task_stopped(&arn, None, &reason);
        }
    }
    arn
}

/// The container's environment with its secrets resolved: at task start, so rotation reaches new tasks only.
fn environment(world: &World, definition: &TaskDefinition) -> Result<Environment, String> {
    let mut all = Environment::default();
    let Some(container) = definition.container() else { return Ok(all) };
    let text = |node: &Node, key: &str| node.get(key).as_text().unwrap_or_default().to_owned();
    for pair in container.items("environment").unwrap_or(&[]) {
        all.0.insert(text(pair, "name"), text(pair, "value"));
    }
    for secret in container.items("secrets").unwrap_or(&[]) {
        let value =
            world.resolve_value_from(&text(secret, "valueFrom")).ok_or_else(|| text(secret, "name"))?;
        all.0.insert(text(secret, "name"), value);
    }
    Ok(all)
}

/// A modelled task comes up, or its image cannot be pulled.
pub(super) fn modelled_start(world: &mut World, arn: &str) {
    let Some(task) = world.ecs.tasks.get(arn).filter(|t| t.state == TaskState::Pending) else { return };
    let image = task.image.clone();
    if world.traffic.images.get(&image).is_some_and(|behaviour| behaviour.missing) {
        world.task_stopped(
            arn,
            None,
            &format!("CannotPullContainerError: pull image manifest has been retried: {image}: not found"),
        );
        return;
    }
    let port = task
        .service
        .as_ref()
        .and_then(|name| world.ecs.services.get(&(task.cluster.clone(), name.clone())))
        .map_or(8080, |service| service.port);
    let address = world.modelled_address(port);
    world.task_started(arn, address);
}

/// Takes a task out of its target group; once it is drained it is told to stop.
pub(super) fn drain(world: &mut World, arn: &str) {
    let Some(task) = world.ecs.tasks.get_mut(arn) else { return };
    let was = task.state;
    task.state = TaskState::Deactivating;
    let (group, address) = (task.target_group.clone(), task.address);
    let delay = match (was, group, address) {
        (TaskState::Running, Some(group), Some(address)) => {
            let delay = world.elb.groups.get(&group).map_or(0, |g| g.deregistration_delay);
            world.deregister_target(&group, address);
            SignedDuration::from_secs(delay)
        }
        _ => SignedDuration::ZERO,
    };
    world.book(delay, crate::world::Event::Ecs(Event::TaskDrained(arn.to_owned())));
}

/// The task gets its SIGTERM; a modelled one is gone at once, a live one when its process is.
pub(super) fn tell_to_stop(world: &mut World, arn: &str) {
    let live = world.is_live();
    let Some(task) = world.ecs.tasks.get_mut(arn).filter(|t| t.state != TaskState::Stopped) else { return };
    task.state = TaskState::Stopping;
    if !live || task.started.is_none() {
        let reason = match task.reason.as_str() {
            "" => "Scaling activity initiated by deployment".to_owned(),
            by_hand => by_hand.to_owned(),
        };
        world.task_stopped(arn, Some(0), &reason);
    }
}

impl World {
    /// Every task that is not stopped, for the live half. None begins before the databases it may need are up.
    pub fn live_tasks(&self) -> Vec<LiveTask> {
        let databases_are_up = self.databases_are_up();
        self.ecs
            .tasks
            .values()
            .filter(|task| task.state != TaskState::Stopped && (databases_are_up || task.started.is_some()))
            .map(|task| LiveTask {
                id: task.arn.clone(),
                image: task.image.clone(),
                environment: task.environment.0.clone(),
                command: task.command.clone(),
                listens: task.service.is_some(),
                stop_requested: task.state == TaskState::Stopping,
                started: task.started.is_some(),
            })
            .collect()
    }

    /// A task's process is up: it runs, and registers in its target group as ECS does.
    pub fn task_started(&mut self, id: &str, address: SocketAddr) {
        let now = self.now();
        let Some(task) = self.ecs.tasks.get_mut(id).filter(|t| t.state == TaskState::Pending) else { return };
        (task.state, task.address, task.started) = (TaskState::Running, Some(address), Some(now));
        if let Some(group) = task.target_group.clone() {
            self.register_target(&group, address);
        }
    }

    /// A task's process ended, or never came up. Its service replaces it after a while.
    pub fn task_stopped(&mut self, id: &str, exit_code: Option<i32>, reason: &str) {
        let now = self.now();
        let Some(task) = self.ecs.tasks.get_mut(id).filter(|t| t.state != TaskState::Stopped) else { return };
        (task.state, task.stopped, task.exit_code) = (TaskState::Stopped, Some(now), exit_code);
        reason.clone_into(&mut task.reason);
        let (group, address) = (task.target_group.clone(), task.address);
        let owner = task.service.clone().map(|service| (task.cluster.clone(), service));
        if let (Some(group), Some(address)) = (group, address) {
            self.deregister_target(&group, address);
        }
        self.book(REMEMBERED, super::super::Event::Ecs(Event::Forget(id.to_owned())));
        if let Some((cluster, service)) = owner {
            let again = if reason.starts_with("CannotPull") { PULL_AGAIN } else { REPLACE_AFTER };
            self.book(again, super::super::Event::Ecs(Event::Reconcile { cluster, service }));
        }
    }

    /// Resolves the secrets of tasks that have not begun again: their databases have just come up.
    pub(crate) fn resolve_pending_tasks(&mut self) {
        let pending: Vec<(String, String)> = self
            .ecs
            .tasks
            .values()
            .filter(|task| task.state == TaskState::Pending)
            .map(|task| (task.arn.clone(), task.task_definition.clone()))
            .collect();
        for (arn, definition) in pending {
            let resolved = self.ecs.task_definition(&definition).map(|found| environment(self, found));
            if let (Some(Ok(environment)), Some(task)) = (resolved, self.ecs.tasks.get_mut(&arn)) {
                task.environment = environment;
            }
        }
    }

    /// Starts tasks outside of any service; gives their ARNs.
    pub(crate) fn run_tasks(
        &mut self,
        cluster: &str,
        definition: &TaskDefinition,
        count: usize,
        run: &Run,
    ) -> Vec<String> {
        (0..count)
            .map(|_| {
                let arn = new_task(self, cluster, definition);
                if let Some(task) = self.ecs.tasks.get_mut(&arn) {
                    task.started_by.clone_from(&run.started_by);
                    task.command.clone_from(&run.command);
                    task.environment.0.extend(run.environment.iter().cloned());
                }
                arn
            })
            .collect()
    }

    /// Stops a task by hand: its service replaces it.
    pub(crate) fn stop_task(&mut self, arn: &str, reason: &str) {
        if let Some(task) = self.ecs.tasks.get_mut(arn) {
            reason.clone_into(&mut task.reason);
            drain(self, arn);
        }
    }

    /// Sets how many tasks a service wants.
    pub(crate) fn scale_service(&mut self, cluster: &str, name: &str, desired: u32) {
        if let Some(service) = self.ecs.services.get_mut(&(cluster.to_owned(), name.to_owned())) {
            service.desired = desired;
            reconcile(self, cluster, name);
        }
    }

    /// A rolling deployment of a service that ECS drives: a new task set takes over, the old one drains.
    pub(crate) fn roll_service(&mut self, cluster: &str, name: &str, task_definition: &str) {
        let Some(service) = self.ecs.services.get(&(cluster.to_owned(), name.to_owned())).cloned() else {
            return;
        };
        let Some(old) = service.primary().cloned() else { return };
        if let Some(id) = self.create_task_set(cluster, name, task_definition, &old.target_group, None) {
            self.make_primary(cluster, name, &id);
            self.delete_task_set(cluster, name, &old.id);
        }
    }
}
