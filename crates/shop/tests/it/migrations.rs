//! The story's migration files on a real PostgreSQL: what each of them promises.

use std::{num::NonZeroU32, path::PathBuf};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _, raw_sql};
use tidegate_model::{schema::FilePhase, spec::DatabaseSpec};
use tidegate_schema::{source, sql};
use tidegate_shop::{
    address::{Both, Structured},
    initial,
};

use crate::cluster::Cluster;

/// A row's address: the text, and the four columns.
type Row = (Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

/// The texts of one phase's files in the order in which they run, those that are generated among them.
pub(crate) fn files(phase: FilePhase) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/migrations");
    let folder = root.join("structured-address");
    let files = source::read_folder(folder.to_str().unwrap(), &[root]).unwrap();
    let database =
        DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "ecommerce-db".into() };
    let plan = sql::plan(&"structured-address".parse().unwrap(), &database, files).unwrap();
    let texts: Vec<String> = plan.files(phase).map(|file| file.text.clone()).collect();
    assert!(!texts.is_empty(), "no {} files", phase.as_str());
    texts
}

pub(crate) async fn run(db: &mut PgConnection, script: &str) {
    raw_sql(AssertSqlSafe(script)).execute(db).await.unwrap();
}

pub(crate) async fn expand(db: &mut PgConnection) {
    for file in files(FilePhase::Expand) {
        run(db, &file).await;
    }
}

/// Walks the table in batches of 700, and returns how many rows were changed.
pub(crate) async fn backfill(db: &mut PgConnection) -> u64 {
    let last: i64 =
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM customers").fetch_one(&mut *db).await.unwrap();
    let mut changed = 0;
    for file in files(FilePhase::Backfill) {
        for from in (0..last).step_by(700) {
            let batch = sqlx::query(AssertSqlSafe(file.clone())).bind(from).bind(from + 700);
            changed += batch.execute(&mut *db).await.unwrap().rows_affected();
        }
    }
    changed
}

/// Purge: every contract file in one transaction.
pub(crate) async fn contract(db: &mut PgConnection) {
    let mut transaction = db.begin().await.unwrap();
    for file in files(FilePhase::Contract) {
        run(&mut transaction, &file).await;
    }
    transaction.commit().await.unwrap();
}

/// Rows that disagree, and rows that are unmapped.
pub(crate) async fn counts(db: &mut PgConnection) -> (i64, i64) {
    let [check] = files(FilePhase::Check).try_into().unwrap();
    let row = sqlx::query(AssertSqlSafe(check)).fetch_one(&mut *db).await.unwrap();
    (row.get("disagreeing"), row.get("unmapped"))
}

async fn conflicts(db: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM customers_address_conflict").fetch_one(db).await.unwrap()
}

async fn row(db: &mut PgConnection, id: i64) -> Row {
    sqlx::query_as("SELECT address, street_address, city, state, zip_code FROM customers WHERE id = $1")
        .bind(id)
        .fetch_one(db)
        .await
        .unwrap()
}

fn both(text: Option<&str>, structured: Structured) -> Row {
    let Structured { street_address, city, state, zip_code } = structured;
    (text.map(str::to_owned), street_address, city, state, zip_code)
}

fn elm() -> Structured {
    Structured::new("9 Elm St", "Boston", "MA", "02101")
}

const ELM: &str = "9 Elm St, Boston, MA, 02101";

/// A cluster with version 1's schema, no customers, and expand applied.
async fn expanded() -> (Cluster, PgConnection) {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    expand(&mut db).await;
    (cluster, db)
}

async fn id_of(db: &mut PgConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn backfill_fills_old_rows_leaves_their_text_alone_and_does_nothing_the_second_time() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, &initial::script(3000, NonZeroU32::new(10))).await;
    let texts = "SELECT md5(string_agg(coalesce(address, 'null'), '|' ORDER BY id)) FROM customers";
    let before: String = sqlx::query_scalar(texts).fetch_one(&mut db).await.unwrap();

    expand(&mut db).await;
    assert_eq!(counts(&mut db).await, (2700, 240), "300 awkward rows, a fifth of them NULL");
    assert_eq!(backfill(&mut db).await, 2700);
    assert_eq!(counts(&mut db).await, (0, 240));
    assert_eq!(sqlx::query_scalar::<_, String>(texts).fetch_one(&mut db).await.unwrap(), before);
    let expected =
        both(Some("11 Lake Dr, Boston, MA, 10011"), Structured::new("11 Lake Dr", "Boston", "MA", "10011"));
    assert_eq!(row(&mut db, 11).await, expected);

    assert_eq!(backfill(&mut db).await, 0);
    assert_eq!(conflicts(&mut db).await, 0);
}

