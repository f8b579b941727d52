//! Database instances as real clusters: a snapshot is a copy by pg_basebackup, a restore a second cluster from the copy.
//!
//! Called by the live loop with the instances and snapshots that the world wants; what became of them is taken from
//! [`Databases::reports`]. Must not know the world. Everything that blocks runs beside the loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use super::cluster::{Cluster, ClusterError, Setup};
use crate::world::live::{LiveDatabase, LiveSnapshot};

/// A cluster that could not be started is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How often the connections of an instance are counted, in real time: at sixty times real time twice in each minute.
const COUNT_AGAIN: Duration = Duration::from_millis(500);

/// What a fresh instance holds besides its initial database. Has no `Debug`: it holds passwords.
#[derive(Clone, Default)]
pub struct Seed {
    /// Login roles with their passwords, made first.
    pub roles: Vec<(String, String)>,
    /// SQL texts run in the initial database as the master user, in this order.
    pub sql: Vec<String>,
}

/// An instance could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its cluster could not be started.
    #[error("start the cluster of a database instance")]
    Cluster(#[from] ClusterError),
    /// A statement of its seed was refused. The message of the server is not kept: it may quote a password.
    #[error("{action} of a new database instance: refused with {code}")]
    Seed {
        /// What was being done.
        action: String,
        /// The SQLSTATE, or what else went wrong in a word.
        code: String,
    },
    /// The work beside the loop failed.
    #[error("make a database instance")]
    Join(#[from] tokio::task::JoinError),
}

/// What became of instances and snapshots.
#[derive(Debug)]
pub enum DatabaseReport {
    /// An instance answers at this address.
    Ready {
        /// The instance.
        id: String,
        /// Where it listens.
        address: SocketAddr,
        /// The folder of its server's log files.
        logs: PathBuf,
    },
    /// So many clients are connected to an instance.
    Connections {
        /// The instance.
        id: String,
        /// Their number.
        count: u32,
    },
    /// A snapshot's copy is done, or failed.
    Copied {
        /// The snapshot.
        id: String,
        /// The copy's folder, or why there is none.
        outcome: Result<PathBuf, String>,
    },
}

/// The running instances.
pub struct Databases {
    copies: PathBuf,
    seeds: BTreeMap<String, Seed>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    instances: BTreeMap<String, Instance>,
    copying: BTreeSet<String>,
    reports: Vec<DatabaseReport>,
}

enum Instance {
    Starting,
    Running { cluster: Arc<Cluster>, _counting: AbortOnDropHandle<()> },
    Failed(Instant),
}

impl Databases {
    /// No instance yet; copies go into a folder, which is made.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(copies: PathBuf, seeds: BTreeMap<String, Seed>) -> io::Result<Self> {
        std::fs::create_dir_all(&copies)?;
        Ok(Self { copies, seeds, state: Arc::default() })
    }

    /// Takes over a cluster that runs already: its instance is ready as soon as the world wants it.
    pub fn adopt(&self, id: &str, cluster: Cluster) {
        let running = running(id, cluster, &self.state);
        lock(&self.state).instances.insert(id.to_owned(), running);
    }

    /// Starts the instances and copies that are wanted, lets the others go.
    pub fn match_world(&self, wanted: &[LiveDatabase], snapshots: &[LiveSnapshot]) {
        for database in wanted.iter().filter(|database| !database.ready) {
            self.ready(database);
        }
        for snapshot in snapshots {
            self.copy(snapshot);
        }
        let mut state = lock(&self.state);
        state.copying.retain(|id| snapshots.iter().any(|snapshot| snapshot.id == *id));
        let gone: Vec<Instance> = state
            .instances
            .extract_if(.., |id, _| !wanted.iter().any(|database| database.id == *id))
            .map(|(_, instance)| instance)
            .collect();
        drop(state);
        if !gone.is_empty() {
            // Stopping a server takes a moment.
            spawn_blocking(move || drop(gone));
        }
    }

    /// What became of instances and snapshots since the last time.
    pub fn reports(&self) -> Vec<DatabaseReport> {
        std::mem::take(&mut lock(&self.state).reports)
    }

    /// Stops every instance and waits for it.
    pub async fn stop_all(&self) {
        let instances = std::mem::take(&mut lock(&self.state).instances);
        if let Err(error) = spawn_blocking(move || drop(instances)).await {
            tracing::error!(%error, "database instances could not be stopped in order");
        }
    }

    fn ready(&self, database: &LiveDatabase) {
        let mut state = lock(&self.state);
        match state.instances.get(&database.id) {
            Some(Instance::Starting) => return,
            Some(Instance::Failed(since)) if since.elapsed() < TRY_AGAIN => return,
            Some(Instance::Running { cluster, .. }) => {
                let (id, address, logs) = (database.id.clone(), cluster.address(), cluster.logs());
                let report = DatabaseReport::Ready { id, address, logs };
                state.reports.push(report);
                return;
            }
            Some(Instance::Failed(_)) | None => {}
        }
        state.instances.insert(database.id.clone(), Instance::Starting);
        drop(state);
        let seed = self.seeds.get(&database.id).cloned().unwrap_or_default();
        let (database, shared) = (database.clone(), self.state.clone());
        tokio::spawn(async move {
            let started = start(&database, &seed).await;
            let mut state = lock(&shared);
            let Some(instance) = state.instances.get_mut(&database.id) else {
                // Deleted while it was starting.
                return;
            };
            match started {
                Ok(cluster) => *instance = running(&database.id, cluster, &shared),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(instance = database.id, %error, cause, "a database instance did not start");
                    *instance = Instance::Failed(Instant::now());
                }
            }
        });
    }

    fn copy(&self, snapshot: &LiveSnapshot) {
        let mut state = lock(&self.state);
        let Some(Instance::Running { cluster, .. }) = state.instances.get(&snapshot.instance) else { return };
        let cluster = cluster.clone();
        if !state.copying.insert(snapshot.id.clone()) {
            return;
        }
        drop(state);
        let (id, copies, state) = (snapshot.id.clone(), self.copies.clone(), self.state.clone());
        spawn_blocking(move || {
            let outcome = copy_into(&cluster, &copies);
            drop(cluster);
            lock(&state).reports.push(DatabaseReport::Copied { id, outcome });
        });
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running instance, whose connections are counted as long as it runs.
fn running(id: &str, cluster: Cluster, state: &Arc<Mutex<State>>) -> Instance {
    let counting = count_connections(id.to_owned(), cluster.options("postgres"), state.clone());
    Instance::Running {
        cluster: Arc::new(cluster),
        _counting: AbortOnDropHandle::new(tokio::spawn(counting)),
    }
}

/// Counts the clients of an instance again and again, without the session that counts: the metric leaves RDS's own sessions
/// out (source: the RDS user guide, DatabaseConnections).
async fn count_connections(id: String, options: PgConnectOptions, state: Arc<Mutex<State>>) {
    const COUNT: &str = "SELECT count(*) FROM pg_stat_activity \
                         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    loop {
        if let Ok(mut session) = options.connect().await {
            while let Ok(count) = sqlx::query_scalar::<_, i64>(COUNT).fetch_one(&mut session).await {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                lock(&state).reports.push(DatabaseReport::Connections { id: id.clone(), count });
                tokio::time::sleep(COUNT_AGAIN).await;
            }
        }
        tokio::time::sleep(COUNT_AGAIN).await;
    }
}

