//! Hiding: who is refused, who is not, what is given back, and that nobody waits for it.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate_model::schema::{CheckReading, CheckScope, Hidden};
use tidegate_schema::{
    Attempt, Database, Epoch, Failure, Wanted,
    server_log::{LogReader, Rules},
};

use crate::world::{World, plan_of};

/// The form in which Amazon RDS has its servers log.
const PREFIX: (&str, &str) = ("log_line_prefix", "%t:%r:%u@%d:[%p]:");

const CHECKED: Wanted =
    Wanted { blockers: false, check: Some(CheckScope::Whole), evidence: false, certificate: false };

/// A change that is expanded and backfilled.
pub(crate) async fn soaking() -> (World, Database, Epoch) {
    let world = World::with(&[PREFIX]).await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    (world, database, epoch)
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, String> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => Err(error.as_database_error().unwrap().code().unwrap().into_owned()),
    }
}

async fn refused(connection: &mut PgConnection, sql: &str) {
    assert_eq!(run(connection, sql).await, Err("42501".to_owned()), "{sql}");
}

/// Every right on the shop's tables, as the catalog has it, as a set.
async fn rights(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT r::text FROM ( \
             SELECT c.relname::text, NULL::text AS column, e.* FROM pg_class c, \
                 aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) e \
             UNION ALL SELECT c.relname::text, a.attname::text, e.* FROM pg_class c \
                 JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) e) r \
         WHERE r.relname IN ('customers', 'labels') ORDER BY 1",
    )
    .fetch_all(&mut world.admin().await)
    .await
    .unwrap()
}

async fn hidden(world: &World, database: &Database) -> Option<Hidden> {
    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    seen.journal.known().unwrap().hidden.clone()
}

fn log(world: &World) -> String {
    std::fs::read_to_string(world.cluster.folder.path().join("log")).unwrap()
}

#[tokio::test]
async fn hidden_is_the_old_form_alone_and_giving_it_back_loses_nothing() {
    let (world, database, epoch) = soaking().await;
    let before = rights(&world).await;
    let begun = Instant::now();
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    println!("hidden in {:?}", begun.elapsed());
    let seen = hidden(&world, &database).await.unwrap();
    assert_eq!((seen.bypassed_by, seen.regranted_to), (vec![], vec![]));
    assert_eq!(seen.taken_from, ["shop"]);

    let mut shop = world.shop().await;
    for old in [
        "SELECT address FROM customers",
        "SELECT * FROM customers",
        "UPDATE customers SET address = 'x'",
        "INSERT INTO customers (name, address) VALUES ('x', 'x')",
        "INSERT INTO customers VALUES (1000, 'x', 'x', 'x')",
        "COPY customers TO STDOUT",
        "DELETE FROM customers WHERE address = 'x'",
    ] {
        refused(&mut shop, old).await;
    }
    for new in [
        "INSERT INTO customers (name, street_address, city, state, zip_code) VALUES ('new', '1 A St', 'Bath', 'ME', '04530')",
        "SELECT id, name, street_address FROM customers ORDER BY id LIMIT 1",
        "SELECT count(*) FROM customers",
        "SELECT id FROM customers FOR UPDATE",
        "SELECT xmin, ctid, tableoid FROM customers",
        "UPDATE customers SET city = 'Bangor' WHERE name = 'new'",
        "DELETE FROM customers WHERE name = 'nobody'",
    ] {
        run(&mut shop, new).await.unwrap();
    }
    // Our own role goes on reading both forms.
    assert_eq!(
        database.check(&world.plan).await,
        Ok(CheckReading { disagreeing: 0, unmapped: 3, ..CheckReading::default() })
    );

    let begun = Instant::now();
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    println!("given back in {:?}", begun.elapsed());
    assert_eq!(rights(&world).await, before);
    assert_eq!(hidden(&world, &database).await, None);
    let address: String = sqlx::query_scalar("SELECT address FROM customers WHERE name = 'new'")
        .fetch_one(&mut shop)
        .await
        .unwrap();
    assert_eq!(address, "1 A St, Bangor, ME, 04530");
}

