//! Secrets Manager's operations.

use std::collections::{BTreeMap, BTreeSet};

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
        secrets::{CURRENT, NewSecret, Secret, SecretVersion},
    },
};

pub(super) const OPERATIONS: &[Operation] = &[
    ("GetSecretValue", Reads(get_secret_value)),
    ("DescribeSecret", Reads(describe_secret)),
    ("ListSecrets", Reads(list_secrets)),
    ("CreateSecret", Writes(create_secret)),
    ("PutSecretValue", Writes(put_secret_value)),
    ("TagResource", Writes(tag)),
    ("UntagResource", Writes(untag)),
];

fn find<'w>(world: &'w World, input: &Node) -> Result<(&'w str, &'w Secret), ApiError> {
    world.secret(input.text("SecretId")?).ok_or_else(|| {
        ApiError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    })
}

fn get_secret_value(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (name, secret) = find(world, input)?;
    let (id, stage) = (input.opt_text("VersionId")?, input.opt_text("VersionStage")?);
    let version = match id {
        Some(id) => secret.versions.iter().find(|v| v.id == id && stage.is_none_or(|s| v.stages.contains(s))),
        None => secret.staged(stage.unwrap_or(CURRENT)),
    };
    let version = version.ok_or_else(|| {
        let asked = id
            .map_or(format!("staging label: {}", stage.unwrap_or(CURRENT)), |id| format!("VersionId: {id}"));
        let message = format!("Secrets Manager can't find the specified secret value for {asked}");
        ApiError::new("ResourceNotFoundException", message)
    })?;
    Ok(Node::map([
        ("ARN", (&secret.arn).into()),
        ("Name", name.into()),
        ("VersionId", (&version.id).into()),
        ("SecretString", (&version.value).into()),
        ("VersionStages", Node::texts(version.stages.iter().cloned())),
        ("CreatedDate", version.created.into()),
    ]))
}

fn describe_secret(world: &World, input: &Node) -> Result<Node, ApiError> {
    let (name, secret) = find(world, input)?;
    Ok(describe(name, secret))
}

const PAGES: Pages = Pages {
    size: "MaxResults",
    token: "NextToken",
    most: 100,
    usual: 100,
    wrong_size: "InvalidParameterException",
    wrong_token: "InvalidNextTokenException",
};

fn list_secrets(world: &World, input: &Node) -> Result<Node, ApiError> {
    let mut listed = vec![];
    for (name, secret) in &world.secrets.all {
        if passes(name, secret, input.items("Filters")?)? {
            let mut node = describe(name, secret);
            let stages = node.get("VersionIdsToStages").clone();
            node.set("VersionIdsToStages", Node::Null);
            node.set("SecretVersionsToStages", stages);
            listed.push(node);
        }
    }
    let (page, token) = PAGES.cut(input, listed)?;
    Ok(Node::map([("SecretList", Node::List(page)), ("NextToken", token)]))
}

/// Filters of the kinds that are simulated; others are refused rather than ignored. Values match beginnings, a leading `!`
/// turns one round. Source: `Filter` of the Secrets Manager model.
fn passes(name: &str, secret: &Secret, filters: &[Node]) -> Result<bool, ApiError> {
    for filter in filters {
        let begins = |value: &str| match filter.text("Key")? {
            "name" => Ok(name.starts_with(value)),
            "description" => Ok(secret
                .description
                .as_ref()
                .is_some_and(|text| text.to_lowercase().starts_with(&value.to_lowercase()))),
            "tag-key" => Ok(secret.tags.keys().any(|key| key.starts_with(value))),
            "tag-value" => Ok(secret.tags.values().any(|text| text.starts_with(value))),
            _ => Err(ApiError::new("InvalidParameterException", "The filter key isn't simulated.")),
        };
        let mut any = false;
        for value in filter.text_items("Values")? {
            any |= match value.strip_prefix('!') {
                Some(unwanted) => !begins(unwanted)?,
                None => begins(&value)?,
            };
        }
        if !any {
            return Ok(false);
        }
    }
    Ok(true)
}

