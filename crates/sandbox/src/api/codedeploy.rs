//! CodeDeploy's operations for ECS deployments.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    Handler::{Reads, Writes},
    Operation,
};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        codedeploy::{
            Alarms, Config, Creator, Deployment, DeploymentStatus, Group, Rollback, Routing, Side, Stage,
            Stopped, begin,
        },
    },
};

mod appspec;
mod shapes;

pub(super) const OPERATIONS: &[Operation] = &[
    ("GetApplication", Reads(get_application)),
    ("ListApplications", Reads(list_applications)),
    ("GetDeploymentGroup", Reads(get_deployment_group)),
    ("BatchGetDeploymentGroups", Reads(batch_get_deployment_groups)),
    ("ListDeploymentGroups", Reads(list_deployment_groups)),
    ("UpdateDeploymentGroup", Writes(update_deployment_group)),
    ("GetDeploymentConfig", Reads(get_deployment_config)),
    ("ListDeploymentConfigs", Reads(list_deployment_configs)),
    ("CreateDeploymentConfig", Writes(create_deployment_config)),
    ("DeleteDeploymentConfig", Writes(delete_deployment_config)),
    ("CreateDeployment", Writes(create_deployment)),
    ("GetDeployment", Reads(get_deployment)),
    ("BatchGetDeployments", Reads(batch_get_deployments)),
    ("ListDeployments", Reads(list_deployments)),
    ("GetDeploymentTarget", Reads(get_deployment_target)),
    ("ListDeploymentTargets", Reads(list_deployment_targets)),
    ("BatchGetDeploymentTargets", Reads(batch_get_deployment_targets)),
    ("ContinueDeployment", Writes(continue_deployment)),
    ("StopDeployment", Writes(stop_deployment)),
];

fn required<'n>(input: &'n Node, key: &str, code: &str) -> Result<&'n str, ApiError> {
    input.opt_text(key)?.ok_or_else(|| ApiError::new(code, format!("{key} is required")))
}

fn application_not_found(name: &str) -> ApiError {
    ApiError::new("ApplicationDoesNotExistException", format!("No application found for name: {name}"))
}

fn group<'w>(world: &'w World, input: &Node, name_key: &str) -> Result<&'w Group, ApiError> {
    let application = required(input, "applicationName", "ApplicationNameRequiredException")?;
    let name = required(input, name_key, "DeploymentGroupNameRequiredException")?;
    if !world.codedeploy.applications.contains_key(application) {
        return Err(application_not_found(application));
    }
    world.codedeploy.groups.get(&(application.to_owned(), name.to_owned())).ok_or_else(|| {
        ApiError::new(
            "DeploymentGroupDoesNotExistException",
            format!("No Deployment Group found for name: {name}"),
        )
    })
}

fn deployment<'w>(world: &'w World, input: &Node) -> Result<&'w Deployment, ApiError> {
    let id = required(input, "deploymentId", "DeploymentIdRequiredException")?;
    if !id.starts_with("d-") || id.len() != 11 {
        return Err(ApiError::new(
            "InvalidDeploymentIdException",
            "The deployment ID is not in the correct format",
        ));
    }
    world.codedeploy.deployments.get(id).ok_or_else(|| {
        ApiError::new("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"))
    })
}

fn get_application(world: &World, input: &Node) -> Result<Node, ApiError> {
    let name = required(input, "applicationName", "ApplicationNameRequiredException")?;
    let application = world.codedeploy.applications.get(name).ok_or_else(|| application_not_found(name))?;
    Ok(Node::map([(
        "application",
        Node::map([
            ("applicationId", (&application.id).into()),
            ("applicationName", name.into()),
            ("createTime", application.created.into()),
            ("linkedToGitHub", false.into()),
            ("computePlatform", "ECS".into()),
        ]),
    )]))
}

fn list_applications(world: &World, _: &Node) -> Result<Node, ApiError> {
    Ok(Node::map([("applications", Node::texts(world.codedeploy.applications.keys()))]))
}

fn get_deployment_group(world: &World, input: &Node) -> Result<Node, ApiError> {
    let group = group(world, input, "deploymentGroupName")?;
    Ok(Node::map([("deploymentGroupInfo", shapes::group(world, group))]))
}

fn batch_get_deployment_groups(world: &World, input: &Node) -> Result<Node, ApiError> {
    let application = required(input, "applicationName", "ApplicationNameRequiredException")?;
    if !world.codedeploy.applications.contains_key(application) {
        return Err(application_not_found(application));
    }
    let names = input.text_items("deploymentGroupNames")?;
    let found = names
        .iter()
        .filter_map(|name| world.codedeploy.groups.get(&(application.to_owned(), name.clone())))
        .map(|group| shapes::group(world, group));
    Ok(Node::map([("deploymentGroupsInfo", Node::list(found))]))
}

