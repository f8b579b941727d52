//! The floor: a sequential likelihood ratio test that knows everything but the outcome.
//!
//! It knows rate, common factor, size, onset and the law of the noise, and sees green's counts. No test at the same level stops
//! earlier on average (Wald), so what it serves of bad requests is the unit of every other figure.

use crate::simulate::{self, Noise, Regression, Release, Service};

/// The minute in which the oracle decides.
pub(crate) fn floor(
    release: &Release,
    regression: &Regression,
    service: Service,
    noise: &Noise,
    limit: f64,
) -> Option<usize> {
    let mut ln = 0.0;
    for (minute, pair) in release.pairs.iter().enumerate() {
        let on = regression.on(minute);
        let (n, x) = (pair.green.requests, pair.green.failures);
        if on > 0.0 && n > 0.0 {
            let base = (service.rate * release.common[minute]).min(0.95);
            let times = 1.0 + (regression.times - 1.0) * on;
            ln += evidence(noise, (n, x), base, times, regression.added * on);
        }
        if ln >= limit {
            return Some(minute);
        }
    }
    None
}

fn evidence(noise: &Noise, (n, x): (f64, f64), base: f64, times: f64, added: f64) -> f64 {
    if noise.bursts {
        return compound(x, n * base * times, n * added) - compound(x, n * base, 0.0);
    }
    let clusters = 2.0 * noise.cluster - 2.0;
    let jitter = noise.jitter + noise.slow * noise.slow + noise.release * noise.release;
    if clusters == 0.0 && jitter == 0.0 {
        let worse = (base * times + added * (1.0 - base * times)).min(0.9999);
        return x * (worse / base).ln() + (n - x) * ((-worse).ln_1p() - (-base).ln_1p());
    }
    let of = |mean: f64, old: f64| negative_binomial(x, mean, clusters * old + jitter * old * old);
    let old = (n * base * times).max(1e-12);
    let good = (n * base).max(1e-12);
    of(old + n * added, old) - of(good, good)
}

/// The negative binomial law by its mean and what its variance is above that: the moments of clusters and jitter.
fn negative_binomial(n: f64, mean: f64, excess: f64) -> f64 {
    let r = (mean * mean / (excess + 1e-12)).clamp(1e-9, 1e9);
    let gamma = |z: f64| statrs::function::gamma::ln_gamma(z);
    gamma(n + r) - gamma(r) + n * (mean / (mean + r)).ln() + r * (r / (r + mean)).ln()
}

/// `ln P(x)` of clusters with a heavy tail and single failures on top, by Panjer's recursion.
fn compound(x: f64, clustered: f64, single: f64) -> f64 {
    let sizes = simulate::sizes();
    let mean: f64 = sizes.iter().enumerate().map(|(i, p)| (i + 1) as f64 * p).sum();
    let clusters = clustered / mean;
    let rates: Vec<f64> = sizes
        .iter()
        .enumerate()
        .map(|(i, p)| (i + 1) as f64 * (clusters * p + if i == 0 { single } else { 0.0 }))
        .collect();
    let mut probabilities = vec![1.0f64];
    let mut ln_scale = -(clusters + single);
    for count in 1..=x as usize {
        let reach = rates.len().min(count);
        let sum: f64 = (1..=reach).map(|s| rates[s - 1] * probabilities[count - s]).sum();
        let mut next = sum / count as f64;
        if next > 1e200 {
            probabilities.iter_mut().for_each(|p| *p *= 1e-200);
            next *= 1e-200;
            ln_scale += 200.0 * std::f64::consts::LN_10;
        }
        probabilities.push(next);
    }
    probabilities[x as usize].max(1e-300).ln() + ln_scale
}
