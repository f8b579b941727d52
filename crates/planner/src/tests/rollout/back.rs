//! Going back: stop, follow CodeDeploy's rollback, deploy the old revision again.

use tidegate_model::{
    decision::{Outcome, Step},
    ledger::{ReleaseState, Resolution, RolloutKind, RolloutPhase},
    observation::{TaskSet, TaskSetStatus},
    revision::TaskDefinition,
    status::Grade,
    waiting::{Class, OnDeadline},
};

use super::{
    super::{
        sketch::{Change, Serving, calm, none},
        world::{ROLLBACK, ago, blue_group, definition, green_group, revision},
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
fn traffic_is_let_go_again_after_a_minute_where_it_shows_no_effect_and_then_after_pauses_that_double_to_five_minutes()
 {
    let forward = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    let redeploys = redeploying(DeploymentStatus::Ready, false);
    for (sketch, reason) in [(forward, Reason::Shifting), (redeploys, Reason::RollingBack)] {
        let decide = |sent: Option<i64>, count: u32| {
            let mut sketch = sketch.clone();
            sketch.rollout.as_mut().unwrap().sent.1 = sent;
            let mut world = build(&sketch);
            world.state.rollout.as_mut().unwrap().continue_count = count;
            world.decide()
        };
        assert_eq!(word(&decide(None, 0)), Some("continue-traffic"));
        for (count, minutes) in [(1, 1), (2, 2), (3, 4), (4, 5), (1000, 5)] {
            let early = decide(Some(minutes * 60 - 1), count);
            assert_eq!(word(&early), None, "sent {count} times");
            assert!(told(&early, reason).is_some(), "it is told");
            assert_eq!(word(&decide(Some(minutes * 60), count)), Some("continue-traffic"));
        }
    }
}

#[test]
fn how_often_traffic_was_let_go_is_counted_for_one_deployment() {
    let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
    let index = Step::WORDS.iter().position(|word| *word == "continue-traffic").expect("a step");
    sketch.ledger.doubt = Some((index, false));
    let World { mut state, now, .. } = build(&sketch);
    let counted = |state: &ReleaseState| state.rollout.as_ref().unwrap().continue_count;
    let (intent, since) = state.open[0].clone();
    for count in 1..=2 {
        state.open = vec![(intent.clone(), since)];
        let resolution = Resolution::Done(Outcome::Accepted);
        state.apply(now, &Entry::Resolved { intent: intent.id, resolution });
        assert_eq!(counted(&state), count);
    }
    state.apply(now, &Entry::DeploymentForgotten);
    assert_eq!(counted(&state), 0);
    state.open = vec![(intent.clone(), since)];
    state.apply(now, &Entry::Resolved { intent: intent.id, resolution: Resolution::Done(Outcome::Accepted) });
    let rollout = state.rollout.as_ref().unwrap();
    assert_eq!((rollout.continue_sent, counted(&state)), (None, 0), "learnt late, of the one before");
    for step in ["continue-traffic", "continue-termination"] {
        let index = Step::WORDS.iter().position(|word| *word == step).expect("a step");
        sketch.ledger.doubt = Some((index, false));
        state.open = build(&sketch).state.open;
        state.apply(now, &Entry::DeploymentKnown("d-2".into()));
        state.apply(
            now,
            &Entry::Resolved { intent: state.open[0].0.id, resolution: Resolution::Done(Outcome::Accepted) },
        );
        let rollout = state.rollout.as_ref().unwrap();
        assert_eq!(
            (rollout.continue_sent, rollout.retire_sent, counted(&state)),
            (None, None, 0),
            "{step} of d-1"
        );
    }
}

#[test]
fn no_deployment_is_stopped_whose_blue_is_being_removed() {
    let stopping = in_flight(Phase::Stopping, DeploymentStatus::InProgress, true);
    let blue = |change: fn(&mut TaskSet)| {
        let mut world = build(&stopping);
        let Fact::Known(service) = &mut world.seen.service else { panic!("it is known") };
        let of_blue = |set: &&mut TaskSet| set.target_group == Some(blue_group());
        service.task_sets.iter_mut().filter(of_blue).for_each(change);
        world
    };
    let drains = blue(|set| set.status = TaskSetStatus::Draining);
    let wants_none = blue(|set| set.desired = 0);
    let mut is_gone = build(&stopping);
    let Fact::Known(service) = &mut is_gone.seen.service else { panic!("it is known") };
    service.task_sets.retain(|set| set.target_group != Some(blue_group()));
    for world in [drains, wants_none, is_gone] {
        let decision = world.decide();
        assert_eq!((word(&decision), ends(&decision)), (None, None));
        let wait = told(&decision, Reason::RollingBack).expect("it is told");
        assert!(wait.message.starts_with("blue is being removed, and is deployed again"), "{}", wait.message);
        assert_eq!(decision.status.rollback.grade, Grade::Redeploy);
    }
    let mut unread = build(&stopping);
    unread.seen.service = Fact::Unknown(Why::Throttled);
    assert_eq!(word(&unread.decide()), Some("stop-deployment"), "unknown is not gone, and an abort wins");
    assert_eq!(word(&blue(|_| {}).decide()), Some("stop-deployment"));
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
    for (stopped, over) in [(119, false), (120, true)] {
        let mut late = aged(&sketch, 600);
        let Fact::Known(all) = &mut late.seen.deployments else { panic!("they are known") };
        all[0].ended = Some(ago(stopped));
        assert_eq!(ends(&late.decide()).is_some(), over, "it stopped long after that was decided");
    }

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
fn what_was_never_begun_waits_for_a_call_in_doubt_only_if_that_creates_a_deployment() {
    for (doubtful, over) in [("expand", true), ("create-deployment", false)] {
        let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        sketch.traffic.service = Fact::Known(Serving::Blue);
        sketch.traffic.deployments = calm().traffic.deployments;
        sketch.database.journal = Fact::Unknown(Why::Unreachable);
        sketch.ledger.doubt = Some((Step::WORDS.iter().position(|word| *word == doubtful).unwrap(), true));
        let mut world = build(&sketch);
        if !over {
            world.seen.deployments = Fact::Unknown(Why::Throttled);
        }
        assert_eq!(ends(&world.decide()).is_some(), over, "{doubtful}");
    }
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

/// A redeployment that ended without success so many seconds ago: what it should have replaced still serves.
fn redeployment_that_ended(ago_seconds: i64) -> World {
    let mut sketch = redeploying(DeploymentStatus::Failed, false);
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Known((100, 0, false));
    let mut world = build(&sketch);
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    all[0].ended = Some(ago(ago_seconds));
    world
}

#[test]
fn a_redeployment_that_ended_without_success_is_made_again_a_quarter_of_an_hour_later() {
    let decision = redeployment_that_ended(899).decide();
    let wait = told(&decision, Reason::Held(Held::RollbackFailed)).expect("it is told");
    assert_eq!((wait.deadline, wait.on_deadline), (Some(ago(-1)), OnDeadline::Continue));
    assert_eq!((ends(&decision), word(&decision)), (None, None));

    let mut world = redeployment_that_ended(900);
    let decision = world.decide();
    assert!(decision.entries.iter().any(|entry| matches!(entry, Entry::RedeploymentFailed { .. })));
    world.state = after(&world, &decision);
    let rollout = world.state.rollout.as_ref().unwrap();
    assert_eq!((&rollout.phase, &rollout.deployment), (&RolloutPhase::RollingBack(Cause::Ordered), &None));
    let decision = world.decide();
    assert_eq!((starts(&decision), word(&decision)), (None, Some("create-deployment")));
}

#[test]
fn a_redeployment_that_has_failed_is_told_to_people_until_another_one_brings_the_revision_back() {
    let mut world = redeployment_that_ended(900);
    let now = world.now;
    for times in ["failed once", "failed 2 times"] {
        let forgets = world.decide();
        world.state = after(&world, &forgets);
        let creates = world.decide();
        assert_eq!(word(&creates), Some("create-deployment"));
        let told = |decision: &Decision| {
            let held = told(decision, Reason::Held(Held::RollbackFailed)).expect("it is told");
            assert!(held.message.contains(times) && held.message.contains("d-1"), "{}", held.message);
            assert_eq!((decision.status.summary, held.class), (Summary::Held, Class::NeedsHuman));
            assert_eq!(held.deadline, Some(now + SignedDuration::from_mins(60)));
        };
        told(&creates);
        world.state.rollout.as_mut().unwrap().deployment = Some("d-1".into());
        let ended = world.seen.deployments.clone();
        for status in [DeploymentStatus::InProgress, DeploymentStatus::Ready] {
            world.seen.deployments = build(&redeploying(status, false)).seen.deployments;
            told(&world.decide());
        }
        world.seen.deployments = ended;
    }
}

#[test]
fn what_a_call_that_was_given_up_has_made_after_all_is_the_next_attempt_at_once() {
    let mut world = redeployment_that_ended(60);
    let spec = world.state.rollout.as_ref().unwrap().start.spec.clone();
    let marker = ask(&world, |draft| draft.deployment_marker(&spec, Direction::Back));
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    let mut late = all[0].clone();
    (late.id, late.status, late.ended) = ("d-late".into(), DeploymentStatus::InProgress, None);
    late.marker = Some(marker);
    all.push(late);
    let decision = world.decide();
    assert!(decision.entries.iter().any(|entry| matches!(entry, Entry::RedeploymentFailed { .. })));
    assert!(decision.entries.contains(&Entry::DeploymentKnown("d-late".into())), "{:?}", decision.entries);
}

#[test]
fn a_redeployment_that_ended_without_success_is_over_where_people_brought_it_back_or_ask_for_something_newer()
{
    let ended = |change: &dyn Fn(&mut World)| {
        let mut world = redeployment_that_ended(60);
        change(&mut world);
        matches!(ends(&world.decide()), Some(RolloutEnd::RolledBack(Cause::Ordered)))
    };
    assert!(!ended(&|_| {}));
    for (group, weights) in [(green_group(), (0, 100, false)), (blue_group(), (100, 0, false))] {
        let mut sketch = redeploying(DeploymentStatus::Failed, false);
        sketch.traffic.service = Fact::Known(Serving::Green);
        sketch.traffic.listeners = Fact::Known(weights);
        assert!(ended(&|world| {
            world.seen.listeners = build(&sketch).seen.listeners;
            world.seen.service = build(&sketch).seen.service;
            serving_as(world, |set| set.target_group = Some(group.clone()));
        }));
    }
    let mut newer = redeploying(DeploymentStatus::Failed, false);
    newer.asked.spec = Fact::Known(SpecText::NewerRevision);
    assert!(ended(&|world| world.seen.spec = build(&newer).seen.spec));
}

#[test]
fn a_rollback_of_codedeploy_s_that_failed_is_over_once_people_have_deployed_blue_again() {
    let sketch = stopped(Some(DeploymentStatus::Failed));
    assert!(ends(&build(&sketch).decide()).is_some());
    let mut elsewhere = sketch;
    elsewhere.traffic.listeners = Fact::Known((0, 100, false));
    assert!(holds(&build(&elsewhere).decide(), Held::RollbackFailed));
    let mut world = build(&elsewhere);
    serving_as(&mut world, |set| set.target_group = Some(green_group()));
    assert!(ends(&world.decide()).is_some(), "behind the other group");
}

#[test]
fn a_success_that_should_have_gone_back_has_not_settled_before_the_way_back_can_begin() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let decision = build(&sketch).decide();
    assert_eq!(ends(&decision), Some(&RolloutEnd::Settled));
    assert!(starts(&decision).is_some(), "the way back begins in the same pass");
    let mut world = build(&sketch);
    let Fact::Known(group) = &mut world.seen.group else { panic!("a group") };
    group.target_groups.truncate(1);
    group.target_groups[0] = green_group();
    let decision = world.decide();
    assert_eq!((ends(&decision), starts(&decision)), (None, None), "{:?}", decision.entries);
    assert!(told(&decision, Reason::Unobserved).is_some());
}

/// The deployment succeeded although it was to be stopped, and by an older copy of the ledger: another is under way since, with a marker
/// in this direction, or with none.
fn followed_by(direction: Option<Direction>) -> World {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let mut world = build(&sketch);
    let spec = world.state.rollout.as_ref().unwrap().start.spec.clone();
    let marker = direction.map(|direction| ask(&world, |draft| draft.deployment_marker(&spec, direction)));
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    let under_way = Deployment {
        id: "d-2".into(),
        status: DeploymentStatus::InProgress,
        target: Fact::Unknown(Why::Throttled),
        marker,
        ..all[0].clone()
    };
    all.insert(0, under_way);
    world
}

#[test]
fn a_redeployment_is_held_while_a_deployment_of_ours_goes_forward_that_the_ledger_does_not_know() {
    let held = |change: fn(&mut Deployment)| {
        let mut world = followed_by(Some(Direction::Forward));
        let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
        change(&mut all[0]);
        let first = world.decide();
        assert_eq!(ends(&first), Some(&RolloutEnd::Settled));
        world.state = after(&world, &first);
        let next = world.decide();
        assert_eq!(word(&next), None);
        [first, next].map(|decision| {
            let wait = told(&decision, Reason::Held(Held::LedgerBehind));
            wait.map(|wait| (wait.blocked_by.clone(), wait.class))
        })
    };
    let by_people = Some((Some("d-2".to_owned()), Class::NeedsHuman));
    assert_eq!(held(|_| {}), [by_people.clone(), by_people], "in the pass that begins it, and then");
    assert_eq!(held(|other| other.is_rollback = true), [None, None], "CodeDeploy takes it back");
    let of_another = |other: &mut Deployment| {
        other.marker.as_mut().unwrap().release = "another".parse().unwrap();
    };
    assert_eq!(held(of_another), [None, None], "that is somebody else's");
}

/// What people stopped with rollback is taken back by CodeDeploy, which names that deployment only after a while.
#[test]
fn a_redeployment_does_not_begin_while_codedeploy_may_yet_take_back_what_was_stopped() {
    let created = |ended: i64, by: Option<&str>| {
        let mut world = followed_by(Some(Direction::Forward));
        let first = world.decide();
        world.state = after(&world, &first);
        let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
        (all[0].status, all[0].ended) = (DeploymentStatus::Stopped, Some(ago(ended)));
        all[0].rolled_back_by = by.map(Into::into);
        word(&world.decide()) == Some("create-deployment")
    };
    assert!(!created(119, None));
    assert!(created(120, None));
    assert!(created(1, Some(ROLLBACK)), "it did, and that has ended");
}

#[test]
fn a_way_back_is_over_where_a_newer_version_is_under_way_and_that_one_goes_on() {
    let lost = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    let mut unbegun = redeploying(DeploymentStatus::Succeeded, false);
    unbegun.rollout.as_mut().unwrap().deployment = false;
    let ways = [
        (redeploying(DeploymentStatus::Succeeded, false), false),
        // What failed gives way to something newer in any case.
        (redeploying(DeploymentStatus::Failed, false), true),
        (stopped(Some(DeploymentStatus::Succeeded)), false),
        (stopped(Some(DeploymentStatus::Failed)), false),
        (stopped(None), false),
        (lost, false),
        (unbegun, false),
    ];
    for (mut way, is_superseded) in ways {
        way.traffic.service = Fact::Known(Serving::GreenWithBlue);
        way.traffic.listeners = Fact::Known((50, 50, false));
        let end = |change: fn(&mut Deployment)| {
            let decision = with_newer_under_way(&way, change).decide();
            let back = matches!(ends(&decision), Some(RolloutEnd::RolledBack(Cause::Ordered)));
            (back, starts(&decision).is_some_and(|start| start.kind == RolloutKind::Forward))
        };
        assert_eq!(end(|_| {}), (true, true));
        assert_eq!(
            end(|other| other.status = DeploymentStatus::Failed).0,
            is_superseded,
            "it is over as well"
        );
        assert_eq!(end(|other| other.is_rollback = true).0, is_superseded, "it is taken back");
        assert_eq!(
            end(|other| other.marker.as_mut().unwrap().version.0 += 1).0,
            is_superseded,
            "of another version"
        );
        assert_eq!(end(|other| other.marker = None).0, is_superseded, "somebody else's");
        // What is neither can be taken over nor ends the way back is told, and nothing else of where traffic goes.
        let of_another =
            with_newer_under_way(&way, |other| other.marker.as_mut().unwrap().version.0 += 1).decide();
        let held = [Held::ListenerEdited, Held::TrafficDisagrees, Held::RollbackFailed];
        assert_eq!(holds(&of_another, Held::LedgerBehind), !is_superseded, "{:?}", of_another.waiting);
        assert_eq!(of_another.status.summary == Summary::Held, !is_superseded);
        assert!(!held.into_iter().any(|held| holds(&of_another, held)), "{:?}", of_another.waiting);
    }
}

#[test]
fn a_way_back_is_over_where_what_is_under_way_is_of_the_spec_parameter_s_next_life() {
    let mut way = redeploying(DeploymentStatus::Succeeded, false);
    way.traffic.service = Fact::Known(Serving::GreenWithBlue);
    way.traffic.listeners = Fact::Known((50, 50, false));
    let mut world = with_newer_under_way(&way, |_| {});
    // Versions are counted anew where the parameter was deleted and made again.
    world.state.rollout.as_mut().unwrap().start.spec.version.0 = 99;
    assert!(matches!(ends(&world.decide()), Some(RolloutEnd::RolledBack(Cause::Ordered))));
}

#[test]
fn a_way_back_that_has_made_no_deployment_is_over_where_something_newer_was_deployed_to_its_end() {
    let is_over = |is_accepted: bool, replaced: bool, change: fn(&mut Deployment)| {
        let mut unbegun = redeploying(DeploymentStatus::Succeeded, false);
        unbegun.rollout.as_mut().unwrap().deployment = false;
        unbegun.traffic.service = Fact::Known(Serving::Blue);
        unbegun.traffic.listeners = Fact::Known((100, 0, false));
        let in_force = build(&unbegun).seen.spec;
        let mut world = with_newer_under_way(&unbegun, |newer| {
            (newer.status, newer.created) = (DeploymentStatus::Succeeded, ago(600));
            change(newer);
        });
        if !is_accepted {
            world.seen.spec = in_force;
        }
        if replaced {
            serving_as(&mut world, |set| set.revision = revision(9));
            let other = TaskDefinition { arn: revision(9), ..definition(1, true) };
            world.seen.revisions.insert(revision(9).0, Fact::Known(other));
        }
        let decision = world.decide();
        let over = matches!(ends(&decision), Some(RolloutEnd::RolledBack(Cause::Ordered)));
        assert_eq!(over, starts(&decision).is_none() && word(&decision).is_none());
        over
    };
    for (is_accepted, replaced) in [(true, true), (true, false), (false, true), (false, false)] {
        let is_over = |change| is_over(is_accepted, replaced, change);
        assert!(is_over(|_| {}));
        assert!(is_over(|newer| newer.created = ago(7_199)));
        assert!(!is_over(|newer| newer.created = ago(7_200)), "before the spec parameter's life began");
        assert!(!is_over(|newer| newer.status = DeploymentStatus::Failed));
        assert!(!is_over(|newer| newer.is_rollback = true));
        assert!(
            !is_over(|newer| newer.marker.as_mut().unwrap().version.0 -= 1),
            "of the version that goes back"
        );
        assert!(!is_over(|newer| newer.marker = None), "somebody else's");
    }
}

#[test]
fn a_redeployment_of_what_names_the_purged_form_is_not_begun() {
    let is_held = |read: bool, previous: u32| {
        let mut unbegun = redeploying(DeploymentStatus::Succeeded, false);
        unbegun.rollout.as_mut().unwrap().deployment = false;
        unbegun.traffic.deployments = Fact::Known(none());
        unbegun.traffic.service = Fact::Known(Serving::Blue);
        unbegun.traffic.listeners = Fact::Known((100, 0, false));
        unbegun.ledger.change = Some(Change::Purged);
        let mut world = build(&unbegun);
        let (to, digest) = (revision(2), definition(2, true).digest());
        world.state.change.as_mut().unwrap().namers.insert(digest.clone());
        world.state.previous = Some((revision(previous), digest));
        let fact = read.then(|| definition(2, true)).map_or(Fact::Unknown(Why::Throttled), Fact::Known);
        world.seen.revisions.insert(to.0, fact);
        let decision = world.decide();
        let held = holds(&decision, Held::RestoreOnly);
        assert_eq!(word(&decision), (!held).then_some("create-deployment"));
        held
    };
    assert!(is_held(true, 1));
    assert!(is_held(false, 2), "the ledger knows what it consists of");
    assert!(
        !is_held(false, 1),
        "nobody knows what it consists of, and the way back is not kept from anybody"
    );
}

#[test]
fn a_redeployment_whose_own_call_is_in_doubt_names_no_deployment_that_has_to_end_first() {
    let mut sketch = redeploying(DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    let create = Step::WORDS.iter().position(|word| *word == "create-deployment");
    for (doubt, names) in [(None, true), (create.map(|create| (create, true)), false)] {
        sketch.ledger.doubt = doubt;
        let mut world = build(&sketch);
        let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
        all[0].marker = None;
        let decision = world.decide();
        let wait = told(&decision, Reason::RollingBack).expect("it is told");
        assert_eq!(wait.message.contains("once deployment d-1 has ended"), names, "{}", wait.message);
    }
}

#[test]
fn a_success_that_should_have_gone_back_and_that_something_else_has_replaced_since_is_over() {
    let mut world = followed_by(Some(Direction::Forward));
    let end = |world: &World| ends(&world.decide()).cloned();
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    all[0].status = DeploymentStatus::Succeeded;
    all[0].created = ago(60);
    assert_eq!(end(&world), Some(RolloutEnd::RolledBack(Cause::Ordered)));
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    all[0].status = DeploymentStatus::Failed;
    assert_eq!(end(&world), Some(RolloutEnd::Settled), "what failed has replaced nothing");
}

#[test]
fn a_redeployment_that_was_begun_by_a_newer_copy_of_the_ledger_is_taken_over_at_once() {
    let decision = followed_by(Some(Direction::Back)).decide();
    assert_eq!(ends(&decision), Some(&RolloutEnd::Settled));
    assert!(decision.entries.contains(&Entry::DeploymentKnown("d-2".into())), "{:?}", decision.entries);
    assert!(told(&decision, Reason::RollingBack).is_some());
}

#[test]
fn a_redeployment_says_which_deployment_has_to_end_first_until_it_has_one_of_its_own() {
    let mut world = followed_by(None);
    let first = world.decide();
    assert_eq!(ends(&first), Some(&RolloutEnd::Settled));
    let waits = |decision: &Decision| {
        let wait = told(decision, Reason::RollingBack).expect("it is told");
        assert_eq!(wait.blocked_by.as_deref(), Some("d-2"));
        wait.message.contains("is deployed again once deployment d-2 has ended")
    };
    assert!(waits(&first), "in the pass that begins it");
    world.state = after(&world, &first);
    let next = world.decide();
    assert!(waits(&next));
    assert_eq!(word(&next), None);
    world.state.rollout.as_mut().unwrap().deployment = Some("d-2".into());
    assert!(!waits(&world.decide()), "its own");
}

#[test]
fn a_redeployment_that_codedeploy_took_back_was_replaced_by_nobody() {
    let mut sketch = redeploying(DeploymentStatus::Failed, false);
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Known((100, 0, false));
    if let Fact::Known(deployments) = &mut sketch.traffic.deployments {
        deployments.ours = Some((DeploymentStatus::Failed, false, true));
        deployments.rollback = DeploymentStatus::Succeeded;
    }
    let mut world = build(&sketch);
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    all[0].created = ago(60);
    all[1].ended = Some(ago(90));
    let decision = world.decide();
    assert_eq!((ends(&decision), word(&decision)), (None, None));
    assert!(holds(&decision, Held::RollbackFailed), "it is made again");
    // The same success of somebody's own deployment.
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    all[0].is_rollback = false;
    assert!(ends(&world.decide()).is_some());
}

#[test]
fn a_success_that_should_have_gone_back_has_not_settled_while_nobody_knows_where_traffic_goes() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    sketch.traffic.service = Fact::Known(Serving::Blue);
    sketch.traffic.listeners = Fact::Unknown(Why::Throttled);
    let decision = build(&sketch).decide();
    assert_eq!((ends(&decision), starts(&decision)), (None, None));
    assert!(told(&decision, Reason::Unobserved).is_some());
}

#[test]
fn a_success_that_something_newer_is_asked_for_has_settled_and_the_newer_version_goes_on_from_there() {
    let mut sketch = in_flight(Phase::Stopping, DeploymentStatus::Succeeded, true);
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    let mut world = build(&sketch);
    world.state.rollout.as_mut().unwrap().phase = RolloutPhase::RollingBack(Cause::Superseded);
    let decision = world.decide();
    assert_eq!(ends(&decision), Some(&RolloutEnd::Settled));
    assert_eq!(starts(&decision).map(|start| &start.kind), Some(&RolloutKind::Forward));
}

#[test]
fn the_end_of_a_way_back_is_not_told_of_the_newer_version_that_waited_for_it() {
    let summary = |spec: SpecText| {
        let mut sketch = stopped(Some(DeploymentStatus::Succeeded));
        sketch.asked.spec = Fact::Known(spec);
        let decision = build(&sketch).decide();
        assert_eq!(ends(&decision), Some(&RolloutEnd::RolledBack(Cause::Ordered)));
        decision.status.summary
    };
    assert_eq!(summary(SpecText::InForce), Summary::RolledBack);
    assert_eq!(summary(SpecText::NewerRevision), Summary::Progressing);
}
