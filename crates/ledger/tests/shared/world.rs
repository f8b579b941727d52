//! A server with a role for the ledger, and people with superpowers.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tidegate_ledger::{
    Lead, Ledger, OpenError,
    store::postgres::{Connect, Postgres},
};
use tidegate_model::{ReleaseName, ledger::Entry};
use tidegate_postgres::{Endpoint, Login};
use tidegate_sandbox::live::cluster::Cluster;

/// Also a canary: it must never show up anywhere.
pub(crate) const PASSWORD: &str = "hunter2-canary";

pub(crate) struct World {
    cluster: Cluster,
    password: Arc<Mutex<String>>,
}

impl World {
    /// A database `ledger` that the role `tidegate` may make schemas in.
    pub(crate) async fn new() -> Self {
        let cluster = tokio::task::spawn_blocking(|| Cluster::start().unwrap()).await.unwrap();
        let world = Self { cluster, password: Arc::new(Mutex::new(PASSWORD.to_owned())) };
        let role = format!("CREATE ROLE tidegate LOGIN PASSWORD '{PASSWORD}'");
        for sql in [&role, "CREATE DATABASE ledger"] {
            world.run_in("postgres", sql).await;
        }
        world.run("GRANT CREATE ON DATABASE ledger TO tidegate").await;
        world
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// The password that daemons are told from now on.
    pub(crate) fn tell(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap());
    }

    pub(crate) fn connect(&self) -> Connect {
        self.connect_by(self.port())
    }

    pub(crate) fn connect_by(&self, port: u16) -> Connect {
        let password = Arc::clone(&self.password);
        Box::new(move || {
            let endpoint = Endpoint { host: "127.0.0.1".into(), port, database: "ledger".into() };
            let login = Login::new("tidegate".into(), Some(password.lock().unwrap().clone()));
            std::future::ready(Ok(tidegate_postgres::options(&endpoint, &login, None))).boxed()
        })
    }

    pub(crate) async fn store(&self) -> Postgres {
        Postgres::open(self.connect()).await.unwrap()
    }

    /// A daemon's ledger.
    pub(crate) async fn daemon(&self) -> Ledger {
        self.opened().await.unwrap()
    }

    pub(crate) async fn opened(&self) -> Result<Ledger, OpenError> {
        Ledger::shared(self.connect()).await
    }

    /// A session of the superuser.
    pub(crate) async fn admin(&self, database: &str) -> PgConnection {
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: self.port(), database: database.into() };
        let login = Login::new(self.cluster.superuser().into(), Some(self.cluster.password().into()));
        PgConnection::connect_with(&tidegate_postgres::options(&endpoint, &login, None)).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.run_in("ledger", sql).await;
    }

    async fn run_in(&self, database: &str, sql: &str) {
        let mut admin = self.admin(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut admin).await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.admin("ledger").await).await.unwrap()
    }
}

pub(crate) fn release(name: &str) -> ReleaseName {
    name.parse().unwrap()
}

pub(crate) fn at() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

pub(crate) fn deployment(id: &str) -> Entry {
    Entry::DeploymentKnown(id.to_owned())
}

pub(crate) async fn lead(ledger: &Ledger, name: &str) {
    assert!(matches!(ledger.lead(&release(name)).await.unwrap(), Lead::Leading(_)));
}

pub(crate) async fn length(ledger: &Ledger, name: &str) -> usize {
    ledger.history(&release(name)).await.unwrap().count()
}
