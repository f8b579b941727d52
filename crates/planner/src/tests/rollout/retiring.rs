//! From the call that removes blue to the end: for as long as it had no effect going back is as quick as before, and afterwards an
//! abort and a newer version win over a green that became unwell.

use tidegate_model::{
    fact::Why,
    gate::Gate,
    observation::{TaskSet, TaskSetStatus},
};

use super::{
    super::{
        golden::baked,
        sketch::{AbortText, Minutes, Serving, SpecText},
        world::{ago, blue_group},
    },
    *,
};

/// Blue was let go so many seconds ago, if the call was taken, and CodeDeploy still waits.
fn let_go(sent: Option<i64>) -> Sketch {
    let mut sketch = baked();
    let flight = sketch.rollout.as_mut().unwrap();
    (flight.phase, flight.sent.2) = (Phase::Retiring, sent);
    sketch
}

/// CodeDeploy has removed blue, and green has become unwell since.
fn unwell() -> Sketch {
    let mut sketch = let_go(Some(60));
    sketch.rollout.as_mut().unwrap().confirmations = 1;
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.health = Fact::Known(false);
    sketch.traffic.deployments = sketch.traffic.deployments.clone().map(|mut all| {
        all.ours = Some((DeploymentStatus::Succeeded, true, false));
        all
    });
    sketch
}

#[test]
fn the_call_that_removes_blue_is_made_again_if_it_was_not_taken_or_had_no_effect_for_five_minutes() {
    for (sent, step) in [(None, true), (Some(299), false), (Some(300), true)] {
        let decision = build(&let_go(sent)).decide();
        assert_eq!(word(&decision), step.then_some("continue-termination"), "sent {sent:?} seconds ago");
        assert!(told(&decision, Reason::Retiring).is_some());
    }
}

#[test]
fn an_abort_stops_the_deployment_as_long_as_the_call_that_removes_blue_had_no_effect() {
    for (sent, back) in [(None, true), (Some(299), false), (Some(300), true)] {
        let mut sketch = let_go(sent);
        sketch.asked.abort = Fact::Known(AbortText::InForce);
        let decision = build(&sketch).decide();
        assert_eq!(turns_back(&decision), back.then_some(&Cause::Ordered), "sent {sent:?} seconds ago");
        assert_eq!(word(&decision), back.then_some("stop-deployment"));
    }
    let mut doubtful = let_go(None);
    doubtful.asked.abort = Fact::Known(AbortText::InForce);
    let termination =
        tidegate_model::decision::Step::WORDS.iter().position(|word| *word == "continue-termination");
    doubtful.ledger.doubt = Some((termination.unwrap(), true));
    let decision = build(&doubtful).decide();
    assert_eq!((turns_back(&decision), word(&decision)), (None, None), "blue may be going");
}

#[test]
fn blue_is_not_let_go_again_for_a_green_that_fails_or_that_nobody_could_judge_or_under_a_hold() {
    let changed = |change: fn(&mut Sketch)| {
        let mut sketch = let_go(None);
        change(&mut sketch);
        build(&sketch).decide()
    };
    let fails = changed(|sketch| sketch.traffic.minutes = Fact::Known(Minutes::GreenFails));
    assert!(matches!(turns_back(&fails), Some(Cause::Verdict(_))));
    assert_eq!(word(&fails), Some("stop-deployment"));
    let unread = changed(|sketch| sketch.traffic.minutes = Fact::Unknown(Why::Denied));
    assert_eq!((turns_back(&unread), word(&unread)), (None, None));
    assert!(told(&unread, Reason::Gate(Gate::HealthySoFar)).is_some());
    assert_eq!(word(&changed(|sketch| sketch.asked.hold = Fact::Known(()))), None);
    let edited = changed(|sketch| sketch.traffic.listeners = Fact::Known((50, 50, false)));
    assert!(holds(&edited, Held::ListenerEdited));
    assert_eq!(word(&edited), None);
}

