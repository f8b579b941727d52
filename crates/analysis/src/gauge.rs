//! Evidence that a value is higher than it may be, for values that are no counts: CPU, memory, connections.
//!
//! Called with one deviation a minute, in standard deviations of the service's own history, where the null hypothesis says that
//! its mean is at most zero. The evidence of the minutes since `s` is the one-sided normal mixture
//!
//! ```text
//! M = 2 sqrt(rho / (rho + n)) exp(S^2 / (2 (rho + n))) Phi(S / sqrt(rho + n))
//! ```
//!
//! with `S` the sum of `n` deviations: the mean of `exp(l S - l^2 n / 2)` over `l` half-normal with variance `1/rho`. For each `l`
//! that is a supermartingale if the deviations are sub-Gaussian with variance one, so their mean is too, and so is the mean over
//! when it began (`s`). By Ville's inequality a good release ever reaches `1/alpha` with probability at most `alpha`.
//!
//! Sources: Robbins 1970 (the mixture), Howard, Ramdas, McAuliffe and Sekhon 2021 (one-sided, in closed form); Shin, Ramdas and
//! Rinaldo (mean over onsets). What makes it hold on real minutes is Tidegate's own and is measured, not proven: one minute counts
//! as three deviations at most, and the variance is the largest that blocks of the history up to half an hour long suggest, taken
//! at the upper end of what so few blocks leave open. Values that hang together from minute to minute vary more in blocks.
//! Pure, and finite for any input.

use tidegate_model::calibration::GaugeHistory;

/// Minutes of history that are looked at: as long as a release is judged.
const MINUTES: usize = 180;
/// Fewer minutes tell nothing.
const FEWEST: usize = 10;
/// The history is cut into blocks of so many minutes, where there are enough of them.
const BLOCKS: [usize; 4] = [1, 5, 15, 30];
const BLOCKS_NEEDED: usize = 6;
/// Standard normal quantile of 95 %: the variance is taken so far up.
const UPPER: f64 = 1.645;
/// No value is known better than to this share of its level.
const RELATIVE: f64 = 0.02;
/// What one minute counts at most, in standard deviations.
const MOST: f64 = 3.0;
/// Variance of the mixture is one over this: sharpest after some twenty minutes.
const RHO: f64 = 2.0;
/// So much of the prior says that it began in the first minute; of the rest, so much in each minute.
const FIRST: f64 = 0.5;
const HAZARD: f64 = 0.05;

/// The evidence so far.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// For each minute in which it may have begun: `ln` of its prior, sum and number of the deviations since.
    onsets: Vec<(f64, f64, f64)>,
    /// Prior of the minutes to come.
    later: f64,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { onsets: vec![], later: 1.0 }
    }
}

impl Gauge {
    /// Sees one more minute's deviation, in standard deviations. A number that is none is no minute.
    pub fn see(&mut self, deviation: f64) {
        if deviation.is_nan() {
            return;
        }
        let prior = self.later * if self.onsets.is_empty() { FIRST } else { HAZARD };
        self.later -= prior;
        self.onsets.push((prior.ln(), 0.0, 0.0));
        for (_, sum, minutes) in &mut self.onsets {
            *sum += deviation.clamp(-1e9, MOST);
            *minutes += 1.0;
        }
    }

    /// `ln` of the evidence: 0 if nothing speaks for either.
    pub fn ln_evidence(&self) -> f64 {
        let terms = self.onsets.iter().map(|(prior, sum, minutes)| prior + ln_mixture(*sum, *minutes));
        ln_sum(terms.chain([self.later.ln()]))
    }
}

/// `ln M` after so many minutes.
fn ln_mixture(sum: f64, minutes: f64) -> f64 {
    let spread = RHO + minutes;
    let z = sum / spread.sqrt();
    std::f64::consts::LN_2 + 0.5 * (RHO / spread).ln() + ln_normal(z)
}

/// `z^2 / 2 + ln Phi(z)`, without the cancellation far below zero.
fn ln_normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    // erfc by Chebyshev fitting, relative error below 1.2e-7. Source: Numerical Recipes, erfcc.
    let t = 1.0 / (1.0 + 0.5 * x);
    let terms = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let ln_scaled = t.ln() + terms.iter().fold(0.0, |sum, term| sum * t + term);
    if z <= 0.0 {
        return ln_scaled - std::f64::consts::LN_2;
    }
    z * z / 2.0 + (-0.5 * (ln_scaled - x * x).exp()).ln_1p()
}

/// `ln` of the sum of what these are logarithms of.
pub(crate) fn ln_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + terms.map(|term| (term - most).exp()).sum::<f64>().ln()
}

/// What a history says of a value, oldest first; `None` if it is too short.
pub fn learn(values: &[f64]) -> Option<GaugeHistory> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite() && v.abs() <= 1e15).collect();
    let values = &finite[finite.len().saturating_sub(MINUTES)..];
    if values.len() < FEWEST {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let level = sorted[sorted.len() / 2];
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let least = (RELATIVE * level.abs()).max(1e-9);
    let step = mean_square(&steps, 0.0, steps.len()).sqrt();
    let deviation = BLOCKS.iter().filter_map(|length| in_blocks(values, *length)).fold(0.0, f64::max).sqrt();
    Some(GaugeHistory {
        level,
        noise: (step / std::f64::consts::SQRT_2).max(least),
        deviation: deviation.max(least),
        minutes: u32::try_from(values.len()).unwrap_or(u32::MAX),
    })
}

/// The variance that a minute would have if blocks of this length varied as they do by independent minutes, at its upper end.
fn in_blocks(values: &[f64], length: usize) -> Option<f64> {
    let means: Vec<f64> =
        values.chunks_exact(length).map(|block| block.iter().sum::<f64>() / length as f64).collect();
    if means.len() < BLOCKS_NEEDED {
        return None;
    }
    let middle = means.iter().sum::<f64>() / means.len() as f64;
    Some(length as f64 * mean_square(&means, middle, means.len() - 1))
}

/// Mean square around a middle with so many degrees of freedom, at the upper end of what they leave open: 95 % by Wilson and
/// Hilferty's approximation of the chi-squared law.
fn mean_square(values: &[f64], middle: f64, freedom: usize) -> f64 {
    let freedom = freedom.max(1) as f64;
    let sum: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    let part = 2.0 / (9.0 * freedom);
    let lower = freedom * (1.0 - part - UPPER * part.sqrt()).max(0.05).powi(3);
    sum / lower
}

#[cfg(test)]
mod tests;
