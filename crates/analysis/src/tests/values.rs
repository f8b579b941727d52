//! Connections and gauges: what leaks and what is higher is found, and good releases are left alone.

use tidegate_model::verdict::Guard;

use super::*;

/// A release of ten percent every three minutes over a service with this many connections. `green` says how many connections
/// there are in a minute after the first weight; five minutes before it both fleets are up.
fn connected(usual: f64, both: f64, minutes: i64, green: impl Fn(i64) -> f64) -> World {
    let jitter = |i: i64| f64::from(i32::try_from(i.rem_euclid(3)).unwrap()) - 1.0;
    let history: Vec<Minute> = (-200..-20)
        .map(|i| Minute {
            at: at(i),
            groups: BTreeMap::from([(group("blue"), counts(1_000.0, 1.0))]),
            connections: Some(usual + jitter(i)),
            ..Minute::default()
        })
        .collect();
    let before = (-5..0).map(|i| Minute {
        at: at(i),
        groups: BTreeMap::from([(group("blue"), counts(1_000.0, 1.0))]),
        connections: Some(both + jitter(i)),
        ..Minute::default()
    });
    let during = (0..minutes).map(|i| {
        let weight = (0.1 * f64::from(i32::try_from(1 + i / 3).unwrap())).min(1.0);
        let side = |share: f64| counts((1_000.0 * share).round(), (share).round());
        let green_side = (group("green"), side(weight));
        let groups = if weight < 1.0 {
            BTreeMap::from([(group("blue"), side(1.0 - weight)), green_side])
        } else {
            BTreeMap::from([green_side])
        };
        Minute { at: at(i), groups, connections: Some(green(i) + jitter(i)), ..Minute::default() }
    });
    let mut world = World::of(&[]);
    world.minutes = before.chain(during).collect();
    let known = baseline(&history, &group("blue"), 5).unwrap();
    // Failed requests have their share of the evidence too.
    world.baseline = Some(Baseline { calibration: Some(uncalibrated()), ..known });
    world.checks.database_connections = Toggle::On;
    world.weight = 0.5;
    world
}

fn minutes(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap())
}

/// After how many minutes of a release it fails.
fn fails_after(build: impl Fn(i64) -> World) -> Option<(i64, Finding)> {
    (1..=60).find_map(|minutes| match build(minutes).verdict() {
        Verdict::Fail(finding) => Some((minutes, finding)),
        Verdict::Pass | Verdict::Undecided | Verdict::Suspect | Verdict::NoData { .. } => None,
    })
}

#[test]
fn connections_are_told_as_whole_ones() {
    let gathered = connected(40.0, 80.0, 10, |_| 80.0).judgement().evidence.expect("they are compared");
    let told = gathered.metrics.iter().find(|metric| metric.check == Check::DatabaseConnections).unwrap();
    assert_eq!(told.calibration, "40 is usual, give or take 1, by 180 minutes");
}

#[test]
fn a_leak_is_found_by_its_growth_well_before_the_database_is_full() {
    let leak = |n| connected(40.0, 80.0, n, |i| 80.0 + 9.0 * minutes(i + 1));
    let (after, finding) = fails_after(leak).expect("it leaks");
    assert!(after <= 15 && finding.check == Check::DatabaseConnections, "{after}: {finding:?}");
    assert!(finding.to_string().starts_with("database connections "), "{finding}");
    let slow = |n| connected(40.0, 80.0, n, |i| 80.0 + 3.0 * minutes(i + 1));
    let (later, _) = fails_after(slow).expect("it leaks");
    assert!(later >= after, "{later}");
}

/// Connections by the minute since the first weight.
type Course = Box<dyn Fn(i64) -> f64>;

#[test]
fn good_releases_keep_their_connections_whatever_their_pools_do() {
    let step = |i: i64, from: i64| if i >= from { 1.0 } else { 0.0 };
    let good: [(&str, f64, Course); 6] = [
        ("two fleets of fixed pools", 80.0, Box::new(|_| 80.0)),
        ("twice as many on green", 120.0, Box::new(|_| 120.0)),
        ("pools that fill at the first request", 40.0, Box::new(move |i| 40.0 + 40.0 * step(i, 1))),
        (
            "pools that fill with traffic",
            40.0,
            Box::new(|i| 40.0 + 40.0 * (0.1 * minutes(1 + i / 3)).min(1.0)),
        ),
        ("a deploy tool", 80.0, Box::new(move |i| 80.0 + 5.0 * (step(i, 4) - step(i, 12)))),
        ("a fleet that doubles at half the ramp", 80.0, Box::new(move |i| 80.0 + 40.0 * step(i, 15))),
    ];
    for (what, both, green) in good {
        assert_eq!(fails_after(|n| connected(40.0, both, n, &green)), None, "{what}");
    }
}

