//! Gates on what people ask, and on traffic.

use tidegate_analysis::Judgement;
use tidegate_model::{
    Fact, ParameterVersion, Why,
    ledger::Refused,
    name::MetricName,
    observation::{Alarm, DeploymentStatus, TargetHealth},
    spec,
    verdict::{Check, RuleReading, Standing, Unit, Verdict},
    waiting::Class,
};

use super::{
    super::{
        golden::in_flight,
        sketch::{Deployments, Phase, calm, none},
        world::{World, ago, blue_group, build, green_group},
    },
    ask, closed, is_open, rollout, says,
};
use crate::gates;

/// Everything is well, and green waits to be let go.
fn ready() -> World {
    build(&in_flight(Phase::Verifying, DeploymentStatus::Ready, false))
}

/// Places of the task sets in [`ready`].
const BLUE: usize = 0;
const GREEN: usize = 1;

/// From now on so many tasks of a colour run.
fn run(world: &mut World, colour: usize, running: u32) {
    world.seen.service = world.seen.service.clone().map(|mut service| {
        service.task_sets[colour].running = running;
        service
    });
}

#[test]
fn a_newer_spec_that_is_invalid_closes_as_one_that_cannot_be_read_does() {
    let mut world = ready();
    assert!(is_open(&ask(&world, |draft| gates::spec_valid(&draft))));
    let unread = ask(&world, |draft| {
        let mut draft = draft;
        draft.spec_unread = Some("the spec is gone".into());
        (gates::spec_valid(&draft), gates::spec_there(&draft))
    });
    says(unread.0, Class::NeedsFix, "the spec is gone");
    says(unread.1, Class::NeedsFix, "the spec is gone");
    let problems = spec::read("").unwrap_err();
    world.state.refused = Some(Refused { version: ParameterVersion(6), modified: ago(60), problems });
    says(ask(&world, |draft| gates::spec_valid(&draft)), Class::NeedsFix, "spec version 6 is invalid");
    assert!(is_open(&ask(&world, |draft| gates::spec_there(&draft))), "the accepted one is still in force");
}

#[test]
fn a_newer_spec_for_something_else_closes_before_the_first_weight_only() {
    let mut world = ready();
    assert!(is_open(&ask(&world, |draft| gates::not_superseded(&draft, &rollout(&world)))));
    world.state.accepted.as_mut().unwrap().desired = tidegate_model::Digest::of("another");
    let superseded = |world: &World| ask(world, |draft| gates::not_superseded(&draft, &rollout(world)));
    says(superseded(&world), Class::NeedsTime, "asks for something else");
    world.state.rollout.as_mut().unwrap().traffic_since = Some(ago(5));
    assert!(superseded(&world).lets_pass());
}

#[test]
fn the_engine_is_ready_when_blue_is_whole_no_alarm_is_red_and_nobody_else_deploys() {
    let engine = |world: &World| ask(world, |draft| gates::engine_ready(&draft, &rollout(world)));
    let mut world = ready();
    assert!(is_open(&engine(&world)), "our own deployment is no foreign one");

    let healthy = |healthy| TargetHealth { healthy, ..TargetHealth::default() };
    world.seen.health = Fact::Known([(blue_group(), healthy(1)), (green_group(), healthy(9))].into());
    says(engine(&world), Class::NeedsFix, "blue has 1 healthy targets of 2");
    world.seen.health = Fact::Known([(blue_group(), healthy(3))].into());
    assert!(is_open(&engine(&world)), "more than enough is enough");

    let alarm = |name: &str, red| Alarm { name: name.into(), red };
    world.seen.alarms = Fact::Known(vec![alarm("errors", true)]);
    says(engine(&world), Class::NeedsFix, "alarm errors is red");
    world.seen.alarms = Fact::Known(vec![]);
    says(engine(&world), Class::NeedsFix, "alarm errors does not exist");
    world.seen.alarms = Fact::Known(vec![alarm("errors", false), alarm("others", true)]);
    assert!(is_open(&engine(&world)), "what nobody asked for may be red");

    let deployments = |foreign| Deployments { foreign, ..none() };
    let mut sketch = calm();
    sketch.traffic.deployments = Fact::Known(deployments(true));
    let all = build(&sketch).seen.deployments;
    world.seen.deployments = all.clone();
    says(engine(&world), Class::NeedsFix, "deployment d-9 is in progress");
    world.seen.deployments = all.map(|mut all| {
        all.iter_mut().for_each(|deployment| deployment.status = DeploymentStatus::Succeeded);
        all
    });
    assert!(is_open(&engine(&world)), "it has ended");
}

