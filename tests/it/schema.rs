//! The schema machine in virtual time on a real PostgreSQL: expand to purge, and what must keep it from purging.

use jiff::SignedDuration;
use sqlx::ConnectOptions as _;
use tidegate_model::{
    gate::{Gate, GateState},
    spec::Code,
    status::{Grade, ReleaseStatus},
    waiting::{Held, Reason, Waiting},
};
use tidegate_tests::{
    database::{Database, INSTANCE, schema_spec, schema_spec_from},
    stage::Stage,
};

/// What version 2 runs: it writes both forms.
const VERSION_2: &str = "UPDATE customers SET address = '1 Elm St, Salem, OR, 97301', street_address = '1 Elm St', city = 'Salem', \
                         state = 'OR', zip_code = '97301' WHERE id = 7";
/// What version 1 runs.
const VERSION_1: &str = "SELECT name, address FROM customers WHERE id = 7";
/// What version 3 runs: it knows the new form only. A table of the same column name is no reader.
const VERSION_3: &str = "UPDATE customers SET street_address = '2 Oak Ave', city = 'Boston', state = 'MA', zip_code = '02101' WHERE id = 7; \
                         SELECT street_address FROM customers WHERE id = 7; SELECT address FROM suppliers WHERE id = 1";

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn closed(status: &ReleaseStatus, gate: Gate) -> Option<String> {
    let reading = status.gates.iter().find(|reading| reading.gate == gate)?;
    match &reading.state {
        GateState::Closed(closed) => Some(closed.message.clone()),
        GateState::Open | GateState::NotApplicable => None,
    }
}

pub(crate) fn schema_phase(status: &ReleaseStatus) -> &str {
    status.schema.as_ref().map_or("", |schema| &schema.phase)
}

pub(crate) fn plan(stage: &Stage) -> String {
    stage.status().schema.as_ref().expect("a change").plan.clone()
}

