//! The statement statistics of a real server: who is a reader of the old form, and when nothing can be told.

use sqlx::AssertSqlSafe;
use tidegate_model::{
    ledger::EvidenceMark,
    schema::{Evidence, EvidenceRead},
};
use tidegate_schema::Database;

use crate::world::World;

async fn read(world: &World, database: &Database) -> EvidenceRead {
    match database.evidence(&world.plan).await.unwrap() {
        Evidence::Read(read) => read,
        Evidence::Missing(why) => panic!("{why}"),
    }
}

async fn missing(world: &World, database: &Database) -> String {
    match database.evidence(&world.plan).await.unwrap() {
        Evidence::Read(read) => panic!("{read:?}"),
        Evidence::Missing(why) => why,
    }
}

async fn run(world: &World, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut world.shop().await).await.unwrap();
}

/// The namers that a statement of the application adds.
async fn how(world: &World, database: &Database, sql: &str) -> Vec<String> {
    let before = read(world, database).await;
    run(world, sql).await;
    let now = read(world, database).await;
    grown(&before, &now)
}

/// How those that were called between two reads name the old form.
fn grown(before: &EvidenceRead, now: &EvidenceRead) -> Vec<String> {
    assert!(is_continued(before, now), "{before:?} {now:?}");
    EvidenceMark::of(before).grown(now).map(|namer| namer.how.clone()).collect()
}

fn is_continued(before: &EvidenceRead, now: &EvidenceRead) -> bool {
    EvidenceMark::of(before).is_continued_by(&EvidenceMark::of(now))
}

async fn expanded() -> (World, Database) {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    (world, database)
}

#[tokio::test]
async fn readers_of_the_column_are_named_and_others_are_not() {
    let (world, database) = expanded().await;
    for (sql, wanted) in [
        ("SELECT id, address FROM customers WHERE id = 1", "names the column"),
        ("INSERT INTO customers (name, address) VALUES ('a', 'b')", "names the column"),
        ("SELECT * FROM customers", "SELECT * or RETURNING *"),
        ("SELECT c.*, 1 FROM public.customers c", "table.*"),
        ("INSERT INTO customers VALUES (901, 'n')", "INSERT without a column list"),
        ("SELECT to_jsonb(c) FROM customers c", "uses the whole row"),
        ("COPY customers TO STDOUT", "COPY without a column list"),
    ] {
        if sql.starts_with("COPY") {
            let before = read(&world, &database).await;
            let mut shop = world.shop().await;
            drop(shop.copy_out_raw(sql).await.unwrap());
            assert!(!grown(&before, &read(&world, &database).await).is_empty());
            continue;
        }
        assert_eq!(how(&world, &database, sql).await, [wanted], "{sql}");
    }
    for sql in [
        "SELECT street_address, city FROM customers WHERE id = 1",
        "INSERT INTO customers (name, street_address, city, state, zip_code) VALUES ('a', 'b', 'c', 'NY', '1')",
        "UPDATE customers SET city = 'x' WHERE id = 1",
        "SELECT id, address FROM suppliers",
        "SELECT * FROM suppliers",
        "SELECT count(*) FROM customers",
        "SELECT id FROM customers WHERE created_at > now() - interval '1 day'",
        "DELETE FROM customers WHERE id = 901",
    ] {
        assert_eq!(how(&world, &database, sql).await, Vec::<String>::new(), "{sql}");
    }
}

#[tokio::test]
async fn our_own_queries_are_no_readers() {
    let (world, database) = expanded().await;
    let before = read(&world, &database).await;
    database.check(&world.plan).await.unwrap();
    database.evidence(&world.plan).await.unwrap();
    assert_eq!(grown(&before, &read(&world, &database).await), Vec::<String>::new());
    let backfilled = before.namers.values().any(|namer| namer.text.contains("customers_address_up"));
    assert!(!backfilled, "{:?}", before.namers);
}

