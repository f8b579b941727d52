//! The story's database in small: the shop's tables, its role, and Tidegate's own role.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tidegate_model::{
    ReleaseName,
    name::Marker,
    schema::{ChangePlan, FilePhase},
    spec::DatabaseSpec,
};
use tidegate_schema::{
    Attempt, Batch, Database, Endpoint, Epoch, Failure, Job, Limits, RawFile, Secret, source, sql,
};

use crate::cluster::{Cluster, PASSWORD};

/// The ledger of every daemon that has no other one.
pub(crate) const LEDGER: &str = "1780000000000-00000001";

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) release: ReleaseName,
    pub(crate) marker: Marker,
    pub(crate) plan: ChangePlan,
    pub(crate) leases: AtomicU64,
}

/// Limits short enough for tests that wait for them to run out.
pub(crate) fn limits() -> Limits {
    // So long that a batch never reaches it, however slow the machine is.
    let batch_target = Duration::from_secs(3_600);
    Limits { lock: Duration::from_millis(300), batch_target, ..Limits::default() }
}

impl World {
    /// A cluster with the shop's schema and some customers, and statement statistics loaded.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with more settings of the server.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let settings =
            [("shared_preload_libraries", "pg_stat_statements"), ("max_prepared_transactions", "4")];
        let cluster = Cluster::start(&[&settings, more].concat());
        let release: ReleaseName = "ecommerce".parse().unwrap();
        let marker = "tidegate:ecommerce/1-0a1b2c3d/i1".parse().unwrap();
        let world = Self { cluster, release, marker, plan: shop_plan(), leases: AtomicU64::new(0) };
        let mut admin = world.connect("postgres", "postgres").await;
        for sql in [
            "CREATE ROLE shop LOGIN PASSWORD 'hunter2-canary'",
            "CREATE ROLE tidegate LOGIN PASSWORD 'hunter2-canary'",
            "GRANT shop, pg_read_all_stats TO tidegate",
            "CREATE DATABASE shop OWNER shop",
            "GRANT CREATE ON DATABASE shop TO tidegate",
        ] {
            sqlx::query(sql).execute(&mut admin).await.unwrap();
        }
        let mut admin = world.connect("postgres", "shop").await;
        for sql in ["CREATE EXTENSION pg_stat_statements", "GRANT CREATE ON SCHEMA public TO shop, tidegate"]
        {
            sqlx::query(sql).execute(&mut admin).await.unwrap();
        }
        let mut shop = world.shop().await;
        let schema = std::fs::read_to_string(repo().join("crates/shop/schema.sql")).unwrap();
        sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut shop).await.unwrap();
        world
    }

    pub(crate) async fn connect(&self, role: &str, database: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.cluster.port())
            .username(role)
            .password(PASSWORD)
            .database(database)
            .application_name("shop-v1")
            .disable_statement_logging();
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// A session of the application.
    pub(crate) async fn shop(&self) -> PgConnection {
        self.connect("shop", "shop").await
    }

    /// A session of the superuser in the shop's database.
    pub(crate) async fn admin(&self) -> PgConnection {
        self.connect("postgres", "shop").await
    }

    /// Old rows, awkward ones among them: 7 customers, 3 of which have no structured form.
    pub(crate) async fn customers(&self) {
        let mut shop = self.shop().await;
        for address in [
            Some("123 Main St, New York, NY, 10001"),
            Some("1 Quay Rd, Portland, ME, 04101"),
            Some("77 Mill Ln,Duluth,MN,55802"),
            None,
            Some("5, The Avenue, Flat 2, London, UK, N1"),
            Some("9 Rue, Paris, FRA, 75001"),
            Some(""),
        ] {
            sqlx::query("INSERT INTO customers (name, address) VALUES ('x', $1)")
                .bind(address)
                .execute(&mut shop)
                .await
                .unwrap();
        }
    }

    /// Many mappable customers.
    pub(crate) async fn many_customers(&self, count: i32) {
        let sql = "INSERT INTO customers (name, address) \
                   SELECT 'x', n || ' Main St, New York, NY, 10001' FROM generate_series(1, $1) n";
        sqlx::query(sql).bind(count).execute(&mut self.shop().await).await.unwrap();
    }

    pub(crate) fn database(&self) -> Database {
        self.database_of("tidegate", PASSWORD)
    }

    pub(crate) fn database_of(&self, role: &str, password: &str) -> Database {
        self.open(role, password, limits())
    }

    pub(crate) fn database_with(&self, limits: Limits) -> Database {
        self.open("tidegate", PASSWORD, limits)
    }

    fn open(&self, role: &str, password: &str, limits: Limits) -> Database {
        let secret = Secret::new(format!(r#"{{"username":"{role}","password":"{password}"}}"#));
        let endpoint =
            Endpoint { host: "127.0.0.1".into(), port: self.cluster.port(), database: "shop".into() };
        Database::open(&secret, Some(&endpoint), None, limits).unwrap()
    }

    /// The claim of a process that begins to lead now.
    pub(crate) async fn claim(&self, database: &Database) -> Result<Epoch, Failure> {
        let lease = self.leases.fetch_add(1, Ordering::Relaxed) + 1;
        database.claim(&self.release, LEDGER, lease).await
    }

    pub(crate) fn job(&self, epoch: Epoch) -> Job<'_> {
        Job { release: &self.release, plan: &self.plan, marker: &self.marker, epoch }
    }

    pub(crate) fn files(&self, phase: FilePhase) -> Vec<String> {
        self.plan.files(phase).map(|file| file.name.clone()).collect()
    }

    pub(crate) async fn expand(&self, database: &Database, epoch: Epoch) {
        for file in self.files(FilePhase::Expand) {
            assert_eq!(database.expand(self.job(epoch), &file).await, Ok(Attempt::Done(())), "{file}");
        }
    }

    pub(crate) async fn batch(&self, database: &Database, epoch: Epoch) -> Result<Batch, Failure> {
        let file = self.files(FilePhase::Backfill).remove(0);
        match database.backfill(self.job(epoch), &file).await? {
            Attempt::Done(batch) => Ok(batch),
            Attempt::Blocked(blockers) => panic!("blocked by {blockers:?}"),
            Attempt::Underway => panic!("a batch is one transaction"),
        }
    }

    /// Runs the backfill to its end; answers the number of batches.
    pub(crate) async fn backfill(&self, database: &Database, epoch: Epoch) -> usize {
        for batches in 1..10_000 {
            if self.batch(database, epoch).await.unwrap().progress.done {
                return batches;
            }
        }
        panic!("the backfill does not end");
    }

    /// The count that a query answers, asked by the superuser.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.admin().await).await.unwrap()
    }
}

/// A plan from files given as text.
pub(crate) fn plan_of(change: &str, files: &[(&str, &str)]) -> ChangePlan {
    let files =
        files.iter().map(|(name, text)| RawFile { name: (*name).into(), text: (*text).into() }).collect();
    sql::plan(&change.parse().unwrap(), &database_spec(), files).unwrap()
}

/// The story's change with a trigger, a backfill and checks that a team wrote itself.
pub(crate) fn shop_plan() -> ChangePlan {
    let root = repo().join("crates/schema/tests/fixtures");
    let files = source::read_folder(root.join("structured-address").to_str().unwrap(), &[root]).unwrap();
    sql::plan(&"structured-address".parse().unwrap(), &database_spec(), files).unwrap()
}

fn database_spec() -> DatabaseSpec {
    DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "ecommerce-db".into() }
}

pub(crate) fn repo() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
