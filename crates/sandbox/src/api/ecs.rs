//! ECS's operations.

use super::{
    Handler::{Reads, Writes},
    Operation,
    page::Pages,
};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        ecs::{Controller, Service, TaskSet, TaskState, cluster_name},
    },
};

mod definitions;
mod tasks;

pub(super) const OPERATIONS: &[Operation] = &[
    ("RegisterTaskDefinition", Writes(definitions::register_task_definition)),
    ("DescribeTaskDefinition", Reads(definitions::describe_task_definition)),
    ("DeregisterTaskDefinition", Writes(definitions::deregister_task_definition)),
    ("ListTaskDefinitions", Reads(definitions::list_task_definitions)),
    ("DescribeClusters", Reads(describe_clusters)),
    ("ListClusters", Reads(list_clusters)),
    ("DescribeServices", Reads(describe_services)),
    ("ListServices", Reads(list_services)),
    ("UpdateService", Writes(update_service)),
    ("DescribeTasks", Reads(tasks::describe_tasks)),
    ("ListTasks", Reads(tasks::list_tasks)),
    ("RunTask", Writes(tasks::run_task)),
    ("StopTask", Writes(tasks::stop_task)),
    ("CreateTaskSet", Writes(refuse_task_sets)),
    ("UpdateTaskSet", Writes(refuse_task_sets)),
    ("DeleteTaskSet", Writes(refuse_task_sets)),
    ("UpdateServicePrimaryTaskSet", Writes(refuse_task_sets)),
];

/// ARNs in pages of at most a hundred.
fn pages(usual: usize) -> Pages {
    Pages {
        size: "maxResults",
        token: "nextToken",
        most: 100,
        usual,
        wrong_size: "InvalidParameterException",
        wrong_token: "InvalidParameterException",
    }
}

/// Task sets are managed by CodeDeploy alone here.
fn refuse_task_sets(_: &mut World, _: &Node) -> Result<Node, ApiError> {
    let message = "Amazon ECS only supports task set management on services configured to use external deployment controllers.";
    Err(ApiError::new("InvalidParameterException", message))
}

fn cluster(world: &World, input: &Node) -> Result<String, ApiError> {
    let name = cluster_name(input.opt_text("cluster")?.unwrap_or("default"));
    if world.ecs.clusters.contains(&name) {
        Ok(name)
    } else {
        Err(ApiError::new("ClusterNotFoundException", "Cluster not found."))
    }
}

fn client(message: &str) -> ApiError {
    ApiError::new("ClientException", message)
}

fn describe_clusters(world: &World, input: &Node) -> Result<Node, ApiError> {
    let asked = input.text_items("clusters")?;
    let asked = if asked.is_empty() { vec!["default".to_owned()] } else { asked };
    let (mut found, mut failures) = (vec![], vec![]);
    for name in asked.iter().map(|name| cluster_name(name)) {
        let arn = world.identity.arn("ecs", &format!("cluster/{name}"));
        if world.ecs.clusters.contains(&name) {
            found.push(cluster_node(world, arn, &name));
        } else {
            failures.push(Node::map([("arn", arn.into()), ("reason", "MISSING".into())]));
        }
    }
    Ok(Node::map([("clusters", Node::List(found)), ("failures", Node::List(failures))]))
}

fn cluster_node(world: &World, arn: String, name: &str) -> Node {
    let services = world.ecs.services.values().filter(|service| service.cluster == name).count();
    let tasks = |state: TaskState| {
        world.ecs.tasks.values().filter(|task| task.cluster == name && task.state == state).count()
    };
    let number = |count: usize| Node::from(i64::try_from(count).unwrap_or(i64::MAX));
    Node::map([
        ("clusterArn", arn.into()),
        ("clusterName", name.into()),
        ("status", "ACTIVE".into()),
        ("registeredContainerInstancesCount", 0_i64.into()),
        ("runningTasksCount", number(tasks(TaskState::Running))),
        ("pendingTasksCount", number(tasks(TaskState::Pending))),
        ("activeServicesCount", number(services)),
    ])
}

