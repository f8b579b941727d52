//! Deployment groups, deployments and their targets.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_codedeploy::types as cd;
use tidegate_model::{
    Fact, Why,
    observation::{
        Deployment, DeploymentGroup, DeploymentStatus, DeploymentTarget, GroupNeeds, Observation,
        RollbackEvents, Service, TargetGroup,
    },
};

use super::{recall, remember};
use crate::{Aws, ReadError, budget::Bucket, call::Operation, parameters::instant};

/// Deployments in one BatchGetDeployments call. Source: the CodeDeploy API (its quota page says more).
const DEPLOYMENTS_A_CALL: usize = 25;

const fn operation(name: &'static str) -> Operation {
    Operation { service: "codedeploy", name, bucket: Bucket::CodeDeploy }
}

type Key = (String, String);

impl Aws {
    /// Deployment groups by application and name.
    pub(super) async fn groups(&self, keys: &BTreeSet<Key>) -> BTreeMap<Key, Fact<DeploymentGroup>> {
        let mut by_application: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (application, group) in keys {
            by_application.entry(application).or_default().push(group);
        }
        let mut all = BTreeMap::new();
        for (application, names) in by_application {
            all.extend(self.groups_of(application, &names).await);
        }
        all
    }

    async fn groups_of(&self, application: &str, names: &[&str]) -> Vec<(Key, Fact<DeploymentGroup>)> {
        let asked = names.iter().map(|name| (*name).to_owned()).collect();
        let request = self
            .read
            .codedeploy
            .batch_get_deployment_groups()
            .application_name(application)
            .set_deployment_group_names(Some(asked));
        let answer = self.calls.call(operation("BatchGetDeploymentGroups"), request.send()).await;
        let mut facts = vec![];
        for name in names {
            let fact = match &answer {
                Err(failure) if failure.code == "ApplicationDoesNotExistException" => Fact::Absent,
                Err(failure) => Fact::Unknown(failure.why()),
                Ok(output) => {
                    let found = output
                        .deployment_groups_info()
                        .iter()
                        .find(|g| g.deployment_group_name() == Some(name));
                    match found {
                        Some(info) => self.read_group(info).await,
                        None => Fact::Absent,
                    }
                }
            };
            facts.push(((application.to_owned(), (*name).to_owned()), fact));
        }
        facts
    }

    /// A group names its target groups; everything else here is by ARN.
    async fn read_group(&self, info: &cd::DeploymentGroupInfo) -> Fact<DeploymentGroup> {
        let pair = info.load_balancer_info().and_then(|lb| lb.target_group_pair_info_list().first());
        let names: Vec<&str> = pair
            .map(|p| p.target_groups().iter().filter_map(cd::TargetGroupInfo::name).collect())
            .unwrap_or_default();
        let target_groups: Vec<TargetGroup> = match self.target_groups(&names).await {
            Ok(groups) => groups.into_iter().map(|arns| arns.group).collect(),
            Err(error) => return error.unknown(),
        };
        let listener =
            |route: Option<&cd::TrafficRoute>| route.and_then(|r| r.listener_arns().first().cloned());
        let service = info.ecs_services().first();
        let blue_green = info.blue_green_deployment_configuration();
        let ready = blue_green.and_then(cd::BlueGreenDeploymentConfiguration::deployment_ready_option);
        let terminate = blue_green.and_then(|b| b.terminate_blue_instances_on_deployment_success());
        let kept = terminate.is_some_and(|t| t.action() == Some(&cd::InstanceAction::KeepAlive));
        let alarms = info.alarm_configuration().filter(|alarms| alarms.enabled());
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Fact::Known(DeploymentGroup {
            cluster: text(service.and_then(|s| s.cluster_name())),
            service: text(service.and_then(|s| s.service_name())),
            ready_wait_minutes: ready.and_then(ready_wait),
            termination_wait_minutes: match kept {
                true => None,
                false => Some(
                    terminate
                        .and_then(|t| u32::try_from(t.termination_wait_time_in_minutes()).ok())
                        .unwrap_or(0),
                ),
            },
            target_groups,
            production_listener: listener(pair.and_then(|p| p.prod_traffic_route())),
            test_listener: listener(pair.and_then(|p| p.test_traffic_route())),
            alarms: alarms
                .map(|a| a.alarms().iter().filter_map(|alarm| alarm.name().map(str::to_owned)).collect())
                .unwrap_or_default(),
            rollback_on: rollback_events(info.auto_rollback_configuration()),
        })
    }

