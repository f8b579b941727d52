//! A real server with the story's database, and copies of that database for single cases.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_sandbox::live::cluster::{Cluster, Setup};
use tidegate_schema::{Databases as _, Endpoint, Limits, Secret, Servers, TargetDatabase};
use tidegate_simulation::database::Row;

/// Roles' passwords.
const PASSWORD: &str = "hunter2";
/// The database that is copied.
const TEMPLATE: &str = "shop_template";

pub(crate) struct Server {
    cluster: Cluster,
}

impl Server {
    /// A server whose database has these customers.
    pub(crate) async fn start(rows: &[Row]) -> Self {
        let settings = [
            ("shared_preload_libraries", "pg_stat_statements"),
            // Its locks and its counts would come and go as they like.
            ("autovacuum", "off"),
            ("max_connections", "60"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let setup = Setup { password: PASSWORD.to_owned(), settings, ..Setup::default() };
        let cluster = tokio::task::spawn_blocking(move || Cluster::with(&setup)).await.unwrap().unwrap();
        let server = Self { cluster };
        let mut admin = server.session("postgres", "postgres").await;
        run(
            &mut admin,
            "CREATE ROLE shop LOGIN PASSWORD 'hunter2'; CREATE ROLE tidegate LOGIN PASSWORD 'hunter2';
             CREATE ROLE reporter LOGIN PASSWORD 'hunter2'; CREATE ROLE guest LOGIN PASSWORD 'hunter2';
             CREATE ROLE auditor LOGIN PASSWORD 'hunter2'; GRANT pg_read_all_data TO auditor;
             GRANT shop, pg_read_all_stats TO tidegate",
        )
        .await;
        run(&mut admin, &format!("CREATE DATABASE {TEMPLATE} OWNER shop")).await;
        let mut admin = server.session("postgres", TEMPLATE).await;
        run(
            &mut admin,
            "CREATE EXTENSION pg_stat_statements; GRANT CREATE ON SCHEMA public TO shop, tidegate",
        )
        .await;
        let mut shop = server.session("shop", TEMPLATE).await;
        run(&mut shop, include_str!("../../../shop/schema.sql")).await;
        run(&mut shop, "GRANT ALL ON customers TO reporter").await;
        for row in rows {
            run(&mut shop, &format!("INSERT INTO customers (name, address) VALUES ('x', {})", address(*row)))
                .await;
        }
        shop.close().await.unwrap();
        admin.close().await.unwrap();
        server
    }

    /// A fresh copy of the database.
    pub(crate) async fn copy(&self, name: &str) {
        let mut admin = self.session("postgres", "postgres").await;
        run(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER shop")).await;
        run(&mut admin, &format!("GRANT CREATE ON DATABASE {name} TO tidegate")).await;
    }

    /// All that the server has logged.
    pub(crate) fn log(&self) -> String {
        let mut files: Vec<_> =
            std::fs::read_dir(self.cluster.logs()).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    /// A session of a role.
    pub(crate) async fn session(&self, role: &str, database: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.cluster.port())
            .username(role)
            .password(PASSWORD)
            .database(database)
            .application_name("app")
            // A plan that was cached before a change fails after it, which is a driver's matter.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        options.connect().await.unwrap()
    }

    /// A process of ours.
    pub(crate) fn process(&self, database: &str, limits: Limits) -> Arc<dyn TargetDatabase> {
        let secret = Secret::new(format!(r#"{{"username":"tidegate","password":"{PASSWORD}"}}"#));
        let endpoint =
            Endpoint { host: "127.0.0.1".into(), port: self.cluster.port(), database: database.into() };
        Servers { ca_bundle: None, limits }.open(&secret, Some(&endpoint)).unwrap()
    }
}

/// Runs statements that must work.
pub(crate) async fn run(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.unwrap();
}

/// An old form as SQL text: the forms that a row can have before a change.
fn address(row: Row) -> &'static str {
    match row {
        Row::Old => "'1 Quay Rd, Portland, ME, 04101'",
        Row::OldOdd => "'c/o Miller'",
        Row::Bare => "NULL",
        Row::Both | Row::New | Row::NewOdd | Row::Apart | Row::ApartOdd => {
            panic!("{row:?} before the change")
        }
    }
}