#[tokio::test]
async fn backfill_keeps_text_whose_spacing_differs_from_what_the_columns_would_compose() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    run(&mut db, "INSERT INTO customers (name, address) VALUES ('Ann', ' 9 Elm St,Boston , MA,02101')").await;
    expand(&mut db).await;
    assert_eq!(backfill(&mut db).await, 1);
    assert_eq!(row(&mut db, 1).await, both(Some(" 9 Elm St,Boston , MA,02101"), elm()));
    assert_eq!(counts(&mut db).await, (0, 0));
}

#[tokio::test]
async fn a_write_of_the_text_shows_in_the_columns() {
    let (_cluster, mut db) = expanded().await;
    let id = id_of(
        &mut db,
        "INSERT INTO customers (name, address) VALUES ('Ann', '1 A St, Rome, NY, 1') RETURNING id",
    )
    .await;
    assert_eq!(
        row(&mut db, id).await,
        both(Some("1 A St, Rome, NY, 1"), Structured::new("1 A St", "Rome", "NY", "1"))
    );
    run(&mut db, "UPDATE customers SET address = '9 Elm St, Boston, MA, 02101'").await;
    assert_eq!(row(&mut db, id).await, both(Some(ELM), elm()));
    run(&mut db, "UPDATE customers SET address = NULL").await;
    assert_eq!(row(&mut db, id).await, both(None, Structured::default()));
    assert_eq!((counts(&mut db).await, conflicts(&mut db).await), ((0, 0), 0));
}

#[tokio::test]
async fn a_write_of_the_columns_shows_in_the_text() {
    let (_cluster, mut db) = expanded().await;
    let insert = "INSERT INTO customers (name, street_address, city, state, zip_code)
                  VALUES ('Ann', '1 A St', 'Rome', 'NY', '1') RETURNING id";
    let id = id_of(&mut db, insert).await;
    assert_eq!(row(&mut db, id).await.0.as_deref(), Some("1 A St, Rome, NY, 1"));
    run(
        &mut db,
        "UPDATE customers SET street_address = '9 Elm St', city = 'Boston', state = 'MA', zip_code = '02101'",
    )
    .await;
    assert_eq!(row(&mut db, id).await, both(Some(ELM), elm()));
    run(&mut db, "UPDATE customers SET zip_code = NULL").await;
    assert_eq!(row(&mut db, id).await.0, None, "a missing part never becomes a word");
    assert_eq!((counts(&mut db).await, conflicts(&mut db).await), ((0, 0), 0));
}

#[tokio::test]
async fn a_street_with_a_comma_survives_a_round_trip_through_the_text() {
    let (_cluster, mut db) = expanded().await;
    let insert = "INSERT INTO customers (name, street_address, city, state, zip_code)
                  VALUES ('Ann', '9 Elm St, Apt 4', 'Boston', 'MA', '02101') RETURNING id";
    let id = id_of(&mut db, insert).await;
    let written = row(&mut db, id).await;
    assert_eq!(written.0.as_deref(), Some("9 Elm St, Apt 4, Boston, MA, 02101"));
    run(&mut db, "UPDATE customers SET name = 'Anna', address = '9 Elm St, Apt 4, Boston, MA, 02101'").await;
    assert_eq!(row(&mut db, id).await, written, "the old form written back unchanged changes nothing");
    assert_eq!((counts(&mut db).await, backfill(&mut db).await), ((0, 0), 0));
}

