//! The model check itself, and every operation that the sandbox has under it.

use std::collections::BTreeSet;

use super::aws::Aws;
use crate::simulated;

/// Every operation in one process of botocore: the CLI would take a minute to start that often.
const EVERY_OPERATION: &str = include_str!("every_operation.py");

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_answers_more_than_its_model_has() {
    let Some(aws) = Aws::story().await else { return };
    let now = aws.now().await.as_second().to_string();
    let output = aws.command(&["-c", EVERY_OPERATION, &now]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = aws.checked();
    let called: BTreeSet<String> = checked.iter().map(|one| one.operation.clone()).collect();
    let not_called: Vec<_> = simulated::operations().difference(&called).cloned().collect();
    assert!(not_called.is_empty(), "{not_called:?}");
    let spoken: BTreeSet<String> = checked
        .into_iter()
        .filter(|one| one.operation.starts_with("cloudwatch:"))
        .map(|one| one.protocol)
        .collect();
    assert_eq!(spoken.into_iter().collect::<Vec<_>>(), ["json", "query", "smithy-rpc-v2-cbor"]);
    aws.is_in_accordance().await;
}

/// Responses as no service would send them, and what the check must say of each.
const WRONG: [(&str, &str, u16, &str, &str); 9] = [
    (
        "ssm",
        "PutParameter",
        200,
        r#"{"Version": 1, "Colour": "red"}"#,
        "PutParameterResult has no such member",
    ),
    ("ssm", "PutParameter", 200, r#"{"Version": "1"}"#, "'1' is no long"),
    ("ssm", "PutParameter", 200, r#"{"Tier": "Huge"}"#, "'Huge' is none of"),
    ("ssm", "GetParameters", 200, r#"{"Parameters": [{"Type": "String", "Hue": 1}]}"#, "Parameters[].Hue"),
    (
        "ssm",
        "GetParameter",
        400,
        r#"{"__type": "NoSuchThing", "message": ""}"#,
        "NoSuchThing: no error of GetParameter",
    ),
    (
        "codedeploy",
        "ListDeployments",
        200,
        r#"{"deployments": [], "total": 0}"#,
        "ListDeploymentsOutput.total",
    ),
    (
        "rds",
        "DescribeDBSnapshots",
        200,
        r#"<r:DescribeDBSnapshotsResponse xmlns:r="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBSnapshotsResult><DBSnapshots><member/></DBSnapshots></DescribeDBSnapshotsResult><ResponseMetadata><RequestId/></ResponseMetadata></r:DescribeDBSnapshotsResponse>"#,
        "an item is called member and not DBSnapshot",
    ),
    (
        "elbv2",
        "ModifyListener",
        200,
        r#"<r:ModifyListenerResponse xmlns:r="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><ModifyListenerResult><Colour/></ModifyListenerResult></r:ModifyListenerResponse>"#,
        "ModifyListenerOutput has no such member",
    ),
    (
        "rds",
        "CreateDBSnapshot",
        404,
        "<ErrorResponse><Error><Code>DBSnapshotNotFoundFault</Code></Error><RequestId/></ErrorResponse>",
        "DBSnapshotNotFoundFault: no error of CreateDBSnapshot",
    ),
];

/// Checks the responses that its argument lists.
const CHECK: &str = r#"
import json, sys
import awscli, botocore.session
import modelcheck
session = botocore.session.get_session()
for service, operation, status, body, _ in json.loads(sys.argv[1]):
    model = session.get_service_model(service).operation_model(operation)
    modelcheck.check(model, {"status_code": status, "headers": {}, "body": body.encode()})
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_model_check_finds_what_the_model_does_not_have() {
    let Some(aws) = Aws::story().await else { return };
    let wrong = serde_json::to_string(&WRONG).unwrap();
    let output = aws.command(&["-c", CHECK, &wrong]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = aws.checked();
    assert_eq!(checked.len(), WRONG.len());
    for (found, (service, operation, status, _, finding)) in checked.iter().zip(WRONG) {
        assert_eq!((&found.operation, found.status), (&format!("{service}:{operation}"), status));
        assert!(found.findings.iter().any(|said| said.contains(finding)), "{finding}: {found:?}");
    }
}
