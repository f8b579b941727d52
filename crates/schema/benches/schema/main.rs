//! What a schema change costs whoever uses the database meanwhile: `cargo xtask bench schema`.
//!
//! On copies of the same data, in one run: the load undisturbed; expand and backfill as Tidegate takes them, with a long
//! reader and a session that is idle in its transaction for the first half; one plain UPDATE; and the form that puts ALTER
//! and UPDATE into one transaction. Medians of several runs. Real PostgreSQL, no replica, one machine: ratios say more than
//! figures do.

#![expect(clippy::print_stdout, reason = "its output is its result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

#[path = "../../tests/live/cluster.rs"]
mod cluster;
mod costs;
mod load;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_model::{
    ReleaseName,
    name::Marker,
    schema::{ChangePlan, FilePhase},
    spec::DatabaseSpec,
};
use tidegate_schema::{Attempt, Database, Endpoint, Epoch, Job, Limits, Secret, source, sql};

use crate::{
    cluster::{Cluster, PASSWORD},
    costs::Costs,
    load::{Load, Measured},
};

const SETTLE: Duration = Duration::from_secs(3);
/// How often the old form is hidden and given back in a run.
const TIMES_HIDDEN: u32 = 50;

/// One variant's outcome in one run.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    load: Measured,
    took: Duration,
    wal: i64,
    /// How long the old form took to be hidden, and to be given back: medians of many times, under the load.
    hidden: Option<(Duration, Duration)>,
}

const VARIANTS: [&str; 4] = [
    "undisturbed",
    "expand and backfill by Tidegate",
    "one plain UPDATE",
    "ALTER and UPDATE in one transaction",
];

#[tokio::main]
async fn main() {
    // cargo adds words of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<i64>().ok());
    let (rows, runs) = (numbers.next().unwrap_or(200_000), numbers.next().unwrap_or(3));
    println!("{rows} rows, {runs} runs, medians");
    let bench = Bench::new(rows).await;
    let mut outcomes: [Vec<Outcome>; 4] = Default::default();
    let mut costs = Vec::new();
    for run in 1..=runs {
        for (variant, outcomes) in outcomes.iter_mut().enumerate() {
            let outcome = bench.measure(variant).await;
            println!("run {run}: {}: {outcome:?}", VARIANTS[variant]);
            outcomes.push(outcome);
        }
        let cost = Costs::measure(&bench).await;
        println!("run {run}: {cost:?}");
        costs.push(cost);
    }
    report(rows, &outcomes);
    costs::report(rows, &costs);
}

struct Bench {
    cluster: Cluster,
    rows: i64,
    plan: ChangePlan,
    release: ReleaseName,
    marker: Marker,
}

