//! Which minutes of a history are read, and what of them is learned from.

use jiff::Timestamp;

use super::*;

/// Any minute, and those after it.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn group(name: &str) -> TargetGroup {
    TargetGroup(format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/1"))
}

fn load(requests: f64, failures: f64) -> Load {
    Load { requests, failures }
}

/// A minute of groups, each with its zones.
fn minute(i: i64, groups: &[(&str, &[Load])]) -> PastMinute {
    let counts = |zones: &[Load]| PastCounts {
        whole: zones.iter().fold(Load::default(), |sum, zone| {
            load(sum.requests + zone.requests, sum.failures + zone.failures)
        }),
        zones: if zones.len() > 1 { zones.to_vec() } else { vec![] },
    };
    let groups = groups.iter().map(|(name, zones)| (group(name), counts(zones))).collect();
    PastMinute { at: at(i), groups, metrics: BTreeMap::new() }
}

/// What is learned of failures alone.
fn learned(history: &[PastMinute]) -> Calibrated {
    calibrated(history, &group("blue"), [])
}

/// The pairs that a history comes to, in its own order.
fn pairs(history: &[PastMinute]) -> Vec<Pair> {
    let alone: Vec<Alone<'_>> = history.iter().filter_map(Alone::of).collect();
    let halves = Halves::of(&alone);
    alone.iter().map(|one| halves.pair(one)).collect()
}

/// The mean drift that a history makes likely.
fn drift(calibrated: &Calibrated) -> f64 {
    calibrated.failures.dispersions.iter().map(|one| one.weight * one.dispersion.drift).sum()
}

#[test]
fn the_windows_are_the_last_day_and_stretches_at_every_time_of_day_within_fifteen_days() {
    let windows = windows();
    assert_eq!(windows.iter().map(|window| window.minutes).sum::<u32>(), 2_880);
    assert_eq!(windows[0], Window { back: 0, minutes: 1_440 });
    for pair in windows.windows(2) {
        assert!(pair[1].back > pair[0].back + pair[0].minutes, "{pair:?} overlap");
    }
    let oldest = windows.last().unwrap();
    assert!(oldest.back + oldest.minutes < 15 * 1_440, "it is rolled up already");
    let mut hours: Vec<u32> = windows[1..]
        .iter()
        .flat_map(|w| (w.back..w.back + w.minutes).step_by(60))
        .map(|m| m / 60 % 24)
        .collect();
    hours.sort_unstable();
    assert_eq!(hours, (0..24).collect::<Vec<_>>());
}

#[test]
fn minutes_with_two_busy_groups_are_of_a_release_and_whoever_served_alone_counts() {
    let history: Vec<PastMinute> = (0..60)
        .map(|i| minute(i, &[("green", &[load(1_000.0, 1.0)]), ("blue", &[load(5.0, 0.0)])]))
        .chain(
            (60..70).map(|i| minute(i, &[("blue", &[load(500.0, 1.0)]), ("green", &[load(500.0, 250.0)])])),
        )
        .chain((70..130).map(|i| minute(i, &[("blue", &[load(1_000.0, 1.0)])])))
        .collect();
    let found = learned(&history);
    assert_eq!((found.failures.minutes, found.from, found.zones), (120, Some(at(0)), 0));
    assert!(
        found.failures.rate.is_some_and(|rate| (0.000_9..0.001_1).contains(&rate)),
        "{:?}",
        found.failures
    );
}

#[test]
fn zones_that_differ_for_minutes_at_a_time_teach_that_two_fleets_may() {
    // Which zone has more of them changes every quarter of an hour.
    let of = |i: i64| if i / 15 % 2 == 0 { [9.0, 5.0] } else { [5.0, 9.0] };
    let zones = |i: i64| of(i).map(|failures| load(1_000.0, failures));
    let told: Vec<PastMinute> = (0..600).map(|i| minute(i, &[("blue", &zones(i))])).collect();
    let not_told: Vec<PastMinute> =
        (0..600).map(|i| minute(i, &[("blue", &[load(2_000.0, 14.0)])])).collect();
    let (told, not_told) = (learned(&told), learned(&not_told));
    assert_eq!((told.zones, not_told.zones), (2, 0));
    assert!(drift(&told) > 1.3 * drift(&not_told), "{} and {}", drift(&told), drift(&not_told));
    assert!(told.describe().contains("apart for minutes at a time"), "{}", told.describe());
}

