//! Sync files: what is generated from two mappings keeps both forms true, whoever writes which.

use sqlx::{AssertSqlSafe, PgConnection};
use tidegate_model::schema::{CheckReading, CheckScope, FilePhase};
use tidegate_schema::{
    Attempt, Database, Failure, RawFile,
    trace::{self, Scratch},
};

use crate::{
    cluster::PASSWORD,
    world::{World, plan_of},
};

const COLUMNS: (&str, &str) = (
    "1_expand_columns.sql",
    "ALTER TABLE customers ADD COLUMN street_address text, ADD COLUMN city text, \
     ADD COLUMN state varchar(2), ADD COLUMN zip_code varchar(10);",
);
const SYNC: (&str, &str) = (
    "2_sync_address.sql",
    r"-- tidegate: key=id batch=1000
SELECT
    btrim(split_part(address, ',', 1)) AS street_address,
    btrim(split_part(address, ',', 2)) AS city,
    btrim(split_part(address, ',', 3)) AS state,
    btrim(split_part(address, ',', 4)) AS zip_code
FROM customers
WHERE cardinality(string_to_array(address, ',')) = 4 AND address !~ '(^|,)\s*(,|$)';
SELECT street_address || ', ' || city || ', ' || state || ', ' || zip_code AS address FROM customers;
",
);
const CONTRACT: (&str, &str) = ("3_contract_address.sql", "ALTER TABLE customers DROP COLUMN address;");

async fn synced() -> World {
    let mut world = World::new().await;
    world.plan = plan_of("address", &[COLUMNS, SYNC, CONTRACT]);
    world
}

/// Both forms of a row: `address|street_address|city|state|zip_code`, NULL as `-`.
async fn forms(shop: &mut PgConnection, name: &str) -> String {
    let sql = "SELECT concat_ws('|', coalesce(address, '-'), coalesce(street_address, '-'), coalesce(city, '-'), \
               coalesce(state, '-'), coalesce(zip_code, '-')) FROM customers WHERE name = $1";
    sqlx::query_scalar(sql).bind(name).fetch_one(shop).await.unwrap()
}

async fn run(shop: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(shop).await.unwrap();
}

/// Disagreeing, unmapped, unmapped back, conflicts.
async fn counts(database: &Database, world: &World) -> (u64, u64, u64, u64) {
    let CheckReading { disagreeing, unmapped, unmapped_back, conflicts, .. } =
        database.check(&world.plan).await.unwrap();
    (disagreeing, unmapped, unmapped_back, conflicts)
}

/// Why the file that was generated is refused, after the team's own was applied; nothing of it is there then.
async fn refused(world: &World) -> Failure {
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let files = world.files(FilePhase::Expand);
    assert_eq!(database.expand(world.job(epoch), &files[0]).await, Ok(Attempt::Done(())));
    let refused = database.expand(world.job(epoch), &files[1]).await.unwrap_err();
    let left = "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) \
                + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang IN \
                   (SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql')))";
    assert_eq!(world.count(left).await, 0);
    refused
}

const FULL: &str = "1 Quay Rd, Portland, ME, 04101|1 Quay Rd|Portland|ME|04101";

#[tokio::test]
async fn the_change_runs_from_two_mappings_to_purge_and_leaves_nothing_behind() {
    let world = synced().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    assert_eq!(counts(&database, &world).await, (3, 3, 0, 0));
    let before = world.count("SELECT sum(hashtext(coalesce(address, '-'))::int8)::int8 FROM customers").await;
    world.backfill(&database, epoch).await;
    assert_eq!(counts(&database, &world).await, (0, 3, 0, 0));
    let after = world.count("SELECT sum(hashtext(coalesce(address, '-'))::int8)::int8 FROM customers").await;
    assert_eq!(before, after, "a backfill never changes old text");

    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    let left = "SELECT (SELECT count(*) FROM pg_proc WHERE proname LIKE 'customers_address%') \
                + (SELECT count(*) FROM pg_class WHERE relname LIKE 'customers_address%') \
                + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'customers_address%')";
    assert_eq!(world.count(left).await, 0);
    run(&mut world.shop().await, "INSERT INTO customers (name, city) VALUES ('after', 'Duluth')").await;
}

