//! Verdicts in process and in virtual time, beyond the [eight versions](crate::eight_versions): one check at a time, on a service
//! that fails a little by itself.

use crate::command_line::{out, run};
use jiff::SignedDuration;
use tidegate_model::{
    status::Summary,
    verdict::{Check, Finding, Verdict},
};
use tidegate_tests::stage::{RELEASE, Stage, WORLD, spec_with};

/// What is put into the spec's checks where a test says nothing else.
const METRICS: &str = r#""bake": "10m", "checks": { "metrics": {
    "checkouts": { "namespace": "Shop", "metric": "Checkouts", "dimensions": { "Revision": "{taskDefinition}" }, "judge": "drop" },
    "connections": { "namespace": "AWS/RDS", "metric": "DatabaseConnections", "statistic": "Average",
                     "dimensions": { "DBInstanceIdentifier": "ecommerce-db" }, "judge": { "above": 90 } } } }"#;

/// A version's checkouts as a share of its requests.
pub(crate) fn checkouts(share: f64) -> String {
    r#"counted = [{ namespace = "Shop", metric = "Checkouts", share = SHARE, dimensions = { Revision = "{taskDefinition}" } }]"#
        .replace("SHARE", &format!("{share:?}"))
}

/// A service at 3 000 requests a minute with three hours of history: image `shop:v1` serves, `shop:v9` is there to be released.
pub(crate) async fn serving(before: &str, version: &str) -> Stage {
    let world = WORLD.replace("requests_per_minute = 600.0", "requests_per_minute = 3000.0");
    let images =
        format!("\n[[images]]\nname = \"shop:v1\"\n{before}\n\n[[images]]\nname = \"shop:v9\"\n{version}\n");
    let mut stage = Stage::of(&format!("{world}{images}")).await;
    stage.pass_time(SignedDuration::from_hours(3));
    stage
}

/// The same with that version released.
pub(crate) async fn release(before: &str, version: &str, members: &str) -> Stage {
    let stage = serving(before, version).await;
    stage.put("spec", &spec_with("shop:v9", members)).await;
    stage
}

/// The same with nothing but failures, a share of which is the service's own.
pub(crate) async fn service(own: f64, version: &str) -> Stage {
    release(&format!("error_share = {own:?}"), version, r#""bake": "10m""#).await
}

/// It goes back by evidence on what is counted so.
async fn is_rolled_back_by_the_evidence(stage: Stage, counted: &str) {
    let finding = is_rolled_back(stage, counted).await;
    assert!(finding.factor.is_some_and(|factor| factor >= 3.0), "{finding:?}");
}

/// It goes back, the status says why, and the world is at rest.
pub(crate) async fn is_rolled_back(mut stage: Stage, measure: &str) -> Finding {
    stage.play_until(SignedDuration::from_hours(2), |status| status.summary == Summary::RolledBack).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    let status = stage.status();
    assert_eq!(status.rollout.cause_reason.as_deref(), Some("verdict"), "{:#?}", status.events);
    let verdict = status.verdict.clone().expect("a verdict");
    let Verdict::Fail(finding) = &verdict.verdict else { panic!("{verdict:#?}") };
    let told = match (finding.guard, &finding.measure) {
        (Some(_), _) => finding.to_string(),
        (None, Some(measure)) => measure.clone(),
        (None, None) => "failed requests".to_owned(),
    };
    assert!(told.starts_with(measure), "{finding:?}");
    let evidence = verdict.evidence.expect("evidence");
    assert!(evidence.metrics.iter().all(|metric| metric.green_requests > 0.0), "{evidence:#?}");
    assert!(evidence.metrics.iter().all(|metric| !metric.calibration.is_empty()), "{evidence:#?}");
    is_judged_again_from_the_ledger(&stage, finding);
    stage.rest().await;
    finding.clone()
}

/// The command line reads the ledger beside the daemon and comes to the same finding.
fn is_judged_again_from_the_ledger(stage: &Stage, finding: &Finding) {
    let ledger = stage.ledger().to_str().expect("a path");
    let replay = run(&["judge", "--from-ledger", RELEASE, "--ledger", ledger], "");
    assert_eq!(replay.status.code(), Some(4), "{replay:?}");
    let told = out(&replay);
    assert_eq!(told.lines().last(), Some(format!("fail: {finding}").as_str()), "{told}");
}

pub(crate) async fn stays(mut stage: Stage) -> Stage {
    stage.play_until_settled(1).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v9"));
    stage.rest().await;
    stage
}

#[tokio::test]
async fn five_times_as_many_failures_as_the_service_has_anyway_go_back() {
    is_rolled_back_by_the_evidence(service(0.004, "error_share = 0.02").await, "failed requests").await;
}

#[tokio::test]
async fn a_version_that_begins_to_fail_late_in_the_ramp_goes_back() {
    let late = "error_share = 0.002\nlater_error_share = 0.05\nsound_minutes = 12";
    is_rolled_back_by_the_evidence(service(0.002, late).await, "failed requests").await;
}

#[tokio::test]
async fn a_version_that_leaks_connections_goes_back_by_the_teams_own_limit() {
    let leaking = format!("leaked_connections = 9.0\n{}", checkouts(0.05));
    let finding = is_rolled_back(release(&checkouts(0.05), &leaking, METRICS).await, "connections").await;
    assert!(finding.measured > 90.0 && finding.limit == 90.0, "{finding:?}");
}

#[tokio::test]
async fn a_version_that_counts_no_checkout_at_all_goes_back() {
    let stage = release(&checkouts(0.05), "", METRICS).await;
    is_rolled_back_by_the_evidence(stage, "checkouts").await;
}

#[tokio::test]
async fn a_check_on_trial_says_what_it_would_have_done_and_decides_nothing() {
    let members = r#""bake": "10m", "checks": { "latency": { "dryRun": true } }"#;
    let stage = stays(release("latency = 0.06", "latency = 0.12", members).await).await;
    let verdict = stage.status().verdict.as_ref().expect("a verdict");
    assert!(verdict.dry_run.iter().any(|finding| finding.check == Check::Latency), "{verdict:#?}");
}