#[tokio::test]
async fn what_cannot_be_mapped_never_fails_a_write_and_is_counted() {
    let (_cluster, mut db) = expanded().await;
    let awkward = [
        "",
        ",",
        ",,,",
        "  ,b,NY,1",
        "a, b, New York, 1",
        "a, b, NY, 12345678901",
        "a, b, c, NY, 1",
        "nowhere",
        "a, \u{1F3E0}, \u{1F3E0}\u{1F3E0}\u{1F3E0}, 1",
    ];
    let long = "x, ".repeat(200_000);
    for text in awkward.into_iter().chain([long.as_str()]) {
        let id: i64 =
            sqlx::query_scalar("INSERT INTO customers (name, address) VALUES ('Ann', $1) RETURNING id")
                .bind(text)
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(row(&mut db, id).await, both(Some(text), Structured::default()));
    }
    assert_eq!(counts(&mut db).await, (0, 10));

    run(&mut db, "UPDATE customers SET address = '9 Elm St, Boston, MA, 02101'").await;
    assert_eq!(counts(&mut db).await, (0, 0));
    run(&mut db, "UPDATE customers SET address = 'a, b, New York, 1'").await;
    assert_eq!(
        row(&mut db, 1).await,
        both(Some("a, b, New York, 1"), Structured::default()),
        "no stale columns"
    );
    assert_eq!((counts(&mut db).await, backfill(&mut db).await), ((0, 10), 0));
}

#[tokio::test]
async fn one_statement_that_writes_both_forms_and_disagrees_keeps_the_new_form_and_is_counted() {
    let (_cluster, mut db) = expanded().await;
    let insert = "INSERT INTO customers (name, address, street_address, city, state, zip_code)
                  VALUES ('Ann', '1 A St, Rome, NY, 1', '9 Elm St', 'Boston', 'MA', '02101') RETURNING id";
    let id = id_of(&mut db, insert).await;
    assert_eq!(row(&mut db, id).await, both(Some(ELM), elm()));
    assert_eq!(conflicts(&mut db).await, 1);

    run(&mut db, "UPDATE customers SET address = 'x, y, NY, 2', city = 'Salem'").await;
    assert_eq!(row(&mut db, id).await.0.as_deref(), Some("9 Elm St, Salem, MA, 02101"));
    assert_eq!(conflicts(&mut db).await, 2);

    let mut transaction = db.begin().await.unwrap();
    run(&mut transaction, "UPDATE customers SET address = 'x, y, NY, 3', city = 'Rome'").await;
    transaction.rollback().await.unwrap();
    assert_eq!(conflicts(&mut db).await, 2, "a write that was not committed is not counted");
    assert_eq!(counts(&mut db).await, (0, 0));
}

#[tokio::test]
async fn a_row_the_backfill_has_not_reached_is_left_to_it_by_writes_of_other_columns() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    run(&mut db, "INSERT INTO customers (name, address) VALUES ('Ann', '9 Elm St, Boston, MA, 02101')").await;
    expand(&mut db).await;
    run(&mut db, "UPDATE customers SET name = 'Anna'").await;
    assert_eq!(row(&mut db, 1).await, both(Some(ELM), Structured::default()));
    assert_eq!(backfill(&mut db).await, 1);
    assert_eq!(row(&mut db, 1).await, both(Some(ELM), elm()));
}

#[tokio::test]
async fn the_check_sees_rows_that_were_changed_behind_the_triggers_back() {
    let (_cluster, mut db) = expanded().await;
    run(&mut db, "INSERT INTO customers (name, address) VALUES ('Ann', '9 Elm St, Boston, MA, 02101')").await;
    run(&mut db, "ALTER TABLE customers DISABLE TRIGGER USER").await;
    run(&mut db, "UPDATE customers SET address = '1 A St, Rome, NY, 1'").await;
    assert_eq!(counts(&mut db).await, (1, 0), "stale columns, not NULL ones");
    run(&mut db, "ALTER TABLE customers ENABLE TRIGGER USER").await;
    assert_eq!(backfill(&mut db).await, 1);
    assert_eq!(row(&mut db, 1).await.2.as_deref(), Some("Rome"));
    assert_eq!(counts(&mut db).await, (0, 0));
}

