//! What keeps a step that is due from being proposed: a call in doubt, and a refusal that is young.

use tidegate_model::decision::Step;

use super::{super::world::ago, *};
use crate::draft::CALL_MAY_LAND;

#[test]
fn a_call_in_doubt_keeps_its_like_waiting_and_no_other_that_goes_back() {
    let in_doubt = |word: &str, mut sketch: Sketch| {
        let index = Step::WORDS.iter().position(|known| *known == word).unwrap();
        sketch.ledger.doubt = Some((index, true));
        build(&sketch).decide()
    };
    let stopping = in_flight(Phase::Stopping, DeploymentStatus::Ready, false);
    let decision = in_doubt("continue-traffic", stopping.clone());
    assert_eq!(word(&decision), Some("stop-deployment"), "it may land after the stop, and finds nothing");
    let decision = in_doubt("stop-deployment", stopping);
    assert_eq!(word(&decision), None);
    let wait = told(&decision, Reason::InDoubt).unwrap();
    assert_eq!(wait.message, "whether stop-deployment had its effect is not known yet");
    assert_eq!(wait.deadline, Some(ago(10) + CALL_MAY_LAND));
}

/// What is decided so many milliseconds after the last of so many refusals.
fn refused(sketch: &Sketch, count: u32, milliseconds: i64) -> Decision {
    let mut sketch = sketch.clone();
    sketch.ledger.refusals = Some(count);
    let mut world = build(&sketch);
    let last = world.now - SignedDuration::from_millis(milliseconds);
    world.state.refusals.as_mut().unwrap().last = last;
    world.decide()
}

#[test]
fn what_was_refused_is_tried_again_after_a_pause_that_doubles_and_differs_from_release_to_release() {
    let forward = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    let tries = |count, milliseconds| word(&refused(&forward, count, milliseconds)).is_some();
    for (count, pause) in [(1, 3_040), (2, 7_520), (20, 279_000)] {
        assert!(!tries(count, pause - 1), "{count} refusals, {pause} ms");
        assert!(tries(count, pause), "{count} refusals, {pause} ms");
    }
}

#[test]
fn a_way_back_that_is_refused_is_tried_again_every_quarter_of_a_minute_and_every_minute_at_last() {
    let back = in_flight(Phase::Stopping, DeploymentStatus::InProgress, false);
    let tries = |count, seconds: i64| word(&refused(&back, count, seconds * 1_000)).is_some();
    let waits = |count| (0..=60).find(|seconds| tries(count, *seconds)).expect("at last it is tried");
    assert!(waits(1) <= 4, "{}", waits(1));
    for count in [7, 8] {
        assert!((11..=15).contains(&waits(count)), "{}", waits(count));
    }
    for count in [9, 20] {
        assert!((45..=60).contains(&waits(count)), "{}", waits(count));
    }
}

#[test]
fn what_was_refused_more_than_eight_times_is_told_also_while_it_is_tried_once_more() {
    let forward = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    let is_told = |count| {
        let decision = refused(&forward, count, 300_000);
        assert!(word(&decision).is_some());
        told(&decision, Reason::Refused).is_some()
    };
    assert!(!is_told(7) && !is_told(8));
    assert!(is_told(9) && is_told(20));
}