fn list_deployment_groups(world: &World, input: &Node) -> Result<Node, ApiError> {
    let application = required(input, "applicationName", "ApplicationNameRequiredException")?;
    if !world.codedeploy.applications.contains_key(application) {
        return Err(application_not_found(application));
    }
    let names =
        world.codedeploy.groups.keys().filter(|(app, _)| app == application).map(|(_, name)| name.clone());
    Ok(Node::map([("applicationName", application.into()), ("deploymentGroups", Node::texts(names))]))
}

fn read_alarms(node: &Node) -> Result<Alarms, ApiError> {
    let mut names = vec![];
    for alarm in node.items("alarms")? {
        names.push(alarm.text("name")?.to_owned());
    }
    if names.len() > 10 {
        return Err(ApiError::new(
            "AlarmsLimitExceededException",
            "The maximum number of alarms for a deployment group (10) was exceeded.",
        ));
    }
    Ok(Alarms {
        enabled: node.opt_bool("enabled")?.unwrap_or(false),
        ignore_poll_failure: node.opt_bool("ignorePollAlarmFailure")?.unwrap_or(false),
        names,
    })
}

fn read_rollback(node: &Node) -> Result<Rollback, ApiError> {
    let events = node.text_items("events")?;
    let known = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];
    if events.iter().any(|event| !known.contains(&event.as_str())) {
        return Err(ApiError::new(
            "InvalidAutoRollbackConfigException",
            "An event of the automatic rollback configuration is not valid",
        ));
    }
    Ok(Rollback { enabled: node.opt_bool("enabled")?.unwrap_or(false), events })
}

fn update_deployment_group(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let application = required(input, "applicationName", "ApplicationNameRequiredException")?.to_owned();
    let name =
        required(input, "currentDeploymentGroupName", "DeploymentGroupNameRequiredException")?.to_owned();
    let mut changed = group(world, input, "currentDeploymentGroupName")?.clone();
    if let Some(config) = input.opt_text("deploymentConfigName")? {
        config.clone_into(&mut changed.config);
    }
    if input.has("alarmConfiguration") {
        changed.alarms = read_alarms(input.get("alarmConfiguration"))?;
    }
    if input.has("autoRollbackConfiguration") {
        changed.rollback = read_rollback(input.get("autoRollbackConfiguration"))?;
    }
    let blue_green = input.get("blueGreenDeploymentConfiguration");
    let terminate = blue_green.get("terminateBlueInstancesOnDeploymentSuccess");
    if let Some(minutes) = terminate.opt_int("terminationWaitTimeInMinutes")? {
        changed.termination_wait = u32::try_from(minutes).ok().filter(|m| *m <= 2_880).ok_or_else(|| {
            ApiError::new(
                "InvalidBlueGreenDeploymentConfigurationException",
                "terminationWaitTimeInMinutes must be between 0 and 2880",
            )
        })?;
    }
    let ready = blue_green.get("deploymentReadyOption");
    match ready.opt_text("actionOnTimeout")? {
        Some("STOP_DEPLOYMENT") => {
            let minutes =
                ready.opt_int("waitTimeInMinutes")?.and_then(|m| u32::try_from(m).ok()).unwrap_or(0);
            changed.ready_wait = Some(minutes);
        }
        Some("CONTINUE_DEPLOYMENT") => changed.ready_wait = None,
        Some(_) => {
            return Err(ApiError::new(
                "InvalidBlueGreenDeploymentConfigurationException",
                "actionOnTimeout is not valid",
            ));
        }
        None => {}
    }
    world.note_effect("codedeploy", "UpdateDeploymentGroup", &name, "group changed".to_owned(), None);
    world.codedeploy.groups.insert((application, name), changed);
    Ok(Node::map([("hooksNotCleanedUp", Node::List(vec![]))]))
}

fn config_not_found(name: &str) -> ApiError {
    ApiError::new(
        "DeploymentConfigDoesNotExistException",
        format!("No deployment configuration found for name: {name}"),
    )
}

