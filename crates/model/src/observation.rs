//! What was read of the world for one release in one pass. Built by the observers (`tidegate-aws`, `tidegate-schema`),
//! read by the planner. Each fact is known, absent or unknown; what the release's stage does not need is not asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Digest, Fact, MetricName,
    name::Marker,
    orders::{Orders, ParameterRead},
    revision::{RevisionArn, TaskDefinition},
    runner::{Placement, SeenTask},
    schema::{ChangePlan, CheckScope, SchemaObservation},
    spec::{DatabaseSpec, MetricCheck, Problem},
};

/// Everything read for one release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The spec parameter.
    pub spec: Fact<ParameterRead>,
    /// The orders, read in the same call.
    pub orders: Orders,
    /// The migration source of a spec that is not accepted yet.
    pub plan: Fact<Result<ChangePlan, Vec<Problem>>>,
    /// The ECS service.
    pub service: Fact<Service>,
    /// The deployment group.
    pub group: Fact<DeploymentGroup>,
    /// The group's newest deployments, newest first: complete back to the time that was asked for.
    pub deployments: Fact<Vec<Deployment>>,
    /// Production and test listener.
    pub listeners: Fact<Listeners>,
    /// Target health of both target groups.
    pub health: Fact<BTreeMap<TargetGroup, TargetHealth>>,
    /// The group's alarms, and those of the spec's checks.
    pub alarms: Fact<Vec<Alarm>>,
    /// Closed minutes, oldest first.
    pub minutes: Fact<Vec<Minute>>,
    /// The service's own history, oldest first.
    pub history: Fact<Vec<PastMinute>>,
    /// Task definitions that were asked for, by what was asked: an ARN, `family:n`, or a family (its newest revision).
    pub revisions: BTreeMap<String, Fact<TaskDefinition>>,
    /// The custom deployment config, by name.
    pub deployment_config: Fact<String>,
    /// The run of the team's own migration tool that was asked for.
    pub task: Fact<SeenTask>,
    /// A run of the tool that is under way, whoever knows of it: its ARN.
    pub under_way: Fact<String>,
    /// The database side.
    pub schema: SchemaObservation,
    /// The instance and its snapshots of ours.
    pub instance: Fact<Instance>,
    /// The snapshot that was asked for by its id.
    pub snapshot: Fact<Snapshot>,
}

/// ARN of a target group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetGroup(pub String);

impl TargetGroup {
    /// The group's name.
    pub fn name(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for TargetGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An ECS service, as DescribeServices gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// True if the service is ACTIVE.
    pub active: bool,
    /// True if its deployment controller is CODE_DEPLOY.
    pub by_codedeploy: bool,
    /// Tasks wanted.
    pub desired: u32,
    /// The container and port that its load balancer sends to.
    pub container: Option<(String, u16)>,
    /// Its task sets.
    pub task_sets: Vec<TaskSet>,
    /// Where its primary task set runs.
    pub placement: Placement,
}

impl Service {
    /// The task set that serves by ECS's word.
    pub fn primary(&self) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| set.status == TaskSetStatus::Primary)
    }

    /// The task set of an exact revision behind an exact target group.
    pub fn task_set(&self, revision: &RevisionArn, group: &TargetGroup) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| {
            &set.revision == revision
                && set.target_group.as_ref() == Some(group)
                && set.status != TaskSetStatus::Draining
        })
    }
}

/// A task set of a CODE_DEPLOY service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSet {
    /// Its id.
    pub id: String,
    /// PRIMARY, ACTIVE, DRAINING.
    pub status: TaskSetStatus,
    /// The exact revision that it runs.
    pub revision: RevisionArn,
    /// The target group that it registers in.
    pub target_group: Option<TargetGroup>,
    /// Tasks wanted, running and pending.
    pub desired: u32,
    /// Tasks running.
    pub running: u32,
    /// Tasks pending.
    pub pending: u32,
    /// True if ECS says STEADY_STATE.
    pub steady: bool,
    /// The CodeDeploy deployment that made it.
    pub external_id: Option<String>,
}

/// Status of a task set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ECS's")]
pub enum TaskSetStatus {
    Primary,
    Active,
    Draining,
    Other,
}

