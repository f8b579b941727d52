//! How well a dispersion explains minutes of two parts of one version.
//!
//! Called by the calibration only.

use tidegate_model::calibration::Dispersion;

use super::{
    Pair,
    hypothesis::{Setting, normalised},
    law::{COMMON, COMMON_FACTORS, Seen, totals},
};

/// At least this weight stays at each node of the common factor, so that an incident which the history has not seen is paid
/// for once, and not believed impossible.
const FLOOR: f64 = 0.004;
/// Rounds of expectation maximisation.
const ROUNDS: usize = 25;
/// Minutes of those given that the common factor is learned from.
const SAMPLE: usize = 1_500;
/// Minutes in a row, the last ones, that the split is learned from.
const SPLITS: usize = 960;

/// No node of the common factor is likelier than another.
pub(crate) fn even() -> [f64; COMMON] {
    [1.0 / COMMON as f64; COMMON]
}

/// The weights of the common factor for when the history is not believed: it may vary as factors of services do.
pub(crate) fn unsettled(learned: [f64; COMMON], doubt: f64) -> [f64; COMMON] {
    let usual = normalised(COMMON_FACTORS.map(|factor| (-0.5 * factor.ln() * factor.ln() / 0.25).exp()));
    std::array::from_fn(|i| (1.0 - doubt) * learned[i] + doubt * usual[i])
}

/// The weights of the common factor's nodes, and the log likelihood of all totals with them.
pub(crate) fn common(history: &[Pair], rate: f64, dispersion: &Dispersion) -> ([f64; COMMON], f64) {
    let every = history.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<(f64, [f64; COMMON])> = history
        .iter()
        .step_by(every)
        .filter(|pair| pair.blue.requests + pair.green.requests > 0.0)
        .map(|pair| {
            let ln = totals(&Seen::new(*pair), rate, 1.0, dispersion);
            let most = ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (most, ln.map(|ln| (ln - most).exp()))
        })
        .collect();
    let mut weights = even();
    let mut likelihood = 0.0;
    for _ in 0..ROUNDS {
        let mut sums = [0.5; COMMON];
        likelihood = 0.0;
        for (most, parts) in &sample {
            let posterior: [f64; COMMON] = std::array::from_fn(|node| parts[node] * weights[node]);
            let sum: f64 = posterior.iter().sum();
            likelihood += most + sum.ln();
            sums.iter_mut().zip(&posterior).for_each(|(s, p)| *s += p / sum);
        }
        weights = normalised(sums);
    }
    let share = history.len() as f64 / sample.len().max(1) as f64;
    (normalised(weights.map(|w| w.max(FLOOR))), likelihood * share)
}

/// The log likelihood of how failures split between the two parts.
pub(crate) fn splits(history: &[Pair], dispersion: Dispersion) -> f64 {
    let recent = &history[history.len().saturating_sub(SPLITS)..];
    let share = history.len() as f64 / recent.len().max(1) as f64;
    share * Setting::new(dispersion, None, 0.0, even()).ln_splits(recent)
}
