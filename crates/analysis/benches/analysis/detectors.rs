//! The detectors that are compared: ours, its special cases, and what people run today.

use tidegate_analysis::{Effects, Pair, Process, Tally, calibrate, uncalibrated};
use tidegate_model::calibration::{Calibration, Dispersion};

use crate::{
    baselines::{BASELINES, Decided},
    simulate::{Noise, Service, World},
};

/// `1/alpha` for one false rollback in a thousand good releases.
pub(crate) const LN_LIMIT: f64 = 6.907_755_278_982_137;
/// Minutes of a service's history: two days.
const HISTORY: usize = 2_880;
/// Histories that are learned from for each service.
const HISTORIES: usize = 4;

/// What a service's releases are judged with.
pub(crate) struct Judge {
    joint: Vec<Calibration>,
    one_part: Option<Calibration>,
    split: Vec<Calibration>,
    plain: Calibration,
    history: f64,
}

/// The detectors' names: ours first.
pub(crate) fn names() -> Vec<&'static str> {
    let ours = [
        "tidegate: joint",
        "history without zones",
        "split only",
        "split, no history",
        "plain (independent failures)",
    ];
    ours.into_iter().chain(BASELINES.iter().map(|(name, _)| *name)).collect()
}

impl Judge {
    /// Learns from histories of the service under a law of noise.
    pub(crate) fn new(seed: u64, service: Service, history: Noise) -> Self {
        let mut world = World::new(seed, service, history);
        let histories: Vec<Vec<Pair>> = (0..HISTORIES).map(|_| world.history(HISTORY)).collect();
        let joint: Vec<Calibration> = histories.iter().map(|history| calibrate(history)).collect();
        let one_part = histories.first().map(|history| calibrate(&together(history)));
        let split = joint.iter().map(|prior| Calibration { rate: None, ..prior.clone() }).collect();
        let mut plain = uncalibrated();
        plain.dispersions.truncate(1);
        plain.dispersions[0].dispersion =
            Dispersion { cluster: 1.0, jitter: 0.0, drift: 1e-9, outliers: 0.0 };
        plain.dispersions[0].weight = 1.0;
        Self { joint, one_part, split, plain, history: service.rate }
    }

    /// For [`Self::ours`] only: nothing else is learned.
    pub(crate) fn ours_alone(seed: u64, service: Service, history: Noise) -> Self {
        let mut world = World::new(seed, service, history);
        let joint = (0..HISTORIES).map(|_| calibrate(&world.history(HISTORY))).collect();
        Self { joint, one_part: None, split: vec![], plain: uncalibrated(), history: service.rate }
    }

    /// What was learned before one release.
    pub(crate) fn calibration(&self, release: usize) -> &Calibration {
        &self.joint[release % HISTORIES]
    }

    /// Ours alone.
    pub(crate) fn ours(&self, release: usize, pairs: &[Pair]) -> Option<usize> {
        first(&self.joint[release % HISTORIES], &Effects::errors(), pairs)
    }

    /// Every detector's minute of decision, in the order of the names; `None` for those that are left out. The special cases of
    /// ours cost as much as ours does, so a large run judges a part of its releases by them.
    pub(crate) fn all(
        &self,
        release: usize,
        pairs: &[Pair],
        with_special_cases: bool,
    ) -> Vec<Option<Decided>> {
        let wide = Effects {
            times: vec![1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0],
            added: vec![],
            times_without_rate: vec![],
            ..Effects::errors()
        };
        let special = |calibration: &Calibration, effects: &Effects| {
            with_special_cases.then(|| first(calibration, effects, pairs))
        };
        let one_part = self.one_part.as_ref();
        let ours = [
            Some(self.ours(release, pairs)),
            one_part.and_then(|calibration| special(calibration, &Effects::errors())),
            special(&self.split[release % HISTORIES], &wide),
            special(&uncalibrated(), &wide),
            special(&self.plain, &wide),
        ];
        let baselines = BASELINES.iter().map(|(_, decide)| Some(decide(pairs, self.history)));
        ours.into_iter().chain(baselines).collect()
    }
}

/// The same minutes where zones are not told apart.
fn together(history: &[Pair]) -> Vec<Pair> {
    let sum = |pair: &Pair| Tally {
        requests: pair.blue.requests + pair.green.requests,
        failures: pair.blue.failures + pair.green.failures,
    };
    history.iter().map(|pair| Pair { blue: sum(pair), green: Tally::default() }).collect()
}

fn first(calibration: &Calibration, effects: &Effects, pairs: &[Pair]) -> Option<usize> {
    let mut process = Process::new(calibration, effects);
    pairs.iter().position(|pair| {
        process.see(pair);
        process.ln_evidence() >= LN_LIMIT
    })
}
