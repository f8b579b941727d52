//! The tables of a world file, as they are written. What they mean is the parent module's business.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::world::{ecs::Controller, rds::Groups, traffic::Counted};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    /// How many availability zones the region has.
    pub(super) zones: Option<u8>,
    #[serde(default)]
    pub(super) history_minutes: u32,
    pub(super) publication_delay_seconds: Option<i64>,
    #[serde(default)]
    pub(super) secrets: Vec<SecretPart>,
    #[serde(default)]
    pub(super) instances: Vec<InstancePart>,
    #[serde(default)]
    pub(super) load_balancers: Vec<BalancerPart>,
    #[serde(default)]
    pub(super) target_groups: Vec<GroupPart>,
    #[serde(default)]
    pub(super) listeners: Vec<ListenerPart>,
    #[serde(default)]
    pub(super) task_definitions: Vec<DefinitionPart>,
    #[serde(default)]
    pub(super) services: Vec<ServicePart>,
    #[serde(default)]
    pub(super) alarms: Vec<AlarmPart>,
    #[serde(default)]
    pub(super) deployment_groups: Vec<DeploymentGroupPart>,
    #[serde(default)]
    pub(super) parameters: Vec<ParameterPart>,
    #[serde(default)]
    pub(super) traffic: Vec<TrafficPart>,
    #[serde(default)]
    pub(super) images: Vec<ImagePart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretPart {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstancePart {
    pub(super) id: String,
    #[serde(default = "engine_version")]
    pub(super) engine_version: String,
    #[serde(default = "master")]
    pub(super) username: String,
    pub(super) password: String,
    pub(super) database: String,
    /// Statements that a fresh live instance begins with, run by the master user.
    #[serde(default)]
    pub(super) sql: Vec<String>,
    /// Its groups; the account's defaults where they are not named.
    pub(super) subnet_group: Option<String>,
    #[serde(default)]
    pub(super) security_groups: Vec<String>,
    pub(super) parameter_group: Option<String>,
    #[serde(default)]
    pub(super) multi_az: bool,
}

impl InstancePart {
    pub(super) fn groups(&self) -> Groups {
        let default = Groups::default_for(&self.engine_version);
        Groups {
            subnet: self.subnet_group.clone().unwrap_or(default.subnet),
            security: if self.security_groups.is_empty() {
                default.security
            } else {
                self.security_groups.clone()
            },
            parameter: self.parameter_group.clone().unwrap_or(default.parameter),
            multi_az: self.multi_az,
        }
    }
}

fn engine_version() -> String {
    "15.8".to_owned()
}
fn master() -> String {
    "postgres".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BalancerPart {
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupPart {
    pub(super) name: String,
    #[serde(default = "http")]
    pub(super) port: u16,
    #[serde(default = "health")]
    pub(super) health_path: String,
    #[serde(default = "thirty")]
    pub(super) interval: i64,
    #[serde(default = "five")]
    pub(super) timeout: i64,
    #[serde(default = "two")]
    pub(super) healthy: u32,
    #[serde(default = "three")]
    pub(super) unhealthy: u32,
    #[serde(default = "thirty")]
    pub(super) deregistration_delay: i64,
}

fn http() -> u16 {
    80
}
fn health() -> String {
    "/health".to_owned()
}
fn thirty() -> i64 {
    30
}
fn five() -> i64 {
    5
}
fn two() -> u32 {
    2
}
fn three() -> u32 {
    3
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerPart {
    pub(super) name: String,
    pub(super) load_balancer: String,
    pub(super) port: u16,
    pub(super) forward: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefinitionPart {
    pub(super) family: String,
    pub(super) container: String,
    pub(super) image: String,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// Variable to `secret-name` or `secret-name:key`.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePart {
    pub(super) cluster: String,
    pub(super) name: String,
    pub(super) family: String,
    pub(super) desired: u32,
    pub(super) target_group: String,
    /// `code-deploy` or `ecs`.
    #[serde(default)]
    pub(super) controller: Controller,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlarmPart {
    pub(super) name: String,
    pub(super) load_balancer: String,
    pub(super) metric: String,
    pub(super) threshold: f64,
    pub(super) periods: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeploymentGroupPart {
    pub(super) application: String,
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) service: String,
    #[serde(default = "all_at_once")]
    pub(super) config: String,
    pub(super) target_groups: [String; 2],
    pub(super) production_listener: String,
    pub(super) test_listener: Option<String>,
    /// Absent: CONTINUE_DEPLOYMENT.
    pub(super) ready_wait_minutes: Option<u32>,
    pub(super) termination_wait_minutes: u32,
    #[serde(default)]
    pub(super) alarms: Vec<String>,
    #[serde(default)]
    pub(super) rollback_events: Vec<String>,
}

fn all_at_once() -> String {
    "CodeDeployDefault.ECSAllAtOnce".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterPart {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficPart {
    pub(super) listener: String,
    pub(super) requests_per_minute: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImagePart {
    pub(super) name: String,
    #[serde(default)]
    pub(super) error_share: f64,
    pub(super) later_error_share: Option<f64>,
    #[serde(default)]
    pub(super) sound_minutes: u32,
    #[serde(default)]
    pub(super) shared_error_share: f64,
    pub(super) hangs_after_minutes: Option<u32>,
    pub(super) error_cluster: Option<f64>,
    /// How many times as often it fails in each zone.
    #[serde(default)]
    pub(super) error_zones: Vec<f64>,
    pub(super) latency: Option<f64>,
    #[serde(default)]
    pub(super) leaked_connections: f64,
    #[serde(default)]
    pub(super) counted: Vec<CountedPart>,
    #[serde(default)]
    pub(super) unhealthy: bool,
    #[serde(default)]
    pub(super) missing: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountedPart {
    namespace: String,
    metric: String,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    share: f64,
}

impl CountedPart {
    pub(super) fn counted(&self) -> Counted {
        Counted {
            namespace: self.namespace.clone(),
            metric: self.metric.clone(),
            dimensions: self.dimensions.clone(),
            share: self.share,
        }
    }
}