#[tokio::test]
async fn nobody_waits_for_hiding_and_hiding_waits_for_nobody() {
    let (world, database, epoch) = soaking().await;
    let (mut reader, mut writer) = (world.shop().await, world.shop().await);
    let mut reading = reader.begin().await.unwrap();
    let mut writing = writer.begin().await.unwrap();
    sqlx::query("SELECT address FROM customers").fetch_all(&mut *reading).await.unwrap();
    sqlx::query("UPDATE customers SET name = 'y'").execute(&mut *writing).await.unwrap();
    for _ in 0..2 {
        assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
        assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    }
    writing.commit().await.unwrap();
}

#[tokio::test]
async fn both_are_repeated_without_an_effect_and_refused_to_who_was_overtaken() {
    let (world, database, epoch) = soaking().await;
    let before = rights(&world).await;
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let once = rights(&world).await;
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(rights(&world).await, once);
    let newer = world.claim(&database).await.unwrap();
    for outcome in [database.hide(world.job(epoch)).await, database.unhide(world.job(epoch)).await] {
        assert!(matches!(outcome, Err(Failure::Fenced { .. })), "{outcome:?}");
    }
    assert_eq!(rights(&world).await, once);
    for _ in 0..2 {
        assert_eq!(database.unhide(world.job(newer)).await, Ok(Attempt::Done(())));
        assert_eq!(rights(&world).await, before);
    }
}

#[tokio::test]
async fn nothing_is_hidden_before_expand_and_backfill_are_complete() {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let before = rights(&world).await;
    assert_eq!(database.hide(world.job(epoch)).await, Err(Failure::TooEarly));
    world.expand(&database, epoch).await;
    assert_eq!(database.hide(world.job(epoch)).await, Err(Failure::TooEarly));
    assert_eq!(rights(&world).await, before);
}

#[tokio::test]
async fn purge_gives_back_what_hiding_took_of_what_stays() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    run(
        &mut admin,
        "CREATE ROLE \"The \"\"Reporter\" LOGIN; GRANT SELECT ON customers TO \"The \"\"Reporter\"",
    )
    .await
    .unwrap();
    let before = rights(&world).await;
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    assert_eq!(rights(&world).await, before);
    assert_eq!(world.count("SELECT count(*) FROM tidegate.hide").await, 0);
    run(&mut world.shop().await, "SELECT * FROM customers").await.unwrap();
}

#[tokio::test]
async fn rights_of_every_kind_come_back_as_they_were() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    for sql in [
        "CREATE ROLE writer; CREATE ROLE \"od\"\"d role\" LOGIN PASSWORD 'hunter2-canary'; CREATE ROLE keeper LOGIN; CREATE ROLE leaving LOGIN",
        "GRANT INSERT, UPDATE, REFERENCES ON customers TO writer WITH GRANT OPTION",
        "GRANT SELECT (id, address), UPDATE (address) ON customers TO \"od\"\"d role\"",
        "GRANT SELECT ON customers TO PUBLIC",
        "GRANT SELECT ON customers TO keeper; GRANT SELECT (address) ON customers TO keeper WITH GRANT OPTION",
        "GRANT SELECT (address) ON customers TO leaving",
        "GRANT SELECT (id) ON customers TO shop WITH GRANT OPTION",
    ] {
        run(&mut admin, sql).await.unwrap();
    }
    let before = rights(&world).await;
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let mut odd = world.connect("od\"d role", "shop").await;
    refused(&mut odd, "SELECT address FROM customers").await;
    refused(&mut odd, "SELECT * FROM customers").await;
    run(&mut odd, "SELECT id, name FROM customers").await.unwrap();
    // Somebody adds a column, gives a new role a right, takes one away, and drops a role.
    for sql in [
        "ALTER TABLE customers ADD COLUMN note text; CREATE ROLE late LOGIN; GRANT SELECT (id) ON customers TO late",
        "REVOKE ALL ON customers FROM writer",
        "DROP OWNED BY leaving; DROP ROLE leaving",
    ] {
        run(&mut admin, sql).await.unwrap();
    }
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let after = rights(&world).await;
    let oid = |role: &'static str| {
        let world = &world;
        async move {
            let sql = format!("SELECT oid::int8 FROM pg_roles WHERE rolname = '{role}'");
            sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
                .fetch_one(&mut world.admin().await)
                .await
                .unwrap()
        }
    };
    let (writer, late) = (oid("writer").await, oid("late").await);
    let names = |right: &String, role: i64| right.contains(&format!(",{role},"));
    let gone: Vec<&String> = before.iter().filter(|right| !after.contains(right)).collect();
    let new: Vec<&String> = after.iter().filter(|right| !before.contains(right)).collect();
    // What was taken from the writer by hand stays taken, and the dropped role's right is gone.
    assert_eq!(gone.iter().filter(|right| names(right, writer)).count(), 3, "{gone:?}");
    assert_eq!(gone.len(), 4, "{gone:?}");
    assert!(matches!(new.as_slice(), [only] if names(only, late)), "{new:?}");
    run(&mut odd, "SELECT address FROM customers").await.unwrap();
}

