//! The readable world file: what a world begins with, as TOML.
//!
//! Called by `tidegate sandbox`, the demo and the tests. Things are named here as people name them; ARNs follow from the
//! names. `config/world.toml` is the commented example.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    Identity, Mode, World,
    cloudwatch::{ALB, Alarm, AlarmState, Comparison, MetricKey, Missing, dimension},
    codedeploy::{Alarms, Group, Rollback},
    ecs::{Controller, NewService},
    elb::{Check, NewListener},
    ssm::{Kind, Put},
    traffic::Behaviour,
};
use crate::node::Node;

/// The file cannot be made a world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldFileError {
    /// It is not the TOML that is expected; the message has line and column.
    #[error("read the world file: {0}")]
    Toml(String),
    /// It names something that it does not define.
    #[error("{place} of the world file names {name}, which it does not define")]
    Undefined {
        /// Where.
        place: &'static str,
        /// What.
        name: String,
    },
    /// A parameter is refused by Parameter Store's rules.
    #[error("parameter {name} of the world file is refused ({code})")]
    Parameter {
        /// Its name.
        name: String,
        /// Parameter Store's code.
        code: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    history_minutes: u32,
    publication_delay_seconds: Option<i64>,
    #[serde(default)]
    secrets: Vec<SecretPart>,
    #[serde(default)]
    load_balancers: Vec<BalancerPart>,
    #[serde(default)]
    target_groups: Vec<GroupPart>,
    #[serde(default)]
    listeners: Vec<ListenerPart>,
    #[serde(default)]
    task_definitions: Vec<DefinitionPart>,
    #[serde(default)]
    services: Vec<ServicePart>,
    #[serde(default)]
    alarms: Vec<AlarmPart>,
    #[serde(default)]
    deployment_groups: Vec<DeploymentGroupPart>,
    #[serde(default)]
    parameters: Vec<ParameterPart>,
    #[serde(default)]
    traffic: Vec<TrafficPart>,
    #[serde(default)]
    images: Vec<ImagePart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretPart {
    name: String,
    #[serde(default)]
    value: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BalancerPart {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupPart {
    name: String,
    #[serde(default = "http")]
    port: u16,
    #[serde(default = "health")]
    health_path: String,
    #[serde(default = "thirty")]
    interval: i64,
    #[serde(default = "five")]
    timeout: i64,
    #[serde(default = "two")]
    healthy: u32,
    #[serde(default = "three")]
    unhealthy: u32,
    #[serde(default = "thirty")]
    deregistration_delay: i64,
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
struct ListenerPart {
    name: String,
    load_balancer: String,
    port: u16,
    forward: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefinitionPart {
    family: String,
    container: String,
    image: String,
    port: u16,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Variable to `secret-name` or `secret-name:key`.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServicePart {
    cluster: String,
    name: String,
    family: String,
    desired: u32,
    target_group: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlarmPart {
    name: String,
    load_balancer: String,
    metric: String,
    threshold: f64,
    periods: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeploymentGroupPart {
    application: String,
    name: String,
    cluster: String,
    service: String,
    #[serde(default = "all_at_once")]
    config: String,
    target_groups: [String; 2],
    production_listener: String,
    test_listener: Option<String>,
    /// Absent: CONTINUE_DEPLOYMENT.
    ready_wait_minutes: Option<u32>,
    termination_wait_minutes: u32,
    #[serde(default)]
    alarms: Vec<String>,
    #[serde(default)]
    rollback_events: Vec<String>,
}

fn all_at_once() -> String {
    "CodeDeployDefault.ECSAllAtOnce".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterPart {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrafficPart {
    listener: String,
    requests_per_minute: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagePart {
    name: String,
    #[serde(default)]
    error_share: f64,
    later_error_share: Option<f64>,
    #[serde(default)]
    sound_minutes: u32,
    latency: Option<f64>,
    #[serde(default)]
    unhealthy: bool,
    #[serde(default)]
    missing: bool,
}

/// Names in the file to ARNs in the world.
#[derive(Default)]
struct Names {
    balancers: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
    listeners: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
}

fn look(names: &BTreeMap<String, String>, place: &'static str, name: &str) -> Result<String, WorldFileError> {
    names.get(name).cloned().ok_or_else(|| WorldFileError::Undefined { place, name: name.to_owned() })
}

impl World {
    /// Makes the world that a file describes, as it is at `start`. In modelled mode the file's `history_minutes` of traffic
    /// have passed by then, so that blue has a history to be compared with.
    ///
    /// # Errors
    /// If the file is not valid, with line and column where TOML gives them.
    pub fn from_file(text: &str, start: Timestamp, mode: Mode) -> Result<Self, WorldFileError> {
        let file: File = toml::from_str(text).map_err(|error| WorldFileError::Toml(error.to_string()))?;
        let history = SignedDuration::from_mins(i64::from(file.history_minutes));
        let mut world = Self::new(start - history, mode);
        let region = std::mem::take(&mut world.identity);
        world.identity = Identity {
            account: file.account.clone().unwrap_or(region.account),
            region: file.region.clone().unwrap_or(region.region),
        };
        if let Some(seconds) = file.publication_delay_seconds {
            world.cloudwatch.publication_delay = SignedDuration::from_secs(seconds);
        }
        let mut names = Names::default();
        world.take_images(&file);
        world.take_secrets(&file, &mut names);
        world.take_balancing(&file, &mut names)?;
        for part in &file.task_definitions {
            world.take_definition(part, &names)?;
        }
        for part in &file.services {
            world.take_service(part, &file.task_definitions, &names)?;
        }
        for part in &file.alarms {
            world.take_alarm(part, &names)?;
        }
        for part in file.deployment_groups {
            world.take_deployment_group(part, &names)?;
        }
        for part in file.parameters {
            world.take_parameter(part)?;
        }
        for part in &file.traffic {
            let listener = look(&names.listeners, "traffic", &part.listener)?;
            world.traffic.requests_per_minute.insert(listener, part.requests_per_minute);
        }
        world.advance(start);
        Ok(world)
    }

    fn take_images(&mut self, file: &File) {
        for part in &file.images {
            let behaviour = Behaviour {
                error_share: part.error_share,
                later_error_share: part.later_error_share,
                sound_minutes: part.sound_minutes,
                latency: part.latency.unwrap_or(Behaviour::default().latency),
                unhealthy: part.unhealthy,
                missing: part.missing,
            };
            self.traffic.images.insert(part.name.clone(), behaviour);
        }
    }

    /// A secret's ARN ends in six characters that AWS picks; here they follow from the name, so that specs can name them.
    fn take_secrets(&mut self, file: &File, names: &mut Names) {
        use sha2::{Digest, Sha256};
        for part in &file.secrets {
            let suffix = hex::encode(Sha256::digest(&part.name))[..6].to_owned();
            let arn = self.identity.arn("secretsmanager", &format!("secret:{}-{suffix}", part.name));
            let value = serde_json::to_string(&part.value).unwrap_or_default();
            self.put_secret(&part.name, arn.clone(), &value, part.tags.clone());
            names.secrets.insert(part.name.clone(), arn);
        }
    }

    fn take_balancing(&mut self, file: &File, names: &mut Names) -> Result<(), WorldFileError> {
        for part in &file.load_balancers {
            names.balancers.insert(part.name.clone(), self.create_balancer(&part.name));
        }
        for part in &file.target_groups {
            let check = Check {
                path: part.health_path.clone(),
                interval: part.interval,
                timeout: part.timeout,
                healthy_threshold: part.healthy,
                unhealthy_threshold: part.unhealthy,
                ..Check::default()
            };
            let arn = self.create_target_group(&part.name, part.port, check, part.deregistration_delay);
            names.groups.insert(part.name.clone(), arn);
        }
        for part in &file.listeners {
            let balancer = look(&names.balancers, "a listener", &part.load_balancer)?;
            let weighted = part.forward.iter().map(|(group, weight)| Ok((look(&names.groups, "a listener", group)?, *weight)));
            let forward = weighted.collect::<Result<Vec<_>, WorldFileError>>()?;
            let listener = self.create_listener(NewListener { balancer: &balancer, port: part.port, forward });
            names.listeners.insert(part.name.clone(), listener.unwrap_or_default());
        }
        Ok(())
    }

    fn take_definition(&mut self, part: &DefinitionPart, names: &Names) -> Result<(), WorldFileError> {
        let environment = part.environment.iter().map(|(k, v)| Node::map([("name", k.into()), ("value", v.into())]));
        let mut secrets = vec![];
        for (variable, source) in &part.secrets {
            let (secret, key) = source.split_once(':').unwrap_or((source, ""));
            let arn = look(&names.secrets, "a task definition", secret)?;
            let value_from = if key.is_empty() { arn } else { format!("{arn}:{key}::") };
            secrets.push(Node::map([("name", variable.into()), ("valueFrom", value_from.into())]));
        }
        let container = Node::map([
            ("name", (&part.container).into()),
            ("image", (&part.image).into()),
            ("essential", true.into()),
            ("portMappings", Node::list([Node::map([("containerPort", part.port.into()), ("protocol", "tcp".into())])])),
            ("environment", Node::list(environment)),
            ("secrets", Node::List(secrets)),
        ]);
        let content = Node::map([
            ("family", (&part.family).into()),
            ("containerDefinitions", Node::list([container])),
            ("cpu", "256".into()),
            ("memory", "512".into()),
            ("networkMode", "awsvpc".into()),
            ("requiresCompatibilities", Node::texts(["FARGATE"])),
            ("executionRoleArn", format!("arn:aws:iam::{}:role/ecsTaskExecutionRole", self.identity.account).into()),
        ]);
        self.register_task_definition(&part.family, content, vec![]);
        Ok(())
    }

    fn take_service(
        &mut self,
        part: &ServicePart,
        definitions: &[DefinitionPart],
        names: &Names,
    ) -> Result<(), WorldFileError> {
        let undefined = || WorldFileError::Undefined { place: "a service", name: part.family.clone() };
        let definition = definitions.iter().find(|d| d.family == part.family).ok_or_else(undefined)?;
        let arn = self.ecs.task_definition(&part.family).map(|td| td.arn.clone()).ok_or_else(undefined)?;
        let group = look(&names.groups, "a service", &part.target_group)?;
        self.create_ecs_service(&NewService {
            cluster: &part.cluster,
            name: &part.name,
            controller: Controller::CodeDeploy,
            desired: part.desired,
            task_definition: &arn,
            container: &definition.container,
            port: definition.port,
            target_group: &group,
        });
        Ok(())
    }

    fn take_alarm(&mut self, part: &AlarmPart, names: &Names) -> Result<(), WorldFileError> {
        let balancer = look(&names.balancers, "an alarm", &part.load_balancer)?;
        let now = self.now();
        let alarm = Alarm {
            name: part.name.clone(),
            arn: self.identity.arn("cloudwatch", &format!("alarm:{}", part.name)),
            metric: MetricKey::new(ALB, &part.metric, [("LoadBalancer", dimension(&balancer))]),
            statistic: "Sum".to_owned(),
            period: 60,
            evaluation_periods: part.periods,
            datapoints_to_alarm: part.periods,
            threshold: part.threshold,
            comparison: Comparison::GreaterThanThreshold,
            missing: Missing::NotBreaching,
            actions_enabled: true,
            state: AlarmState::Ok,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            updated: now,
            configured: now,
        };
        self.cloudwatch.alarms.insert(part.name.clone(), alarm);
        Ok(())
    }

    fn take_deployment_group(&mut self, part: DeploymentGroupPart, names: &Names) -> Result<(), WorldFileError> {
        let place = "a deployment group";
        let [one, other] = &part.target_groups;
        let target_groups = [look(&names.groups, place, one)?, look(&names.groups, place, other)?];
        let test_listener = match &part.test_listener {
            Some(name) => Some(look(&names.listeners, place, name)?),
            None => None,
        };
        self.create_deployment_group(Group {
            id: String::new(),
            application: part.application,
            name: part.name,
            config: part.config,
            cluster: part.cluster,
            service: part.service,
            target_groups,
            production_listener: look(&names.listeners, place, &part.production_listener)?,
            test_listener,
            ready_wait: part.ready_wait_minutes,
            termination_wait: part.termination_wait_minutes,
            alarms: Alarms { enabled: !part.alarms.is_empty(), ignore_poll_failure: false, names: part.alarms },
            rollback: Rollback { enabled: !part.rollback_events.is_empty(), events: part.rollback_events },
        });
        Ok(())
    }

    fn take_parameter(&mut self, part: ParameterPart) -> Result<(), WorldFileError> {
        let name = part.name.clone();
        let put = Put {
            name: part.name,
            value: part.value,
            kind: Some(Kind::String),
            tier: None,
            overwrite: false,
            description: None,
            tags: BTreeMap::new(),
        };
        self.put_parameter(put).map(drop).map_err(|error| WorldFileError::Parameter { name, code: error.code })
    }
}
