//! From a secret to a connection that can be trusted.
//!
//! Called by the daemon for each database of an accepted spec. Where the secret may be sent and how TLS is verified is
//! [`tidegate_postgres`]'s. Every transaction gets its time limits with `SET LOCAL`, because a plain `SET` can land on another
//! server session behind a pooler.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction, postgres::PgPoolOptions};
pub(crate) use tidegate_postgres::{APPLICATION, is_local};
pub use tidegate_postgres::{Endpoint, Secret};

use crate::{certificate::Prepared, evidence::Readings, failure::Failure, pressure::Checkpoints};

/// Stands in front of statements of ours that run for long or change rows, so that they are known in statistics and
/// logs whatever role ran them.
pub const MARK: &str = "/* tidegate */ ";

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for a lock of DDL or of a batch. While it lasts every other session queues behind it.
    pub lock: Duration,
    /// Longest run of one statement of expand and contract.
    pub statement: Duration,
    /// Longest run of one backfill batch.
    pub batch: Duration,
    /// How long a batch should take: its size is steered towards that. Its rows are locked meanwhile.
    pub batch_target: Duration,
    /// Longest build of one index beside everybody's work.
    pub build: Duration,
    /// Longest run of one check.
    pub check: Duration,
    /// Longest run of a read of catalog, journal or statistics.
    pub read: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock: Duration::from_millis(200),
            statement: Duration::from_secs(5),
            batch: Duration::from_secs(30),
            batch_target: Duration::from_millis(100),
            build: Duration::from_secs(6 * 3_600),
            check: Duration::from_secs(120),
            read: Duration::from_secs(10),
        }
    }
}

/// A database that can be asked and changed. Cheap to clone; connections open on demand and close when idle.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    pub(crate) limits: Limits,
    /// What statements were found to say, so that each is parsed once.
    pub(crate) readings: Arc<Mutex<Readings>>,
    /// What became of statements that were prepared, so that each is prepared once.
    pub(crate) prepared: Arc<Mutex<Prepared>>,
    /// Checkpoints that were asked for, as they were last counted.
    pub(crate) checkpoints: Arc<Mutex<Checkpoints>>,
}

impl Database {
    /// Prepares connections; nothing is sent yet. Must be called inside a tokio runtime.
    ///
    /// `bundle` is a PEM file of certificate authorities for servers that are not on this machine.
    ///
    /// # Errors
    ///
    /// [`Failure::Secret`] if the secret does not name all that is needed.
    pub fn open(
        secret: &Secret,
        endpoint: Option<&Endpoint>,
        bundle: Option<&Path>,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let (endpoint, login) = secret.resolve(endpoint).map_err(|_| Failure::Secret)?;
        let options = tidegate_postgres::options(&endpoint, &login, bundle);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options);
        let (readings, prepared, checkpoints) = Default::default();
        Ok(Self { pool, limits, readings, prepared, checkpoints })
    }

    /// Our role and the database's name, as the server's log writes them.
    pub fn identity(&self) -> (String, String) {
        let options = self.pool.connect_options();
        (options.get_username().to_owned(), options.get_database().unwrap_or_default().to_owned())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that changes something, with its limits in force.
    ///
    /// The idle limit bounds how long a frozen process of ours can hold locks.
    pub(crate) async fn begin(&self, statement: Duration) -> Result<Transaction<'static, Postgres>, Failure> {
        let mut transaction = self.pool.begin().await?;
        limit(&mut transaction, self.limits.lock, statement).await?;
        Ok(transaction)
    }

    /// Begins a transaction that reads one state of the database and cannot change it.
    pub(crate) async fn read(&self, statement: Duration) -> Result<Transaction<'static, Postgres>, Failure> {
        let mut transaction = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        limit(&mut transaction, self.limits.lock, statement).await?;
        Ok(transaction)
    }

    /// A session beside the pool, for what outlives a step. Whoever has it closes it.
    pub(crate) async fn session(&self) -> Result<PgConnection, Failure> {
        Ok(PgConnection::connect_with(&self.pool.connect_options()).await?)
    }

    /// A connection of its own, for watching another one.
    pub(crate) async fn watcher(&self) -> Result<sqlx::pool::PoolConnection<Postgres>, Failure> {
        let mut connection = self.pool.acquire().await?;
        connection.ping().await?;
        Ok(connection)
    }
}

async fn limit(
    transaction: &mut Transaction<'static, Postgres>,
    lock: Duration,
    statement: Duration,
) -> Result<(), Failure> {
    let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
    sqlx::query(
        "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true), \
         set_config('idle_in_transaction_session_timeout', '10000', true), \
         set_config('search_path', 'public', true)",
    )
    .bind(milliseconds(lock))
    .bind(milliseconds(statement))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
