//! Looking for one thing that is broken, as fast as that goes: for seeded bugs, of which each must be found.
//!
//! First what happens without any fault, and hours after it, then faults where they are likely to matter, then swarms at random
//! until the time is over. The first violation ends it; nothing is made small.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_model::status::Summary;

use crate::{
    fault::Plan,
    likely::{likely, likely_takeovers},
    plans,
    run::Report,
    scenario::{Catalogue, with_two_daemons},
    sweep::{Broken, Job, REST, locked, play_and_rest},
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
    chase.watching(catalogue, &settled(&goldens, seed), HOURS);
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

/// The shortest runs that settle, once more: what follows them at rest shows only in hours.
fn settled(goldens: &[(&String, &Report)], seed: u64) -> Vec<Job> {
    const SHORTEST: usize = 2;
    let mut settled: Vec<_> =
        goldens.iter().filter(|(_, golden)| golden.summary == Summary::Healthy.as_str()).collect();
    settled.sort_by_key(|(_, golden)| golden.crossings);
    let job = |(name, _): &(&String, &Report)| Job { scenario: (*name).clone(), seed, plan: Plan::default() };
    settled.into_iter().take(SHORTEST).map(job).collect()
}

/// How long a settled release is watched.
const HOURS: Duration = Duration::from_secs(2 * 3600);

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
        self.watching(catalogue, jobs, REST)
    }

    /// The same, with the end of each run watched for as long as `rest`.
    fn watching(&self, catalogue: &Catalogue, jobs: &[Job], rest: Duration) -> Vec<(usize, Report)> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while !self.is_over() {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(place) else { return };
                let Some(scenario) = catalogue.get(&job.scenario) else { continue };
                let report = play_and_rest(scenario, job, rest);
                self.runs.fetch_add(1, Ordering::Relaxed);
                if report.violations.is_empty() {
                    locked(&reports).push((place, report));
                } else if !self.over.swap(true, Ordering::Relaxed) {
                    let (job, violations) = (job.clone(), report.violations);
                    *locked(&self.found) = Some(Broken::new(scenario, job, violations));
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
