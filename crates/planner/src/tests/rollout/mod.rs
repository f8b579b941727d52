//! How a rollout is carried on and taken back, one world at a time: when a step is due to the second, and what is told otherwise.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Decision,
    fact::Why,
    ledger::{Cause, Entry, RolloutEnd, RolloutStart},
    observation::{Deployment, DeploymentStatus, TaskSet},
    status::Summary,
    waiting::{Held, Reason, Waiting},
};

use super::{
    after,
    gates::ask,
    golden::in_flight,
    sketch::{Phase, Sketch, SpecText},
    word,
    world::{World, build},
};
use crate::draft::Direction;

mod back;
mod engine;
mod forward;
mod judged;
mod proposed;
mod retiring;
mod start;
mod traffic;

/// What a decision tells of a reason, if it waits for it.
fn told(decision: &Decision, reason: Reason) -> Option<&Waiting> {
    decision.waiting.iter().find(|wait| wait.reason == reason)
}

fn holds(decision: &Decision, held: Held) -> bool {
    told(decision, Reason::Held(held)).is_some()
}

/// A newer version is asked for, and a deployment of it is under way, that the ledger does not know: as `change` leaves it.
fn with_newer_under_way(sketch: &Sketch, change: impl FnOnce(&mut Deployment)) -> World {
    let mut sketch = sketch.clone();
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    let mut world = build(&sketch);
    let newer = after(&world, &world.decide()).accepted.expect("it is accepted");
    let marker = ask(&world, |draft| draft.deployment_marker(&newer, Direction::Forward));
    let Fact::Known(all) = &mut world.seen.deployments else { panic!("they are known") };
    let mut under_way = Deployment {
        id: "d-9".into(),
        status: DeploymentStatus::InProgress,
        target: Fact::Unknown(Why::Throttled),
        marker: Some(marker),
        is_rollback: false,
        ..all[0].clone()
    };
    change(&mut under_way);
    all.insert(0, under_way);
    world
}

fn turns_back(decision: &Decision) -> Option<&Cause> {
    decision.entries.iter().find_map(|entry| match entry {
        Entry::RollbackDecided(cause) => Some(cause),
        _ => None,
    })
}

fn starts(decision: &Decision) -> Option<&RolloutStart> {
    decision.entries.iter().find_map(|entry| match entry {
        Entry::RolloutStarted(start) => Some(&**start),
        _ => None,
    })
}

fn ends(decision: &Decision) -> Option<&RolloutEnd> {
    decision.entries.iter().find_map(|entry| match entry {
        Entry::RolloutEnded(end) => Some(end),
        _ => None,
    })
}

/// The world so many seconds after the sketch's phase began.
fn aged(sketch: &Sketch, seconds: i64) -> World {
    let mut sketch = sketch.clone();
    sketch.rollout.as_mut().expect("a rollout in flight").age = seconds;
    build(&sketch)
}

/// A primary task set that is another one than the sketch's.
fn serving_as(world: &mut World, change: impl Fn(&mut TaskSet)) {
    world.seen.service = world.seen.service.clone().map(|mut service| {
        change(&mut service.task_sets[0]);
        service
    });
}
