//! Calls whose outcome is unknown: each step by itself, with what it would have left there, not there, and not to be read.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    Fact,
    decision::{Outcome, Step},
    fact::Why,
    ledger::{Entry, Resolution},
    name::Marker,
    observation::{Deployment, DeploymentStatus, DeploymentTarget, Observation},
    runner::SeenTask,
};

use super::{
    gates::ask,
    golden::in_flight,
    sketch::{Journal, Phase, Sketch, Snapshot, calm},
    world::{OURS, World, ago, build, now, revision},
};
use crate::{
    draft::{CALL_MAY_LAND, Draft},
    resolve::settle_open_intents,
};

/// A step, what it comes to if it had its effect, and worlds in which that is so, is not so, and cannot be read.
struct Case {
    step: &'static str,
    outcome: Outcome,
    there: Sketch,
    not_there: Sketch,
    unread: fn(&mut Observation),
}

fn change(change: impl FnOnce(&mut Sketch)) -> Sketch {
    let mut sketch = calm();
    change(&mut sketch);
    sketch
}

fn journal(journal: Journal) -> Sketch {
    change(|sketch| sketch.database.journal = Fact::Known(journal))
}

fn deployment(status: DeploymentStatus) -> Sketch {
    in_flight(Phase::Shifting, status, false)
}

fn cases() -> Vec<Case> {
    use DeploymentStatus::{InProgress, Ready, Stopped};
    let unread_journal = |seen: &mut Observation| seen.schema.journal = Fact::Unknown(Why::Denied);
    let unread_deployments = |seen: &mut Observation| seen.deployments = Fact::Unknown(Why::Throttled);
    let of_database = |step, outcome, there, not_there| Case {
        step,
        outcome,
        there: journal(there),
        not_there: journal(not_there),
        unread: unread_journal,
    };
    let of_deployment = |step, there, not_there| Case {
        step,
        outcome: Outcome::Accepted,
        there: deployment(there),
        not_there: deployment(not_there),
        unread: unread_deployments,
    };
    vec![
        Case {
            step: "register-task-definition",
            outcome: Outcome::Registered(revision(2)),
            there: calm(),
            not_there: change(|sketch| sketch.traffic.revisions = Fact::Known(false)),
            unread: |seen| seen.revisions.clear(),
        },
        Case {
            step: "create-deployment-config",
            outcome: Outcome::Accepted,
            there: calm(),
            not_there: change(|sketch| sketch.traffic.config = Fact::Absent),
            unread: |seen| seen.deployment_config = Fact::Unknown(Why::Throttled),
        },
        Case {
            step: "create-deployment",
            outcome: Outcome::DeploymentCreated(OURS.into()),
            there: deployment(InProgress),
            not_there: calm(),
            unread: unread_deployments,
        },
        of_deployment("continue-traffic", InProgress, Ready),
        of_deployment("continue-termination", Stopped, InProgress),
        of_deployment("stop-deployment", Stopped, InProgress),
        of_database("expand", Outcome::Expanded, Journal::Expanded, Journal::Opened),
        of_database("hide", Outcome::Hidden, Journal::Hidden, Journal::Filled),
        of_database("unhide", Outcome::Unhidden, Journal::Filled, Journal::Hidden),
        Case {
            step: "create-snapshot",
            outcome: Outcome::Accepted,
            there: change(|sketch| sketch.database.snapshot = Fact::Known(Snapshot::Creating)),
            not_there: calm(),
            unread: |seen| seen.snapshot = Fact::Unknown(Why::Throttled),
        },
        of_database("purge", Outcome::Purged, Journal::Purged, Journal::Filled),
    ]
}

/// A world in which the outcome of the step is not known since then.
fn in_doubt(step: &str, mut sketch: Sketch, since: SignedDuration) -> World {
    let index = Step::WORDS.iter().position(|word| *word == step);
    sketch.ledger.doubt = Some((index.unwrap_or_else(|| panic!("{step} is no step")), false));
    let mut world = build(&sketch);
    world.state.open[0].1 = now() - since;
    world
}

fn settled(world: &World) -> Option<Resolution> {
    settles(world).0
}

/// What it is settled with, and when it is looked at next.
fn settles(world: &World) -> (Option<Resolution>, Timestamp) {
    ask(world, |mut draft| {
        settle_open_intents(&mut draft);
        let resolution = draft.entries.into_iter().find_map(|entry| match entry {
            Entry::Resolved { resolution, .. } => Some(resolution),
            _ => None,
        });
        (resolution, draft.next_look)
    })
}

const A_SECOND: SignedDuration = SignedDuration::from_secs(1);

#[test]
fn what_is_there_settles_a_call_at_once() {
    for Case { step, outcome, there, .. } in cases() {
        assert_eq!(settled(&in_doubt(step, there, A_SECOND)), Some(Resolution::Done(outcome)), "{step}");
    }
}

