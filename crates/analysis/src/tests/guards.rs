//! Guards: what each sees, what it does not take for green's fault, and minutes that are only partly there.

use tidegate_model::{
    observation::{ColorHealth, TargetHealth},
    verdict::{Guard, Standing},
};

use super::*;

/// Minutes of 900 requests of blue's and 100 of green's, with so many failures each.
fn failing(failures: &[(f64, f64)]) -> World {
    let pairs: Vec<_> = failures
        .iter()
        .map(|(blue, green)| (Some(counts(900.0, *blue)), Some(counts(100.0, *green))))
        .collect();
    let mut world = World::of(&pairs);
    calibrated(&mut world);
    world
}

fn guard(world: &World, guard: Guard) -> RuleReading {
    let rules = world.judgement().rules;
    rules.into_iter().find(|rule| rule.guard == Some(guard)).expect("the guard is judged")
}

fn with_targets(world: &mut World, blue: (f64, f64), green: (f64, f64), last: usize) {
    let first = world.minutes.len() - last;
    for minute in &mut world.minutes[first..] {
        for (name, (healthy, unhealthy)) in [("blue", blue), ("green", green)] {
            if let Some(counts) = minute.groups.get_mut(&group(name)) {
                (counts.healthy, counts.unhealthy) = (Some(healthy), Some(unhealthy));
            }
        }
    }
}

fn read_now(blue: (u32, u32), green: (u32, u32)) -> Option<ColorHealth> {
    let of = |(healthy, unhealthy)| TargetHealth { healthy, unhealthy, ..TargetHealth::default() };
    Some(ColorHealth { blue: of(blue), green: of(green) })
}

#[test]
fn without_a_healthy_target_green_is_suspect_at_once_and_fails_in_two_minutes() {
    let mut world = failing(&[(1.0, 0.0); 6]);
    world.health = read_now((2, 0), (0, 2));
    assert_eq!(world.verdict(), Verdict::Suspect, "{:#?}", world.judgement());
    with_targets(&mut world, (2.0, 0.0), (0.0, 2.0), 1);
    let finding = failed(&world);
    assert_eq!((finding.guard, finding.check), (Some(Guard::NoHealthyTarget), Check::Targets));
    world.health = read_now((2, 0), (1, 1));
    assert_eq!(world.verdict(), Verdict::Suspect, "one of them came back");
    with_targets(&mut world, (2.0, 0.0), (0.0, 2.0), 2);
    assert_eq!(failed(&world).guard, Some(Guard::NoHealthyTarget));
}

#[test]
fn no_registered_target_is_seen_before_five_silent_minutes_are_over() {
    let mut world = World::of(&[(Some(counts(900.0, 1.0)), None); 2]);
    calibrated(&mut world);
    world.health = read_now((2, 0), (0, 0));
    assert_eq!(failed(&world).guard, Some(Guard::NoHealthyTarget));
}

#[test]
fn targets_of_both_colors_that_are_sick_together_are_not_greens_fault() {
    let mut world = failing(&[(1.0, 0.0); 6]);
    world.health = read_now((0, 2), (0, 2));
    with_targets(&mut world, (0.0, 2.0), (0.0, 2.0), 5);
    assert_eq!(world.verdict(), Verdict::Pass, "{:#?}", world.judgement());
}

#[test]
fn green_without_weight_needs_no_targets_and_a_check_that_is_off_finds_nothing() {
    let mut world = failing(&[(1.0, 0.0); 6]);
    world.health = read_now((2, 0), (0, 2));
    with_targets(&mut world, (2.0, 0.0), (0.0, 0.0), 6);
    world.weight = 0.0;
    assert_eq!(world.verdict(), Verdict::Pass);
    world.weight = 0.1;
    world.checks.targets = Toggle::Off;
    assert_eq!(world.verdict(), Verdict::Pass);
    world.checks.targets = Toggle::DryRun;
    assert_eq!((world.verdict(), world.judgement().dry_run.len()), (Verdict::Pass, 1));
}

/// The load balancer answers so many requests a minute itself with 5xx.
fn balancer(usual: [f64; 2], errors: &[f64]) -> World {
    let mut world = failing(&vec![(1.0, 0.0); errors.len()]);
    world.baseline.as_mut().unwrap().balancer = Some(usual);
    for (minute, errors) in world.minutes.iter_mut().zip(errors) {
        minute.balancer_requests = Some(1_000.0);
        minute.balancer_errors = (*errors > 0.0).then_some(*errors);
    }
    world
}

#[test]
fn errors_of_the_load_balancer_that_jump_at_a_step_hold_and_then_fail() {
    let quiet = [0.0, 0.0];
    assert_eq!(balancer(quiet, &[0.0, 0.0, 0.0, 100.0]).verdict(), Verdict::Pass);
    let held = balancer(quiet, &[0.0, 0.0, 100.0, 100.0, 100.0]);
    assert_eq!(held.verdict(), Verdict::Suspect);
    let reading = guard(&held, Guard::BalancerErrors);
    assert_eq!((reading.measured, reading.limit, reading.failing_minutes), (Some(0.1), Some(0.005), 3));
    let finding = failed(&balancer(quiet, &[100.0; 5]));
    assert_eq!((finding.guard, finding.measured), (Some(Guard::BalancerErrors), 0.1));
    assert_eq!(
        finding.to_string(),
        "requests answered with 5xx by the load balancer itself 10.00 % over the limit 0.50 % in 5 of 5 minutes"
    );
}

