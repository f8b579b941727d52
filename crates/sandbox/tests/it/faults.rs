//! Armed faults: which call they strike and what the caller sees.

use aws_sdk_ssm::types::ParameterType;
use tidegate_sandbox::fault::{Action, Fault, Position};

use crate::support::{Stage, code};

async fn put(stage: &Stage, name: &str) -> String {
    // One attempt: what a fault does must not be hidden by the SDK's own retries.
    let once = aws_sdk_ssm::config::Config::builder()
        .retry_config(aws_sdk_ssm::config::retry::RetryConfig::disabled());
    let put = stage.ssm().put_parameter().name(name).value("v").r#type(ParameterType::String).overwrite(true);
    code(put.customize().config_override(once).send().await)
}

fn arm(stage: &Stage, nth: u64, position: Position, action: Action) {
    let fault = Fault { operation: Some("PutParameter".to_owned()), nth, position, action };
    stage.sandbox.faults().arm(fault);
}

#[tokio::test]
async fn the_nth_call_is_struck_once_before_or_after_its_effect() {
    let stage = Stage::empty();
    arm(&stage, 2, Position::BeforeEffect, Action::ServerError);
    arm(&stage, 3, Position::AfterEffect, Action::Disconnect);
    let mut seen = vec![];
    for name in ["/1", "/2", "/3", "/4"] {
        seen.push(put(&stage, name).await);
    }
    assert_eq!(seen, ["ok", "InternalFailure", "none", "ok"]);
    let objects: Vec<_> = stage.sandbox.audit().into_iter().map(|entry| entry.object).collect();
    assert_eq!(objects, ["/1", "/3", "/4"], "the third call had its effect although it was not answered");
}

#[tokio::test]
async fn status_writes_and_reads_are_never_counted() {
    let stage = Stage::empty();
    arm(&stage, 1, Position::BeforeEffect, Action::Throttle);
    assert_eq!(put(&stage, "/tidegate/a/status").await, "ok");
    assert_eq!(code(stage.ssm().get_parameter().name("/tidegate/a/status").send().await), "ok");
    assert_eq!(put(&stage, "/tidegate/a/hold").await, "ThrottlingException");
}

#[tokio::test]
async fn the_sdk_retries_a_server_error_and_the_effect_happens_once() {
    let stage = Stage::empty();
    arm(&stage, 1, Position::BeforeEffect, Action::ServerError);
    let put = stage.ssm().put_parameter().name("/a").value("v").r#type(ParameterType::String);
    assert_eq!(code(put.send().await), "ok");
    assert_eq!(stage.effects(), ["PutParameter"]);
}

#[tokio::test]
async fn a_stop_holds_every_call_until_the_faults_are_cleared() {
    for (position, first_applied, first_answer) in [
        (Position::BeforeEffect, false, "none"),
        (Position::AfterEffect, true, "none"),
        (Position::AfterReply, true, "ok"),
    ] {
        let stage = std::sync::Arc::new(Stage::empty());
        arm(&stage, 1, position, Action::Stop);
        let first = tokio::spawn({
            let stage = stage.clone();
            async move { put(&stage, "/1").await }
        });
        while stage.sandbox.faults().stopped_at().is_none() {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let stage = stage.clone();
            async move { put(&stage, "/2").await }
        });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!second.is_finished(), "a call went through while everything was stopped at {position:?}");
        assert_eq!(stage.effects().len(), usize::from(first_applied), "{position:?}");
        stage.sandbox.clear_faults();
        assert_eq!(first.await.unwrap(), first_answer, "{position:?}");
        assert_eq!(second.await.unwrap(), "ok");
    }
}
