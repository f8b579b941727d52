//! How groups, deployments and targets are described.

use crate::{
    node::Node,
    world::{
        World,
        codedeploy::{Alarms, Deployment, DeploymentStatus, EVENTS, Group, Rollback, Routing, Side, Stage},
    },
};

/// A deployment group.
pub(super) fn group(world: &World, group: &Group) -> Node {
    let mut of_group: Vec<&Deployment> = world
        .codedeploy
        .deployments
        .values()
        .filter(|d| d.application == group.application && d.group == group.name)
        .collect();
    of_group.sort_by_key(|d| d.created);
    let last = |found: Option<&&Deployment>| -> Node {
        found
            .map(|d| {
                Node::map([
                    ("deploymentId", (&d.id).into()),
                    ("status", d.status.as_str().into()),
                    ("endTime", d.completed.into()),
                    ("createTime", d.created.into()),
                ])
            })
            .into()
    };
    let attempted = last(of_group.last());
    let successful = last(of_group.iter().rev().find(|d| d.status == DeploymentStatus::Succeeded));
    Node::map([
        ("applicationName", (&group.application).into()),
        ("deploymentGroupId", (&group.id).into()),
        ("deploymentGroupName", (&group.name).into()),
        ("deploymentConfigName", (&group.config).into()),
        ("autoScalingGroups", Node::List(vec![])),
        ("serviceRoleArn", format!("arn:aws:iam::{}:role/codedeploy", world.identity.account).into()),
        ("triggerConfigurations", Node::List(vec![])),
        ("alarmConfiguration", alarms(&group.alarms)),
        ("autoRollbackConfiguration", rollback(&group.rollback)),
        ("deploymentStyle", style()),
        ("blueGreenDeploymentConfiguration", blue_green(group.ready_wait, group.termination_wait)),
        ("loadBalancerInfo", load_balancer(group)),
        ("lastSuccessfulDeployment", successful),
        ("lastAttemptedDeployment", attempted),
        ("computePlatform", "ECS".into()),
        (
            "ecsServices",
            Node::list([Node::map([
                ("serviceName", (&group.service).into()),
                ("clusterName", (&group.cluster).into()),
            ])]),
        ),
    ])
}

fn alarms(alarms: &Alarms) -> Node {
    let names = alarms.names.iter().map(|name| Node::map([("name", name.into())]));
    Node::map([
        ("enabled", alarms.enabled.into()),
        ("ignorePollAlarmFailure", alarms.ignore_poll_failure.into()),
        ("alarms", Node::list(names)),
    ])
}

fn rollback(rollback: &Rollback) -> Node {
    Node::map([
        ("enabled", rollback.enabled.into()),
        ("events", Node::texts(rollback.events.iter().cloned())),
    ])
}

fn style() -> Node {
    Node::map([("deploymentType", "BLUE_GREEN".into()), ("deploymentOption", "WITH_TRAFFIC_CONTROL".into())])
}

fn blue_green(ready_wait: Option<u32>, termination_wait: u32) -> Node {
    let ready = match ready_wait {
        Some(minutes) => {
            Node::map([("actionOnTimeout", "STOP_DEPLOYMENT".into()), ("waitTimeInMinutes", minutes.into())])
        }
        None => Node::map([
            ("actionOnTimeout", "CONTINUE_DEPLOYMENT".into()),
            ("waitTimeInMinutes", 0_i64.into()),
        ]),
    };
    Node::map([
        (
            "terminateBlueInstancesOnDeploymentSuccess",
            Node::map([
                ("action", "TERMINATE".into()),
                ("terminationWaitTimeInMinutes", termination_wait.into()),
            ]),
        ),
        ("deploymentReadyOption", ready),
    ])
}

/// Target groups stand here by name, listeners by ARN.
fn load_balancer(group: &Group) -> Node {
    let name = |arn: &String| arn.split('/').nth(1).unwrap_or(arn).to_owned();
    let groups = group.target_groups.iter().map(|arn| Node::map([("name", name(arn).into())]));
    let route = |arn: &String| Node::map([("listenerArns", Node::texts([arn.clone()]))]);
    Node::map([(
        "targetGroupPairInfoList",
        Node::list([Node::map([
            ("targetGroups", Node::list(groups)),
            ("prodTrafficRoute", route(&group.production_listener)),
            ("testTrafficRoute", group.test_listener.as_ref().map(route).into()),
        ])]),
    )])
}

/// A traffic routing configuration.
pub(super) fn routing(routing: Routing) -> Node {
    match routing {
        Routing::AllAtOnce => Node::map([("type", "AllAtOnce".into())]),
        Routing::Linear { percent, minutes } => Node::map([
            ("type", "TimeBasedLinear".into()),
            (
                "timeBasedLinear",
                Node::map([("linearPercentage", percent.into()), ("linearInterval", minutes.into())]),
            ),
        ]),
        Routing::Canary { percent, minutes } => Node::map([
            ("type", "TimeBasedCanary".into()),
            (
                "timeBasedCanary",
                Node::map([("canaryPercentage", percent.into()), ("canaryInterval", minutes.into())]),
            ),
        ]),
    }
}

