//! One transaction after another, each with its limits, on connections that are closed when in doubt.
//!
//! Statements are never named: behind a pooler in transaction mode the next transaction may run in another session of the
//! server, which would not know the name.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{
    ConnectOptions as _, FromRow, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::{Query, QueryScalar},
};
use tidegate_postgres::Fault;
use tokio::time::{Instant, timeout};

use crate::OpenError;

/// The longest wait for a connection, the making of one included.
const ACQUIRE: Duration = Duration::from_secs(4);

/// A secret is not read more often than this for a role that is refused.
const REFRESH: Duration = Duration::from_secs(30);

/// Tells how to connect: asked at the start, and whenever the server refuses the role.
pub type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<PgConnectOptions, Refused>> + Send + Sync>;

/// Nobody can tell how to connect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// Why, without anything secret.
    pub String,
);

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A lease, or an append.
    Write,
    /// One release's chain.
    Read,
    /// Every chain.
    ReadAll,
}

impl Kind {
    /// The longest that all of it may take: the connection, every statement and the commit. It also holds where a network
    /// swallows what is sent, which no limit in the server notices.
    fn limit(self) -> Duration {
        match self {
            Self::Write | Self::Read => Duration::from_secs(8),
            Self::ReadAll => Duration::from_secs(120),
        }
    }

    /// How it begins, in one message. `SET LOCAL` ends with the transaction. A process that is frozen in the middle of it
    /// holds a lease's row for the idle limit at most. A commit is on disk whatever the database's default is.
    fn begin(self) -> &'static str {
        match self {
            Self::Write => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '4s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '5s'; \
                 SELECT set_config('synchronous_commit', 'on', true) \
                 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
            }
            Self::Read => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '7s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '7s'"
            }
            Self::ReadAll => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '115s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '115s'"
            }
        }
    }
}

/// A statement that leaves nothing behind in the server.
pub(super) fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// The same for one value.
pub(super) fn scalar<T>(sql: &'static str) -> QueryScalar<'static, Postgres, T, PgArguments>
where
    T: Send + Unpin,
    (T,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

/// The server, and how it is reached.
pub(super) struct Server {
    pool: PgPool,
    connect: Connect,
    /// When it was last asked again how to connect.
    refreshed: Mutex<Option<Instant>>,
    /// Shown to people: server and database.
    pub(super) name: String,
}

impl Server {
    /// Prepares connections; nothing is sent to the server yet.
    pub(super) async fn new(connect: Connect) -> Result<Self, OpenError> {
        let options = connect().await.map_err(OpenError::Access)?;
        let name = format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(ours(options));
        Ok(Self { pool, connect, refreshed: Mutex::default(), name })
    }

    /// Begins a transaction.
    pub(super) async fn session(&self, kind: Kind) -> Result<Session, Fault> {
        let connection = match self.pool.acquire().await.map_err(Fault::from) {
            Err(Fault::Login) if self.refresh().await => self.pool.acquire().await?,
            other => other?,
        };
        // From here on the connection is closed unless the transaction ends in order.
        let mut session = Session { connection, in_order: false };
        sqlx::raw_sql(kind.begin()).execute(&mut *session).await?;
        Ok(session)
    }

    /// Asks again how to connect, but not all the time; true if it was told.
    async fn refresh(&self) -> bool {
        {
            let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
            if refreshed.is_some_and(|last| last.elapsed() < REFRESH) {
                return false;
            }
            *refreshed = Some(Instant::now());
        }
        match (self.connect)().await {
            Ok(options) => {
                self.pool.set_connect_options(ours(options));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the ledger's server refuses the role, and nobody tells how else to connect");
                false
            }
        }
    }

    /// Ends work that takes longer than it may.
    pub(super) fn limited<'a, T: 'a, E: 'a>(
        &self,
        kind: Kind,
        work: impl Future<Output = Result<T, E>> + Send + 'a,
        late: impl FnOnce() -> E + Send + 'a,
    ) -> BoxFuture<'a, Result<T, E>> {
        timeout(kind.limit(), work).map(|ended| ended.unwrap_or_else(|_| Err(late()))).boxed()
    }
}

/// What the ledger needs of every connection, whoever made the options.
fn ours(options: PgConnectOptions) -> PgConnectOptions {
    // Poolers refuse this parameter unless they are told to let it pass, and no number here is a float.
    options.extra_float_digits(None).statement_cache_capacity(0).disable_statement_logging()
}

/// A transaction under way.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    in_order: bool,
}

impl Session {
    /// Ends it. After an error it is not known whether it holds.
    pub(super) async fn commit(mut self) -> Result<(), Fault> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.in_order = true;
        Ok(())
    }

    /// Ends it without effect; if that fails, the end of the connection does it.
    pub(super) async fn rollback(mut self) {
        self.in_order = sqlx::raw_sql("ROLLBACK").execute(&mut *self).await.is_ok();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.in_order {
            // What is on its way to or from the server is not known: nobody else may get this connection.
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