fn get_deployment_config(world: &World, input: &Node) -> Result<Node, ApiError> {
    let name = required(input, "deploymentConfigName", "DeploymentConfigNameRequiredException")?;
    let routing = world.codedeploy.routing(name).ok_or_else(|| config_not_found(name))?;
    let config = world.codedeploy.configs.get(name);
    let mut info = Node::map([
        ("deploymentConfigId", config.map(|c| c.id.clone()).into()),
        ("deploymentConfigName", name.into()),
        ("createTime", config.map(|c| c.created).into()),
        ("computePlatform", "ECS".into()),
    ]);
    info.set("trafficRoutingConfig", shapes::routing(routing));
    Ok(Node::map([("deploymentConfigInfo", info)]))
}

fn list_deployment_configs(world: &World, _: &Node) -> Result<Node, ApiError> {
    let predefined = [
        "AllAtOnce",
        "Linear10PercentEvery1Minutes",
        "Linear10PercentEvery3Minutes",
        "Canary10Percent5Minutes",
        "Canary10Percent15Minutes",
    ];
    let names = predefined.into_iter().map(|name| format!("CodeDeployDefault.ECS{name}"));
    Ok(Node::map([(
        "deploymentConfigsList",
        Node::texts(names.chain(world.codedeploy.configs.keys().cloned())),
    )]))
}

fn create_deployment_config(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = required(input, "deploymentConfigName", "DeploymentConfigNameRequiredException")?.to_owned();
    if name.starts_with("CodeDeployDefault.") || name.len() > 100 {
        return Err(ApiError::new(
            "InvalidDeploymentConfigNameException",
            "The deployment configuration name is not valid",
        ));
    }
    if world.codedeploy.configs.contains_key(&name) {
        return Err(ApiError::new(
            "DeploymentConfigAlreadyExistsException",
            format!("Deployment configuration {name} already exists"),
        ));
    }
    if input.opt_text("computePlatform")? != Some("ECS") {
        return Err(ApiError::new(
            "InvalidComputePlatformException",
            "Only the compute platform ECS is simulated",
        ));
    }
    let routing = input.get("trafficRoutingConfig");
    let read = |part: &Node, percent: &str, minutes: &str| -> Result<(u32, u32), ApiError> {
        let number = |key: &str| {
            Ok::<_, ApiError>(part.opt_int(key)?.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0))
        };
        match (number(percent)?, number(minutes)?) {
            (Some(p), Some(m)) if p < 100 && m <= 2_880 => Ok((p, m)),
            _ => Err(ApiError::new(
                "InvalidTrafficRoutingConfigurationException",
                "Percentage and interval of the traffic routing configuration are not valid",
            )),
        }
    };
    let routing = match routing.opt_text("type")? {
        Some("TimeBasedLinear") => {
            let (percent, minutes) =
                read(routing.get("timeBasedLinear"), "linearPercentage", "linearInterval")?;
            Routing::Linear { percent, minutes }
        }
        Some("TimeBasedCanary") => {
            let (percent, minutes) =
                read(routing.get("timeBasedCanary"), "canaryPercentage", "canaryInterval")?;
            Routing::Canary { percent, minutes }
        }
        Some("AllAtOnce") => Routing::AllAtOnce,
        Some(_) | None => {
            return Err(ApiError::new(
                "InvalidTrafficRoutingConfigurationException",
                "The traffic routing configuration has no valid type",
            ));
        }
    };
    let id = world.request_id();
    let created = world.now();
    world
        .codedeploy
        .configs
        .insert(name.clone(), Config { name: name.clone(), id: id.clone(), routing, created });
    world.note_effect(
        "codedeploy",
        "CreateDeploymentConfig",
        &name,
        "configuration created".to_owned(),
        None,
    );
    Ok(Node::map([("deploymentConfigId", id.into())]))
}

fn delete_deployment_config(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = required(input, "deploymentConfigName", "DeploymentConfigNameRequiredException")?.to_owned();
    if world.codedeploy.deployments.values().any(|d| d.config == name && !d.status.is_terminal()) {
        return Err(ApiError::new(
            "DeploymentConfigInUseException",
            "The deployment configuration is still in use.",
        ));
    }
    if world.codedeploy.configs.remove(&name).is_some() {
        world.note_effect(
            "codedeploy",
            "DeleteDeploymentConfig",
            &name,
            "configuration deleted".to_owned(),
            None,
        );
    }
    Ok(Node::empty())
}