pub(crate) fn approval(spec: u64, plan: &str) -> String {
    format!(r#"{{"spec": {spec}, "plan": "{plan}"}}"#)
}

/// Version 2 has settled and is quiet, version 3 has settled.
pub(crate) async fn soaking() -> (Stage, Database) {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until_settled(1).await;
    database.run(VERSION_2).await;
    stage
        .play_until(hours(1), |s| {
            closed(s, Gate::ReadersGone).is_some_and(|m| m.contains("UPDATE customers"))
        })
        .await;
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    stage.play_until_settled(2).await;
    database.run(VERSION_3).await;
    stage.play_until(hours(1), |s| schema_phase(s) == "soaking").await;
    (stage, database)
}

async fn purged() -> (Stage, Database) {
    let (mut stage, database) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.play_until(hours(6), |s| schema_phase(s) == "purged").await;
    (stage, database)
}

pub(crate) fn snapshots(stage: &Stage) -> usize {
    stage.effects().iter().filter(|entry| entry.operation == "CreateDBSnapshot").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_from_expand_to_purge_once_nobody_names_the_old_form() {
    let (mut stage, database) = purged().await;
    assert!(!database.has_column("address").await);
    assert_eq!(snapshots(&stage), 1);
    assert_eq!(database.count("SELECT count(*) FROM customers WHERE street_address IS NOT NULL").await, 200);
    stage.rest().await;
    assert_eq!(snapshots(&stage), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needed_the_old_form_is_never_deployed_again_after_purge() {
    let (mut stage, _database) = purged().await;
    let before = stage.effects().len();
    stage.put("abort", r#"{"spec": 2}"#).await;
    stage.play_until(hours(1), |s| s.rollback.grade == Grade::Restore).await;
    assert!(stage.status().rollback.how.contains("snapshot"), "{}", stage.status().rollback.how);
    stage.pass_time(hours(1));
    stage.pass().await;
    assert_eq!(stage.effects().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_purge_cut_off_is_told_by_the_database_to_a_daemon_whose_ledger_was_lost() {
    let (mut stage, _database) = purged().await;
    let before = stage.effects().len();
    stage.lose_ledger().await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage
        .play_until(hours(1), |s| s.waiting.iter().any(|w| w.reason == Reason::Held(Held::NamesPurged)))
        .await;
    stage.pass_time(hours(3));
    stage.pass().await;
    assert_eq!(stage.effects().len(), before);
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    stage.play_until(hours(1), |s| s.waiting.is_empty()).await;
    assert_eq!(stage.effects().len(), before);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_asks_for_what_needed_the_old_form_is_held_after_purge() {
    let (mut stage, _database) = purged().await;
    let before = stage.effects().len();
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage
        .play_until(hours(1), |s| s.waiting.iter().any(|w| w.reason == Reason::Held(Held::NamesPurged)))
        .await;
    stage.pass_time(hours(1));
    stage.pass().await;
    assert_eq!(stage.effects().len(), before, "{:#?}", stage.status().waiting);
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    stage.play_until_settled(4).await;
    assert_eq!(stage.effects().len(), before, "version 3 serves already");
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_blue_is_warm_the_server_s_log_tells_what_fails_and_a_role_of_its_own_is_recommended() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    database.run(VERSION_1).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until(hours(3), |s| s.rollout.phase == "baking").await;
    let wrong = "SELECT adress FROM customers WHERE name = 'canary'";
    sqlx::raw_sql(wrong).execute(&mut database.shop().await).await.expect_err("no such column");
    stage.play_until(hours(1), |s| unproven(s).contains("SELECT adress FROM customers WHERE name = ?")).await;
    let told = unproven(stage.status());
    assert!(
        told.contains("1 statements on the change's tables failed") && !told.contains("canary"),
        "{told}"
    );
    assert!(told.contains("all are of role shop"), "{told}");
    // It is told, and closes nothing.
    stage.play_until_settled(1).await;
    stage.rest().await;
}

fn unproven(status: &ReleaseStatus) -> String {
    status.rollback.unproven.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_an_rds_blue_green_deployment_and_tells_whom_it_would_stop() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    let options = stage.sandbox.world().database_options(INSTANCE).expect("the instance runs");
    let mut admin = options.connect().await.expect("a session");
    let statements = "CREATE PUBLICATION feed FOR TABLE public.customers";
    sqlx::raw_sql(statements).execute(&mut admin).await.expect("a publication");
    stage.sandbox.world().begin_blue_green(INSTANCE, "major-upgrade");
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    let named = |told: &String| told.contains("blue/green deployment major-upgrade");
    stage.play_until(hours(1), |s| closed(s, Gate::NoBlockers).as_ref().is_some_and(named)).await;
    stage.pass_time(hours(1));
    stage.pass().await;
    assert!(!database.has_column("street_address").await);
    let noticed = stage.status().schema.as_ref().map(|schema| schema.noticed.join("; ")).expect("a change");
    assert!(noticed.contains("publication feed carries public.customers"), "{noticed}");
    stage.sandbox.world().end_blue_green();
    stage.play_until_settled(1).await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_applied_may_be_mended_and_one_that_was_applied_may_not() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    let spec =
        |stage: &Stage| schema_spec_from(stage, "shop:v2", "ssm").replace("structured-address", "city");
    stage.put("schema/1_expand_city.sql", "ALTER TABLE public.customers ADD COLUMN city text;").await;
    stage.put("schema/2_expand_zip.sql", "ALTER TABLE public.custmers ADD COLUMN zip text;").await;
    stage.put("spec", &spec(&stage)).await;
    let refused = |s: &ReleaseStatus, text: &str| s.waiting.iter().any(|wait| wait.message.contains(text));
    stage.play_until(hours(1), |s| refused(s, "42P01")).await;
    assert!(database.has_column("city").await);

    stage.put("schema/1_expand_city.sql", "ALTER TABLE public.customers ADD COLUMN city varchar(80);").await;
    stage.put("spec", &format!("{} ", spec(&stage))).await;
    stage
        .play_until(hours(1), |s| s.problems.iter().any(|problem| problem.code == Code::FilesDisagree))
        .await;
    assert_eq!(stage.status().versions.in_force.map(|version| version.0), Some(1));

    stage.put("schema/1_expand_city.sql", "ALTER TABLE public.customers ADD COLUMN city text;").await;
    stage.put("schema/2_expand_zip.sql", "ALTER TABLE public.customers ADD COLUMN zip text;").await;
    stage.put("spec", &format!("{}  ", spec(&stage))).await;
    stage.play_until_settled(3).await;
    assert!(database.has_column("zip").await);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_which_the_database_has_nothing_makes_room_for_another() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    let spec = |stage: &Stage, change: &str| {
        schema_spec_from(stage, "shop:v2", "ssm").replace("structured-address", change)
    };
    stage.put("schema/1_expand_zip.sql", "ALTER TABLE public.custmers ADD COLUMN zip text;").await;
    stage.put("spec", &spec(&stage, "zip")).await;
    let refused = |s: &ReleaseStatus| s.waiting.iter().any(|wait| wait.message.contains("42P01"));
    stage.play_until(hours(1), refused).await;
    stage.put("schema/1_expand_zip.sql", "ALTER TABLE public.customers ADD COLUMN zip text;").await;
    stage.put("spec", &spec(&stage, "zip-code")).await;
    stage.play_until_settled(2).await;
    assert!(database.has_column("zip").await);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_approval_opens_nothing() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until_settled(1).await;
    let plan = plan(&stage);
    // Written before the version that it names.
    stage.put("approve/contract", &approval(2, &plan)).await;
    stage.pass_time(SignedDuration::from_mins(1));
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    stage.play_until_settled(2).await;
    let other_plan = "0".repeat(plan.len());
    for stale in [
        None,
        Some(approval(1, &plan)),
        Some(approval(9, &plan)),
        Some(approval(2, &other_plan)),
        Some("yes!".into()),
    ] {
        if let Some(order) = &stale {
            stage.put("approve/contract", order).await;
        }
        for _ in 0..12 {
            stage.pass_time(SignedDuration::from_mins(10));
            stage.pass().await;
        }
        assert!(closed(stage.status(), Gate::ContractApproved).is_some(), "{stale:?}");
        assert_eq!((snapshots(&stage), schema_phase(stage.status())), (0, "soaking"), "{stale:?}");
    }
    assert!(database.has_column("address").await);
    stage.put("approve/contract", &approval(2, &plan)).await;
    stage.play_until(hours(6), |s| schema_phase(s) == "purged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_new_form_need_an_approval_that_covers_their_count() {
    let (mut stage, database) = soaking().await;
    let without = plan(&stage);
    // As the owner's hand would: no application names the column any more.
    database.run("INSERT INTO customers (name, address) VALUES ('odd', 'c/o Miller')").await;
    stage.put("approve/contract", &approval(2, &without)).await;
    for _ in 0..18 {
        stage.pass_time(SignedDuration::from_mins(10));
        stage.pass().await;
    }
    assert_eq!(snapshots(&stage), 0, "{:#?}", stage.status().gates);
    let with = plan(&stage);
    assert_ne!(with, without);
    assert_eq!(stage.status().schema.as_ref().and_then(|s| s.unmapped), Some(1));
    stage.put("approve/contract", &approval(2, &with)).await;
    stage.play_until(hours(6), |s| schema_phase(s) == "purged").await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn select_star_is_a_reader_and_closes_the_gate_again() {
    let (mut stage, database) = soaking().await;
    database.run("SELECT * FROM customers WHERE id = 1").await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.pass().await;
    assert!(closed(stage.status(), Gate::ReadersGone).is_some());
    stage.pass_time(SignedDuration::from_mins(5));
    stage.pass().await;
    assert_eq!(snapshots(&stage), 0);
    // It was quiet for long enough.
    stage.play_until(hours(12), |s| schema_phase(s) == "purged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_way_of_expand_is_named_and_nothing_waits_behind_it() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    let mut idle = database.shop().await;
    sqlx::raw_sql("BEGIN; SELECT name FROM customers WHERE id = 1")
        .execute(&mut idle)
        .await
        .expect("a transaction");
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until(hours(1), |s| closed(s, Gate::NoBlockers).is_some()).await;
    let message = closed(stage.status(), Gate::NoBlockers).expect("closed");
    assert!(message.contains("shop"), "{message}");
    assert!(!database.has_column("city").await);
    sqlx::raw_sql("COMMIT").execute(&mut idle).await.expect("the end");
    stage.play_until_settled(1).await;
    assert!(database.has_column("city").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_applies_expand_once_and_goes_on_with_the_backfill() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    for _ in 0..30 {
        // Each pass is the last one of its daemon.
        stage.pass().await;
        stage.pass_time(SignedDuration::from_secs(31));
        stage.restart().await;
    }
    stage.play_until_settled(1).await;
    assert_eq!(database.count("SELECT count(*) FROM customers WHERE city IS NULL").await, 0);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_finds_the_change_in_the_database_again() {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    stage.play_until(hours(2), |s| s.rollout.green_weight == Some(40.0)).await;
    stage.lose_ledger().await;
    stage.play_until_settled(1).await;
    assert!(database.has_column("address").await && database.has_column("city").await);
    stage.play_until(hours(1), |s| schema_phase(s) == "soaking").await;
    stage.rest().await;
}

/// A change that only builds an index beside everybody's work, and a transaction that keeps it waiting.
async fn building() -> (Stage, Database, sqlx::PgConnection) {
    let mut stage = Stage::new().await;
    let database = Database::start(&stage).await;
    let mut report = database.shop().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM suppliers")
        .execute(&mut report)
        .await
        .expect("a long report");
    let text = "CREATE INDEX CONCURRENTLY customers_by_name ON customers (name);";
    stage.put("schema/1_expand_index.sql", text).await;
    let spec = schema_spec_from(&stage, "shop:v2", "ssm").replace("structured-address", "name-index");
    stage.put("spec", &spec).await;
    stage.play_until(hours(1), |s| builds_index(s).is_some()).await;
    (stage, database, report)
}

fn builds_index(status: &ReleaseStatus) -> Option<String> {
    let building = |wait: &&Waiting| wait.reason == Reason::BuildingIndex;
    status.waiting.iter().find(building).map(|wait| wait.message.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn green_waits_for_an_index_that_is_built_beside_everybodys_work() {
    let (mut stage, database, mut report) = building().await;
    stage.play_until(hours(1), |s| builds_index(s).is_some_and(|told| told.contains("old snapshots"))).await;
    stage.restart().await;
    stage.play_until(hours(1), |s| builds_index(s).is_some()).await;
    assert_eq!(schema_phase(stage.status()), "expanding");
    assert!(stage.effects().iter().all(|entry| entry.operation != "CreateDeployment"));
    sqlx::raw_sql("COMMIT").execute(&mut report).await.expect("the end of the report");
    stage.play_until_settled(1).await;
    let valid =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('customers_by_name') AND indisvalid";
    assert_eq!(database.count(valid).await, 1);
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_does_not_wait_for_an_index_that_is_being_built() {
    let (mut stage, _database, _report) = building().await;
    stage.put("abort", r#"{"spec": 1}"#).await;
    stage.play_until(hours(1), |s| s.rollout.phase == "rolled-back").await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v1"));
}
