//! The daemon is killed at every mutating call of the golden run, at each of three positions, and started again: the
//! release finishes, and each effect happened exactly once.

use tidegate_sandbox::fault::{Action, Fault, Position};
use tidegate_tests::stage::{Stage, spec};

/// What a good version does to AWS, in order.
const GOLDEN: [&str; 4] =
    ["RegisterTaskDefinition", "CreateDeployment", "ContinueDeployment", "ContinueDeployment"];

async fn killed_at_every_call(position: Position) {
    for (i, operation) in GOLDEN.iter().enumerate() {
        let mut stage = Stage::new().await;
        stage.put("spec", &spec("shop:v2")).await;
        stage.sandbox.faults().arm(Fault {
            operation: None,
            nth: i as u64 + 1,
            position,
            action: Action::Stop,
        });
        stage.play_until_killed().await;
        stage.play_until_settled(1).await;
        let operations: Vec<String> = stage.effects().into_iter().map(|entry| entry.operation).collect();
        assert_eq!(operations, GOLDEN, "killed at {operation} ({position:?})");
        assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
        assert_eq!(stage.pass().await.decision.expect("a decision").step, None);
    }
}

#[tokio::test]
async fn killed_when_the_call_was_received_and_not_applied() {
    killed_at_every_call(Position::BeforeEffect).await;
}

#[tokio::test]
async fn killed_after_the_effect() {
    killed_at_every_call(Position::AfterEffect).await;
}

#[tokio::test]
async fn killed_after_the_reply() {
    killed_at_every_call(Position::AfterReply).await;
}

#[tokio::test]
async fn a_lost_ledger_mid_shift_adopts_what_is_in_flight() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage.play_until(jiff::SignedDuration::from_hours(2), |s| s.rollout.green_weight == Some(40.0)).await;
    stage.lose_ledger().await;
    stage.play_until_settled(1).await;
    let operations: Vec<String> = stage.effects().into_iter().map(|entry| entry.operation).collect();
    assert_eq!(operations, GOLDEN);
    stage.rest().await;
}

#[tokio::test]
async fn a_lost_ledger_in_the_bake_adopts_and_bakes_anew() {
    let mut stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    stage
        .play_until(jiff::SignedDuration::from_hours(2), |s| s.rollout.baked_seconds.is_some_and(|b| b > 300))
        .await;
    stage.lose_ledger().await;
    stage.play_until(jiff::SignedDuration::from_hours(1), |s| s.rollout.phase == "baking").await;
    assert!(stage.status().rollout.baked_seconds.is_some_and(|baked| baked < 60));
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test]
async fn errors_and_throttling_on_mutating_calls_end_in_one_effect_each() {
    for action in [Action::ServerError, Action::Throttle, Action::Disconnect] {
        for position in [Position::BeforeEffect, Position::AfterEffect] {
            let mut stage = Stage::new().await;
            stage.put("spec", &spec("shop:v2")).await;
            for nth in 1..=4 {
                // Each call is struck once; what follows a struck call counts on.
                stage.sandbox.faults().arm(Fault { operation: None, nth: nth * 2 - 1, position, action });
            }
            stage.play_until_settled(1).await;
            let mut operations: Vec<String> =
                stage.effects().into_iter().map(|entry| entry.operation).collect();
            operations.dedup();
            assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"), "{action:?} {position:?}");
            assert_eq!(
                operations.iter().filter(|o| *o == "CreateDeployment").count(),
                1,
                "{action:?} {position:?}: {operations:?}"
            );
        }
    }
}