#[tokio::test]
async fn a_role_that_may_only_write_customers_can_still_write_them() {
    let (cluster, mut db) = expanded().await;
    run(&mut db, "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC").await;
    run(&mut db, "CREATE ROLE app LOGIN PASSWORD 'app'; GRANT SELECT, INSERT, UPDATE ON customers TO app")
        .await;
    run(&mut db, "GRANT USAGE ON SEQUENCE customers_id_seq TO app").await;
    let app = cluster.options().username("app").password("app");
    let mut app = PgConnection::connect_with(&app).await.unwrap();
    run(&mut app, "SET search_path = nowhere").await;
    run(&mut app, "INSERT INTO public.customers (name, address, city) VALUES ('Ann', 'a, b, NY, 1', 'Rome')")
        .await;
    run(&mut app, "UPDATE public.customers SET address = 'a, b, NY, 1'").await;
    assert_eq!((counts(&mut db).await, conflicts(&mut db).await), ((0, 0), 1));
}

#[tokio::test]
async fn writes_of_version_3_leave_no_trace_of_the_old_column_in_the_statement_statistics() {
    let (_cluster, mut db) = expanded().await;
    run(&mut db, "CREATE EXTENSION pg_stat_statements").await;
    run(&mut db, "SET pg_stat_statements.track = 'all'").await;
    run(&mut db, "SELECT pg_stat_statements_reset()").await;
    run(&mut db, "INSERT INTO customers (name, street_address, city, state, zip_code) VALUES ('Ann', 'a', 'b', 'NY', '1')").await;
    run(&mut db, "UPDATE customers SET name = 'Anna', city = 'Rome' WHERE id = 1").await;
    let statements =
        "SELECT query FROM pg_stat_statements WHERE query LIKE '%customers%' OR query LIKE '%address%'";
    let texts: Vec<String> = sqlx::query_scalar(statements).fetch_all(&mut db).await.unwrap();
    assert!(texts.len() >= 2, "{texts:?}");
    let named: Vec<&String> = texts
        .iter()
        .filter(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "address"))
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[tokio::test]
async fn the_application_and_the_database_map_alike() {
    let (_cluster, mut db) = expanded().await;
    let parts = ["", " ", "a", " Elm St ", "NY", "New York", "1", "12345678901", "\t\u{a0}x\n", "\u{2003}"];
    let texts: Vec<String> = (0..10_000_usize)
        .map(|n| [n % 10, n / 10 % 10, n / 100 % 10, n / 1000].map(|part| parts[part]).join(","))
        .chain(["a,b,c", "a,b,NY,1,", "a,b,NY,1", ""].map(str::to_owned))
        .collect();
    let up = "SELECT up.* FROM unnest($1::text[]) WITH ORDINALITY AS u(t, n), LATERAL public.customers_address_up(t) AS up ORDER BY n";
    type Parts = (Option<String>, Option<String>, Option<String>, Option<String>);
    let mapped: Vec<Parts> = sqlx::query_as(up).bind(&texts).fetch_all(&mut db).await.unwrap();
    assert_eq!(mapped.len(), texts.len());
    for (text, (street_address, city, state, zip_code)) in texts.iter().zip(mapped) {
        let application = Both::of(Some(text.clone()), Structured::default()).structured;
        assert_eq!(application, Structured { street_address, city, state, zip_code }, "{text:?}");
    }
}

#[tokio::test]
async fn contract_removes_the_old_form_in_one_transaction_and_leaves_suppliers_alone() {
    let (_cluster, mut db) = expanded().await;
    run(&mut db, "INSERT INTO customers (name, address) VALUES ('Ann', '9 Elm St, Boston, MA, 02101')").await;
    contract(&mut db).await;
    for file in files(FilePhase::Contract) {
        let again = raw_sql(AssertSqlSafe(file)).execute(&mut db).await.unwrap_err();
        let code = again.as_database_error().unwrap().code().unwrap().into_owned();
        assert!(["42704", "42703"].contains(&code.as_str()), "it refuses a second time: {code}");
    }
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name IN ('customers', 'suppliers') AND column_name LIKE '%address'
         ORDER BY 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(left, ["customers.street_address", "suppliers.address"]);
    let functions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(functions, 0, "every function of the change is gone");
    run(&mut db, "UPDATE customers SET city = 'Salem'").await;
    let city: String = sqlx::query_scalar("SELECT city FROM customers").fetch_one(&mut db).await.unwrap();
    assert_eq!(city, "Salem");
}
