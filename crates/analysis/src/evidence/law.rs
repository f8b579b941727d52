//! The law of a minute's failures in two groups, given the hidden state: how they split between the groups, and how many
//! they are together.
//!
//! Called by the hypotheses beside this file and by the calibration. The split is free of whatever hits both groups alike; the
//! total is not, and tells when failures are more than the service ever has.

use tidegate_model::calibration::{COMMON_NODES, Dispersion};

use super::{
    Pair,
    special::{ln_add, ln_beta_binomial, ln_negative_binomial},
};

/// Nodes of the common factor.
pub(super) const COMMON: usize = COMMON_NODES;
/// Log of the common factor at its nodes: close together where it usually is, up to a hundredfold incident.
pub(super) const COMMON_LN: [f64; COMMON] =
    [-1.4, -1.0, -0.65, -0.3, 0.0, 0.3, 0.6, 0.95, 1.4, 1.9, 2.5, 3.1, 3.8, 4.6];
/// Relative variance of the total between two nodes of the common factor.
const COMMON_GRAIN: f64 = 0.05;
/// Nodes of the lasting difference.
pub(super) const DRIFT: usize = 9;
/// Distance of the nodes of the lasting difference, in its standard deviations.
pub(super) const DRIFT_STEP: f64 = 0.8;
/// Relative variance of an additional failure rate between two nodes of the grid of effects.
const EFFECT_GRAIN: f64 = 0.15;
/// Intra-class correlation of the failures of an outlying minute: nearly all of them fall on one group.
const OUTLIER: f64 = 0.5;

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
pub(super) fn split(pair: &Pair, means: Means, dispersion: &Dispersion, unseen: f64) -> f64 {
    let n = pair.green.failures + pair.blue.failures;
    if n < 0.5 || pair.green.requests < 0.5 || pair.blue.requests < 0.5 {
        return 0.0;
    }
    let green = means.green + means.extra;
    let q = (green / (means.blue + green)).clamp(1e-9, 1.0 - 1e-9);
    // The share of green's failures that is of the old kind: only it is clustered and jittered.
    let old = means.green / green;
    let clusters = (1.0 - q) * (dispersion.cluster * old + 1.0 - old) + q * dispersion.cluster;
    let jitter = dispersion.jitter * (1.0 + old * old) + EFFECT_GRAIN * (1.0 - old) * (1.0 - old) + unseen;
    let rho = if n <= 1.5 {
        0.0
    } else {
        (((clusters - 1.0) / (n - 1.0)).max(0.0) + q * (1.0 - q) * jitter).min(0.95)
    };
    let usual = ln_beta_binomial(pair.green.failures, n, q, rho);
    if dispersion.outliers <= 0.0 || n <= 1.5 {
        return usual;
    }
    let outlier = ln_beta_binomial(pair.green.failures, n, q, OUTLIER);
    ln_add(usual + (-dispersion.outliers).ln_1p(), outlier + dispersion.outliers.ln())
}

/// Log likelihoods of the total at each node of the common factor, when green fails `ratio` times as often.
pub(super) fn totals(pair: &Pair, rate: f64, ratio: f64, dispersion: &Dispersion) -> [f64; COMMON] {
    COMMON_LN.map(|ln| {
        let rate = rate * ln.exp();
        let (blue, green) = (pair.blue.requests * rate, pair.green.requests * rate * ratio);
        total(pair, Means { blue, green, extra: 0.0 }, dispersion)
    })
}

/// `ln P(both groups have N failures together)`.
pub(super) fn total(pair: &Pair, means: Means, dispersion: &Dispersion) -> f64 {
    let n = pair.green.failures + pair.blue.failures;
    let base = means.blue + means.green;
    let mean = (base + means.extra).max(1e-9);
    let variance = dispersion.cluster * base
        + means.extra
        + dispersion.jitter * (means.blue * means.blue + means.green * means.green)
        + COMMON_GRAIN * base * base
        + EFFECT_GRAIN * means.extra * means.extra;
    ln_negative_binomial(n, mean, variance.max(mean * (1.0 + 1e-6) + 1e-12))
}
