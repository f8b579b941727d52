//! The reader that never looks away: scrapes page and metrics each second, and samples what the balancer does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::local::{Daemon, Local};

const SCRAPE: Duration = Duration::from_secs(1);
const SAMPLE: Duration = Duration::from_millis(25);
/// The series that tells green's share of production traffic.
const WEIGHT: &str = "tidegate_release_traffic_weight_ratio{color=\"green\",kind=\"actual\"";

/// Production weights by target group.
pub(crate) type Weights = BTreeMap<String, u32>;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Scrapes, two a second: page and metrics.
    pub(super) scrapes: u64,
    /// Scrapes that were not answered with 200.
    pub(super) missed: u64,
    /// Green's share as the metrics told it, and when; nothing while no rollout is in flight.
    pub(super) reported: Vec<(Timestamp, Option<f64>)>,
    /// The balancer's weights, each time they changed.
    pub(crate) weights: Vec<(Timestamp, Weights)>,
}

impl Seen {
    /// When another group than the one that had everything first got weight, from that time on, and which it was.
    pub(crate) fn first_weight_since(&self, from: Timestamp) -> Option<(Timestamp, String)> {
        let before = self.weights.iter().rev().find(|(since, _)| *since <= from)?;
        let (blue, _) = before.1.iter().max_by_key(|(_, weight)| **weight)?;
        self.weights.iter().filter(|(at, _)| *at > from).find_map(|(at, weights)| {
            let green = weights.iter().find(|(group, weight)| *group != blue && **weight > 0)?;
            Some((*at, green.0.clone()))
        })
    }
}

/// The running reader.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<Option<()>>>,
}

impl Watch {
    /// Reads the daemon, and the listener on the production port.
    pub(super) fn start(local: &Arc<Local>, daemon: &Arc<Daemon>, production: u16) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = CancellationToken::new();
        let scraping = scrape(Arc::clone(local), Arc::clone(daemon), Arc::clone(&seen));
        let sampling = sample(Arc::clone(local), production, Arc::clone(&seen));
        let tasks = vec![
            tokio::spawn(stop.clone().run_until_cancelled_owned(scraping)),
            tokio::spawn(stop.clone().run_until_cancelled_owned(sampling)),
        ];
        Self { seen, stop, tasks }
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            drop(task.await);
        }
    }
}

async fn scrape(local: Arc<Local>, daemon: Arc<Daemon>, seen: Arc<Mutex<Seen>>) {
    let mut ticks = tokio::time::interval(SCRAPE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let page = daemon.get("/").await;
        let metrics = daemon.get("/metrics").await;
        let now = local.sandbox.now();
        let mut seen = lock(&seen);
        seen.scrapes += 2;
        seen.missed += u64::from(page.is_err()) + u64::from(metrics.is_err());
        if let Ok(text) = metrics {
            seen.reported.push((now, green_share(&text)));
        }
    }
}

async fn sample(local: Arc<Local>, port: u16, seen: Arc<Mutex<Seen>>) {
    let mut ticks = tokio::time::interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (now, weights) = production(&local, port);
        let mut seen = lock(&seen);
        if seen.weights.last().is_none_or(|(_, last)| *last != weights) {
            seen.weights.push((now, weights));
        }
    }
}

/// Production's weights now.
fn production(local: &Local, port: u16) -> (Timestamp, Weights) {
    let now = local.sandbox.now();
    let listeners = local.sandbox.world().live_listeners();
    let production = listeners.into_iter().find(|listener| listener.port == port);
    (now, production.map(|listener| listener.forward.into_iter().collect()).unwrap_or_default())
}

fn green_share(metrics: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(WEIGHT))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn weights(one: u32, two: u32) -> Weights {
        Weights::from([("one".to_owned(), one), ("two".to_owned(), two)])
    }

    #[test]
    fn the_first_weight_is_that_of_the_group_that_had_nothing() {
        let changes =
            [(0, weights(100, 0)), (5, weights(90, 10)), (9, weights(0, 100)), (20, weights(10, 90))];
        let weights = changes.map(|(second, weights)| (at(second), weights)).to_vec();
        let seen = Seen { weights, ..Seen::default() };
        assert_eq!(seen.first_weight_since(at(1)), Some((at(5), "two".to_owned())));
        assert_eq!(seen.first_weight_since(at(10)), Some((at(20), "one".to_owned())));
        assert_eq!(seen.first_weight_since(at(21)), None);
    }
}