/// A deployment. The AppSpec's text is never given back, only its digest.
pub(super) fn deployment(world: &World, deployment: &Deployment) -> Node {
    let group = world.codedeploy.group_of(deployment);
    let error = deployment
        .error
        .as_ref()
        .map(|(code, message)| Node::map([("code", code.into()), ("message", message.into())]));
    let rollback_info = deployment.rollback_info.as_ref().map(|info| {
        Node::map([
            ("rollbackDeploymentId", info.rollback_deployment.clone().into()),
            ("rollbackTriggeringDeploymentId", info.triggering_deployment.clone().into()),
            ("rollbackMessage", (&info.message).into()),
        ])
    });
    let (done, running) =
        (deployment.status.is_terminal(), deployment.status == DeploymentStatus::InProgress);
    let succeeded = deployment.status == DeploymentStatus::Succeeded;
    let one = |truth: bool| Node::Int(i64::from(truth));
    let overview = Node::map([
        ("Pending", one(deployment.status == DeploymentStatus::Created)),
        ("InProgress", one(running)),
        ("Succeeded", one(succeeded)),
        ("Failed", one(deployment.status == DeploymentStatus::Failed)),
        ("Skipped", one(done && !succeeded && deployment.status != DeploymentStatus::Failed)),
        ("Ready", one(deployment.status == DeploymentStatus::Ready)),
    ]);
    let waits = deployment.stage == Stage::TerminationWait || deployment.stage == Stage::DeletingBlue;
    let revision = Node::map([
        ("revisionType", "AppSpecContent".into()),
        ("appSpecContent", Node::map([("sha256", (&deployment.content_sha256).into())])),
    ]);
    Node::map([
        ("applicationName", (&deployment.application).into()),
        ("deploymentGroupName", (&deployment.group).into()),
        ("deploymentConfigName", (&deployment.config).into()),
        ("deploymentId", (&deployment.id).into()),
        ("revision", revision),
        ("status", deployment.status.as_str().into()),
        ("errorInformation", error.into()),
        ("createTime", deployment.created.into()),
        ("startTime", deployment.started.into()),
        ("completeTime", deployment.completed.into()),
        ("deploymentOverview", overview),
        ("description", deployment.description.clone().into()),
        ("creator", deployment.creator.as_str().into()),
        ("ignoreApplicationStopFailures", false.into()),
        ("autoRollbackConfiguration", rollback(&deployment.rollback)),
        ("updateOutdatedInstancesOnly", false.into()),
        ("rollbackInfo", rollback_info.into()),
        ("deploymentStyle", style()),
        ("instanceTerminationWaitTimeStarted", (waits || succeeded).into()),
        ("blueGreenDeploymentConfiguration", blue_green(deployment.ready_wait, deployment.termination_wait)),
        ("loadBalancerInfo", group.map(load_balancer).into()),
        ("fileExistsBehavior", "DISALLOW".into()),
        ("deploymentStatusMessages", Node::List(vec![])),
        ("computePlatform", "ECS".into()),
    ])
}

/// `<cluster>:<service>`.
pub(super) fn target_id(world: &World, deployment: &Deployment) -> String {
    world.codedeploy.group_of(deployment).map(|g| format!("{}:{}", g.cluster, g.service)).unwrap_or_default()
}

/// The one ECS target of a deployment.
pub(super) fn target(world: &World, deployment: &Deployment) -> Node {
    let group = world.codedeploy.group_of(deployment);
    let arn = group.map(|g| world.identity.arn("ecs", &format!("service/{}/{}", g.cluster, g.service)));
    let seen = |name: &str| deployment.events.iter().rev().find(|event| event.name == name);
    let events = EVENTS.iter().map(|name| {
        let event = seen(name);
        Node::map([
            ("lifecycleEventName", (*name).into()),
            ("startTime", event.and_then(|e| e.start).into()),
            ("endTime", event.and_then(|e| e.end).into()),
            ("status", event.map_or("Pending", |e| e.status).into()),
        ])
    });
    let asked = world.asked_weight(deployment);
    let sets = [("Blue", &deployment.blue, 100 - asked), ("Green", &deployment.green, asked)]
        .into_iter()
        .filter_map(|(label, side, weight)| task_set(world, deployment, label, side, weight));
    let target = Node::map([
        ("deploymentId", (&deployment.id).into()),
        ("targetId", target_id(world, deployment).into()),
        ("targetArn", arn.into()),
        ("lastUpdatedAt", world.now().into()),
        ("lifecycleEvents", Node::list(events)),
        ("status", target_status(deployment.status).into()),
        ("taskSetsInfo", Node::list(sets)),
    ]);
    Node::map([("deploymentTargetType", "ECSTarget".into()), ("ecsTarget", target)])
}

fn target_status(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Created => "Pending",
        DeploymentStatus::InProgress => "InProgress",
        DeploymentStatus::Ready => "Ready",
        DeploymentStatus::Succeeded => "Succeeded",
        DeploymentStatus::Failed => "Failed",
        DeploymentStatus::Stopped => "Skipped",
    }
}

/// `identifer` is spelled so in the service's model.
fn task_set(world: &World, deployment: &Deployment, label: &str, side: &Side, weight: u32) -> Option<Node> {
    let (service, set) = world.side_task_set(deployment, side)?;
    let (running, pending) = world.ecs.counts(&set.id);
    let name = side.target_group.split('/').nth(1).unwrap_or_default().to_owned();
    Some(Node::map([
        ("identifer", (&set.id).into()),
        ("desiredCount", ((service.desired * set.scale).div_ceil(100)).into()),
        ("pendingCount", pending.into()),
        ("runningCount", running.into()),
        ("status", set.status.as_str().into()),
        ("trafficWeight", f64::from(weight).into()),
        ("targetGroup", Node::map([("name", name.into())])),
        ("taskSetLabel", label.into()),
    ]))
}
