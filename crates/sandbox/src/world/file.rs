//! The readable world file: what a world begins with, as TOML.
//!
//! Called by `tidegate sandbox`, the demo and the tests. Things are named here as people name them; ARNs follow from the
//! names. `config/world.toml` is the commented example.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Identity, Mode, World,
    cloudwatch::{ALB, Alarm, AlarmState, Comparison, MetricKey, Missing, dimension},
    codedeploy::{Alarms, Group, Rollback},
    ecs::NewService,
    elb::{Check, NewListener},
    rds::NewInstance,
    secrets::NewSecret,
    ssm::{Kind, Put},
    traffic::Behaviour,
};
use crate::{live::database::Seed, node::Node};

mod parts;

use parts::{
    AlarmPart, CountedPart, DefinitionPart, DeploymentGroupPart, File, ImagePart, InstancePart,
    ParameterPart, SecretPart, ServicePart,
};

/// Services start before there is traffic on them, so that a history holds no start-up failures.
const WARM_UP: SignedDuration = SignedDuration::from_mins(5);

/// The file cannot be made a world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldFileError {
    /// It is not the TOML that is expected; the message has line and column.
    #[error("read the world file: {0}")]
    Toml(String),
    /// It names something that it does not define.
    #[error("{place} of the world file names {name}, which the file does not define")]
    Undefined {
        /// Where: kind and name of the part.
        place: String,
        /// What.
        name: String,
    },
    /// It defines the same thing twice.
    #[error("the world file defines {place} twice")]
    Twice {
        /// What: kind and name.
        place: String,
    },
    /// A value that AWS would not take.
    #[error("{place} of the world file: {why}")]
    Value {
        /// Where: kind and name of the part.
        place: String,
        /// What is wrong with it.
        why: &'static str,
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

/// What a deployment group can roll back on by itself.
const ROLLBACK_EVENTS: [&str; 3] =
    ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];

/// Names in the file to ARNs in the world.
#[derive(Default)]
struct Names {
    balancers: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
    listeners: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
}

fn look(names: &BTreeMap<String, String>, place: &str, name: &str) -> Result<String, WorldFileError> {
    names.get(name).cloned().ok_or_else(|| undefined(place, name))
}

fn undefined(place: &str, name: &str) -> WorldFileError {
    WorldFileError::Undefined { place: place.to_owned(), name: name.to_owned() }
}

fn demand(holds: bool, place: &str, why: &'static str) -> Result<(), WorldFileError> {
    if holds { Ok(()) } else { Err(WorldFileError::Value { place: place.to_owned(), why }) }
}

/// Enters a name of a kind of thing, each once.
fn enter(
    names: &mut BTreeMap<String, String>,
    place: String,
    name: &str,
    arn: String,
) -> Result<(), WorldFileError> {
    match names.insert(name.to_owned(), arn) {
        None => Ok(()),
        Some(_) => Err(WorldFileError::Twice { place }),
    }
}

fn parse(text: &str) -> Result<File, WorldFileError> {
    toml::from_str(text).map_err(|error| WorldFileError::Toml(error.to_string()))
}

/// What fresh live instances of a file hold: a login role for each secret that names the instance's database, then the
/// file's statements.
///
/// # Errors
/// If the file is not valid TOML.
pub fn seeds(text: &str) -> Result<BTreeMap<String, Seed>, WorldFileError> {
    let file = parse(text)?;
    let of = |part: &InstancePart| Seed {
        roles: file
            .secrets
            .iter()
            .filter(|secret| secret.value.get("dbname") == Some(&part.database))
            .filter_map(|secret| {
                let (username, password) = (secret.value.get("username")?, secret.value.get("password")?);
                (*username != part.username).then(|| (username.clone(), password.clone()))
            })
            .collect(),
        sql: part.sql.clone(),
    };
    Ok(file.instances.iter().map(|part| (part.id.to_ascii_lowercase(), of(part))).collect())
}

