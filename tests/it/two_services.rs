//! Two services over one database: one change at a time, and whoever waits says for whom.

use jiff::SignedDuration;
use serde_json::json;
use tidegate_model::gate::Gate;
use tidegate_tests::{
    database::{Database, INSTANCE, schema_spec},
    stage::{RELEASE, Stage, WORLD},
};

use crate::schema::{approval, closed, hours, plan, schema_phase};

/// A second service of the same shape beside the story's, over the same database.
const BILLING: &str = r#"
[[load_balancers]]
name = "billing"

[[target_groups]]
name = "billing-blue"
interval = 10
deregistration_delay = 30

[[target_groups]]
name = "billing-green"
interval = 10
deregistration_delay = 30

[[listeners]]
name = "billing-production"
load_balancer = "billing"
port = 8090
forward = { billing-blue = 1 }

[[listeners]]
name = "billing-test"
load_balancer = "billing"
port = 8091
forward = { billing-blue = 1 }

[[task_definitions]]
family = "billing"
container = "app"
image = "shop:v1"
port = 8080

[[services]]
cluster = "ecommerce"
name = "billing"
family = "billing"
desired = 2
target_group = "billing-blue"

[[alarms]]
name = "billing-5xx"
load_balancer = "billing"
metric = "HTTPCode_ELB_5XX_Count"
threshold = 1000000.0
periods = 5

[[deployment_groups]]
application = "billing"
name = "billing"
cluster = "ecommerce"
service = "billing"
config = "CodeDeployDefault.ECSLinear10PercentEvery3Minutes"
target_groups = ["billing-blue", "billing-green"]
production_listener = "billing-production"
test_listener = "billing-test"
ready_wait_minutes = 60
termination_wait_minutes = 120
alarms = ["billing-5xx"]
rollback_events = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]

[[traffic]]
listener = "billing-production"
requests_per_minute = 600.0
"#;

fn billing_spec(stage: &Stage) -> String {
    let secret = stage.sandbox.world().secret_arn("tidegate-ecommerce").expect("the secret");
    json!({
        "service": { "cluster": "ecommerce", "name": "billing" },
        "revision": { "container": "app", "image": "shop:v2" },
        "traffic": { "engine": "codedeploy", "application": "billing", "deploymentGroup": "billing",
                     "shift": { "linear": { "percent": 10, "every": "3m" } } },
        "bake": "10m",
        "schema": { "database": { "secret": secret, "instance": INSTANCE },
                    "change": "supplier-phone", "source": "ssm", "contract": "never" },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_service_waits_for_the_first_one_s_change_by_name_and_goes_on_after_its_purge() {
    let mut stage = Stage::of(&format!("{WORLD}{BILLING}")).await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until_settled(1).await;

    stage.turn_to("billing");
    stage.put("schema/1_expand_phone.sql", "ALTER TABLE public.suppliers ADD COLUMN phone text;").await;
    stage.put("spec", &billing_spec(&stage)).await;
    let named =
        |told: &String| told.contains("open in this database: structured-address of release ecommerce");
    stage
        .play_until(hours(1), |status| closed(status, Gate::OneChangePerDatabase).as_ref().is_some_and(named))
        .await;
    let phone = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.suppliers'::regclass AND attname = 'phone'";
    for _ in 0..6 {
        stage.pass_time(SignedDuration::from_mins(10));
        stage.pass().await;
        assert_eq!(database.count(phone).await, 0);
    }

    stage.turn_to(RELEASE);
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    stage.play_until_settled(2).await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.play_until(hours(6), |status| schema_phase(status) == "purged").await;

    stage.turn_to("billing");
    stage.play_until_settled(1).await;
    assert_eq!(database.count(phone).await, 1);
    stage.rest().await;
}
