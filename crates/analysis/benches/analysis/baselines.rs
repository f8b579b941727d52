//! What people run today, configured exactly as its documentation or code says: each gives the minute in which it rolls back.

use tidegate_analysis::Pair;

use crate::simulate::MINUTES;

/// The minute in which a detector rolls back, if it does.
pub(crate) type Decided = Option<usize>;
type Baseline = (&'static str, fn(&[Pair], f64) -> Decided);

/// The baselines with the words they are printed under. `history` is the service's failure rate before the release.
pub(crate) const BASELINES: [Baseline; 13] = [
    ("alarm: any 5xx, 1 of 1", |pairs, _| m_of_n(pairs, 1, 1, |p| p.green.failures >= 1.0)),
    ("alarm: over 10 5xx, 2 of 2", |pairs, _| m_of_n(pairs, 2, 2, |p| p.green.failures > 10.0)),
    ("alarm: over 5 %, 2 of 2", |pairs, _| m_of_n(pairs, 2, 2, |p| green(p) > 0.05)),
    ("alarm: over 1 %, 3 of 5", |pairs, _| m_of_n(pairs, 3, 5, |p| green(p) > 0.01)),
    ("Flagger: 99 %, threshold 5", |pairs, _| flagger(pairs)),
    ("Argo: 95 % over 5 min, limit 3", |pairs, _| argo(pairs)),
    ("guide: 2x blue's history, 1 of 1", |pairs, past| m_of_n(pairs, 1, 1, |p| green(p) > 2.0 * past)),
    ("guide: 2x blue's history, 3 of 3", |pairs, past| m_of_n(pairs, 3, 3, |p| green(p) > 2.0 * past)),
    ("Kayenta every 3 min", |pairs, _| kayenta(pairs, 3)),
    ("Kayenta every 9 min", |pairs, _| kayenta(pairs, 9)),
    ("PipeCD every 5 min", |pairs, _| pipecd(pairs)),
    ("z test at every look, p < .01", |pairs, _| peeking(pairs)),
    ("hindsight: 2x max(blue, history), 5 of 5", |pairs, past| {
        m_of_n(pairs, 5, 5, |p| green(p) > 2.0 * blue(p).max(past) && p.green.failures >= 2.0)
    }),
];

fn green(pair: &Pair) -> f64 {
    ratio(pair.green.failures, pair.green.requests)
}

fn blue(pair: &Pair) -> f64 {
    ratio(pair.blue.failures, pair.blue.requests)
}

fn ratio(failures: f64, requests: f64) -> f64 {
    if requests > 0.0 { failures / requests } else { 0.0 }
}

fn m_of_n(pairs: &[Pair], m: usize, n: usize, fails: impl Fn(&Pair) -> bool) -> Decided {
    let failed: Vec<bool> = pairs.iter().map(fails).collect();
    (0..pairs.len())
        .find(|minute| failed[(minute + 1).saturating_sub(n)..=*minute].iter().filter(|f| **f).count() >= m)
}

/// Five failed checks in all, in a row or not; acts on the tick after the fifth.
fn flagger(pairs: &[Pair]) -> Decided {
    let failed = pairs.iter().enumerate().filter(|(_, pair)| green(pair) > 0.01).nth(4)?;
    (failed.0 + 1 < MINUTES).then_some(failed.0 + 1)
}

/// Failed means more than the limit: the fourth window of five minutes.
fn argo(pairs: &[Pair]) -> Decided {
    let mut failed = 0;
    for end in (4..pairs.len()).step_by(5) {
        let window = &pairs[end - 4..=end];
        let failures: f64 = window.iter().map(|p| p.green.failures).sum();
        let requests: f64 = window.iter().map(|p| p.green.requests).sum();
        failed += u32::from(failures > 0.05 * requests);
        if failed > 3 {
            return Some(end);
        }
    }
    None
}

/// Netflix's judge: a two-sided Mann-Whitney interval at 0.98 on everything so far, High above a quarter of the
/// Hodges-Lehmann estimate.
fn kayenta(pairs: &[Pair], every: usize) -> Decided {
    (every..=27).step_by(every).find_map(|end| {
        let seen = &pairs[..end];
        let experiment: Vec<f64> = seen.iter().filter(|p| p.green.requests > 0.0).map(green).collect();
        let control: Vec<f64> = seen.iter().filter(|p| p.blue.requests > 0.0).map(blue).collect();
        (mean(&experiment) > mean(&control) && high(&experiment, &control)).then_some(end - 1)
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn high(experiment: &[f64], control: &[f64]) -> bool {
    const Z: f64 = 2.326_347_874_040_841;
    let mut differences: Vec<f64> =
        experiment.iter().flat_map(|x| control.iter().map(move |y| x - y)).collect();
    differences.sort_by(f64::total_cmp);
    if differences.iter().all(|d| *d == 0.0) {
        return false;
    }
    let tolerance = 0.25 * median(&differences).abs();
    let lowest = experiment.iter().copied().fold(f64::INFINITY, f64::min)
        - control.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match wilcoxon(lowest, experiment, control) {
        None => false,
        // The code clamps the interval there.
        Some(z) if z <= Z => lowest > tolerance,
        Some(_) => wilcoxon(tolerance, experiment, control).is_some_and(|z| z > Z),
    }
}

fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// The normal score of the rank sum of `x - shift` among `y`, with the corrections for ties and continuity.
fn wilcoxon(shift: f64, x: &[f64], y: &[f64]) -> Option<f64> {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let mut all: Vec<(f64, bool)> = x.iter().map(|v| (v - shift, true)).collect();
    all.extend(y.iter().map(|v| (*v, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let end = all[start..].iter().position(|v| v.0 > all[start].0).map_or(all.len(), |i| start + i);
        let count = (end - start) as f64;
        let rank = (start + 1 + end) as f64 / 2.0;
        sum += rank * all[start..end].iter().filter(|v| v.1).count() as f64;
        ties += count.powi(3) - count;
        start = end;
    }
    let off = sum - n * (n + 1.0) / 2.0 - n * m / 2.0;
    let variance = n * m / 12.0 * ((n + m + 1.0) - ties / ((n + m) * (n + m - 1.0)));
    let continuity = if off == 0.0 { 0.0 } else { 0.5 * off.signum() };
    (variance > 0.0).then(|| (off - continuity) / variance.sqrt())
}

/// Mann-Whitney on the last five points, exact and one-sided at 0.05, at every interval; the first failure rolls back.
fn pipecd(pairs: &[Pair]) -> Decided {
    (5..=27).step_by(5).find_map(|end| {
        let window = &pairs[end - 5..end];
        let values: Vec<f64> = window.iter().map(green).chain(window.iter().map(blue)).collect();
        let rank = |v: f64| {
            let below = values.iter().filter(|w| **w < v).count() as f64;
            let same = values.iter().filter(|w| **w == v).count() as f64;
            below + (same + 1.0) / 2.0
        };
        let ranks: Vec<f64> = values.iter().map(|v| rank(*v)).collect();
        let seen: f64 = ranks[..5].iter().sum();
        let ways = (0u32..1 << 10).filter(|ways| ways.count_ones() == 5);
        let (mut all, mut as_high) = (0u32, 0u32);
        for way in ways {
            let sum: f64 = (0..10).filter(|i| way >> i & 1 == 1).map(|i| ranks[i]).sum();
            all += 1;
            as_high += u32::from(sum >= seen - 1e-9);
        }
        let differ = values.iter().any(|v| *v != values[0]);
        (differ && f64::from(as_high) / f64::from(all) <= 0.05).then_some(end - 1)
    })
}

/// A test of two proportions on everything so far, looked at every minute.
fn peeking(pairs: &[Pair]) -> Decided {
    let (mut b, mut n, mut g, mut m) = (0.0, 0.0, 0.0, 0.0);
    pairs.iter().position(|pair| {
        b += pair.blue.failures;
        n += pair.blue.requests;
        g += pair.green.failures;
        m += pair.green.requests;
        if b + g < 1.0 || n < 1.0 || m < 1.0 {
            return false;
        }
        let p = (b + g) / (n + m);
        (g / m - b / n) / (p * (1.0 - p) * (1.0 / n + 1.0 / m)).max(1e-300).sqrt() > 2.3263
    })
}