impl World {
    /// Makes the world that a file describes, as it is at `start`. In modelled mode the file's `history_minutes` of traffic
    /// have passed by then, so that blue has a history to be compared with.
    ///
    /// # Errors
    /// If the file is not valid, with line and column where TOML gives them.
    pub fn from_file(text: &str, start: Timestamp, mode: Mode) -> Result<Self, WorldFileError> {
        let file = parse(text)?;
        let (first, traffic_from) = match mode {
            Mode::Modelled { .. } => {
                let from = start - SignedDuration::from_mins(i64::from(file.history_minutes));
                (from - WARM_UP, from)
            }
            Mode::Live => (start, start),
        };
        let mut world = Self::new(first, mode);
        let default = std::mem::take(&mut world.identity);
        world.identity = Identity {
            account: file.account.clone().unwrap_or(default.account),
            region: file.region.clone().unwrap_or(default.region),
            zones: file.zones.unwrap_or(default.zones),
        };
        demand((1..=6).contains(&world.identity.zones), "zones", "must be from 1 to 6")?;
        if let Some(seconds) = file.publication_delay_seconds {
            demand((0..=3_600).contains(&seconds), "publication_delay_seconds", "must be from 0 to 3600")?;
            world.cloudwatch.publication_delay = SignedDuration::from_secs(seconds);
        }
        let mut names = Names::default();
        for part in &file.images {
            world.take_image(part)?;
        }
        for part in &file.secrets {
            world.take_secret(part, &mut names)?;
        }
        for part in &file.instances {
            world.take_instance(part)?;
        }
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
        world.advance(traffic_from);
        for part in &file.traffic {
            demand(part.requests_per_minute >= 0.0, "traffic", "requests_per_minute must not be negative")?;
            let listener = look(&names.listeners, "traffic", &part.listener)?;
            world.traffic.requests_per_minute.insert(listener, part.requests_per_minute);
        }
        world.advance(start);
        Ok(world)
    }

    fn take_image(&mut self, part: &ImagePart) -> Result<(), WorldFileError> {
        let place = format!("image {}", part.name);
        let shares = [Some(part.error_share), Some(part.shared_error_share), part.later_error_share];
        let valid = shares.iter().flatten().all(|share| (0.0..=1.0).contains(share));
        demand(valid, &place, "error shares must be from 0 to 1")?;
        let weights = part.error_zones.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        demand(weights, &place, "weights of zones must not be negative")?;
        let behaviour = Behaviour {
            error_share: part.error_share,
            later_error_share: part.later_error_share,
            sound_minutes: part.sound_minutes,
            shared_error_share: part.shared_error_share,
            hangs_after: part.hangs_after_minutes,
            error_cluster: part.error_cluster,
            error_zones: part.error_zones.clone(),
            latency: part.latency.unwrap_or(Behaviour::default().latency),
            leaked_connections: part.leaked_connections,
            counted: part.counted.iter().map(CountedPart::counted).collect(),
            unhealthy: part.unhealthy,
            missing: part.missing,
        };
        demand(behaviour.latency > 0.0, &place, "latency must be positive (seconds)")?;
        let clusters = behaviour.error_cluster.is_none_or(|size| (1.0..=1e6).contains(&size));
        demand(clusters, &place, "error_cluster must be from 1 to 1000000")?;
        let rates = behaviour.counted.iter().map(|counted| counted.share);
        let mut rates = rates.chain([behaviour.leaked_connections]);
        demand(
            rates.all(|rate| (0.0..=1e6).contains(&rate)),
            &place,
            "shares and leaks must not be negative",
        )?;
        match self.traffic.images.insert(part.name.clone(), behaviour) {
            None => Ok(()),
            Some(_) => Err(WorldFileError::Twice { place }),
        }
    }

