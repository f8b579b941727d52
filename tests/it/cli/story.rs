//! A release by hand, as an operator of a shop without Tidegate would do it.

use serde_json::{Value, json};

use super::aws::Aws;

const GROUP: &str = "--application-name ecommerce-bluegreen --deployment-group-name ecommerce-bluegreen";

/// What the release needs to know about the account.
pub(super) struct Names {
    pub(super) production: String,
    pub(super) blue: String,
    pub(super) green: String,
}

pub(super) async fn look_up(aws: &Aws) -> Names {
    let balancers = aws.call("elbv2 describe-load-balancers --names ecommerce", &[]).await;
    let balancer = balancers["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
    let listeners = aws.call("elbv2 describe-listeners --load-balancer-arn", &[&balancer]).await;
    let listeners = listeners["Listeners"].as_array().unwrap();
    let production = listeners.iter().find(|listener| listener["Port"] == 8080).unwrap();
    let groups = aws.call("elbv2 describe-target-groups --names ecommerce-blue ecommerce-green", &[]).await;
    let group = |name: &str| {
        let found = groups["TargetGroups"].as_array().unwrap().iter().find(|g| g["TargetGroupName"] == name);
        found.unwrap()["TargetGroupArn"].as_str().unwrap().to_owned()
    };
    Names {
        production: production["ListenerArn"].as_str().unwrap().to_owned(),
        blue: group("ecommerce-blue"),
        green: group("ecommerce-green"),
    }
}

/// The weights of blue and green at a listener; a group that is not named has none.
async fn weights(aws: &Aws, names: &Names) -> (i64, i64) {
    let listeners = aws.call("elbv2 describe-listeners --listener-arns", &[&names.production]).await;
    let groups = &listeners["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"];
    let weight = |arn: &str| {
        let found = groups.as_array().unwrap().iter().find(|group| group["TargetGroupArn"] == arn);
        found.map_or(0, |group| group["Weight"].as_i64().unwrap())
    };
    (weight(&names.blue), weight(&names.green))
}

async fn deployment(aws: &Aws, id: &str) -> Value {
    aws.call("deploy get-deployment --deployment-id", &[id]).await["deploymentInfo"].clone()
}

async fn deployments(aws: &Aws) -> Vec<String> {
    let listed = aws.call(&format!("deploy list-deployments {GROUP}"), &[]).await;
    serde_json::from_value(listed["deployments"].clone()).unwrap()
}

/// Healthy targets of a group.
async fn healthy(aws: &Aws, group: &str) -> usize {
    let health = aws.call("elbv2 describe-target-health --target-group-arn", &[group]).await;
    let targets = health["TargetHealthDescriptions"].as_array().unwrap();
    targets.iter().filter(|target| target["TargetHealth"]["State"] == "healthy").count()
}

/// The story's application with another image, registered from the definition that runs.
async fn register(aws: &Aws, image: &str) -> String {
    let running = aws.call("ecs describe-task-definition --task-definition ecommerce", &[]).await;
    let mut containers = running["taskDefinition"]["containerDefinitions"].clone();
    containers[0]["image"] = json!(image);
    let registered = aws
        .call(
            "ecs register-task-definition --family ecommerce --requires-compatibilities FARGATE --cpu 256 --memory 512 \
             --network-mode awsvpc --tags key=why,value=test --container-definitions",
            &[&containers.to_string()],
        )
        .await;
    let definition = &registered["taskDefinition"];
    assert_eq!(definition["revision"], 2);
    let arn = definition["taskDefinitionArn"].as_str().unwrap().to_owned();
    let described = aws.call("ecs describe-task-definition --include TAGS --task-definition", &[&arn]).await;
    assert_eq!(described["taskDefinition"], *definition);
    assert_eq!(described["tags"], json!([{ "key": "why", "value": "test" }]));
    assert_eq!(described["taskDefinition"]["containerDefinitions"], containers);
    arn
}

/// AppSpec content in a revision, as `--revision` takes it.
pub(super) fn revision(task_definition: &str) -> String {
    let app_spec = json!({
        "version": 0.0,
        "Resources": [{ "TargetService": {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": task_definition,
                "LoadBalancerInfo": { "ContainerName": "app", "ContainerPort": 8080 },
            },
        } }],
    });
    let content = json!({ "content": app_spec.to_string() });
    json!({ "revisionType": "AppSpecContent", "appSpecContent": content }).to_string()
}

