//! The AppSpec text of an ECS deployment, JSON or YAML, checked as CodeDeploy checks it.

use serde_json::Value;

use crate::error::ApiError;

/// What an AppSpec asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AppSpec {
    pub task_definition: String,
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidRevisionException", message)
}

/// Reads an AppSpec.
pub(super) fn read(text: &str) -> Result<AppSpec, ApiError> {
    if text.is_empty() {
        return Err(invalid("The AppSpec content is empty"));
    }
    let value: Value = serde_json::from_str(text)
        .ok()
        .or_else(|| serde_saphyr::from_str(text).ok())
        .ok_or_else(|| invalid("The AppSpec content is neither JSON nor YAML"))?;
    let version = value.get("version").and_then(|v| v.as_f64().or_else(|| v.as_str()?.parse().ok()));
    if version != Some(0.0) {
        return Err(invalid("The AppSpec version must be 0.0"));
    }
    let resources = value.get("Resources").or(value.get("resources")).and_then(Value::as_array);
    let service = resources.and_then(|all| all.first()).and_then(|first| first.get("TargetService"));
    let Some(service) = service else {
        return Err(invalid("The AppSpec has no Resources with a TargetService"));
    };
    if service.get("Type").and_then(Value::as_str) != Some("AWS::ECS::Service") {
        return Err(invalid("The TargetService must be of the type AWS::ECS::Service"));
    }
    let text_at = |pointer: &str| service.pointer(pointer).and_then(Value::as_str);
    let Some(task_definition) = text_at("/Properties/TaskDefinition") else {
        return Err(invalid("The TargetService has no TaskDefinition"));
    };
    let port = service.pointer("/Properties/LoadBalancerInfo/ContainerPort");
    let port = port.and_then(|p| p.as_u64().or_else(|| p.as_str()?.parse().ok()));
    if text_at("/Properties/LoadBalancerInfo/ContainerName").is_none() || port.is_none() {
        return Err(invalid(
            "The TargetService has no LoadBalancerInfo with ContainerName and ContainerPort",
        ));
    }
    Ok(AppSpec { task_definition: task_definition.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_say_the_same() {
        let json = r#"{"version":0.0,"Resources":[{"TargetService":{"Type":"AWS::ECS::Service","Properties":{"TaskDefinition":"arn:x:1","LoadBalancerInfo":{"ContainerName":"app","ContainerPort":8080}}}}]}"#;
        let yaml = "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n        TaskDefinition: \"arn:x:1\"\n        LoadBalancerInfo:\n          ContainerName: \"app\"\n          ContainerPort: 8080\n";
        assert_eq!(read(json).unwrap(), read(yaml).unwrap());
    }

    #[test]
    fn what_codedeploy_would_refuse_is_refused() {
        for text in ["", "{", "{}", r#"{"version":1.0}"#, r#"{"version":0.0,"Resources":[]}"#] {
            assert_eq!(read(text).unwrap_err().code, "InvalidRevisionException", "{text}");
        }
    }
}
