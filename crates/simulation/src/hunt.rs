//! Looking for one thing that is broken, as fast as that goes: for seeded bugs, of which each must be found.
//!
//! First what happens without any fault, then faults where they are likely to matter, then swarms at random until the time is
//! over. The first violation ends it; nothing is made small.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    fault::Plan,
    likely::{likely, likely_takeovers},
    plans,
    run::Report,
    scenario::{Catalogue, with_two_daemons},
    sweep::{Broken, Job, locked, play},
};

/// What a hunt came to.
#[derive(Debug)]
pub struct Hunt {
    /// The first run that broke something.
    pub found: Option<Broken>,
    /// How many runs there were.
    pub runs: usize,
    /// How long it took.
    pub took: Duration,
}

/// Hunts for as long as `limit`, with seeds from `seed` on.
pub fn hunt(catalogue: &Catalogue, seed: u64, limit: Duration) -> Hunt {
    let chase = Chase::new(limit);
    let plain: Vec<Job> =
        catalogue.keys().map(|name| Job { scenario: name.clone(), seed, plan: Plan::default() }).collect();
    let goldens = chase.after(catalogue, &plain);
    let goldens: Vec<(&String, &Report)> =
        goldens.iter().map(|(place, report)| (&plain[*place].scenario, report)).collect();
    let with_two = with_two_daemons(catalogue);
    let (likely, takeovers) = (likely(&goldens, seed), likely_takeovers(&goldens, seed));
    let (few, more) = takeovers.split_at(takeovers.len().min(FIRST_TAKEOVERS));
    chase.after(&with_two, few);
    chase.after(catalogue, &likely);
    chase.after(&with_two, more);
    let mut from = seed;
    while !chase.is_over() && !goldens.is_empty() {
        let swarm: Vec<Job> = (from..)
            .zip(goldens.iter().cycle())
            .take(SWARM)
            .map(|(seed, (name, golden))| plans::swarm(name, seed, golden))
            .collect();
        chase.after(catalogue, &swarm);
        from = from.wrapping_add(SWARM as u64);
    }
    Hunt {
        runs: chase.runs.into_inner(),
        took: chase.begun.elapsed(),
        found: chase.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
    }
}

/// Takeovers that come before single faults: they find what nothing else does.
const FIRST_TAKEOVERS: usize = 40;

/// Runs of a swarm that are drawn at once.
const SWARM: usize = 500;

/// A hunt under way.
struct Chase {
    begun: Instant,
    limit: Duration,
    over: AtomicBool,
    runs: AtomicUsize,
    found: Mutex<Option<Broken>>,
}

impl Chase {
    fn new(limit: Duration) -> Self {
        Self {
            begun: Instant::now(),
            limit,
            over: AtomicBool::new(false),
            runs: AtomicUsize::new(0),
            found: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.begun.elapsed() >= self.limit
    }

    /// Makes runs until one breaks something or the time is over; those that were made, with their places.
    fn after(&self, catalogue: &Catalogue, jobs: &[Job]) -> Vec<(usize, Report)> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while !self.is_over() {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(place) else { return };
                let Some(scenario) = catalogue.get(&job.scenario) else { continue };
                let report = play(scenario, job);
                self.runs.fetch_add(1, Ordering::Relaxed);
                if report.violations.is_empty() {
                    locked(&reports).push((place, report));
                } else if !self.over.swap(true, Ordering::Relaxed) {
                    *locked(&self.found) = Some(Broken { job: job.clone(), violations: report.violations });
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
