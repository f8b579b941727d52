//! Verdicts in process and in virtual time: which versions go back, and which good ones stay, on a service that fails a little
//! by itself.

use jiff::SignedDuration;
use tidegate_model::{status::Summary, verdict::Verdict};
use tidegate_tests::stage::{Stage, WORLD, spec};

/// A service at 3 000 requests a minute of which a share fails anyway, with three hours of history, and one version to release.
async fn service(own: f64, version: &str) -> Stage {
    let world = WORLD.replace("requests_per_minute = 600.0", "requests_per_minute = 3000.0");
    let images = format!(
        "\n[[images]]\nname = \"shop:v1\"\nerror_share = {own:?}\n\n[[images]]\nname = \"shop:v9\"\n{version}\n"
    );
    let mut stage = Stage::of(&format!("{world}{images}")).await;
    stage.pass_time(SignedDuration::from_hours(3));
    stage.put("spec", &spec("shop:v9")).await;
    stage
}

async fn is_rolled_back_by_the_evidence(mut stage: Stage) {
    stage.play_until(SignedDuration::from_hours(2), |status| status.summary == Summary::RolledBack).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
    let status = stage.status();
    assert_eq!(status.rollout.cause_reason.as_deref(), Some("verdict"), "{:#?}", status.events);
    let verdict = status.verdict.as_ref().expect("a verdict");
    let Verdict::Fail(finding) = &verdict.verdict else { panic!("{verdict:#?}") };
    assert!(finding.factor.is_some_and(|factor| factor >= 3.0), "{finding:?}");
    let evidence = verdict.evidence.as_ref().expect("evidence");
    assert!(evidence.green_failures > 0.0 && !evidence.calibration.is_empty(), "{evidence:#?}");
    stage.rest().await;
}

#[tokio::test]
async fn one_percent_failing_goes_back_from_a_service_that_hardly_ever_fails() {
    is_rolled_back_by_the_evidence(service(0.0002, "error_share = 0.01").await).await;
}

#[tokio::test]
async fn five_times_as_many_failures_as_the_service_has_anyway_go_back() {
    is_rolled_back_by_the_evidence(service(0.004, "error_share = 0.02").await).await;
}

#[tokio::test]
async fn a_version_that_begins_to_fail_late_in_the_ramp_goes_back() {
    let late = "error_share = 0.002\nlater_error_share = 0.05\nsound_minutes = 12";
    is_rolled_back_by_the_evidence(service(0.002, late).await).await;
}

#[tokio::test]
async fn a_version_that_fails_as_often_as_the_service_does_anyway_stays() {
    let mut stage = service(0.01, "error_share = 0.01").await;
    stage.play_until_settled(1).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v9"));
    stage.rest().await;
}

#[tokio::test]
async fn a_version_that_fails_less_than_its_predecessor_stays() {
    let mut stage = service(0.02, "error_share = 0.001").await;
    stage.play_until_settled(1).await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v9"));
    stage.rest().await;
}
