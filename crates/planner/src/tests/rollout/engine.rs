//! What CodeDeploy is asked for, what it must be set up with, and where a deployment of it stands.

use tidegate_model::{
    decision::Step,
    duration::Span,
    fact::Why,
    gate::GateState,
    observation::{DeploymentGroup, DeploymentTarget, Listeners, Service},
    spec::{Shift, Spec, Traffic},
};

use super::{
    super::{
        gates::ask,
        golden::preflight,
        sketch::{Serving, none},
        world::{ago, green_group, revision},
    },
    *,
};
use crate::{
    engine::codedeploy::{Where, config_name, read, ready_problems, shift_step},
    gates,
};

fn minutes(minutes: u32) -> Span {
    format!("{minutes}m").parse().unwrap()
}

fn linear(percent: u8, every: u32) -> Shift {
    Shift::Linear { percent, every: minutes(every) }
}

fn canary(percent: u8, lasts: u32) -> Shift {
    Shift::Canary { percent, r#for: minutes(lasts) }
}

#[test]
fn a_config_is_codedeploy_s_own_where_it_has_one_and_named_after_the_shift_otherwise() {
    for (shift, name, predefined) in [
        (Shift::AllAtOnce, "CodeDeployDefault.ECSAllAtOnce", true),
        (linear(10, 1), "CodeDeployDefault.ECSLinear10PercentEvery1Minutes", true),
        (linear(10, 3), "CodeDeployDefault.ECSLinear10PercentEvery3Minutes", true),
        (linear(10, 2), "tidegate-linear-10-every-2m", false),
        (linear(20, 3), "tidegate-linear-20-every-3m", false),
        (canary(10, 5), "CodeDeployDefault.ECSCanary10Percent5Minutes", true),
        (canary(10, 15), "CodeDeployDefault.ECSCanary10Percent15Minutes", true),
        (canary(10, 6), "tidegate-canary-10-for-6m", false),
        (canary(25, 5), "tidegate-canary-25-for-5m", false),
    ] {
        assert_eq!(config_name(shift), (name.to_owned(), predefined));
    }
}

#[test]
fn a_listener_may_be_one_step_beside_what_codedeploy_says() {
    for (shift, step) in
        [(linear(20, 3), 20.0), (canary(10, 5), 90.0), (canary(60, 5), 60.0), (Shift::AllAtOnce, 100.0)]
    {
        assert_eq!(shift_step(shift), step, "{shift:?}");
    }
}

#[test]
fn each_setting_that_cannot_give_what_the_spec_asks_is_named() {
    type Change = fn(&mut DeploymentGroup, &mut Service);
    let world = build(&in_flight(Phase::Preflight, DeploymentStatus::Created, false));
    let spec = &world.state.accepted.as_ref().unwrap().spec;
    let Traffic::Codedeploy(traffic) = &spec.traffic;
    let problems = |change: Change| {
        let mut group = world.seen.group.known().unwrap().clone();
        let mut service = world.seen.service.known().unwrap().clone();
        change(&mut group, &mut service);
        ready_problems(spec, traffic, &group, &service)
    };
    assert_eq!(problems(|_, _| {}), Vec::<String>::new());
    // The bake of an hour, a quarter until it is confirmed and begins, and half an hour before blue is deleted.
    assert_eq!(problems(|group, _| group.termination_wait_minutes = Some(105)), Vec::<String>::new());
    let one: [(Change, &str); 15] = [
        (|_, service| service.active = false, "not ACTIVE"),
        (|_, service| service.by_codedeploy = false, "must be CODE_DEPLOY"),
        (|_, service| service.container = None, "no load balancer"),
        (|group, _| group.cluster = "other".into(), "deploys another service"),
        (|group, _| group.service = "other".into(), "deploys another service"),
        (|group, _| drop(group.target_groups.pop()), "exactly two target groups"),
        (|group, _| group.production_listener = None, "no production listener"),
        (|group, _| group.ready_wait_minutes = Some(0), "deploymentReadyOption"),
        (|group, _| group.termination_wait_minutes = Some(89), "at least 105 for this bake"),
        (|group, _| group.termination_wait_minutes = None, "must be TERMINATE"),
        (|group, _| group.alarms.clear(), "at least one alarm"),
        (|group, _| group.rollback_on.failure = false, "autoRollbackConfiguration"),
        (|group, _| group.rollback_on.alarm = false, "autoRollbackConfiguration"),
        (|group, _| group.rollback_on.request = false, "autoRollbackConfiguration"),
        (|group, _| group.test_listener = None, "needs a test listener"),
    ];
    for (change, names) in one {
        let problems = problems(change);
        assert!(matches!(&problems[..], [problem] if problem.contains(names)), "{names}: {problems:?}");
    }
}

#[test]
fn probes_need_listeners_that_take_http() {
    let refused = |change: fn(&mut Listeners, &mut Spec)| {
        let mut world = build(&preflight());
        let rollout = world.state.rollout.as_mut().unwrap();
        let Fact::Known(listeners) = &mut world.seen.listeners else { panic!("they are known") };
        change(listeners, &mut rollout.start.spec.spec);
        let rollout = rollout.clone();
        let reading = ask(&world, |draft| gates::engine_ready(&draft, &rollout));
        matches!(reading.state, GateState::Closed(closed) if closed.message.contains("takes HTTPS only"))
    };
    fn encrypted() -> String {
        "https://shop.elb.amazonaws.com".to_owned()
    }
    assert!(!refused(|_, _| {}));
    assert!(refused(|listeners, _| listeners.production.address = encrypted()));
    assert!(refused(|listeners, _| listeners.test.as_mut().unwrap().address = encrypted()));
    assert!(!refused(|listeners, spec| {
        listeners.production.address = encrypted();
        spec.verify.clear();
    }));
}

#[test]
fn a_test_listener_is_needed_for_probes_and_where_all_traffic_moves_at_once() {
    let world = build(&in_flight(Phase::Preflight, DeploymentStatus::Created, false));
    let mut spec = world.state.accepted.as_ref().unwrap().spec.clone();
    spec.verify.clear();
    let mut group = world.seen.group.known().unwrap().clone();
    group.test_listener = None;
    for (shift, needed) in [(linear(10, 1), 0), (Shift::AllAtOnce, 1)] {
        let Traffic::Codedeploy(traffic) = &mut spec.traffic;
        traffic.shift = shift;
        let Traffic::Codedeploy(traffic) = spec.traffic.clone();
        let problems = ready_problems(&spec, &traffic, &group, world.seen.service.known().unwrap());
        assert_eq!(problems.len(), needed, "{problems:?}");
    }
}

#[test]
fn weight_on_green_is_believed_where_codedeploy_s_target_cannot_be_read() {
    for (share, place) in [(1, Where::Shifting { asked: None }), (0, Where::Installing)] {
        let mut sketch = in_flight(Phase::Provisioning, DeploymentStatus::InProgress, false);
        sketch.traffic.listeners = Fact::Known((100 - share, share, false));
        let mut world = build(&sketch);
        let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
        deployments[0].target = Fact::Unknown(Why::Throttled);
        let deployment = deployments[0].clone();
        assert_eq!(read(&deployment, &world.seen, &green_group(), false), place);
    }
}

#[test]
fn where_a_deployment_is_follows_from_status_target_and_listener_together() {
    use DeploymentStatus as Status;
    let at = |status, target: (Option<u8>, bool), green: u32, let_go| {
        let mut sketch = in_flight(Phase::Shifting, status, false);
        sketch.traffic.listeners = Fact::Known((100 - green, green, false));
        let mut world = build(&sketch);
        let Fact::Known(deployments) = &mut world.seen.deployments else { panic!("they are known") };
        let (green_weight, all_moved) = target;
        deployments[0].target = Fact::Known(DeploymentTarget {
            green: Some(revision(2)),
            green_weight,
            ready_since: None,
            traffic_since: green_weight.map(|_| ago(500)),
            traffic_until: all_moved.then(|| ago(400)),
        });
        let deployment = deployments[0].clone();
        read(&deployment, &world.seen, &green_group(), let_go)
    };
    for status in [Status::Created, Status::Queued] {
        assert_eq!(at(status, (Some(20), false), 20, true), Where::Installing);
    }
    assert_eq!(at(Status::Ready, (None, false), 0, false), Where::Ready);
    for status in [Status::InProgress, Status::Other] {
        assert_eq!(at(status, (None, false), 0, false), Where::Installing);
        assert_eq!(at(status, (None, false), 0, true), Where::Shifting { asked: None });
        assert_eq!(at(status, (None, false), 1, false), Where::Installing, "somebody edited the listener");
        assert_eq!(at(status, (Some(20), false), 0, false), Where::Shifting { asked: Some(20) });
        assert_eq!(at(status, (Some(100), true), 100, true), Where::Shifted { waiting: false });
    }
    assert_eq!(at(Status::Succeeded, (None, false), 0, false), Where::Succeeded);
    for (status, code) in [(Status::Failed, "FAILED"), (Status::Stopped, "STOPPED")] {
        let ended = Where::Ended { code: code.into(), rolled_back_by: None };
        assert_eq!(at(status, (None, false), 0, false), ended);
    }
}

#[test]
fn what_takes_a_version_back_moves_all_traffic_at_once_and_ignores_alarms() {
    let created = |phase| {
        let mut sketch = in_flight(phase, DeploymentStatus::Created, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        sketch.traffic.deployments = Fact::Known(none());
        sketch.traffic.service = Fact::Known(Serving::Blue);
        let decision = build(&sketch).decide();
        let Some(Step::CreateDeployment(create)) = decision.step else { panic!("{:?}", decision.step) };
        (create.ignore_alarms, create.config, create.marker.takes_back())
    };
    assert_eq!(created(Phase::Preflight), (false, "tidegate-linear-20-every-3m".into(), false));
    assert_eq!(created(Phase::Redeploying), (true, "CodeDeployDefault.ECSAllAtOnce".into(), true));
}