    /// Deployments of a group since an instant, newest first: a complete list, or unknown.
    pub(super) async fn deployments(&self, need: &GroupNeeds, seen: &Observation) -> Fact<Vec<Deployment>> {
        let ids = match self.deployment_ids(need).await {
            Ok(ids) => ids,
            Err(error) => return error.unknown(),
        };
        let (mut all, mut asked) = (vec![], vec![]);
        for id in ids {
            match recall(&self.cache.ended, &id) {
                Some(ended) => all.push(ended),
                None => asked.push(id),
            }
        }
        for chunk in asked.chunks(DEPLOYMENTS_A_CALL) {
            let request =
                self.read.codedeploy.batch_get_deployments().set_deployment_ids(Some(chunk.to_vec()));
            let infos = match self.calls.call(operation("BatchGetDeployments"), request.send()).await {
                Ok(output) => output.deployments_info.unwrap_or_default(),
                Err(failure) => return Fact::Unknown(failure.why()),
            };
            let read: Option<Vec<Deployment>> = infos.iter().map(read_deployment).collect();
            match read {
                // Ids that the batch leaves out silently would make the list incomplete.
                Some(read) if read.len() == chunk.len() => all.extend(read),
                Some(_) | None => return Fact::Unknown(Why::Malformed),
            }
        }
        all.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        for deployment in &mut all {
            // Only its target says how long a deployment had waited when it was stopped.
            let stopped = deployment.status == DeploymentStatus::Stopped
                && need.stopped.as_ref() == Some(&deployment.id)
                && deployment.target.known().is_none();
            if stopped || need.targets && !deployment.status.is_terminal() {
                deployment.target = self.target(&deployment.id, seen).await;
            }
            if deployment.status.is_terminal() {
                self.remember_ended(deployment);
            }
        }
        Fact::Known(all)
    }

    /// A deployment that succeeded, or whose rollback is named, changes no more.
    fn remember_ended(&self, deployment: &Deployment) {
        if deployment.status == DeploymentStatus::Succeeded || deployment.rolled_back_by.is_some() {
            let mut ended = deployment.clone();
            if ended.target.unknown().is_some() {
                // A read that failed is made again.
                ended.target = Fact::default();
            }
            remember(&self.cache.ended, &deployment.id, &ended);
        }
    }

    async fn deployment_ids(&self, need: &GroupNeeds) -> Result<Vec<String>, ReadError> {
        let list = operation("ListDeployments");
        let range = cd::TimeRange::builder()
            .start(aws_smithy_types::DateTime::from_millis(need.since.as_millisecond()))
            .build();
        let mut ids = vec![];
        let mut token: Option<String> = None;
        loop {
            let request = self
                .read
                .codedeploy
                .list_deployments()
                .application_name(&need.application)
                .deployment_group_name(&need.group)
                .create_time_range(range.clone())
                .set_next_token(token.take());
            let page =
                self.calls.call(list, request.send()).await.map_err(|f| ReadError::new(list.name, f))?;
            ids.extend(page.deployments.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(ids);
            }
        }
    }

    async fn target(&self, deployment: &str, seen: &Observation) -> Fact<DeploymentTarget> {
        let group = match &seen.group {
            Fact::Known(group) => group,
            Fact::Absent => return Fact::Absent,
            Fact::Unknown(why) => return Fact::Unknown(*why),
        };
        let id = format!("{}:{}", group.cluster, group.service);
        let request = self.read.codedeploy.get_deployment_target().deployment_id(deployment).target_id(id);
        match self.calls.call(operation("GetDeploymentTarget"), request.send()).await {
            Ok(output) => {
                let target = output.deployment_target.and_then(|target| target.ecs_target);
                target.map_or(Fact::Unknown(Why::Malformed), |target| {
                    Fact::Known(read_target(&target, seen.service.known()))
                })
            }
            Err(failure)
                if ["DeploymentNotStartedException", "DeploymentTargetDoesNotExistException"]
                    .contains(&failure.code.as_str()) =>
            {
                Fact::Absent
            }
            Err(failure) => Fact::Unknown(failure.why()),
        }
    }

    /// A custom deployment config by name.
    pub(super) async fn deployment_config(&self, name: &str) -> Fact<String> {
        let request = self.read.codedeploy.get_deployment_config().deployment_config_name(name);
        match self.calls.call(operation("GetDeploymentConfig"), request.send()).await {
            Ok(_) => Fact::Known(name.to_owned()),
            Err(failure) if failure.code == "DeploymentConfigDoesNotExistException" => Fact::Absent,
            Err(failure) => Fact::Unknown(failure.why()),
        }
    }
}