fn list_clusters(world: &World, input: &Node) -> Result<Node, ApiError> {
    let arn = |name: &String| world.identity.arn("ecs", &format!("cluster/{name}"));
    let (arns, token) = pages(100).cut(input, world.ecs.clusters.iter().map(arn).collect())?;
    Ok(Node::map([("clusterArns", Node::texts(arns)), ("nextToken", token)]))
}

fn load_balancers(service: &Service, target_group: &str) -> Node {
    Node::list([Node::map([
        ("targetGroupArn", target_group.into()),
        ("containerName", (&service.container).into()),
        ("containerPort", service.port.into()),
    ])])
}

/// Where every task of the sandbox runs: the world has one network.
fn network() -> Node {
    let vpc = Node::map([
        ("subnets", Node::texts(["subnet-0a1b2c3d4e5f60718"])),
        ("securityGroups", Node::texts(["sg-0a1b2c3d4e5f60718"])),
        ("assignPublicIp", "DISABLED".into()),
    ]);
    Node::map([("awsvpcConfiguration", vpc)])
}

fn task_set_node(world: &World, service: &Service, set: &TaskSet) -> Node {
    let (running, pending) = world.ecs.counts(&set.id);
    let steady = world.is_steady(service, set);
    Node::map([
        ("id", (&set.id).into()),
        (
            "taskSetArn",
            world
                .identity
                .arn("ecs", &format!("task-set/{}/{}/{}", service.cluster, service.name, set.id))
                .into(),
        ),
        ("serviceArn", (&service.arn).into()),
        ("clusterArn", world.identity.arn("ecs", &format!("cluster/{}", service.cluster)).into()),
        ("startedBy", if set.external_id.is_some() { Node::from("CODE_DEPLOY") } else { Node::Null }),
        ("externalId", set.external_id.clone().into()),
        ("status", set.status.as_str().into()),
        ("taskDefinition", (&set.task_definition).into()),
        ("computedDesiredCount", ((service.desired * set.scale).div_ceil(100)).into()),
        ("pendingCount", pending.into()),
        ("runningCount", running.into()),
        ("createdAt", set.created.into()),
        ("updatedAt", set.updated.into()),
        ("launchType", "FARGATE".into()),
        ("platformVersion", "1.4.0".into()),
        ("platformFamily", "Linux".into()),
        ("networkConfiguration", network()),
        ("loadBalancers", load_balancers(service, &set.target_group)),
        ("serviceRegistries", Node::List(vec![])),
        ("scale", Node::map([("value", f64::from(set.scale).into()), ("unit", "PERCENT".into())])),
        ("stabilityStatus", if steady { "STEADY_STATE" } else { "STABILIZING" }.into()),
        ("stabilityStatusAt", set.updated.into()),
        ("tags", Node::List(vec![])),
    ])
}

fn service_node(world: &World, service: &Service) -> Node {
    let primary = service.primary();
    let totals = service
        .task_sets
        .iter()
        .map(|set| world.ecs.counts(&set.id))
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let by_codedeploy = service.controller == Controller::CodeDeploy;
    let sets = service.task_sets.iter().map(|set| task_set_node(world, service, set));
    let deployments = service.task_sets.iter().filter(|_| !by_codedeploy).map(|set| {
        let (running, pending) = world.ecs.counts(&set.id);
        Node::map([
            ("id", (&set.id).into()),
            ("status", set.status.as_str().into()),
            ("taskDefinition", (&set.task_definition).into()),
            ("desiredCount", service.desired.into()),
            ("pendingCount", pending.into()),
            ("runningCount", running.into()),
            ("createdAt", set.created.into()),
            ("updatedAt", set.updated.into()),
            ("rolloutState", if world.is_steady(service, set) { "COMPLETED" } else { "IN_PROGRESS" }.into()),
        ])
    });
    Node::map([
        ("serviceArn", (&service.arn).into()),
        ("serviceName", (&service.name).into()),
        ("clusterArn", world.identity.arn("ecs", &format!("cluster/{}", service.cluster)).into()),
        (
            "loadBalancers",
            primary.map_or(Node::List(vec![]), |set| load_balancers(service, &set.target_group)),
        ),
        ("serviceRegistries", Node::List(vec![])),
        ("status", "ACTIVE".into()),
        ("desiredCount", service.desired.into()),
        ("runningCount", totals.0.into()),
        ("pendingCount", totals.1.into()),
        ("launchType", "FARGATE".into()),
        ("platformVersion", "LATEST".into()),
        ("networkConfiguration", network()),
        ("platformFamily", "Linux".into()),
        ("taskDefinition", primary.map(|set| set.task_definition.clone()).into()),
        (
            "deploymentConfiguration",
            Node::map([("maximumPercent", 200_i64.into()), ("minimumHealthyPercent", 100_i64.into())]),
        ),
        ("taskSets", Node::list(sets)),
        ("deployments", Node::list(deployments)),
        ("events", Node::List(vec![])),
        ("createdAt", service.created.into()),
        ("placementConstraints", Node::List(vec![])),
        ("placementStrategy", Node::List(vec![])),
        ("healthCheckGracePeriodSeconds", 0_i64.into()),
        ("schedulingStrategy", "REPLICA".into()),
        ("deploymentController", Node::map([("type", service.controller.as_str().into())])),
        ("enableECSManagedTags", false.into()),
        ("propagateTags", "NONE".into()),
        ("enableExecuteCommand", false.into()),
    ])
}

