//! The few special functions of the counts' laws, in log space and stable up to counts of 10^12.
//!
//! Called by the laws beside this file. Every function is written as a difference that cancels before it is rounded: a plain
//! log gamma of 10^12 is off by more than a whole likelihood ratio may be.

/// Above this the asymptotic series of log gamma is exact to twelve digits.
const SERIES_FROM: f64 = 16.0;

/// `ln(a (a+1) ... (a+n-1)) - n ln(scale)`: the rising factorial, each factor divided by `scale`.
pub(super) fn ln_rising(a: f64, n: f64, scale: f64) -> f64 {
    if n < 0.5 {
        return 0.0;
    }
    if n <= SERIES_FROM {
        return ln_product(a, n, scale);
    }
    if a < SERIES_FROM {
        let shift = (SERIES_FROM - a).ceil().min(n);
        return ln_product(a, shift, scale) + ln_rising(a + shift, n - shift, scale);
    }
    (a - 0.5) * (n / a).ln_1p() + n * ((a + n) / scale).ln() - n + series(a + n) - series(a)
}

/// The same for few factors: one logarithm of their product. The factors are at most `scale` in every law here, and at least
/// 10^-18 of it, so sixteen of them do not underflow.
fn ln_product(a: f64, n: f64, scale: f64) -> f64 {
    let (mut product, mut factor) = (1.0, a);
    let mut left = n;
    while left > 0.5 {
        product *= factor / scale;
        factor += 1.0;
        left -= 1.0;
    }
    product.ln()
}

/// What the asymptotic series adds to Stirling's formula.
fn series(z: f64) -> f64 {
    let square = 1.0 / (z * z);
    (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0)) / z
}

/// `ln P(x of n)` of the binomial law, without the binomial coefficient.
pub(super) fn ln_binomial(x: f64, n: f64, q: f64) -> f64 {
    x * q.ln() + (n - x) * (-q).ln_1p()
}

/// `ln P(x of n)` of the beta-binomial law with mean `q` and intra-class correlation `rho`, without the binomial coefficient.
/// Below a correlation of 10^-9 it is the binomial law.
pub(super) fn ln_beta_binomial(x: f64, n: f64, q: f64, rho: f64) -> f64 {
    if rho < 1e-9 {
        return ln_binomial(x, n, q);
    }
    let m = 1.0 / rho - 1.0;
    let scale = m + n;
    ln_rising(m * q, x, scale) + ln_rising(m * (1.0 - q), n - x, scale) - ln_rising(m, n, scale)
}

/// `ln P(n)` of the negative binomial law with the given mean and a variance above it, without `ln n!`.
pub(super) fn ln_negative_binomial(n: f64, mean: f64, variance: f64) -> f64 {
    let r = mean * mean / (variance - mean);
    let scale = mean + r;
    ln_rising(r, n, scale) + n * mean.ln() + r * (r / scale).ln()
}

/// `ln(e^a + e^b)`.
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