#[test]
fn connections_that_run_out_before_the_ramp_ends_hold_and_then_fail() {
    let world = |n| {
        let mut world = connected(40.0, 80.0, n, |i| 80.0 + 4.0 * minutes(i + 1));
        world.baseline.as_mut().unwrap().max_connections = Some(200.0);
        // What is looked at here is the guard alone.
        world.baseline.as_mut().unwrap().connection_history.as_mut().unwrap().deviation = 6.0;
        world
    };
    let reading = |n| {
        let rules = world(n).judgement().rules;
        rules.into_iter().find(|rule| rule.guard == Some(Guard::ConnectionsRunOut)).unwrap()
    };
    assert_eq!(reading(3).standing, tidegate_model::verdict::Standing::Kept, "too few minutes for a line");
    let held = (1..30).find(|n| reading(*n).standing != tidegate_model::verdict::Standing::Kept).unwrap();
    assert_eq!(reading(held).standing, tidegate_model::verdict::Standing::Suspect, "{held}");
    assert_eq!(reading(held).limit, Some(180.0));
    assert_eq!(world(held).verdict(), Verdict::Suspect, "{:#?}", world(held).judgement());
    let broken = (held..30).find(|n| reading(*n).standing == tidegate_model::verdict::Standing::Broken);
    assert!(broken.is_some_and(|at| at <= held + 3), "{broken:?} after {held}");
}

#[test]
fn a_database_that_was_nearly_full_before_is_not_greens_doing() {
    let mut world = connected(180.0, 185.0, 20, |_| 185.0);
    world.baseline.as_mut().unwrap().max_connections = Some(200.0);
    assert_eq!(world.verdict(), Verdict::Pass, "{:#?}", world.judgement());
}

/// Twenty minutes in which blue's and green's gauge are these, over a history around 50.
fn gauged(judge: &MetricRule, values: &[(f64, f64)], weight: f64) -> World {
    let share = |w: f64| Some(counts((1_000.0 * w).round(), 0.0));
    let mut world = World::of(&vec![(share(1.0 - weight), share(weight)); values.len()]);
    calibrated(&mut world);
    let name: MetricName = "cpu".parse().unwrap();
    let history = (0..180).map(|i| if i % 2 == 0 { 48.0 } else { 52.0 }).collect::<Vec<_>>();
    world.baseline.as_mut().unwrap().gauges =
        BTreeMap::from([(name.clone(), crate::learn(&history).unwrap())]);
    for (minute, (blue, green)) in world.minutes.iter_mut().zip(values) {
        minute.metrics.insert(name.clone(), Sides { blue: Some(*blue), green: Some(*green) });
    }
    world.weight = weight;
    world.checks.metrics.insert(name, metric_check(judge.clone()));
    world
}

#[test]
fn a_gauge_that_is_higher_or_lower_than_blues_fails_and_one_within_the_margin_does_not() {
    let (high, low) = ((50.0, 75.0), (50.0, 30.0));
    let finding = failed(&gauged(&MetricRule::Higher, &[high; 30], 0.5));
    assert_eq!((finding.measure.as_deref(), finding.measured, finding.limit), (Some("cpu"), 75.0, 50.0));
    assert!(finding.to_string().starts_with("cpu of green 75 against 50 of blue in"), "{finding}");
    assert_eq!(failed(&gauged(&MetricRule::Lower, &[low; 30], 0.5)).measured, 30.0);
    for (rule, sides) in [
        (MetricRule::Higher, low),
        (MetricRule::Lower, high),
        (MetricRule::Higher, (50.0, 54.0)),
        (MetricRule::Lower, (50.0, 46.0)),
        // What moves both is not green's fault.
        (MetricRule::Higher, (90.0, 92.0)),
    ] {
        assert_eq!(gauged(&rule, &[sides; 60], 0.5).verdict(), Verdict::Pass, "{rule:?} {sides:?}");
    }
}

#[test]
fn a_gauge_over_few_requests_takes_longer_and_one_without_history_is_not_judged() {
    let after = |weight: f64| {
        (1..=60).find(|n| {
            gauged(&MetricRule::Higher, &vec![(50.0, 75.0); *n], weight).verdict().as_str() == "fail"
        })
    };
    let (half, tenth) = (after(0.5), after(0.1));
    assert!(half.is_some() && tenth.is_none_or(|tenth| tenth > half.unwrap()), "{half:?} {tenth:?}");
    let mut world = gauged(&MetricRule::Higher, &[(50.0, 75.0); 30], 0.5);
    world.baseline.as_mut().unwrap().gauges.clear();
    assert_eq!(world.verdict(), Verdict::Pass);
}

#[test]
fn what_is_critical_weighs_as_much_as_failed_requests() {
    let mut world = gauged(&MetricRule::Higher, &[(50.0, 75.0); 30], 0.5);
    let share = |world: &World| {
        let metrics = evidence(world).metrics;
        metrics.iter().find(|metric| metric.counted == "cpu").unwrap().share
    };
    let usual = share(&world);
    world.checks.metrics.values_mut().for_each(|check| check.critical = true);
    assert!((share(&world) - 0.5).abs() < 1e-9 && usual < 0.2, "{usual}");
    let shares: f64 = evidence(&world).metrics.iter().map(|metric| metric.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}