fn describe_services(world: &World, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster(world, input)?;
    let asked = input.text_items("services")?;
    if asked.is_empty() || asked.len() > 10 {
        let message = if asked.is_empty() {
            "Services cannot be empty."
        } else {
            "Services cannot have more than 10 elements."
        };
        return Err(ApiError::new("InvalidParameterException", message));
    }
    let (mut found, mut failures) = (vec![], vec![]);
    for name in asked {
        match world.ecs.service(&cluster, &name) {
            Some(service) => found.push(service_node(world, service)),
            None => {
                let arn = world.identity.arn("ecs", &format!("service/{cluster}/{}", cluster_name(&name)));
                failures.push(Node::map([("arn", arn.into()), ("reason", "MISSING".into())]));
            }
        }
    }
    Ok(Node::map([("services", Node::List(found)), ("failures", Node::List(failures))]))
}

fn list_services(world: &World, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster(world, input)?;
    let arns = world.ecs.services.values().filter(|s| s.cluster == cluster).map(|s| s.arn.clone());
    // Ten, if nothing is asked. Source: ListServices' `maxResults`.
    let (arns, token) = pages(10).cut(input, arns.collect())?;
    Ok(Node::map([("serviceArns", Node::texts(arns)), ("nextToken", token)]))
}

fn update_service(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster(world, input)?;
    let name = cluster_name(input.text("service")?);
    let service = world
        .ecs
        .service(&cluster, &name)
        .cloned()
        .ok_or_else(|| ApiError::new("ServiceNotFoundException", "Service not found."))?;
    let refused =
        ["taskDefinition", "networkConfiguration", "platformVersion", "loadBalancers", "forceNewDeployment"];
    if service.controller == Controller::CodeDeploy
        && let Some(member) = refused.iter().find(|member| input.has(member))
    {
        let what = match *member {
            "taskDefinition" => "task definition",
            "networkConfiguration" => "network parameters",
            "platformVersion" => "platform version",
            "loadBalancers" => "load balancers",
            _ => "force new deployment",
        };
        let message = format!(
            "Unable to update {what} on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment."
        );
        return Err(ApiError::new("InvalidParameterException", message));
    }
    if let Some(count) = input.opt_int("desiredCount")? {
        let count = u32::try_from(count)
            .map_err(|_| ApiError::new("InvalidParameterException", "desiredCount must not be negative."))?;
        world.scale_service(&cluster, &name, count);
        world.note_effect("ecs", "UpdateService", &service.arn, format!("desired count {count}"), None);
    }
    if let Some(asked) = input.opt_text("taskDefinition")? {
        let arn = world
            .ecs
            .task_definition(asked)
            .map(|td| td.arn.clone())
            .ok_or_else(|| client("TaskDefinition not found."))?;
        world.roll_service(&cluster, &name, &arn);
        world.note_effect("ecs", "UpdateService", &service.arn, format!("deploys {arn}"), None);
    }
    let shown = world.ecs.service(&cluster, &name).map(|service| service_node(world, service));
    Ok(Node::map([("service", shown.into())]))
}
