//! A leak: database connections that are opened beside the pool and never given back.
//!
//! Called by the HTTP API with each customer request. Must not: delay the request, or hold more than it was told to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

/// What is leaked, and how fast; shared by all connections of a process.
#[derive(Clone)]
pub(crate) struct Leak(Option<Arc<State>>);

struct State {
    options: PgConnectOptions,
    every: u64,
    most: u64,
    served: AtomicU64,
    kept: Mutex<Vec<PgConnection>>,
}

impl Leak {
    /// A version that gives back what it takes.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Opens and keeps a connection with every so-manieth request, at most so many of them.
    pub(crate) fn new(options: PgConnectOptions, every: u64, most: u64) -> Self {
        let (every, kept) = (every.max(1), Mutex::default());
        Self(Some(Arc::new(State { options, every, most, served: AtomicU64::new(0), kept })))
    }

    /// Counts a request; a connection that is due is opened beside it.
    pub(crate) fn counts_a_request(&self) {
        let Some(state) = &self.0 else { return };
        let served = state.served.fetch_add(1, Ordering::Relaxed) + 1;
        // Connections that are still being opened count as well.
        if served.is_multiple_of(state.every) && served / state.every <= state.most {
            let state = state.clone();
            tokio::spawn(async move {
                // A server that takes no more connections has been leaked to its limit.
                if let Ok(connection) = state.options.connect().await {
                    state.kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                }
            });
        }
    }
}
