//! Wrong calls get the codes that AWS gives, as the CLI shows them, and have no effect.

use super::{
    aws::Aws,
    story::{look_up, revision},
};

const GROUP: &str = "--application-name ecommerce-bluegreen --deployment-group-name ecommerce-bluegreen";
const NONE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

#[tokio::test(flavor = "multi_thread")]
async fn wrong_calls_are_refused_with_the_codes_of_aws() {
    let Some(aws) = Aws::story().await else { return };
    let names = look_up(&aws).await;
    aws.call("ssm put-parameter --type String --name /shop/once --value once", &[]).await;
    aws.call(
        "rds create-db-snapshot --db-instance-identifier ecommerce-db --db-snapshot-identifier once",
        &[],
    )
    .await;
    let effects = aws.audit().await;

    let (now, before) = (aws.minutes_from_now(0).await, aws.minutes_from_now(-5).await);
    let no_group = format!("{NONE}:targetgroup/none/0123456789abcdef");
    let to_no_group = format!("Type=forward,TargetGroupArn={no_group}");
    let no_listener = format!("{NONE}:listener/app/none/0123456789abcdef/0123456789abcdef");
    let to_blue = format!("Type=forward,TargetGroupArn={}", names.blue);
    let no_definition = revision("arn:aws:ecs:eu-west-1:123456789012:task-definition/ecommerce:99");
    let cases: [(&str, &[&str], &str); 18] = [
        ("ssm put-parameter --type String --name /shop/once --value twice", &[], "ParameterAlreadyExists"),
        ("ssm get-parameter --name /shop/none", &[], "ParameterNotFound"),
        ("ssm get-parameters-by-path --path shop", &[], "ValidationException"),
        ("ecs describe-task-definition --task-definition none", &[], "ClientException"),
        ("ecs describe-services --cluster none --services ecommerce", &[], "ClusterNotFoundException"),
        (
            "deploy create-deployment --application-name none --deployment-group-name none --revision",
            &[&no_definition],
            "ApplicationDoesNotExistException",
        ),
        (
            "deploy create-deployment --application-name ecommerce-bluegreen --deployment-group-name none --revision",
            &[&no_definition],
            "DeploymentGroupDoesNotExistException",
        ),
        (
            &format!("deploy create-deployment {GROUP} --revision"),
            &[&no_definition],
            "InvalidRevisionException",
        ),
        ("deploy get-deployment --deployment-id d-NONENONE9", &[], "DeploymentDoesNotExistException"),
        ("deploy get-deployment --deployment-id nonsense", &[], "InvalidDeploymentIdException"),
        ("deploy stop-deployment --deployment-id d-NONENONE9", &[], "DeploymentDoesNotExistException"),
        (
            "elbv2 modify-listener --listener-arn",
            &[&no_listener, "--default-actions", &to_blue],
            "ListenerNotFound",
        ),
        (
            "elbv2 modify-listener --listener-arn",
            &[&names.production, "--default-actions", &to_no_group],
            "TargetGroupNotFound",
        ),
        ("elbv2 describe-target-health --target-group-arn", &[&no_group], "TargetGroupNotFound"),
        (
            "cloudwatch get-metric-statistics --namespace AWS/RDS --metric-name CPUUtilization --period 60 --statistics Sum",
            &["--start-time", &now, "--end-time", &before],
            "InvalidParameterValue",
        ),
        (
            "rds create-db-snapshot --db-instance-identifier ecommerce-db --db-snapshot-identifier once",
            &[],
            "DBSnapshotAlreadyExists",
        ),
        (
            "rds create-db-snapshot --db-instance-identifier none --db-snapshot-identifier twice",
            &[],
            "DBInstanceNotFound",
        ),
        ("rds describe-db-snapshots --db-snapshot-identifier none", &[], "DBSnapshotNotFound"),
    ];
    for (arguments, more, code) in cases {
        assert_eq!(aws.refusal(arguments, more).await, code, "aws {arguments}");
    }
    assert_eq!(aws.audit().await, effects);
    aws.is_in_accordance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_neither_begun_twice_nor_stopped_twice() {
    let Some(aws) = Aws::story().await else { return };
    let revision = revision("ecommerce:1");
    let create = format!("deploy create-deployment {GROUP} --revision");
    let created = aws.call(&create, &[&revision]).await;
    let id = created["deploymentId"].as_str().unwrap();
    assert_eq!(aws.refusal(&create, &[&revision]).await, "DeploymentLimitExceededException");
    let stop = "deploy stop-deployment --no-auto-rollback-enabled --deployment-id";
    assert_eq!(aws.call(stop, &[id]).await["status"], "Succeeded");
    assert_eq!(aws.refusal(stop, &[id]).await, "DeploymentAlreadyCompletedException");
    aws.is_in_accordance().await;
}
