//! Task definitions: registered, described, listed, deregistered.

use super::{client, pages};
use crate::{
    error::ApiError,
    node::Node,
    world::{
        World,
        ecs::{TaskDefinition, cluster_name},
    },
};

fn tags(input: &Node) -> Result<Vec<(String, String)>, ApiError> {
    input
        .items("tags")?
        .iter()
        .map(|tag| Ok((tag.text("key")?.to_owned(), tag.opt_text("value")?.unwrap_or("").to_owned())))
        .collect()
}

fn tag_nodes(tags: &[(String, String)]) -> Node {
    Node::list(tags.iter().map(|(k, v)| Node::map([("key", k.into()), ("value", v.into())])))
}

pub(super) fn register_task_definition(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let family = input.text("family")?.to_owned();
    if family.len() > 255 || !family.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(client("Family contains invalid characters."));
    }
    let containers = input.items("containerDefinitions")?;
    if containers.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    for container in containers {
        if !container.has("name") || !container.has("image") {
            return Err(client("Container.image and Container.name should not be null or empty."));
        }
    }
    let given = tags(input)?;
    let mut content = input.clone();
    content.set("tags", Node::Null);
    let marker = given.iter().find(|(k, _)| k == "tidegate:marker").map(|(_, v)| v.clone());
    let registered = world.register_task_definition(&family, content, given);
    world.note_effect(
        "ecs",
        "RegisterTaskDefinition",
        &registered.arn,
        "revision registered".to_owned(),
        marker,
    );
    Ok(Node::map([
        ("taskDefinition", task_definition_node(&registered, world)),
        ("tags", tag_nodes(&registered.tags)),
    ]))
}

fn task_definition_node(definition: &TaskDefinition, world: &World) -> Node {
    let mut node = definition.content.clone();
    // ECS describes absent lists as empty ones.
    for list in ["volumes", "placementConstraints"] {
        if !node.has(list) {
            node.set(list, Node::List(vec![]));
        }
    }
    node.set("taskDefinitionArn", (&definition.arn).into());
    node.set("family", (&definition.family).into());
    node.set("revision", definition.revision.into());
    node.set("status", if definition.active { "ACTIVE" } else { "INACTIVE" }.into());
    node.set("registeredAt", definition.registered.into());
    node.set("registeredBy", format!("arn:aws:iam::{}:user/sandbox", world.identity.account).into());
    node.set("compatibilities", Node::texts(compatibilities(&definition.content)));
    node.set(
        "requiresAttributes",
        Node::list([Node::map([("name", "com.amazonaws.ecs.capability.docker-remote-api.1.18".into())])]),
    );
    node
}

/// Where a definition's tasks can run: Fargate wants a network of their own and a size.
fn compatibilities(content: &Node) -> Vec<&'static str> {
    let own_network = content.get("networkMode").as_text() == Some("awsvpc");
    if own_network && content.has("cpu") && content.has("memory") {
        vec!["EC2", "FARGATE"]
    } else {
        vec!["EC2"]
    }
}

pub(super) fn describe_task_definition(world: &World, input: &Node) -> Result<Node, ApiError> {
    let definition = world
        .ecs
        .task_definition(input.text("taskDefinition")?)
        .ok_or_else(|| client("Unable to describe task definition."))?;
    let wants_tags = input.text_items("include")?.iter().any(|what| what == "TAGS");
    let mut output = Node::map([("taskDefinition", task_definition_node(definition, world))]);
    if wants_tags {
        output.set("tags", tag_nodes(&definition.tags));
    }
    Ok(output)
}

pub(super) fn deregister_task_definition(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let asked = input.text("taskDefinition")?;
    // Source: DeregisterTaskDefinition's `taskDefinition`: "You must specify a revision."
    if !cluster_name(asked).contains(':') {
        return Err(client("Revision is missing."));
    }
    let arn = world
        .ecs
        .task_definition(asked)
        .map(|td| td.arn.clone())
        .ok_or_else(|| client("The specified task definition does not exist."))?;
    for definition in world.ecs.families.values_mut().flatten().filter(|td| td.arn == arn) {
        definition.active = false;
    }
    world.note_effect("ecs", "DeregisterTaskDefinition", &arn, "revision deregistered".to_owned(), None);
    let shown = world.ecs.task_definition(&arn).map(|td| task_definition_node(td, world));
    Ok(Node::map([("taskDefinition", shown.into())]))
}

pub(super) fn list_task_definitions(world: &World, input: &Node) -> Result<Node, ApiError> {
    let family = input.opt_text("familyPrefix")?;
    let status = input.opt_text("status")?.unwrap_or("ACTIVE");
    let mut arns: Vec<String> = world
        .ecs
        .families
        .values()
        .flatten()
        .filter(|td| family.is_none_or(|f| td.family == f) && td.active == (status == "ACTIVE"))
        .map(|td| td.arn.clone())
        .collect();
    if input.opt_text("sort")? == Some("DESC") {
        arns.reverse();
    }
    let (arns, token) = pages(100).cut(input, arns)?;
    Ok(Node::map([("taskDefinitionArns", Node::texts(arns)), ("nextToken", token)]))
}
