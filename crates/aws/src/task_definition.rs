//! Task definitions as JSON.
//!
//! The typed SDK drops members that it does not know, silently. So the raw description is kept, compared with the SDK's own
//! schema (what it does not know is named), and what is registered is sent as JSON as well: nothing gets lost between.

use std::sync::{Arc, Mutex};

use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition as Typed, Volume};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef, dyn_dispatch_hint},
        orchestrator::HttpRequest,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_schema::Schema;
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use serde_json::{Map, Value, json};
use tidegate_model::{
    decision::Register,
    revision::{RevisionArn, TaskDefinition, registrable},
};

/// The tag that carries the marker.
pub(crate) const MARKER_TAG: &str = "tidegate:marker";
/// The tag that carries the content's digest.
const DIGEST_TAG: &str = "tidegate:digest";

/// Keeps the body of a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeepBody(Arc<Mutex<Vec<u8>>>);

impl KeepBody {
    /// The body, as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        let body = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        serde_json::from_slice(&body).ok()
    }
}

#[dyn_dispatch_hint]
impl Intercept for KeepBody {
    fn name(&self) -> &'static str {
        "KeepBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bytes) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = bytes.to_vec();
        }
        Ok(())
    }
}

/// The task definition in a raw DescribeTaskDefinition answer.
pub(crate) fn described(answer: &Value) -> Option<TaskDefinition> {
    let definition = answer.get("taskDefinition")?;
    let tags = answer.get("tags").and_then(Value::as_array).into_iter().flatten();
    let marker = tags
        .filter(|tag| tag.get("key").and_then(Value::as_str) == Some(MARKER_TAG))
        .find_map(|tag| tag.get("value")?.as_str()?.parse().ok());
    Some(TaskDefinition {
        arn: RevisionArn(definition.get("taskDefinitionArn")?.as_str()?.to_owned()),
        active: definition.get("status").and_then(Value::as_str) == Some("ACTIVE"),
        content: registrable(definition),
        unknown_members: unknown_members(definition),
        marker,
    })
}

/// Members that the SDK's schema does not have, by path.
fn unknown_members(definition: &Value) -> Vec<String> {
    let mut unknown = unknown_in(definition, Typed::SCHEMA, "");
    for (list, schema) in [("containerDefinitions", ContainerDefinition::SCHEMA), ("volumes", Volume::SCHEMA)]
    {
        for item in definition.get(list).and_then(Value::as_array).into_iter().flatten() {
            unknown.extend(unknown_in(item, schema, &format!("{list}.")));
        }
    }
    unknown.sort();
    unknown.dedup();
    unknown
}

fn unknown_in(value: &Value, schema: &Schema<'_>, path: &str) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    members
        .filter(|(key, _)| schema.member_schema(key).is_none())
        .map(|(key, _)| format!("{path}{key}"))
        .collect()
}

/// Replaces the body of a RegisterTaskDefinition request with the wanted content, before it is signed.
pub(crate) fn registration(register: &Register) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    let mut content = register.content.as_object().cloned().unwrap_or_else(Map::new);
    let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
    content.insert(
        "tags".to_owned(),
        json!([tag(MARKER_TAG, &register.marker.to_string()), tag(DIGEST_TAG, register.digest.as_str())]),
    );
    let body = Value::Object(content).to_string();
    move |request: &mut HttpRequest| {
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_the_sdk_does_not_know_are_named() {
        let answer = json!({ "taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/shop:7", "status": "ACTIVE", "family": "shop",
            "quantumMode": true,
            "containerDefinitions": [{ "name": "app", "image": "shop:v1", "entangledWith": "x" }]
        }, "tags": [{ "key": "tidegate:marker", "value": "tidegate:shop/3-0a1b2c3d/i4" }] });
        let found = described(&answer).unwrap();
        assert_eq!(found.unknown_members, ["containerDefinitions.entangledWith", "quantumMode"]);
        assert_eq!(found.marker.unwrap().version.0, 3);
        assert!(found.active);
    }

    #[test]
    fn everything_that_ecs_describes_today_is_known() {
        let answer = json!({ "taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/shop:7", "status": "ACTIVE", "family": "shop", "revision": 7,
            "cpu": "256", "memory": "512", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "volumes": [{ "name": "v" }],
            "registeredAt": 1.0, "registeredBy": "x", "compatibilities": [], "requiresAttributes": [], "placementConstraints": [],
            "containerDefinitions": [{ "name": "app", "image": "shop:v1", "environment": [], "secrets": [], "portMappings": [], "healthCheck": {}, "logConfiguration": {} }]
        } });
        assert_eq!(described(&answer).unwrap().unknown_members, Vec::<String>::new());
    }
}
