//! The laws against scipy, the evidence by exact enumeration, and what must not change it.

use tidegate_model::calibration::{Calibration, Dispersion, Weighed};

use super::{
    fit,
    hypothesis::{Pairing, Setting},
    special::{ln_beta_binomial, ln_binomial, ln_negative_binomial},
    *,
};
use crate::calibration::uncalibrated;

const INDEPENDENT: Dispersion = Dispersion { cluster: 1.0, jitter: 0.0, drift: 1e-9, outliers: 0.0 };
const ROUGH: Dispersion = Dispersion { cluster: 3.0, jitter: 0.05, drift: 0.1, outliers: 0.01 };

fn pair(blue: (f64, f64), green: (f64, f64)) -> Pair {
    let tally = |(requests, failures)| Tally { requests, failures };
    Pair { blue: tally(blue), green: tally(green) }
}

fn calibration(rate: Option<f64>, dispersion: Dispersion) -> Calibration {
    let one = Weighed { dispersion, weight: 1.0, common: fit::even() };
    Calibration { rate, volume: 1_000.0, minutes: 0, dispersions: vec![one] }
}

fn ln_evidence(calibration: &Calibration, pairs: &[Pair]) -> f64 {
    let mut process = Process::new(calibration, &Effects::errors());
    pairs.iter().for_each(|pair| process.see(pair));
    process.ln_evidence()
}

/// `ln n!`, summed.
fn ln_factorial(n: u32) -> f64 {
    (2..=n).map(|i| f64::from(i).ln()).sum()
}

/// Differences of log probabilities under two parameters, as scipy 1.x gives them (`betabinom` with `a = q m`,
/// `b = (1 - q) m`, `m = 1/rho - 1`).
#[test]
fn the_beta_binomial_law_agrees_with_scipy() {
    let golden = [
        (3.0, 10.0, (0.1, 0.05), (0.3, 0.05), -1.130_925_201_33),
        (0.0, 1.0, (0.1, 0.4), (0.5, 0.4), 0.587_786_664_902),
        (17.0, 40.0, (0.2, 0.01), (0.35, 0.2), -2.453_630_300_51),
        (900.0, 1_000.0, (0.5, 0.001), (0.9, 0.001), -203.323_625_268),
        (5.0, 100_000.0, (1e-4, 1e-4), (5e-5, 1e-4), 0.203_085_826_142),
        (30_000.0, 100_000.0, (0.25, 1e-5), (0.3, 1e-3), -311.878_121_065),
    ];
    for (x, n, one, other, expected) in golden {
        let difference = ln_beta_binomial(x, n, one.0, one.1) - ln_beta_binomial(x, n, other.0, other.1);
        assert!((difference - expected).abs() < 1e-7 * expected.abs(), "{x} of {n}: {difference} {expected}");
    }
}

#[test]
fn the_negative_binomial_law_agrees_with_scipy() {
    let golden = [
        (0.0, (0.3, 0.4), (2.0, 5.0), 0.962_807_110_626),
        (7.0, (3.0, 9.0), (8.0, 8.5), -1.349_244_986_62),
        (150.0, (100.0, 400.0), (140.0, 160.0), -2.915_360_004_69),
        (20_000.0, (10_000.0, 1e7), (19_000.0, 5e6), -3.967_911_397_3),
    ];
    for (n, one, other, expected) in golden {
        let difference = ln_negative_binomial(n, one.0, one.1) - ln_negative_binomial(n, other.0, other.1);
        assert!((difference - expected).abs() < 1e-7, "{n}: {difference} {expected}");
    }
}

#[test]
fn at_ten_to_the_twelfth_the_laws_are_still_exact() {
    let n = 1e12;
    let x = 0.1 * n;
    let nearly = ln_beta_binomial(x, n, 0.1, 2e-9) - ln_beta_binomial(x, n, 0.1, 1e-9);
    // Half as spread out, twice as likely in the middle: the normal limit.
    assert!((nearly + 0.5 * 2f64.ln()).abs() < 1e-3, "{nearly}");
    let exact = ln_binomial(x, n, 0.1) - ln_binomial(x, n, 0.1 + 1e-6);
    let expected = n * (0.1 * (0.1f64 / 0.100_001).ln() + 0.9 * (0.9f64 / 0.899_999).ln());
    assert!((exact - expected).abs() < 1e-2, "{exact} {expected}");
}

