//! Eight versions in virtual time, four bad and four good, each judged by everything at once: failures, latency, targets, database
//! connections and a business metric. `tidegate verdicts` releases the same eight live.

use std::path::Path;

use tidegate_model::verdict::{Check, Finding};
use tidegate_tests::{
    database::{Database, INSTANCE},
    stage::{Stage, spec_with},
};

use crate::verdict::{checkouts, is_rolled_back, serving, stays};

/// How the service behaves that most of them are released on: a thousandth of its requests fails, one in five is a checkout.
fn service() -> String {
    format!("error_share = 0.001\nlatency = 0.06\n{}", checkouts(0.2))
}

/// Releases a version; the database lives as long as what is returned.
async fn release(before: &str, version: &str) -> (Stage, Database) {
    let stage = serving(before, version).await;
    let database = Database::start(&stage).await;
    stage.put("spec", &spec_with("shop:v9", &members(&stage))).await;
    (stage, database)
}

fn members(stage: &Stage) -> String {
    let secret = stage.sandbox.world().secret_arn("tidegate-ecommerce").expect("the secret");
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/migrations/structured-address");
    let migrations = migrations.canonicalize().expect("the migrations");
    format!(
        r#""bake": "10m",
  "checks": {{ "databaseConnections": {{}}, "metrics": {{ "checkouts": {{
    "namespace": "Shop", "metric": "Checkouts", "dimensions": {{ "Revision": "{{taskDefinition}}" }}, "judge": "drop" }} }} }},
  "schema": {{ "database": {{ "secret": "{secret}", "instance": "{INSTANCE}" }}, "change": "structured-address",
    "source": "file://{}", "contract": "never" }}"#,
        migrations.display()
    )
}

/// The version goes back; what was measured begins with these words.
async fn goes_back(version: &str, check: Check, measure: &str) -> Finding {
    let (stage, _database) = release(&service(), version).await;
    let finding = is_rolled_back(stage, measure).await;
    assert_eq!(finding.check, check);
    finding
}

/// The version stays, and the status says what spoke for it.
async fn settles(before: &str, version: &str) {
    let (stage, _database) = release(before, version).await;
    let stage = stays(stage).await;
    let verdict = stage.status().verdict.as_ref().expect("a verdict");
    let evidence = verdict.evidence.as_ref().expect("evidence");
    assert!(evidence.factor < evidence.limit && evidence.metrics.len() == 5, "{evidence:#?}");
    assert_eq!(verdict.message, "green is no worse than blue");
    assert!(evidence.to_string().contains(" of green's and "), "{evidence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_takes_connections_and_keeps_them_goes_back() {
    let leaking = format!("{}\nleaked_connections = 9.0", service());
    goes_back(&leaking, Check::DatabaseConnections, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_one_request_in_a_hundred_goes_back() {
    let failing = service().replace("error_share = 0.001", "error_share = 0.01");
    goes_back(&failing, Check::Errors, "failed requests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_twice_as_slow_goes_back() {
    let slow = service().replace("latency = 0.06", "latency = 0.12");
    goes_back(&slow, Check::Latency, "requests slower than").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_loses_half_of_the_checkouts_goes_back() {
    let losing = service().replace("share = 0.2", "share = 0.1");
    goes_back(&losing, Check::Metrics, "checkouts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_as_often_as_the_service_does_anyway_stays() {
    settles(&service(), &service()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_a_tenth_slower_and_sells_as_much_stays() {
    settles(&service(), &service().replace("latency = 0.06", "latency = 0.066")).await;
}

/// Fails one request in a hundred, six in a row.
fn noisy_service() -> String {
    format!("error_cluster = 6.0\n{}", service().replace("error_share = 0.001", "error_share = 0.01"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_in_clusters_as_the_service_always_did_stays() {
    settles(&noisy_service(), &noisy_service()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_less_than_its_predecessor_stays() {
    settles(&noisy_service(), &service()).await;
}
