//! The judge, minute by minute.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_model::spec::Toggle;

use tidegate_model::observation::Counts;

use super::*;

fn group(name: &str) -> TargetGroup {
    TargetGroup(format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/1"))
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn counts(requests: f64, failures: f64) -> Counts {
    Counts { requests: Some(requests), failures, latency: Some(0.05), unhealthy: Some(0.0) }
}

/// A world of closed minutes: blue and green counts by minute.
struct World {
    minutes: Vec<Minute>,
    baseline: Option<Baseline>,
    weight: f64,
    checks: Checks,
}

impl World {
    fn of(pairs: &[(Option<Counts>, Option<Counts>)]) -> Self {
        let minutes = pairs
            .iter()
            .enumerate()
            .map(|(i, (blue, green))| {
                let both = [(group("blue"), blue), (group("green"), green)];
                let groups: BTreeMap<_, _> = both.into_iter().filter_map(|(g, c)| Some((g, (*c)?))).collect();
                Minute { at: at(i64::try_from(i).unwrap()), groups, connections: None }
            })
            .collect();
        Self { minutes, baseline: None, weight: 0.1, checks: Checks::default() }
    }

    fn verdict(&self) -> Verdict {
        judge(&Question {
            checks: self.checks,
            blue: &group("blue"),
            green: &group("green"),
            baseline: self.baseline.as_ref(),
            minutes: &self.minutes,
            weight: self.weight,
            traffic_since: at(0),
        })
        .verdict
    }
}

#[test]
fn three_bad_minutes_of_five_fail_with_measured_value_and_limit() {
    let good = (Some(counts(900.0, 9.0)), Some(counts(100.0, 1.0)));
    let bad = (Some(counts(900.0, 9.0)), Some(counts(100.0, 30.0)));
    assert_eq!(World::of(&[bad, good, bad]).verdict(), Verdict::Pass);
    let Verdict::Fail(finding) = World::of(&[bad, good, bad, bad]).verdict() else { panic!("no fail") };
    assert_eq!((finding.check, finding.measured, finding.limit), (Check::Errors, 0.3, 0.02));
    assert_eq!((finding.failing_minutes, finding.of_minutes, finding.first_failing), (3, 4, at(0)));
}

#[test]
fn one_failure_a_minute_never_fails_however_clean_blue_is() {
    let minute = (Some(counts(900.0, 0.0)), Some(counts(100.0, 1.0)));
    assert_eq!(World::of(&[minute; 8]).verdict(), Verdict::Pass);
}

#[test]
fn what_blue_suffers_too_is_not_greens_fault() {
    let outage = (Some(counts(900.0, 270.0)), Some(counts(100.0, 33.0)));
    assert_eq!(World::of(&[outage; 5]).verdict(), Verdict::Pass);
}

#[test]
fn at_full_weight_green_is_judged_against_blues_frozen_minutes() {
    let bad = (None, Some(counts(1_000.0, 50.0)));
    let mut world = World::of(&[bad; 4]);
    world.weight = 1.0;
    world.baseline = Some(Baseline {
        from: at(-60),
        minutes: 60,
        requests: 60_000.0,
        failures: 60.0,
        latency: Some(0.05),
        connections: None,
        calibration: None,
    });
    assert!(matches!(world.verdict(), Verdict::Fail(_)));
    world.baseline.as_mut().unwrap().failures = 1_800.0;
    assert_eq!(world.verdict(), Verdict::Pass);
}

#[test]
fn refused_connections_fail_even_when_no_request_reached_a_target() {
    let dead =
        (Some(counts(900.0, 0.0)), Some(Counts { requests: None, failures: 40.0, ..Counts::default() }));
    assert!(matches!(World::of(&[dead; 3]).verdict(), Verdict::Fail(_)));
}

#[test]
fn five_silent_minutes_in_which_traffic_was_due_are_no_data() {
    let silent = (Some(counts(900.0, 0.0)), None);
    assert_eq!(World::of(&[silent; 4]).verdict(), Verdict::Undecided);
    assert_eq!(World::of(&[silent; 5]).verdict(), Verdict::NoData { minutes: 5 });
}

#[test]
fn little_traffic_is_undecided_not_silent() {
    let thin = (Some(counts(50.0, 0.0)), None);
    assert_eq!(World::of(&[thin; 9]).verdict(), Verdict::Undecided);
}

#[test]
fn a_total_outage_at_full_weight_is_no_data_by_blues_history() {
    let mut world = World::of(&[(None, None); 5]);
    world.weight = 1.0;
    assert_eq!(world.verdict(), Verdict::Undecided);
    world.baseline = Some(Baseline {
        from: at(-60),
        minutes: 60,
        requests: 60_000.0,
        failures: 0.0,
        latency: None,
        connections: None,
        calibration: None,
    });
    assert_eq!(world.verdict(), Verdict::NoData { minutes: 5 });
}

#[test]
fn latency_is_a_red_flag_only_at_four_times_in_three_of_three() {
    let slow = |p95| (Some(counts(900.0, 0.0)), Some(Counts { latency: Some(p95), ..counts(100.0, 0.0) }));
    assert_eq!(World::of(&[slow(0.19); 5]).verdict(), Verdict::Pass);
    assert!(matches!(
        World::of(&[slow(0.21); 3]).verdict(),
        Verdict::Fail(Finding { check: Check::Latency, .. })
    ));
    assert_eq!(World::of(&[slow(0.21), slow(0.05), slow(0.21)]).verdict(), Verdict::Pass);
    let mut off = World::of(&[slow(0.21); 3]);
    off.checks.latency = Toggle::Off;
    assert_eq!(off.verdict(), Verdict::Pass);
}

#[test]
fn targets_that_stay_unhealthy_fail() {
    let sick = (Some(counts(900.0, 0.0)), Some(Counts { unhealthy: Some(1.0), ..counts(100.0, 0.0) }));
    assert!(matches!(World::of(&[sick; 3]).verdict(), Verdict::Fail(Finding { check: Check::Targets, .. })));
}

#[test]
fn connections_beyond_both_colours_share_fail_when_asked_for() {
    let minute = (Some(counts(900.0, 0.0)), Some(counts(100.0, 0.0)));
    let mut world = World::of(&[minute; 3]);
    world.baseline = Some(Baseline {
        from: at(-60),
        minutes: 60,
        requests: 60_000.0,
        failures: 0.0,
        latency: None,
        connections: Some(10.0),
        calibration: None,
    });
    for minute in &mut world.minutes {
        minute.connections = Some(26.0);
    }
    assert_eq!(world.verdict(), Verdict::Pass, "the check is off unless asked for");
    world.checks.database_connections = Toggle::On;
    assert!(matches!(world.verdict(), Verdict::Fail(Finding { check: Check::DatabaseConnections, .. })));
}

#[test]
fn minutes_before_the_first_weight_are_not_judged() {
    let bad = (Some(counts(900.0, 0.0)), Some(counts(100.0, 30.0)));
    let world = World::of(&[bad; 3]);
    let later = judge(&Question {
        checks: world.checks,
        blue: &group("blue"),
        green: &group("green"),
        baseline: None,
        minutes: &world.minutes,
        weight: 0.1,
        traffic_since: at(2),
    });
    assert_eq!(later.verdict, Verdict::Undecided);
}

#[test]
fn a_baseline_needs_minutes_with_traffic() {
    let minute = (Some(counts(900.0, 9.0)), None);
    let world = World::of(&[minute, (None, None), minute, minute, minute, minute]);
    let frozen = baseline(&world.minutes, &group("blue"), 5).unwrap();
    assert_eq!(
        (frozen.minutes, frozen.requests, frozen.failures, frozen.latency),
        (5, 4_500.0, 45.0, Some(0.05))
    );
    assert_eq!(baseline(&world.minutes[..4], &group("blue"), 5), None);
}
