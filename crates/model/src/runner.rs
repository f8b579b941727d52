//! The team's own migration tool (Flyway, Liquibase, Alembic, Rails, ...), run as an ECS task: what the spec says of it, what
//! is sent, what is seen of it, and what the ledger keeps.
//!
//! Read by the planner, which gates a run like any other step of a change; sent and observed by `tidegate-aws`. The tool keeps
//! its own history, so running it again is harmless: whether a run did what it is for is told by the catalog, not by this.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Digest, ReleaseName,
    name::Marker,
    schema::{FilePhase, Object},
};

/// The longest command of a run, in characters of its JSON. Source: `overrides` of RunTask may have 8192.
pub const LONGEST_COMMAND: usize = 4_096;

/// A tool that applies expand and contract in an ECS task, in the cluster and network of the release's service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskRunner {
    /// The exact revision, `family:revision`.
    pub task_definition: String,
    /// The container whose command is replaced, and whose exit code counts.
    pub container: String,
    /// The command that expands.
    pub expand: Vec<String>,
    /// The command that contracts; empty if the change removes nothing.
    #[serde(default)]
    pub contract: Vec<String>,
    /// What expand adds, as the status writes it: `column public.customers.street`.
    #[schemars(with = "Vec<String>")]
    pub adds: Vec<Object>,
    /// What contract removes.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub removes: Vec<Object>,
}

impl TaskRunner {
    /// The family of its task definition.
    pub fn family(&self) -> &str {
        self.task_definition.split_once(':').map_or(&self.task_definition, |(family, _)| family)
    }

    /// The command for a phase; empty for phases that the tool has no part in.
    pub fn command(&self, phase: FilePhase) -> &[String] {
        match phase {
            FilePhase::Expand => &self.expand,
            FilePhase::Contract => &self.contract,
            FilePhase::Backfill | FilePhase::Check => &[],
        }
    }
}

/// A run to start: RunTask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTask {
    /// The cluster.
    pub cluster: String,
    /// What it is for.
    pub phase: FilePhase,
    /// The exact revision.
    pub task_definition: String,
    /// The container whose command is replaced.
    pub container: String,
    /// The command.
    pub command: Vec<String>,
    /// Where it runs: as the service's own tasks do.
    pub placement: Placement,
    /// The marker that its token is made of.
    pub marker: Marker,
}

impl RunTask {
    /// What the task is started with, as `clientToken` and as `startedBy`: the same for the same intent, so that a repeated call
    /// starts nothing and reading finds the task.
    pub fn token(&self) -> String {
        let digest = Digest::of(self.marker.to_string()).to_string();
        format!("{}{}", token_prefix(&self.marker.release), digest.get(..32).unwrap_or(&digest))
    }
}

/// What the token of every run of a release begins with, so that one is found whoever started it: a call that was given up and
/// arrived late, or one of a ledger that was lost. Source: `clientToken` has at most 64 characters.
pub fn token_prefix(release: &ReleaseName) -> String {
    let digest = Digest::of(release.to_string()).to_string();
    format!("tidegate-{}-", digest.get(..16).unwrap_or(&digest))
}

/// Where a service's tasks run. Source: the members of DescribeServices and its task sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// `FARGATE`, `EC2` or `EXTERNAL`; `None` where a capacity provider strategy says it.
    pub launch_type: Option<String>,
    /// Capacity providers with weight and base.
    pub capacity_providers: Vec<(String, i32, i32)>,
    /// The platform version, if one was asked for.
    pub platform_version: Option<String>,
    /// The network, where tasks have one of their own (`awsvpc`).
    pub network: Option<Network>,
}

/// Subnets and security groups of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The subnets.
    pub subnets: Vec<String>,
    /// The security groups.
    pub security_groups: Vec<String>,
    /// True if tasks get a public address.
    pub public_ip: bool,
}

/// A run as ECS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTask {
    /// The task.
    pub arn: String,
    /// How it ended, once it is STOPPED.
    pub end: Option<TaskEnd>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskEnd {
    /// The exit code of the runner's container; `None` if it never ran, or if ECS has forgotten the task.
    pub exit_code: Option<i32>,
    /// ECS's reason, cut.
    pub reason: String,
}

impl TaskEnd {
    /// True if the tool says that it did its work.
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0)
    }
}

impl std::fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.exit_code {
            Some(code) => write!(f, "exit code {code}")?,
            None => f.write_str("no exit code")?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// The last run of a change, folded from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// What it is for.
    pub phase: FilePhase,
    /// The task.
    pub arn: String,
    /// When it was started.
    pub began: Timestamp,
    /// Runs of this phase so far, this one included.
    pub attempts: u32,
    /// How and when it ended, once that was read.
    pub end: Option<(TaskEnd, Timestamp)>,
}
