//! The old form is hidden before it goes: who misses it gets it back, and nothing goes that somebody misses. In virtual time
//! on a real PostgreSQL, whose own log is read through Amazon RDS's operations.

use jiff::SignedDuration;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tidegate_model::{gate::Gate, status::ReleaseStatus};
use tidegate_tests::{database::Database, stage::Stage};

use crate::schema::{approval, closed, hours, plan, schema_phase, snapshots, soaking};

const OLD: &str = "SELECT address FROM customers WHERE id = 7";

/// The SQLSTATE with which the application's statement is refused, if it is.
async fn refused(database: &Database, sql: &str) -> Option<String> {
    let answer = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut database.shop().await).await;
    let code = |error: &sqlx::Error| Some(error.as_database_error()?.code()?.into_owned());
    answer.err().map(|error| code(&error).expect("a SQLSTATE"))
}

async fn as_superuser(stage: &Stage, sql: &str) {
    let options = stage.sandbox.world().database_options("ecommerce-db").expect("the instance runs");
    let mut session = options.connect().await.expect("a session");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut session).await.expect("the statement runs");
}

fn has_event(status: &ReleaseStatus, reason: &str) -> bool {
    status.events.iter().any(|event| event.reason == reason)
}

/// Approved, and hidden.
async fn hidden() -> (Stage, Database) {
    let (mut stage, database) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.play_until(hours(2), |s| schema_phase(s) == "hidden").await;
    assert_eq!(refused(&database, OLD).await.as_deref(), Some("42501"));
    (stage, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_misses_the_hidden_form_has_it_back_within_a_pass_and_the_quiet_window_begins_anew() {
    let (mut stage, database) = hidden().await;
    stage.play_until(SignedDuration::from_mins(5), |s| schema_phase(s) == "soaking").await;
    assert_eq!(refused(&database, OLD).await, None);
    let status = stage.status();
    assert!(has_event(status, "HiddenFormMissed") && has_event(status, "Unhidden"), "{:?}", status.events);
    let reader = status.schema.as_ref().and_then(|schema| schema.last_reader.clone()).expect("a reader");
    assert!(reader.contains("SELECT address") && !reader.contains('7'), "{reader}");
    assert!(closed(status, Gate::RecurrenceCovered).is_some());
    assert_eq!(snapshots(&stage), 0);
    // Nobody misses it the next time.
    stage.play_until(hours(12), |s| schema_phase(s) == "purged").await;
    assert!(!database.has_column("address").await);
    database.run("SELECT * FROM customers").await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_does_not_keep_the_hidden_form_from_whoever_misses_it() {
    let (mut stage, database) = hidden().await;
    stage.put("hold", "{}").await;
    stage.play_until(SignedDuration::from_mins(5), |s| schema_phase(s) == "soaking").await;
    assert_eq!(refused(&database, OLD).await, None);
    stage.pass_time(hours(3));
    stage.pass().await;
    assert_eq!((schema_phase(stage.status()), snapshots(&stage)), ("soaking", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_gives_the_hidden_form_back_before_the_old_version_is_deployed_again() {
    let (mut stage, database) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.play_until(hours(2), |s| schema_phase(s) == "hidden").await;
    stage.put("abort", r#"{"spec": 2}"#).await;
    stage.play_until(hours(2), |s| s.rollout.phase == "rolled-back").await;
    assert_eq!(stage.serving_image().as_deref(), Some("shop:v2"));
    assert_eq!(refused(&database, OLD).await, None);
    let events = &stage.status().events;
    let last = |reason: &str| events.iter().rposition(|event| event.reason == reason);
    assert!(last("HiddenFormWanted").is_some(), "{events:?}");
    assert!(last("Unhidden") < last("DeploymentCreated"), "{events:?}");
    // The approval was of version 2 of the spec while it served.
    stage.rest().await;
    assert!(
        closed(stage.status(), Gate::ContractApproved).is_some_and(|m| m.contains("older than the rollback"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_hidden_while_the_log_would_not_show_whom_that_stops() {
    let (mut stage, _database) = soaking().await;
    as_superuser(&stage, "ALTER ROLE shop SET log_min_messages = 'panic'").await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage
        .play_until(hours(2), |s| closed(s, Gate::HiddenLongEnough).is_some_and(|m| m.contains("of its own")))
        .await;
    stage.pass_time(hours(3));
    stage.pass().await;
    assert_eq!(schema_phase(stage.status()), "soaking");
    as_superuser(&stage, "ALTER ROLE shop RESET log_min_messages").await;
    stage.play_until(hours(2), |s| schema_phase(s) == "hidden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_in_every_pass_hides_once_and_purges_what_nobody_missed() {
    let (mut stage, database) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    for _ in 0..90 {
        // Each pass is the last one of its daemon.
        stage.pass().await;
        stage.pass_time(SignedDuration::from_secs(61));
        stage.restart().await;
    }
    stage.play_until(hours(6), |s| schema_phase(s) == "purged").await;
    assert!(!database.has_column("address").await);
    assert_eq!(snapshots(&stage), 1);
    database.run("SELECT * FROM customers").await;
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_finds_what_is_hidden_and_begins_the_quarantine_anew() {
    let (mut stage, database) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    stage.play_until(hours(2), |s| schema_phase(s) == "hidden").await;
    stage.pass_time(SignedDuration::from_mins(50));
    stage.lose_ledger().await;
    stage.play_until(hours(1), |s| schema_phase(s) == "hidden").await;
    assert!(database.has_column("address").await);
    // Who misses it has it back all the same.
    assert_eq!(refused(&database, OLD).await.as_deref(), Some("42501"));
    stage.play_until(SignedDuration::from_mins(5), |s| schema_phase(s) == "soaking").await;
    assert_eq!(refused(&database, OLD).await, None);
}
