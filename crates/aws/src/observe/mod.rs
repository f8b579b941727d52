//! Observing: exactly the facts that were asked for, batched over all releases that are due.
//!
//! First what others hang on (services and deployment groups), then everything else side by side. A failed call makes the
//! facts that it would have given unknown, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tidegate_model::{
    Fact, ReleaseName,
    observation::{Deployment, Needs, Observation, TargetGroup},
    revision::TaskDefinition,
};

use crate::Aws;

mod codedeploy;
mod ecs;
mod elb;
mod history;
mod metrics;
mod points;
mod rds;
mod server_log;

pub use rds::InstanceSetup;
pub use server_log::{LogPortion, LogPosition};

/// What never changes once it was read.
#[derive(Default)]
pub(crate) struct Cache {
    /// Target groups by name: ARN and the load balancer's ARN.
    groups: Mutex<BTreeMap<String, GroupArns>>,
    /// DNS names by load balancer ARN.
    dns_names: Mutex<BTreeMap<String, String>>,
    /// Task definitions of task sets, by ARN: their content is immutable.
    definitions: Mutex<BTreeMap<String, TaskDefinition>>,
    /// Deployments that have ended for good, by id.
    ended: Mutex<BTreeMap<String, Deployment>>,
    /// Points of metrics up to the last closed minute: those do change, and are kept for that minute only.
    answered: Mutex<points::Answered>,
}

/// A target group's ARN and the load balancer in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupArns {
    group: TargetGroup,
    balancer: Option<String>,
}

/// Entries kept of each kind; more are forgotten all at once and read again.
const CACHED: usize = 4_096;

fn remember<V: Clone>(cache: &Mutex<BTreeMap<String, V>>, key: &str, value: &V) {
    let mut map = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if map.len() >= CACHED {
        map.clear();
    }
    map.insert(key.to_owned(), value.clone());
}

fn forget<V>(cache: &Mutex<BTreeMap<String, V>>, key: &str) {
    cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(key);
}

fn recall<V: Clone>(cache: &Mutex<BTreeMap<String, V>>, key: &str) -> Option<V> {
    cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
}

impl Aws {
    /// Reads what each release needs. What was not asked for stays `Unknown(NotAsked)`.
    pub async fn observe(
        &self,
        needs: &BTreeMap<ReleaseName, Needs>,
        now: Timestamp,
    ) -> BTreeMap<ReleaseName, Observation> {
        let mut seen: BTreeMap<ReleaseName, Observation> =
            needs.keys().map(|release| (release.clone(), Observation::default())).collect();
        let services: BTreeSet<(String, String)> = needs.values().filter_map(|n| n.service.clone()).collect();
        let groups: BTreeSet<(String, String)> = needs
            .values()
            .filter_map(|n| n.group.as_ref())
            .map(|g| (g.application.clone(), g.group.clone()))
            .collect();
        let (services, groups) =
            futures_util::future::join(self.services(&services), self.groups(&groups)).await;
        for (release, need) in needs {
            let Some(observation) = seen.get_mut(release) else { continue };
            if let Some(key) = &need.service {
                observation.service = services.get(key).cloned().unwrap_or_default();
            }
            if let Some(group) = &need.group {
                let key = (group.application.clone(), group.group.clone());
                observation.group = groups.get(&key).cloned().unwrap_or_default();
            }
        }
        let minutes = self.minutes(needs, &seen, now).await;
        let mut histories = self.histories(needs, &seen, now).await;
        let alarms = self.alarms(needs, &seen).await;
        let mut each = vec![];
        for (release, need) in needs {
            let before = seen.get(release).cloned().unwrap_or_default();
            each.push(self.rest(need, before).boxed());
        }
        let observations = futures_util::future::join_all(each).await;
        for (release, with_rest) in needs.keys().zip(observations) {
            let observation = seen.entry(release.clone()).or_default();
            *observation = with_rest;
            observation.minutes = minutes.get(release).cloned().unwrap_or_default();
            observation.history = histories.remove(release).unwrap_or_default();
            observation.alarms = alarms.get(release).cloned().unwrap_or_default();
        }
        seen
    }

    /// The facts that cannot be batched over releases.
    async fn rest(&self, need: &Needs, mut seen: Observation) -> Observation {
        if let Some(group) = &need.group {
            seen.deployments = self.deployments(group, &seen).await;
        }
        if need.traffic
            && let Fact::Known(group) = &seen.group
        {
            let (listeners, health) =
                futures_util::future::join(self.listeners(group), self.health(group)).await;
            (seen.listeners, seen.health) = (listeners, health);
        }
        seen.revisions = self.revisions(need, &seen).await;
        if let Some(name) = &need.deployment_config {
            seen.deployment_config = self.deployment_config(name).await;
        }
        if let Some(task) = &need.task {
            seen.task = self.task(task).await;
        }
        if let Some(runs) = &need.under_way {
            seen.under_way = self.under_way(runs).await;
        }
        if let Some(instance) = &need.instance {
            seen.instance = self.instance(instance).await;
        }
        if let Some(snapshot) = &need.snapshot {
            seen.snapshot = self.snapshot(snapshot).await;
        }
        seen
    }
}
