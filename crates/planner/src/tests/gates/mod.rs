//! Each gate by itself: what closes it, where the border runs, and what it then says.

use jiff::SignedDuration;
use tidegate_model::{
    gate::{Closed, GateReading, GateState},
    ledger::{ChangeState, Rollout},
    waiting::Class,
};

use super::world::World;
use crate::{Input, draft::Draft};

mod schema;
mod traffic;

/// Asks something of a draft of a world, gates for example.
pub(super) fn ask<T>(world: &World, gates: impl FnOnce(Draft<'_>) -> T) -> T {
    let World { release, state, seen, now, ahead, set_forward } = world;
    let (now, ahead, set_forward) = (*now, *ahead, *set_forward);
    let input =
        Input { release, state, observation: seen, previous: None, now, read_since: now, ahead, set_forward };
    gates(Draft::new(&input))
}

fn rollout(world: &World) -> Rollout {
    world.state.rollout.clone().unwrap()
}

fn change(world: &World) -> ChangeState {
    world.state.change.clone().unwrap()
}

fn is_open(reading: &GateReading) -> bool {
    reading.state == GateState::Open
}

#[track_caller]
fn closed(reading: GateReading) -> Closed {
    match reading.state {
        GateState::Closed(closed) => closed,
        state @ (GateState::Open | GateState::NotApplicable) => panic!("{:?} is {state:?}", reading.gate),
    }
}

/// Who can open it, and that it says this.
#[track_caller]
fn says(reading: GateReading, class: Class, words: &str) {
    let closed = closed(reading);
    assert_eq!(closed.class, class, "{closed:?}");
    assert!(closed.message.contains(words), "{closed:?}");
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}
