//! Services and task definitions.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types as ecs;
use tidegate_model::{
    Fact, Why,
    observation::{Needs, Observation, Service, TargetGroup, TaskSet, TaskSetStatus},
    revision::{RevisionArn, TaskDefinition},
};

use super::{forget, recall, remember};
use crate::{
    Aws,
    budget::Bucket,
    call::Operation,
    task_definition::{KeepBody, described},
};

/// Services in one DescribeServices call. Source: the ECS model.
const SERVICES_A_CALL: usize = 10;

const DESCRIBE: Operation = Operation { service: "ecs", name: "DescribeServices", bucket: Bucket::EcsRead };
const DEFINITION: Operation =
    Operation { service: "ecs", name: "DescribeTaskDefinition", bucket: Bucket::EcsRead };

type Key = (String, String);

impl Aws {
    /// Services by cluster and name.
    pub(super) async fn services(&self, keys: &BTreeSet<Key>) -> BTreeMap<Key, Fact<Service>> {
        let mut by_cluster: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (cluster, name) in keys {
            by_cluster.entry(cluster).or_default().push(name);
        }
        let mut all = BTreeMap::new();
        for (cluster, names) in by_cluster {
            for chunk in names.chunks(SERVICES_A_CALL) {
                all.extend(self.services_of(cluster, chunk).await);
            }
        }
        all
    }

    async fn services_of(&self, cluster: &str, names: &[&str]) -> Vec<(Key, Fact<Service>)> {
        let asked = names.iter().map(|name| (*name).to_owned()).collect();
        let request = self.read.ecs.describe_services().cluster(cluster).set_services(Some(asked));
        let answer = self.calls.call(DESCRIBE, request.send()).await;
        let fact = |name: &str| match &answer {
            Err(failure) if failure.code == "ClusterNotFoundException" => Fact::Absent,
            Err(failure) => Fact::Unknown(failure.why()),
            Ok(output) => {
                let missing = |f: &ecs::Failure| {
                    f.reason() == Some("MISSING")
                        && f.arn().is_some_and(|arn| arn.rsplit('/').next() == Some(name))
                };
                match output.services().iter().find(|service| service.service_name() == Some(name)) {
                    Some(service) => Fact::Known(read_service(service)),
                    None if output.failures().iter().any(missing) => Fact::Absent,
                    None => Fact::Unknown(Why::Malformed),
                }
            }
        };
        names.iter().map(|name| ((cluster.to_owned(), (*name).to_owned()), fact(name))).collect()
    }

    /// The task definitions of the service's task sets, and those that were asked for by name.
    pub(super) async fn revisions(
        &self,
        need: &Needs,
        seen: &Observation,
    ) -> BTreeMap<String, Fact<TaskDefinition>> {
        let mut all = BTreeMap::new();
        for set in seen.service.known().map(|service| &service.task_sets[..]).unwrap_or_default() {
            let arn = &set.revision.0;
            let fact = match recall(&self.cache.definitions, arn) {
                Some(definition) => Fact::Known(definition),
                None => self.definition(arn).await,
            };
            all.insert(arn.clone(), fact);
        }
        for asked in &need.revisions {
            let fact = self.definition(asked).await;
            all.insert(asked.clone(), fact);
        }
        all
    }

    /// A task definition's content never changes, and versions are pinned by it: it is known once two answers were alike. A part that is
    /// missing from a single one would make another version of it.
    async fn definition(&self, asked: &str) -> Fact<TaskDefinition> {
        let answer = self.describe(asked).await;
        let Fact::Known(definition) = &answer else { return answer };
        let arn = &definition.arn.0;
        let other = match recall(&self.cache.definitions, arn) {
            Some(known) => Fact::Known(known),
            None => self.describe(arn).await,
        };
        match other {
            Fact::Known(other) if other.content == definition.content => {
                remember(&self.cache.definitions, arn, definition);
                answer
            }
            Fact::Known(_) | Fact::Absent => {
                forget(&self.cache.definitions, arn);
                Fact::Unknown(Why::Malformed)
            }
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }

    async fn describe(&self, asked: &str) -> Fact<TaskDefinition> {
        let body = KeepBody::default();
        let request = self
            .read
            .ecs
            .describe_task_definition()
            .task_definition(asked)
            .include(ecs::TaskDefinitionField::Tags)
            .customize()
            .interceptor(body.clone());
        match self.calls.call(DEFINITION, request.send()).await {
            Ok(_) => match body.json().as_ref().and_then(described) {
                Some(definition) => Fact::Known(definition),
                None => Fact::Unknown(Why::Malformed),
            },
            // ECS answers ClientException for a family or revision that does not exist.
            Err(failure) if failure.code == "ClientException" => Fact::Absent,
            Err(failure) => Fact::Unknown(failure.why()),
        }
    }
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn read_service(service: &ecs::Service) -> Service {
    let controller = service.deployment_controller().map(ecs::DeploymentController::r#type);
    let task_sets: Vec<TaskSet> = service.task_sets().iter().filter_map(read_task_set).collect();
    let balanced =
        service.task_sets().iter().flat_map(ecs::TaskSet::load_balancers).chain(service.load_balancers());
    let container = balanced
        .filter_map(|lb| Some((lb.container_name()?.to_owned(), u16::try_from(lb.container_port()?).ok()?)))
        .next();
    Service {
        active: service.status() == Some("ACTIVE"),
        by_codedeploy: controller == Some(&ecs::DeploymentControllerType::CodeDeploy),
        desired: count(service.desired_count()),
        container,
        placement: crate::run_task::placement(service),
        task_sets,
    }
}

fn read_task_set(set: &ecs::TaskSet) -> Option<TaskSet> {
    let group = set.load_balancers().iter().find_map(|lb| lb.target_group_arn());
    Some(TaskSet {
        id: set.id()?.to_owned(),
        status: match set.status() {
            Some("PRIMARY") => TaskSetStatus::Primary,
            Some("ACTIVE") => TaskSetStatus::Active,
            Some("DRAINING") => TaskSetStatus::Draining,
            Some(_) | None => TaskSetStatus::Other,
        },
        revision: RevisionArn(set.task_definition()?.to_owned()),
        target_group: group.map(|arn| TargetGroup(arn.to_owned())),
        desired: count(set.computed_desired_count()),
        running: count(set.running_count()),
        pending: count(set.pending_count()),
        steady: set.stability_status() == Some(&ecs::StabilityStatus::SteadyState),
        external_id: set.external_id().map(str::to_owned),
    })
}
