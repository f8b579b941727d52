//! The law of a minute's failures in two groups, given the hidden state: how they split between the groups, and how many
//! they are together.
//!
//! Called by the hypotheses beside this file and by the calibration. The split is free of whatever hits both groups alike; the
//! total is not, and tells when failures are more than the service ever has.

use tidegate_model::calibration::{COMMON_NODES, Dispersion};

use super::{
    Pair,
    special::{ln_add, ln_beta_binomial, ln_choose, ln_negative_binomial},
};

/// Nodes of the common factor.
pub(super) const COMMON: usize = COMMON_NODES;
/// The common factor at its nodes: close together where it usually is, up to a hundredfold incident.
pub(super) const COMMON_FACTORS: [f64; COMMON] =
    [0.25, 0.37, 0.52, 0.74, 1.0, 1.35, 1.8, 2.6, 4.0, 6.7, 12.0, 22.0, 45.0, 100.0];
/// Relative variance of the total between two nodes of the common factor.
const COMMON_GRAIN: f64 = 0.05;
/// Nodes of the lasting difference.
pub(super) const DRIFT: usize = 9;
/// Distance of the nodes of the lasting difference, in its standard deviations.
pub(super) const DRIFT_STEP: f64 = 0.8;
/// Relative variance of an additional failure rate between two nodes of the grid of effects.
const EFFECT_GRAIN: f64 = 0.15;
/// So many of the outlying minutes split in any way: a single client or task fails for all.
const ANY_SPLIT: f64 = 0.4;
/// The others have clusters larger than usual: by so much, and by this factor.
const OUTLYING: (f64, f64) = (12.0, 4.0);

/// A minute with what every law of it needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) pair: Pair,
    /// Failures of both groups.
    pub(super) failures: f64,
    /// `ln` of the ways in which so many of them can be green's.
    pub(super) ways: f64,
}

impl Seen {
    pub(super) fn new(pair: Pair) -> Self {
        let failures = pair.blue.failures + pair.green.failures;
        Self { pair, failures, ways: ln_choose(failures, pair.green.failures) }
    }

    /// `ln P` of the split if every split is as likely as any other.
    fn outlying(&self) -> f64 {
        -(self.failures + 1.0).ln() - self.ways
    }
}

/// The mean failures of both groups at one node, with what is known of green's additional ones.
#[derive(Clone, Copy)]
pub(super) struct Means {
    pub(super) blue: f64,
    /// Green's failures that are of the same kind as blue's.
    pub(super) green: f64,
    /// Green's failures that come on top, alone and not in clusters.
    pub(super) extra: f64,
}

/// `ln P(green has x of the N failures)`. `unseen` is a variance of the log ratio that the nodes do not cover.
pub(super) fn split(seen: &Seen, means: Means, dispersion: &Dispersion, unseen: f64) -> f64 {
    let (pair, n) = (&seen.pair, seen.failures);
    if n < 0.5 || pair.green.requests < 0.5 || pair.blue.requests < 0.5 {
        return 0.0;
    }
    let green = means.green + means.extra;
    let q = (green / (means.blue + green)).clamp(1e-9, 1.0 - 1e-9);
    // The share of green's failures that is of the old kind: only it is clustered and jittered.
    let old = means.green / green;
    let clusters = (1.0 - q) * (dispersion.cluster * old + 1.0 - old) + q * dispersion.cluster;
    let jitter = dispersion.jitter * (1.0 + old * old) + EFFECT_GRAIN * (1.0 - old) * (1.0 - old) + unseen;
    let rho = |clusters: f64| (((clusters - 1.0) / (n - 1.0)).max(0.0) + q * (1.0 - q) * jitter).min(0.95);
    let x = pair.green.failures;
    if n <= 1.5 {
        return ln_beta_binomial(x, n, q, 0.0);
    }
    let usual = ln_beta_binomial(x, n, q, rho(clusters));
    if dispersion.outliers <= 0.0 {
        return usual;
    }
    let rough = ln_beta_binomial(x, n, q, rho(OUTLYING.0 + OUTLYING.1 * clusters));
    let outlying = ln_add(rough + (-ANY_SPLIT).ln_1p(), seen.outlying() + ANY_SPLIT.ln());
    ln_add(usual + (-dispersion.outliers).ln_1p(), outlying + dispersion.outliers.ln())
}

/// Log likelihoods of the total at each node of the common factor, when green fails `ratio` times as often.
pub(super) fn totals(seen: &Seen, rate: f64, ratio: f64, dispersion: &Dispersion) -> [f64; COMMON] {
    COMMON_FACTORS.map(|factor| {
        let rate = rate * factor;
        let (blue, green) = (seen.pair.blue.requests * rate, seen.pair.green.requests * rate * ratio);
        total(seen.failures, Means { blue, green, extra: 0.0 }, dispersion)
    })
}

/// `ln P(both groups have n failures together)`.
pub(super) fn total(n: f64, means: Means, dispersion: &Dispersion) -> f64 {
    let base = means.blue + means.green;
    let mean = (base + means.extra).max(1e-9);
    let variance = dispersion.cluster * base
        + means.extra
        + dispersion.jitter * (means.blue * means.blue + means.green * means.green)
        + COMMON_GRAIN * base * base
        + EFFECT_GRAIN * means.extra * means.extra;
    ln_negative_binomial(n, mean, variance.max(mean * (1.0 + 1e-6) + 1e-12))
}