/// A good release reaches `1/alpha` with probability `alpha` because the alternative is a probability of what is seen, as the
/// hypothesis that green is as blue is: over everything that can be seen in two minutes, both sum to one.
#[test]
fn both_hypotheses_are_probabilities_of_everything_that_can_be_seen() {
    let rates = [Some(2e-4), None];
    for (rate, dispersion) in rates.into_iter().flat_map(|rate| [(rate, INDEPENDENT), (rate, ROUGH)]) {
        // Effects small enough for few failures in a thousand requests, so that the sum can be taken.
        let effects = Effects { added: vec![5e-4], times_without_rate: vec![], ..Effects::errors() };
        let setting = || Setting::new(dispersion, rate, 1_000.0, even_at_one());
        let (mut null, mut alternative) = (0.0, 0.0);
        // Without a rate only the split has a law: given a number of failures it sums to one.
        let totals: Vec<u32> = if rate.is_some() { (0..=40).collect() } else { vec![7] };
        for n in totals {
            for green in 0..=n {
                let seen = pair((900.0, f64::from(n - green)), (100.0, f64::from(green)));
                let mut pairing = Pairing::new(setting(), &effects);
                let minute = pairing.weigh(Seen::new(seen));
                pairing.learn(&minute, 0.6);
                let ways = ln_factorial(n)
                    - ln_factorial(green)
                    - ln_factorial(n - green)
                    - if rate.is_some() { ln_factorial(n) } else { 0.0 };
                null += (pairing.null() + ways).exp();
                alternative += (pairing.alternative(0.4) + ways).exp();
            }
        }
        assert!((null - 1.0).abs() < 1e-3, "null {null} at {rate:?} {dispersion:?}");
        assert!((alternative - 1.0).abs() < 1e-3, "alternative {alternative} at {rate:?} {dispersion:?}");
    }
}

/// On simulated good releases of a service that is known: their mean evidence is at most one, and it passes each level at most
/// as often as Ville's inequality allows.
#[test]
fn the_evidence_of_good_releases_is_at_most_one_on_average_and_seldom_high() {
    use rand::{SeedableRng as _, rngs::SmallRng};
    use rand_distr::{Distribution as _, Poisson};
    const RELEASES: u32 = 3_000;
    let known = Weighed { dispersion: INDEPENDENT, weight: 1.0, common: even_at_one() };
    let known = Calibration { rate: Some(2e-3), volume: 1_000.0, minutes: 0, dispersions: vec![known] };
    let mut random = SmallRng::seed_from_u64(11);
    let mut failures = |mean: f64| Poisson::new(mean).unwrap().sample(&mut random);
    let (mut mean, mut passed) = (0.0, [0u32; 3]);
    for _ in 0..RELEASES {
        let mut process = Process::new(&known, &Effects::errors());
        let mut peak = f64::NEG_INFINITY;
        for minute in 0..12 {
            let green = 50.0 * f64::from(1 + minute);
            let blue = 1_000.0 - green;
            process.see(&pair((blue, failures(2e-3 * blue)), (green, failures(2e-3 * green))));
            peak = peak.max(process.ln_evidence());
        }
        mean += process.ln_evidence().exp() / f64::from(RELEASES);
        for (count, level) in passed.iter_mut().zip([5f64, 20.0, 100.0]) {
            *count += u32::from(peak >= level.ln());
        }
    }
    assert!(mean > 0.1 && mean < 1.2, "{mean}");
    for (count, level) in passed.into_iter().zip([5.0, 20.0, 100.0]) {
        let most = f64::from(RELEASES) / level;
        assert!(f64::from(count) <= most + 3.0 * most.sqrt(), "{count} of {RELEASES} passed {level}");
    }
    assert!(passed[0] > 30, "it says nothing: {passed:?}");
}

/// The common factor stays at its usual node.
fn even_at_one() -> [f64; tidegate_model::calibration::COMMON_NODES] {
    let mut weights = [0.0; tidegate_model::calibration::COMMON_NODES];
    weights[4] = 1.0;
    weights
}

