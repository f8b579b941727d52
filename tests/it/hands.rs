//! Hands on the world: a listener edited behind our back, a foreign deployment, settings that cannot give what is asked.

use jiff::SignedDuration;
use tidegate_model::status::Summary;
use tidegate_tests::stage::{Stage, WORLD, spec, spec_with};

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[tokio::test]
async fn a_listener_edited_in_the_bake_freezes_every_write_until_it_is_put_back() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(hours(2), |s| s.rollout.phase == "baking").await;
    let before = stage.effects().len();
    stage.edit_listener(50, 50).await;
    stage.play_until(hours(1), |s| s.waiting.iter().any(|w| w.reason.as_str() == "listener-edited")).await;
    for _ in 0..30 {
        stage.pass_time(SignedDuration::from_secs(60));
        stage.pass().await;
    }
    assert_eq!(stage.effects().len(), before, "nothing is written while the listener is edited");
    // Blue was the first of the pair when the world began.
    stage.edit_listener(0, 100).await;
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test]
async fn a_listener_that_stays_edited_goes_back_before_aws_deletes_the_serving_tasks() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(hours(2), |s| s.rollout.phase == "baking").await;
    stage.edit_listener(50, 50).await;
    stage.play_until(hours(3), |s| s.summary == Summary::RolledBack).await;
    assert_eq!(stage.status().rollout.cause_reason.as_deref(), Some("freeze-over"));
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    stage.rest().await;
}

#[tokio::test]
async fn a_listener_edited_at_rest_stops_the_next_release_before_it_begins() {
    let mut stage = Stage::new().await;
    stage.edit_listener(50, 50).await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(hours(1), |s| s.waiting.iter().any(|w| w.reason.as_str() == "listener-edited")).await;
    assert_eq!(stage.effects().len(), 0);
    stage.edit_listener(100, 0).await;
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test]
async fn a_group_that_cannot_keep_the_bake_closes_a_gate_with_the_setting_to_change() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec_with("shop:v2", r#""bake": "24h""#)).await;
    stage.play_until(hours(1), |s| s.waiting.iter().any(|w| w.reason.as_str() == "engine-ready")).await;
    let message = &stage.status().waiting[0].message;
    assert!(message.contains("terminationWaitTimeInMinutes of at least 1485"), "{message}");
    assert_eq!(stage.effects().len(), 0);
    // The team asks for less, and it goes.
    stage.put("spec", &spec_with("shop:v2", r#""bake": "30m""#)).await;
    stage.play_until_settled(2).await;
}

#[tokio::test]
async fn without_a_ready_wait_nothing_is_started() {
    let world = WORLD.replace("ready_wait_minutes = 60\n", "");
    let mut stage = Stage::of(&world).await;
    stage.put("spec", &spec("shop:v2")).await;
    stage
        .play_until(hours(1), |s| s.waiting.iter().any(|w| w.message.contains("deploymentReadyOption")))
        .await;
    assert_eq!(stage.effects().len(), 0);
}

#[tokio::test]
async fn a_revision_whose_tasks_never_become_healthy_rolls_back_without_a_failed_request() {
    for image in ["shop:sick", "shop:gone"] {
        let mut stage = Stage::new().await;
        stage.put("spec", &spec(image)).await;
        stage.play_until(hours(3), |s| s.summary == Summary::RolledBack).await;
        assert_eq!(stage.status().rollout.cause_reason.as_deref(), Some("deployment-ended"));
        assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
        stage.rest().await;
    }
}

#[tokio::test]
async fn a_custom_shift_gets_a_config_of_its_own_once() {
    let mut stage = Stage::new().await;
    let custom = |image: &str| {
        spec(image).replace(r#""percent": 10, "every": "3m""#, r#""percent": 25, "every": "2m""#)
    };
    stage.put("spec", &custom("shop:v2")).await;
    stage.play_until_settled(1).await;
    stage.put("spec", &custom("shop:v3")).await;
    stage.play_until_settled(2).await;
    let configs = stage.effects().into_iter().filter(|e| e.operation == "CreateDeploymentConfig").count();
    assert_eq!(configs, 1);
    stage.rest().await;
}
