//! Guards in process and in virtual time: what goes back though green looks no worse than blue, and what does not.

use jiff::SignedDuration;
use tidegate_model::{
    gate::Gate,
    status::Summary,
    verdict::{Check, Guard, Standing, Verdict},
};
use tidegate_tests::{
    database::{Database, schema_spec},
    stage::{Stage, WORLD, spec_with},
};

use crate::{
    schema::closed,
    verdict::{is_rolled_back, release, service, stays},
};

/// Until green serves with a third of the weight.
async fn halfway(stage: &mut Stage) {
    stage
        .play_until(SignedDuration::from_hours(1), |status| {
            status.rollout.green_weight.is_some_and(|w| w >= 30.0)
        })
        .await;
}

#[tokio::test]
async fn a_version_that_hurts_the_shared_database_is_held_and_then_goes_back() {
    let hurting = "error_share = 0.002\nsound_minutes = 8\nshared_error_share = 0.1";
    let mut stage = service(0.002, hurting).await;
    let suspect = |status: &tidegate_model::status::ReleaseStatus| {
        status.verdict.as_ref().is_some_and(|verdict| verdict.verdict == Verdict::Suspect)
    };
    stage.play_until(SignedDuration::from_hours(1), suspect).await;
    let verdict = stage.status().verdict.clone().expect("a verdict");
    let held = verdict.rules.iter().find(|rule| rule.standing == Standing::Suspect).expect("a rule");
    assert_eq!(held.guard, Some(Guard::BothFail), "{verdict:#?}");
    let finding = is_rolled_back(stage, "failed requests").await;
    assert_eq!((finding.guard, finding.failing_minutes), (Some(Guard::BothFail), 10), "{finding}");
}

#[tokio::test]
async fn an_incident_of_three_minutes_that_hits_both_colors_stays() {
    let mut stage = service(0.002, "error_share = 0.002").await;
    halfway(&mut stage).await;
    stage.sandbox.world().begin_incident(SignedDuration::from_mins(3), 0.3);
    stays(stage).await;
}

/// A service with an hour of history and a database, and version 2 of it to release under the check of connections.
async fn connected(version: &str) -> (Stage, Database) {
    let mut stage = Stage::of(&format!("{WORLD}\n[[images]]\nname = \"shop:v2\"\n{version}\n")).await;
    let database = Database::start(&stage).await;
    stage.pass_time(SignedDuration::from_hours(1));
    let mut spec: serde_json::Value = serde_json::from_str(&schema_spec(&stage, "shop:v2")).expect("a spec");
    spec["checks"] = serde_json::json!({ "databaseConnections": {} });
    spec["bake"] = "10m".into();
    stage.put("spec", &spec.to_string()).await;
    (stage, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_leaks_connections_goes_back_before_the_database_is_full() {
    let (mut stage, _database) = connected("leaked_connections = 9.0").await;
    stage.play_until(SignedDuration::from_hours(1), |status| status.summary == Summary::RollingBack).await;
    let evidence = stage.status().verdict.clone().and_then(|verdict| verdict.evidence).expect("evidence");
    let told = evidence.metrics.iter().find(|metric| metric.check == Check::DatabaseConnections);
    let now = told.and_then(|metric| metric.values).expect("connections").green;
    // The server allows a hundred.
    assert!(now < 90.0, "{now}");
    is_rolled_back(stage, "database connections").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_keeps_its_connections_stays() {
    let (mut stage, _database) = connected("").await;
    stage.play_until_settled(1).await;
    let verdict = stage.status().verdict.clone().expect("a verdict");
    let evidence = verdict.evidence.expect("evidence");
    let connections = evidence.metrics.iter().find(|metric| metric.check == Check::DatabaseConnections);
    assert!(connections.is_some_and(|metric| metric.factor < 0.0), "{evidence:#?}");
    assert!(
        verdict.rules.iter().any(|rule| rule.guard == Some(Guard::ConnectionsRunOut)),
        "{:#?}",
        verdict.rules
    );
}

const ALARMED: &str =
    r#""bake": "10m", "checks": { "metrics": { "pager": { "judge": { "alarm": "orders" } } } }"#;

/// The team's own alarm beside that of the deployment group.
fn with_alarm() -> String {
    let alarm = "\n[[alarms]]\nname = \"orders\"\nload_balancer = \"ecommerce\"\nmetric = \"HTTPCode_Target_5XX_Count\"\nthreshold = 1000000.0\nperiods = 1\n";
    format!("{WORLD}{alarm}")
}

#[tokio::test]
async fn a_version_under_which_the_teams_own_alarm_turns_red_goes_back() {
    let mut stage = Stage::of(&with_alarm()).await;
    stage.put("spec", &spec_with("shop:v2", ALARMED)).await;
    halfway(&mut stage).await;
    stage.sandbox.world().redden_alarm("orders", SignedDuration::from_mins(5));
    stage.play_until(SignedDuration::from_mins(30), |status| status.summary == Summary::RolledBack).await;
    let status = stage.status();
    let Some(Verdict::Fail(finding)) = status.verdict.as_ref().map(|told| &told.verdict) else {
        panic!("{:#?}", status.verdict)
    };
    assert_eq!(finding.to_string(), "alarm orders is red in 1 of 1 minutes");
    assert!(
        status.events.iter().any(|event| event.message.contains("alarm orders is red")),
        "{:#?}",
        status.events
    );
    stage.rest().await;
}

#[tokio::test]
async fn an_alarm_of_the_spec_that_does_not_exist_is_told_before_anything_begins() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec_with("shop:v2", ALARMED)).await;
    stage
        .play_until(SignedDuration::from_mins(10), |status| {
            closed(status, Gate::EngineReady).is_some_and(|told| told.contains("alarm orders does not exist"))
        })
        .await;
}

#[tokio::test]
async fn an_alarm_of_the_group_that_turns_red_in_the_shift_is_named() {
    let mut stage = service(0.002, "error_share = 0.002").await;
    halfway(&mut stage).await;
    stage.sandbox.world().redden_alarm("ecommerce-5xx", SignedDuration::from_mins(5));
    stage.pass().await;
    let told: Vec<&str> = stage.status().waiting.iter().map(|wait| wait.message.as_str()).collect();
    assert!(told.iter().any(|message| message.contains("alarm ecommerce-5xx is red")), "{told:#?}");
}

#[tokio::test]
async fn a_version_whose_tasks_hang_under_traffic_goes_back_within_minutes() {
    let hanging = "error_share = 0.002\nhangs_after_minutes = 5";
    let mut stage = release("error_share = 0.002", hanging, r#""bake": "10m""#).await;
    stage.play_until(SignedDuration::from_hours(1), |status| status.summary == Summary::RollingBack).await;
    let began = stage.status().rollout.green_weight;
    assert!(began.is_none_or(|weight| weight <= 40.0), "{began:?}");
    let finding = is_rolled_back(stage, "").await;
    assert!(
        [Some(Guard::NoHealthyTarget), Some(Guard::BalancerErrors)].contains(&finding.guard),
        "{finding:?}"
    );
}