#[tokio::test]
async fn whom_hiding_cannot_stop_is_named_and_so_is_who_was_let_in_again() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    run(&mut admin, "CREATE ROLE auditor LOGIN; GRANT pg_read_all_data TO auditor; CREATE ROLE guest LOGIN")
        .await
        .unwrap();
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let seen = hidden(&world, &database).await.unwrap();
    assert_eq!((seen.bypassed_by, seen.regranted_to), (vec!["auditor".to_owned()], vec![]));
    run(&mut admin, "GRANT SELECT ON customers TO guest").await.unwrap();
    let seen = hidden(&world, &database).await.unwrap();
    assert_eq!(seen.regranted_to, ["guest"]);
}

#[tokio::test]
async fn rights_that_were_passed_on_are_refused_and_nothing_changes() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    run(
        &mut admin,
        "CREATE ROLE lead; GRANT SELECT ON customers TO lead WITH GRANT OPTION; CREATE ROLE helper; \
         SET ROLE lead; GRANT SELECT ON customers TO helper; RESET ROLE",
    )
    .await
    .unwrap();
    let before = rights(&world).await;
    let outcome = database.hide(world.job(epoch)).await;
    assert!(matches!(&outcome, Err(Failure::PassedOn(table)) if table.table == "customers"), "{outcome:?}");
    assert_eq!(rights(&world).await, before);
}

#[tokio::test]
async fn a_whole_table_with_a_foreign_key_keeps_its_owner_s_rights_and_its_key_works() {
    let world = World::with(&[PREFIX]).await;
    let mut shop = world.shop().await;
    run(
        &mut shop,
        "CREATE TABLE labels (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE); \
         INSERT INTO customers (name) VALUES ('a'), ('b'); INSERT INTO labels SELECT id, id FROM customers",
    )
    .await
    .unwrap();
    let mut admin = world.admin().await;
    run(&mut admin, "CREATE ROLE app LOGIN PASSWORD 'hunter2-canary'; GRANT ALL ON customers, labels TO app")
        .await
        .unwrap();
    let plan = plan_of(
        "labels",
        &[
            ("001_expand_tags.sql", "CREATE TABLE tags (id int PRIMARY KEY, customer int);"),
            ("002_check_tags.sql", "SELECT count(*) FROM labels WHERE id IS NULL;"),
            ("003_contract_labels.sql", "DROP TABLE labels;"),
        ],
    );
    let world = World { plan, ..world };
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let before = rights(&world).await;
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let mut app = world.connect("app", "shop").await;
    refused(&mut app, "SELECT id FROM labels").await;
    refused(&mut app, "TRUNCATE labels").await;
    run(&mut app, "DELETE FROM customers WHERE name = 'a'").await.unwrap();
    assert_eq!(hidden(&world, &database).await.unwrap().bypassed_by, ["shop"]);
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(rights(&world).await, before);
}

