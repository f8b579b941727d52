//! Releases, good and bad, as minutes of two groups: the laws of noise, the kinds of regression, the ramp.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rand_distr::{Binomial, Distribution as _, Gamma, Normal, Poisson, StandardNormal};
use tidegate_analysis::{Pair, Tally};

/// Minutes of a ramp.
pub(crate) const MINUTES: usize = 30;

/// Failures come in minutes: how they deviate from independence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) name: &'static str,
    /// A factor common to both groups: it drifts, and has incidents of three minutes.
    pub(crate) common: bool,
    /// Mean size of clusters of failures that fall on one group whole.
    pub(crate) cluster: f64,
    /// Squared coefficient of variation of a factor of each group and minute.
    pub(crate) jitter: f64,
    /// Standard deviation of a slow log factor of each group.
    pub(crate) slow: f64,
    /// Standard deviation of a log factor of green for the whole release.
    pub(crate) release: f64,
    /// Share of clusters that are ten times as large as the others.
    pub(crate) giants: f64,
    /// Two-state bursts with heavy-tailed clusters instead of all that.
    pub(crate) bursts: bool,
}

const QUIET: Noise = Noise {
    name: "poisson",
    common: false,
    cluster: 1.0,
    jitter: 0.0,
    slow: 0.0,
    release: 0.0,
    giants: 0.0,
    bursts: false,
};

pub(crate) const POISSON: Noise = QUIET;
pub(crate) const COMMON: Noise = Noise { name: "common", common: true, ..QUIET };
pub(crate) const CLUSTER: Noise = Noise { name: "cluster", cluster: 4.0, ..QUIET };
pub(crate) const GAMMA: Noise = Noise { name: "gamma", jitter: 0.1, ..QUIET };
pub(crate) const STICKY: Noise = Noise { name: "sticky", slow: 0.1, release: 0.05, ..QUIET };
pub(crate) const MIXED: Noise =
    Noise { name: "mixed", common: true, cluster: 2.0, jitter: 0.05, slow: 0.07, release: 0.05, ..QUIET };

pub(crate) const GIANTS: Noise = Noise { name: "giants", cluster: 1.5, giants: 0.03, ..QUIET };

/// The family that nothing is tuned on: both groups go through bursts together, clusters have sizes with a heavy tail, and
/// requests a minute wander as recorded services' do.
pub(crate) const HELD_OUT: Noise = Noise { name: "held out", bursts: true, ..QUIET };

/// In a burst failures are so many times as frequent; it begins and ends with these probabilities in a minute.
const BURST: (f64, f64, f64) = (6.0, 0.02, 0.25);
/// A cluster is at least `s` large with probability `s^-TAIL`, and at most this large.
pub(crate) const TAIL: (f64, usize) = (1.8, 100);

/// A service: requests a minute, and its own failure rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) rpm: f64,
    pub(crate) rate: f64,
}

/// What is wrong with green.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regression {
    pub(crate) name: &'static str,
    /// Share of green's requests that fails on top.
    pub(crate) added: f64,
    /// It fails so many times as often.
    pub(crate) times: f64,
    /// The first minute of it.
    pub(crate) onset: usize,
    /// It grows over ten minutes.
    pub(crate) leak: bool,
}

pub(crate) const GOOD: Regression =
    Regression { name: "good", added: 0.0, times: 1.0, onset: 0, leak: false };
pub(crate) const KINDS: [Regression; 8] = [
    Regression { name: "outage", added: 0.999, ..GOOD },
    Regression { name: "10 %", added: 0.1, ..GOOD },
    Regression { name: "1 %", added: 0.01, ..GOOD },
    Regression { name: "0.1 %", added: 0.001, ..GOOD },
    Regression { name: "5x", times: 5.0, ..GOOD },
    Regression { name: "2x", times: 2.0, ..GOOD },
    Regression { name: "leak", added: 0.02, onset: 6, leak: true, ..GOOD },
    Regression { name: "late", added: 0.05, onset: 12, ..GOOD },
];

