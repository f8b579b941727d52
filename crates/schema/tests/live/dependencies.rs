//! What depends on what contract removes: told before, and as the server itself would say it.

use tidegate_schema::Failure;

use crate::hide::{run, soaking};

#[tokio::test]
async fn who_gets_the_old_form_by_replication_or_by_name_is_told() {
    let (world, database, _epoch) = soaking().await;
    let mut admin = world.admin().await;
    for (make, told) in [
        ("CREATE PUBLICATION changes FOR TABLE customers", "publication changes, whose subscribers"),
        ("CREATE PUBLICATION everything FOR ALL TABLES", "publication everything, whose"),
        (
            "CREATE ROLE clerk; GRANT SELECT (address) ON customers TO clerk",
            "rights of role clerk on column address",
        ),
        ("GRANT UPDATE (address) ON customers TO PUBLIC", "rights of role PUBLIC on column address"),
    ] {
        run(&mut admin, make).await.unwrap();
        let found = database.dependencies(&world.plan).await.unwrap();
        assert!(found.vanishing.iter().any(|one| one.contains(told)), "{make}: {found:?}");
        assert!(found.blocking.is_empty(), "{make}: {found:?}");
    }
    run(
        &mut admin,
        "DROP PUBLICATION changes, everything; CREATE PUBLICATION names FOR TABLE customers (id, name)",
    )
    .await
    .unwrap();
    let found = database.dependencies(&world.plan).await.unwrap();
    assert!(!found.vanishing.iter().any(|one| one.contains("publication")), "{found:?}");
}

#[tokio::test]
async fn what_stops_a_drop_and_what_goes_with_it_is_known_before() {
    let (world, database, epoch) = soaking().await;
    let none = database.dependencies(&world.plan).await.unwrap();
    assert_eq!((none.blocking, none.vanishing), (vec![], vec![]));
    let mut shop = world.shop().await;
    for (make, vanishes) in [
        ("CREATE INDEX by_address ON customers (lower(address))", "index by_address"),
        ("CREATE INDEX long_ones ON customers (id) WHERE address <> ''", "index long_ones"),
        ("CREATE STATISTICS both_columns ON name, address FROM customers", "statistics object both_columns"),
        ("ALTER TABLE customers ADD CONSTRAINT filled CHECK (address <> '') NOT VALID", "constraint filled"),
    ] {
        run(&mut shop, make).await.unwrap();
        let found = database.dependencies(&world.plan).await.unwrap();
        assert!(found.vanishing.iter().any(|one| one.contains(vanishes)), "{make}: {found:?}");
        assert!(found.blocking.is_empty(), "{make}: {found:?}");
    }
    // The server's own word is the standard.
    let drop = "BEGIN; ALTER TABLE customers DROP COLUMN address";
    run(&mut shop, drop).await.unwrap();
    run(&mut shop, "ROLLBACK").await.unwrap();
    for (make, blocks, unmake) in [
        ("CREATE VIEW labels AS SELECT address FROM customers", "view labels", "DROP VIEW labels"),
        (
            "ALTER TABLE customers ADD COLUMN length int GENERATED ALWAYS AS (length(address)) STORED",
            "column length of table customers",
            "ALTER TABLE customers DROP COLUMN length",
        ),
        (
            "CREATE POLICY theirs ON customers USING (address IS NOT NULL)",
            "policy theirs on table customers",
            "DROP POLICY theirs ON customers",
        ),
        (
            "CREATE FUNCTION one() RETURNS text BEGIN ATOMIC SELECT address FROM customers LIMIT 1; END",
            "function one()",
            "DROP FUNCTION one",
        ),
        (
            "CREATE TRIGGER touched BEFORE UPDATE OF address ON customers FOR EACH ROW \
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger touched on table customers",
            "DROP TRIGGER touched ON customers",
        ),
    ] {
        run(&mut shop, make).await.unwrap();
        assert_eq!(run(&mut shop, drop).await, Err("2BP01".to_owned()), "{make}");
        run(&mut shop, "ROLLBACK").await.unwrap();
        let found = database.dependencies(&world.plan).await.unwrap();
        assert!(found.blocking.iter().any(|one| one.contains(blocks)), "{make}: {found:?}");
        run(&mut shop, unmake).await.unwrap();
    }
    run(&mut shop, "CREATE VIEW labels AS SELECT address FROM customers").await.unwrap();
    let outcome = database.purge(world.job(epoch), &[]).await;
    assert_eq!(outcome, Err(Failure::Dependents));
}
