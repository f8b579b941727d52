//! What the ledger does not know, or is about to forget: deployments that were made under a newer copy of it, and a spec that is
//! gone.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Decision,
    ledger::Entry,
    observation::DeploymentStatus,
    waiting::{Held, Reason},
};

use super::{
    after,
    golden::in_flight,
    sketch::{Asked, Change, Phase, Serving, Sketch, calm},
    word,
    world::{World, build},
};

/// A rollout in preflight, and a deployment for the same spec that has ended, with this intent in its marker.
fn ended(status: DeploymentStatus, rolled_back: bool, intent: &str) -> World {
    let mut sketch = in_flight(Phase::Preflight, status, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    if let Fact::Known(deployments) = &mut sketch.traffic.deployments {
        deployments.ours = Some((status, false, rolled_back));
        deployments.rollback = DeploymentStatus::Succeeded;
    }
    let mut world = build(&sketch);
    world.seen.deployments = world.seen.deployments.map(|mut all| {
        for marker in all.iter_mut().filter_map(|d| d.marker.as_mut()) {
            marker.intent = intent.into();
        }
        all
    });
    world
}

fn learns(decision: &Decision) -> bool {
    decision.entries.iter().any(|entry| matches!(entry, Entry::DeploymentKnown(_)))
}

#[test]
fn a_version_that_failed_under_a_newer_copy_of_the_ledger_is_not_tried_again() {
    let mut world = ended(DeploymentStatus::Stopped, true, "i80");
    let decision = world.decide();
    assert!(learns(&decision));
    assert_eq!(word(&decision), None);
    let state = after(&world, &decision);
    assert_eq!((state.rollout, state.failed.len()), (None, 1));
    // What this ledger has made itself, and what became of it, it knows.
    world.state.deployments = world.seen.deployments.known().unwrap().iter().map(|d| d.id.clone()).collect();
    assert!(!learns(&world.decide()));
}

#[test]
fn a_version_that_was_taken_back_under_a_newer_copy_of_the_ledger_goes_back() {
    for status in [DeploymentStatus::Succeeded, DeploymentStatus::InProgress] {
        let decision = ended(status, false, "r80").decide();
        assert!(!learns(&decision), "it is no deployment of the version itself");
        assert!(decision.entries.iter().any(|entry| matches!(entry, Entry::RollbackDecided(_))));
    }
}

#[test]
fn a_version_that_succeeded_once_and_does_not_serve_is_deployed() {
    let world = ended(DeploymentStatus::Succeeded, false, "i80");
    assert!(!learns(&world.decide()));
}

#[test]
fn a_spec_is_given_up_only_if_it_stays_away() {
    let gone = Sketch { asked: Asked { spec: Fact::Absent, ..calm().asked }, ..settled() };
    let mut world = build(&gone);
    let first = world.decide();
    assert_eq!((word(&first), first.entries.as_slice()), (None, &[Entry::SpecAbsent { absent: true }][..]));
    assert!(first.waiting.iter().any(|wait| wait.reason == Reason::Held(Held::SpecGone)));
    world.state = after(&world, &first);
    world.now += SignedDuration::from_secs(119);
    assert_eq!(world.decide().entries, []);
    world.now += SignedDuration::from_secs(1);
    assert_eq!(world.decide().entries, [Entry::Unmanaged]);
    // It is there again: the next absence is counted anew.
    let mut back = build(&settled());
    back.state.spec_absent = Some(back.now);
    assert_eq!(back.decide().entries, [Entry::SpecAbsent { absent: false }]);
}

/// A release at rest without an open change: what is desired serves.
fn settled() -> Sketch {
    let mut sketch = calm();
    sketch.traffic.service = Fact::Known(Serving::Green);
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    sketch.ledger.change = Some(Change::Purged);
    sketch
}