fn create_deployment(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let group = group(world, input, "deploymentGroupName")?.clone();
    let content = revision_content(input)?;
    let spec = appspec::read(&content)?;
    let config = input.opt_text("deploymentConfigName")?.unwrap_or(&group.config).to_owned();
    if world.codedeploy.routing(&config).is_none() {
        return Err(config_not_found(&config));
    }
    if world.ecs.task_definition(&spec.task_definition).is_none_or(|td| !td.active) {
        let message = "The task definition of the AppSpec file does not exist or is inactive.";
        return Err(ApiError::new("InvalidRevisionException", message));
    }
    if !world.ecs.services.contains_key(&(group.cluster.clone(), group.service.clone())) {
        return Err(ApiError::new(
            "InvalidECSServiceException",
            "The ECS service of the deployment group does not exist.",
        ));
    }
    if let Some(active) = world.codedeploy.active(&group.application, &group.name) {
        let message =
            format!("The Deployment Group '{}' already has an active Deployment '{}'", group.name, active.id);
        return Err(ApiError::new("DeploymentLimitExceededException", message));
    }
    let rollback = match input.has("autoRollbackConfiguration") {
        true => read_rollback(input.get("autoRollbackConfiguration"))?,
        false => group.rollback.clone(),
    };
    let alarms = match input.has("overrideAlarmConfiguration") {
        true => read_alarms(input.get("overrideAlarmConfiguration"))?,
        false => group.alarms.clone(),
    };
    let description = input.opt_text("description")?.map(str::to_owned);
    let id = world.deployment_id();
    let marker = description.clone().filter(|text| text.starts_with("tidegate:"));
    world.note_effect(
        "codedeploy",
        "CreateDeployment",
        &id,
        format!("deploys {} by {config}", spec.task_definition),
        marker,
    );
    let created = world.now();
    let arn = world.ecs.task_definition(&spec.task_definition).map(|td| td.arn.clone()).unwrap_or_default();
    begin(
        world,
        Deployment {
            id: id.clone(),
            ready_wait: group.ready_wait,
            termination_wait: group.termination_wait,
            application: group.application,
            group: group.name,
            config,
            task_definition: arn,
            content_sha256: hex::encode(Sha256::digest(content.as_bytes())),
            description,
            status: DeploymentStatus::Created,
            creator: Creator::User,
            created,
            started: None,
            completed: None,
            error: None,
            rollback,
            alarms,
            rollback_info: None,
            stage: Stage::Created,
            events: vec![],
            blue: Side::default(),
            green: Side::default(),
            steps: 0,
            turn: 0,
            mishap: None,
        },
    );
    Ok(Node::map([("deploymentId", id.into())]))
}

/// The AppSpec text; a given sha256 must be its own.
fn revision_content(input: &Node) -> Result<String, ApiError> {
    let revision = input.get("revision");
    if !input.has("revision") {
        return Err(ApiError::new("RevisionRequiredException", "The revision is required"));
    }
    if revision.opt_text("revisionType")? != Some("AppSpecContent") {
        return Err(ApiError::new(
            "InvalidRevisionException",
            "For the ECS compute platform only AppSpecContent is simulated",
        ));
    }
    let part = revision.get("appSpecContent");
    let content = part.opt_text("content")?.unwrap_or("").to_owned();
    let plain = hex::encode(Sha256::digest(content.as_bytes()));
    let in_base64 = STANDARD.encode(Sha256::digest(content.as_bytes()));
    if part.opt_text("sha256")?.is_some_and(|given| given != plain && given != in_base64) {
        return Err(ApiError::new(
            "InvalidRevisionException",
            "The sha256 of the AppSpec content does not match",
        ));
    }
    Ok(content)
}

fn get_deployment(world: &World, input: &Node) -> Result<Node, ApiError> {
    let found = deployment(world, input)?;
    Ok(Node::map([("deploymentInfo", shapes::deployment(world, found))]))
}

fn batch_get_deployments(world: &World, input: &Node) -> Result<Node, ApiError> {
    let ids = input.text_items("deploymentIds")?;
    if ids.is_empty() {
        return Err(ApiError::new(
            "DeploymentIdRequiredException",
            "At least one deployment ID must be specified",
        ));
    }
    if ids.len() > 25 {
        return Err(ApiError::new(
            "BatchLimitExceededException",
            "The maximum number of deployments for a batch get is 25",
        ));
    }
    let found = ids
        .iter()
        .filter_map(|id| world.codedeploy.deployments.get(id))
        .map(|d| shapes::deployment(world, d));
    Ok(Node::map([("deploymentsInfo", Node::list(found))]))
}

/// How many ids a page of ListDeployments has; it cannot be set.
const PAGE: usize = 100;

