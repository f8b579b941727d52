//! What is refused, and what is left alone.

use sqlx::AssertSqlSafe;
use tidegate_ledger::{LedgerError, OpenError, ReadOnly};

use crate::world::{PASSWORD, World, at, deployment, lead, length, release};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_not_changed_by_accident() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    ledger.append(&release("shop"), 0, at(), &[deployment("d-1")]).await.unwrap();
    for sql in [
        "UPDATE tidegate_ledger.entry SET body = ''",
        "DELETE FROM tidegate_ledger.entry",
        "TRUNCATE tidegate_ledger.entry",
    ] {
        let mut admin = world.admin("ledger").await;
        let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_layout_is_refused() {
    let world = World::new().await;
    drop(world.daemon().await);
    world.run("UPDATE tidegate_ledger.about SET layout = 7").await;
    let Err(OpenError::Newer { found: 7, known: 1, .. }) = world.opened().await else {
        panic!("a newer layout was opened")
    };
    let Err(OpenError::Newer { .. }) = ReadOnly::shared(world.connect()).await else {
        panic!("a newer layout was read")
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_schema_of_our_name_is_left_alone() {
    let world = World::new().await;
    world.run("CREATE SCHEMA tidegate_ledger; CREATE TABLE tidegate_ledger.music (title text)").await;
    let Err(OpenError::NotALedger { ledger }) = world.opened().await else { panic!("it was opened") };
    assert!(ledger.ends_with("/ledger"), "{ledger}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'tidegate_ledger'";
    assert_eq!(world.count(tables).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_schemas_uses_one_that_was_made_for_it() {
    let world = World::new().await;
    world.run("REVOKE CREATE ON DATABASE ledger FROM tidegate").await;
    let Err(OpenError::Server { source, .. }) = world.opened().await else { panic!("it was opened") };
    assert_eq!(source, tidegate_postgres::Fault::Privilege);
    world.run("CREATE SCHEMA tidegate_ledger AUTHORIZATION tidegate").await;
    lead(&world.daemon().await, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_is_asked_for_and_no_error_tells_one() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    world.run("ALTER ROLE tidegate PASSWORD 'hunter3-canary'").await;
    world.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tidegate'").await;
    let Err(refused) = world.opened().await else { panic!("the old password is good") };
    assert!(!format!("{refused:?} {refused}").contains("canary"), "{refused:?}");
    world.tell("hunter3-canary");
    lead(&ledger, "shop").await;
    world.tell(PASSWORD);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_changes_nothing_and_needs_no_more_than_select() {
    let world = World::new().await;
    let Err(OpenError::NotALedger { .. }) = ReadOnly::shared(world.connect()).await else {
        panic!("a ledger was made by reading it")
    };
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    ledger.append(&release("shop"), 0, at(), &[deployment("d-1")]).await.unwrap();
    world.run("REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tidegate_ledger FROM tidegate").await;
    let reader = ReadOnly::shared(world.connect()).await.unwrap();
    assert_eq!(reader.history(&release("shop")).await.unwrap().count(), 1);
    assert_eq!(length(&ledger, "shop").await, 1);
    let refused = ledger.append(&release("shop"), 1, at(), &[deployment("d-2")]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Server { .. }), "{refused}");
}
