//! Secrets Manager's operations.

use std::collections::BTreeMap;

use crate::{
    error::ApiError,
    node::Node,
    world::{World, secrets::Secret},
};

pub(crate) fn handle(world: &mut World, operation: &str, input: &Node) -> Result<Node, ApiError> {
    match operation {
        "GetSecretValue" => get_secret_value(world, input),
        "DescribeSecret" => {
            let (name, secret) = find(world, input)?;
            Ok(describe(name, secret))
        }
        "ListSecrets" => Ok(Node::map([(
            "SecretList",
            Node::list(world.secrets.all.iter().map(|(name, secret)| {
                let mut node = describe(name, secret);
                let stages = node.get("VersionIdsToStages").clone();
                node.set("VersionIdsToStages", Node::Null);
                node.set("SecretVersionsToStages", stages);
                node
            })),
        )])),
        "CreateSecret" => create_secret(world, input),
        "PutSecretValue" => put_secret_value(world, input),
        _ => Err(ApiError::unknown_operation(operation)),
    }
}

fn find<'w>(world: &'w World, input: &Node) -> Result<(&'w str, &'w Secret), ApiError> {
    world.secret(input.text("SecretId")?).ok_or_else(|| {
        ApiError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    })
}

fn get_secret_value(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (name, secret) = find(world, input)?;
    let stage = input.opt_text("VersionStage")?.unwrap_or("AWSCURRENT");
    let not_found = || {
        ApiError::new(
            "ResourceNotFoundException",
            format!("Secrets Manager can't find the specified secret value for staging label: {stage}"),
        )
    };
    let version = match stage {
        "AWSCURRENT" => Some(&secret.current),
        "AWSPREVIOUS" => secret.previous.as_ref(),
        _ => None,
    }
    .ok_or_else(not_found)?;
    Ok(Node::map([
        ("ARN", (&secret.arn).into()),
        ("Name", name.into()),
        ("VersionId", (&version.id).into()),
        ("SecretString", (&version.value).into()),
        ("VersionStages", Node::texts([stage])),
        ("CreatedDate", version.created.into()),
    ]))
}

fn describe(name: &str, secret: &Secret) -> Node {
    let mut stages = vec![(secret.current.id.clone(), Node::texts(["AWSCURRENT"]))];
    stages.extend(secret.previous.iter().map(|v| (v.id.clone(), Node::texts(["AWSPREVIOUS"]))));
    Node::map([
        ("ARN", (&secret.arn).into()),
        ("Name", name.into()),
        ("Description", secret.description.clone().into()),
        ("LastChangedDate", secret.changed.into()),
        ("Tags", tags(&secret.tags)),
        ("VersionIdsToStages", Node::Map(stages)),
        ("CreatedDate", secret.created.into()),
    ])
}

fn tags(tags: &BTreeMap<String, String>) -> Node {
    Node::list(tags.iter().map(|(k, v)| Node::map([("Key", k.into()), ("Value", v.into())])))
}

fn create_secret(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("Name")?.to_owned();
    if world.secrets.all.contains_key(&name) {
        let message = format!("The operation failed because the secret {name} already exists.");
        return Err(ApiError::new("ResourceExistsException", message));
    }
    let value = input.opt_text("SecretString")?.unwrap_or("").to_owned();
    let mut given = BTreeMap::new();
    for tag in input.items("Tags")? {
        given.insert(tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned());
    }
    let arn = world.create_secret(&name, &value, given);
    world.note_effect("secretsmanager", "CreateSecret", &arn, "secret created".to_owned(), None);
    let version = world.secret(&arn).map(|(_, secret)| secret.current.id.clone());
    Ok(Node::map([("ARN", arn.into()), ("Name", name.into()), ("VersionId", version.into())]))
}

fn put_secret_value(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (name, arn) = find(world, input).map(|(name, secret)| (name.to_owned(), secret.arn.clone()))?;
    let value = input.text("SecretString")?.to_owned();
    let version = world.rotate_secret(&name, &value);
    world.note_effect(
        "secretsmanager",
        "PutSecretValue",
        &arn,
        "a new version is AWSCURRENT".to_owned(),
        None,
    );
    Ok(Node::map([
        ("ARN", arn.into()),
        ("Name", name.into()),
        ("VersionId", version.into()),
        ("VersionStages", Node::texts(["AWSCURRENT"])),
    ]))
}