fn rollback_events(configuration: Option<&cd::AutoRollbackConfiguration>) -> RollbackEvents {
    let Some(configuration) = configuration.filter(|c| c.enabled()) else { return RollbackEvents::default() };
    let on = |event: &cd::AutoRollbackEvent| configuration.events().contains(event);
    RollbackEvents {
        failure: on(&cd::AutoRollbackEvent::DeploymentFailure),
        alarm: on(&cd::AutoRollbackEvent::DeploymentStopOnAlarm),
        request: on(&cd::AutoRollbackEvent::DeploymentStopOnRequest),
    }
}

fn read_deployment(info: &cd::DeploymentInfo) -> Option<Deployment> {
    let rollback = info.rollback_info();
    Some(Deployment {
        id: info.deployment_id()?.to_owned(),
        status: match info.status()? {
            cd::DeploymentStatus::Created => DeploymentStatus::Created,
            cd::DeploymentStatus::Queued => DeploymentStatus::Queued,
            cd::DeploymentStatus::InProgress => DeploymentStatus::InProgress,
            cd::DeploymentStatus::Ready => DeploymentStatus::Ready,
            cd::DeploymentStatus::Succeeded => DeploymentStatus::Succeeded,
            cd::DeploymentStatus::Failed => DeploymentStatus::Failed,
            cd::DeploymentStatus::Stopped => DeploymentStatus::Stopped,
            // Baking, or a value that this SDK does not know.
            _ => DeploymentStatus::Other,
        },
        created: instant(info.create_time()?)?,
        ended: info.complete_time().and_then(instant),
        marker: info.description().and_then(|text| text.parse().ok()),
        is_rollback: info.creator() == Some(&cd::DeploymentCreator::CodeDeployRollback),
        rolled_back_by: rollback
            .and_then(|r| r.rollback_deployment_id())
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        error: info.error_information().and_then(|e| e.code()).map(|code| code.as_str().to_owned()),
        ready_wait_minutes: info
            .blue_green_deployment_configuration()
            .and_then(|b| b.deployment_ready_option())
            .and_then(ready_wait),
        termination_wait_started: info.instance_termination_wait_time_started(),
        termination_wait_minutes: info
            .blue_green_deployment_configuration()
            .and_then(|b| b.terminate_blue_instances_on_deployment_success())
            .and_then(|t| u32::try_from(t.termination_wait_time_in_minutes()).ok()),
        target: Fact::default(),
    })
}

/// Minutes until a deployment at Ready is stopped; `None` if it goes on by itself.
fn ready_wait(option: &cd::DeploymentReadyOption) -> Option<u32> {
    let stops = option.action_on_timeout() == Some(&cd::DeploymentReadyAction::StopDeployment);
    u32::try_from(option.wait_time_in_minutes()).ok().filter(|_| stops)
}

/// Since when a deployment waits at Ready, or waited when it was stopped there: green is installed, and no event is under way or was
/// broken off. That events which a stop skips have no start time is an assumption; if they have one, this is unknown, and when the wait was
/// first read counts instead.
fn ready_since(events: &[cd::LifecycleEvent]) -> Option<jiff::Timestamp> {
    let begun: Vec<_> = events.iter().filter(|event| event.start_time().is_some()).collect();
    let named = |name: &str| begun.iter().any(|event| event.lifecycle_event_name() == Some(name));
    let succeeded =
        |event: &&cd::LifecycleEvent| event.status() == Some(&cd::LifecycleEventStatus::Succeeded);
    if !named("Install") || named("AllowTraffic") || !begun.iter().all(succeeded) {
        return None;
    }
    begun.iter().filter_map(|event| event.end_time().and_then(instant)).max()
}

fn read_target(target: &cd::EcsTarget, service: Option<&Service>) -> DeploymentTarget {
    let green =
        target.task_sets_info().iter().find(|set| set.task_set_label() == Some(&cd::TargetLabel::Green));
    let id = green.and_then(|set| set.identifer());
    let revision = service
        .and_then(|s| s.task_sets.iter().find(|set| Some(set.id.as_str()) == id))
        .map(|set| set.revision.clone());
    let event =
        target.lifecycle_events().iter().find(|event| event.lifecycle_event_name() == Some("AllowTraffic"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a percentage")]
    let weight = green.map(|set| set.traffic_weight().round().clamp(0.0, 100.0) as u8);
    DeploymentTarget {
        green: revision,
        green_weight: weight,
        ready_since: ready_since(target.lifecycle_events()),
        traffic_since: event.and_then(|e| e.start_time()).and_then(instant),
        traffic_until: event.and_then(|e| e.end_time()).and_then(instant),
    }
}