#[test]
fn what_is_not_there_settles_a_call_only_once_it_can_land_no_more() {
    for Case { step, not_there, .. } in cases() {
        let world = in_doubt(step, not_there.clone(), CALL_MAY_LAND - A_SECOND);
        assert_eq!(settles(&world), (None, ago(-5)), "{step}");
        let settled = settled(&in_doubt(step, not_there, CALL_MAY_LAND));
        assert_eq!(settled, Some(Resolution::NotApplied), "{step}");
    }
}

#[test]
fn what_was_read_before_a_call_could_land_no_more_settles_nothing_however_late_that_is_decided() {
    for Case { step, there, not_there, .. } in cases() {
        let read_early = |sketch| {
            let world = in_doubt(step, sketch, CALL_MAY_LAND + SignedDuration::from_mins(2));
            ask(&world, |draft| {
                let mut draft = Draft { read_since: ago(121), ..draft };
                settle_open_intents(&mut draft);
                draft.entries.len()
            })
        };
        assert_eq!(read_early(not_there), 0, "{step}");
        assert_eq!(read_early(there), 1, "{step}: what is there was sent");
    }
}

#[test]
fn what_cannot_be_read_settles_nothing_however_long_it_takes() {
    for Case { step, there, unread, .. } in cases() {
        let mut world = in_doubt(step, there, SignedDuration::from_hours(9));
        unread(&mut world.seen);
        assert_eq!(settled(&world), None, "{step}");
    }
    // Of a deployment that is in no list it is not known what became of it.
    for step in ["continue-traffic", "continue-termination", "stop-deployment"] {
        assert_eq!(settled(&in_doubt(step, calm(), SignedDuration::from_hours(9))), None, "{step}");
    }
}

#[test]
fn what_leaves_nothing_behind_is_simply_made_again() {
    for step in ["verify", "backfill"] {
        assert_eq!(settled(&in_doubt(step, calm(), A_SECOND)), Some(Resolution::NotApplied), "{step}");
    }
}

#[test]
fn the_newest_revision_of_the_family_is_ours_or_nothing_was_registered() {
    let step = "register-task-definition";
    let mut world = in_doubt(step, calm(), CALL_MAY_LAND);
    world.seen.revisions.insert("shop".into(), Fact::Absent);
    assert_eq!(settled(&world), Some(Resolution::NotApplied));
    world.seen.revisions.insert("shop".into(), Fact::Unknown(Why::Denied));
    assert_eq!(settled(&world), None);
}

#[test]
fn a_task_that_was_started_is_found_or_was_not_started() {
    let mut world = in_doubt("run-task", calm(), CALL_MAY_LAND);
    assert_eq!(settled(&world), None, "it was not asked for");
    world.seen.task = Fact::Known(SeenTask { arn: "task/1".into(), end: None });
    assert_eq!(settled(&world), Some(Resolution::Done(Outcome::TaskStarted("task/1".into()))));
    world.seen.task = Fact::Absent;
    assert_eq!(settled(&world), Some(Resolution::NotApplied));
}

#[test]
fn a_deployment_of_somebody_else_is_not_the_one_that_was_made() {
    let mut world = in_doubt("create-deployment", deployment(DeploymentStatus::InProgress), CALL_MAY_LAND);
    let others = |one: Deployment| {
        let marker = one.marker.map(|marker| Marker { intent: "i9".into(), ..marker });
        Deployment { marker, ..one }
    };
    world.seen.deployments = world.seen.deployments.map(|all| all.into_iter().map(others).collect());
    assert_eq!(settled(&world), Some(Resolution::NotApplied));
    world.seen.deployments = Fact::Absent;
    assert_eq!(settled(&world), Some(Resolution::NotApplied));
}

#[test]
fn traffic_was_not_let_go_where_the_ready_wait_ended_without_any() {
    let stopped = |traffic: Option<i64>, read: bool, ended: Option<i64>| {
        let mut world =
            in_doubt("continue-traffic", deployment(DeploymentStatus::Stopped), SignedDuration::from_mins(5));
        let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
        all[0].target = Fact::Known(DeploymentTarget {
            green: Some(revision(2)),
            green_weight: Some(0),
            ready_since: Some(ago(4_000)),
            traffic_since: traffic.map(ago),
            traffic_until: None,
        });
        if !read {
            all[0].target = Fact::Unknown(Why::Throttled);
        }
        all[0].ended = ended.map(ago);
        settled(&world)
    };
    let done = Some(Resolution::Done(Outcome::Accepted));
    assert_eq!(stopped(None, true, Some(60)), Some(Resolution::NotApplied));
    assert_eq!(stopped(Some(600), true, Some(60)), done);
    assert_eq!(stopped(None, false, Some(899)), None, "it is asked for again");
    assert_eq!(stopped(None, false, Some(900)), done, "it may have been");
    assert_eq!(stopped(None, false, None), done);
}