#[test]
fn a_green_that_became_unwell_as_blue_went_ends_for_an_abort_or_a_newer_version_and_waits_otherwise() {
    let ended = |change: fn(&mut Sketch)| {
        let mut sketch = unwell();
        change(&mut sketch);
        let decision = build(&sketch).decide();
        let ended = ends(&decision).cloned();
        assert!(told(&decision, Reason::Gate(Gate::GreenHealthy)).is_some());
        ended
    };
    assert_eq!(ended(|_| {}), None);
    assert_eq!(ended(|sketch| sketch.asked.spec = Fact::Known(SpecText::NewerBake)), None);
    assert_eq!(ended(|sketch| sketch.asked.abort = Fact::Known(AbortText::Stale)), None);
    let settled = Some(RolloutEnd::Settled);
    assert_eq!(ended(|sketch| sketch.asked.abort = Fact::Known(AbortText::InForce)), settled);
    assert_eq!(ended(|sketch| sketch.asked.spec = Fact::Known(SpecText::NewerRevision)), settled);
}

#[test]
fn something_newer_begins_in_the_pass_in_which_green_has_settled() {
    let mut sketch = unwell();
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    let decision = build(&sketch).decide();
    assert_eq!(ends(&decision), Some(&RolloutEnd::Settled));
    let start = starts(&decision).expect("the newer version");
    assert_eq!(start.kind, tidegate_model::ledger::RolloutKind::Forward);
}

#[test]
fn an_abort_that_waits_until_blue_is_gone_keeps_nothing_from_a_newer_version_that_is_under_way() {
    let goes_on = |change: fn(&mut Deployment)| {
        let mut sketch = unwell();
        let mut world = with_newer_under_way(&sketch, change);
        sketch.asked.abort = Fact::Known(AbortText::InForce);
        world.seen.orders = build(&sketch).seen.orders;
        let decision = world.decide();
        let accepted = decision.entries.iter().any(|entry| matches!(entry, Entry::Accepted(_)));
        assert!(ends(&decision).is_some());
        accepted
    };
    assert!(goes_on(|newer| newer.created = ago(60)));
    assert!(!goes_on(|newer| newer.status = DeploymentStatus::Succeeded), "it is over");
    assert!(!goes_on(|newer| newer.marker.as_mut().unwrap().version.0 -= 1), "a second one of this version");
}

#[test]
fn an_abort_of_what_became_unwell_as_blue_went_deploys_the_revision_before_again() {
    let mut sketch = unwell();
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    // Whatever is written meanwhile: with a newer version in force the abort would name nothing any more.
    sketch.asked.spec = Fact::Known(SpecText::NewerBake);
    let decision = build(&sketch).decide();
    assert_eq!(ends(&decision), Some(&RolloutEnd::Settled));
    assert!(!decision.entries.iter().any(|entry| matches!(entry, Entry::Accepted(_))));
    let start = starts(&decision).expect("the way back");
    assert!(matches!(
        &start.kind,
        tidegate_model::ledger::RolloutKind::Redeploy { cause: Cause::Ordered, .. }
    ));
}

#[test]
fn an_abort_waits_for_the_end_once_blue_s_tasks_drain_or_none_runs_though_codedeploy_says_that_it_waits() {
    for change in [(|set| set.status = TaskSetStatus::Draining) as fn(&mut TaskSet), |set| set.running = 0] {
        let mut sketch = let_go(Some(300));
        sketch.asked.abort = Fact::Known(AbortText::InForce);
        let mut world = build(&sketch);
        let Fact::Known(service) = &mut world.seen.service else { panic!("it is known") };
        let blue = service.task_sets.iter_mut().find(|set| set.target_group == Some(blue_group()));
        change(blue.expect("blue's task set"));
        let decision = world.decide();
        assert_eq!((turns_back(&decision), word(&decision)), (None, None));
    }
}
