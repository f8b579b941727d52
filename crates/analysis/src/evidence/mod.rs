//! Evidence that green fails more often than blue: an e-process over closed minutes.
//!
//! Called by the judge with one pair of counts a minute. The evidence `E` is a Bayes factor: the probability of everything seen
//! if green is worse from some minute on, over its probability if green is as blue. Whatever hits both alike drops out, and how
//! far failures deviate from independence is averaged over what the service's own history makes likely. A good release ever
//! reaches `E >= 1/alpha` with probability at most `alpha` (Ville's inequality), however often it is looked at, as far as the
//! calibration is right; what a wrong one costs is in the benchmark. Pure: it is made anew from all closed minutes, so a late
//! correction heals by itself.
//!
//! Sources: counts of several streams given their sum, whatever drives them in common (Lindon and Malek, arXiv 2011.03567);
//! restarts at each minute (Shin, Ramdas and Rinaldo, e-detectors). Averaging over dispersions that a history
//! makes likely, the hidden lasting difference and the total beside the split are Tidegate's own.

mod filter;
pub(crate) mod fit;
mod hypothesis;
mod law;
mod special;

use hypothesis::{Effect, Likelihoods, Pairing, Setting};
use law::Seen;
use special::ln_sum;
use tidegate_model::calibration::Calibration;

/// Requests and failures of one group in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Requests.
    pub requests: f64,
    /// How many of them failed.
    pub failures: f64,
}

/// One closed minute of both groups.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    /// The group that served before.
    pub blue: Tally,
    /// The candidate.
    pub green: Tally,
}

/// The effects that are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// Up to so many times as often as blue's is no worse.
    pub tolerated: f64,
    /// It happens so many times as often to green's requests as to blue's; ascending, each above what is tolerated.
    pub times: Vec<f64>,
    /// This share of green's requests is struck on top; ascending. Looked for only when the service's own rate is known, and
    /// only where it at least doubles that.
    pub added: Vec<f64>,
    /// Where the service's own rate is not known, large effects are looked for as ratios too.
    pub times_without_rate: Vec<f64>,
}

impl Effects {
    /// For failed requests.
    pub fn errors() -> Self {
        Self {
            tolerated: 1.0,
            times: vec![2.0, 4.0],
            added: vec![1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.9],
            times_without_rate: vec![10.0, 30.0, 100.0, 1_000.0],
        }
    }

    /// For requests slower than one in ten, and than one in a hundred, usually is. A tenth slower is tolerated: it makes a
    /// quarter more of the former and a third more of the latter where times spread as they usually do.
    pub fn slow() -> [Self; 2] {
        let of = |tolerated, times: &[f64]| Self {
            tolerated,
            times: times.to_vec(),
            added: vec![],
            times_without_rate: vec![],
        };
        [of(1.25, &[1.8, 3.0, 6.0]), of(1.35, &[2.2, 5.0, 15.0, 50.0])]
    }

    /// For what is counted by a team: more or less of it by a half is what can be meant.
    pub fn counted() -> Self {
        Self {
            tolerated: 1.0,
            times: vec![1.4, 2.0, 4.0],
            added: vec![],
            times_without_rate: vec![10.0, 100.0],
        }
    }

    fn of(&self, rate: Option<f64>) -> Vec<Effect> {
        let times = self.times.iter().copied().map(Effect::Times);
        match rate {
            None => times.chain(self.times_without_rate.iter().copied().map(Effect::Times)).collect(),
            Some(rate) => {
                let added = self.added.iter().filter(|added| **added >= 2.0 * rate).copied();
                times.chain(added.map(|added| Effect::Added { added, rate })).collect()
            }
        }
    }
}

/// A minute as a process weighs it: most of the work of seeing it. Minutes with the same counts have the same.
#[derive(Clone, Debug)]
pub struct Weighed(Vec<Likelihoods>);

/// The evidence so far.
#[derive(Clone, Debug)]
pub struct Process {
    pairings: Vec<(f64, Pairing)>,
    /// Prior of the minutes to come.
    later: f64,
    started: bool,
}

/// This much of the prior says that green is worse from its first minute on; of the rest, so much begins in each minute.
const FIRST: f64 = 0.65;
const HAZARD: f64 = 0.05;

impl Process {
    /// Nothing seen yet.
    pub fn new(calibration: &Calibration, effects: &Effects) -> Self {
        let pairings = calibration.dispersions.iter().filter(|one| one.weight > 0.0).map(|one| {
            let setting = Setting::new(one.dispersion, calibration.rate, calibration.volume, one.common);
            (one.weight.ln(), Pairing::new(setting, effects))
        });
        Self { pairings: pairings.collect(), later: 1.0, started: false }
    }

    /// Sees one more minute.
    pub fn see(&mut self, pair: &Pair) {
        let weighed = self.weigh(pair);
        self.learn(&weighed);
    }

    /// What is to be known of a minute before it is learned from, whatever was before it.
    pub fn weigh(&self, pair: &Pair) -> Weighed {
        let seen = Seen::new(*pair);
        Weighed(self.pairings.iter().map(|(_, pairing)| pairing.weigh(seen)).collect())
    }

    /// Learns from one more minute, which this process or one with the same calibration and effects weighed.
    pub fn learn(&mut self, minute: &Weighed) {
        let onset = self.later * if self.started { HAZARD } else { FIRST };
        self.started = true;
        self.later -= onset;
        for ((_, pairing), likely) in self.pairings.iter_mut().zip(&minute.0) {
            pairing.learn(likely, onset);
        }
    }

    /// `ln E`: 0 if nothing speaks for either.
    pub fn ln_evidence(&self) -> f64 {
        let sum = |ln: &dyn Fn(&Pairing) -> f64| {
            ln_sum(&self.pairings.iter().map(|(weight, pairing)| weight + ln(pairing)).collect::<Vec<_>>())
        };
        if self.pairings.is_empty() {
            return 0.0;
        }
        sum(&|pairing| pairing.alternative(self.later)) - sum(&Pairing::null)
    }
}

#[cfg(test)]
mod tests;