impl Bench {
    async fn new(rows: i64) -> Self {
        let settings = [("shared_preload_libraries", "pg_stat_statements"), ("max_wal_size", "4GB")];
        let cluster = Cluster::start(&settings);
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/migrations"));
        let files =
            source::read_folder(root.join("structured-address").to_str().unwrap(), &[root.to_owned()])
                .unwrap();
        let spec = DatabaseSpec { secret: "arn".into(), instance: "bench".into() };
        let plan = sql::plan(&"structured-address".parse().unwrap(), &spec, files).unwrap();
        let (release, marker) = ("bench".parse().unwrap(), "tidegate:bench/1-0a1b2c3d/i1".parse().unwrap());
        let bench = Self { cluster, rows, plan, release, marker };
        let mut server = bench.connect("postgres").await;
        run(&mut server, "CREATE DATABASE seed").await;
        let mut seed = bench.connect("seed").await;
        let schema = std::fs::read_to_string(root.join("../../crates/shop/schema.sql")).unwrap();
        run(&mut seed, "CREATE EXTENSION pg_stat_statements").await;
        run(&mut seed, &schema).await;
        let fill = format!(
            "INSERT INTO customers (name, email, address) SELECT 'n' || i, 'e' || i || '@example.com', \
             i || ' Main St, Springfield, IL, 62701' FROM generate_series(1, {rows}) i; ANALYZE customers; \
             CREATE ROLE app; GRANT SELECT, INSERT, UPDATE, DELETE ON customers TO app; \
             CREATE ROLE reports; GRANT SELECT ON customers TO reports"
        );
        run(&mut seed, &fill).await;
        seed.close().await.unwrap();
        bench
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.cluster.port())
            .username("postgres")
            .password(PASSWORD)
            .database(database)
            .application_name("shop")
    }

    async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(database)).await.unwrap()
    }

    fn database(&self) -> Database {
        self.database_of("postgres")
    }

    fn database_of(&self, role: &str) -> Database {
        let secret = Secret::new(format!(r#"{{"username":"{role}","password":"{PASSWORD}"}}"#));
        let endpoint =
            Endpoint { host: "127.0.0.1".into(), port: self.cluster.port(), database: "bench".into() };
        Database::open(&secret, Some(&endpoint), None, Limits::default()).unwrap()
    }

    fn job(&self, epoch: Epoch) -> Job<'_> {
        Job { release: &self.release, plan: &self.plan, marker: &self.marker, epoch }
    }

    /// One variant on a fresh copy, with the load on it.
    async fn measure(&self, variant: usize) -> Outcome {
        let mut server = self.connect("postgres").await;
        run(&mut server, "CREATE DATABASE bench TEMPLATE seed; CHECKPOINT").await;
        let load = Load::start(&self.options("bench"), self.rows);
        tokio::time::sleep(SETTLE).await;
        load.reset();
        let (begun, position) = (Instant::now(), wal_position(&mut server).await);
        let mut hidden = None;
        match variant {
            0 => tokio::time::sleep(Duration::from_secs(15)).await,
            1 => hidden = Some(self.by_tidegate().await),
            2 => self.plain_update().await,
            _ => self.in_one_transaction().await,
        }
        let spent = hidden.map_or(Duration::ZERO, |(hide, unhide)| (hide + unhide) * TIMES_HIDDEN);
        let took = begun.elapsed().saturating_sub(spent);
        let wal = wal_since(&mut server, &position).await;
        let measured = load.measured();
        load.stop().await;
        run(&mut server, "DROP DATABASE bench WITH (FORCE)").await;
        Outcome { load: measured, took, wal, hidden }
    }

    /// As the daemon does it: no DDL while somebody would make it wait, one batch after another. Then hides and gives back.
    async fn by_tidegate(&self) -> (Duration, Duration) {
        let database = self.database();
        let job = self.job(database.claim(&self.release, "bench", 1).await.unwrap());
        let (mut reader, mut idle) = (self.connect("bench").await, self.connect("bench").await);
        run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM suppliers").await;
        run(&mut idle, "BEGIN; SELECT name FROM customers WHERE id = 1").await;
        let ends = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            run(&mut idle, "COMMIT").await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            run(&mut reader, "COMMIT").await;
        });
        for file in self.plan.files(FilePhase::Expand) {
            loop {
                let free = database.blockers(&self.plan).await.unwrap().is_empty();
                if free && database.expand(job, &file.name).await.unwrap() == Attempt::Done(()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        for file in self.plan.files(FilePhase::Backfill) {
            while !matches!(database.backfill(job, &file.name).await.unwrap(), Attempt::Done(batch) if batch.progress.done)
            {
            }
        }
        ends.await.unwrap();
        let (mut hides, mut unhides) = (Vec::new(), Vec::new());
        for _ in 0..TIMES_HIDDEN {
            let begun = Instant::now();
            assert_eq!(database.hide(job).await.unwrap(), Attempt::Done(()));
            hides.push(begun.elapsed());
            let begun = Instant::now();
            assert_eq!(database.unhide(job).await.unwrap(), Attempt::Done(()));
            unhides.push(begun.elapsed());
        }
        database.close().await;
        hides.sort();
        unhides.sort();
        (hides[hides.len() / 2], unhides[unhides.len() / 2])
    }

    /// The columns are there already; then every row at once.
    async fn plain_update(&self) {
        let mut session = self.connect("bench").await;
        run(&mut session, COLUMNS).await;
        run(&mut session, UPDATE).await;
    }

    async fn in_one_transaction(&self) {
        let mut session = self.connect("bench").await;
        run(&mut session, &format!("BEGIN; {COLUMNS}; {UPDATE}; COMMIT")).await;
    }
}

const COLUMNS: &str = "ALTER TABLE customers ADD COLUMN street_address text, ADD COLUMN city text, \
                       ADD COLUMN state varchar(2), ADD COLUMN zip_code varchar(10)";
/// Plain splitting, without the mapping's care: the cheapest that such an UPDATE can be.
const UPDATE: &str = "UPDATE customers SET street_address = split_part(address, ', ', 1), \
                      city = split_part(address, ', ', 2), state = split_part(address, ', ', 3), \
                      zip_code = split_part(address, ', ', 4)";

async fn run(connection: &mut PgConnection, sql: &str) {
    // Each statement by itself: some of them cannot run with others.
    for statement in sql.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await.unwrap();
    }
}

async fn wal_position(server: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(server).await.unwrap()
}

async fn wal_since(server: &mut PgConnection, position: &str) -> i64 {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::int8";
    sqlx::query_scalar(sql).bind(position).fetch_one(server).await.unwrap()
}

fn report(rows: i64, outcomes: &[Vec<Outcome>; 4]) {
    let base = median(&outcomes[0], |outcome| outcome.load.p99.as_secs_f64() * 1e3);
    println!(
        "\n{:<36} {:>9} {:>8} {:>11} {:>9} {:>9} {:>9}",
        "", "p99 ms", "ratio", "longest ms", "took s", "rows/s", "WAL B/row"
    );
    for (name, outcomes) in VARIANTS.iter().zip(outcomes) {
        let p99 = median(outcomes, |outcome| outcome.load.p99.as_secs_f64() * 1e3);
        let longest = median(outcomes, |outcome| outcome.load.longest.as_secs_f64() * 1e3);
        let took = median(outcomes, |outcome| outcome.took.as_secs_f64());
        let requests = median(outcomes, |outcome| outcome.load.requests as f64 / outcome.took.as_secs_f64());
        let wal = median(outcomes, |outcome| outcome.wal as f64 / rows as f64);
        let rate = rows as f64 / took;
        println!(
            "{name:<36} {p99:>9.2} {:>8.2} {longest:>11.1} {took:>9.1} {rate:>9.0} {wal:>9.0}   ({requests:.0} requests a second)",
            p99 / base
        );
    }
    let hidden = |of: fn((Duration, Duration)) -> Duration| {
        median(&outcomes[1], |outcome| outcome.hidden.map_or(0.0, |times| of(times).as_secs_f64() * 1e3))
    };
    println!("\nhide {:.1} ms, give back {:.1} ms", hidden(|times| times.0), hidden(|times| times.1));
    println!(
        "\nPublished for pgroll (its repository, November 2024, another machine): a backfill of 9 000 to 56 000 rows a second, \
         and an UPDATE 4.2 times slower while its trigger is there."
    );
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    let mut all: Vec<f64> = outcomes.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
