//! Releases by the thousand: how many good ones are rolled back, and what bad ones cost.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    detectors::{Judge, LN_LIMIT, names},
    floor::floor,
    simulate::{self, GOOD, KINDS, Noise, Regression, Service, World},
};

/// A verdict takes effect this many minutes after the minute that it rests on: publication and a pass.
pub(crate) const DELAY: usize = 1;

/// One family of good releases.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) noise: Noise,
    /// What the service's history was like.
    pub(crate) history: Noise,
}

/// False rollbacks of every detector in one service.
pub(crate) struct Good {
    pub(crate) service: Service,
    /// Of each detector: rolled back, of so many that it judged.
    pub(crate) rolled_back: Vec<(usize, usize)>,
}

/// What one regression costs in one service.
pub(crate) struct Bad {
    pub(crate) kind: &'static str,
    pub(crate) service: Service,
    pub(crate) floor: Cost,
    /// Of every detector.
    pub(crate) costs: Vec<Cost>,
}

/// Bad requests until the verdict takes effect, and releases in which it does not come.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    bad: f64,
    missed: u32,
    releases: u32,
}

impl Cost {
    /// Takes in a release.
    pub(crate) fn add(&mut self, bad: f64, missed: bool) {
        self.bad += bad;
        self.missed += u32::from(missed);
        self.releases += 1;
    }

    /// Mean bad requests of a release.
    pub(crate) fn bad(&self) -> f64 {
        self.bad / f64::from(self.releases.max(1))
    }

    /// Share of releases in which the verdict does not come.
    pub(crate) fn missed(&self) -> f64 {
        f64::from(self.missed) / f64::from(self.releases.max(1))
    }
}

/// Good releases of one family in every service; the special cases judge one of so many.
pub(crate) fn good(family: &Family, services: &[Service], releases: usize, every: usize) -> Vec<Good> {
    each(family.name, &services.iter().enumerate().collect::<Vec<_>>(), |(i, service)| {
        let judge = Judge::new(100 + *i as u64, **service, family.history);
        let mut world = World::new(7_000 + *i as u64, **service, family.noise);
        let mut rolled_back = vec![(0, 0); names().len()];
        for release in 0..releases {
            let happened = world.release(&GOOD, &simulate::linear());
            let decided = judge.all(release, &happened.pairs, release % every == 0);
            for ((hits, of), at) in rolled_back.iter_mut().zip(decided) {
                *of += usize::from(at.is_some());
                *hits += usize::from(at.flatten().is_some());
            }
        }
        Good { service: **service, rolled_back }
    })
}

/// Every regression in every service, under one law of noise.
pub(crate) fn bad(noise: &Noise, services: &[Service], releases: usize, every: usize) -> Vec<Bad> {
    let judges = each("histories", &services.iter().enumerate().collect::<Vec<_>>(), |(i, service)| {
        Judge::new(900 + *i as u64, **service, *noise)
    });
    let cells: Vec<(usize, &Regression, usize)> = KINDS
        .iter()
        .enumerate()
        .flat_map(|(k, kind)| (0..services.len()).map(move |s| (k, kind, s)))
        .collect();
    each(noise.name, &cells, |(k, kind, s)| {
        let seed = 50_000 + (*s * KINDS.len() + *k) as u64;
        let mut world = World::new(seed, services[*s], *noise);
        let mut costs = vec![Cost::default(); names().len()];
        let mut best = Cost::default();
        for release in 0..releases {
            let happened = world.release(kind, &simulate::linear());
            let served = |at: Option<usize>| {
                let last = happened.owed.len() - 1;
                let until = at.map_or(last, |at| (at + DELAY).min(last));
                happened.owed[..=until].iter().sum::<f64>()
            };
            let decided = judges[*s].all(release, &happened.pairs, release % every == 0);
            for (cost, at) in costs.iter_mut().zip(decided) {
                if let Some(at) = at {
                    cost.add(served(at), at.is_none());
                }
            }
            let at = floor(&happened, kind, services[*s], noise, LN_LIMIT);
            best.add(served(at), at.is_none());
        }
        Bad { kind: kind.name, service: services[*s], floor: best, costs }
    })
}

/// Works on all jobs with every core, and tells how far it is.
pub(crate) fn each<T: Sync, R: Send>(what: &str, jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((i, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
                {
                    *done[i].lock().unwrap() = Some(work(job));
                    progress(what, ended.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
                }
            });
        }
    });
    done.into_iter().map(|slot| slot.into_inner().unwrap().unwrap()).collect()
}

fn progress(what: &str, done: usize, of: usize) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r{what}: {done} of {of}   ");
        let _ = if done == of { writeln!(out) } else { out.flush() };
    } else if done == of || done * 4 / of > (done - 1) * 4 / of {
        let _ = writeln!(out, "{what}: {done} of {of}");
    }
}
