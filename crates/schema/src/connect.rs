//! From a secret to a connection that can be trusted.
//!
//! Called by the daemon for each database of an accepted spec. The secret stays in here: its types have no `Debug`,
//! `Display` or `Serialize`. TLS is verified in full unless the server is on this machine. Every transaction gets its
//! time limits with `SET LOCAL`, because a plain `SET` can land on another server session behind a pooler.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Deserialize;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use crate::{certificate::Prepared, evidence::Readings, failure::Failure, pressure::Checkpoints};

/// The name that our sessions show in `pg_stat_activity`.
pub const APPLICATION: &str = "tidegate";
/// Stands in front of statements of ours that run for long or change rows, so that they are known in statistics and
/// logs whatever role ran them.
pub const MARK: &str = "/* tidegate */ ";

/// Text of a secret. It can be parsed and nothing else.
pub struct Secret(String);

impl Secret {
    /// Takes the text as Secrets Manager returned it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The host that the secret itself names: a secret without one must be bound to its instance in another way.
    pub fn host(&self) -> Option<String> {
        self.parse().ok().and_then(|parsed| parsed.host)
    }

    fn parse(&self) -> Result<Parsed, Failure> {
        serde_json::from_str(&self.0).map_err(|_| Failure::Secret)
    }
}

/// The members that Amazon RDS writes into a database secret; others are ignored.
#[derive(Deserialize)]
struct Parsed {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<Port>,
    dbname: Option<String>,
}

/// RDS writes a number; people write text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Port {
    fn number(&self) -> Result<u16, Failure> {
        match self {
            Self::Number(port) => Ok(*port),
            Self::Text(text) => text.parse().map_err(|_| Failure::Secret),
        }
    }
}

/// Where the server is if the secret does not say it: the described instance's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, address, or the folder of a socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
}

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
        let options = options(&secret.parse()?, endpoint, bundle)?;
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

fn options(
    secret: &Parsed,
    endpoint: Option<&Endpoint>,
    bundle: Option<&Path>,
) -> Result<PgConnectOptions, Failure> {
    let host = secret.host.as_deref().or(endpoint.map(|at| at.host.as_str())).ok_or(Failure::Secret)?;
    let port = match (&secret.port, endpoint) {
        (Some(port), _) => port.number()?,
        (None, Some(endpoint)) => endpoint.port,
        (None, None) => 5432,
    };
    let database = secret
        .dbname
        .as_deref()
        .or(endpoint.map(|at| at.database.as_str()))
        // The server would take an empty name as the role's own.
        .filter(|name| !name.is_empty())
        .ok_or(Failure::Secret)?;
    // Without the password file: only what the secret says may be sent to the server.
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .database(database)
        .username(&secret.username)
        .password(&secret.password)
        .application_name(APPLICATION)
        // Statements prepared before a change of their table fail after it.
        .statement_cache_capacity(0);
    if host.starts_with('/') {
        options = options.socket(host);
    }
    options = if is_local(host) {
        options.ssl_mode(PgSslMode::Prefer)
    } else {
        let verified = options.ssl_mode(PgSslMode::VerifyFull);
        match bundle {
            Some(bundle) => verified.ssl_root_cert(PathBuf::from(bundle)),
            None => verified,
        }
    };
    Ok(options.disable_statement_logging())
}

/// True for sockets and loopback, where there is no wire to protect.
pub(crate) fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(secret: &str, endpoint: Option<&Endpoint>) -> Result<PgConnectOptions, Failure> {
        options(&Secret::new(secret.into()).parse()?, endpoint, None)
    }

    #[test]
    fn a_secret_of_rds_is_enough() {
        let secret =
            r#"{"username":"u","password":"p","engine":"postgres","host":"h","port":6432,"dbname":"d"}"#;
        let options = opened(secret, None).unwrap();
        assert_eq!((options.get_host(), options.get_port(), options.get_database()), ("h", 6432, Some("d")));
        assert_eq!(options.get_application_name(), Some("tidegate"));
    }

    #[test]
    fn a_managed_secret_takes_the_instance_s_endpoint() {
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: 5433, database: "shop".into() };
        let options = opened(r#"{"username":"u","password":"p"}"#, Some(&endpoint)).unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("127.0.0.1", 5433));
        assert_eq!(opened(r#"{"username":"u","password":"p"}"#, None).unwrap_err(), Failure::Secret);
        let unnamed = Endpoint { database: String::new(), ..endpoint };
        assert_eq!(
            opened(r#"{"username":"u","password":"p"}"#, Some(&unnamed)).unwrap_err(),
            Failure::Secret
        );
    }

    #[test]
    fn tls_is_verified_in_full_except_on_this_machine() {
        let mode = |host: &str| {
            let secret = format!(r#"{{"username":"u","password":"p","host":"{host}","dbname":"d"}}"#);
            opened(&secret, None).unwrap().get_ssl_mode()
        };
        for host in ["db.example.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(matches!(mode(host), PgSslMode::VerifyFull), "{host}");
        }
        for host in ["127.0.0.1", "localhost", "::1", "/run/postgresql"] {
            assert!(matches!(mode(host), PgSslMode::Prefer), "{host}");
        }
    }

    #[test]
    fn a_malformed_secret_is_named_and_not_quoted() {
        for secret in ["hunter2", "{}", r#"{"username":"hunter2"}"#, r#"{"username":1,"password":"hunter2"}"#]
        {
            let failure = opened(secret, None).unwrap_err();
            assert!(!format!("{failure} {failure:?}").contains("hunter2"));
        }
    }
}