/// Creates a deployment and lets it come to where traffic may begin to shift.
async fn deploy_until_ready(aws: &Aws, task_definition: &str) -> String {
    let created = aws
        .call(
            &format!("deploy create-deployment --description by-hand {GROUP} --revision"),
            &[&revision(task_definition)],
        )
        .await;
    let id = created["deploymentId"].as_str().unwrap().to_owned();
    aws.jump("10m").await;
    let shown = deployment(aws, &id).await;
    assert_eq!((&shown["status"], &shown["creator"]), (&json!("Ready"), &json!("user")));
    assert_eq!(shown["description"], "by-hand");
    assert!(shown.get("rollbackInfo").is_none(), "{shown}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_by_hand_is_stopped_and_rolled_back() {
    let Some(aws) = Aws::story().await else { return };
    let names = look_up(&aws).await;
    assert_eq!(weights(&aws, &names).await, (1, 0));
    let arn = register(&aws, "shop:v2").await;
    let id = deploy_until_ready(&aws, &arn).await;
    aws.call("deploy continue-deployment --deployment-wait-type READY_WAIT --deployment-id", &[&id]).await;
    aws.jump("4m").await;
    assert_eq!(deployment(&aws, &id).await["status"], "InProgress");
    assert_eq!(weights(&aws, &names).await, (80, 20), "two steps of ten percent, three minutes apart");
    assert_eq!((healthy(&aws, &names.blue).await, healthy(&aws, &names.green).await), (2, 2));

    let stop = "deploy stop-deployment --auto-rollback-enabled --deployment-id";
    assert_eq!(aws.call(stop, &[&id]).await["status"], "Pending");
    let stopped = deployment(&aws, &id).await;
    assert_eq!(stopped["status"], "Stopped");
    assert_eq!(stopped["errorInformation"]["code"], "MANUAL_STOP");
    let rollback_id = stopped["rollbackInfo"]["rollbackDeploymentId"].as_str().unwrap().to_owned();
    assert_ne!(rollback_id, id);
    assert_eq!(deployments(&aws).await, [rollback_id.clone(), id.clone()], "newest first");

    aws.jump("5m").await;
    let rollback = deployment(&aws, &rollback_id).await;
    assert_eq!(rollback["creator"], "codeDeployRollback");
    assert_eq!(rollback["status"], "Succeeded");
    assert_eq!(rollback["rollbackInfo"]["rollbackTriggeringDeploymentId"], id.as_str());
    let (blue, green) = weights(&aws, &names).await;
    assert!(blue > 0 && green == 0, "the listener is back: {blue} and {green}");
    assert_eq!(healthy(&aws, &names.blue).await, 2);
    assert_eq!(healthy(&aws, &names.green).await, 0, "green's tasks are gone");
    let services = aws.call("ecs describe-services --cluster ecommerce --services ecommerce", &[]).await;
    let service = &services["services"][0];
    assert!(
        service["taskDefinition"].as_str().unwrap().ends_with(":task-definition/ecommerce:1"),
        "{service}"
    );
    assert_eq!((&service["runningCount"], &service["pendingCount"]), (&json!(2), &json!(0)));
    assert_eq!(service["taskSets"].as_array().unwrap().len(), 1);
    aws.is_in_accordance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_keeps_the_weights_that_were_written() {
    let Some(aws) = Aws::story().await else { return };
    let names = look_up(&aws).await;
    let written = json!([{
        "Type": "forward",
        "ForwardConfig": { "TargetGroups": [
            { "TargetGroupArn": names.blue, "Weight": 90 },
            { "TargetGroupArn": names.green, "Weight": 10 },
        ] },
    }])
    .to_string();
    let arguments = ["--listener-arn", names.production.as_str(), "--default-actions", &written];
    let answered = aws.call("elbv2 modify-listener", &arguments).await;
    assert_eq!(answered["Listeners"][0]["ListenerArn"], names.production.as_str());
    assert_eq!(weights(&aws, &names).await, (90, 10));
    let back = format!("Type=forward,TargetGroupArn={}", names.blue);
    let arguments = ["--listener-arn", names.production.as_str(), "--default-actions", &back];
    aws.call("elbv2 modify-listener", &arguments).await;
    assert_eq!(weights(&aws, &names).await, (1, 0));
    aws.is_in_accordance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_below_a_path_are_what_was_put() {
    let Some(aws) = Aws::story().await else { return };
    for name in ["a", "b", "c"] {
        let name = format!("/shop/by-hand/{name}");
        let put = aws.call("ssm put-parameter --type String --value", &["one value", "--name", &name]).await;
        assert_eq!((&put["Version"], &put["Tier"]), (&json!(1), &json!("Standard")));
    }
    let put = ["a second value", "--name", "/shop/by-hand/c"];
    let put = aws.call("ssm put-parameter --overwrite --type String --value", &put).await;
    assert_eq!(put["Version"], 2);
    let listed = aws.call("ssm get-parameters-by-path --path /shop/by-hand --page-size 2", &[]).await;
    let listed = listed["Parameters"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3, "the CLI asked for the second page by itself");
    assert_eq!((&listed[0]["Value"], &listed[0]["Name"]), (&json!("one value"), &json!("/shop/by-hand/a")));
    assert_eq!((&listed[2]["Value"], &listed[2]["Version"]), (&json!("a second value"), &json!(2)));
    let above = aws.call("ssm get-parameters-by-path --path /shop", &[]).await;
    assert_eq!(above["Parameters"], json!([]), "only recursively");
    aws.is_in_accordance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_the_traffic_that_passed() {
    let Some(aws) = Aws::story().await else { return };
    aws.jump("10m").await;
    let balancers = aws.call("elbv2 describe-load-balancers", &[]).await;
    let arn = balancers["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
    let balancer = arn.split_once(":loadbalancer/").unwrap().1;
    let window = [aws.minutes_from_now(-8).await, aws.minutes_from_now(-3).await];
    let window = ["--start-time", window[0].as_str(), "--end-time", window[1].as_str()];
    let dimension = format!("Name=LoadBalancer,Value={balancer}");
    let mut arguments = vec!["--dimensions", dimension.as_str()];
    arguments.extend(window);
    let statistics = aws
        .call(
            "cloudwatch get-metric-statistics --namespace AWS/ApplicationELB --metric-name RequestCount --period 60 \
             --statistics Sum",
            &arguments,
        )
        .await;
    assert_eq!(statistics["Label"], "RequestCount");
    let sums: Vec<f64> = statistics["Datapoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["Sum"].as_f64().unwrap())
        .collect();
    assert!(sums.len() >= 5, "{statistics}");
    assert!(sums.iter().all(|sum| (300.0..900.0).contains(sum)), "600 requests a minute: {sums:?}");

    let metric = json!({
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCount",
        "Dimensions": [{ "Name": "LoadBalancer", "Value": balancer }],
    });
    let stat = json!({ "Metric": metric, "Period": 60, "Stat": "Sum" });
    let queries =
        json!([{ "Id": "all", "MetricStat": stat }, { "Id": "twice", "Expression": "all * 2" }]).to_string();
    let mut arguments = vec!["--metric-data-queries", queries.as_str()];
    arguments.extend(window);
    let data = aws.call("cloudwatch get-metric-data --scan-by TimestampAscending", &arguments).await;
    let values = |index: usize| -> Vec<f64> {
        serde_json::from_value(data["MetricDataResults"][index]["Values"].clone()).unwrap()
    };
    let mut sorted = (sums, values(0));
    sorted.0.sort_by(f64::total_cmp);
    sorted.1.sort_by(f64::total_cmp);
    assert_eq!(sorted.0, sorted.1, "both calls tell of the same minutes");
    assert_eq!(values(1), values(0).iter().map(|value| value * 2.0).collect::<Vec<_>>());
    aws.is_in_accordance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_its_time_and_is_then_available() {
    let Some(aws) = Aws::story().await else { return };
    let create = "rds create-db-snapshot --db-instance-identifier ecommerce-db --db-snapshot-identifier by-hand \
                  --tags Key=why,Value=test";
    let created = aws.call(create, &[]).await["DBSnapshot"].clone();
    assert_eq!(created["Status"], "creating");
    assert_eq!(created["TagList"], json!([{ "Key": "why", "Value": "test" }]));
    let describe = "rds describe-db-snapshots --db-snapshot-identifier by-hand";
    assert!(aws.call(describe, &[]).await["DBSnapshots"][0]["PercentProgress"].as_i64().unwrap() < 100);
    aws.jump("30m").await;
    let found = aws.call(describe, &[]).await["DBSnapshots"].clone();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!((&found[0]["Status"], &found[0]["PercentProgress"]), (&json!("available"), &json!(100)));
    assert_eq!(found[0]["DBSnapshotArn"], created["DBSnapshotArn"]);
    aws.is_in_accordance().await;
}
