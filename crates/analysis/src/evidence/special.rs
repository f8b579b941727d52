//! The few special functions of the counts' laws, in log space and stable up to counts of 10^12.
//!
//! Called by the laws beside this file. Every function is written as a difference that cancels before it is rounded: a plain
//! log gamma of 10^12 is off by more than a whole likelihood ratio may be.

/// From here on the asymptotic series of log gamma is exact to 10^-11.
const SERIES_FROM: f64 = 8.0;
/// The logarithm of a product of so many factors is cheaper than two series.
const FEW: f64 = 16.0;

/// `ln(a (a+1) ... (a+n-1)) - n ln(scale)`: the rising factorial, each factor divided by `scale`.
pub(super) fn ln_rising(a: f64, n: f64, scale: f64) -> f64 {
    if n < 0.5 {
        return 0.0;
    }
    if n <= FEW {
        return product(a, n, scale).ln();
    }
    if a < SERIES_FROM {
        let shift = (SERIES_FROM - a).ceil().min(n);
        return product(a, shift, scale).ln() + ln_rising(a + shift, n - shift, scale);
    }
    let end = a + n;
    let scaled = if end == scale { 0.0 } else { n * (end / scale).ln() };
    (a - 0.5) * (n / a).ln_1p() + scaled - n + series(end) - series(a)
}

/// The product itself, of few factors. They are at most `scale` in every law here, and at least 10^-18 of it, so sixteen of
/// them do not underflow.
fn product(a: f64, n: f64, scale: f64) -> f64 {
    let each = 1.0 / scale;
    let (mut product, mut factor) = (1.0, a * each);
    let mut left = n;
    while left > 0.5 {
        product *= factor;
        factor += each;
        left -= 1.0;
    }
    product
}

/// What the asymptotic series adds to Stirling's formula.
fn series(z: f64) -> f64 {
    let square = 1.0 / (z * z);
    (1.0 / 12.0
        - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))))
        / z
}

/// `ln` of the ways to choose `x` of `n`.
pub(super) fn ln_choose(n: f64, x: f64) -> f64 {
    let fewer = x.min(n - x);
    ln_rising(n - fewer + 1.0, fewer, n) - ln_rising(1.0, fewer, n)
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
    let (one, other) = (m * q, m * (1.0 - q));
    if n <= FEW {
        return (product(one, x, scale) * product(other, n - x, scale) / product(m, n, scale)).ln();
    }
    ln_rising(one, x, scale) + ln_rising(other, n - x, scale) - ln_rising(m, n, scale)
}

/// `ln P(n)` of the negative binomial law with the given mean and a variance above it, without `ln n!`.
pub(super) fn ln_negative_binomial(n: f64, mean: f64, variance: f64) -> f64 {
    let r = mean * mean / (variance - mean);
    // A mean is at least 10^-9 and `r` at least a billionth of the scale where n is small: no product underflows.
    ln_rising(r, n, (mean + r) / mean) - r * (mean / r).ln_1p()
}

/// `ln` of the sum of `e` to the power of each; minus infinity for none.
pub(super) fn ln_sum(all: &[f64]) -> f64 {
    let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        most
    } else {
        most + all.iter().map(|ln| (ln - most).exp()).sum::<f64>().ln()
    }
}

/// `ln(e^a + e^b)`.
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
