//! The shop's connection pool, and waiting a few seconds for a database that is not there yet.
//!
//! Called by: the binary. Must not: repeat a server's message or the connection parameters in an error.

use std::time::Duration;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;

/// Sessions per task: two tasks of each colour stay far below a small instance's limit.
const CONNECTIONS_MAX: u32 = 5;

/// Longest wait for a free session, below the 2 s after which a customer has given up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1800);

/// How long the start waits for the database, and how often it tries.
const START_TIMEOUT: Duration = Duration::from_secs(5);
const START_PAUSE: Duration = Duration::from_millis(250);

/// The database could not be used when the shop started.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// No connection came about.
    #[error("database cannot be reached after {START_TIMEOUT:?}")]
    NoConnection,
    /// The server answered and refused; the code is PostgreSQL's SQLSTATE.
    #[error("database refuses the connection with SQLSTATE {0}")]
    Refused(String),
}

/// A pool with one session proven to work.
pub(crate) async fn connect(options: PgConnectOptions) -> Result<PgPool, Unreachable> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.clone());
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // Not through the pool: it hides the reason behind its own timeout.
        let attempt = tokio::time::timeout_at(deadline, try_once(&options)).await;
        let reason = match attempt {
            Ok(Ok(())) => return Ok(pool),
            Ok(Err(error)) => reason(&error),
            Err(_) => Unreachable::NoConnection,
        };
        if Instant::now() + START_PAUSE >= deadline {
            return Err(reason);
        }
        tokio::time::sleep(START_PAUSE).await;
    }
}

async fn try_once(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    use sqlx::{ConnectOptions, Connection};
    options.connect().await?.close().await
}

fn reason(error: &sqlx::Error) -> Unreachable {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map_or(Unreachable::NoConnection, |code| Unreachable::Refused(code.into_owned()))
}