#[test]
fn whether_the_engine_is_ready_is_not_known_while_what_it_rests_on_cannot_be_read() {
    let unread = |change: fn(&mut World), what: &str| {
        let mut world = ready();
        change(&mut world);
        let reading = ask(&world, |draft| gates::engine_ready(&draft, &rollout(&world)));
        says(reading, Class::NeedsTime, what);
    };
    unread(|world| world.seen.listeners = Fact::Unknown(Why::Throttled), "the listeners");
    unread(|world| world.seen.health = Fact::Unknown(Why::Throttled), "target health");
    unread(|world| world.seen.alarms = Fact::Unknown(Why::Throttled), "what the alarms show");
    unread(
        |world| world.seen.deployments = Fact::Unknown(Why::Throttled),
        "what runs on the deployment group",
    );
}

#[test]
fn an_alarm_of_the_specs_own_closes_unless_it_is_on_trial() {
    let engine = |dry_run: bool| {
        let mut world = ready();
        let checks = format!(
            r#"{{ "metrics": {{ "queue": {{ "judge": {{ "alarm": "queue-is-long" }}, "dryRun": {dry_run} }} }} }}"#
        );
        let start = &mut world.state.rollout.as_mut().unwrap().start;
        let text = start.spec.text.replacen('{', &format!(r#"{{ "checks": {checks}, "#), 1);
        start.spec.spec.checks = spec::read(&text).unwrap().checks;
        assert!(start.spec.spec.checks.metrics.contains_key(&"queue".parse::<MetricName>().unwrap()));
        world.seen.alarms = world.seen.alarms.map(|mut alarms| {
            alarms.push(Alarm { name: "queue-is-long".into(), red: true });
            alarms
        });
        ask(&world, |draft| gates::engine_ready(&draft, &rollout(&world)))
    };
    says(engine(false), Class::NeedsFix, "alarm queue-is-long is red");
    assert!(is_open(&engine(true)));
}

#[test]
fn green_is_healthy_when_its_own_task_set_runs_and_passes_its_checks() {
    let green = |world: &World| ask(world, |draft| gates::green_healthy(&draft, &rollout(world)));
    let mut world = ready();
    assert!(is_open(&green(&world)));
    run(&mut world, GREEN, 3);
    assert!(is_open(&green(&world)), "more than enough is enough");
    run(&mut world, GREEN, 1);
    let reading = closed(green(&world));
    assert_eq!((reading.measured.as_deref(), reading.required.as_deref()), (Some("1"), Some("2")));
}

#[test]
fn probes_count_while_the_test_listener_forwards_to_green_alone() {
    let verified = |world: &World| ask(world, |draft| gates::verified(&draft, &rollout(world)));
    let mut world = ready();
    assert!(is_open(&verified(&world)));
    let blue = build(&calm()).seen.listeners.known().unwrap().production.clone();
    world.seen.listeners = world.seen.listeners.map(|mut listeners| {
        listeners.test = Some(blue);
        listeners
    });
    says(verified(&world), Class::NeedsHuman, "may have asked blue");
}

#[test]
fn green_is_healthy_so_far_when_blue_is_known_and_nothing_speaks_against_green() {
    let mut world = ready();
    assert!(is_open(&gates::healthy_so_far(&rollout(&world), None)));
    world.state.rollout.as_mut().unwrap().baseline = None;
    says(gates::healthy_so_far(&rollout(&world), None), Class::NeedsTime, "blue's last five closed minutes");

    let rule = |measured, dry_run| RuleReading {
        check: Check::Errors,
        guard: None,
        measure: None,
        measured: Some(measured),
        limit: Some(1.0),
        unit: Unit::Ratio,
        failing_minutes: 2,
        of_minutes: 5,
        needed_minutes: 3,
        standing: Standing::Suspect,
        dry_run,
    };
    let suspect = Judgement {
        verdict: Verdict::Suspect,
        until: None,
        evidence: None,
        dry_run: vec![],
        rules: vec![rule(9.0, true), rule(3.0, false)],
    };
    let said = closed(gates::healthy_so_far(&rollout(&world), Some(&suspect)));
    assert_eq!(said.message, suspect.rules[1].to_string());
    let silent = Judgement { verdict: Verdict::NoData { minutes: 7 }, ..suspect };
    let said = closed(gates::healthy_so_far(&rollout(&world), Some(&silent)));
    assert_eq!(said.measured.as_deref(), Some("7 silent minutes"));
}

#[test]
fn the_way_back_is_open_while_blue_runs_whole_and_the_deployment_has_not_ended() {
    let back = |world: &World| ask(world, |draft| gates::rollback_ready(&draft, &rollout(world)));
    let mut world = ready();
    assert!(is_open(&back(&world)));
    run(&mut world, BLUE, 3);
    assert!(is_open(&back(&world)), "more than enough is enough");
    run(&mut world, BLUE, 1);
    says(back(&world), Class::NeedsFix, "does not run at full size");
    run(&mut world, BLUE, 2);
    world.seen.deployments = world.seen.deployments.map(|mut all| {
        all.iter_mut().for_each(|deployment| deployment.status = DeploymentStatus::Stopped);
        all
    });
    says(back(&world), Class::NeedsHuman, "the deployment has ended");
}
