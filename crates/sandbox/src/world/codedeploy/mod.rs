//! CodeDeploy for ECS: applications, groups, configs, and deployments that walk their lifecycle by the clock.
//!
//! Source: CodeDeploy's guide on ECS deployments. A deployment installs green, points the test listener at it, waits at
//! Ready if its group says so, shifts production weights at the start of each interval, makes green primary, keeps blue for
//! the termination wait, and deletes it. A stop with rollback is a deployment of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::World;

mod lifecycle;
mod mishap;
mod stop;

pub(crate) use lifecycle::begin;
pub use mishap::CodeDeployMishap;
pub(crate) use stop::{Stopped, minute_closes};

/// The service's state.
#[derive(Clone, Debug, Default)]
pub struct CodeDeploy {
    pub(crate) applications: BTreeMap<String, Application>,
    /// By application and name.
    pub(crate) groups: BTreeMap<(String, String), Group>,
    pub(crate) configs: BTreeMap<String, Config>,
    /// By id.
    pub(crate) deployments: BTreeMap<String, Deployment>,
}

/// An application: a name for groups.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub id: String,
    pub created: Timestamp,
}

/// A deployment group for one ECS service.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub id: String,
    pub application: String,
    pub name: String,
    pub config: String,
    pub cluster: String,
    pub service: String,
    pub target_groups: [String; 2],
    pub production_listener: String,
    pub test_listener: Option<String>,
    /// `None`: CONTINUE_DEPLOYMENT. `Some(minutes)`: STOP_DEPLOYMENT after so long.
    pub ready_wait: Option<u32>,
    pub termination_wait: u32,
    pub alarms: Alarms,
    pub rollback: Rollback,
}

/// Alarms that stop a deployment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    pub enabled: bool,
    pub ignore_poll_failure: bool,
    pub names: Vec<String>,
}

/// Automatic rollback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rollback {
    pub enabled: bool,
    pub events: Vec<String>,
}

impl Rollback {
    pub(crate) fn on(&self, event: &str) -> bool {
        self.enabled && self.events.iter().any(|e| e == event)
    }
}

/// A traffic routing configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub name: String,
    pub id: String,
    pub routing: Routing,
    pub created: Timestamp,
}

/// How production weights step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routing {
    AllAtOnce,
    Linear { percent: u32, minutes: u32 },
    Canary { percent: u32, minutes: u32 },
}

impl Routing {
    /// The predefined configurations for ECS.
    pub(crate) fn predefined(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("CodeDeployDefault.")? {
            "ECSAllAtOnce" => Self::AllAtOnce,
            "ECSLinear10PercentEvery1Minutes" => Self::Linear { percent: 10, minutes: 1 },
            "ECSLinear10PercentEvery3Minutes" => Self::Linear { percent: 10, minutes: 3 },
            "ECSCanary10Percent5Minutes" => Self::Canary { percent: 10, minutes: 5 },
            "ECSCanary10Percent15Minutes" => Self::Canary { percent: 10, minutes: 15 },
            _ => return None,
        })
    }

    /// Green's weight after `steps` steps, and the minutes until the next one.
    pub(crate) fn weight(self, steps: u32) -> (u32, Option<u32>) {
        match self {
            Self::AllAtOnce => (100, None),
            Self::Linear { percent, minutes } => {
                let weight = (percent * steps).min(100);
                (weight, (weight < 100).then_some(minutes))
            }
            Self::Canary { percent, minutes } => {
                if steps <= 1 {
                    (percent, Some(minutes))
                } else {
                    (100, None)
                }
            }
        }
    }
}

/// A deployment.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub id: String,
    pub application: String,
    pub group: String,
    pub config: String,
    pub task_definition: String,
    pub content_sha256: String,
    pub description: Option<String>,
    pub status: DeploymentStatus,
    pub creator: Creator,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub error: Option<(String, String)>,
    pub rollback: Rollback,
    pub alarms: Alarms,
    /// The group's waits as they were when it was created: an edit of the group is for the next one [U].
    pub ready_wait: Option<u32>,
    pub termination_wait: u32,
    /// Set once it was rolled back, or is the rollback of another.
    pub rollback_info: Option<RollbackInfo>,
    pub stage: Stage,
    pub events: Vec<LifecycleEvent>,
    pub blue: Side,
    pub green: Side,
    pub steps: u32,
    /// Counts every change of stage: an event booked for an earlier stage is void.
    pub turn: u64,
    /// What is to go wrong with it; nothing does by itself.
    pub mishap: Option<mishap::Later>,
}

/// One side of a deployment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub task_set: String,
    pub task_definition: String,
    pub target_group: String,
}

/// Who made a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creator {
    User,
    CodeDeployRollback,
}

impl Creator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::CodeDeployRollback => "codeDeployRollback",
        }
    }
}

/// How a deployment and its rollback name each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct RollbackInfo {
    pub rollback_deployment: Option<String>,
    pub triggering_deployment: Option<String>,
    pub message: String,
}

/// Status as the API says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeploymentStatus {
    Created,
    InProgress,
    Ready,
    Succeeded,
    Failed,
    Stopped,
}

impl DeploymentStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::InProgress => "InProgress",
            Self::Ready => "Ready",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Stopped => true,
            Self::Created | Self::InProgress | Self::Ready => false,
        }
    }
}

/// Where the deployment is in its lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Created,
    BeforeInstall,
    Install,
    AfterInstall,
    AllowTestTraffic,
    AfterAllowTestTraffic,
    Ready,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
    TerminationWait,
    DeletingBlue,
    Ended,
}

/// A lifecycle event with its times.
#[derive(Clone, Debug)]
pub(crate) struct LifecycleEvent {
    pub name: &'static str,
    pub status: &'static str,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

/// The lifecycle events of an ECS deployment, in order.
pub(crate) const EVENTS: [&str; 8] = [
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
];

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The deployment goes on from the stage of that turn.
    Go { deployment: String, turn: u64 },
}

pub(crate) fn happen(world: &mut World, event: Event) {
    match event {
        Event::Go { deployment, turn } => {
            if world.codedeploy.deployments.get(&deployment).is_some_and(|d| d.turn == turn) {
                lifecycle::go(world, &deployment);
            }
        }
    }
}

impl CodeDeploy {
    pub(crate) fn group_of(&self, deployment: &Deployment) -> Option<&Group> {
        self.groups.get(&(deployment.application.clone(), deployment.group.clone()))
    }

    /// The deployment that occupies a group.
    pub(crate) fn active(&self, application: &str, group: &str) -> Option<&Deployment> {
        self.deployments
            .values()
            .find(|d| d.application == application && d.group == group && !d.status.is_terminal())
    }

    /// A configuration's routing, predefined or custom.
    pub(crate) fn routing(&self, name: &str) -> Option<Routing> {
        Routing::predefined(name).or_else(|| self.configs.get(name).map(|config| config.routing))
    }
}

impl World {
    /// Makes an application with one group.
    pub(crate) fn create_deployment_group(&mut self, mut group: Group) {
        group.id = self.request_id();
        let application = Application { id: self.request_id(), created: self.now() };
        self.codedeploy.applications.entry(group.application.clone()).or_insert(application);
        self.codedeploy.groups.insert((group.application.clone(), group.name.clone()), group);
    }

    /// `d-` and nine capitals and digits.
    pub(crate) fn deployment_id(&mut self) -> String {
        let id = self.hex_id().to_ascii_uppercase();
        format!("d-{}", &id[..9])
    }
}
