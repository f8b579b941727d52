//! Tasks outside of services: run, found by who started them, described, stopped.

use super::{client, cluster, pages};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        ecs::{Run, Task, TaskDefinition, TaskState, cluster_name},
    },
};

fn task_node(world: &World, task: &Task) -> Node {
    let desired = if task.state.counts() { "RUNNING" } else { "STOPPED" };
    let group = task
        .service
        .as_ref()
        .map_or_else(|| format!("family:{}", family(&task.task_definition)), |s| format!("service:{s}"));
    let container = Node::map([
        ("taskArn", (&task.arn).into()),
        ("name", (&task.container).into()),
        ("image", (&task.image).into()),
        ("lastStatus", task.state.as_str().into()),
        ("exitCode", task.exit_code.map(i64::from).into()),
        (
            "reason",
            (task.state == TaskState::Stopped && task.exit_code.is_none())
                .then(|| task.reason.clone())
                .into(),
        ),
    ]);
    Node::map([
        ("taskArn", (&task.arn).into()),
        ("clusterArn", world.identity.arn("ecs", &format!("cluster/{}", task.cluster)).into()),
        ("taskDefinitionArn", (&task.task_definition).into()),
        ("lastStatus", task.state.as_str().into()),
        ("desiredStatus", desired.into()),
        ("group", group.into()),
        ("startedBy", task.started_by.clone().into()),
        ("createdAt", task.created.into()),
        ("startedAt", task.started.into()),
        ("stoppedAt", task.stopped.into()),
        ("stoppedReason", (!task.reason.is_empty()).then(|| task.reason.clone()).into()),
        ("launchType", "FARGATE".into()),
        ("cpu", "256".into()),
        ("memory", "512".into()),
        ("containers", Node::list([container])),
    ])
}

/// The family in a task definition's ARN.
fn family(arn: &str) -> &str {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    name.split_once(':').map_or(name, |(family, _)| family)
}

pub(super) fn describe_tasks(world: &World, input: &Node) -> Result<Node, ApiError> {
    cluster(world, input)?;
    let asked = input.text_items("tasks")?;
    if asked.is_empty() || asked.len() > 100 {
        return Err(ApiError::new(
            "InvalidParameterException",
            "Tasks must have between 1 and 100 elements.",
        ));
    }
    let (mut found, mut failures) = (vec![], vec![]);
    for id in asked {
        let task = world.ecs.tasks.values().find(|t| t.arn == id || t.arn.ends_with(&format!("/{id}")));
        match task {
            Some(task) => found.push(task_node(world, task)),
            None => failures.push(Node::map([("arn", id.into()), ("reason", "MISSING".into())])),
        }
    }
    Ok(Node::map([("tasks", Node::List(found)), ("failures", Node::List(failures))]))
}

pub(super) fn list_tasks(world: &World, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster(world, input)?;
    let service = input.opt_text("serviceName")?.map(cluster_name);
    let started_by = input.opt_text("startedBy")?;
    let of_family = input.opt_text("family")?;
    let running = input.opt_text("desiredStatus")?.unwrap_or("RUNNING") == "RUNNING";
    let arns = world
        .ecs
        .tasks
        .values()
        .filter(|t| t.cluster == cluster && t.state.counts() == running)
        .filter(|t| service.as_ref().is_none_or(|s| t.service.as_ref() == Some(s)))
        .filter(|t| started_by.is_none_or(|s| t.started_by.as_deref() == Some(s)))
        .filter(|t| of_family.is_none_or(|wanted| family(&t.task_definition) == wanted))
        .map(|t| t.arn.clone());
    let (arns, token) = pages(100).cut(input, arns.collect())?;
    Ok(Node::map([("taskArns", Node::texts(arns)), ("nextToken", token)]))
}