#[tokio::test]
async fn whichever_form_is_written_the_other_one_follows() {
    let world = synced().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    // The application's role has no right on anything that was generated.
    let mut shop = world.shop().await;
    let new_form = "(name, street_address, city, state, zip_code) VALUES";
    for (sql, name, wanted) in [
        (
            "INSERT INTO customers (name, address) VALUES ('old', '1 Quay Rd, Portland, ME, 04101')",
            "old",
            FULL,
        ),
        (
            &format!("INSERT INTO customers {new_form} ('new', '1 Quay Rd', 'Portland', 'ME', '04101')"),
            "new",
            FULL,
        ),
        ("INSERT INTO customers (name) VALUES ('none')", "none", "-|-|-|-|-"),
        ("INSERT INTO customers (name, address) VALUES ('odd', 'no form')", "odd", "no form|-|-|-|-"),
        (
            &format!("INSERT INTO customers {new_form} ('half', '1 Quay Rd', NULL, 'ME', '04101')"),
            "half",
            "-|1 Quay Rd|-|ME|04101",
        ),
        // Too long for its column: no error, no form.
        (
            "INSERT INTO customers (name, address) VALUES ('long', '1 Rue, Paris, FRA, 75001')",
            "long",
            "1 Rue, Paris, FRA, 75001|-|-|-|-",
        ),
        (
            "UPDATE customers SET address = '2 Mill Ln, Duluth, MN, 55802' WHERE name = 'old'",
            "old",
            "2 Mill Ln, Duluth, MN, 55802|2 Mill Ln|Duluth|MN|55802",
        ),
        (
            "UPDATE customers SET city = 'Bath' WHERE name = 'new'",
            "new",
            "1 Quay Rd, Bath, ME, 04101|1 Quay Rd|Bath|ME|04101",
        ),
        ("UPDATE customers SET address = NULL WHERE name = 'new'", "new", "-|-|-|-|-"),
        (
            "UPDATE customers SET email = 'x' WHERE name = 'old'",
            "old",
            "2 Mill Ln, Duluth, MN, 55802|2 Mill Ln|Duluth|MN|55802",
        ),
        // Spelled otherwise, and still the same address: nothing is rewritten.
        (
            "UPDATE customers SET address = '2 Mill Ln,Duluth,MN,55802' WHERE name = 'old'",
            "old",
            "2 Mill Ln,Duluth,MN,55802|2 Mill Ln|Duluth|MN|55802",
        ),
    ] {
        run(&mut shop, sql).await;
        assert_eq!(forms(&mut shop, name).await, wanted, "{sql}");
    }
    // Two rows have text without a form; one has a form without text.
    let first = database.check(&world.plan).await.unwrap();
    let keys = (first.first_disagreeing, first.first_unmapped, first.first_unmapped_back);
    assert_eq!(keys, (None, Some(4), Some(5)));
    assert_eq!(counts(&database, &world).await, (0, 2, 1, 0));
    run(
        &mut shop,
        "UPDATE customers SET address = '3 Elm St, Bath, ME, 04530', city = 'Troy' WHERE name = 'old'",
    )
    .await;
    assert_eq!(
        forms(&mut shop, "old").await,
        "2 Mill Ln, Troy, MN, 55802|2 Mill Ln|Troy|MN|55802",
        "new wins"
    );
    assert_eq!(counts(&database, &world).await, (0, 2, 1, 1));
}

#[tokio::test]
async fn a_mapping_that_fails_never_fails_a_write() {
    let mut world = World::new().await;
    let columns = ("1_expand_columns.sql", "ALTER TABLE customers ADD COLUMN number int;");
    let sync = (
        "2_sync_number.sql",
        "-- tidegate: key=id batch=10\n\
         SELECT 100 / address::int AS number FROM customers; SELECT (100 / number)::text AS address FROM customers;",
    );
    world.plan = plan_of("number", &[columns, sync]);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut shop = world.shop().await;
    run(&mut shop, "INSERT INTO customers (name, address) VALUES ('before', 'x'), ('fine', '4')").await;
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    for sql in [
        "INSERT INTO customers (name, address) VALUES ('a', 'no number')",
        "INSERT INTO customers (name, address) VALUES ('b', '0')",
        "INSERT INTO customers (name, number) VALUES ('c', 0)",
        "UPDATE customers SET number = 0 WHERE name = 'fine'",
    ] {
        run(&mut shop, sql).await;
    }
    assert_eq!(counts(&database, &world).await, (0, 3, 2, 0));
}

