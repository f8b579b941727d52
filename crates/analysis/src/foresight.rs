//! What the judge would find, and how fast, at a service's own traffic: told before a release begins.
//!
//! Called once, when blue's history is frozen. Each regression is played through the evidence with the counts that are usual
//! for it, neither lucky nor unlucky. Pure.

use std::f64::consts::LN_10;

use tidegate_model::{
    calibration::Calibration,
    verdict::{Detectable, Regression},
};

use crate::{
    compare::{EVIDENCE_MINUTES, LIMIT},
    evidence::{Effects, Pair, Process, Tally, Weighed},
};

/// What people ask about.
const REGRESSIONS: [Regression; 5] = [
    Regression::Times(2.0),
    Regression::Times(5.0),
    Regression::Share(0.01),
    Regression::Share(0.1),
    Regression::Share(1.0),
];

/// Says of each regression after how many closed minutes it would be rolled back, when green's share of the traffic goes
/// by `ramp` and failures have this share of the evidence. Nothing is said of a service without history or traffic.
pub fn foresee(calibration: &Calibration, share: f64, ramp: impl Fn(u32) -> f64) -> Vec<Detectable> {
    let Some(rate) = calibration.rate.filter(|_| calibration.volume >= 1.0) else { return vec![] };
    let limit = LIMIT * LN_10 - share.clamp(f64::MIN_POSITIVE, 1.0).ln();
    let mut played = Played { process: Process::new(calibration, &Effects::errors()), weighed: vec![] };
    REGRESSIONS
        .into_iter()
        .filter_map(|regression| {
            let green = match regression {
                Regression::Times(times) => rate * times,
                Regression::Share(added) => rate + added * (1.0 - rate),
            };
            // Where the service fails as much by itself it is no regression.
            let told = green >= 1.5 * rate && green <= 1.0;
            told.then(|| {
                let mut usual = (Usual::default(), Usual::default());
                let minutes = (0..EVIDENCE_MINUTES).map(|minute| {
                    let to_green = calibration.volume * ramp(minute).clamp(0.0, 1.0);
                    let to_blue = calibration.volume - to_green;
                    Pair { blue: usual.0.minute(to_blue, rate), green: usual.1.minute(to_green, green) }
                });
                Detectable { regression, minutes: played.until(limit, minutes) }
            })
        })
        .collect()
}

/// Minutes that are played: usual counts recur, and each is weighed once.
struct Played {
    /// Before the first of them.
    process: Process,
    weighed: Vec<(Pair, Weighed)>,
}

impl Played {
    /// After how many of these minutes the evidence is at the limit.
    fn until(&mut self, limit: f64, mut minutes: impl Iterator<Item = Pair>) -> Option<u32> {
        let mut process = self.process.clone();
        let reached = minutes.position(|pair| {
            let known = self.weighed.iter().position(|(known, _)| *known == pair).unwrap_or_else(|| {
                self.weighed.push((pair, process.weigh(&pair)));
                self.weighed.len() - 1
            });
            process.learn(&self.weighed[known].1);
            process.ln_evidence() >= limit
        });
        reached.and_then(|minute| u32::try_from(minute + 1).ok())
    }
}

/// Failures as they are due: what is less than one is carried on to the next minute.
#[derive(Default)]
struct Usual {
    due: f64,
}

impl Usual {
    fn minute(&mut self, requests: f64, rate: f64) -> Tally {
        self.due += requests * rate;
        let failures = self.due.floor();
        self.due -= failures;
        Tally { requests: requests.round().max(failures), failures }
    }
}