pub(super) fn run_task(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let cluster = cluster(world, input)?;
    let definition = world
        .ecs
        .task_definition(input.text("taskDefinition")?)
        .cloned()
        .ok_or_else(|| client("TaskDefinition not found."))?;
    let count = input.opt_int("count")?.unwrap_or(1);
    let count = usize::try_from(count)
        .ok()
        .filter(|n| (1..=10).contains(n))
        .ok_or_else(|| invalid("count should be between 1 and 10."))?;
    let awsvpc = definition.content.get("networkMode").as_text() == Some("awsvpc");
    if awsvpc && !input.get("networkConfiguration").has("awsvpcConfiguration") {
        return Err(invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ));
    }
    let run = Run {
        started_by: input.opt_text("startedBy")?.map(str::to_owned),
        command: command(&definition, input.get("overrides"))?,
        environment: environment(input.get("overrides"))?,
    };
    let arns = match known_token(world, input)? {
        Some(arns) => arns,
        None => {
            let arns = world.run_tasks(&cluster, &definition, count, &run);
            for arn in &arns {
                world.note_effect("ecs", "RunTask", arn, format!("task of {} started", definition.arn), None);
            }
            if let Some(token) = input.opt_text("clientToken")? {
                world.ecs.run_tokens.insert(token.to_owned(), (input.clone(), arns.clone()));
            }
            arns
        }
    };
    let tasks = arns.iter().filter_map(|arn| world.ecs.tasks.get(arn)).map(|task| task_node(world, task));
    Ok(Node::map([("tasks", Node::list(tasks)), ("failures", Node::List(vec![]))]))
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// The tasks of an earlier call with the same token. Source: RunTask's `clientToken`.
fn known_token(world: &World, input: &Node) -> Result<Option<Vec<String>>, ApiError> {
    let Some(token) = input.opt_text("clientToken")? else { return Ok(None) };
    if token.is_empty() || token.len() > 64 {
        return Err(invalid("clientToken must have between 1 and 64 characters."));
    }
    match world.ecs.run_tokens.get(token) {
        Some((before, arns)) if before == input => Ok(Some(arns.clone())),
        Some(_) => {
            Err(ApiError::new("ConflictException", "The clientToken was used before with other parameters."))
        }
        None => Ok(None),
    }
}

/// The command of the container that a task stands for: the override's, or the definition's own.
fn command(definition: &TaskDefinition, overrides: &Node) -> Result<Vec<String>, ApiError> {
    let containers = definition.content.items("containerDefinitions")?;
    for container in overrides.items("containerOverrides")? {
        let name = container.text("name")?;
        if !containers.iter().any(|known| known.get("name").as_text() == Some(name)) {
            let message =
                format!("Override for container named {name} is not a container in the TaskDefinition.");
            return Err(invalid(&message));
        }
        if container.has("command") {
            return container.text_items("command");
        }
    }
    definition.container().map_or(Ok(vec![]), |container| container.text_items("command"))
}

fn environment(overrides: &Node) -> Result<Vec<(String, String)>, ApiError> {
    let mut all = vec![];
    for container in overrides.items("containerOverrides")? {
        for pair in container.items("environment")? {
            all.push((pair.text("name")?.to_owned(), pair.text("value")?.to_owned()));
        }
    }
    Ok(all)
}

pub(super) fn stop_task(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    cluster(world, input)?;
    let id = input.text("task")?;
    let arn = world
        .ecs
        .tasks
        .keys()
        .find(|arn| arn.as_str() == id || arn.ends_with(&format!("/{id}")))
        .cloned()
        .ok_or_else(|| ApiError::new("InvalidParameterException", "The referenced task was not found."))?;
    let reason = input.opt_text("reason")?.unwrap_or("Task stopped by user").to_owned();
    world.stop_task(&arn, &reason);
    world.note_effect("ecs", "StopTask", &arn, "task stopped".to_owned(), None);
    let shown = world.ecs.tasks.get(&arn).map(|task| task_node(world, task));
    Ok(Node::map([("task", shown.into())]))
}
