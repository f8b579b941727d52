//! The judge, minute by minute.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_model::{
    MetricName,
    calibration::Calibration,
    observation::Sides,
    spec::{MetricCheck, MetricRule, Toggle},
    verdict::Detectable,
};

use super::*;

mod any;
mod guards;
mod known;
mod values;

fn group(name: &str) -> TargetGroup {
    TargetGroup(format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/1"))
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn counts(requests: f64, failures: f64) -> Counts {
    Counts {
        requests: Some(requests),
        failures,
        latency: Some(0.05),
        unhealthy: Some(0.0),
        ..Counts::default()
    }
}

/// A world of closed minutes: blue and green counts by minute.
#[derive(Debug)]
struct World {
    minutes: Vec<Minute>,
    baseline: Option<Baseline>,
    weight: f64,
    checks: Checks,
    health: Option<ColorHealth>,
    alarms: Option<Vec<Alarm>>,
}

impl World {
    fn of(pairs: &[(Option<Counts>, Option<Counts>)]) -> Self {
        let minutes = pairs
            .iter()
            .enumerate()
            .map(|(i, (blue, green))| {
                let both = [(group("blue"), blue), (group("green"), green)];
                let groups: BTreeMap<_, _> = both.into_iter().filter_map(|(g, c)| Some((g, (*c)?))).collect();
                Minute { at: at(i64::try_from(i).unwrap()), groups, ..Minute::default() }
            })
            .collect();
        Self { minutes, baseline: None, weight: 0.1, checks: Checks::default(), health: None, alarms: None }
    }

    fn verdict(&self) -> Verdict {
        self.judgement().verdict
    }

    fn judgement(&self) -> Judgement {
        judge(&Question {
            checks: &self.checks,
            blue: &group("blue"),
            green: &group("green"),
            baseline: self.baseline.as_ref(),
            minutes: &self.minutes,
            weight: self.weight,
            traffic_since: at(0),
            ramp_minutes: 30,
            health: self.health,
            alarms: self.alarms.as_deref(),
        })
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
        ..Baseline::default()
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
        ..Baseline::default()
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
fn connections_beyond_both_colors_share_fail_when_asked_for() {
    let minute = (Some(counts(900.0, 0.0)), Some(counts(100.0, 0.0)));
    let mut world = World::of(&[minute; 3]);
    world.baseline = Some(Baseline {
        from: at(-60),
        minutes: 60,
        requests: 60_000.0,
        failures: 0.0,
        latency: None,
        connections: Some(10.0),
        ..Baseline::default()
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
        checks: &world.checks,
        blue: &group("blue"),
        green: &group("green"),
        baseline: None,
        minutes: &world.minutes,
        weight: 0.1,
        traffic_since: at(2),
        ramp_minutes: 30,
        health: None,
        alarms: None,
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

/// A history of two hours in which one request of a thousand fails.
fn calibrated(world: &mut World) {
    let history: Vec<Minute> = (0..120)
        .map(|i| Minute {
            at: at(i - 120),
            groups: BTreeMap::from([(group("blue"), counts(1_000.0, f64::from(u8::from(i % 3 != 0)) * 1.5))]),
            ..Minute::default()
        })
        .collect();
    let pair = |minute: &Minute| {
        let blue = errors::tally(&minute.groups[&group("blue")]).unwrap();
        Pair { blue, green: Tally::default() }
    };
    let pairs: Vec<Pair> = history.iter().map(pair).collect();
    let baseline = baseline(&history, &group("blue"), 5).unwrap();
    world.baseline = Some(Baseline { calibration: Some(calibrate(&pairs)), ..baseline });
}

fn evidence(world: &World) -> Evidence {
    world.judgement().evidence.expect("it was compared")
}

#[test]
fn what_it_would_take_to_roll_back_is_told_and_is_what_it_takes() {
    let quiet = (Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0)));
    let with = |failures: Option<f64>| {
        let last = failures.map(|failures| (Some(counts(900.0, 1.0)), Some(counts(100.0, failures))));
        let minutes: Vec<_> = [quiet; 5].into_iter().chain(last).collect();
        let mut world = World::of(&minutes);
        calibrated(&mut world);
        world
    };
    let needed = evidence(&with(None)).metrics[0].needed.expect("some number would");
    assert!((2..=100).contains(&needed), "{needed}");
    assert!(matches!(with(Some(f64::from(needed))).verdict(), Verdict::Fail(_)), "{needed}");
    assert!(!matches!(with(Some(f64::from(needed - 1))).verdict(), Verdict::Fail(_)), "{needed}");
    assert_eq!(evidence(&with(Some(100.0))).metrics[0].needed, None, "it is rolled back already");
}

#[test]
fn one_percent_failing_is_found_against_a_calibrated_history_and_told_with_its_evidence() {
    let mut world = World::of(&[(Some(counts(900.0, 1.0)), Some(counts(100.0, 1.0)))]);
    calibrated(&mut world);
    assert_ne!(world.verdict().as_str(), "fail", "one failure is no verdict");
    world = World::of(&[(Some(counts(900.0, 1.0)), Some(counts(100.0, 2.0))); 20]);
    calibrated(&mut world);
    let Verdict::Fail(finding) = world.verdict() else { panic!("{:?}", world.judgement()) };
    assert!(finding.factor.is_some_and(|factor| factor >= 3.0), "{finding:?}");
    assert_eq!(
        finding.to_string().split(':').next(),
        Some("errors of green 2.00 % against 0.11 % of blue in 20 minutes")
    );
}

#[test]
fn on_the_way_there_the_release_is_suspect() {
    let bad = (Some(counts(900.0, 1.0)), Some(counts(100.0, 2.0)));
    let verdicts: Vec<&str> = (1..=20)
        .map(|minutes| {
            let mut world = World::of(&vec![bad; minutes]);
            calibrated(&mut world);
            world.verdict().as_str()
        })
        .collect();
    let suspect = verdicts.iter().position(|verdict| *verdict == "suspect");
    let fail = verdicts.iter().position(|verdict| *verdict == "fail");
    assert!(suspect.is_some() && suspect < fail, "{verdicts:?}");
}

#[test]
fn an_incident_of_both_colors_is_nobodys_fault() {
    let calm = (Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0)));
    let incident = (Some(counts(900.0, 45.0)), Some(counts(100.0, 5.0)));
    let mut world = World::of(&[calm, calm, incident, incident, incident, calm, calm]);
    calibrated(&mut world);
    assert_eq!(world.verdict(), Verdict::Pass, "{:?}", evidence(&world));
}

#[test]
fn a_minute_that_is_corrected_later_is_judged_as_if_it_had_always_been_so() {
    let early = (Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0)));
    let late = (Some(counts(900.0, 1.0)), Some(counts(100.0, 40.0)));
    let mut world = World::of(&[early; 4]);
    calibrated(&mut world);
    assert_eq!(world.verdict(), Verdict::Pass);
    world.minutes[1] = World::of(&[early, late]).minutes[1].clone();
    let mut fresh = World::of(&[early, late, early, early]);
    calibrated(&mut fresh);
    assert_eq!(world.judgement(), fresh.judgement());
    assert_eq!(world.verdict().as_str(), "fail");
}

#[test]
fn where_blue_has_no_traffic_the_fixed_rule_on_its_history_decides() {
    let silent = (None, Some(counts(1_000.0, 50.0)));
    let mut world = World::of(&[silent; 5]);
    calibrated(&mut world);
    world.weight = 1.0;
    assert!(matches!(world.verdict(), Verdict::Fail(_)), "{:?}", world.judgement());
}

#[test]
fn counts_that_cannot_be_are_neither_health_nor_a_reason_to_stop() {
    let good = Some(counts(900.0, 1.0));
    for odd in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
        for green in [counts(odd, 0.0), counts(100.0, odd), counts(odd, odd)] {
            let mut world = World::of(&[(good, Some(green)); 5]);
            calibrated(&mut world);
            assert_ne!(world.verdict(), Verdict::Pass, "{green:?}");
            for minutes in [1, 3] {
                world.minutes.truncate(minutes);
                world.judgement();
            }
        }
    }
}

