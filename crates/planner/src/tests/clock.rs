//! A clock that was set forward: the time that it shows and that never passed ends no window.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Step,
    gate::{Gate, GateState},
    ledger::{BakeClock, Entry, ReleaseState},
};

use super::{
    gates::ask,
    golden::{baked, hidden},
    sketch::{Tool, calm},
    word,
    world::{World, ago, build},
};
use crate::gates;

const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The world an hour later by its clock alone.
fn set_forward(mut world: World, by: SignedDuration) -> World {
    world.now += by;
    world.set_forward = by;
    world
}

/// The state with the entry that such a clock leaves.
fn noted(world: &World, by: SignedDuration) -> ReleaseState {
    let mut state = world.state.clone();
    state.apply(world.now, &Entry::ClockSetForward { by });
    state
}

#[test]
fn it_is_noted_before_anything_is_decided_by_it_and_told() {
    let decision = set_forward(build(&baked()), AN_HOUR).decide();
    assert_eq!(decision.entries[0], Entry::ClockSetForward { by: AN_HOUR });
    let event = decision.status.events.iter().find(|event| event.reason == "ClockSetForward").unwrap();
    assert!(event.message.contains("set forward by 1h"), "{}", event.message);
    let right = build(&baked()).decide();
    assert!(!right.entries.iter().any(|entry| matches!(entry, Entry::ClockSetForward { .. })));
}

#[test]
fn a_bake_is_not_served_by_it() {
    let mut world = build(&baked());
    assert_eq!(word(&world.decide()), Some("continue-termination"));
    world.state.rollout.as_mut().unwrap().bake =
        BakeClock { served: SignedDuration::ZERO, running_since: Some(ago(60)) };
    let early = world.decide();
    assert_eq!(word(&early), None);
    let late = set_forward(world, AN_HOUR).decide();
    assert_eq!(word(&late), None);
    let of = |decision: &tidegate_model::decision::Decision| {
        let mut gates = decision.status.gates.iter().filter(|reading| reading.gate == Gate::Baked);
        gates.next().cloned().unwrap()
    };
    assert_eq!(of(&late).state, of(&early).state, "as much is served as before");
}

#[test]
fn a_call_in_doubt_may_land_for_as_long_as_before() {
    let mut sketch = calm();
    let create = Step::WORDS.iter().position(|word| *word == "create-deployment").unwrap();
    sketch.ledger.doubt = Some((create, false));
    let mut world = build(&sketch);
    world.state.open[0].1 = ago(10);
    let decision = set_forward(world, AN_HOUR).decide();
    assert!(!decision.entries.iter().any(|entry| matches!(entry, Entry::Resolved { .. })));
}

#[test]
fn a_soak_and_a_quarantine_are_not_over_by_it() {
    let mut world = build(&hidden());
    let change = world.state.change.as_mut().unwrap();
    change.quiet_since = Some(ago(60));
    change.quarantine.as_mut().unwrap().since = Some(ago(60));
    let by = change.opened.schema.contract_after.duration().max(change.opened.schema.quarantine.duration());
    let open = |world: &World| {
        ask(world, |draft| {
            let change = world.state.change.clone().unwrap();
            [gates::recurrence_covered(&draft, &change), gates::hidden_long_enough(&draft, &change)]
                .map(|reading| matches!(reading.state, GateState::Open))
        })
    };
    let mut late = set_forward(world, by + AN_HOUR);
    assert_eq!(open(&late), [true, true], "it would be, by the clock");
    late.state = noted(&late, by + AN_HOUR);
    assert_eq!(open(&late), [false, false]);
}

#[test]
fn a_release_whose_spec_is_gone_is_looked_after_for_as_long_as_before() {
    let mut sketch = calm();
    sketch.asked.spec = Fact::Absent;
    let mut world = build(&sketch);
    world.state.spec_absent = Some(ago(5));
    assert!(!set_forward(world, AN_HOUR).decide().entries.contains(&Entry::Unmanaged));
}

#[test]
fn what_is_done_again_after_a_pause_is_not_done_sooner() {
    let mut sketch = calm();
    sketch.database.tool = Some(Tool::Failed);
    let world = set_forward(build(&sketch), AN_HOUR);
    let state = noted(&world, AN_HOUR);
    let [before, after] = [&world.state, &state].map(|state| state.change.clone().unwrap().run.unwrap());
    assert_eq!(after.began, before.began + AN_HOUR);
    assert_eq!(after.end.unwrap().1, before.end.unwrap().1 + AN_HOUR);
    assert_eq!(state.set_forward, AN_HOUR);
}
