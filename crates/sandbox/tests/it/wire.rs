//! The wire protocols, as SDKs, boto3 and the AWS CLI send them; and the request log.

use std::io::Write;

use bytes::Bytes;
use http::{Request, Response};

use crate::support::{Stage, code};

async fn send(stage: &Stage, request: http::request::Builder, body: impl Into<Bytes>) -> Response<Bytes> {
    stage.sandbox.answer(request.body(body.into()).unwrap()).await.unwrap()
}

fn json(target: &str) -> http::request::Builder {
    Request::post("/").header("x-amz-target", target).header("content-type", "application/x-amz-json-1.1")
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[tokio::test]
async fn every_service_answers_its_sdk_client() {
    let stage = Stage::story();
    let identity = stage.sts().get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("123456789012"));
    assert!(stage.elb().describe_load_balancers().send().await.unwrap().load_balancers().len() == 1);
    let services = stage.ecs().describe_services().cluster("ecommerce").services("ecommerce").send();
    assert_eq!(services.await.unwrap().services()[0].running_count, 2);
    let group = stage
        .codedeploy()
        .get_deployment_group()
        .application_name("ecommerce-bluegreen")
        .deployment_group_name("ecommerce-bluegreen");
    assert!(group.send().await.unwrap().deployment_group_info.is_some());
    assert_eq!(stage.cloudwatch().describe_alarms().send().await.unwrap().metric_alarms().len(), 1);
    let asked: Vec<_> =
        stage.sandbox.requests().into_iter().map(|r| format!("{}:{}", r.service, r.operation)).collect();
    assert_eq!(
        asked,
        [
            "sts:GetCallerIdentity",
            "elasticloadbalancing:DescribeLoadBalancers",
            "ecs:DescribeServices",
            "codedeploy:GetDeploymentGroup",
            "cloudwatch:DescribeAlarms"
        ]
    );
    assert!(stage.effects().is_empty(), "reads have no effect");
}

#[tokio::test]
async fn json_errors_carry_the_type_and_a_request_id() {
    let stage = Stage::empty();
    let response = send(&stage, json("AmazonSSM.GetParameter"), r#"{"Name":"/none"}"#).await;
    assert_eq!(response.status(), 400);
    assert!(text(&response).contains(r#""__type":"ParameterNotFound""#));
    assert!(response.headers().contains_key("x-amzn-requestid"));
}

#[tokio::test]
async fn what_is_not_modelled_is_refused_with_400_and_never_with_500() {
    let stage = Stage::empty();
    let cases = [
        (json("AmazonSSM.GetAutomationExecution"), "{}"),
        (json("AmazonSSM.GetParameter"), "{"),
        (json("AmazonSSM.GetParameter"), "{\"Name\":7}"),
        (json("AmazonNothing.GetParameter"), "{}"),
        (Request::post("/"), "Action=Nothing&Version=2015-12-01"),
        (Request::post("/"), "Action=DescribeLoadBalancers&Version=1999-01-01"),
        (Request::post("/"), ""),
        (Request::get("/favicon.ico"), ""),
        (
            Request::post("/service/GraniteServiceVersion20100801/operation/Nothing")
                .header("smithy-protocol", "rpc-v2-cbor"),
            "",
        ),
        (Request::post("/service/x").header("smithy-protocol", "rpc-v2-cbor"), "\u{1}"),
    ];
    for (request, body) in cases {
        let response = send(&stage, request, body).await;
        assert_eq!(response.status(), 400, "{body}: {}", String::from_utf8_lossy(response.body()));
    }
}

#[tokio::test]
async fn query_errors_have_the_wire_code_and_not_the_shape_name() {
    let stage = Stage::story();
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/none/0123456789abcdef";
    let health = stage.elb().describe_target_health().target_group_arn(arn).send().await;
    assert_eq!(code(health), "TargetGroupNotFound");
    let body = "Action=DescribeTargetHealth&Version=2015-12-01";
    let response = send(&stage, Request::post("/"), body).await;
    assert!(text(&response).contains("<Code>ValidationError</Code>"), "{}", text(&response));
}

#[tokio::test]
async fn cloudwatch_answers_json_and_query_clients_too() {
    let stage = Stage::story();
    let request = Request::post("/")
        .header("x-amz-target", "GraniteServiceVersion20100801.DescribeAlarms")
        .header("content-type", "application/x-amz-json-1.0");
    let response = send(&stage, request, "{}").await;
    assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.0");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["MetricAlarms"][0]["AlarmName"], "ecommerce-5xx");

    let response = send(&stage, Request::post("/"), "Action=DescribeAlarms&Version=2010-08-01").await;
    assert!(text(&response).contains("<MetricAlarms><member><AlarmName>ecommerce-5xx</AlarmName>"));

    let request = Request::post("/")
        .header("x-amz-target", "GraniteServiceVersion20100801.SetAlarmState")
        .header("content-type", "application/x-amz-json-1.0");
    let body = r#"{"AlarmName":"none","StateValue":"OK","StateReason":"r"}"#;
    let response = send(&stage, request, body).await;
    assert_eq!(response.headers()["x-amzn-query-error"], "ResourceNotFound;Sender");
}

#[tokio::test]
async fn gzipped_bodies_are_read() {
    let stage = Stage::empty();
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(br#"{"Name":"/a","Value":"v","Type":"String"}"#).unwrap();
    let request = json("AmazonSSM.PutParameter").header("content-encoding", "gzip");
    let response = send(&stage, request, gzip.finish().unwrap()).await;
    assert_eq!(response.status(), 200, "{}", text(&response));
    assert_eq!(stage.effects(), ["PutParameter"]);
}