/// A minute in which so many of blue's 900 and of green's 100 requests were slower than both thresholds.
fn slow(blue: [f64; 2], green: [f64; 2]) -> (Option<Counts>, Option<Counts>) {
    let of = |requests, slow: [f64; 2]| Counts { slow: slow.map(Some), ..counts(requests, 0.0) };
    (Some(of(900.0, blue)), Some(of(100.0, green)))
}

/// A world whose thresholds of slowness are known.
fn timed(pairs: &[(Option<Counts>, Option<Counts>)]) -> World {
    let mut world = World::of(pairs);
    calibrated(&mut world);
    world.baseline.as_mut().unwrap().slow = Some([0.06, 0.2]);
    world
}

fn metric_check(judge: MetricRule) -> MetricCheck {
    MetricCheck {
        namespace: "Shop".into(),
        metric: "Checkouts".into(),
        dimensions: BTreeMap::new(),
        statistic: "Sum".into(),
        judge,
        failing: 3,
        of: 5,
        critical: false,
        missing: None,
        after: None,
        dry_run: false,
    }
}

/// A world of good minutes with one metric of the team's own.
fn counted(judge: &MetricRule, values: &[(Option<f64>, Option<f64>)]) -> World {
    let mut world = World::of(&vec![(Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0))); values.len()]);
    calibrated(&mut world);
    let name: MetricName = "checkouts".parse().unwrap();
    for (minute, (blue, green)) in world.minutes.iter_mut().zip(values) {
        minute.metrics.insert(name.clone(), Sides { blue: *blue, green: *green });
    }
    world.checks.metrics.insert(name, metric_check(judge.clone()));
    world
}