#[tokio::test]
async fn views_and_functions_over_the_column_are_followed() {
    let (world, database) = expanded().await;
    run(&world, "CREATE VIEW cards AS SELECT id, address AS label FROM customers").await;
    run(&world, "CREATE VIEW cards_of_cards AS SELECT id FROM cards").await;
    run(&world, "CREATE VIEW plain AS SELECT id, city FROM customers").await;
    run(
        &world,
        "CREATE FUNCTION label_of(bigint) RETURNS text LANGUAGE sql AS \
         'SELECT address FROM customers WHERE id = $1'",
    )
    .await;
    run(&world, "CREATE FUNCTION outer_label(bigint) RETURNS text LANGUAGE sql AS 'SELECT label_of($1)'")
        .await;
    run(&world, "CREATE FUNCTION city_of(bigint) RETURNS text LANGUAGE sql AS 'SELECT city FROM customers WHERE id = $1'")
        .await;
    assert_eq!(how(&world, &database, "SELECT label FROM cards").await, ["uses a view over it"]);
    assert_eq!(how(&world, &database, "SELECT id FROM cards_of_cards").await, ["uses a view over it"]);
    assert_eq!(how(&world, &database, "SELECT label_of(1)").await, ["calls a function that names it"]);
    assert_eq!(how(&world, &database, "SELECT outer_label(1)").await, ["calls a function that names it"]);
    assert_eq!(how(&world, &database, "SELECT id FROM plain").await, Vec::<String>::new());
    assert_eq!(how(&world, &database, "SELECT city_of(1)").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_trigger_that_names_the_column_closes_whatever_statements_say() {
    let (world, database) = expanded().await;
    run(
        &world,
        "CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NEW.address := btrim(NEW.address); RETURN NEW; END $$",
    )
    .await;
    run(&world, "CREATE TRIGGER tidy BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tidy()").await;
    assert!(missing(&world, &database).await.contains("trigger tidy on public.customers"));
}

#[tokio::test]
async fn a_trigger_counts_on_an_heir_too_and_if_it_only_hands_its_row_to_what_names_the_column() {
    let (world, database) = expanded().await;
    let tidy = "CREATE FUNCTION tidy_row(r customers) RETURNS customers LANGUAGE plpgsql AS \
                $$ BEGIN r.address := btrim(r.address); RETURN r; END $$";
    run(&world, tidy).await;
    let hands_on = "CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS \
                    $$ BEGIN NEW := tidy_row(NEW); RETURN NEW; END $$";
    run(&world, hands_on).await;
    run(&world, "CREATE TRIGGER tidy BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tidy()").await;
    assert!(missing(&world, &database).await.contains("trigger tidy on public.customers"));
    run(&world, "DROP TRIGGER tidy ON customers").await;
    read(&world, &database).await;
    run(&world, "CREATE TABLE customers_eu () INHERITS (customers)").await;
    run(&world, "CREATE TRIGGER tidy BEFORE INSERT ON customers_eu FOR EACH ROW EXECUTE FUNCTION tidy()")
        .await;
    assert!(missing(&world, &database).await.contains("trigger tidy on public.customers_eu"));
}

#[tokio::test]
async fn a_reset_breaks_the_comparison() {
    let (world, database) = expanded().await;
    run(&world, "SELECT address FROM customers").await;
    let before = read(&world, &database).await;
    sqlx::query("SELECT pg_stat_statements_reset()").execute(&mut world.admin().await).await.unwrap();
    assert!(!is_continued(&before, &read(&world, &database).await));
}

#[tokio::test]
async fn statistics_that_cannot_be_read_are_missing_with_the_reason() {
    let (world, database) = expanded().await;
    let mut admin = world.admin().await;
    sqlx::query("REVOKE pg_read_all_stats FROM tidegate").execute(&mut admin).await.unwrap();
    assert!(missing(&world, &database).await.contains("pg_read_all_stats"));
    sqlx::query("GRANT pg_read_all_stats TO tidegate").execute(&mut admin).await.unwrap();
    read(&world, &database).await;
    sqlx::query("ALTER ROLE shop SET pg_stat_statements.track = 'none'").execute(&mut admin).await.unwrap();
    assert!(missing(&world, &database).await.contains("a role or a database"));
    sqlx::query("ALTER ROLE shop RESET pg_stat_statements.track").execute(&mut admin).await.unwrap();
    read(&world, &database).await;
    sqlx::query("DROP EXTENSION pg_stat_statements").execute(&mut admin).await.unwrap();
    assert!(missing(&world, &database).await.contains("CREATE EXTENSION"));
}
