//! What is told from a statement's text against what a real server does: the locks that it takes, and whether it rewrites.
//!
//! Each row is a fact about PostgreSQL that the safety of an expand step rests on. The server is asked, then the
//! classifier: it may fear more than happens, never less.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_schema::{
    RawFile,
    classify::lock::{Cost, LockMode, Locked},
    sql,
    trace::{self, Scratch, Traced},
};

use crate::cluster::{Cluster, PASSWORD};

const FIXTURE: &str = "
    CREATE TABLE p (id bigint PRIMARY KEY);
    CREATE TABLE t (id bigint PRIMARY KEY, a varchar(50), b integer, p bigint, n integer);
    CREATE TABLE child (id bigint PRIMARY KEY, t bigint CONSTRAINT child_t REFERENCES t);
    CREATE TABLE whole (id bigint) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
    CREATE TABLE loose (id bigint);
    ALTER TABLE t ADD CONSTRAINT old CHECK (b > 0) NOT VALID, ADD CONSTRAINT a_there CHECK (a IS NOT NULL) NOT VALID,
        ADD CONSTRAINT pf FOREIGN KEY (p) REFERENCES p NOT VALID;
    CREATE INDEX t_a ON t (a);
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;
    INSERT INTO p VALUES (1);
    INSERT INTO t SELECT i, 'x', 1, 1, 1 FROM generate_series(1, 100) i;
    CREATE ROLE somebody;
";

use LockMode::{AccessExclusive, Share, ShareRowExclusive, ShareUpdateExclusive};

