//! The customers: steady traffic of reads and writes against whatever serves the shop, with a memory.
//!
//! Called by: the demo and the end-to-end tests. Must not: retry a request (a failed one is what it is here to
//! find), or know how a release goes.
//!
//! Each shopper owns the customers that it created and nobody else writes them, so what a read must return is
//! known. Half of the shoppers keep their connection, the other half opens one for each request. They write in two forms
//! that every version of the shop accepts and understands alike: text only (versions 2 to 4 split it), or text
//! and structured fields that say the same (each version takes those it knows). Never structured fields alone:
//! version 1 would acknowledge them and keep nothing. So every acknowledged address can be checked in both
//! forms, whichever version took it.

mod content;
mod memory;
mod readback;
mod shopper;
mod tally;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use sqlx::PgConnection;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{memory::Memory, shopper::Shopper, tally::Tally};
pub use self::{
    memory::{Acknowledged, Writes},
    readback::{Forms, ReadBack, Wrong, WrongRow},
    tally::{Cause, Failure, Report, Second},
    wire::ANSWER_LIMIT,
};

/// Shoppers at work. Each may wait for one answer at a time: at 120 requests a second and 40 shoppers the rate
/// is kept as long as answers take less than a third of a second, and made up for after a longer stall.
const SHOPPERS: u32 = 40;

/// Requests a second when nothing else is asked.
const RATE: u32 = 120;

/// Who shops where, and how much.
#[derive(Clone, Debug)]
pub struct Customers {
    target: SocketAddr,
    rate: u32,
    awkward_percent: u32,
    checkout_percent: u32,
    seed: u64,
}

impl Customers {
    /// Customers of the shop that listens on `target` (a load balancer's listener), 120 requests a second.
    pub fn new(target: SocketAddr) -> Self {
        Self { target, rate: RATE, awkward_percent: 0, checkout_percent: 0, seed: 1 }
    }

    /// Requests a second, at least 1.
    #[must_use]
    pub fn rate(self, rate: u32) -> Self {
        Self { rate: rate.max(1), ..self }
    }

    /// Share of writes, in percent, whose address is NULL or text that has no structured form. Versions 1 and 2
    /// must take them all; versions 3 and 4 refuse the text with 422, which is counted apart and is no failure.
    #[must_use]
    pub fn awkward_percent(self, percent: u32) -> Self {
        Self { awkward_percent: percent.min(100), ..self }
    }

    /// Share of requests, in percent, that are checkouts; none when nothing is asked.
    #[must_use]
    pub fn checkout_percent(self, percent: u32) -> Self {
        Self { checkout_percent: percent.min(100), ..self }
    }

    /// Another sequence of actions.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sends them shopping. Must be called within a tokio runtime.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            tally: Tally::new(),
            memory: Memory::default(),
            awkward_percent: AtomicU32::new(self.awkward_percent),
            checkout_percent: self.checkout_percent,
            stop: CancellationToken::new(),
        });
        let shoppers = TaskTracker::new();
        let turn = Duration::from_secs(1) / self.rate;
        for number in 0..SHOPPERS {
            let seed = self.seed.wrapping_mul(u64::from(SHOPPERS)).wrapping_add(u64::from(number));
            let keeps_connection = number % 2 == 0;
            let shopper = Shopper::new(Arc::clone(&shared), self.target, keeps_connection, seed);
            shoppers.spawn(shopper.shop(turn * number, turn * SHOPPERS));
        }
        shoppers.close();
        Running { shared, shoppers }
    }
}

/// What all shoppers share.
#[derive(Debug)]
struct Shared {
    tally: Tally,
    memory: Memory,
    awkward_percent: AtomicU32,
    checkout_percent: u32,
    stop: CancellationToken,
}

/// Customers at work. Dropping it sends them home after their current request.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    shoppers: TaskTracker,
}

impl Running {
    /// The counts so far.
    pub fn report(&self) -> Report {
        self.shared.tally.report()
    }

    /// What was acknowledged so far.
    pub fn writes(&self) -> Writes {
        self.shared.memory.writes()
    }

    /// Looks for everything that was acknowledged up to now, while shoppers go on: what they write meanwhile is as right as
    /// what they wrote before.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn read_back(&self, db: &mut PgConnection, forms: Forms) -> Result<ReadBack, sqlx::Error> {
        let now = SystemTime::now();
        let ids = self.writes().due(now);
        let rows = readback::rows(db, forms, &ids).await?;
        // What the rows may show was sent before they were read, and is remembered by now.
        Ok(self.writes().compare(&ids, &rows, now))
    }

    /// Changes the share of awkward writes from now on.
    pub fn set_awkward_percent(&self, percent: u32) {
        self.shared.awkward_percent.store(percent.min(100), Ordering::Relaxed);
    }

    /// Lets every shopper finish its request and go home, then gives the final counts and acknowledged writes.
    pub async fn stop(self) -> (Report, Writes) {
        self.shared.stop.cancel();
        self.shoppers.wait().await;
        (self.report(), self.writes())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