impl Regression {
    /// How much of it is there in a minute, 0 to 1.
    pub(crate) fn on(&self, minute: usize) -> f64 {
        if minute < self.onset {
            0.0
        } else if self.leak {
            ((minute - self.onset + 1) as f64 / 10.0).min(1.0)
        } else {
            1.0
        }
    }
}

/// One release as it happened, with what only the simulator knows.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) pairs: Vec<Pair>,
    /// The common factor of each minute.
    pub(crate) common: Vec<f64>,
    /// Expected failures of each minute that are owed to the regression.
    pub(crate) owed: Vec<f64>,
    lasting: f64,
    blue: Slow,
    green: Slow,
    wander: f64,
}

/// Everything random of a cell.
pub(crate) struct World {
    random: SmallRng,
    pub(crate) service: Service,
    pub(crate) noise: Noise,
}

impl World {
    pub(crate) fn new(seed: u64, service: Service, noise: Noise) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), service, noise }
    }

    /// A release under the weights of a ramp (green's share of each minute).
    pub(crate) fn release(&mut self, regression: &Regression, weights: &[f64]) -> Release {
        let mut release = self.begin(weights.len());
        for weight in weights {
            self.minute(&mut release, regression, *weight);
        }
        release
    }

    /// A release of at most so many minutes, before its first one.
    pub(crate) fn begin(&mut self, minutes: usize) -> Release {
        let common = self.common(minutes);
        let lasting = self.normal(self.noise.release).exp();
        let (blue, green) = (Slow::default(), Slow::default());
        let wander = self.normal(0.25);
        Release { pairs: vec![], common, owed: vec![], lasting, blue, green, wander }
    }

    /// One more minute of it.
    pub(crate) fn minute(&mut self, release: &mut Release, regression: &Regression, weight: f64) {
        let minute = release.pairs.len();
        let common = release.common[minute];
        release.wander = 0.95 * release.wander + self.normal(0.08);
        let volume =
            self.service.rpm * if self.noise.bursts { release.wander } else { self.normal(0.1) }.exp();
        let requests = self.poisson(volume);
        let of_green = self.binomial(requests, weight);
        let of_blue = requests - of_green;
        let on = regression.on(minute);
        let rate = self.service.rate * common;
        let times = 1.0 + (regression.times - 1.0) * on;
        let b = release.blue.next(self);
        let blue_failures = self.failures(of_blue, rate * b);
        let g = release.green.next(self);
        let old = self.failures(of_green, self.service.rate * times * common * g * release.lasting);
        let added = self.binomial(of_green - old, regression.added * on);
        release.owed.push(of_green * (rate * (times - 1.0) + regression.added * on));
        release.pairs.push(Pair {
            blue: Tally { requests: of_blue, failures: blue_failures },
            green: Tally { requests: of_green, failures: old + added },
        });
    }

    /// Minutes of one version, seen in two zones.
    pub(crate) fn history(&mut self, minutes: usize) -> Vec<Pair> {
        let common = self.common(minutes);
        let (mut one, mut other) = (Slow::default(), Slow::default());
        (0..minutes)
            .map(|minute| {
                let requests = self.poisson(self.service.rpm);
                let here = self.binomial(requests, 0.5);
                let rate = self.service.rate * common[minute];
                let (f, g) = (one.next(self), other.next(self));
                let blue = Tally { requests: here, failures: self.failures(here, rate * f) };
                let there = requests - here;
                Pair { blue, green: Tally { requests: there, failures: self.failures(there, rate * g) } }
            })
            .collect()
    }

    fn common(&mut self, minutes: usize) -> Vec<f64> {
        if self.noise.bursts {
            return self.bursts(minutes);
        }
        if !self.noise.common {
            return vec![1.0; minutes];
        }
        let mut ln = self.normal(0.4);
        let mut incident: u32 = 0;
        (0..minutes)
            .map(|minute| {
                if minute > 0 {
                    ln = 0.8 * ln + self.normal(0.4 * 0.6);
                }
                if self.random.random::<f64>() < 0.003 {
                    incident = 3;
                }
                let times = if incident > 0 { 20.0 } else { 1.0 };
                incident = incident.saturating_sub(1);
                (ln - 0.08).exp() * times
            })
            .collect()
    }

    fn bursts(&mut self, minutes: usize) -> Vec<f64> {
        let (times, begins, ends) = BURST;
        let share = begins / (begins + ends);
        let calm = 1.0 / (1.0 + share * (times - 1.0));
        let mut burst = self.random.random::<f64>() < share;
        (0..minutes)
            .map(|_| {
                let turns = if burst { ends } else { begins };
                burst ^= self.random.random::<f64>() < turns;
                if burst { calm * times } else { calm }
            })
            .collect()
    }

    fn heavy_tailed(&mut self, requests: f64, rate: f64) -> f64 {
        let sizes = sizes();
        let mean: f64 = sizes.iter().enumerate().map(|(i, p)| (i + 1) as f64 * p).sum();
        let clusters = self.poisson(requests * rate / mean);
        let mut failures = 0.0;
        for _ in 0..clusters as u64 {
            let size = (1.0 - self.random.random::<f64>()).powf(-1.0 / TAIL.0).floor();
            failures += size.min(TAIL.1 as f64);
        }
        failures.min(requests)
    }

    fn failures(&mut self, requests: f64, rate: f64) -> f64 {
        if self.noise.bursts {
            return self.heavy_tailed(requests, rate);
        }
        let jitter = self.noise.jitter;
        let factor = if jitter > 0.0 { self.gamma(1.0 / jitter, jitter) } else { 1.0 };
        let rate = (rate * factor).min(0.95);
        let size = self.noise.cluster;
        if size <= 1.0 {
            return self.binomial(requests, rate);
        }
        let giants = self.noise.giants;
        let mean = size * (1.0 + 9.0 * giants);
        let clusters = self.poisson(requests * rate / mean);
        let large = self.binomial(clusters, giants);
        (self.geometric(clusters - large, size) + self.geometric(large, 10.0 * size)).min(requests)
    }

    /// The sum of so many geometric sizes.
    fn geometric(&mut self, count: f64, mean: f64) -> f64 {
        if count < 1.0 {
            return 0.0;
        }
        let more = self.gamma(count, mean - 1.0);
        count + self.poisson(more)
    }

    fn normal(&mut self, sd: f64) -> f64 {
        if sd > 0.0 { Normal::new(0.0, sd).unwrap().sample(&mut self.random) } else { 0.0 }
    }

    fn standard(&mut self) -> f64 {
        StandardNormal.sample(&mut self.random)
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 1e-12 { Poisson::new(mean).unwrap().sample(&mut self.random) } else { 0.0 }
    }

    fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        Gamma::new(shape, scale).unwrap().sample(&mut self.random)
    }

    fn binomial(&mut self, n: f64, p: f64) -> f64 {
        Binomial::new(n as u64, p.clamp(0.0, 1.0)).unwrap().sample(&mut self.random) as f64
    }
}

/// The probabilities of the sizes of heavy-tailed clusters, from one on.
pub(crate) fn sizes() -> Vec<f64> {
    let at_least = |s: usize| (s as f64).powf(-TAIL.0);
    let last = TAIL.1;
    (1..=last).map(|s| at_least(s) - if s < last { at_least(s + 1) } else { 0.0 }).collect()
}

/// A slow log factor of one group.
#[derive(Clone, Copy, Debug, Default)]
struct Slow(Option<f64>);

impl Slow {
    fn next(&mut self, world: &mut World) -> f64 {
        let sd = world.noise.slow;
        if sd <= 0.0 {
            return 1.0;
        }
        let z = match self.0 {
            None => sd * world.standard(),
            Some(z) => 0.9 * z + sd * (1.0f64 - 0.81).sqrt() * world.standard(),
        };
        self.0 = Some(z);
        z.exp()
    }
}

/// 10 % more every three minutes.
pub(crate) fn linear() -> Vec<f64> {
    (0..MINUTES).map(|minute| (0.1 * (1 + minute / 3) as f64).min(1.0)).collect()
}