#[tokio::test]
async fn the_server_s_own_log_tells_who_was_refused() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    run(
        &mut admin,
        "CREATE ROLE reporter LOGIN PASSWORD 'hunter2-canary'; \
         CREATE ROLE stranger LOGIN PASSWORD 'hunter2-canary'; SET ROLE shop; \
         CREATE FUNCTION label(int) RETURNS text LANGUAGE plpgsql AS \
             'BEGIN RETURN (SELECT address FROM customers WHERE id = $1); END'; \
         CREATE VIEW addresses AS SELECT id, address FROM customers; GRANT SELECT ON addresses TO reporter",
    )
    .await
    .unwrap();
    // Views and functions rest on the column, so purge would be refused; hiding is not.
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let hidden = hidden(&world, &database).await.unwrap();
    let (ours, name) = database.identity();
    let rules = Rules {
        plan: &world.plan,
        hidden: Some(&hidden),
        database: &name,
        ours: &ours,
        failures_since: None,
    };
    let told = |role: &'static str, sql: &'static str| {
        let (world, rules) = (&world, &rules);
        async move {
            let from = log(world).len();
            refused(&mut world.connect(role, "shop").await, sql).await;
            let mut reader = LogReader::default();
            reader.read(&log(world)[from..], rules);
            reader.settle(rules);
            assert!(reader.understood());
            reader.denial().map(|denial| (denial.role.clone(), denial.how.clone(), denial.text.clone()))
        }
    };
    let (role, how, text) =
        told("shop", "SELECT id,\n address FROM customers WHERE name = 'canary-7'").await.unwrap();
    assert_eq!((role.as_str(), how.as_str()), ("shop", "names the column"));
    assert!(text.contains("address") && !text.contains("canary"), "{text}");
    for (role, sql) in [
        ("shop", "SELECT * FROM customers"),
        ("shop", "SELECT label(1)"),
        ("reporter", "SELECT * FROM addresses"),
    ] {
        assert!(told(role, sql).await.is_some(), "{role}: {sql}");
    }
    assert_eq!(told("stranger", "SELECT name FROM customers").await, None);
    assert_eq!(told("shop", "SELECT * FROM pg_authid").await, None);
}

#[tokio::test]
async fn people_can_give_a_restored_copy_back_with_the_script_in_it() {
    let (world, database, epoch) = soaking().await;
    let mut admin = world.admin().await;
    run(&mut admin, "CREATE ROLE \"a reader\"; GRANT SELECT (address) ON customers TO \"a reader\"")
        .await
        .unwrap();
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    let undo: String =
        sqlx::query_scalar("SELECT undo FROM tidegate.hide").fetch_one(&mut admin).await.unwrap();
    run(&mut admin, &undo).await.unwrap();
    run(&mut world.shop().await, "SELECT * FROM customers").await.unwrap();
    run(&mut admin, "SET ROLE \"a reader\"; SELECT address FROM customers; RESET ROLE").await.unwrap();
    assert_eq!(hidden(&world, &database).await, None);
    // The change can be hidden again as if nothing had been.
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    refused(&mut world.shop().await, "SELECT address FROM customers").await;
}

#[tokio::test]
async fn settings_of_who_is_never_refused_here_keep_nothing_out_of_the_log() {
    let (world, database, _) = soaking().await;
    let mut admin = world.admin().await;
    for sql in [
        "CREATE ROLE rdstopmgr; ALTER ROLE rdstopmgr SET log_min_messages = 'panic'",
        "CREATE ROLE root SUPERUSER; ALTER ROLE root SET log_min_messages = 'panic'",
        "ALTER DATABASE postgres SET log_min_messages = 'panic'",
    ] {
        run(&mut admin, sql).await.unwrap();
        assert_eq!(database.log_problem().await, Ok(None), "{sql}");
    }
}

#[tokio::test]
async fn a_log_that_keeps_refusals_out_is_told() {
    let (world, database, _) = soaking().await;
    assert_eq!(database.log_problem().await, Ok(None));
    let mut admin = world.admin().await;
    for (set, unset) in [
        ("ALTER ROLE shop SET log_min_messages = 'panic'", "ALTER ROLE shop RESET log_min_messages"),
        ("ALTER SYSTEM SET log_min_messages = 'fatal'", "ALTER SYSTEM RESET log_min_messages"),
    ] {
        run(&mut admin, set).await.unwrap();
        run(&mut admin, "SELECT pg_reload_conf()").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert!(database.log_problem().await.unwrap().is_some(), "{set}");
        run(&mut admin, unset).await.unwrap();
        run(&mut admin, "SELECT pg_reload_conf()").await.unwrap();
    }
}

#[tokio::test]
async fn a_version_that_knows_nothing_of_hiding_does_not_read_on_while_something_is_hidden() {
    let (world, database, epoch) = soaking().await;
    let format = "SELECT version::int8 FROM tidegate.format";
    assert_eq!(world.count(format).await, 1);
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(world.count(format).await, 2);
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert_eq!(world.count(format).await, 1);
}
