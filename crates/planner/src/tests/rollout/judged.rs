//! What a verdict does to a rollout, and what is kept of it.

use tidegate_model::{fact::Why, gate::Gate, ledger::Judged, observation::ColorHealth};

use super::{
    super::{
        golden::baked,
        sketch::Minutes,
        world::{ago, blue_group, green_group},
    },
    *,
};

/// Traffic moves, and so much of it is on green.
fn shifting(green: u32, minutes: Minutes) -> Sketch {
    let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    sketch.rollout.as_mut().unwrap().sent.1 = Some(60);
    sketch.traffic.listeners = Fact::Known((100 - green, green, false));
    sketch.traffic.minutes = Fact::Known(minutes);
    sketch
}

fn kept(decision: &Decision) -> Option<&Judged> {
    decision.entries.iter().find_map(|entry| match entry {
        Entry::Judged(judged) => Some(&**judged),
        _ => None,
    })
}

#[test]
fn a_green_that_fails_goes_back_and_what_it_was_judged_by_is_kept() {
    let world = build(&shifting(20, Minutes::GreenFails));
    let decision = world.decide();
    let cause = turns_back(&decision);
    assert!(matches!(cause, Some(Cause::Verdict(finding)) if finding.measured > 0.4), "{cause:?}");
    let judged = kept(&decision).expect("it is kept");
    assert_eq!((&judged.blue, &judged.green), (&blue_group(), &green_group()));
    assert_eq!(judged.weight, 0.2);
    assert_eq!(judged.ramp_minutes, 12, "a fifth of the traffic every three minutes");
    assert_eq!(judged.traffic_since, ago(900));
    assert_eq!(Some(&judged.minutes), world.seen.minutes.known());
    let targets = world.seen.health.known().unwrap();
    let health = ColorHealth { blue: targets[&blue_group()], green: targets[&green_group()] };
    assert_eq!(judged.health, Some(health));
}

#[test]
fn a_green_that_was_not_looked_at_is_not_dead() {
    // The deployment group names green's target group no more, so neither its health nor its minutes were read.
    let mut world = build(&shifting(20, Minutes::GreenFails));
    let Fact::Known(group) = &mut world.seen.group else { panic!("a group") };
    group.target_groups.retain(|group| *group != green_group());
    let (Fact::Known(health), Fact::Known(minutes)) = (&mut world.seen.health, &mut world.seen.minutes)
    else {
        panic!("health and minutes")
    };
    health.remove(&green_group());
    minutes.iter_mut().for_each(|minute| minute.groups.retain(|group, _| *group != green_group()));
    let decision = world.decide();
    assert_eq!((turns_back(&decision), word(&decision)), (None, None));
    let waits: Vec<&str> = decision.status.waiting.iter().map(|wait| wait.message.as_str()).collect();
    assert!(waits.iter().any(|wait| wait.contains("does not name both target groups")), "{waits:?}");
}

#[test]
fn a_shift_goes_back_for_silence_where_requests_are_due_and_a_bake_only_waits() {
    let cause = |green, minutes| turns_back(&build(&shifting(green, minutes)).decide()).cloned();
    assert_eq!(cause(20, Minutes::BlueOnly), Some(Cause::NoData { minutes: 15 }));
    assert_eq!(cause(1, Minutes::BlueOnly), None, "one request a minute may fail to come");
    assert_eq!(cause(20, Minutes::GreenOnly), None);

    let mut silent = baked();
    silent.traffic.minutes = Fact::Known(Minutes::BlueOnly);
    let mut world = build(&silent);
    world.state.rollout.as_mut().unwrap().bake.running_since = Some(ago(300));
    let decision = world.decide();
    assert_eq!((turns_back(&decision), word(&decision)), (None, None));
    assert!(decision.entries.contains(&Entry::BakeClock { running: false }));
    let message = &told(&decision, Reason::Baking).unwrap().message;
    assert!(message.ends_with("of 1h: green reports no requests"), "{message}");
}

#[test]
fn nothing_is_concluded_from_metrics_while_somebody_else_says_where_traffic_goes() {
    let mut edited = shifting(60, Minutes::GreenFails);
    edited.traffic.deployments = edited.traffic.deployments.clone().map(|mut all| {
        all.target = Fact::Known((Some(20), false));
        all
    });
    let mut baking = baked();
    baking.traffic.minutes = Fact::Known(Minutes::GreenFails);
    assert!(turns_back(&build(&baking).decide()).is_some());
    baking.traffic.listeners = Fact::Known((50, 50, false));
    for sketch in [edited, baking] {
        let decision = build(&sketch).decide();
        assert!(holds(&decision, Held::ListenerEdited));
        assert_eq!(turns_back(&decision), None);
    }
}

#[test]
fn blue_is_not_removed_after_a_bake_in_which_green_could_not_be_judged() {
    assert_eq!(word(&build(&baked()).decide()), Some("continue-termination"));
    let mut unread = baked();
    unread.traffic.minutes = Fact::Unknown(Why::Denied);
    let decision = build(&unread).decide();
    assert_eq!((turns_back(&decision), word(&decision)), (None, None));
    let wait = told(&decision, Reason::Gate(Gate::HealthySoFar)).expect("it is told");
    assert_eq!(wait.message, "how green does is not known: it could not be judged");
    // As long as blue is warm it may still be read: afterwards going back is the safe way.
    let mut world = build(&unread);
    world.now = wait.deadline.expect("an end");
    assert_eq!(turns_back(&world.decide()), Some(&Cause::BakeUnserved));
}
