//! What a change costs while it is open: the trigger on each write, the check, and the rollback certificate.
//!
//! On a copy of the same data, without load: ratios inside of one run.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tidegate_model::schema::{CheckScope, FilePhase};
use tidegate_schema::Attempt;

use crate::{Bench, run};

/// Rows that one measured statement writes.
const WRITTEN: i64 = 40_000;
/// Statements that the certificate is about.
const STATEMENTS: u32 = 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// A statement that writes the old form, without and with the triggers.
    mapped: (Duration, Duration),
    /// A statement that writes another column, without and with the triggers.
    unrelated: (Duration, Duration),
    /// The check over every row, and over a sample.
    check: (Duration, Duration),
    /// The certificate when nothing is known of the statements, and when everything is.
    certificate: (Duration, Duration),
    statements: u32,
}

impl Costs {
    pub(crate) async fn measure(bench: &Bench) -> Self {
        let mut server = bench.connect("postgres").await;
        run(&mut server, "CREATE DATABASE bench TEMPLATE seed; CHECKPOINT").await;
        let mut session = bench.connect("bench").await;
        let (mapped, unrelated) =
            (write(&mut session, 0, ADDRESS).await, write(&mut session, 1, EMAIL).await);
        statements(&mut session).await;
        let database = bench.database();
        let job = bench.job(database.claim(&bench.release, "bench", 1).await.unwrap());
        for file in bench.plan.files(FilePhase::Expand) {
            database.expand(job, &file.name).await.unwrap();
        }
        let mapped = (mapped, write(&mut session, 2, ADDRESS).await);
        let unrelated = (unrelated, write(&mut session, 3, EMAIL).await);
        for file in bench.plan.files(FilePhase::Backfill) {
            while !matches!(database.backfill(job, &file.name).await.unwrap(), Attempt::Done(batch) if batch.progress.done)
            {
            }
        }
        run(&mut session, "VACUUM ANALYZE customers").await;
        let check = (
            timed(database.check(&bench.plan)).await.0,
            timed(database.check_scope(&bench.plan, CheckScope::Sample)).await.0,
        );
        // Another role's: our own statements are none of a revision's.
        run(&mut session, "CREATE ROLE watcher LOGIN SUPERUSER PASSWORD 'hunter2-canary'").await;
        let watcher = bench.database_of("watcher");
        let (cold, certificate) = timed(watcher.certificate(&bench.plan)).await;
        let (warm, _) = timed(watcher.certificate(&bench.plan)).await;
        database.close().await;
        watcher.close().await;
        run(&mut server, "DROP DATABASE bench WITH (FORCE); DROP ROLE watcher").await;
        let statements = certificate.unwrap().statements;
        Self { mapped, unrelated, check, certificate: (cold, warm), statements }
    }
}

const ADDRESS: &str = "address = id || ' Oak St, Springfield, IL, 62701'";
const EMAIL: &str = "email = id || '@example.org'";

/// One statement over a slice of the table that no other one writes.
async fn write(session: &mut PgConnection, slice: i64, set: &str) -> Duration {
    let (from, to) = (slice * WRITTEN, (slice + 1) * WRITTEN);
    let sql = format!("UPDATE customers SET {set} WHERE id > {from} AND id <= {to}");
    timed(run(session, &sql)).await.0
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let done = work.await;
    (begun.elapsed(), done)
}

/// As many statements as the certificate is measured with: each answers another set of expressions.
async fn statements(session: &mut PgConnection) {
    let expressions = [
        "id",
        "name",
        "email",
        "address",
        "created_at",
        "upper(name)",
        "lower(email)",
        "length(address)",
        "md5(name)",
        "id + 1",
    ];
    for set in 1..=STATEMENTS {
        let some: Vec<&str> =
            (0..10).filter(|bit| set & (1 << bit) != 0).map(|bit| expressions[bit]).collect();
        run(session, &format!("SELECT {} FROM customers WHERE id = 1", some.join(", "))).await;
    }
}

pub(crate) fn report(rows: i64, all: &[Costs]) {
    let of = |figure: fn(&Costs) -> Duration| {
        let mut times: Vec<f64> = all.iter().map(|costs| figure(costs).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let pair = |what: &str, before: f64, after: f64| {
        println!("{what:<48} {before:>9.1} ms {after:>9.1} ms  {:>5.2}", after / before);
    };
    println!(
        "\n{:<48} {:>12} {:>12}  ratio",
        format!("{WRITTEN} rows in one statement"),
        "without",
        "with triggers"
    );
    pair("written in the old form", of(|costs| costs.mapped.0), of(|costs| costs.mapped.1));
    pair("written in another column", of(|costs| costs.unrelated.0), of(|costs| costs.unrelated.1));
    let million = 1e6 / rows as f64;
    println!(
        "\ncheck of every row {:.0} ms for a million rows, of a sample {:.0} ms",
        of(|costs| costs.check.0) * million,
        of(|costs| costs.check.1)
    );
    let statements = all.first().map_or(0, |costs| costs.statements);
    println!(
        "rollback certificate of {statements} statements {:.0} ms, again {:.0} ms",
        of(|costs| costs.certificate.0),
        of(|costs| costs.certificate.1)
    );
}
