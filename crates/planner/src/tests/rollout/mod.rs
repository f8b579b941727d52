//! How a rollout is carried on and taken back, one world at a time: when a step is due to the second, and what is told otherwise.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Decision,
    ledger::{Cause, Entry, RolloutEnd, RolloutStart},
    observation::{DeploymentStatus, TaskSet},
    status::Summary,
    waiting::{Held, Reason, Waiting},
};

use super::{
    golden::in_flight,
    sketch::{Phase, Sketch},
    word,
    world::{World, build},
};

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
