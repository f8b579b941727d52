//! Revisions: an exact task definition, known by the digest of its canonical content.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, name::Marker};

/// The full ARN of a task definition revision, `arn:aws:ecs:...:task-definition/<family>:<revision>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionArn(pub String);

impl RevisionArn {
    /// `family:revision`, as people say it.
    pub fn short(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, tail)| tail)
    }

    /// The family, without the revision number.
    pub fn family(&self) -> &str {
        self.short().rsplit_once(':').map_or(self.short(), |(family, _)| family)
    }
}

impl fmt::Display for RevisionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// What a spec lays over the serving task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The container to change.
    pub container: String,
    /// Its new image.
    pub image: String,
    /// Environment variables to add or replace.
    pub environment: BTreeMap<String, String>,
}

/// A task definition as ECS describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Its ARN.
    pub arn: RevisionArn,
    /// False once it was deregistered: such a revision cannot be deployed anew.
    pub active: bool,
    /// What can be registered again: the described members less those that ECS sets itself (see [`registrable`]).
    pub content: Value,
    /// Members of the description that the SDK does not know. Laying an image over such a base would drop them silently,
    /// so it is refused.
    pub unknown_members: Vec<String>,
    /// Our marker, if we registered it.
    pub marker: Option<Marker>,
}

/// The overlay names a container that the base does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the base task definition has no container of the name that the spec gives")]
pub struct NoSuchContainer;

impl TaskDefinition {
    /// The digest of its content: two revisions with the same digest run the same thing.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&self.content)
    }

    /// ARNs of Secrets Manager secrets that its containers take, without the JSON key suffix.
    pub fn secrets(&self) -> Vec<String> {
        self.containers()
            .flat_map(|container| container.get("secrets").and_then(Value::as_array).into_iter().flatten())
            .filter_map(|secret| secret.get("valueFrom").and_then(Value::as_str))
            .map(|value_from| value_from.splitn(8, ':').take(7).collect::<Vec<_>>().join(":"))
            .collect()
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.content.get("containerDefinitions").and_then(Value::as_array).into_iter().flatten()
    }

    /// The content with `overlay` laid over it; laying the same overlay twice changes nothing.
    pub fn overlaid(&self, overlay: &Overlay) -> Result<Value, NoSuchContainer> {
        let mut content = self.content.clone();
        let container = content
            .get_mut("containerDefinitions")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .find(|c| c.get("name").and_then(Value::as_str) == Some(&overlay.container))
            .ok_or(NoSuchContainer)?;
        container.insert("image".into(), Value::String(overlay.image.clone()));
        overlay_environment(container, &overlay.environment);
        Ok(registrable(&content))
    }
}

fn overlay_environment(container: &mut Map<String, Value>, wanted: &BTreeMap<String, String>) {
    if wanted.is_empty() {
        return;
    }
    let mut all: BTreeMap<String, String> = container
        .get("environment")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|pair| {
            Some((pair.get("name")?.as_str()?.to_owned(), pair.get("value")?.as_str()?.to_owned()))
        })
        .collect();
    all.extend(wanted.iter().map(|(k, v)| (k.clone(), v.clone())));
    let pairs = all
        .into_iter()
        .map(|(name, value)| {
            Value::Object(Map::from_iter([("name".into(), name.into()), ("value".into(), value.into())]))
        })
        .collect();
    container.insert("environment".into(), Value::Array(pairs));
}

/// Members that ECS adds to a description and that RegisterTaskDefinition does not take.
/// Source: the shapes `TaskDefinition` and `RegisterTaskDefinitionRequest` of the ECS model.
const SET_BY_ECS: [&str; 8] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "deregisteredAt",
    "registeredBy",
];

/// The registrable part of a described task definition, in canonical form: members set by ECS removed, nulls and empty
/// lists and maps removed (ECS describes an absent list as an empty one), environment sorted by name.
pub fn registrable(description: &Value) -> Value {
    let mut content = pruned(description);
    if let Some(map) = content.as_object_mut() {
        for member in SET_BY_ECS {
            map.remove(member);
        }
    }
    for container in
        content.get_mut("containerDefinitions").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(list) = container.get_mut("environment").and_then(Value::as_array_mut) {
            list.sort_by_key(|pair| pair.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
        }
    }
    crate::digest::canonical(&content)
}

fn pruned(value: &Value) -> Value {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match value {
        Value::Object(map) => Value::Object(
            map.iter().map(|(k, v)| (k.clone(), pruned(v))).filter(|(_, v)| !empty(v)).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> TaskDefinition {
        TaskDefinition {
            arn: RevisionArn("arn:aws:ecs:eu-west-1:1:task-definition/shop:7".into()),
            active: true,
            content: registrable(&json!({
                "family": "shop", "revision": 7, "status": "ACTIVE", "volumes": [],
                "containerDefinitions": [{ "name": "app", "image": "shop:v1", "environment": [{"name":"B","value":"2"},{"name":"A","value":"1"}],
                    "secrets": [{"name":"DB","valueFrom":"arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf:password::"}] }]
            })),
            unknown_members: vec![],
            marker: None,
        }
    }

    #[test]
    fn laying_an_image_over_twice_changes_nothing() {
        let overlay = Overlay {
            container: "app".into(),
            image: "shop:v2".into(),
            environment: BTreeMap::from([("A".into(), "9".into())]),
        };
        let once = base().overlaid(&overlay).unwrap();
        let again = TaskDefinition { content: once.clone(), ..base() }.overlaid(&overlay).unwrap();
        assert_eq!(once, again);
        assert_ne!(Digest::of_json(&once), base().digest());
        assert_eq!(once["containerDefinitions"][0]["environment"][0], json!({"name":"A","value":"9"}));
        assert!(once.get("revision").is_none() && once.get("volumes").is_none());
    }

    #[test]
    fn a_missing_container_is_refused() {
        let overlay = Overlay { container: "web".into(), image: "x".into(), environment: BTreeMap::new() };
        assert_eq!(base().overlaid(&overlay), Err(NoSuchContainer));
    }

    #[test]
    fn secrets_are_named_without_their_json_key() {
        assert_eq!(base().secrets(), ["arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf"]);
    }

    #[test]
    fn an_arn_is_said_by_family_and_revision() {
        assert_eq!((base().arn.short(), base().arn.family()), ("shop:7", "shop"));
    }
}
