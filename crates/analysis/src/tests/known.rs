//! Rules that people know: alarms, missing values, what is critical, and the guide's thresholds.

use tidegate_model::{
    observation::Alarm,
    spec::Preset,
    verdict::{Guard, Standing},
};

use super::*;

fn watched(red: Option<bool>) -> World {
    let mut world = World::of(&[(Some(counts(900.0, 1.0)), Some(counts(100.0, 0.0))); 6]);
    calibrated(&mut world);
    let check = MetricCheck { failing: 1, of: 1, ..metric_check(MetricRule::Alarm("orders-p99".into())) };
    world.checks.metrics.insert("pager".parse().unwrap(), check);
    world.alarms = red.map(|red| vec![Alarm { name: "orders-p99".into(), red }]);
    world
}

#[test]
fn an_alarm_of_the_teams_own_that_is_red_fails_and_is_named() {
    let finding = failed(&watched(Some(true)));
    assert_eq!(finding.guard, Some(Guard::AlarmRed));
    assert_eq!(finding.to_string(), "alarm orders-p99 is red in 1 of 1 minutes");
    assert_eq!(watched(Some(false)).verdict(), Verdict::Pass);
    let mut tried = watched(Some(true));
    tried.checks.metrics.values_mut().for_each(|check| check.dry_run = true);
    assert_eq!((tried.verdict(), tried.judgement().dry_run.len()), (Verdict::Pass, 1));
    let mut early = watched(Some(true));
    early.checks.metrics.values_mut().for_each(|check| check.after = Some("10m".parse().unwrap()));
    assert_eq!(early.verdict(), Verdict::Pass);
}

#[test]
fn an_alarm_that_is_not_known_is_told_and_fails_nobody() {
    for alarms in [None, Some(vec![])] {
        let mut world = watched(None);
        world.alarms = alarms;
        let judgement = world.judgement();
        assert_eq!(judgement.verdict, Verdict::Pass);
        let told = judgement.rules.iter().find(|rule| rule.guard == Some(Guard::AlarmRed)).unwrap();
        assert!(told.to_string().starts_with("alarm orders-p99 does not exist, or was not read"), "{told}");
    }
}

#[test]
fn a_metric_without_a_value_breaks_nothing_unless_it_may_not_be_missing() {
    let (there, gone) = ((None, Some(1.0)), (None, None));
    let mut world = counted(&MetricRule::Above(20.0), &[there, there, gone, gone, gone, gone]);
    let judgement = world.judgement();
    assert_eq!(judgement.verdict, Verdict::Pass);
    let shown = judgement.rules.iter().find(|rule| rule.measure.as_deref() == Some("checkouts")).unwrap();
    assert_eq!((shown.measured, shown.standing), (None, Standing::Kept));
    world.checks.metrics.values_mut().for_each(|check| check.missing = Some(5));
    assert_eq!(world.verdict(), Verdict::Pass, "four minutes are not five");
    world.checks.metrics.values_mut().for_each(|check| check.missing = Some(4));
    let finding = failed(&world);
    assert_eq!((finding.guard, finding.failing_minutes), (Some(Guard::NoValue), 4));
}

#[test]
fn what_is_critical_fails_in_its_first_minute() {
    let (good, bad) = ((None, Some(0.0)), (None, Some(1.0)));
    let mut world = counted(&MetricRule::Above(0.0), &[good, good, good, good, bad]);
    assert_eq!(world.verdict(), Verdict::Pass);
    // As the spec is read.
    world
        .checks
        .metrics
        .values_mut()
        .for_each(|check| (check.failing, check.of, check.critical) = (1, 1, true));
    assert_eq!(failed(&world).failing_minutes, 1);
}

#[test]
fn the_guides_thresholds_are_rules_beside_the_evidence_and_shown_with_value_and_limit() {
    let minute = |failures, p95| {
        let green = Counts { latency: Some(p95), ..counts(100.0, failures) };
        (Some(counts(900.0, 1.0)), Some(green))
    };
    let judged = |minutes: &[(Option<Counts>, Option<Counts>)]| {
        let mut world = World::of(minutes);
        calibrated(&mut world);
        world.baseline.as_mut().unwrap().slow = None;
        world.checks.preset = Some(Preset::Guide);
        world
    };
    assert_eq!(judged(&[minute(0.0, 0.055); 5]).verdict(), Verdict::Pass);
    let slower = failed(&judged(&[minute(0.0, 0.062); 3]));
    assert_eq!(slower.measure.as_deref(), Some("p95, by the guide,"));
    assert_eq!(
        slower.to_string(),
        "p95, by the guide, of green 62 ms over the limit 60 ms in 3 of 3 minutes"
    );
    let failing = failed(&judged(&[minute(1.0, 0.05); 3]));
    assert_eq!(failing.check, Check::Errors, "a single failure a minute is enough for it");
    let mut off = judged(&[minute(1.0, 0.062); 3]);
    (off.checks.errors, off.checks.latency) = (Toggle::Off, Toggle::Off);
    assert_eq!(off.verdict(), Verdict::Pass, "{:#?}", off.judgement());
    assert_eq!(
        judged(&[minute(0.0, 0.055); 5]).judgement().rules.iter().filter(|r| r.measure.is_some()).count(),
        2
    );
}
