//! Whatever is in the question: the judge never panics, never says what is no number, and never takes it for health.

use proptest::{collection::vec, option, prelude::*};
use tidegate_model::{
    observation::{Alarm, ColorHealth, TargetHealth},
    spec::Preset,
};

use super::*;

/// Numbers as they come, and as they never should.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0.0..2_000.0f64).prop_map(f64::round),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-3.0), Just(1e12), Just(1e300), Just(0.0)],
    ]
}

/// Numbers that no count can be.
fn impossible() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1.0), Just(1e16)]
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let maybe = || option::of(number());
    (maybe(), number(), maybe(), maybe(), maybe(), [maybe(), maybe()], [maybe(), maybe()]).prop_map(
        |(requests, failures, latency, unhealthy, healthy, quantiles, slow)| Counts {
            requests,
            failures,
            latency,
            unhealthy,
            healthy,
            quantiles,
            slow,
        },
    )
}

/// A minute anywhere around the release: before it, twice, out of order, far ahead.
fn any_minute() -> impl Strategy<Value = Minute> {
    let maybe = || option::of(number());
    let when = prop_oneof![9 => -10..40i64, 1 => Just(1_000_000i64)];
    (
        when,
        option::of(any_counts()),
        option::of(any_counts()),
        maybe(),
        [maybe(), maybe()],
        [maybe(), maybe()],
    )
        .prop_map(|(when, blue, green, connections, own, balancer)| Minute {
            at: at(when),
            groups: [("blue", blue), ("green", green)]
                .into_iter()
                .filter_map(|(name, counts)| Some((group(name), counts?)))
                .collect(),
            connections,
            metrics: BTreeMap::from([("own".parse().unwrap(), Sides { blue: own[0], green: own[1] })]),
            balancer_requests: balancer[0],
            balancer_errors: balancer[1],
        })
}

fn any_rule() -> impl Strategy<Value = MetricRule> {
    prop_oneof![
        Just(MetricRule::Drop),
        Just(MetricRule::Rise),
        Just(MetricRule::Higher),
        Just(MetricRule::Lower),
        number().prop_map(MetricRule::Above),
        number().prop_map(MetricRule::Below),
        number().prop_map(MetricRule::TimesBlue),
        number().prop_map(MetricRule::OverBlue),
        Just(MetricRule::Alarm("pager".into())),
    ]
}

fn any_world() -> impl Strategy<Value = World> {
    let health = option::of((0..3u32, 0..3u32)).prop_map(|counts| {
        counts.map(|(healthy, unhealthy)| ColorHealth {
            blue: TargetHealth { healthy: 2, ..TargetHealth::default() },
            green: TargetHealth { healthy, unhealthy, ..TargetHealth::default() },
        })
    });
    let checks = (any_rule(), any::<bool>(), option::of(1..16u32)).prop_map(|(rule, critical, missing)| {
        let check = MetricCheck { critical, missing, ..metric_check(rule) };
        Checks {
            database_connections: Toggle::On,
            preset: Some(Preset::Guide),
            metrics: BTreeMap::from([("own".parse().unwrap(), check)]),
            ..Checks::default()
        }
    });
    let weight = prop_oneof![Just(0.0), Just(0.1), Just(1.0), number()];
    (vec(any_minute(), 0..30), vec(any_minute(), 0..30), checks, weight, health, any::<bool>()).prop_map(
        |(minutes, history, checks, weight, health, red)| {
            let baseline = baseline(&history, &group("blue"), 1)
                .map(|known| Baseline { max_connections: Some(100.0), ..known });
            let alarms = Some(vec![Alarm { name: "pager".into(), red }]);
            World { minutes, baseline, weight, checks, health, alarms }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_question_has_an_answer_of_numbers(world in any_world()) {
        let judgement = world.judgement();
        let finding = match &judgement.verdict {
            Verdict::Fail(finding) => Some(finding),
            Verdict::Pass | Verdict::Undecided | Verdict::Suspect | Verdict::NoData { .. } => None,
        };
        for finding in finding.into_iter().chain(&judgement.dry_run) {
            prop_assert!(finding.measured.is_finite() && finding.limit.is_finite(), "{finding:?}");
            prop_assert!(finding.factor.is_none_or(f64::is_finite), "{finding:?}");
        }
        for metric in judgement.evidence.iter().flat_map(|evidence| &evidence.metrics) {
            let values = metric.values.map_or([0.0; 2], |values| [values.blue, values.green]);
            let counts = [metric.blue_requests, metric.blue_counted, metric.green_requests, metric.green_counted];
            prop_assert!(counts.iter().chain(&values).all(|n| n.is_finite()), "{metric:?}");
            prop_assert!(metric.factor.is_finite() && metric.share.is_finite(), "{metric:?}");
        }
        if let Some(known) = &world.baseline {
            prop_assert!(known.requests.is_finite() && known.failures.is_finite(), "{known:?}");
        }
    }

    #[test]
    fn the_order_of_the_minutes_changes_nothing(world in any_world()) {
        let mut world = world;
        world.minutes.sort_by_key(|minute| minute.at);
        world.minutes.dedup_by_key(|minute| minute.at);
        let expected = format!("{:?}", world.judgement());
        world.minutes.reverse();
        prop_assert_eq!(format!("{:?}", world.judgement()), expected);
    }

    #[test]
    fn counts_of_green_that_cannot_be_are_never_health(
        world in any_world(), odd in vec((impossible(), any::<bool>()), 1..12),
    ) {
        let mut world = world;
        world.minutes = odd.iter().zip(0..).map(|((odd, of_requests), i)| {
            let green = if *of_requests { counts(*odd, 0.0) } else { counts(500.0, *odd) };
            Minute {
                at: at(i),
                groups: BTreeMap::from([(group("blue"), counts(500.0, 0.0)), (group("green"), green)]),
                ..Minute::default()
            }
        }).collect();
        prop_assert_ne!(world.verdict(), Verdict::Pass);
    }
}