    /// A secret's ARN ends in six characters that AWS picks; here they follow from the name, so that specs can name them.
    fn take_secret(&mut self, part: &SecretPart, names: &mut Names) -> Result<(), WorldFileError> {
        use sha2::{Digest, Sha256};
        let suffix = hex::encode(Sha256::digest(&part.name))[..6].to_owned();
        let arn = self.identity.arn("secretsmanager", &format!("secret:{}-{suffix}", part.name));
        enter(&mut names.secrets, format!("secret {}", part.name), &part.name, arn.clone())?;
        let members = part.value.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        let value = serde_json::Value::Object(members.collect()).to_string();
        self.put_secret(
            arn,
            NewSecret {
                name: part.name.clone(),
                value: Some(value),
                tags: part.tags.clone(),
                ..NewSecret::default()
            },
        );
        Ok(())
    }

    fn take_instance(&mut self, part: &InstancePart) -> Result<(), WorldFileError> {
        let place = format!("instance {}", part.id);
        if self.rds.instances.contains_key(&part.id.to_ascii_lowercase()) {
            return Err(WorldFileError::Twice { place });
        }
        demand(!part.database.is_empty(), &place, "database must be named")?;
        self.create_db_instance(&NewInstance {
            id: &part.id,
            engine_version: &part.engine_version,
            username: &part.username,
            password: &part.password,
            database: Some(&part.database),
            master_secret: None,
            cluster: None,
            tags: vec![],
            groups: Some(part.groups()),
        });
        Ok(())
    }

    fn take_balancing(&mut self, file: &File, names: &mut Names) -> Result<(), WorldFileError> {
        for part in &file.load_balancers {
            let arn = self.create_balancer(&part.name);
            enter(&mut names.balancers, format!("load balancer {}", part.name), &part.name, arn)?;
        }
        for part in &file.target_groups {
            let place = format!("target group {}", part.name);
            demand((5..=300).contains(&part.interval), &place, "interval must be from 5 to 300 seconds")?;
            demand((2..=120).contains(&part.timeout), &place, "timeout must be from 2 to 120 seconds")?;
            let thresholds = [part.healthy, part.unhealthy].iter().all(|n| (2..=10).contains(n));
            demand(thresholds, &place, "healthy and unhealthy must be from 2 to 10 checks")?;
            let delay = (0..=3_600).contains(&part.deregistration_delay);
            demand(delay, &place, "deregistration_delay must be from 0 to 3600 seconds")?;
            let check = Check {
                path: part.health_path.clone(),
                interval: part.interval,
                timeout: part.timeout,
                healthy_threshold: part.healthy,
                unhealthy_threshold: part.unhealthy,
                ..Check::default()
            };
            let arn = self.create_target_group(&part.name, part.port, check, part.deregistration_delay);
            enter(&mut names.groups, place, &part.name, arn)?;
        }
        for part in &file.listeners {
            let place = format!("listener {}", part.name);
            let balancer = look(&names.balancers, &place, &part.load_balancer)?;
            let mut forward = vec![];
            for (group, weight) in &part.forward {
                demand(*weight <= 999, &place, "weights must be from 0 to 999")?;
                forward.push((look(&names.groups, &place, group)?, *weight));
            }
            demand((1..=5).contains(&forward.len()), &place, "must forward to 1 to 5 target groups")?;
            let taken = self.elb.listeners.values().any(|l| l.balancer == balancer && l.port == part.port);
            demand(!taken, &place, "its port has a listener already")?;
            let new = NewListener { balancer: &balancer, port: part.port, forward };
            let arn = self.create_listener(new).ok_or_else(|| undefined(&place, &part.load_balancer))?;
            enter(&mut names.listeners, place, &part.name, arn)?;
        }
        Ok(())
    }

