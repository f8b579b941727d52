//! What a service's own history says of how irregularly it fails: the calibration of the evidence.
//!
//! Called before a release's first weight, never while one is judged. Two parts of one version (two availability zones) take
//! the places of blue and green: whatever makes them differ is no regression. With one part only, the weights from before stay
//! for what nothing can be learned of. Pure.

use tidegate_model::calibration::{Calibration, Dispersion, Weighed};

use crate::evidence::{Pair, fit};

/// Share of the weights that no history takes away.
const FLAT: f64 = 0.03;
/// The same after a history that shows nothing irregular: it is the quiet one that makes a good release look bad.
const FLAT_QUIET: f64 = 0.5;
/// The dispersions that stay possible whatever the history says, with their parts of that share.
const ALWAYS: [(Dispersion, f64); 5] = [
    (of(1.0, 0.1, 0.15), 0.1),
    (of(3.0, 0.05, 0.1), 0.4),
    (of(7.0, 0.0, 0.1), 0.25),
    (of(7.0, 0.1, 0.15), 0.15),
    (of(15.0, 0.05, 0.2), 0.1),
];
/// The dispersions that a history is held against, each with its weight before: little is likelier than much.
const CLUSTERS: [(f64, f64); 6] =
    [(1.0, 0.4), (2.0, 0.2), (3.0, 0.16), (5.0, 0.12), (8.0, 0.08), (13.0, 0.04)];
/// More than a third up and down is not among them: two halves of a service cannot tell that from clusters, and a green with a
/// tenth of the traffic suffers much more from clusters.
const JITTERS: [(f64, f64); 3] = [(0.0, 0.45), (0.04, 0.33), (0.1, 0.22)];
const DRIFTS: [(f64, f64); 4] = [(0.0, 0.45), (0.07, 0.3), (0.14, 0.2), (0.2, 0.05)];
/// Two fleets of one version differ by so much for a whole release, which two zones of one fleet do not show.
const FLEET: f64 = 0.05;
/// So many of the likeliest dispersions are kept.
const KEPT: usize = 7;
/// Minutes of history that are looked at: two days of them tell no less than fifteen.
const MINUTES: usize = 2_880;
/// Shares of outlying minutes, with their weights before.
const OUTLIERS: [(f64, f64); 3] = [(0.0, 0.74), (0.01, 0.17), (0.1, 0.09)];
/// What a minute of history counts: shapes of laws that fit alike must not be told apart by their last digit.
const TEMPER: f64 = 0.1;

const fn of(cluster: f64, jitter: f64, drift: f64) -> Dispersion {
    Dispersion { cluster, jitter, drift, outliers: 0.0 }
}

/// Learns from minutes of two parts of one version, oldest first. Of a service with one part, the other has no requests.
pub fn calibrate(history: &[Pair]) -> Calibration {
    let history = &history[history.len().saturating_sub(MINUTES)..];
    let requests: f64 = history.iter().map(|p| p.blue.requests + p.green.requests).sum();
    let failures: f64 = history.iter().map(|p| p.blue.failures + p.green.failures).sum();
    if requests < 1.0 {
        return uncalibrated();
    }
    let rate = (failures + 0.5) / (requests + 1.0);
    let (mut dispersions, quiet) = likeliest(history, rate);
    let flat = FLAT + (FLAT_QUIET - FLAT) * quiet;
    for one in &mut dispersions {
        one.weight *= 1.0 - flat;
        one.dispersion.drift = one.dispersion.drift.hypot(FLEET);
        one.common = fit::unsettled(one.common, 0.1);
    }
    dispersions.extend(ALWAYS.map(|(dispersion, share)| {
        let (common, _) = fit::common(history, rate, &dispersion);
        Weighed { dispersion, weight: flat * share, common: fit::unsettled(common, 0.5) }
    }));
    Calibration {
        rate: Some(rate),
        volume: requests / history.len() as f64,
        minutes: u32::try_from(history.len()).unwrap_or(u32::MAX),
        dispersions,
    }
}

/// The likeliest dispersions by the history, and how likely it is that nothing is irregular.
fn likeliest(history: &[Pair], rate: f64) -> (Vec<Weighed>, f64) {
    let mut found = vec![];
    for (cluster, c) in CLUSTERS {
        for (jitter, j) in JITTERS {
            let (common, total) = fit::common(history, rate, &of(cluster, jitter, 0.0));
            for (drift, d) in DRIFTS {
                for (outliers, o) in OUTLIERS {
                    let dispersion = Dispersion { cluster, jitter, drift, outliers };
                    let before: f64 = c * j * d * o;
                    let ln = before.ln() + TEMPER * (total + fit::splits(history, dispersion));
                    found.push(Weighed { dispersion, weight: ln, common });
                }
            }
        }
    }
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found.truncate(KEPT);
    let most = found.first().map_or(0.0, |one| one.weight);
    found.iter_mut().for_each(|one| one.weight = (one.weight - most).exp());
    let all: f64 = found.iter().map(|one| one.weight).sum();
    found.iter_mut().for_each(|one| one.weight /= all);
    let regular = |one: &&Weighed| one.dispersion.cluster < 1.5 && one.dispersion.jitter < 0.02;
    let quiet = found.iter().filter(regular).map(|one| one.weight).sum();
    found.retain(|one| one.weight > 1e-4);
    (found, quiet)
}

/// How slow requests vary: more or less from minute to minute in each group, in bursts, and by a lasting difference of two
/// fleets. Slowness is compared with blue's in the same minutes only, so nothing is learned from before.
const SLOW: [(Dispersion, f64); 5] = [
    (of(1.0, 0.003, 0.05), 0.25),
    (of(2.0, 0.01, 0.1), 0.3),
    (of(5.0, 0.03, 0.1), 0.2),
    (of(2.0, 0.1, 0.15), 0.15),
    (of(20.0, 0.03, 0.15), 0.1),
];

/// The calibration of counts of slow requests.
pub(crate) fn of_slow() -> Calibration {
    let one = |(dispersion, weight)| Weighed { dispersion, weight, common: fit::even() };
    Calibration { rate: None, volume: 0.0, minutes: 0, dispersions: SLOW.map(one).to_vec() }
}

/// The calibration of a service of which nothing is known.
pub fn uncalibrated() -> Calibration {
    let one = |(dispersion, weight)| Weighed { dispersion, weight, common: fit::even() };
    Calibration { rate: None, volume: 0.0, minutes: 0, dispersions: ALWAYS.map(one).to_vec() }
}
