//! What the service does by itself: learned before any release, kept in the ledger, told to people, and read economically.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::status::{CalibrationStatus, ReleaseStatus};
use tidegate_tests::stage::{Stage, WORLD, spec};

/// Calls of a full history: the last day and eight stretches before it.
const HISTORY_CALLS: usize = 9;

/// The story's service at 3 000 requests a minute, its images as given.
async fn service(zones: u8, image: &str) -> Stage {
    let world = WORLD.replace("requests_per_minute = 600.0", "requests_per_minute = 3000.0");
    let world = world.replace("zones = 2", &format!("zones = {zones}"));
    let images = ["shop:v1", "shop:v9"].map(|name| format!("\n[[images]]\nname = \"{name}\"\n{image}\n"));
    let mut stage = Stage::of(&format!("{world}{}", images.concat())).await;
    stage.pass_time(SignedDuration::from_hours(24));
    stage
}

/// Settled under a spec that asks for what serves already, until its history was looked at.
async fn settled(stage: &mut Stage) -> CalibrationStatus {
    stage.put("spec", &spec("shop:v1")).await;
    let looked_at = |status: &ReleaseStatus| status.rollout.calibration.is_some();
    stage.play_until(SignedDuration::from_mins(30), looked_at).await;
    calibration(stage)
}

fn calibration(stage: &Stage) -> CalibrationStatus {
    stage.status().rollout.calibration.clone().expect("a calibration")
}

/// When each read of metrics was made.
fn reads(stage: &Stage) -> Vec<Timestamp> {
    let of_metrics = |request: &tidegate_sandbox::audit::RequestEntry| request.operation == "GetMetricData";
    stage.sandbox.requests().iter().filter(|request| of_metrics(request)).map(|request| request.at).collect()
}

#[tokio::test]
async fn a_service_whose_zones_differ_is_told_so_and_its_good_version_stays() {
    let mut stage = service(2, "error_share = 0.01\nerror_zones = [1.0, 1.6]").await;
    let told = settled(&mut stage).await;
    assert_eq!(told.zones, 2);
    assert!(told.minutes > 1_400 && (2_900.0..3_100.0).contains(&told.requests_per_minute), "{told:?}");
    assert!(told.message.contains("% apart for minutes at a time"), "{told:?}");
    assert!(told.message.starts_with("it fails in 0.997 % of requests by itself"), "{told:?}");

    stage.put("spec", &spec("shop:v9")).await;
    stage.play_until_settled(2).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v9"));
    assert_eq!(calibration(&stage).at, told.at, "the release began with what was known");
    stage.rest().await;
}

#[tokio::test]
async fn a_service_in_one_zone_is_calibrated_as_a_whole() {
    let mut stage = service(1, "error_share = 0.01").await;
    let told = settled(&mut stage).await;
    assert_eq!(told.zones, 0);
    let words = "it fails in 0.997 % of requests by itself, one failure apart from another; by 1440 minutes since 2026-11-23, zones not told apart";
    assert_eq!(told.message, words);
    stage.rest().await;
}

#[tokio::test]
async fn a_restarted_daemon_knows_the_service_and_looks_again_only_the_next_day() {
    let mut stage = service(2, "error_share = 0.01").await;
    let told = settled(&mut stage).await;
    assert_eq!(reads(&stage).len(), HISTORY_CALLS);

    stage.restart().await;
    for _ in 0..20 {
        stage.pass_time(SignedDuration::from_hours(1));
        stage.pass().await;
    }
    assert_eq!((calibration(&stage), reads(&stage).len()), (told.clone(), HISTORY_CALLS));

    stage.pass_time(SignedDuration::from_hours(4));
    stage.pass().await;
    let again = calibration(&stage);
    assert!(again.at > told.at && again.minutes > told.minutes, "{again:?}");
    assert_eq!(reads(&stage).len(), 2 * HISTORY_CALLS);
    stage.rest().await;
}

#[tokio::test]
async fn a_lost_ledger_costs_one_more_look() {
    let mut stage = service(2, "error_share = 0.01").await;
    let told = settled(&mut stage).await;
    stage.lose_ledger().await;
    let looked_at = |status: &ReleaseStatus| status.rollout.calibration.is_some();
    stage.play_until(SignedDuration::from_mins(30), looked_at).await;
    assert!(calibration(&stage).at > told.at);
    assert_eq!(reads(&stage).len(), 2 * HISTORY_CALLS);
}

#[tokio::test]
async fn a_release_of_a_service_that_was_never_looked_at_looks_first() {
    let mut stage = service(2, "error_share = 0.01").await;
    stage.put("spec", &spec("shop:v9")).await;
    stage.play_until(SignedDuration::from_hours(1), |status| !status.rollout.detectable.is_empty()).await;
    assert_eq!(calibration(&stage).zones, 2);
    assert!(stage.status().rollout.green_weight.is_none_or(|weight| weight == 0.0), "before any traffic");
}

#[tokio::test]
async fn a_pass_of_a_shifting_release_asks_once_a_minute() {
    let mut stage = service(2, "error_share = 0.01").await;
    settled(&mut stage).await;
    stage.put("spec", &spec("shop:v9")).await;
    stage.play_until(SignedDuration::from_hours(1), |status| status.rollout.phase == "shifting").await;
    let since = stage.sandbox.now();
    let mut passes = 0;
    while stage.sandbox.now() < since + SignedDuration::from_mins(10) {
        stage.pass_time(SignedDuration::from_secs(10));
        stage.pass().await;
        passes += 1;
    }
    assert!(passes >= 60);
    let mut by_minute: BTreeMap<i64, usize> = BTreeMap::new();
    for at in reads(&stage).into_iter().filter(|at| *at > since) {
        *by_minute.entry(at.as_second().div_euclid(60)).or_default() += 1;
    }
    assert!(by_minute.len() >= 9 && by_minute.values().all(|calls| *calls == 1), "{by_minute:?}");
}