fn describe(name: &str, secret: &Secret) -> Node {
    let stages = secret.versions.iter().map(|v| (v.id.clone(), Node::texts(v.stages.iter().cloned())));
    Node::map([
        ("ARN", (&secret.arn).into()),
        ("Name", name.into()),
        ("Description", secret.description.clone().into()),
        ("LastChangedDate", secret.changed.into()),
        ("Tags", tags(&secret.tags)),
        ("VersionIdsToStages", Node::Map(stages.collect())),
        ("CreatedDate", secret.created.into()),
    ])
}

fn tags(tags: &BTreeMap<String, String>) -> Node {
    Node::list(tags.iter().map(|(k, v)| Node::map([("Key", k.into()), ("Value", v.into())])))
}

fn tag(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (name, arn) = find(world, input).map(|(name, secret)| (name.to_owned(), secret.arn.clone()))?;
    let mut given = vec![];
    for tag in input.items("Tags")? {
        given.push((tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned()));
    }
    if let Some(secret) = world.secrets.all.get_mut(&name) {
        secret.tags.extend(given);
    }
    world.note_effect("secretsmanager", "TagResource", &arn, "tags written".to_owned(), None);
    Ok(Node::empty())
}

fn untag(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let (name, arn) = find(world, input).map(|(name, secret)| (name.to_owned(), secret.arn.clone()))?;
    let keys = input.text_items("TagKeys")?;
    if let Some(secret) = world.secrets.all.get_mut(&name) {
        secret.tags.retain(|key, _| !keys.contains(key));
    }
    world.note_effect("secretsmanager", "UntagResource", &arn, "tags removed".to_owned(), None);
    Ok(Node::empty())
}

fn create_secret(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let name = input.text("Name")?.to_owned();
    if world.secrets.all.contains_key(&name) {
        let message = format!("The operation failed because the secret {name} already exists.");
        return Err(ApiError::new("ResourceExistsException", message));
    }
    let mut tags = BTreeMap::new();
    for tag in input.items("Tags")? {
        tags.insert(tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned());
    }
    let text = |key: &str| Ok::<_, ApiError>(input.opt_text(key)?.map(str::to_owned));
    let arn = world.create_secret(NewSecret {
        name: name.clone(),
        value: text("SecretString")?,
        version: text("ClientRequestToken")?,
        description: text("Description")?,
        tags,
    });
    world.note_effect("secretsmanager", "CreateSecret", &arn, "secret created".to_owned(), None);
    let version = world.secret(&arn).and_then(|(_, secret)| Some(secret.staged(CURRENT)?.id.clone()));
    Ok(Node::map([("ARN", arn.into()), ("Name", name.into()), ("VersionId", version.into())]))
}

fn put_secret_value(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let value = input.text("SecretString")?.to_owned();
    let asked = input.text_items("VersionStages")?;
    let stages: BTreeSet<String> =
        if asked.is_empty() { [CURRENT.to_owned()].into() } else { asked.into_iter().collect() };
    let (name, secret) = find(world, input)?;
    let (name, arn) = (name.to_owned(), secret.arn.clone());
    // The SDK fills the token, which becomes the version's id: a repeated write is the same version.
    let token = input.opt_text("ClientRequestToken")?.map(str::to_owned);
    let known = secret.versions.iter().find(|version| Some(&version.id) == token.as_ref());
    match known {
        Some(version) if version.value == value => Ok(put_answer(&arn, &name, version)),
        Some(_) => {
            let message = "You can't use ClientRequestToken that was used already with another secret value.";
            Err(ApiError::new("ResourceExistsException", message))
        }
        None => {
            let id = token.unwrap_or_else(|| world.request_id());
            let effect =
                format!("a new version is {}", stages.iter().cloned().collect::<Vec<_>>().join(", "));
            world.stage_secret(&name, id.clone(), &value, stages);
            world.note_effect("secretsmanager", "PutSecretValue", &arn, effect, None);
            let (_, secret) = find(world, input)?;
            let version = secret.versions.iter().find(|version| version.id == id);
            Ok(version.map_or_else(Node::empty, |version| put_answer(&arn, &name, version)))
        }
    }
}

fn put_answer(arn: &str, name: &str, version: &SecretVersion) -> Node {
    Node::map([
        ("ARN", arn.into()),
        ("Name", name.into()),
        ("VersionId", (&version.id).into()),
        ("VersionStages", Node::texts(version.stages.iter().cloned())),
    ])
}