fn list_deployments(world: &World, input: &Node) -> Result<Node, ApiError> {
    let application = input.opt_text("applicationName")?;
    let name = input.opt_text("deploymentGroupName")?;
    if application.is_some() != name.is_some() {
        return Err(ApiError::new(
            "DeploymentGroupNameRequiredException",
            "applicationName and deploymentGroupName must be given together",
        ));
    }
    if application.is_some() {
        group(world, input, "deploymentGroupName")?;
    }
    let statuses = input.text_items("includeOnlyStatuses")?;
    let range = input.get("createTimeRange");
    let (start, end) = (range.opt_time("start")?, range.opt_time("end")?);
    let mut found: Vec<&Deployment> = world
        .codedeploy
        .deployments
        .values()
        .filter(|d| application.is_none_or(|a| d.application == a) && name.is_none_or(|n| d.group == n))
        .filter(|d| statuses.is_empty() || statuses.iter().any(|s| s == d.status.as_str()))
        .filter(|d| start.is_none_or(|t| d.created >= t) && end.is_none_or(|t| d.created <= t))
        .collect();
    found.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    let from = match input.opt_text("nextToken")? {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ApiError::new("InvalidNextTokenException", "The next token is not valid"))?,
    };
    let ids = found.iter().skip(from).take(PAGE).map(|d| d.id.clone());
    let token = (found.len() > from + PAGE).then(|| (from + PAGE).to_string());
    Ok(Node::map([("deployments", Node::texts(ids)), ("nextToken", token.into())]))
}

fn started(found: &Deployment) -> Result<(), ApiError> {
    if found.started.is_some() {
        Ok(())
    } else {
        Err(ApiError::new(
            "DeploymentNotStartedException",
            format!("The deployment {} has not been started", found.id),
        ))
    }
}

fn get_deployment_target(world: &World, input: &Node) -> Result<Node, ApiError> {
    let found = deployment(world, input)?;
    started(found)?;
    let asked = required(input, "targetId", "DeploymentTargetIdRequiredException")?;
    if asked != shapes::target_id(world, found) {
        return Err(ApiError::new(
            "DeploymentTargetDoesNotExistException",
            format!("No deployment target found for {asked}"),
        ));
    }
    Ok(Node::map([("deploymentTarget", shapes::target(world, found))]))
}

fn list_deployment_targets(world: &World, input: &Node) -> Result<Node, ApiError> {
    let found = deployment(world, input)?;
    started(found)?;
    Ok(Node::map([("targetIds", Node::texts([shapes::target_id(world, found)]))]))
}

fn batch_get_deployment_targets(world: &World, input: &Node) -> Result<Node, ApiError> {
    let found = deployment(world, input)?;
    started(found)?;
    let own = shapes::target_id(world, found);
    let targets = input
        .text_items("targetIds")?
        .into_iter()
        .filter(|id| *id == own)
        .map(|_| shapes::target(world, found));
    Ok(Node::map([("deploymentTargets", Node::list(targets))]))
}

fn completed(id: &str) -> ApiError {
    ApiError::new(
        "DeploymentAlreadyCompletedException",
        format!("The deployment {id} can't be changed because it has already completed"),
    )
}

fn continue_deployment(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let found = deployment(world, input)?;
    let id = found.id.clone();
    let (stage, word) = match input.opt_text("deploymentWaitType")?.unwrap_or("READY_WAIT") {
        "READY_WAIT" => (Stage::Ready, "READY_WAIT"),
        "TERMINATION_WAIT" => (Stage::TerminationWait, "TERMINATION_WAIT"),
        _ => return Err(ApiError::new("InvalidDeploymentWaitTypeException", "The wait type is not valid")),
    };
    if found.status.is_terminal() {
        return Err(completed(&id));
    }
    let marker = found.description.clone();
    if !world.continue_deployment(&id, stage) {
        let message = format!("The deployment {id} is not waiting for {word}");
        return Err(ApiError::new("DeploymentIsNotInReadyStateException", message));
    }
    world.note_effect("codedeploy", "ContinueDeployment", &id, format!("goes on from {word}"), marker);
    Ok(Node::empty())
}

fn stop_deployment(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (id, marker) = deployment(world, input).map(|found| (found.id.clone(), found.description.clone()))?;
    let rollback = input.opt_bool("autoRollbackEnabled")?;
    let Some(stopped) = world.stop_deployment(&id, rollback) else { return Err(completed(&id)) };
    world.note_effect("codedeploy", "StopDeployment", &id, "deployment stopped".to_owned(), marker);
    match stopped {
        Stopped::Pending => Ok(Node::map([
            ("status", "Pending".into()),
            ("statusMessage", "The deployment is being stopped and rolled back".into()),
        ])),
        Stopped::Succeeded => Ok(Node::map([
            ("status", "Succeeded".into()),
            ("statusMessage", "No more instances will be deployed to".into()),
        ])),
    }
}
