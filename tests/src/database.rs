//! The story's database for tests in virtual time: a real PostgreSQL cluster that the modelled world's secrets point to.
//! Tests are the application: they run its statements in its role.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_sandbox::{
    live::{cluster::Cluster, database},
    world::{file, live::LiveDatabase},
};

use crate::stage::{Stage, spec_with};

/// The database instance of the story.
pub const INSTANCE: &str = "ecommerce-db";

/// A running database.
pub struct Database {
    cluster: Cluster,
}

impl Database {
    /// Starts it and points the stage's secrets to it.
    pub async fn start(stage: &Stage) -> Self {
        let wanted = stage.sandbox.world().live_databases();
        let wanted: LiveDatabase =
            wanted.into_iter().find(|found| found.id == INSTANCE).expect("the instance");
        let mut seed =
            file::seeds(tidegate::local::story::WORLD).expect("seeds").remove(INSTANCE).expect("a seed");
        seed.sql.push(tidegate::local::story::initial(200, None).1);
        let cluster = database::start(&wanted, &seed).await.expect("a cluster");
        let mut world = stage.sandbox.world();
        world.report_log_folder(INSTANCE, cluster.logs());
        world.database_ready(INSTANCE, cluster.address());
        drop(world);
        Self { cluster }
    }

    /// A session of the application.
    pub async fn shop(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.cluster.address().port())
            .username("shop")
            .password("sandbox-shop-password")
            .database("ecommerce");
        PgConnection::connect_with(&options).await.expect("a session")
    }

    /// Runs statements as the application.
    pub async fn run(&self, sql: &str) {
        let mut session = self.shop().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut session).await.expect("the statement runs");
        session.close().await.expect("the session ends");
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> i64 {
        let mut session = self.shop().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut session).await.expect("a number")
    }

    /// True if `customers` has a column of that name.
    pub async fn has_column(&self, name: &str) -> bool {
        let sql = format!(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.customers'::regclass AND attname = '{name}' AND NOT attisdropped"
        );
        self.count(&sql).await == 1
    }
}

/// The spec of an image that needs the structured address.
pub fn schema_spec(stage: &Stage, image: &str) -> String {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/migrations/structured-address");
    let migrations = migrations.canonicalize().expect("the migrations");
    schema_spec_from(stage, image, &format!("file://{}", migrations.display()))
}

/// The same with migration files from elsewhere.
pub fn schema_spec_from(stage: &Stage, image: &str, source: &str) -> String {
    let secret = stage.sandbox.world().secret_arn("tidegate-ecommerce").expect("the secret");
    let members = format!(
        r#""bake": "10m", "schema": {{
    "database": {{ "secret": "{secret}", "instance": "{INSTANCE}" }},
    "change": "structured-address", "source": "{source}", "contractAfter": "30m", "quarantine": "1h" }}"#
    );
    spec_with(image, &members)
}