/// A snapshot may be deleted and made again under its name, so the folder gets a name of its own.
fn copy_into(cluster: &Cluster, copies: &Path) -> Result<PathBuf, String> {
    let folder = tempfile::Builder::new()
        .prefix("snapshot-")
        .tempdir_in(copies)
        .map_err(|error| format!("make a folder for the copy: {error}"))?;
    cluster.copy(folder.path()).map_err(|error| error.to_string())?;
    Ok(folder.keep())
}

/// Starts the cluster of an instance: from its copy, or fresh with its seed.
///
/// # Errors
/// If the cluster does not start or the seed is refused.
pub async fn start(database: &LiveDatabase, seed: &Seed) -> Result<Cluster, DatabaseError> {
    let setup = Setup {
        superuser: database.username.clone(),
        password: database.password.clone(),
        ..Setup::default()
    };
    let copy = database.from_copy.clone();
    let fresh = copy.is_none();
    let cluster = spawn_blocking(move || match copy {
        Some(copy) => Cluster::from_copy(&copy, &setup),
        None => Cluster::with(&setup),
    })
    .await??;
    if fresh {
        plant(&cluster, &database.database, seed).await?;
    }
    Ok(cluster)
}

async fn plant(cluster: &Cluster, database: &str, seed: &Seed) -> Result<(), DatabaseError> {
    let mut connection = connect(cluster, "postgres").await.map_err(refused("connect to the server"))?;
    if !database.is_empty() && database != "postgres" {
        run(&mut connection, format!("CREATE DATABASE {}", name(database)), "create the database").await?;
    }
    for (role, password) in &seed.roles {
        let statement = format!("CREATE ROLE {} LOGIN PASSWORD {}", name(role), text(password));
        run(&mut connection, statement, "create a role").await?;
    }
    connection.close().await.map_err(refused("disconnect from the server"))?;
    let home = if database.is_empty() { "postgres" } else { database };
    let mut connection = connect(cluster, home).await.map_err(refused("connect to the database"))?;
    for (index, sql) in seed.sql.iter().enumerate() {
        run(&mut connection, sql.clone(), &format!("run SQL text {}", index + 1)).await?;
    }
    connection.close().await.map_err(refused("disconnect from the database"))
}

async fn run(connection: &mut PgConnection, sql: String, action: &str) -> Result<(), DatabaseError> {
    // Statements that make roles hold passwords: a refused one must not reach the server's log.
    connection.execute("SET log_min_error_statement = panic").await.map_err(refused(action))?;
    // The texts are the operator's own, from the world file.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop).map_err(refused(action))
}

async fn connect(cluster: &Cluster, database: &str) -> Result<PgConnection, sqlx::Error> {
    cluster.options(database).connect().await
}

impl Cluster {
    /// How to connect to one of its databases as the superuser.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port())
            .username(self.superuser())
            .password(self.password())
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
    }
}

fn refused(action: &str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let action = action.to_owned();
    move |error| {
        let code = match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
            Some(code) => code.into_owned(),
            None => "no answer".to_owned(),
        };
        DatabaseError::Seed { action, code }
    }
}

fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// With `standard_conforming_strings`, the default, a backslash is an ordinary character.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
