//! The story's change rehearsed on a copy of its database.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_schema::{
    RawFile, source,
    trace::{
        Scratch,
        rehearse::{Progress, rehearse},
    },
};

use crate::{
    cluster::{Cluster, PASSWORD},
    world::repo,
};

struct Shop {
    cluster: Cluster,
}

impl Shop {
    async fn with_customers(count: u32) -> Self {
        let shop = Self { cluster: Cluster::start(&[]) };
        let mut server = shop.connect("postgres").await;
        sqlx::raw_sql("CREATE DATABASE shop").execute(&mut server).await.unwrap();
        let mut database = shop.connect("shop").await;
        let schema = std::fs::read_to_string(repo().join("crates/shop/schema.sql")).unwrap();
        sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut database).await.unwrap();
        let rows = format!(
            "INSERT INTO customers (name, email, address) \
             SELECT 'n' || i, 'e' || i || '@example.com', i || ' Main St, Springfield, IL, 62701' FROM generate_series(1, {count}) i; \
             INSERT INTO customers (name, email, address) VALUES ('odd', 'odd@example.com', 'no such form'); \
             CREATE INDEX customers_by_address ON customers (address);"
        );
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
        shop
    }

    async fn connect(&self, database: &str) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.cluster.port())
            .username("postgres")
            .password(PASSWORD)
            .database(database);
        PgConnection::connect_with(&options).await.unwrap()
    }

    fn scratch(&self) -> Scratch {
        let url = format!("postgres://postgres@127.0.0.1:{}/shop", self.cluster.port());
        Scratch::from_url(&url).unwrap().password(PASSWORD)
    }

    async fn databases(&self) -> Vec<String> {
        let sql = "SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY 1";
        sqlx::query_scalar(sql).fetch_all(&mut self.connect("postgres").await).await.unwrap()
    }
}

fn change() -> Vec<RawFile> {
    let folder = repo().join("crates/schema/tests/fixtures");
    source::read_folder(folder.join("structured-address").to_str().unwrap(), &[folder]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_change_is_rehearsed_and_the_database_is_left_as_it_was() {
    let shop = Shop::with_customers(2_500).await;
    let mut told = Vec::new();
    let rehearsal =
        rehearse(&shop.scratch(), change(), std::future::pending(), |progress| told.push(progress))
            .await
            .unwrap();
    assert_eq!(rehearsal.failed, None, "{rehearsal:#?}");
    let backfilled = &rehearsal.backfills[0];
    assert_eq!(backfilled.rows, 2_500);
    assert!(backfilled.batches >= 2, "{backfilled:?}");
    assert!(backfilled.wal_bytes > 2_500 * 50, "{backfilled:?}");
    let counted: Vec<(u64, u64)> =
        rehearsal.checks.iter().map(|check| (check.reading.disagreeing, check.reading.unmapped)).collect();
    assert_eq!(counted, [(0, 0), (0, 1)]);
    assert_eq!(rehearsal.lost_indexes, ["public.customers_by_address"]);
    assert!(rehearsal.statements.iter().all(|one| one.disagreements.is_empty()), "{rehearsal:#?}");
    assert!(rehearsal.statements.iter().any(|one| one.what == "ALTER TABLE DROP COLUMN"));
    let batches = told.iter().filter(|one| matches!(one, Progress::Batch { .. })).count();
    assert_eq!(batches as u64, backfilled.batches);

    assert_eq!(shop.databases().await, ["postgres", "shop"]);
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname IN ('address', 'city')";
    let there: i64 = sqlx::query_scalar(columns).fetch_one(&mut shop.connect("shop").await).await.unwrap();
    assert_eq!(there, 1, "the address is there and the new form is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_that_is_interrupted_leaves_no_copy_behind() {
    let shop = Shop::with_customers(2_500).await;
    let stop = stop_signal();
    let interrupted = rehearse(&shop.scratch(), change(), stop.1, {
        let stop = stop.0;
        move |progress| {
            if matches!(progress, Progress::Batch { .. }) {
                stop.notify_one();
            }
        }
    })
    .await;
    assert_eq!(interrupted.unwrap_err().to_string(), "interrupted");
    assert_eq!(shop.databases().await, ["postgres", "shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_a_step_end_the_rehearsal_with_the_file_and_its_sqlstate() {
    let shop = Shop::with_customers(10).await;
    let mut files = change();
    for file in &mut files {
        // The guide's own form: splitting at commas into a short column, whatever the text is.
        if file.name.contains("backfill") {
            file.text = "-- tidegate: key=id batch=5\nUPDATE customers SET state = address WHERE id > $1 AND id <= $2".into();
        }
        file.text = file
            .text
            .replace("CREATE TRIGGER customers_address_sync", "CREATE TRIGGER customers_address_sync_off");
        file.text = file
            .text
            .replace("BEFORE INSERT OR UPDATE ON public.customers", "BEFORE INSERT ON public.customers");
    }
    let rehearsal = rehearse(&shop.scratch(), files, std::future::pending(), |_| ()).await.unwrap();
    let failed = rehearsal.failed.unwrap();
    assert!(failed.contains("backfill") && failed.contains("22001"), "{failed}");
    assert_eq!(shop.databases().await, ["postgres", "shop"]);
}

fn stop_signal() -> (std::sync::Arc<tokio::sync::Notify>, impl Future<Output = ()>) {
    let notify = std::sync::Arc::new(tokio::sync::Notify::new());
    let waits = std::sync::Arc::clone(&notify);
    (notify, async move { waits.notified().await })
}
