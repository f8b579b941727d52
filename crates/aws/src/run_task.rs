//! Runs of the team's own migration tool: started by RunTask, found again by their token or how it begins, read by DescribeTasks.

use aws_sdk_ecs::types as ecs;
use tidegate_model::{
    Fact, Why,
    decision::Outcome,
    observation::{TaskKey, TaskNeeds, UnderWayNeeds},
    runner::{Network, Placement, RunTask, SeenTask, TaskEnd},
};

use crate::{ActError, Aws, act::no_answer, budget::Bucket, call::Operation};

const RUN: Operation = Operation { service: "ecs", name: "RunTask", bucket: Bucket::EcsWrite };
const LIST: Operation = Operation { service: "ecs", name: "ListTasks", bucket: Bucket::EcsRead };
const DESCRIBE: Operation = Operation { service: "ecs", name: "DescribeTasks", bucket: Bucket::EcsRead };

/// Longest part of ECS's reason that is kept: it ends in ledger and status.
const LONGEST_REASON: usize = 200;

impl Aws {
    /// Starts a run. A task that could not be placed is a refusal, although ECS answers with HTTP 200.
    pub(crate) async fn run_task(&self, run: &RunTask) -> Result<Outcome, ActError> {
        let token = run.token();
        let container = ecs::ContainerOverride::builder()
            .name(&run.container)
            .set_command(Some(run.command.clone()))
            .build();
        let placement = &run.placement;
        let request = self
            .write
            .ecs
            .run_task()
            .cluster(&run.cluster)
            .task_definition(&run.task_definition)
            .count(1)
            .client_token(&token)
            .started_by(&token)
            .overrides(ecs::TaskOverride::builder().container_overrides(container).build())
            .set_launch_type(placement.launch_type.as_deref().map(ecs::LaunchType::from))
            .set_platform_version(placement.platform_version.clone())
            .set_capacity_provider_strategy(strategy(placement)?)
            .set_network_configuration(placement.network.as_ref().map(network).transpose()?);
        let output = self.send(RUN, request.send()).await?;
        if let Some(failure) = output.failures().first() {
            let code = failure.reason().unwrap_or("NotPlaced").to_owned();
            return Err(ActError::Refused { code, retry: true });
        }
        let arn = output.tasks().first().and_then(ecs::Task::task_arn);
        arn.map(|arn| Outcome::TaskStarted(arn.to_owned())).ok_or_else(no_answer)
    }

    /// A run by its ARN or token. `Absent` if ECS knows none, or none any more: a stopped task is shown for an hour.
    pub(crate) async fn task(&self, needs: &TaskNeeds) -> Fact<SeenTask> {
        let arn = match &needs.by {
            TaskKey::Arn(arn) => arn.clone(),
            TaskKey::Token(token) => match self.started_by(&needs.cluster, token).await {
                Fact::Known(arn) => arn,
                Fact::Absent => return Fact::Absent,
                Fact::Unknown(why) => return Fact::Unknown(why),
            },
        };
        let request = self.read.ecs.describe_tasks().cluster(&needs.cluster).tasks(&arn);
        match self.calls.call(DESCRIBE, request.send()).await {
            Ok(output) => match (output.tasks().first(), output.failures().first()) {
                (Some(task), _) => Fact::Known(seen(arn, task, &needs.container)),
                (None, Some(failure)) if failure.reason() == Some("MISSING") => Fact::Absent,
                (None, _) => Fact::Unknown(Why::Malformed),
            },
            Err(failure) => Fact::Unknown(failure.why()),
        }
    }

