//! How early a regression is seen, and how seldom a good release is rolled back: `cargo xtask bench analysis`.
//!
//! Every detector on the same streams, ramp and delay, in one run. Nine families of good releases (two of them with a history
//! that is too quiet) and four laws of noise with eight regressions are what the judge was made with; the family that is held
//! out is not tuned on, so its figures say most. `quick` takes minutes; `full` is what the aims are held against.

#![expect(clippy::print_stdout, reason = "its output is its result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod baselines;
mod detectors;
mod floor;
mod measure;
mod plot;
mod ramps;
mod report;
mod simulate;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use measure::Family;
use simulate::{CLUSTER, COMMON, GAMMA, GIANTS, GOOD, HELD_OUT, MIXED, POISSON, STICKY, Service, World};
use tidegate_analysis::{Effects, Process, calibrate};

const FAMILIES: [Family; 10] = [
    Family { name: "poisson", noise: POISSON, history: POISSON },
    Family { name: "common", noise: COMMON, history: COMMON },
    Family { name: "cluster", noise: CLUSTER, history: CLUSTER },
    Family { name: "gamma", noise: GAMMA, history: GAMMA },
    Family { name: "sticky", noise: STICKY, history: STICKY },
    Family { name: "mixed", noise: MIXED, history: MIXED },
    Family { name: "giants", noise: GIANTS, history: GIANTS },
    Family { name: "cluster, quiet history", noise: CLUSTER, history: POISSON },
    Family { name: "mixed, quiet history", noise: MIXED, history: POISSON },
    Family { name: "held out", noise: HELD_OUT, history: HELD_OUT },
];

fn main() {
    // cargo adds words of its own.
    let full = std::env::args().any(|word| word == "full");
    let (good_releases, bad_releases, ramp_releases, every) =
        if full { (20_000, 150, 500, 20) } else { (1_600, 20, 100, 1) };
    let services = services(&[300.0, 3e3, 3e4, 3e5], &[1e-5, 1e-4, 1e-3, 1e-2]);
    let with_regressions = services_with_regressions();
    speed();
    let good = FAMILIES.map(|family| {
        let cells = measure::good(&family, &services, good_releases / services.len(), every);
        (family, cells)
    });
    report::print_good(&good);
    let bad = [POISSON, GAMMA, CLUSTER, MIXED, HELD_OUT]
        .map(|noise| (noise.name, measure::bad(&noise, &with_regressions, bad_releases, every)));
    bad.iter().for_each(|(name, cells)| report::print_bad(name, cells));
    let finished = ramps::good(ramp_releases);
    report::print_ramps(&ramps::bad(ramp_releases), &finished);
    // Cargo runs a benchmark in its package's folder.
    let folder = Path::new("../../target/bench/analysis");
    let drawn = plot::all(folder, &good, &bad, &finished).unwrap();
    println!();
    drawn.iter().for_each(|path| println!("drawn: {}", path.canonicalize().unwrap().display()));
}

/// Medians of how long a calibration and a judgement of thirty minutes take.
fn speed() {
    let service = Service { rpm: 3e4, rate: 1e-3 };
    let mut world = World::new(1, service, MIXED);
    let history = world.history(2_880);
    let calibration = calibrate(&history);
    let release = world.release(&GOOD, &simulate::linear());
    let judged = median(101, || {
        let mut process = Process::new(&calibration, &Effects::errors());
        release.pairs.iter().for_each(|pair| process.see(pair));
        std::hint::black_box(process.ln_evidence());
    });
    let calibrated = median(3, || drop(std::hint::black_box(calibrate(&history))));
    println!(
        "a judgement of {} minutes takes {judged:.2?}, a calibration on two days {calibrated:.2?}",
        simulate::MINUTES
    );
}

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    took.sort();
    took[times / 2]
}

fn services_with_regressions() -> Vec<Service> {
    services(&[300.0, 3e3, 3e4], &[1e-4, 1e-3, 1e-2])
}

fn services(rpm: &[f64], rates: &[f64]) -> Vec<Service> {
    rpm.iter().flat_map(|rpm| rates.iter().map(|rate| Service { rpm: *rpm, rate: *rate })).collect()
}
