//! The task metadata endpoint, version 4: what a process is told about the task that it runs in.
//!
//! Called by the HTTP door. Must not: change the world. Source: the ECS developer guide, "Amazon ECS task metadata v4 JSON
//! response for tasks on Fargate". Members about what is not simulated (limits, pulls, networks) are left out, as the endpoint
//! itself leaves out what it does not know.

use serde_json::{Value, json};

use crate::world::{
    World,
    ecs::{Task, TaskState},
};

/// What tasks find in their environment.
pub(crate) const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// Where the door has it.
pub(crate) const PATH: &str = "/v4/";

/// The last part of the path for a task: its container's id, which on Fargate begins with the task's.
pub(crate) fn container_id(task_arn: &str) -> String {
    format!("{}-1", task_arn.rsplit('/').next().unwrap_or(task_arn))
}

/// Answers what follows [`PATH`]: a container's id, or that and `/task`; `None` if there is no such container.
pub(crate) fn answer(world: &World, path: &str) -> Option<Value> {
    let (id, of_task) = path.strip_suffix("/task").map_or((path, false), |id| (id, true));
    let task = world.ecs.tasks.values().find(|task| container_id(&task.arn) == id)?;
    let definition = world.ecs.task_definition(&task.task_definition)?;
    let (family, revision) = (definition.family.clone(), definition.revision.to_string());
    let (desired, known) = statuses(task.state);
    let container = json!({
        "DockerId": id,
        "Name": task.container,
        "DockerName": task.container,
        "Image": task.image,
        "Labels": {
            "com.amazonaws.ecs.cluster": cluster(world, task),
            "com.amazonaws.ecs.container-name": task.container,
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": family,
            "com.amazonaws.ecs.task-definition-version": revision,
        },
        "DesiredStatus": desired,
        "KnownStatus": known,
        "Type": "NORMAL",
    });
    Some(match of_task {
        false => container,
        true => json!({
            "Cluster": cluster(world, task),
            "TaskARN": task.arn,
            "Family": family,
            "Revision": revision,
            "DesiredStatus": desired,
            "KnownStatus": known,
            "LaunchType": "FARGATE",
            "Containers": [container],
        }),
    })
}

fn cluster(world: &World, task: &Task) -> String {
    world.identity.arn("ecs", &format!("cluster/{}", task.cluster))
}

fn statuses(state: TaskState) -> (&'static str, &'static str) {
    let desired = if state.counts() { "RUNNING" } else { "STOPPED" };
    (desired, state.as_str())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::world::Mode;

    fn story() -> World {
        let text = include_str!("../../../config/world.toml");
        let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let mut world = World::from_file(text, start, Mode::Modelled { seed: 7 }).unwrap();
        world.advance(start + SignedDuration::from_mins(2));
        world
    }

    #[test]
    fn a_task_is_told_its_task_definition() {
        let world = story();
        let task = world.ecs.tasks.values().next().unwrap();
        let id = container_id(&task.arn);
        let told = answer(&world, &format!("{id}/task")).unwrap();
        assert_eq!((&told["Family"], &told["Revision"]), (&json!("ecommerce"), &json!("1")));
        assert_eq!(told["KnownStatus"], "RUNNING");
        assert_eq!(told["Containers"][0], answer(&world, &id).unwrap());
        assert_eq!(told["Containers"][0]["Labels"]["com.amazonaws.ecs.task-arn"], json!(task.arn));
    }

    #[test]
    fn nobody_is_told_of_a_task_that_is_not_there() {
        assert_eq!(answer(&story(), "0123-1/task"), None);
    }
}
