//! What people ask besides a good spec: abort, hold, edits, deletions, and what is wrong with their texts.

use jiff::SignedDuration;
use tidegate_model::status::Summary;
use tidegate_tests::stage::{Stage, spec, spec_with};

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

async fn mid_shift(image: &str) -> Stage {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec(image)).await;
    stage.play_until(hours(2), |s| s.rollout.green_weight == Some(30.0)).await;
    stage
}

#[tokio::test]
async fn an_abort_mid_shift_goes_back_within_one_pass() {
    let mut stage = mid_shift("shop:v2").await;
    stage.put("abort", r#"{"spec": 1}"#).await;
    let report = stage.pass().await;
    let step = report.decision.and_then(|d| d.step).map(|s| s.as_str());
    assert_eq!(step, Some("stop-deployment"));
    stage.play_until(hours(1), |s| s.summary == Summary::RolledBack).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    assert_eq!(stage.status().rollout.cause_reason.as_deref(), Some("ordered"));
    stage.rest().await;
}

#[tokio::test]
async fn an_abort_of_what_has_settled_deploys_the_previous_revision_again() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until_settled(1).await;
    stage.put("abort", r#"{"spec": 1}"#).await;
    stage.play_until(hours(3), |s| s.summary == Summary::RolledBack).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    stage.rest().await;
}

#[tokio::test]
async fn a_failed_revision_is_retried_only_under_a_newer_spec_version() {
    let mut stage = mid_shift("shop:v2").await;
    stage.put("abort", r#"{"spec": 1}"#).await;
    stage.play_until(hours(1), |s| s.summary == Summary::RolledBack).await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until_settled(2).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
    stage.rest().await;
}

#[tokio::test]
async fn a_malformed_abort_holds_and_is_shown_and_a_stale_one_is_told_once() {
    let mut stage = Stage::new().await;
    stage.put("abort", "stop it!").await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(hours(1), |s| s.summary == Summary::Held).await;
    assert!(
        stage.status().waiting.iter().any(|w| w.reason.as_str() == "not-held"),
        "{:?}",
        stage.status().waiting
    );
    stage.put("abort", r#"{"spec": 99}"#).await;
    stage.pass().await;
    assert_eq!(stage.status().summary, Summary::Held);
    stage.delete("abort").await;
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test]
async fn a_hold_stops_new_forward_steps_and_nothing_else() {
    let mut stage = Stage::new().await;
    stage.put("hold", "freeze for the sale").await;
    stage.put("spec", &spec("shop:v4")).await;
    stage.play_until(hours(1), |s| s.summary == Summary::Held).await;
    assert_eq!(stage.effects().len(), 0);
    stage.delete("hold").await;
    stage.play_until(hours(2), |s| s.rollout.green_weight == Some(10.0)).await;
    stage.put_path("/tidegate/_fleet/hold", "all stop").await;
    // The shift goes on, and the verdict rolls back in spite of the hold.
    stage.play_until(hours(2), |s| s.rollout.phase == "rolled-back").await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
}

#[tokio::test]
async fn a_new_revision_before_the_first_weight_replaces_the_one_in_flight() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(hours(1), |s| s.rollout.phase == "provisioning").await;
    stage.put("spec", &spec("shop:v3")).await;
    stage.play_until_settled(2).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v3"));
    stage.rest().await;
}

#[tokio::test]
async fn a_new_revision_mid_shift_waits_until_the_one_in_flight_has_settled() {
    let mut stage = mid_shift("shop:v2").await;
    stage.put("spec", &spec("shop:v3")).await;
    stage.play_until(hours(3), |s| s.versions.in_flight.map(|v| v.0) == Some(2)).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"), "version 2 settled first");
    stage.play_until_settled(2).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v3"));
    stage.rest().await;
}

#[tokio::test]
async fn a_new_bake_takes_effect_in_flight() {
    let mut stage = mid_shift("shop:v2").await;
    stage.put("spec", &spec_with("shop:v2", r#""bake": "25m""#)).await;
    stage.play_until(hours(3), |s| s.rollout.phase == "baking").await;
    assert_eq!(stage.status().rollout.bake_seconds, Some(25 * 60));
    stage.play_until_settled(2).await;
    stage.rest().await;
}

#[tokio::test]
async fn an_invalid_spec_mid_shift_leaves_the_last_accepted_one_in_force() {
    let mut stage = mid_shift("shop:v2").await;
    stage.put("spec", r#"{"service": 5, "speed": "fast"}"#).await;
    stage.pass().await;
    let status = stage.status();
    assert_eq!(
        (status.versions.in_force.map(|v| v.0), status.versions.refused.map(|v| v.0)),
        (Some(1), Some(2))
    );
    assert!(status.problems.len() >= 3, "{:?}", status.problems);
    stage.play_until(hours(3), |s| s.rollout.phase == "settled").await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
    assert_eq!(stage.status().summary, Summary::Invalid);
    stage.rest().await;
}

#[tokio::test]
async fn a_deleted_spec_mid_shift_holds_and_never_scales_down_or_rolls_back() {
    let mut stage = mid_shift("shop:v2").await;
    stage.delete("spec").await;
    stage.pass().await;
    assert!(
        stage.status().waiting.iter().any(|w| w.reason.as_str() == "spec-gone"),
        "{:?}",
        stage.status().waiting
    );
    stage.pass_time(SignedDuration::from_mins(1));
    // Re-created: version 1 of a new incarnation, the same wish.
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until_settled(1).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
    stage.rest().await;
}

#[tokio::test]
async fn a_spec_deleted_at_rest_is_no_longer_managed() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until_settled(1).await;
    let before = stage.effects().len();
    stage.delete("spec").await;
    stage.pass().await;
    assert_eq!(stage.status().summary, Summary::Held, "it may be replaced");
    assert_eq!(stage.status().versions.in_force.map(|version| version.0), Some(1));
    stage.pass_time(SignedDuration::from_mins(2));
    stage.pass().await;
    assert_eq!(stage.status().versions.in_force, None);
    stage.pass().await;
    assert_eq!(stage.effects().len(), before);
}
