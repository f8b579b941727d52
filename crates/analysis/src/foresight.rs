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
    evidence::{Effects, Pair, Process, Tally},
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
    REGRESSIONS
        .into_iter()
        .filter_map(|regression| {
            let green = match regression {
                Regression::Times(times) => rate * times,
                Regression::Share(added) => rate + added * (1.0 - rate),
            };
            // Where the service fails as much by itself it is no regression.
            (green >= 1.5 * rate && green <= 1.0)
                .then(|| Detectable { regression, minutes: minutes(calibration, rate, green, limit, &ramp) })
        })
        .collect()
}

fn minutes(
    calibration: &Calibration,
    rate: f64,
    green_rate: f64,
    limit: f64,
    ramp: &impl Fn(u32) -> f64,
) -> Option<u32> {
    let mut process = Process::new(calibration, &Effects::errors());
    let (mut blue, mut green) = (Usual::default(), Usual::default());
    (0..EVIDENCE_MINUTES).find_map(|minute| {
        let to_green = calibration.volume * ramp(minute).clamp(0.0, 1.0);
        let to_blue = calibration.volume - to_green;
        process.see(&Pair { blue: blue.minute(to_blue, rate), green: green.minute(to_green, green_rate) });
        (process.ln_evidence() >= limit).then_some(minute + 1)
    })
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