/// A CodeDeploy deployment group for an ECS service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentGroup {
    /// The cluster and service that it deploys.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// Minutes that a deployment waits at Ready before it is stopped; `None` if it goes on by itself
    /// (`actionOnTimeout` is not STOP_DEPLOYMENT).
    pub ready_wait_minutes: Option<u32>,
    /// Minutes that blue is kept after the shift (`terminationWaitTimeInMinutes`); `None` if it is kept for ever.
    pub termination_wait_minutes: Option<u32>,
    /// The two target groups.
    pub target_groups: Vec<TargetGroup>,
    /// ARN of the production listener.
    pub production_listener: Option<String>,
    /// ARN of the test listener.
    pub test_listener: Option<String>,
    /// Names of the alarms that stop a deployment; empty if alarms are not enabled.
    pub alarms: Vec<String>,
    /// Events on which CodeDeploy rolls back; all false if automatic rollback is not enabled.
    pub rollback_on: RollbackEvents,
}

/// Events on which CodeDeploy rolls back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollbackEvents {
    /// DEPLOYMENT_FAILURE.
    pub failure: bool,
    /// DEPLOYMENT_STOP_ON_ALARM.
    pub alarm: bool,
    /// DEPLOYMENT_STOP_ON_REQUEST.
    pub request: bool,
}

/// A CodeDeploy deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its id, `d-...`.
    pub id: String,
    /// Its status.
    pub status: DeploymentStatus,
    /// When it was created.
    pub created: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// Our marker, if its description is one.
    pub marker: Option<Marker>,
    /// True if CodeDeploy made it as the rollback of another.
    pub is_rollback: bool,
    /// The id of the deployment that rolls this one back.
    pub rolled_back_by: Option<String>,
    /// `errorInformation.code`, if it ended with one.
    pub error: Option<String>,
    /// Minutes that it waits at Ready before it is stopped, as the deployment itself has it; `None` if it does not say, or goes on
    /// by itself.
    pub ready_wait_minutes: Option<u32>,
    /// True once blue waits for its termination.
    pub termination_wait_started: bool,
    /// How long blue waits, as the deployment itself has it; `None` if it does not say.
    pub termination_wait_minutes: Option<u32>,
    /// Its target's task sets and when its lifecycle events were, if they were asked for.
    pub target: Fact<DeploymentTarget>,
}

/// Status of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are CodeDeploy's")]
pub enum DeploymentStatus {
    Created,
    Queued,
    InProgress,
    Ready,
    Succeeded,
    Failed,
    Stopped,
    /// Baking, or a value the SDK does not know: taken as in progress.
    Other,
}

impl DeploymentStatus {
    /// True if the deployment can change nothing any more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Stopped => true,
            Self::Created | Self::Queued | Self::InProgress | Self::Ready | Self::Other => false,
        }
    }
}

/// What GetDeploymentTarget tells of an ECS deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentTarget {
    /// The revision that the deployment brings, from the task set labelled Green.
    pub green: Option<RevisionArn>,
    /// Production weight in percent that CodeDeploy says green has.
    pub green_weight: Option<u8>,
    /// Since when it waits at Ready, or waited when it was stopped there; `None` if it was not there.
    pub ready_since: Option<Timestamp>,
    /// When AllowTraffic began: the first production weight.
    pub traffic_since: Option<Timestamp>,
    /// When AllowTraffic ended: all production weight is on green.
    pub traffic_until: Option<Timestamp>,
}

/// The listeners of a deployment group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Where production traffic comes in.
    pub production: Listener,
    /// Where probes come in before production traffic, if the group has one.
    pub test: Option<Listener>,
}

/// A listener: its address and where each of its rules forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// `http://host:port` or `https://host:port`, from the load balancer's DNS name.
    pub address: String,
    /// Every rule that forwards to one of the release's target groups, the default rule included.
    pub rules: Vec<RuleWeights>,
}

/// Where one rule forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleWeights {
    /// `default`, or the rule's ARN.
    pub rule: String,
    /// Weight of each target group, as the rule gives them (0 to 999).
    pub weights: BTreeMap<TargetGroup, u32>,
    /// True if target group stickiness is on: then weights do not say where clients go.
    pub sticky: bool,
}

impl RuleWeights {
    /// The share of a target group in percent of the rule's total weight; `None` if the total is 0.
    pub fn percent(&self, group: &TargetGroup) -> Option<f64> {
        let total: u32 = self.weights.values().sum();
        (total > 0).then(|| 100.0 * f64::from(*self.weights.get(group).unwrap_or(&0)) / f64::from(total))
    }
}

impl Listener {
    /// The share of a target group in percent, if every rule agrees on it.
    pub fn percent(&self, group: &TargetGroup) -> Option<f64> {
        let mut shares = self.rules.iter().map(|rule| rule.percent(group));
        let first = shares.next()??;
        shares.all(|share| share.is_some_and(|s| (s - first).abs() < 0.05)).then_some(first)
    }

