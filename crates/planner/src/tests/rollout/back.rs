//! Going back: stop, follow CodeDeploy's rollback, deploy the old revision again.

use tidegate_model::fact::Why;

use super::{
    super::{
        after,
        sketch::Serving,
        world::{ROLLBACK, green_group, revision},
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
