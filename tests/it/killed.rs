//! Live: the daemon is killed with SIGKILL at each step in the database, inside of its transaction and right after its commit.
//! Whatever happened is whole: the catalog and the journal say the same, and the next daemon goes on from there.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tidegate::local::story::INSTANCE;
use tidegate_schema::{Database, Endpoint, Limits, Secret};
use tidegate_tests::live::{Live, RELEASE};

use crate::live::GOLDEN;

/// Holds a transaction up where its journal entry is written, if a test asks for it: long enough to be seen, too short to
/// hurt who waits for its locks.
const BRAKE: &str = "
CREATE SCHEMA brake;
GRANT USAGE ON SCHEMA brake TO PUBLIC;
CREATE TABLE brake.armed (point text);
GRANT SELECT ON brake.armed TO PUBLIC;
CREATE FUNCTION brake.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM brake.armed WHERE point = CASE TG_TABLE_NAME WHEN 'file' THEN to_jsonb(NEW) ->> 'file' ELSE TG_TABLE_NAME END)
    THEN PERFORM pg_sleep(1); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER brake BEFORE INSERT ON tidegate.file FOR EACH ROW EXECUTE FUNCTION brake.hold();
CREATE TRIGGER brake BEFORE INSERT OR UPDATE ON tidegate.backfill FOR EACH ROW EXECUTE FUNCTION brake.hold();
CREATE TRIGGER brake BEFORE INSERT ON tidegate.hide FOR EACH ROW EXECUTE FUNCTION brake.hold();
";

const LIMIT: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(5);

/// The database as a superuser sees it.
struct Witness(PgConnection);

impl Witness {
    /// Lets the daemon's journal be made, so that the brake can be put on it before the first step.
    async fn new(live: &Live) -> Self {
        let options = live.local.sandbox.world().database_options(INSTANCE).expect("the instance");
        claim(&options).await;
        let mut witness = Self(options.connect().await.expect("a session"));
        witness.run(BRAKE).await;
        witness
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.expect("the statement runs");
    }

    async fn is(&mut self, condition: &str) -> bool {
        let sql = AssertSqlSafe(format!("SELECT {condition}"));
        sqlx::query_scalar(sql).fetch_one(&mut self.0).await.expect("a truth")
    }

    async fn until(&mut self, live: &Live, condition: &str) {
        let begun = Instant::now();
        while !self.is(condition).await {
            assert!(begun.elapsed() < LIMIT, "{condition}: not reached; {}", live.state().await);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills the daemon inside of the transaction that writes a journal entry, and waits until the server has noticed.
    async fn kill_inside(&mut self, live: &mut Live, point: &str) {
        self.run(&format!("INSERT INTO brake.armed VALUES ('{point}')")).await;
        let session = "FROM pg_stat_activity WHERE application_name = 'tidegate'";
        self.until(live, &format!("EXISTS (SELECT {session} AND wait_event = 'PgSleep')")).await;
        live.kill().await;
        self.run("DELETE FROM brake.armed").await;
        self.until(live, &format!("NOT EXISTS (SELECT {session})")).await;
    }

    /// Kills the daemon as soon as a commit is seen.
    async fn kill_after(&mut self, live: &mut Live, condition: &str) {
        self.until(live, condition).await;
        live.kill().await;
    }
}

async fn claim(options: &PgConnectOptions) {
    let secret =
        r#"{"username": "tidegate", "password": "sandbox-tidegate-password", "dbname": "ecommerce"}"#;
    let endpoint =
        Endpoint { host: "127.0.0.1".into(), port: options.get_port(), database: "ecommerce".into() };
    let secret = Secret::new(secret.to_owned());
    let database = Database::open(&secret, Some(&endpoint), None, Limits::default()).expect("a database");
    // Of a ledger that is older than any: the daemon's own claim comes after it.
    database.claim(&RELEASE.parse().expect("a name"), "0", 1).await.expect("a claim");
    database.close().await;
}

fn applied(file: &str) -> String {
    format!("EXISTS (SELECT FROM tidegate.file WHERE file = '{file}')")
}

fn column(name: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = '{name}' AND NOT attisdropped)"
    )
}

const HIDDEN: &str = "EXISTS (SELECT FROM tidegate.hide)";
const READABLE: &str = "has_column_privilege('shop', 'customers', 'address', 'SELECT')";
const BEGUN: &str = "EXISTS (SELECT FROM tidegate.backfill)";

#[tokio::test(flavor = "multi_thread")]
async fn killed_inside_and_right_after_each_step_in_the_database() {
    let mut live = Live::start(0).await;
    let mut db = Witness::new(&live).await;
    live.release(2).await;

    db.kill_inside(&mut live, "1_expand_columns.sql").await;
    assert!(!db.is(&column("city")).await && !db.is(&applied("1_expand_columns.sql")).await);
    live.start_daemon().await;
    db.kill_after(&mut live, &applied("1_expand_columns.sql")).await;
    assert!(db.is(&column("city")).await);
    live.start_daemon().await;
    db.kill_inside(&mut live, "2_expand_address-sync.sql").await;
    assert!(
        !db.is("EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'customers'::regclass AND NOT tgisinternal)")
            .await
    );
    assert!(db.is(&applied("1_expand_columns.sql")).await);
    live.start_daemon().await;
    db.kill_inside(&mut live, "backfill").await;
    assert!(!db.is(BEGUN).await);
    live.start_daemon().await;
    db.kill_after(&mut live, BEGUN).await;
    live.start_daemon().await;
    live.settled(1).await;
    assert!(db.is("NOT EXISTS (SELECT FROM customers WHERE address IS NOT NULL AND city IS NULL)").await);

    live.release(3).await;
    live.settled(2).await;
    let plan = live.until("the plan is shown", |s| s.schema.as_ref().map(|s| s.plan.clone())).await;
    let order = json!({ "spec": 2, "plan": plan }).to_string();
    live.people.put("approve/contract", &order).await.expect("the approval is written");
    db.kill_inside(&mut live, "hide").await;
    assert!(!db.is(HIDDEN).await && db.is(READABLE).await);
    live.start_daemon().await;
    db.kill_after(&mut live, HIDDEN).await;
    assert!(!db.is(READABLE).await);
    live.start_daemon().await;
    db.kill_inside(&mut live, "3_contract_address.sql").await;
    assert!(db.is(&column("address")).await && db.is(HIDDEN).await && !db.is(READABLE).await);
    live.start_daemon().await;
    db.kill_after(&mut live, &applied("3_contract_address.sql")).await;
    assert!(!db.is(&column("address")).await && !db.is(HIDDEN).await);
    assert!(db.is("has_table_privilege('shop', 'customers', 'SELECT')").await);
    live.start_daemon().await;
    live.until("contract ends", |s| (s.schema.as_ref()?.phase == "purged").then_some(())).await;

    assert!(db.is("(SELECT count(*) = count(DISTINCT file) AND count(*) = 4 FROM tidegate.file)").await);
    let effects = live.effects();
    let operations: Vec<&str> = effects.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, GOLDEN);
    let report = live.customers.report();
    assert_eq!((report.failed, report.wrong), (0, 0), "{:#?}", report.first_failures);
    let late = live.a_day().await;
    assert!(late.is_empty(), "{late:#?}");
    live.stop().await;
}