fn failed(world: &World) -> Finding {
    let Verdict::Fail(finding) = world.verdict() else { panic!("{:#?}", world.judgement()) };
    finding
}

#[test]
fn a_version_that_is_slow_three_times_as_often_fails_and_a_fifth_oftener_does_not() {
    let finding = failed(&timed(&[slow([90.0, 9.0], [30.0, 4.0]); 15]));
    assert_eq!((finding.check, finding.limit), (Check::Latency, 0.1));
    assert!(finding.measure.as_deref().is_some_and(|m| m.starts_with("requests slower than")), "{finding:?}");
    assert_eq!(timed(&[slow([90.0, 9.0], [12.0, 1.0]); 120]).verdict(), Verdict::Pass);
}

#[test]
fn the_first_two_minutes_of_a_fresh_fleet_are_not_held_against_it() {
    let (cold, warm) = (slow([90.0, 9.0], [100.0, 60.0]), slow([90.0, 9.0], [10.0, 1.0]));
    assert_eq!(timed(&[cold, cold, warm, warm, warm, warm]).verdict(), Verdict::Pass);
    assert_eq!(timed(&[warm, warm, cold, cold, cold, cold]).verdict().as_str(), "fail");
}

#[test]
fn what_slows_both_down_is_not_greens_fault() {
    assert_eq!(timed(&[slow([700.0, 300.0], [78.0, 33.0]); 10]).verdict(), Verdict::Pass);
}

#[test]
fn a_group_that_reports_times_and_no_slow_one_has_none() {
    let (blue, green) = slow([0.0, 0.0], [40.0, 20.0]);
    let silent = blue.map(|counts| Counts { slow: [None; 2], ..counts });
    assert_eq!(timed(&[(silent, green); 8]).verdict().as_str(), "fail");
    let unknown = silent.map(|counts| Counts { latency: None, ..counts });
    assert_eq!(timed(&[(unknown, green); 8]).verdict(), Verdict::Pass, "of blue's times nothing is known");
}

#[test]
fn a_drop_and_a_rise_are_judged_by_what_a_request_counts() {
    let usual = (Some(45.0), Some(5.0));
    for rule in [MetricRule::Drop, MetricRule::Rise] {
        assert_eq!(counted(&rule, &[usual; 30]).verdict(), Verdict::Pass, "{rule:?}");
    }
    let (lost, much) = ((Some(45.0), None), (Some(45.0), Some(20.0)));
    assert_eq!(failed(&counted(&MetricRule::Drop, &[lost; 30])).measure.as_deref(), Some("checkouts"));
    assert_eq!(failed(&counted(&MetricRule::Rise, &[much; 30])).check, Check::Metrics);
    assert_eq!(counted(&MetricRule::Rise, &[lost; 30]).verdict(), Verdict::Pass);
    assert_eq!(counted(&MetricRule::Drop, &[much; 30]).verdict(), Verdict::Pass);
}

