//! Rollouts in process and in virtual time: the real controller, the real SDK, the sandbox.

use jiff::SignedDuration;
use tidegate_model::status::Summary;
use tidegate_tests::stage::{Stage, spec};

#[tokio::test]
async fn a_good_version_goes_from_parameter_to_settled() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until_settled(1).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
    let operations: Vec<String> = stage.effects().into_iter().map(|entry| entry.operation).collect();
    assert_eq!(
        operations,
        ["RegisterTaskDefinition", "CreateDeployment", "ContinueDeployment", "ContinueDeployment"]
    );
    stage.rest().await;
}

#[tokio::test]
async fn a_version_that_fails_under_traffic_is_rolled_back_by_the_verdict() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v4")).await;
    stage.play_until(SignedDuration::from_hours(2), |status| status.summary == Summary::RolledBack).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    let status = stage.status();
    assert_eq!(status.rollout.cause_reason.as_deref(), Some("verdict"), "{:#?}", status.events);
    stage.rest().await;
}