#[tokio::test]
async fn a_mapping_that_the_server_does_not_know_is_refused_before_anything_is_there() {
    let mut world = World::new().await;
    let columns = ("1_expand_columns.sql", "ALTER TABLE customers ADD COLUMN city text;");
    let sync = |up: &str, down: &str| {
        format!(
            "-- tidegate: key=id batch=10\nSELECT {up} AS city FROM customers; SELECT {down} AS address FROM customers;"
        )
    };
    for (text, code) in [
        (sync("no_such(address)", "city"), "42883"),
        (sync("other", "city"), "42703"),
        // A mapping sees the other form alone.
        (sync("name", "city"), "42703"),
    ] {
        world.plan = plan_of("address", &[columns, ("2_sync_address.sql", &text)]);
        let refused = refused(&world).await;
        assert!(matches!(&refused, Failure::Sql(state) if state.as_str() == code), "{refused:?}");
    }
}

#[tokio::test]
async fn columns_that_a_trigger_cannot_keep_true_are_refused_by_name() {
    let table = "CREATE TABLE thing (id int PRIMARY KEY, must text NOT NULL, may text, \
                 computed text GENERATED ALWAYS AS (must || 'x') STORED)";
    for (column, old, why) in [
        ("city text", "must", "must cannot be kept in step: it is NOT NULL"),
        ("city text DEFAULT 'here'", "may", "city cannot be kept in step: it has a default"),
        ("city text", "computed", "computed cannot be kept in step: the server computes it"),
    ] {
        let mut world = World::new().await;
        run(&mut world.shop().await, table).await;
        let columns = format!("ALTER TABLE thing ADD COLUMN {column};");
        let sync = format!(
            "-- tidegate: key=id batch=10\nSELECT {old} AS city FROM thing; SELECT city AS {old} FROM thing;"
        );
        world.plan = plan_of("it", &[("1_expand_columns.sql", &columns), ("2_sync_it.sql", &sync)]);
        let refused = refused(&world).await;
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn what_would_fail_before_any_mapping_is_tried_is_refused() {
    let table = "CREATE DOMAIN code AS varchar(3) NOT NULL; CREATE TABLE thing (id int PRIMARY KEY, short varchar(3), coded code)";
    for (mapping, code) in [
        // The constant does not fit.
        ("SELECT short AS x FROM thing; SELECT coalesce(x, 'unknown') AS short FROM thing", "22001"),
        // A type that refuses NULL: a variable of it cannot even be declared.
        ("SELECT coded AS x FROM thing; SELECT x AS coded FROM thing", "23502"),
    ] {
        let mut world = World::new().await;
        run(&mut world.shop().await, table).await;
        let sync = format!("-- tidegate: key=id batch=10\n{mapping};");
        let columns = ("1_expand_x.sql", "ALTER TABLE thing ADD COLUMN x text;");
        world.plan = plan_of("it", &[columns, ("2_sync_it.sql", &sync)]);
        let refused = refused(&world).await;
        assert!(matches!(&refused, Failure::Sql(state) if state.as_str() == code), "{refused:?}");
    }
}

#[tokio::test]
async fn a_column_that_is_not_null_takes_a_mapping_with_a_constant_at_its_end() {
    let mut world = World::new().await;
    let columns = ("1_expand_columns.sql", "ALTER TABLE customers ADD COLUMN age int;");
    let sync = (
        "2_sync_age.sql",
        "-- tidegate: key=id batch=10\n\
         SELECT name::int AS age FROM customers; SELECT coalesce((100 / age)::text, 'unknown') AS name FROM customers;",
    );
    world.plan = plan_of("age", &[columns, sync]);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let mut shop = world.shop().await;
    run(&mut shop, "INSERT INTO customers (email, age) VALUES ('none', NULL), ('fails', 0), ('fine', 5)")
        .await;
    let names = "SELECT string_agg(name, ' ' ORDER BY id) FROM customers";
    let names: String = sqlx::query_scalar(names).fetch_one(&mut shop).await.unwrap();
    assert_eq!(names, "unknown unknown 20");
}

#[tokio::test]
async fn names_of_every_kind_are_written_as_they_are() {
    let mut world = World::new().await;
    let setup = "CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"Order\" (\"Id\" int PRIMARY KEY, id int GENERATED BY DEFAULT AS IDENTITY, \
                 \"oldTotal\" text, mapped text, t text, tidegate text);";
    run(&mut world.shop().await, setup).await;
    run(&mut world.admin().await, "GRANT ALL ON SCHEMA \"My Shop\" TO tidegate; ALTER TABLE \"My Shop\".\"Order\" ALTER id SET NOT NULL").await;
    let columns = (
        "1_expand_columns.sql",
        "ALTER TABLE \"My Shop\".\"Order\" ADD COLUMN \"newTotal\" text, ADD COLUMN \"select\" text;",
    );
    let sync = (
        "2_sync_total.sql",
        "-- tidegate: key=id batch=10\n\
         SELECT \"oldTotal\" || '\"$tidegate$' AS \"newTotal\", upper(mapped) AS \"select\" FROM \"My Shop\".\"Order\" AS x;\n\
         SELECT replace(\"newTotal\", '\"$tidegate$', '') AS \"oldTotal\", lower(\"select\") AS mapped FROM \"My Shop\".\"Order\" \"T\";",
    );
    world.plan = plan_of("total", &[columns, sync]);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut shop = world.shop().await;
    run(&mut shop, "INSERT INTO \"My Shop\".\"Order\" (\"Id\", \"oldTotal\", mapped) VALUES (1, 'a', 'b')")
        .await;
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    run(&mut shop, "INSERT INTO \"My Shop\".\"Order\" (\"Id\", \"newTotal\", \"select\") VALUES (2, 'c\"$tidegate$', 'D')").await;
    assert_eq!(counts(&database, &world).await, (0, 0, 0, 0));
    let all: String = sqlx::query_scalar(
        "SELECT string_agg(concat_ws(' ', \"oldTotal\", mapped, \"newTotal\", \"select\"), ', ' ORDER BY id) FROM \"My Shop\".\"Order\"",
    )
    .fetch_one(&mut shop)
    .await
    .unwrap();
    assert_eq!(all, "a b a\"$tidegate$ B, c d c\"$tidegate$ D");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_what_is_told_of_it() {
    let world = synced().await;
    let url = format!("postgres://postgres@127.0.0.1:{}/shop", world.cluster.port());
    let scratch = Scratch::from_url(&url).unwrap().password(PASSWORD);
    let files =
        [COLUMNS, SYNC, CONTRACT].map(|(name, text)| RawFile { name: name.into(), text: text.into() });
    let traced = trace::trace(&scratch, files.to_vec(), std::future::pending()).await.unwrap();
    for one in &traced {
        assert_eq!((&one.failed, one.disagreements.as_slice()), (&None, [].as_slice()), "{one:#?}");
    }
    assert!(traced.iter().any(|one| one.what == "CREATE TRIGGER"));
}

#[tokio::test]
async fn of_a_large_table_a_sample_is_read_until_every_row_is_asked_for() {
    let world = synced().await;
    world.many_customers(130_000).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    // Nobody knows how large the table is: every row is read.
    world.expand(&database, epoch).await;
    let small = database.check_scope(&world.plan, CheckScope::Sample).await.unwrap();
    assert_eq!((small.sampled, small.disagreeing), (false, 130_000));
    run(&mut world.shop().await, "ANALYZE customers").await;
    let sample = database.check_scope(&world.plan, CheckScope::Sample).await.unwrap();
    assert!(sample.sampled && (10_000..110_000).contains(&sample.disagreeing), "{sample:?}");
    assert_eq!(counts(&database, &world).await, (130_000, 0, 0, 0));
}