#[test]
fn more_than_two_zones_are_two_parts_as_even_as_can_be() {
    let zones = [load(300.0, 1.0), load(600.0, 2.0), load(250.0, 3.0)];
    let history = [minute(0, &[("blue", &zones)])];
    assert_eq!(
        pairs(&history),
        [Pair {
            blue: Tally { requests: 600.0, failures: 2.0 },
            green: Tally { requests: 550.0, failures: 4.0 }
        }]
    );
    assert_eq!(learned(&history).zones, 3);
}

#[test]
fn a_minute_of_which_a_zone_is_missing_counts_as_a_whole() {
    let both = minute(0, &[("blue", &[load(500.0, 2.0), load(500.0, 2.0)])]);
    let mut one = minute(1, &[("blue", &[load(500.0, 2.0), load(500.0, 2.0)])]);
    one.groups.get_mut(&group("blue")).unwrap().zones[1] = Load::default();
    let found = pairs(&[both, one]);
    assert_eq!(found[0].green.requests, 500.0);
    assert_eq!(found[1], Pair { blue: Tally { requests: 1_000.0, failures: 4.0 }, green: Tally::default() });
}

#[test]
fn only_one_zone_with_traffic_tells_nothing_of_zones() {
    let history = [minute(0, &[("blue", &[load(500.0, 2.0), load(0.0, 0.0)])])];
    assert_eq!((pairs(&history)[0].green, learned(&history).zones), (Tally::default(), 0));
}

#[test]
fn impossible_counts_are_left_out() {
    for bad in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let history = [minute(0, &[("blue", &[load(bad, 0.0)])]), minute(1, &[("blue", &[load(10.0, 1.0)])])];
        assert_eq!(learned(&history).failures.minutes, 1, "{bad}");
        let zones = [minute(0, &[("blue", &[load(500.0, 2.0), load(500.0, 2.0)])])];
        let mut broken = zones.clone();
        broken[0].groups.get_mut(&group("blue")).unwrap().zones[0].failures = bad;
        assert_eq!(pairs(&broken)[0].green, Tally::default(), "{bad}");
    }
}

#[test]
fn whatever_part_of_the_end_is_looked_at_is_of_every_day() {
    // Each minute has as many failures as days have passed since it.
    let windows = windows();
    let newest = i64::from(windows.last().unwrap().back) + 200;
    let mut minutes: Vec<i64> = windows
        .iter()
        .flat_map(|window| (window.back..window.back + window.minutes).map(|back| newest - i64::from(back)))
        .collect();
    minutes.sort_unstable();
    let history: Vec<PastMinute> = minutes
        .iter()
        .map(|i| minute(*i, &[("blue", &[load(1_000.0, ((newest - i) / DAY) as f64)])]))
        .collect();
    let alone: Vec<Alone<'_>> = history.iter().filter_map(Alone::of).collect();
    let halves = Halves::of(&alone);
    let ordered = in_rows(alone.iter().map(|one| (one, halves.pair(one))));
    assert_eq!(ordered.len(), 2_880);
    let days = |minutes: &[Pair]| {
        let mut days: Vec<i64> = minutes.iter().map(|pair| pair.blue.failures as i64).collect();
        days.dedup();
        days
    };
    assert_eq!(
        days(&ordered[2_880 - 540..]),
        [14, 12, 11, 9, 7, 5, 3, 1, 0],
        "an hour of each, the last one last"
    );
    assert_eq!(days(&ordered[2_880 - 1_080..]).len(), 18);
}

#[test]
fn a_teams_count_is_learned_from_its_first_minute_on_and_while_its_own_group_served() {
    let name: MetricName = "checkouts".parse().unwrap();
    let with = |i, blue: &str, counted: Option<f64>| PastMinute {
        metrics: counted.map(|counted| (name.clone(), counted)).into_iter().collect(),
        ..minute(i, &[(blue, &[load(1_000.0, 0.0)])])
    };
    let history: Vec<PastMinute> = (0..60)
        .map(|i| with(i, "green", Some(1.0)))
        .chain((60..120).map(|i| with(i, "blue", None)))
        .chain((120..240).map(|i| with(i, "blue", (i % 2 == 0).then_some(100.0))))
        .collect();
    let found = calibrated(&history, &group("blue"), [&name]);
    let of_metric = &found.metrics[&name];
    assert_eq!((of_metric.minutes, found.failures.minutes), (120, 240));
    assert!(of_metric.rate.is_some_and(|rate| (0.045..0.055).contains(&rate)), "{of_metric:?}");
}

#[test]
fn no_history_says_what_that_costs() {
    let found = learned(&[]);
    assert_eq!((found.failures.rate, found.from), (None, None));
    assert!(found.describe().starts_with("no history: an outage is found in minutes all the same"));
}
