//! What `decide` keeps in every world, the impossible ones included, and that it does go on in the good ones.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::{prelude::*, test_runner::Config};
use tidegate_model::{
    Fact,
    decision::{Decision, Step},
    fact::Why,
    gate::Gate,
    ledger::{Cause, Entry, ReleaseState, RolloutPhase},
    waiting::{Held, OnDeadline, Reason},
};

mod calibration;
mod change;
mod clock;
mod forgotten;
mod gates;
mod golden;
mod intake;
mod needs;
mod observed;
mod quarantine;
mod resolve;
mod rollout;
mod sketch;
mod task;
mod told;
mod tool;
mod world;

use sketch::{AbortText, Change, Journal, Log, Phase, Tool, sketches};
use world::{World, build, now};

/// Worlds for each law: some seconds in all.
fn cases() -> Config {
    Config { cases: 1_000, failure_persistence: None, ..Config::default() }
}

/// The ledger's state after the decision's entries.
fn after(world: &World, decision: &Decision) -> ReleaseState {
    let mut state = world.state.clone();
    for entry in &decision.entries {
        state.apply(world.now, entry);
    }
    state
}

fn word(decision: &Decision) -> Option<&'static str> {
    decision.step.as_ref().map(Step::as_str)
}

/// True for a step that leads the release forward, in a rollout that is not going back.
fn is_forward(step: &Step, after: &ReleaseState) -> bool {
    let back = after.rollout.as_ref().is_some_and(|r| matches!(r.phase, RolloutPhase::RollingBack(_)));
    match step {
        Step::StopDeployment { .. } | Step::Unhide(_) => false,
        Step::CreateDeployment(_) | Step::ContinueTraffic { .. } | Step::ContinueTermination { .. } => !back,
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::Verify(_)
        | Step::RunTask(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::CreateSnapshot { .. }
        | Step::Purge(_) => true,
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_world_has_a_decision_and_every_wait_is_complete(sketch in sketches()) {
        let world = build(&sketch);
        let decision = world.decide();
        for wait in &decision.waiting {
            prop_assert!(wait.since <= world.now, "{wait:?}");
            prop_assert!(wait.next_check_at >= world.now, "{wait:?}");
            prop_assert!(!wait.message.is_empty() && !wait.unblock.is_empty(), "{wait:?}");
            prop_assert!(wait.deadline.is_some() || wait.on_deadline == OnDeadline::Stall, "{wait:?}");
        }
        prop_assert!(decision.next_look >= world.now);
        prop_assert!(decision.next_look <= world.now + SignedDuration::from_secs(60));
        prop_assert_eq!(&decision.waiting, &decision.status.waiting);
    }

    #[test]
    fn a_release_in_flight_never_stands_still_without_a_reason(sketch in sketches()) {
        let world = build(&sketch);
        let decision = world.decide();
        if after(&world, &decision).rollout.is_some() && decision.step.is_none() && decision.entries.is_empty() {
            prop_assert!(!decision.waiting.is_empty());
        }
    }

    #[test]
    fn the_same_input_gives_the_same_decision(sketch in sketches()) {
        let world = build(&sketch);
        prop_assert_eq!(world.decide(), world.decide());
    }

    #[test]
    fn a_wait_that_goes_on_keeps_its_since(sketch in sketches()) {
        let mut world = build(&sketch);
        let first = world.decide();
        world.state = after(&world, &first);
        world.now += SignedDuration::from_secs(5);
        for wait in world.decide_after(Some(&first.status)).waiting {
            if let Some(before) = first.waiting.iter().find(|before| before.reason == wait.reason) {
                prop_assert!(wait.since <= before.since.max(now()), "{before:?} became {wait:?}");
            }
        }
    }

    #[test]
    fn nothing_is_created_let_go_or_purged_while_the_listener_is_unknown(
        sketch in sketches(),
        why in proptest::sample::select(vec![Why::NotAsked, Why::Throttled, Why::Malformed, Why::Inconsistent]),
    ) {
        let mut sketch = sketch;
        sketch.traffic.listeners = Fact::Unknown(why);
        let world = build(&sketch);
        let decision = world.decide();
        let forbidden = match &decision.step {
            Some(Step::CreateDeployment(_) | Step::ContinueTermination { .. } | Step::Purge(_)) => true,
            // A redeploy that waits at Ready asks for healthy targets only.
            Some(step @ Step::ContinueTraffic { .. }) => is_forward(step, &after(&world, &decision)),
            Some(_) | None => false,
        };
        prop_assert!(!forbidden, "{:?}", word(&decision));
        // Going back is for reasons that do not rest on the listener.
        let rests_on_listener = |entry: &Entry| matches!(entry, Entry::RollbackDecided(Cause::FreezeOver) | Entry::Frozen(_));
        prop_assert!(!decision.entries.iter().any(rests_on_listener), "{:?}", decision.entries);
    }

    #[test]
    fn nothing_is_purged_while_traffic_is_not_where_it_should_be(sketch in sketches()) {
        let decision = build(&sketch).decide();
        if word(&decision) == Some("purge") {
            let held = decision.waiting.iter().any(|wait| matches!(wait.reason, Reason::Held(held) if held != Held::RevisionFailed));
            prop_assert!(!held, "{:?}", decision.waiting);
        }
    }

    #[test]
    fn an_abort_of_what_is_in_flight_wins_over_every_forward_step(sketch in sketches(), held in any::<bool>()) {
        let mut sketch = sketch;
        sketch.asked.abort = Fact::Known(AbortText::InForce);
        // A hold beside it changes nothing.
        sketch.asked.hold = if held { Fact::Known(()) } else { sketch.asked.hold };
        let Some(flight) = sketch.rollout.clone() else { return Ok(()) };
        if flight.phase == Phase::Retiring {
            return Ok(());
        }
        let world = build(&sketch);
        let decision = world.decide();
        let after = after(&world, &decision);
        let forward = decision.step.as_ref().is_some_and(|step| is_forward(step, &after));
        prop_assert!(!forward, "{:?}", word(&decision));
        let back = after.rollout.as_ref().is_none_or(|r| matches!(r.phase, RolloutPhase::RollingBack(_)));
        prop_assert!(back, "{:?}", decision.entries);
    }

    #[test]
    fn a_hold_stops_every_new_forward_step_and_no_step_back(sketch in sketches(), fleet in any::<bool>()) {
        let mut sketch = sketch;
        let (hold, other) = (Fact::Known(()), Fact::Absent);
        (sketch.asked.hold, sketch.asked.fleet_hold) = if fleet { (other, hold) } else { (hold, other) };
        // Blue is let go already: sending that again is no new step.
        if sketch.rollout.as_ref().is_some_and(|flight| flight.phase == Phase::Retiring) {
            return Ok(());
        }
        let world = build(&sketch);
        let decision = world.decide();
        let after = after(&world, &decision);
        let forward = decision.step.as_ref().is_some_and(|step| is_forward(step, &after));
        prop_assert!(!forward, "{:?}", word(&decision));
        sketch.asked.hold = Fact::Absent;
        sketch.asked.fleet_hold = Fact::Absent;
        sketch.ledger.held = false;
        let free = build(&sketch).decide();
        // A bake that only a hold keeps unserved does not go back for it.
        let unserved = Entry::RollbackDecided(Cause::BakeUnserved);
        if word(&free) == Some("stop-deployment") && !free.entries.contains(&unserved) {
            prop_assert_eq!(word(&decision), Some("stop-deployment"));
        }
    }

    #[test]
    fn nothing_that_can_be_hidden_is_purged_before_it_was(sketch in sketches()) {
        // What the team's own tool has purged is only journaled.
        let purged = sketch.database.tool == Some(Tool::Done);
        if word(&build(&sketch).decide()) == Some("purge") && !purged {
            prop_assert_eq!(sketch.database.journal, Fact::Known(Journal::Hidden));
            prop_assert_eq!(sketch.database.log, Fact::Known(Log::Quiet));
        }
    }

    #[test]
    fn a_hidden_form_that_must_be_given_back_is(sketch in sketches()) {
        let mut sketch = sketch;
        sketch.ledger.change = Some(Change::Broken);
        sketch.database.journal = Fact::Known(Journal::Hidden);
        (sketch.ledger.doubt, sketch.ledger.refusals) = (None, None);
        let decision = build(&sketch).decide();
        if sketch.ledger.accepted {
            // Another step may come first, in this pass only.
            prop_assert!(decision.step.is_some(), "{:#?}", decision.waiting);
        }
    }

    #[test]
    fn going_back_is_sticky(sketch in sketches()) {
        let world = build(&sketch);
        let Some(flight) = &sketch.rollout else { return Ok(()) };
        let decision = world.decide();
        if flight.phase == Phase::Stopping {
            let step = word(&decision);
            prop_assert!(step.is_none_or(|step| ["stop-deployment", "unhide"].contains(&step)), "{step:?}");
        }
        if matches!(flight.phase, Phase::Stopping | Phase::Redeploying) {
            let after = after(&world, &decision).rollout;
            let goes_back = after.is_none_or(|after| matches!(after.phase, RolloutPhase::RollingBack(_)));
            prop_assert!(goes_back, "{:?}", decision.entries);
        }
    }

    #[test]
    fn a_call_in_doubt_lets_no_forward_step_pass(sketch in sketches()) {
        let world = build(&sketch);
        let decision = world.decide();
        let after = after(&world, &decision);
        if let (Some((intent, _)), Some(step)) = (after.open.first(), &decision.step) {
            prop_assert!(!is_forward(step, &after), "{} although {} is in doubt", step.as_str(), intent.step.as_str());
            prop_assert_ne!(intent.step.as_str(), step.as_str());
        }
    }

    #[test]
    fn a_spec_that_cannot_be_read_rolls_nothing_back(sketch in sketches(), gone in any::<bool>()) {
        let mut sketch = sketch;
        sketch.asked.spec = if gone { Fact::Absent } else { Fact::Unknown(Why::Denied) };
        let decision = build(&sketch).decide();
        let superseded = |entry: &Entry| matches!(entry, Entry::RollbackDecided(Cause::Superseded));
        prop_assert!(!decision.entries.iter().any(superseded));
        if sketch.rollout.is_some() {
            prop_assert!(!decision.entries.contains(&Entry::Unmanaged));
        }
    }

    #[test]
    fn no_deployment_is_made_beside_one_that_has_not_ended(sketch in sketches()) {
        let mut sketch = sketch;
        let Fact::Known(deployments) = &mut sketch.traffic.deployments else { return Ok(()) };
        deployments.foreign = true;
        prop_assert_ne!(word(&build(&sketch).decide()), Some("create-deployment"));
    }
}

#[test]
fn gates_have_stable_names_of_their_own() {
    let names: BTreeSet<&str> = Gate::ALL.iter().map(|gate| gate.as_str()).collect();
    assert_eq!(names.len(), Gate::ALL.len());
    assert_eq!(Gate::ALL.len(), 20);
    for gate in Gate::ALL {
        let name = gate.as_str();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        // What is stored and published is the same name.
        assert_eq!(serde_json::to_value(gate).unwrap(), name);
    }
}
