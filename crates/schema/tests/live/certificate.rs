//! The rollback certificate on a real server: which statements of a revision from before the change still hold.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tidegate_model::schema::RollbackCertificate;

use crate::{
    cluster::PASSWORD,
    world::{World, plan_of},
};

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Statements that a revision from before the change ran, and the change's expand after them.
async fn after(statements: &[&str], world: &World) -> RollbackCertificate {
    let mut shop = world.shop().await;
    for sql in statements {
        run(&mut shop, sql).await;
    }
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    database.certificate(&world.plan).await.unwrap()
}

#[tokio::test]
async fn what_still_holds_is_proven_and_what_says_nothing_is_told() {
    let world = World::new().await;
    let certificate = after(
        &[
            "SELECT id, name, address FROM customers WHERE id = 1",
            "INSERT INTO customers (name, address) VALUES ('a', 'b')",
            "INSERT INTO customers (name) VALUES ('a') RETURNING id",
            "UPDATE customers SET address = 'x' WHERE name = 'a'",
            "WITH gone AS (DELETE FROM customers WHERE id = 7 RETURNING id) SELECT count(*) FROM gone",
            // Says nothing either way.
            "SELECT * FROM customers",
            "INSERT INTO customers (name) VALUES ('a') RETURNING *",
            "SELECT name FROM customers WHERE created_at > now() - interval '1 day'",
            // Does not concern the change.
            "SELECT * FROM suppliers",
            "TRUNCATE suppliers",
        ],
        &world,
    )
    .await;
    assert_eq!((certificate.statements, certificate.proven), (8, 5), "{certificate:#?}");
    assert_eq!((certificate.broken_count, certificate.unproven_count()), (0, 3));
    let why: Vec<&str> = certificate.unproven.iter().map(|one| one.why.as_str()).collect();
    assert!(why.iter().any(|why| why.contains("normalised text (SQLSTATE 42601)")), "{why:?}");
    assert_eq!(
        why.iter().filter(|why| why.contains("street_address without naming it")).count(),
        2,
        "{why:?}"
    );
    assert_eq!(certificate.missing, None);
}

#[tokio::test]
async fn a_statement_that_the_change_made_ambiguous_is_broken() {
    let mut world = World::new().await;
    world.plan = plan_of("region", &[("1_expand_a.sql", "ALTER TABLE customers ADD COLUMN region text;")]);
    run(&mut world.shop().await, "CREATE TABLE office (id bigint, region text)").await;
    let certificate = after(
        &[
            "SELECT name, region FROM customers JOIN office USING (id)",
            "SELECT office.region, name FROM customers JOIN office USING (id)",
        ],
        &world,
    )
    .await;
    assert_eq!((certificate.proven, certificate.broken_count), (1, 1), "{certificate:#?}");
    assert!(certificate.broken[0].text.starts_with("SELECT name, region FROM customers"));
    // Gone as soon as the catalog is another one.
    run(&mut world.shop().await, "ALTER TABLE office RENAME COLUMN region TO zone").await;
    let again = world.database().certificate(&world.plan).await.unwrap();
    assert_eq!(again.broken_count, 0, "{again:#?}");
}

#[tokio::test]
async fn nothing_is_run_and_no_lock_outlives_the_read() {
    let world = World::new().await;
    world.customers().await;
    let certificate =
        after(&["DELETE FROM customers WHERE id = 1", "SELECT id FROM customers"], &world).await;
    assert_eq!((certificate.statements, certificate.proven), (3, 3), "{certificate:#?}");
    assert_eq!(world.count("SELECT count(*) FROM customers").await, 6, "it was deleted once");
    let held =
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'customers'";
    assert_eq!(world.count(held).await, 0);
}

#[tokio::test]
async fn what_is_known_of_statements_is_used_again_until_the_catalog_changes() {
    let world = World::new().await;
    let database = world.database();
    let mut shop = world.shop().await;
    run(&mut shop, "SELECT id FROM customers").await;
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let first = database.certificate(&world.plan).await.unwrap();
    run(&mut shop, "SELECT name FROM customers").await;
    let second = database.certificate(&world.plan).await.unwrap();
    assert_eq!((first.statements, second.statements), (1, 2));
}

#[tokio::test]
async fn statistics_that_cannot_be_read_are_told_and_prove_nothing() {
    let world = World::new().await;
    run(&mut world.admin().await, "REVOKE pg_read_all_stats FROM tidegate").await;
    let certificate = world.database_of("tidegate", PASSWORD).certificate(&world.plan).await.unwrap();
    assert!(
        certificate.missing.as_ref().is_some_and(|why| why.contains("pg_read_all_stats")),
        "{certificate:?}"
    );
    assert_eq!(certificate.proven, 0);
    world.admin().await.execute("DROP EXTENSION pg_stat_statements").await.unwrap();
    let certificate = world.database().certificate(&world.plan).await.unwrap();
    assert!(certificate.missing.is_some_and(|why| why.contains("not installed")));
}
