//! Going back: stop, follow CodeDeploy's rollback, deploy the old revision again.

use tidegate_model::{fact::Why, ledger::RolloutKind};

use super::{
    super::{
        after,
        sketch::{Serving, calm},
        world::{ROLLBACK, blue_group, green_group, revision},
    },
    *,
};

/// The deployment was stopped: with a rollback in this state, or without one.
fn stopped(rollback: Option<DeploymentStatus>) -> Sketch {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Stopped, false);
    sketch.traffic.service = Fact::Known(Serving::Blue);
    if let Fact::Known(deployments) = &mut sketch.traffic.deployments {
        deployments.ours = Some((DeploymentStatus::Stopped, false, rollback.is_some()));
        deployments.rollback = rollback.unwrap_or(DeploymentStatus::Created);
    }
    sketch
}

fn redeploying(status: DeploymentStatus, waits: bool) -> Sketch {
    let mut sketch = in_flight(Phase::Redeploying, status, waits);
    sketch.traffic.service = Fact::Known(Serving::GreenWithBlue);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch
}

#[test]
fn a_stop_that_shows_no_effect_is_sent_again_after_a_minute_and_not_before() {
    for (sent, step) in [(None, true), (Some(59), false), (Some(60), true)] {
        let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::InProgress, false);
        sketch.rollout.as_mut().unwrap().sent.0 = sent;
        let decision = build(&sketch).decide();
        assert_eq!(word(&decision), step.then_some("stop-deployment"), "sent {sent:?} seconds ago");
        let wait = told(&decision, Reason::RollingBack).expect("it is told either way");
        assert_eq!(wait.message, "the deployment is stopped with rollback because an abort was ordered");
        assert_eq!(wait.blocked_by.as_deref(), Some("d-1"));
    }
}

#[test]
fn a_stop_that_came_too_late_is_followed_by_nothing_until_service_and_group_are_known() {
    let good = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    let [mut no_service, mut no_group] = [good.clone(), good];
    no_service.traffic.service = Fact::Unknown(Why::Throttled);
    no_group.traffic.group = Fact::Unknown(Why::Throttled);
    for sketch in [no_service, no_group] {
        let decision = build(&sketch).decide();
        assert!(told(&decision, Reason::Unobserved).is_some());
        assert_eq!((word(&decision), ends(&decision)), (None, None));
    }
}

#[test]
fn the_rollback_that_codedeploy_names_is_noted_once() {
    let mut world = build(&stopped(Some(DeploymentStatus::InProgress)));
    let decision = world.decide();
    let named = Entry::RollbackDeploymentKnown(ROLLBACK.into());
    assert!(decision.entries.contains(&named));
    world.state = after(&world, &decision);
    let decision = world.decide();
    assert!(!decision.entries.contains(&named));
    assert_eq!(told(&decision, Reason::RollingBack).unwrap().blocked_by.as_deref(), Some(ROLLBACK));
}

#[test]
fn a_rollback_is_given_two_minutes_to_be_named() {
    let sketch = stopped(None);
    let early = aged(&sketch, 119).decide();
    assert_eq!(ends(&early), None);
    assert!(told(&early, Reason::RollingBack).is_some());
    assert!(matches!(ends(&aged(&sketch, 120).decide()), Some(RolloutEnd::RolledBack(_))));

    let mut elsewhere = sketch;
    elsewhere.traffic.listeners = Fact::Known((0, 100, false));
    assert!(!holds(&aged(&elsewhere, 119).decide(), Held::RollbackFailed));
    let late = aged(&elsewhere, 120).decide();
    assert!(holds(&late, Held::RollbackFailed));
    assert_eq!(ends(&late), None);
}

#[test]
fn a_rollback_that_has_ended_is_given_two_minutes_until_the_listener_counts_as_edited() {
    let mut sketch = stopped(Some(DeploymentStatus::Succeeded));
    assert!(matches!(ends(&aged(&sketch, 5).decide()), Some(RolloutEnd::RolledBack(_))));
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let early = aged(&sketch, 119).decide();
    assert!(told(&early, Reason::RollingBack).is_some());
    assert!(!holds(&early, Held::ListenerEdited));
    assert!(holds(&aged(&sketch, 120).decide(), Held::ListenerEdited));
}

#[test]
fn a_rollback_is_over_only_where_blue_s_revision_serves_behind_blue_s_group() {
    let sketch = stopped(None);
    let rolled_back = |change: &dyn Fn(&mut TaskSet)| {
        let mut world = aged(&sketch, 200);
        serving_as(&mut world, change);
        ends(&world.decide()).is_some()
    };
    assert!(rolled_back(&|_| {}));
    assert!(!rolled_back(&|set| set.target_group = Some(green_group())));
    assert!(!rolled_back(&|set| set.revision = revision(2)));
}

