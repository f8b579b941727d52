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
pub(super) type Weights = BTreeMap<String, u32>;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Scrapes, two a second: page and metrics.
    pub(super) scrapes: u64,
    /// Scrapes that were not answered with 200.
    pub(super) missed: u64,
    /// Green's share as the metrics told it, and when; nothing while no rollout is in flight.
    pub(super) reported: Vec<(Timestamp, Option<f64>)>,
    /// The balancer's weights, each time they changed.
    pub(super) weights: Vec<(Timestamp, Weights)>,
}

/// The running reader.
pub(super) struct Watch {
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
    pub(super) fn seen(&self) -> Seen {
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