    /// True if every rule forwards to this group alone.
    pub fn forwards_only_to(&self, group: &TargetGroup) -> bool {
        !self.rules.is_empty() && self.percent(group).is_some_and(|share| share > 99.95)
    }
}

/// Targets of both colors by state, as read now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColorHealth {
    /// Blue's.
    pub blue: TargetHealth,
    /// Green's.
    pub green: TargetHealth,
}

/// Targets of one target group by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are ELB's states")]
pub struct TargetHealth {
    pub healthy: u32,
    pub unhealthy: u32,
    pub initial: u32,
    pub draining: u32,
    pub other: u32,
}

/// A CloudWatch alarm, metric or composite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// True if its state is ALARM.
    pub red: bool,
}

/// One closed minute of the load balancer's metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Minute {
    /// Its start.
    pub at: Timestamp,
    /// Per target group; a group without any data point is absent.
    pub groups: BTreeMap<TargetGroup, Counts>,
    /// Database connections (average), if asked for.
    pub connections: Option<f64>,
    /// The team's own metrics, as far as they reported.
    pub metrics: BTreeMap<MetricName, Sides>,
    /// RequestCount of the whole load balancer, Sum; `None` if it reported none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer_requests: Option<f64>,
    /// HTTPCode_ELB_5XX_Count, Sum: what the load balancer answered itself. Absent is zero if it had requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer_errors: Option<f64>,
}

/// A metric's value in one minute for each color; `None` if none was reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sides {
    /// For blue, if it has one of its own.
    pub blue: Option<f64>,
    /// For green, or for both together.
    pub green: Option<f64>,
}

/// What one target group did in one minute. Count metrics that CloudWatch reports only when not zero are 0 here once
/// RequestCount is present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// RequestCount, Sum; `None` if the group reported none.
    pub requests: Option<f64>,
    /// HTTPCode_Target_5XX_Count plus TargetConnectionErrorCount, Sum.
    pub failures: f64,
    /// TargetResponseTime, p95, in seconds.
    pub latency: Option<f64>,
    /// UnHealthyHostCount, Minimum.
    pub unhealthy: Option<f64>,
    /// HealthyHostCount, Maximum: 0 if no target was healthy at any time of the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<f64>,
    /// TargetResponseTime, p90 and p99, in seconds, while it is not yet known what is slow here.
    pub quantiles: [Option<f64>; 2],
    /// How many requests took longer than each of the two thresholds (`TC`, trimmed count), once those are known.
    pub slow: [Option<f64>; 2],
}

/// One closed minute of a service's history: what it is calibrated on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastMinute {
    /// Its start.
    pub at: Timestamp,
    /// Per target group; a group without any data point is absent.
    pub groups: BTreeMap<TargetGroup, PastCounts>,
    /// The team's own counts of the revision that serves now, as far as it reported them.
    pub metrics: BTreeMap<MetricName, f64>,
}

/// What one target group did in a minute of history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastCounts {
    /// All of it.
    pub whole: Load,
    /// The same in each availability zone of the load balancer, always in the same order; empty if there is only one, zero
    /// where the zone reported nothing.
    pub zones: Vec<Load>,
}

/// Requests and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// RequestCount, Sum.
    pub requests: f64,
    /// HTTPCode_Target_5XX_Count plus TargetConnectionErrorCount, Sum.
    pub failures: f64,
}

/// An RDS instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its identifier.
    pub id: String,
    /// `DbiResourceId`: which instance it really is, whatever its name.
    pub resource_id: String,
    /// The storage that it has, or may grow to by itself, in bytes.
    pub storage_bytes: Option<u64>,
    /// An RDS blue/green deployment of it that is not over: DDL would break its replication.
    pub blue_green: Option<String>,
    /// True if its status lets a snapshot be taken (`available` or `storage-optimization`).
    pub snapshot_possible: bool,
    /// Its status, for people.
    pub status: String,
}

/// A manual snapshot of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The `DbiResourceId` that it was taken from.
    pub resource_id: String,
    /// Our marker from its tags.
    pub marker: Option<Marker>,
    /// creating, available, failed.
    pub status: SnapshotStatus,
    /// Progress in percent.
    pub percent: u8,
    /// When it became available (its `SnapshotCreateTime`), if it is.
    pub available_at: Option<Timestamp>,
}

