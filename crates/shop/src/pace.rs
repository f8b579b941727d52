//! How long answers take beyond the work itself: what a shop of this size spends on what this one does not have.
//!
//! Called by the HTTP API, before each customer request. Must not: touch `/health`.

use std::time::Duration;

/// The spread of answer times: the standard deviation of their logarithm. With it the 95th percentile is 3.7 times the median.
const SPREAD: f64 = 0.8;
/// Nobody waits longer than this many times the median, slower versions apart.
const LONGEST: f64 = 8.0;
/// The share of answers that are slow ones.
const TAIL: f64 = 0.2;

/// The time that answers take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    median: f64,
    slower: f64,
    tail_slower: f64,
}

impl Pace {
    /// Answers take `median` seconds in the middle, all of them `slower` times as long, and the slowest fifth of them
    /// `tail_slower` times as long as that.
    pub(crate) fn new(median: f64, slower: f64, tail_slower: f64) -> Self {
        Self { median, slower, tail_slower }
    }

    /// Takes its time.
    pub(crate) async fn wait(&self) {
        if self.median > 0.0 {
            tokio::time::sleep(self.draw(rand::random())).await;
        }
    }

    /// The time of the answer that is slower than this share of all, 0 to 1.
    fn draw(&self, rank: f64) -> Duration {
        let tail = if rank > 1.0 - TAIL { self.tail_slower } else { 1.0 };
        let times = (SPREAD * normal_quantile(rank)).exp().min(LONGEST);
        Duration::try_from_secs_f64(self.median * times * self.slower * tail).unwrap_or_default()
    }
}

/// The standard normal distribution's quantile, to three digits: Tukey's lambda approximation.
fn normal_quantile(rank: f64) -> f64 {
    const LAMBDA: f64 = 0.135;
    let rank = rank.clamp(1e-9, 1.0 - 1e-9);
    (rank.powf(LAMBDA) - (1.0 - rank).powf(LAMBDA)) / 0.1975
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(pace: Pace, rank: f64) -> f64 {
        pace.draw(rank).as_secs_f64() * 1_000.0
    }

    #[test]
    fn a_slow_tail_doubles_the_95th_percentile_and_leaves_the_median() {
        let (usual, slow) = (Pace::new(0.03, 1.0, 1.0), Pace::new(0.03, 1.0, 2.0));
        assert_eq!(milliseconds(usual, 0.5), 30.0);
        assert_eq!(milliseconds(slow, 0.5), 30.0);
        assert!((105.0..120.0).contains(&milliseconds(usual, 0.95)), "{}", milliseconds(usual, 0.95));
        let times = milliseconds(slow, 0.95) / milliseconds(usual, 0.95);
        assert!((times - 2.0).abs() < 1e-6, "{times}");
    }

    #[test]
    fn nobody_waits_forever() {
        let pace = Pace::new(0.03, 1.1, 2.0);
        assert!(pace.draw(0.0) < pace.draw(1.0) && pace.draw(1.0) < Duration::from_secs(1));
    }
}