/// A statement, the locks that the server must take, and the tables that it must rewrite.
type Row = (&'static str, &'static [(&'static str, LockMode)], &'static [&'static str]);

const ROWS: &[Row] = &[
    ("ALTER TABLE t ADD COLUMN x text", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ADD COLUMN x int DEFAULT 7", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ADD COLUMN x timestamptz DEFAULT now()", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ADD COLUMN x int NOT NULL DEFAULT 7", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ADD COLUMN x timestamptz DEFAULT clock_timestamp()", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ADD COLUMN x int GENERATED ALWAYS AS (b * 2) STORED", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ADD COLUMN x bigint GENERATED ALWAYS AS IDENTITY", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ADD COLUMN x bigserial", &[("t", AccessExclusive)], &["t"]),
    (
        "ALTER TABLE t ADD COLUMN x bigint REFERENCES p",
        &[("t", AccessExclusive), ("p", ShareRowExclusive)],
        &[],
    ),
    ("ALTER TABLE t DROP COLUMN a", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t RENAME COLUMN a TO z", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t RENAME CONSTRAINT old TO older", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a SET DEFAULT 'x'", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a DROP DEFAULT", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN n DROP NOT NULL", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t DROP CONSTRAINT old", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE child DROP CONSTRAINT child_t", &[("child", AccessExclusive), ("t", AccessExclusive)], &[]),
    ("ALTER TABLE t REPLICA IDENTITY FULL", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN n SET NOT NULL", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a TYPE varchar(100)", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a TYPE text", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a TYPE varchar(10)", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ALTER COLUMN b TYPE bigint", &[("t", AccessExclusive)], &["t"]),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0) NOT VALID", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t VALIDATE CONSTRAINT old", &[("t", ShareUpdateExclusive)], &[]),
    ("ALTER TABLE t VALIDATE CONSTRAINT pf", &[("t", ShareUpdateExclusive)], &[]),
    (
        "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (p) REFERENCES p NOT VALID",
        &[("t", ShareRowExclusive), ("p", ShareRowExclusive)],
        &[],
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (p) REFERENCES p",
        &[("t", ShareRowExclusive), ("p", ShareRowExclusive)],
        &[],
    ),
    ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (id, a)", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE loose ADD PRIMARY KEY (id)", &[("loose", AccessExclusive)], &[]),
    ("CREATE INDEX i ON t (b)", &[("t", Share)], &[]),
    ("DROP INDEX t_a", &[("t", AccessExclusive)], &[]),
    ("ANALYZE t", &[("t", ShareUpdateExclusive)], &[]),
    ("COMMENT ON TABLE t IS 'x'", &[("t", ShareUpdateExclusive)], &[]),
    ("COMMENT ON COLUMN t.a IS 'x'", &[("t", ShareUpdateExclusive)], &[]),
    ("ALTER TABLE t ALTER COLUMN a SET STATISTICS 500", &[("t", ShareUpdateExclusive)], &[]),
    ("ALTER TABLE t SET (fillfactor = 70)", &[("t", ShareUpdateExclusive)], &[]),
    (
        "CREATE TRIGGER tr2 BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        &[("t", ShareRowExclusive)],
        &[],
    ),
    ("ALTER TABLE t DISABLE TRIGGER tr", &[("t", ShareRowExclusive)], &[]),
    ("DROP TRIGGER tr ON t", &[("t", AccessExclusive)], &[]),
    ("CREATE TABLE fresh (id bigint PRIMARY KEY, p bigint REFERENCES p)", &[("p", ShareRowExclusive)], &[]),
    ("CREATE VIEW v AS SELECT id FROM t", &[], &[]),
    ("GRANT SELECT ON t TO somebody", &[], &[]),
    ("REVOKE SELECT (a) ON t FROM somebody", &[], &[]),
    ("REINDEX TABLE t", &[("t", Share)], &[]),
    ("TRUNCATE loose", &[("loose", AccessExclusive)], &["loose"]),
    ("DROP TABLE child", &[("child", AccessExclusive), ("t", AccessExclusive)], &[]),
    ("ALTER TABLE whole ADD COLUMN x text", &[("whole", AccessExclusive), ("part", AccessExclusive)], &[]),
    (
        "ALTER TABLE whole ATTACH PARTITION loose FOR VALUES FROM (10) TO (20)",
        &[("whole", ShareUpdateExclusive), ("loose", AccessExclusive)],
        &[],
    ),
    (
        "ALTER TABLE whole DETACH PARTITION part",
        &[("whole", AccessExclusive), ("part", AccessExclusive)],
        &[],
    ),
    ("CREATE POLICY only_own ON t USING (true)", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", &[("t", AccessExclusive)], &[]),
    ("ALTER TABLE loose SET UNLOGGED", &[("loose", AccessExclusive)], &["loose"]),
    ("CLUSTER t USING t_pkey", &[("t", AccessExclusive)], &["t"]),
    ("REFRESH MATERIALIZED VIEW mv", &[("mv", AccessExclusive)], &["mv"]),
    ("CREATE STATISTICS s ON a, b FROM t", &[("t", ShareUpdateExclusive)], &[]),
    ("LOCK TABLE t IN SHARE MODE", &[("t", Share)], &[]),
];

/// A database with the fixture that nobody is connected to.
async fn scratch(cluster: &Cluster) -> Scratch {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(cluster.port())
        .username("postgres")
        .password(PASSWORD);
    let mut server = PgConnection::connect_with(&options.clone().database("postgres")).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE scratch").execute(&mut server).await.unwrap();
    let mut database = PgConnection::connect_with(&options.database("scratch")).await.unwrap();
    sqlx::raw_sql(FIXTURE).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/scratch", cluster.port());
    Scratch::from_url(&url).unwrap().password(PASSWORD)
}

fn file(name: &str, text: &str) -> Vec<RawFile> {
    vec![RawFile { name: name.to_owned(), text: text.to_owned() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_takes_the_locks_that_are_known_of_it_and_no_more_than_its_text_tells() {
    let cluster = Cluster::start(&[]);
    let scratch = scratch(&cluster).await;
    let mut wrong = Vec::new();
    for (text, locks, rewritten) in ROWS {
        let traced =
            trace::trace(&scratch, file("1_expand_a.sql", text), std::future::pending()).await.unwrap();
        let [seen] = traced.as_slice() else { panic!("{text}: {traced:?}") };
        let expected: BTreeSet<(String, LockMode)> =
            locks.iter().map(|(table, mode)| (format!("public.{table}"), *mode)).collect();
        let rewrote: Vec<String> = seen.rewrote.iter().map(|table| table.table.clone()).collect();
        if strong(seen) != expected || rewrote != *rewritten || seen.failed.is_some() {
            wrong.push(format!("{text}: the server: {seen:?}"));
        }
        if !seen.disagreements.is_empty() {
            wrong.push(format!("{text}: {:?}", seen.disagreements));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Locks that stop more than a schema change of somebody else's.
fn strong(seen: &Traced) -> BTreeSet<(String, LockMode)> {
    seen.locks
        .iter()
        .flatten()
        .filter(|lock| lock.mode >= ShareUpdateExclusive)
        .map(|lock| match &lock.on {
            Locked::Table(table) => (table.to_string(), lock.mode),
            Locked::TableOfIndex(_) | Locked::Unnamed => panic!("the server names its tables"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_text_cannot_tell_is_a_disagreement_and_the_scratch_database_is_left_as_it_was() {
    let cluster = Cluster::start(&[]);
    let scratch = scratch(&cluster).await;
    // A domain with a constraint makes the server look at every row; the text only has its name.
    let files = vec![
        RawFile {
            name: "1_expand_domain.sql".into(),
            text: "CREATE DOMAIN positive AS integer CHECK (VALUE > 0);".into(),
        },
        RawFile {
            name: "2_expand_column.sql".into(),
            text: "ALTER TABLE t ADD COLUMN x positive DEFAULT 1;".into(),
        },
    ];
    assert!(sql::lint(files.clone()).problems.iter().all(|problem| problem.path == "source"));
    let traced = trace::trace(&scratch, files, std::future::pending()).await.unwrap();
    assert_eq!(traced.len(), 2, "{traced:?}");
    assert!(traced[1].disagreements.iter().any(|told| told.contains("rewrites public.t")), "{traced:?}");

    let again = trace::trace(
        &scratch,
        file("1_expand_a.sql", "ALTER TABLE t ADD COLUMN x text"),
        std::future::pending(),
    );
    assert_eq!(again.await.unwrap()[0].failed, None, "the first trace left no column behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_ends_the_trace_with_its_sqlstate() {
    let cluster = Cluster::start(&[]);
    let scratch = scratch(&cluster).await;
    let text =
        "ALTER TABLE t ADD COLUMN x text; ALTER TABLE t ADD COLUMN id text; ALTER TABLE t ADD COLUMN y text;";
    let traced = trace::trace(&scratch, file("1_expand_a.sql", text), std::future::pending()).await.unwrap();
    assert_eq!(traced.len(), 2, "{traced:?}");
    assert!(traced[1].failed.as_ref().is_some_and(|why| why.contains("42701")), "{traced:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_built_concurrently_is_tried_outside_of_a_transaction() {
    let cluster = Cluster::start(&[]);
    let scratch = scratch(&cluster).await;
    let text = "CREATE INDEX CONCURRENTLY i ON t (b)";
    let traced = trace::trace(&scratch, file("1_expand_a.sql", text), std::future::pending()).await.unwrap();
    assert_eq!((traced[0].locks.as_ref(), traced[0].failed.as_ref()), (None, None), "{traced:?}");
    let lint = sql::lint(file("1_expand_a.sql", text));
    let statement = &lint.files[0].statements[0];
    assert!(!statement.transactional && statement.cost == Cost::Build);
    assert_eq!(statement.locks[0].mode, ShareUpdateExclusive);
}