/// Status of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RDS's")]
pub enum SnapshotStatus {
    Creating,
    Available,
    Failed,
    Other,
}

/// What the next pass needs to know. The planner says it; the observers read exactly this, batched over releases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Cluster and service to describe; the task definitions of its task sets are described with it.
    pub service: Option<(String, String)>,
    /// Application and group, and from when on deployments are listed.
    pub group: Option<GroupNeeds>,
    /// Listeners and target health.
    pub traffic: bool,
    /// Alarms of the group.
    pub alarms: bool,
    /// Alarms of the spec's checks, by name.
    pub own_alarms: Vec<String>,
    /// How many closed minutes of metrics, if any; and whether the instance's connections are wanted.
    pub minutes: Option<MinutesNeeds>,
    /// The service's own history, if it is to be calibrated.
    pub history: Option<HistoryNeeds>,
    /// Task definitions by ARN, `family:n` or family.
    pub revisions: Vec<String>,
    /// A custom deployment config by name.
    pub deployment_config: Option<String>,
    /// A run of the team's own migration tool.
    pub task: Option<TaskNeeds>,
    /// Any run of it that is under way: another one may be started.
    pub under_way: Option<UnderWayNeeds>,
    /// The RDS instance.
    pub instance: Option<String>,
    /// A snapshot by id.
    pub snapshot: Option<String>,
    /// The migration source of a spec that is about to be accepted.
    pub plan: bool,
    /// What to look at in the database.
    pub schema: Option<SchemaNeeds>,
}

/// Which deployments are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNeeds {
    /// The application.
    pub application: String,
    /// The group.
    pub group: String,
    /// List deployments created at or after this instant.
    pub since: Timestamp,
    /// Ask for the target (lifecycle events, weights) of the deployment in progress; a group has at most one.
    pub targets: bool,
    /// Ask for the target of this one too if it was stopped.
    pub stopped: Option<String>,
}

/// Which run of the team's own migration tool is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNeeds {
    /// The cluster.
    pub cluster: String,
    /// The container whose exit code counts.
    pub container: String,
    /// How it is known.
    pub by: TaskKey,
}

/// Which runs of the team's own migration tool are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWayNeeds {
    /// The cluster.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// What the token of every run of the release begins with.
    pub prefix: String,
}

/// How a task is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskKey {
    /// By its ARN.
    Arn(String),
    /// By the token that it was started with: its start is in doubt.
    Token(String),
}

/// Which metric minutes are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct MinutesNeeds {
    /// How many closed minutes back from now.
    pub count: u32,
    /// The RDS instance whose connections are wanted.
    pub connections_of: Option<String>,
    /// What is slow, in seconds; while it is not known, the response time's percentiles are wanted instead of counts.
    pub slow: Option<[f64; 2]>,
    /// The team's own metrics.
    pub metrics: BTreeMap<MetricName, MetricNeeds>,
}

/// Which part of a service's own history is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryNeeds {
    /// The stretches of time, none of which overlap.
    pub windows: Vec<Window>,
    /// The team's own metrics, of the revision that serves.
    pub metrics: BTreeMap<MetricName, MetricCheck>,
}

/// A stretch of closed minutes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// So many minutes before the end of the last closed one it ends.
    pub back: u32,
    /// How many minutes it is long.
    pub minutes: u32,
}

/// A metric of the team's own, and whose values are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricNeeds {
    /// The metric.
    pub check: MetricCheck,
    /// Who stands for `blue` in its dimensions.
    pub blue: Color,
    /// Who stands for `green`; `None` while its revision is not registered.
    pub green: Option<Color>,
}

/// What a dimension may tell a color by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Color {
    /// The target group.
    pub group: TargetGroup,
    /// The revision that runs behind it.
    pub revision: RevisionArn,
}

/// What to look at in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaNeeds {
    /// Which database.
    pub database: DatabaseSpec,
    /// The change as accepted.
    pub plan: ChangePlan,
    /// Sessions in the way of DDL.
    pub blockers: bool,
    /// The check files' count.
    pub check: Option<CheckScope>,
    /// The statement statistics.
    pub evidence: bool,
    /// The rollback certificate.
    pub certificate: bool,
    /// The server's log.
    pub log: Option<LogNeeds>,
}

/// What of a server's log is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogNeeds {
    /// Up to here the ledger has it as read, by the server's clock.
    pub through: Option<Timestamp>,
}

/// The identity of a text in a parameter: what pins a release to one spec.
pub fn text_digest(text: &str) -> Digest {
    Digest::of(text)
}