#[test]
fn a_limit_of_the_teams_own_is_broken_by_as_many_minutes_as_it_says() {
    let (good, bad) = ((Some(10.0), Some(11.0)), (Some(10.0), Some(25.0)));
    for rule in [MetricRule::Above(20.0), MetricRule::TimesBlue(2.0), MetricRule::OverBlue(12.0)] {
        assert_eq!(counted(&rule, &[bad, bad, good, good, good]).verdict(), Verdict::Pass, "{rule:?}");
        let finding = failed(&counted(&rule, &[bad, good, bad, good, bad]));
        assert_eq!((finding.measured, finding.failing_minutes, finding.of_minutes), (25.0, 3, 5), "{rule:?}");
    }
    assert_eq!(failed(&counted(&MetricRule::Below(12.0), &[good; 5])).limit, 12.0);
    assert_eq!(counted(&MetricRule::TimesBlue(2.0), &[(None, Some(25.0)); 5]).verdict(), Verdict::Pass);
}

#[test]
fn a_metric_on_trial_is_shown_and_decides_nothing() {
    for (rule, minute) in
        [(MetricRule::Above(20.0), (None, Some(25.0))), (MetricRule::Drop, (Some(45.0), None))]
    {
        let mut world = counted(&rule, &[minute; 30]);
        world.checks.metrics.values_mut().for_each(|check| check.dry_run = true);
        let judgement = world.judgement();
        assert_eq!(judgement.verdict, Verdict::Pass, "{rule:?}");
        assert_eq!(judgement.dry_run.len(), 1, "{judgement:#?}");
    }
}

#[test]
fn a_metric_that_says_nothing_costs_the_others_no_more_than_its_share() {
    let bad = (Some(counts(900.0, 1.0)), Some(counts(100.0, 2.0)));
    let mut alone = World::of(&[bad; 12]);
    calibrated(&mut alone);
    let mut beside = alone.minutes.clone();
    let name: MetricName = "checkouts".parse().unwrap();
    for minute in &mut beside {
        minute.metrics.insert(name.clone(), Sides { blue: Some(45.0), green: Some(5.0) });
    }
    let mut both = World { minutes: beside, baseline: alone.baseline.clone(), weight: 0.1, ..World::of(&[]) };
    both.checks.metrics.insert(name, metric_check(MetricRule::Drop));
    let (alone, both) = (evidence(&alone).factor, evidence(&both).factor);
    assert!(both < alone && both > alone - 0.1, "{both} beside {alone}");
}

#[test]
fn values_that_cannot_be_never_panic_and_are_never_held_against_green() {
    let rules = [MetricRule::Drop, MetricRule::Rise, MetricRule::TimesBlue(2.0), MetricRule::OverBlue(1.0)];
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, 1e300] {
        // A team's own value may be negative; a count may not.
        for rule in rules.iter().filter(|rule| rule.by_evidence() || odd != -5.0) {
            for sides in [(Some(odd), Some(5.0)), (Some(odd), Some(odd))] {
                assert_eq!(counted(rule, &[sides; 6]).verdict(), Verdict::Pass, "{rule:?} {odd}");
            }
        }
        let world = timed(&[slow([odd, 9.0], [30.0, odd]); 6]);
        assert_eq!(world.verdict(), Verdict::Pass, "{odd}");
    }
}

#[test]
fn what_would_be_found_is_told_and_more_traffic_finds_more() {
    let told = |volume: f64| {
        let mut world = World::of(&[]);
        calibrated(&mut world);
        let calibration = world.baseline.and_then(|baseline| baseline.calibration).expect("a calibration");
        foresee(&Calibration { volume, ..calibration }, 0.9, |minute| 0.1 * f64::from(1 + minute / 3))
    };
    let (little, much) = (told(60.0), told(30_000.0));
    let minutes = |told: &[Detectable]| -> Vec<u32> {
        told.iter().map(|one| one.minutes.unwrap_or(u32::MAX)).collect()
    };
    assert_eq!((little.len(), much.len()), (5, 5));
    assert!(
        minutes(&little).iter().zip(minutes(&much)).all(|(little, much)| *little >= much),
        "{little:?} {much:?}"
    );
    assert_eq!(minutes(&much)[4], 1, "an outage shows itself in its first minute");
    assert_eq!(little[0].minutes, None, "twice as many failures of six an hour are not to be seen");
    assert_eq!(foresee(&uncalibrated(), 1.0, |_| 0.1), []);
}
