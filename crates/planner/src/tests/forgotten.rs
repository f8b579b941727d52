//! What the ledger does not know, or is about to forget: deployments that were made under a newer copy of it, and a spec that is
//! gone.

use std::mem::swap;

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Decision,
    ledger::{Cause, Entry, RolloutEnd, RolloutStart},
    name::{Marker, ParameterVersion},
    observation::{Deployment, DeploymentStatus},
    waiting::{Held, Reason},
};

use super::{
    after,
    golden::{self, in_flight},
    sketch::{Asked, Change, Phase, Serving, Sketch, calm},
    word,
    world::{World, blue_group, build, green_group, revision},
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

/// A rollout in preflight, and what serves at rest is not the blue that it started from.
fn replaced(by: Serving, listener: (u32, u32, bool)) -> World {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::Succeeded, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.service = Fact::Known(by);
    sketch.traffic.listeners = Fact::Known(listener);
    build(&sketch)
}

#[test]
fn a_rollout_that_was_carried_out_under_a_newer_copy_of_the_ledger_is_at_its_end() {
    let world = replaced(Serving::Green, (0, 100, false));
    let decision = world.decide();
    assert_eq!(decision.entries.first(), Some(&Entry::RolloutEnded(RolloutEnd::Settled)));
    assert_eq!(word(&decision), None);
    // Nothing is at its end while traffic is on both colours, or on the one that does not serve.
    for listener in [(50, 50, false), (100, 0, false)] {
        let ends = |entry: &Entry| matches!(entry, Entry::RolloutEnded(_) | Entry::RolloutStarted(_));
        assert!(!replaced(Serving::Green, listener).decide().entries.iter().any(ends), "{listener:?}");
    }
}

#[test]
fn a_rollout_that_has_made_no_deployment_starts_again_from_what_somebody_has_deployed_meanwhile() {
    let mut world = replaced(Serving::Green, (0, 100, false));
    let primary = world.seen.service.known().unwrap().primary().unwrap().clone();
    let definition = world.seen.revisions.get_mut(&primary.revision.0).unwrap();
    *definition = definition.clone().map(|mut found| {
        found.content["containerDefinitions"][0]["image"] = "somebody:else".into();
        found
    });
    let decision = world.decide();
    let Some(Entry::RolloutStarted(start)) = decision.entries.first() else { panic!("{decision:?}") };
    let began = &world.state.rollout.as_ref().unwrap().start;
    assert_eq!((&start.spec, &start.blue), (&began.spec, &primary.revision));
    assert_eq!((&start.blue_group, &start.green_group), (&began.green_group, &began.blue_group));
    world.state = after(&world, &decision);
    assert!(!world.decide().entries.iter().any(|entry| matches!(entry, Entry::RolloutStarted(_))));
}

#[test]
fn a_deployment_under_way_is_taken_over_in_the_colours_that_it_found_and_not_in_those_of_an_older_ledger() {
    let began = |change: fn(&mut RolloutStart)| {
        let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::InProgress, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        let mut world = build(&sketch);
        change(&mut world.state.rollout.as_mut().unwrap().start);
        let decision = world.decide();
        assert!(learns(&decision));
        assert_eq!(word(&decision), None);
        decision.entries.into_iter().find_map(|entry| match entry {
            Entry::RolloutStarted(start) => Some(start),
            _ => None,
        })
    };
    assert_eq!(began(|_| {}), None);
    let swapped = began(|start| swap(&mut start.blue_group, &mut start.green_group));
    let start = swapped.expect("the colours were swapped since");
    assert_eq!((start.blue_group, start.green_group, start.adopted), (blue_group(), green_group(), true));
    let older = began(|start| start.blue = revision(7));
    assert_eq!(older.expect("another revision serves since").blue, revision(1));
}

#[test]
fn a_deployment_that_ended_under_other_colours_than_an_older_ledger_knows_is_judged_by_its_own() {
    let mut world = ended(DeploymentStatus::Stopped, true, "i80");
    let start = &mut world.state.rollout.as_mut().unwrap().start;
    swap(&mut start.blue_group, &mut start.green_group);
    let decision = world.decide();
    assert!(learns(&decision));
    let state = after(&world, &decision);
    assert_eq!((state.rollout, state.failed.len()), (None, 1), "{:?}", decision.waiting);
}

#[test]
fn a_deployment_behind_the_flip_is_taken_over_in_the_colours_that_it_found() {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.service = Fact::Known(Serving::GreenWithBlue);
    let mut world = build(&sketch);
    let starts = |world: &World| {
        world.decide().entries.into_iter().find_map(|entry| match entry {
            Entry::RolloutStarted(start) => Some(start),
            _ => None,
        })
    };
    assert_eq!(starts(&world), None);
    let start = &mut world.state.rollout.as_mut().unwrap().start;
    swap(&mut start.blue_group, &mut start.green_group);
    let start = starts(&world).expect("the colours were swapped since");
    assert_eq!((start.blue, start.blue_group), (revision(1), blue_group()));
}

#[test]
fn a_rollout_that_has_made_no_deployment_waits_for_one_that_is_under_way_and_takes_its_traffic_for_no_edit() {
    let mut sketch = in_flight(Phase::Preflight, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().deployment = false;
    sketch.traffic.listeners = Fact::Known((0, 100, false));
    let mut world = build(&sketch);
    let version = world.state.rollout.as_ref().unwrap().start.spec.version;
    let marker = world.seen.deployments.known().unwrap()[0].marker.clone().unwrap();
    let newer = Marker { version: ParameterVersion(version.0 + 1), ..marker };
    for (marker, held) in [(None, Held::ForeignDeployment), (Some(newer), Held::LedgerBehind)] {
        world.seen.deployments = world.seen.deployments.map(|mut all| {
            all[0].marker = marker;
            all
        });
        let decision = world.decide();
        let reasons: Vec<Reason> = decision.waiting.iter().map(|wait| wait.reason).collect();
        assert!(reasons.contains(&Reason::Held(held)), "{reasons:?}");
        assert!(!reasons.contains(&Reason::Held(Held::ListenerEdited)));
        assert_eq!(word(&decision), None);
    }
}

#[test]
fn a_rollout_whose_success_somebody_has_replaced_ends_as_superseded() {
    let mut world = build(&in_flight(Phase::Retiring, DeploymentStatus::Succeeded, false));
    let ends = Entry::RolloutEnded(RolloutEnd::RolledBack(Cause::Superseded));
    let held = world.decide();
    assert!(held.waiting.iter().any(|wait| wait.reason == Reason::Held(Held::TrafficDisagrees)));
    assert!(!held.entries.contains(&ends));
    world.seen.deployments = world.seen.deployments.map(|mut all| {
        let created = all[0].created + SignedDuration::from_mins(1);
        all.insert(0, Deployment { id: "d-NEWER".into(), created, marker: None, ..all[0].clone() });
        all
    });
    assert_eq!(world.decide().entries.first(), Some(&ends));
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
    let mut sketch = golden::settled();
    sketch.ledger.change = Some(Change::Purged);
    sketch
}
