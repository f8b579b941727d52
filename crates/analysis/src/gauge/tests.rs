//! The mixture, held against its formula and against simulated services that are as they were.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;
use statrs::distribution::{ContinuousCDF, Normal};

use super::*;

/// A service's value, minute by minute: each hangs together with the one before by `memory`, 0 to 1.
struct Service {
    rng: StdRng,
    memory: f64,
    state: f64,
}

impl Service {
    fn new(seed: u64, memory: f64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let state = rng.sample(StandardNormal);
        Self { rng, memory, state }
    }

    fn next(&mut self) -> f64 {
        let fresh: f64 = self.rng.sample(StandardNormal);
        self.state = self.memory * self.state + (1.0 - self.memory * self.memory).sqrt() * fresh;
        50.0 + 4.0 * self.state
    }
}

/// The most evidence in a release of so many minutes that is as the history was, but for `shift`.
fn peak(service: &mut Service, minutes: usize, shift: f64) -> f64 {
    let history: Vec<f64> = (0..180).map(|_| service.next()).collect();
    let known = learn(&history).unwrap();
    let mut gauge = Gauge::default();
    let middle = history.iter().sum::<f64>() / 180.0;
    (0..minutes).fold(0.0, |peak: f64, _| {
        // As of two fleets: the one's minute against the other's.
        let (green, blue) = (service.next() + shift, middle);
        gauge.see((green - blue) / known.deviation);
        peak.max(gauge.ln_evidence())
    })
}

#[test]
fn the_mixture_is_its_formula() {
    let normal = Normal::new(0.0, 1.0).unwrap();
    for (sum, minutes) in [(0.0, 0.0), (0.0, 5.0), (9.0, 3.0), (-9.0, 3.0), (30.0, 40.0), (-4.0, 100.0)] {
        let spread: f64 = RHO + minutes;
        let formula = 2.0
            * (RHO / spread).sqrt()
            * (sum * sum / (2.0 * spread)).exp()
            * normal.cdf(sum / spread.sqrt());
        let ln = ln_mixture(sum, minutes);
        assert!((ln - formula.ln()).abs() < 1e-5, "{sum} in {minutes}: {ln} against {}", formula.ln());
    }
}

/// confseq 0.0.11, `normal_log_mixture(sum, minutes, v_opt, 0.05, is_one_sided=True)` with the `v_opt` whose `rho` is [`RHO`].
#[test]
fn the_mixture_agrees_with_confseq() {
    let golden = [
        (0.0, 5.0, -0.626_381_484_247),
        (2.0, 1.0, 1.024_570_477_302),
        (9.0, 3.0, 8.334_973_317_158),
        (-9.0, 3.0, -2.130_707_885_371),
        (30.0, 40.0, 9.885_169_839_694),
        (60.0, 60.0, 28.008_411_642_833),
        (-4.0, 100.0, -2.255_561_911_391),
    ];
    for (sum, minutes, expected) in golden {
        let ln = ln_mixture(sum, minutes);
        assert!((ln - expected).abs() < 1e-6, "{sum} in {minutes}: {ln} against {expected}");
    }
}

#[test]
fn a_good_release_reaches_the_limit_no_oftener_than_it_may() {
    for memory in [0.0, 0.5, 0.9] {
        let releases = 4_000;
        let reached = |limit: f64| {
            let peaks = (0..releases).map(|seed| peak(&mut Service::new(seed, memory), 90, 0.0));
            peaks.filter(|peak| *peak >= limit.ln()).count()
        };
        // At 1 in 100 some forty would be allowed, at 1 in 1 000 four.
        let (hundred, thousand) = (reached(100.0), reached(1_000.0));
        assert!(hundred <= 50 && thousand <= 9, "memory {memory}: {hundred} and {thousand} of {releases}");
    }
}

#[test]
fn a_lasting_rise_is_found() {
    for (memory, shift) in [(0.0, 8.0), (0.5, 12.0)] {
        let found =
            (0..200).filter(|seed| peak(&mut Service::new(*seed, memory), 60, shift) >= 1_000f64.ln());
        let found = found.count();
        assert!(found >= 190, "memory {memory}: {found} of 200");
    }
}

#[test]
fn a_rise_that_begins_late_is_found_though_everything_was_far_below_before() {
    let mut gauge = Gauge::default();
    (0..60).for_each(|_| gauge.see(-40.0));
    assert!(gauge.ln_evidence() < 0.0);
    (0..12).for_each(|_| gauge.see(3.0));
    assert!(gauge.ln_evidence() > 1_000f64.ln(), "{}", gauge.ln_evidence());
}

#[test]
fn one_minute_alone_decides_nothing() {
    let mut gauge = Gauge::default();
    (0..5).for_each(|_| gauge.see(0.0));
    gauge.see(1e300);
    assert!(gauge.ln_evidence() < 10f64.ln(), "{}", gauge.ln_evidence());
}

#[test]
fn a_short_history_leaves_more_open_than_a_long_one() {
    let all: Vec<f64> = (0..180).map(|i| if i % 2 == 0 { 48.0 } else { 52.0 }).collect();
    let (short, long) = (learn(&all[..12]).unwrap(), learn(&all).unwrap());
    assert!(short.deviation > 1.2 * long.deviation && long.deviation > 2.0, "{short:?} {long:?}");
    assert_eq!(learn(&all[..9]), None);
}

#[test]
fn values_that_hang_together_are_known_to_vary_more() {
    let of = |memory: f64| {
        let mut service = Service::new(3, memory);
        learn(&(0..180).map(|_| service.next()).collect::<Vec<_>>()).unwrap().deviation
    };
    assert!(of(0.9) > 2.0 * of(0.0), "{} {}", of(0.9), of(0.0));
}

proptest::proptest! {
    #[test]
    fn any_value_gives_finite_evidence_and_any_history_a_finite_deviation(
        values in proptest::collection::vec(proptest::num::f64::ANY, 0..60),
    ) {
        let mut gauge = Gauge::default();
        for value in &values {
            gauge.see(*value);
            proptest::prop_assert!(gauge.ln_evidence().is_finite(), "{:?}", gauge);
        }
        if let Some(known) = learn(&values) {
            proptest::prop_assert!(known.deviation.is_finite() && known.deviation > 0.0);
            proptest::prop_assert!(known.noise.is_finite() && known.noise > 0.0 && known.level.is_finite());
        }
    }
}
