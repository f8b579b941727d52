//! What a listener may show, and what only another hand can have written.

use tidegate_model::observation::TargetGroup;

use super::{
    super::world::{blue_group, green_group},
    *,
};
use crate::traffic::{Split, green_percent, split};

/// How the listener's weights stand against what the rollout can have caused, one step being a fifth of the traffic.
fn stands(phase: Phase, weights: (u32, u32, bool), asked: Option<u8>) -> Split {
    let mut sketch = in_flight(phase, DeploymentStatus::InProgress, false);
    sketch.traffic.listeners = Fact::Known(weights);
    let world = build(&sketch);
    split(world.state.rollout.as_ref().unwrap(), &world.seen, asked, 20.0)
}

#[test]
fn green_s_share_is_what_every_rule_says() {
    let share = |weights| {
        let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
        sketch.traffic.listeners = weights;
        green_percent(&build(&sketch).seen.listeners, &green_group())
    };
    assert_eq!(share(Fact::Known((30, 70, false))), Some(70.0));
    assert_eq!(share(Fact::Known((100, 0, true))), None, "two rules that disagree");
    assert_eq!(share(Fact::Absent), None);
}

#[test]
fn while_traffic_shifts_the_listener_is_at_most_one_step_beside_what_codedeploy_says() {
    for (green, expected) in [(0, true), (20, true), (40, true), (41, false), (60, false)] {
        let stands = stands(Phase::Shifting, (100 - green, green, false), Some(20));
        assert_eq!(stands == Split::Expected(f64::from(green)), expected, "{green} %");
    }
    assert_eq!(stands(Phase::Shifting, (15, 85, false), None), Split::Expected(85.0), "nothing was asked");
}

#[test]
fn before_and_after_the_shift_one_colour_serves_alone() {
    for phase in [Phase::Preflight, Phase::Provisioning, Phase::Verifying] {
        assert_eq!(stands(phase, (100, 0, false), None), Split::Expected(0.0));
        assert!(matches!(stands(phase, (99, 1, false), None), Split::Edited { .. }));
    }
    for phase in [Phase::Confirming, Phase::Baking, Phase::Retiring] {
        assert_eq!(stands(phase, (0, 100, false), None), Split::Expected(100.0));
        assert!(matches!(stands(phase, (1, 99, false), None), Split::Edited { .. }));
    }
}

#[test]
fn a_third_target_group_in_a_rule_is_an_edit() {
    let mut world = build(&in_flight(Phase::Verifying, DeploymentStatus::Ready, false));
    let rollout = world.state.rollout.clone().unwrap();
    assert_eq!(split(&rollout, &world.seen, None, 20.0), Split::Expected(0.0));
    world.seen.listeners = world.seen.listeners.clone().map(|mut listeners| {
        let weights = &mut listeners.production.rules[0].weights;
        weights.insert(blue_group(), 90);
        weights.insert(TargetGroup("another".into()), 10);
        listeners
    });
    assert!(matches!(split(&rollout, &world.seen, None, 20.0), Split::Edited { .. }));
}