#[test]
fn errors_of_the_load_balancer_that_are_usual_or_come_long_after_the_ramp_find_nothing() {
    assert_eq!(balancer([0.03, 0.0], &[100.0; 8]).verdict(), Verdict::Pass, "three times as many");
    assert_eq!(balancer([0.001, 0.2], &[100.0; 8]).verdict(), Verdict::Pass, "it did the same by itself");
    let mut late = vec![0.0; 46];
    late.extend([100.0; 8]);
    assert_eq!(balancer([0.0, 0.0], &late).verdict(), Verdict::Pass);
    assert_eq!(balancer([0.0, 0.0], &[5.0; 8]).verdict(), Verdict::Pass, "too few to be an incident");
}

#[test]
fn both_colors_failing_hold_after_three_minutes_and_fail_after_ten() {
    let calm = (1.0, 0.0);
    let verdict = |bad: usize| {
        let mut minutes = vec![calm; 5];
        minutes.extend(vec![(45.0, 5.0); bad]);
        failing(&minutes).verdict()
    };
    assert_eq!((verdict(1).as_str(), verdict(2).as_str()), ("pass", "pass"));
    assert!((3..10).all(|bad| verdict(bad) == Verdict::Suspect));
    let Verdict::Fail(finding) = verdict(10) else { panic!("ten minutes are no incident any more") };
    assert_eq!((finding.guard, finding.failing_minutes), (Some(Guard::BothFail), 10));
}

#[test]
fn a_common_incident_of_three_minutes_never_fails_and_is_over_when_it_is_over() {
    let mut minutes = vec![(1.0, 0.0); 5];
    minutes.extend([(300.0, 33.0); 3]);
    for calm in 0..20 {
        let judged = failing(&minutes).verdict();
        assert!(!matches!(judged, Verdict::Fail(_)), "{calm}: {judged:?}");
        assert!(calm < 5 || judged == Verdict::Pass, "{calm}: {judged:?}");
        minutes.push((1.0, 0.0));
    }
}

#[test]
fn a_service_that_fails_so_by_itself_is_not_rolled_back_for_it() {
    let mut world = failing(&[(45.0, 5.0); 12]);
    world.baseline.as_mut().unwrap().worst_stretch = Some(0.08);
    assert_eq!(guard(&world, Guard::BothFail).standing, Standing::Kept);
    world.baseline.as_mut().unwrap().calibration = None;
    assert!(world.judgement().rules.iter().all(|rule| rule.guard != Some(Guard::BothFail)));
}

#[test]
fn the_worst_of_a_history_is_what_lasted_as_long_as_would_make_a_release_go_back() {
    let minute = |i: i64| {
        let failures = if (100..112).contains(&i) || i == 50 { 60.0 } else { 1.0 };
        let groups = BTreeMap::from([(group("blue"), counts(1_000.0, failures))]);
        let errors = (200..205).contains(&i).then_some(30.0);
        Minute {
            at: at(i),
            groups,
            balancer_requests: Some(1_000.0),
            balancer_errors: errors,
            ..Minute::default()
        }
    };
    let history: Vec<Minute> = (0..240).map(minute).collect();
    let known = baseline(&history, &group("blue"), 5).unwrap();
    assert_eq!((known.worst_minutes, known.worst_stretch), (Some(0.06), Some(0.06)));
    let [usual, worst] = known.balancer.expect("the load balancer's own errors");
    assert!((usual - 150.0 / 240_000.0).abs() < 1e-9 && (worst - 0.03).abs() < 1e-9, "{usual} {worst}");
    let short = baseline(&history[..60], &group("blue"), 5).unwrap();
    assert_eq!((short.worst_minutes, short.worst_stretch), (Some(0.0), Some(0.0)));
    assert_eq!(short.balancer, Some([0.0, 0.0]));
}

#[test]
fn minutes_that_are_partly_there_do_not_speak_for_green() {
    let (whole, thin) = (counts(900.0, 1.0), counts(200.0, 0.0));
    let good = (Some(whole), Some(counts(100.0, 0.0)));
    let part = (Some(thin), Some(counts(20.0, 0.0)));
    let mut world = World::of(&[good, good, part, part, part]);
    calibrated(&mut world);
    assert_eq!(world.verdict(), Verdict::Undecided, "{:#?}", world.judgement());
    world = World::of(&[good; 5]);
    calibrated(&mut world);
    assert_eq!(world.verdict(), Verdict::Pass, "when they are complete they count");
}

#[test]
fn a_minute_without_blues_requests_is_not_compared_before_it_is_complete() {
    let good = (Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0)));
    let half = (None, Some(counts(100.0, 100.0)));
    let mut world = World::of(&[good, good, good, good, half]);
    calibrated(&mut world);
    let judgement = world.judgement();
    assert_eq!((judgement.verdict, judgement.until), (Verdict::Pass, Some(at(3))));
    let mut dead = World::of(&[good, half, half, half, half, half]);
    calibrated(&mut dead);
    assert!(matches!(dead.verdict(), Verdict::Fail(_)), "what stays away is judged without it");
}

#[test]
fn minutes_out_of_order_and_twice_are_judged_as_if_they_were_not() {
    let mut world = failing(&[(1.0, 1.0), (1.0, 2.0), (2.0, 0.0), (0.0, 1.0), (1.0, 3.0), (1.0, 0.0)]);
    let expected = world.judgement();
    let early = Minute { groups: BTreeMap::new(), ..world.minutes[2].clone() };
    world.minutes.insert(0, early);
    world.minutes.swap(1, 4);
    // A minute that stands twice counts as it stands last.
    let first = world.minutes.iter().position(|minute| minute.at == at(2) && minute.groups.is_empty());
    assert_eq!(first, Some(0));
    assert_eq!(world.judgement(), expected);
}
