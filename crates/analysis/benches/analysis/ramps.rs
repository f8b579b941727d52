//! The ramp that goes by the evidence: what regressions cost on it, and how long good releases take.
//!
//! The unit is the floor of the linear ramp of the same length, so a figure below one is what no test could reach on that.

use std::f64::consts::LN_10;

use tidegate_analysis::{Effects, Process, Ramping, next_weight};

use crate::{
    detectors::{Judge, LN_LIMIT},
    floor::floor,
    measure::{Cost, DELAY, each},
    simulate::{
        self, CLUSTER, GAMMA, GOOD, KINDS, MINUTES, MIXED, Noise, POISSON, Regression, STICKY, Service, World,
    },
};

/// Good releases shall serve everything within this many minutes.
const WITHIN: u32 = 30;
/// A release that waits is followed for so long.
const HORIZON: usize = 60;
/// Everything is served for so long before a release counts as over: its verdict has come by then.
const SETTLED: usize = 3;
/// The regressions that are compared.
const COMPARED: [&str; 4] = ["outage", "10 %", "1 %", "5x"];

/// One regression in one service under one law of noise.
pub(crate) struct Compared {
    pub(crate) noise: Noise,
    pub(crate) service: Service,
    pub(crate) kind: &'static str,
    /// Of the test that knows everything, on the linear ramp.
    pub(crate) floor: Cost,
    /// Of the judge on the linear ramp.
    pub(crate) linear: Cost,
    /// Of the judge on the ramp that goes by the evidence.
    pub(crate) adaptive: Cost,
}

/// Good releases under one law of noise.
pub(crate) struct Finished {
    pub(crate) noise: Noise,
    /// Minutes until each served everything, ascending; those rolled back are not among them.
    pub(crate) minutes: Vec<usize>,
    pub(crate) rolled_back: usize,
    /// Green's share in each minute of the ramp, of every release.
    pub(crate) weights: Vec<Vec<f64>>,
}

/// What regressions cost on both ramps.
pub(crate) fn bad(releases: usize) -> Vec<Compared> {
    let mut cells = vec![];
    for noise in [POISSON, MIXED] {
        for rpm in [3e3, 3e4] {
            let kinds = KINDS.iter().filter(|kind| COMPARED.contains(&kind.name));
            cells.extend(kinds.map(|kind| (noise, Service { rpm, rate: 1e-3 }, kind)));
        }
    }
    each("ramps", &cells, |(noise, service, kind)| {
        let judge = Judge::ours_alone(1_300, *service, *noise);
        let mut world = World::new(81_000, *service, *noise);
        let mut compared = Compared {
            noise: *noise,
            service: *service,
            kind: kind.name,
            floor: Cost::default(),
            linear: Cost::default(),
            adaptive: Cost::default(),
        };
        for release in 0..releases {
            let happened = world.release(kind, &simulate::linear());
            let at = floor(&happened, kind, *service, noise, LN_LIMIT);
            let until = at.map_or(MINUTES - 1, |at| (at + DELAY).min(MINUTES - 1));
            compared.floor.add(happened.owed[..=until].iter().sum(), at.is_none());
            for (cost, ramp) in
                [(&mut compared.linear, Ramp::Linear), (&mut compared.adaptive, Ramp::Adaptive)]
            {
                let ran = run(&mut world, &judge, release, kind, ramp);
                cost.add(ran.bad, !ran.rolled_back);
            }
        }
        compared
    })
}

/// How long good releases take.
pub(crate) fn good(releases: usize) -> Vec<Finished> {
    let noises = [POISSON, GAMMA, CLUSTER, STICKY, MIXED];
    let mut cells = vec![];
    for noise in noises {
        for rpm in [300.0, 3e3, 3e4, 3e5] {
            cells.extend([1e-4, 1e-3, 1e-2].map(|rate| (noise, Service { rpm, rate })));
        }
    }
    let ran = each("good releases on the ramp", &cells, |(noise, service)| {
        let judge = Judge::ours_alone(1_400, *service, *noise);
        let mut world = World::new(82_000, *service, *noise);
        let run = |release| run(&mut world, &judge, release, &GOOD, Ramp::Adaptive);
        (0..releases.div_ceil(12)).map(run).collect::<Vec<Ran>>()
    });
    let each_noise = noises.iter().zip(ran.chunks(12));
    each_noise
        .map(|(noise, cells)| {
            let good = cells.iter().flatten().filter(|ran| !ran.rolled_back);
            let done = |ran: &Ran| ran.weights.iter().position(|weight| *weight >= 1.0).unwrap_or(HORIZON);
            let mut minutes: Vec<usize> = good.clone().map(done).collect();
            minutes.sort_unstable();
            Finished {
                noise: *noise,
                minutes,
                rolled_back: cells.iter().flatten().filter(|ran| ran.rolled_back).count(),
                weights: good.map(|ran| ran.weights.clone()).collect(),
            }
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Ramp {
    Linear,
    Adaptive,
}

/// A release as it ran.
struct Ran {
    weights: Vec<f64>,
    bad: f64,
    rolled_back: bool,
}

fn run(world: &mut World, judge: &Judge, release: usize, kind: &Regression, ramp: Ramp) -> Ran {
    let mut process = Process::new(judge.calibration(release), &Effects::errors());
    let mut happened = world.begin(HORIZON);
    let mut weights: Vec<f64> = vec![];
    let mut rolled_back = false;
    for minute in 0..HORIZON {
        if let Some(closed) = minute.checked_sub(1 + DELAY) {
            process.see(&happened.pairs[closed]);
            rolled_back = process.ln_evidence() >= LN_LIMIT;
        }
        let over = weights.len() >= SETTLED && weights[weights.len() - SETTLED..].iter().all(|w| *w >= 1.0);
        if rolled_back || (over && minute >= MINUTES + SETTLED) {
            break;
        }
        let weight = match ramp {
            Ramp::Linear => simulate::linear().get(minute).copied().unwrap_or(1.0),
            Ramp::Adaptive => next_weight(Ramping {
                passed: minute as u32,
                within: WITHIN,
                weight: weights.last().copied().unwrap_or(0.0),
                evidence: process.ln_evidence() / LN_10,
            }),
        };
        weights.push(weight);
        world.minute(&mut happened, kind, weight);
    }
    Ran { bad: happened.owed.iter().sum(), weights, rolled_back }
}
