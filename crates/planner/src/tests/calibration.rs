//! When a service's history is asked for, and what a release begins with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tidegate_analysis::{calibrated, uncalibrated, windows};
use tidegate_model::{
    Fact,
    calibration::Calibrated,
    fact::Why,
    ledger::Entry,
    observation::{DeploymentStatus, Load, PastCounts, PastMinute},
    orders::Orders,
    spec,
    waiting::Reason,
};

use super::{
    golden::in_flight,
    sketch::{Phase, Sketch, calm},
    world::{World, blue_group, build},
};

/// A history of so many minutes until now.
fn history(world: &World, minutes: i64) -> Vec<PastMinute> {
    let whole = Load { requests: 1_000.0, failures: 2.0 };
    let groups = BTreeMap::from([(blue_group(), PastCounts { whole, zones: vec![] })]);
    let at = |back: i64| world.now - SignedDuration::from_mins(back);
    (1..=minutes)
        .rev()
        .map(|back| PastMinute { at: at(back), groups: groups.clone(), metrics: BTreeMap::new() })
        .collect()
}

fn learned(minutes: u32) -> Calibrated {
    let mut learned = calibrated(&[], &blue_group(), []);
    learned.failures.minutes = minutes;
    learned
}

/// True if the world's service is to be looked at now.
fn asks(world: &World) -> bool {
    let spec = &world.seen.spec;
    let asked = crate::needs(&world.release, &world.state, spec, &Orders::default(), world.now).history;
    asked.is_some_and(|asked| asked.windows == windows())
}

fn looked_at(world: &mut World, minutes: u32, before: SignedDuration) {
    world.state.calibrated = Some((learned(minutes), world.now - before));
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// Green's tasks start, and blue's history is not frozen yet.
fn beginning() -> Sketch {
    let mut sketch = in_flight(Phase::Provisioning, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().baseline = false;
    sketch
}

#[test]
fn a_settled_service_is_looked_at_soon_after_it_is_first_seen_and_then_once_a_day() {
    let mut world = build(&calm());
    world.state.accepted_at = Some(world.now);
    assert!(!asks(&world), "services that are first seen at once take turns");
    world.state.accepted_at = Some(world.now - SignedDuration::from_mins(10));
    assert!(asks(&world));
    for (before, due) in [(hours(1), false), (hours(23), false), (hours(24), true), (hours(100), true)] {
        looked_at(&mut world, 2_880, before);
        assert_eq!(asks(&world), due, "{before:#}");
    }
}

#[test]
fn services_that_are_first_seen_at_once_take_turns_over_ten_minutes() {
    let first_asks = |name: &str| {
        let mut world = build(&calm());
        world.release = name.parse().unwrap();
        (0..=10).find(|minutes| {
            world.state.accepted_at = Some(world.now - SignedDuration::from_mins(*minutes));
            asks(&world)
        })
    };
    let turns: BTreeSet<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(first_asks).into();
    assert_eq!(turns, (0..10).map(Some).collect());
}

#[test]
fn counts_of_the_team_s_own_are_learned_too_and_values_are_not() {
    let mut world = build(&calm());
    let text = world.state.accepted.as_ref().unwrap().text.clone();
    let checks = r#"{ "metrics": {
        "orders": { "namespace": "n", "metric": "m", "dimensions": { "v": "{color}" }, "judge": "drop" },
        "depth": { "namespace": "n", "metric": "m", "judge": { "above": 1 } } } }"#;
    let text = text.replacen('{', &format!(r#"{{ "checks": {checks}, "#), 1);
    world.state.accepted.as_mut().unwrap().spec = spec::read(&text).unwrap();
    world.state.accepted_at = Some(world.now - hours(1));
    let orders = Orders::default();
    let asked = crate::needs(&world.release, &world.state, &world.seen.spec, &orders, world.now).history;
    let names: Vec<String> = asked.unwrap().metrics.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["orders"]);
}

#[test]
fn what_was_read_is_noted_once_and_shown() {
    let mut world = build(&calm());
    world.state.accepted_at = Some(world.now - hours(1));
    world.seen.history = Fact::Known(history(&world, 200));
    let decision = world.decide();
    let noted = |entry: &&Entry| matches!(entry, Entry::Calibrated(_));
    assert_eq!(decision.entries.iter().filter(noted).count(), 1);
    let shown = decision.status.rollout.calibration.as_ref().unwrap();
    assert_eq!((shown.minutes, shown.at, shown.requests_per_minute), (200, world.now, 1_000.0));
    assert!(shown.message.starts_with("it fails in 0.2"), "{shown:?}");
    world.state = super::after(&world, &decision);
    assert_eq!(world.decide().entries.iter().filter(noted).count(), 0);
    assert!(!asks(&world));
}

#[test]
fn a_history_that_could_not_be_read_is_no_history_and_is_asked_for_again() {
    let mut world = build(&calm());
    world.state.accepted_at = Some(world.now - hours(1));
    world.seen.history = Fact::Unknown(Why::Throttled);
    let decision = world.decide();
    assert!(!decision.entries.iter().any(|entry| matches!(entry, Entry::Calibrated(_))));
    assert!(asks(&world));
}

#[test]
fn a_release_begins_with_what_is_young_and_looks_again_at_what_is_old_or_rests_on_little() {
    let mut world = build(&beginning());
    assert!(asks(&world), "nothing is known");
    for (minutes, before, asked) in [
        (2_880, hours(24), false),
        (2_880, hours(26), true),
        (1_439, SignedDuration::from_mins(59), false),
        (1_439, SignedDuration::from_mins(61), true),
        (1_440, hours(24), false),
    ] {
        looked_at(&mut world, minutes, before);
        assert_eq!(asks(&world), asked, "{minutes} minutes, {before:#} ago");
    }
}

#[test]
fn blue_is_frozen_only_with_a_calibration() {
    let mut world = build(&beginning());
    let taken = |world: &World| {
        let decision = world.decide();
        let taken = decision.entries.iter().find_map(|entry| {
            let Entry::BaselineTaken(baseline) = entry else { return None };
            Some(baseline.calibration.clone())
        });
        (taken, decision)
    };
    world.seen.history = Fact::Unknown(Why::Unreachable);
    let (none, decision) = taken(&world);
    assert_eq!(none, None);
    let told = |wait: &tidegate_model::waiting::Waiting| {
        wait.reason == Reason::Unobserved && wait.message.starts_with("the service's own history")
    };
    assert!(decision.waiting.iter().any(told), "{:#?}", decision.waiting);
    looked_at(&mut world, 2_880, hours(3));
    let expected = Some(Some(learned(2_880).failures));
    assert_eq!(taken(&world).0, expected);
}

#[test]
fn nothing_is_read_while_traffic_moves_or_goes_back() {
    for phase in [Phase::Shifting, Phase::Confirming, Phase::Baking, Phase::Retiring, Phase::Stopping] {
        let mut sketch = in_flight(phase, DeploymentStatus::InProgress, false);
        sketch.rollout.as_mut().unwrap().baseline = false;
        let world = build(&sketch);
        assert!(!asks(&world), "{:?}", world.state.rollout.map(|rollout| rollout.phase));
    }
}

#[test]
fn an_entry_of_the_ledger_reads_as_it_was_written() {
    let before = Entry::Calibrated(Box::new(Calibrated {
        failures: uncalibrated(),
        metrics: BTreeMap::from([("checkouts".parse().unwrap(), uncalibrated())]),
        from: Some(Timestamp::UNIX_EPOCH),
        zones: 2,
    }));
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), before);
}