    /// A task of a family that has not stopped and was started with a token that begins like this. ListTasks filters by a whole
    /// `startedBy` only, so each task of the family is described. One that is being stopped is listed as stopped, and may still work.
    pub(crate) async fn under_way(&self, needs: &UnderWayNeeds) -> Fact<String> {
        for status in [ecs::DesiredStatus::Running, ecs::DesiredStatus::Stopped] {
            let mut token = None::<String>;
            loop {
                let request = self.read.ecs.list_tasks().cluster(&needs.cluster).family(&needs.family);
                let request = request.desired_status(status.clone()).set_next_token(token.take());
                let page = match self.calls.call(LIST, request.send()).await {
                    Ok(page) => page,
                    Err(failure) => return Fact::Unknown(failure.why()),
                };
                match self.first_under_way(needs, page.task_arns()).await {
                    Fact::Absent => {}
                    found => return found,
                }
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Fact::Absent
    }

    /// Of a page of tasks, the first that is looked for. A page has at most as many as DescribeTasks takes: 100.
    async fn first_under_way(&self, needs: &UnderWayNeeds, arns: &[String]) -> Fact<String> {
        if arns.is_empty() {
            return Fact::Absent;
        }
        let request = self.read.ecs.describe_tasks().cluster(&needs.cluster).set_tasks(Some(arns.to_vec()));
        let output = match self.calls.call(DESCRIBE, request.send()).await {
            Ok(output) => output,
            Err(failure) => return Fact::Unknown(failure.why()),
        };
        let ours = |task: &&ecs::Task| {
            task.started_by().is_some_and(|by| by.starts_with(&needs.prefix)) && !is_stopped(task)
        };
        match output.tasks().iter().find(ours).and_then(ecs::Task::task_arn) {
            Some(arn) => Fact::Known(arn.to_owned()),
            None if output.tasks().len() == arns.len() => Fact::Absent,
            // One that was listed is not described: it may be the one.
            None => Fact::Unknown(Why::Malformed),
        }
    }

    /// The task that was started with a token. ListTasks shows running and stopped ones in calls of their own.
    async fn started_by(&self, cluster: &str, token: &str) -> Fact<String> {
        for status in [ecs::DesiredStatus::Running, ecs::DesiredStatus::Stopped] {
            let request =
                self.read.ecs.list_tasks().cluster(cluster).started_by(token).desired_status(status);
            match self.calls.call(LIST, request.send()).await {
                Ok(output) => {
                    if let Some(arn) = output.task_arns().first() {
                        return Fact::Known(arn.clone());
                    }
                }
                Err(failure) => return Fact::Unknown(failure.why()),
            }
        }
        Fact::Absent
    }
}

fn seen(arn: String, task: &ecs::Task, container: &str) -> SeenTask {
    let stopped = is_stopped(task);
    let own = task.containers().iter().find(|found| found.name() == Some(container));
    let reason = own.and_then(ecs::Container::reason).or(task.stopped_reason()).unwrap_or_default();
    let reason = reason.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
    let end = TaskEnd { exit_code: own.and_then(ecs::Container::exit_code), reason };
    SeenTask { arn, end: stopped.then_some(end) }
}

fn is_stopped(task: &ecs::Task) -> bool {
    task.last_status() == Some("STOPPED")
}

/// Where the tasks of a service run: as its primary task set says, or as the service itself does.
pub(crate) fn placement(service: &ecs::Service) -> Placement {
    let primary = service.task_sets().iter().find(|set| set.status() == Some("PRIMARY"));
    let of_set = primary.and_then(|set| set.network_configuration());
    let launch = primary.and_then(ecs::TaskSet::launch_type).or(service.launch_type());
    let strategy = primary
        .map_or_else(|| service.capacity_provider_strategy(), ecs::TaskSet::capacity_provider_strategy);
    let version = primary.and_then(ecs::TaskSet::platform_version).or(service.platform_version());
    Placement {
        launch_type: launch.filter(|_| strategy.is_empty()).map(|launch| launch.as_str().to_owned()),
        capacity_providers: strategy
            .iter()
            .map(|item| (item.capacity_provider().to_owned(), item.weight(), item.base()))
            .collect(),
        platform_version: version.map(str::to_owned),
        network: of_set.or(service.network_configuration()).and_then(read_network),
    }
}

fn read_network(found: &ecs::NetworkConfiguration) -> Option<Network> {
    let vpc = found.awsvpc_configuration()?;
    Some(Network {
        subnets: vpc.subnets().to_vec(),
        security_groups: vpc.security_groups().to_vec(),
        public_ip: vpc.assign_public_ip() == Some(&ecs::AssignPublicIp::Enabled),
    })
}

fn network(wanted: &Network) -> Result<ecs::NetworkConfiguration, ActError> {
    let public = if wanted.public_ip { ecs::AssignPublicIp::Enabled } else { ecs::AssignPublicIp::Disabled };
    let vpc = ecs::AwsVpcConfiguration::builder()
        .set_subnets(Some(wanted.subnets.clone()))
        .set_security_groups(Some(wanted.security_groups.clone()))
        .assign_public_ip(public)
        .build()
        .map_err(|_| incomplete())?;
    Ok(ecs::NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

type Strategy = Option<Vec<ecs::CapacityProviderStrategyItem>>;

fn strategy(placement: &Placement) -> Result<Strategy, ActError> {
    if placement.capacity_providers.is_empty() {
        return Ok(None);
    }
    let item = |(provider, weight, base): &(String, i32, i32)| {
        ecs::CapacityProviderStrategyItem::builder()
            .capacity_provider(provider)
            .weight(*weight)
            .base(*base)
            .build()
            .map_err(|_| incomplete())
    };
    placement.capacity_providers.iter().map(item).collect::<Result<_, _>>().map(Some)
}

/// The SDK did not take what DescribeServices gave.
fn incomplete() -> ActError {
    ActError::Refused { code: "PlacementIncomplete".to_owned(), retry: false }
}