/// With as many failures in all and under each dispersion by itself. Averaged over several, or with more failures on top, a
/// burst in one minute may say less than half of it would: it looks like a cluster.
#[test]
fn the_more_of_the_failures_are_greens_the_more_evidence_there_is() {
    let each = uncalibrated().dispersions.into_iter().map(|one| one.dispersion).chain([INDEPENDENT]);
    for (dispersion, rate) in each.flat_map(|dispersion| [(dispersion, None), (dispersion, Some(1e-3))]) {
        let evidence: Vec<f64> = (0..=60)
            .map(|green| {
                let last = pair((900.0, 60.0 - f64::from(green)), (100.0, f64::from(green)));
                let pairs = [pair((900.0, 1.0), (100.0, 0.0)), pair((900.0, 2.0), (100.0, 1.0)), last];
                ln_evidence(&calibration(rate, dispersion), &pairs)
            })
            .collect();
        let falls = evidence.windows(2).position(|two| two[1] < two[0] - 1e-9);
        assert_eq!(falls, None, "{dispersion:?} {rate:?} {evidence:?}");
    }
}

/// Whatever makes more requests fail on both sides alike says nothing.
#[test]
fn an_incident_that_hits_both_alike_is_no_evidence() {
    let calm = pair((9_000.0, 9.0), (1_000.0, 1.0));
    let incident = pair((9_000.0, 900.0), (1_000.0, 100.0));
    for dispersion in [INDEPENDENT, ROUGH] {
        for rate in [None, Some(1e-3)] {
            let evidence = ln_evidence(&calibration(rate, dispersion), &[calm, incident, incident, calm]);
            assert!(evidence < 0.0, "{evidence} at {rate:?} {dispersion:?}");
        }
    }
}

/// Only shares count: a service with ten times the requests and as many failures is judged alike by their split.
#[test]
fn the_split_does_not_depend_on_the_volume() {
    let small = [pair((900.0, 3.0), (100.0, 2.0)), pair((800.0, 2.0), (200.0, 4.0))];
    let large = small.map(|p| Pair {
        blue: Tally { requests: 10.0 * p.blue.requests, ..p.blue },
        green: Tally { requests: 10.0 * p.green.requests, ..p.green },
    });
    let of = |pairs: &[Pair]| ln_evidence(&uncalibrated(), pairs);
    assert!((of(&small) - of(&large)).abs() < 1e-9);
}

#[test]
fn a_green_that_fails_wholly_is_found_in_its_first_minute_and_a_single_failure_is_not() {
    // Where outlying minutes are rare: otherwise one is not enough.
    let calibration = calibration(Some(1e-3), Dispersion { outliers: 0.002, ..ROUGH });
    assert!(ln_evidence(&calibration, &[pair((2_700.0, 2.0), (300.0, 300.0))]) > 1_000f64.ln());
    assert!(ln_evidence(&calibration, &[pair((2_700.0, 0.0), (300.0, 1.0))]) < 10f64.ln());
}

#[test]
fn no_count_makes_the_evidence_anything_but_a_number() {
    let edges = [0.0, 1.0, 17.0, 1e6, 1e12, 1e15];
    for calibration in [uncalibrated(), calibration(Some(1e-12), INDEPENDENT), calibration(Some(0.9), ROUGH)]
    {
        for (blue, green) in edges.into_iter().flat_map(|b| edges.map(|g| (b, g))) {
            for seen in [
                pair((blue, blue), (green, green)),
                pair((blue, 0.0), (green, green)),
                pair((blue, blue), (green, 0.0)),
            ] {
                let evidence = ln_evidence(&calibration, &[seen, seen, seen]);
                assert!(evidence.is_finite(), "{evidence} for {seen:?}");
            }
        }
    }
}

/// Probabilities of whole releases are kept in a unit that moves: the evidence is what their logarithms give, far beyond what a
/// number can be the `e` to the power of.
#[test]
fn evidence_beyond_the_range_of_a_number_is_kept() {
    let known = calibration(Some(1e-3), INDEPENDENT);
    let (calm, harmed) = (pair((9e5, 900.0), (1e5, 100.0)), pair((9e5, 900.0), (1e5, 60_000.0)));
    let after = |minutes: &[Pair]| (ln_evidence(&known, minutes) * 1e3).round() / 1e3;
    assert_eq!(after(&[calm, calm]), -1.101);
    assert_eq!(after(&[calm, harmed]), 133555.701);
    assert_eq!(after(&[harmed, harmed, harmed]), 400678.778);
    assert_eq!(after(&[harmed, calm, harmed]), 267040.997);
}