    fn take_definition(&mut self, part: &DefinitionPart, names: &Names) -> Result<(), WorldFileError> {
        let place = format!("task definition {}", part.family);
        let environment =
            part.environment.iter().map(|(k, v)| Node::map([("name", k.into()), ("value", v.into())]));
        let mut secrets = vec![];
        for (variable, source) in &part.secrets {
            let (secret, key) = source.split_once(':').unwrap_or((source, ""));
            let arn = look(&names.secrets, &place, secret)?;
            let value_from = if key.is_empty() { arn } else { format!("{arn}:{key}::") };
            secrets.push(Node::map([("name", variable.into()), ("valueFrom", value_from.into())]));
        }
        let container = Node::map([
            ("name", (&part.container).into()),
            ("image", (&part.image).into()),
            ("essential", true.into()),
            (
                "portMappings",
                Node::list([Node::map([("containerPort", part.port.into()), ("protocol", "tcp".into())])]),
            ),
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
            (
                "executionRoleArn",
                format!("arn:aws:iam::{}:role/ecsTaskExecutionRole", self.identity.account).into(),
            ),
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
        let place = format!("service {}", part.name);
        let undefined = || undefined(&place, &part.family);
        let definition = definitions.iter().find(|d| d.family == part.family).ok_or_else(undefined)?;
        let arn = self.ecs.task_definition(&part.family).map(|td| td.arn.clone()).ok_or_else(undefined)?;
        let group = look(&names.groups, &place, &part.target_group)?;
        if self.ecs.service(&part.cluster, &part.name).is_some() {
            return Err(WorldFileError::Twice { place });
        }
        self.create_ecs_service(&NewService {
            cluster: &part.cluster,
            name: &part.name,
            controller: part.controller,
            desired: part.desired,
            task_definition: &arn,
            container: &definition.container,
            port: definition.port,
            target_group: &group,
        });
        Ok(())
    }

    fn take_alarm(&mut self, part: &AlarmPart, names: &Names) -> Result<(), WorldFileError> {
        let place = format!("alarm {}", part.name);
        let balancer = look(&names.balancers, &place, &part.load_balancer)?;
        demand(part.periods >= 1, &place, "periods must be at least 1")?;
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
            set_until: None,
        };
        match self.cloudwatch.alarms.insert(part.name.clone(), alarm) {
            None => Ok(()),
            Some(_) => Err(WorldFileError::Twice { place }),
        }
    }

    fn take_deployment_group(
        &mut self,
        part: DeploymentGroupPart,
        names: &Names,
    ) -> Result<(), WorldFileError> {
        let place = format!("deployment group {}", part.name);
        let [one, other] = &part.target_groups;
        let target_groups = [look(&names.groups, &place, one)?, look(&names.groups, &place, other)?];
        let test_listener = match &part.test_listener {
            Some(name) => Some(look(&names.listeners, &place, name)?),
            None => None,
        };
        if self.ecs.service(&part.cluster, &part.service).is_none() {
            return Err(undefined(&place, &part.service));
        }
        if let Some(alarm) = part.alarms.iter().find(|name| !self.cloudwatch.alarms.contains_key(*name)) {
            return Err(undefined(&place, alarm));
        }
        if self.codedeploy.routing(&part.config).is_none() {
            return Err(undefined(&place, &part.config));
        }
        let known = part.rollback_events.iter().all(|event| ROLLBACK_EVENTS.contains(&event.as_str()));
        demand(known, &place, "rollback_events holds an event that CodeDeploy does not have")?;
        self.create_deployment_group(Group {
            id: String::new(),
            application: part.application,
            name: part.name,
            config: part.config,
            cluster: part.cluster,
            service: part.service,
            target_groups,
            production_listener: look(&names.listeners, &place, &part.production_listener)?,
            test_listener,
            ready_wait: part.ready_wait_minutes,
            termination_wait: part.termination_wait_minutes,
            alarms: Alarms {
                enabled: !part.alarms.is_empty(),
                ignore_poll_failure: false,
                names: part.alarms,
            },
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
        self.put_parameter(put)
            .map(drop)
            .map_err(|error| WorldFileError::Parameter { name, code: error.code })
    }
}