#[test]
fn a_redeployment_lets_go_of_what_it_replaces_and_says_so_again_after_five_minutes() {
    for (sent, step) in [(None, true), (Some(299), false), (Some(300), true)] {
        let mut sketch = redeploying(DeploymentStatus::InProgress, true);
        sketch.rollout.as_mut().unwrap().sent.2 = sent;
        assert_eq!(
            word(&build(&sketch).decide()),
            step.then_some("continue-termination"),
            "sent {sent:?} seconds ago"
        );
    }
}

/// A redeployment that has not been begun, and what serves by now.
fn unbegun(serves: Serving, listener: (u32, u32, bool)) -> Sketch {
    let mut sketch = redeploying(DeploymentStatus::Succeeded, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.service = Fact::Known(serves);
    sketch.traffic.listeners = Fact::Known(listener);
    sketch.traffic.deployments = calm().traffic.deployments;
    sketch
}

fn brings(world: &mut World, number: u32) {
    let RolloutKind::Redeploy { to, .. } = &mut world.state.rollout.as_mut().unwrap().start.kind else {
        panic!("it brings something back")
    };
    *to = revision(number);
}

#[test]
fn a_redeployment_that_waits_for_somebody_else_s_deployment_takes_its_colours_from_what_that_has_left() {
    let decision = build(&unbegun(Serving::Blue, (100, 0, false))).decide();
    assert_eq!((starts(&decision), word(&decision)), (None, Some("create-deployment")));

    let mut world = build(&unbegun(Serving::Green, (0, 100, false)));
    brings(&mut world, 7);
    let decision = world.decide();
    let start = starts(&decision).expect("green's group is taken");
    assert_eq!((&start.blue_group, &start.green_group), (&green_group(), &blue_group()));
    assert_eq!(start.kind, world.state.rollout.as_ref().unwrap().start.kind);
    assert_eq!(word(&decision), Some("create-deployment"));
}

#[test]
fn a_redeployment_of_what_somebody_else_has_brought_back_is_at_its_end() {
    let mut world = build(&unbegun(Serving::Green, (0, 100, false)));
    brings(&mut world, 2);
    assert!(matches!(ends(&world.decide()), Some(RolloutEnd::RolledBack(_))));
}

#[test]
fn a_redeployment_that_codedeploy_calls_done_while_another_task_set_serves_is_no_edited_listener() {
    let mut sketch = redeploying(DeploymentStatus::Succeeded, false);
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Known((100, 0, false));
    let decision = aged(&sketch, 120).decide();
    assert!(holds(&decision, Held::TrafficDisagrees));
    assert!(!holds(&decision, Held::ListenerEdited));
    assert_eq!(decision.status.summary, Summary::Held);
    // Behind the right group it is as wrong a revision, and no set to delete: it serves.
    sketch = redeploying(DeploymentStatus::Succeeded, false);
    sketch.traffic.service = Fact::Known(Serving::Green);
    let mut world = aged(&sketch, 120);
    serving_as(&mut world, |set: &mut TaskSet| set.revision = revision(7));
    let decision = world.decide();
    assert!(holds(&decision, Held::TrafficDisagrees), "{:?}", decision.waiting);
    assert!(!holds(&decision, Held::RollbackFailed));
}

#[test]
fn an_abort_stops_our_own_deployment_though_what_serves_cannot_be_read() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.service = Fact::Unknown(Why::Throttled);
    let decision = build(&sketch).decide();
    assert_eq!((word(&decision), ends(&decision)), (Some("stop-deployment"), None));
    assert!(decision.entries.iter().any(|entry| matches!(entry, Entry::DeploymentKnown(_))));
}

#[test]
fn what_was_never_begun_is_not_rolled_back_while_part_of_the_traffic_is_elsewhere() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.deployments = calm().traffic.deployments;
    assert!(ends(&build(&sketch).decide()).is_some());
    sketch.traffic.listeners = Fact::Known((90, 10, false));
    let decision = build(&sketch).decide();
    assert_eq!(ends(&decision), None);
    assert!(holds(&decision, Held::ListenerEdited));
    sketch.traffic.listeners = Fact::Unknown(Why::Throttled);
    let early = aged(&sketch, 119).decide();
    assert!(ends(&early).is_none() && told(&early, Reason::Unobserved).is_some());
    assert!(ends(&aged(&sketch, 120).decide()).is_some(), "nobody can say that it is elsewhere");
}

#[test]
fn a_listener_is_not_called_edited_while_nobody_can_say_whether_a_deployment_moves_it() {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch.traffic.deployments = Fact::Unknown(Why::Denied);
    let decision = build(&sketch).decide();
    assert!(told(&decision, Reason::Unobserved).is_some());
    assert!(!holds(&decision, Held::ListenerEdited));
    assert_eq!(word(&decision), None);
}
