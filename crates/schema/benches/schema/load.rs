//! The load of an application: reads and writes of single rows at a steady rate, each timed from when it was due.
//!
//! Used by the benchmark only. A request that had to wait for its turn counts with the waiting, or a stall would hide the
//! requests that it kept from being sent.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::task::JoinHandle;

const WORKERS: u64 = 6;
/// Requests of one worker come this often.
const EVERY: Duration = Duration::from_millis(12);

/// A running load.
pub(crate) struct Load {
    latencies: Arc<Mutex<Vec<Duration>>>,
    workers: Vec<JoinHandle<()>>,
}

/// What was measured of the requests of a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) requests: usize,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
}

impl Load {
    pub(crate) fn start(options: &PgConnectOptions, rows: i64) -> Self {
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let worker = |seed| {
            let (options, latencies) = (options.clone(), Arc::clone(&latencies));
            tokio::spawn(work(options, rows, seed, latencies))
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { latencies, workers }
    }

    /// Forgets what was measured until now.
    pub(crate) fn reset(&self) {
        self.latencies.lock().expect("no worker panicked").clear();
    }

    pub(crate) fn measured(&self) -> Measured {
        let mut all = self.latencies.lock().expect("no worker panicked").clone();
        all.sort_unstable();
        let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        Measured { requests: all.len(), p99: at(99), longest: all.last().copied().unwrap_or_default() }
    }

    pub(crate) async fn stop(self) {
        for worker in self.workers {
            worker.abort();
            drop(worker.await);
        }
    }
}

async fn work(options: PgConnectOptions, rows: i64, seed: u64, latencies: Arc<Mutex<Vec<Duration>>>) {
    let mut connection = PgConnection::connect_with(&options).await.expect("a session");
    let mut random = StdRng::seed_from_u64(seed);
    let mut due = Instant::now();
    loop {
        due += EVERY;
        tokio::time::sleep_until(due.into()).await;
        let id = random.random_range(1..=rows);
        // Named columns, as version 1 has them; one request in four writes.
        let done = if random.random_range(0..4) == 0 {
            let address = format!("{id} Elm St, Salem, OR, 97301");
            let write = sqlx::query("UPDATE customers SET name = 'z', address = $2 WHERE id = $1");
            write.bind(id).bind(address).execute(&mut connection).await.map(drop)
        } else {
            let read = sqlx::query("SELECT id, name, email, address FROM customers WHERE id = $1");
            read.bind(id).fetch_optional(&mut connection).await.map(drop)
        };
        done.expect("the application's statements never fail");
        latencies.lock().expect("no worker panicked").push(due.elapsed());
    }
}
