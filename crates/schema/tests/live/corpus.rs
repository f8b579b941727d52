//! Migration statements as people write them, each with what must be known of it: see `tests/corpus/README.md`.
//!
//! The classifier is held against what is written there, and what is written there against a real server.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tidegate_model::spec::Problem;
use tidegate_schema::{
    RawFile,
    classify::{
        Statement,
        lock::{Cost, LockMode, Locked, PhaseClass},
        rule::Rule,
    },
    sql::{self, Lint},
    trace::{self, Scratch},
};

use crate::{
    cluster::{Cluster, PASSWORD},
    world::repo,
};

struct Case {
    file: String,
    line: usize,
    header: String,
    phase: String,
    live: bool,
    text: String,
}

impl Case {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Leading lines stay, so that a place in the text is a place in the case.
    fn raw(&self) -> RawFile {
        RawFile { name: format!("1_{}_case.sql", self.phase), text: self.text.clone() }
    }

    fn lint(&self) -> Lint {
        sql::lint(vec![self.raw()])
    }
}

fn corpus() -> Vec<Case> {
    let folder = repo().join("crates/schema/tests/corpus");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "sql") && !path.ends_with("fixture.sql")
    });
    files.sort();
    files.iter().flat_map(cases).collect()
}

fn cases(path: &PathBuf) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let mut line = 1;
    for block in text.split("\n\n") {
        let header = block.trim_start().lines().next().unwrap_or_default().to_owned();
        let phase = header.strip_prefix("--= ").and_then(|rest| rest.split(' ').next());
        let phase = phase.unwrap_or_else(|| panic!("{}:{line}: no header", path.display())).to_owned();
        found.push(Case {
            file: path.file_name().unwrap().to_string_lossy().into_owned(),
            line,
            header,
            phase,
            live: !block.contains("--@ not live:"),
            text: block.to_owned(),
        });
        line += block.lines().count() + 1;
    }
    found
}

/// A header as it would be, were the classifier right.
fn header(case: &Case, lint: &Lint) -> String {
    let statements: Vec<&Statement> = lint.files.iter().flat_map(|file| &file.statements).collect();
    let class = statements.iter().map(|one| one.class).max().map_or("?", PhaseClass::as_str);
    let cost = statements.iter().map(|one| one.cost).max().map_or("?", Cost::as_str);
    let mut locks: BTreeMap<String, LockMode> = BTreeMap::new();
    for lock in statements.iter().flat_map(|one| &one.locks) {
        let held = locks.entry(lock.on.to_string()).or_insert(lock.mode);
        *held = lock.mode.max(*held);
    }
    let locks: Vec<String> = locks.iter().map(|(on, mode)| format!("{mode} on {on}")).collect();
    let locks = if locks.is_empty() { "-".to_owned() } else { locks.join("; ") };
    let findings = statements.iter().flat_map(|one| &one.findings).map(|finding| {
        let mark = if finding.refuses {
            "!"
        } else if finding.allowed {
            "~"
        } else {
            ""
        };
        format!("{}{mark}", finding.code.as_str())
    });
    let of_case = lint.problems.iter().filter(|problem| problem.path != "source");
    let mut codes: Vec<String> =
        findings.chain(of_case.map(|problem| format!("{}!", problem.code.as_str()))).collect();
    codes.sort();
    codes.dedup();
    format!("--= {} | {class} | {locks} | {cost} | {}", case.phase, codes.join(" ")).trim_end().to_owned()
}

/// With `TIDEGATE_WRITE_CORPUS` set the headers are written anew: to be read by a person, line by line, before they are
/// committed.
#[test]
fn every_statement_is_classified_as_it_is_known_to_be() {
    let cases = corpus();
    assert!(cases.len() >= 150, "{}", cases.len());
    let mut wrong = String::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for case in &cases {
        let found = header(case, &case.lint());
        if found != case.header.trim_end() {
            writeln!(wrong, "{}\n  expected {}\n  found    {found}", case.place(), case.header).unwrap();
        }
        let text = texts.entry(case.file.clone()).or_default();
        writeln!(text, "{}\n", case.text.trim_end().replacen(&case.header, &found, 1)).unwrap();
    }
    if std::env::var_os("TIDEGATE_WRITE_CORPUS").is_some() {
        for (file, text) in texts {
            let path = repo().join("crates/schema/tests/corpus").join(file);
            std::fs::write(path, format!("{}\n", text.trim_end())).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_may_break_a_revision_or_lose_data_never_passes_as_expand_unless_it_is_allowed() {
    for case in corpus().iter().filter(|case| case.phase == "expand") {
        let lint = case.lint();
        for statement in lint.files.iter().flat_map(|file| &file.statements) {
            let allowed = statement.findings.iter().any(|finding| finding.allowed);
            let dangerous = statement.class > PhaseClass::DataDependent && !allowed;
            assert!(!dangerous || !lint.problems.is_empty(), "{}: {statement:?}", case.place());
        }
    }
}

#[test]
fn every_rule_has_a_case() {
    let seen: Vec<Rule> = corpus()
        .iter()
        .flat_map(|case| case.lint().files)
        .flat_map(|file| file.statements)
        .flat_map(|statement| statement.findings)
        .map(|finding| finding.rule)
        .collect();
    let missing: Vec<&Rule> = Rule::ALL.iter().filter(|rule| !seen.contains(rule)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_problem_has_a_place_in_the_file_and_a_way_out() {
    for case in corpus() {
        let lines: Vec<&str> = case.text.lines().collect();
        for Problem { line, column, message, remedy, path, .. } in case.lint().problems {
            assert!(!message.is_empty() && !remedy.is_empty(), "{}", case.place());
            let there =
                lines.get(line as usize - 1).is_some_and(|text| text.chars().count() >= column as usize - 1);
            assert!(there || path == "source", "{}: {line}:{column}", case.place());
        }
    }
}

/// What is expected in the headers, the server does, or less.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_no_more_than_is_written() {
    let cluster = Cluster::start(&[]);
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(cluster.port())
        .username("postgres")
        .password(PASSWORD);
    let mut server = PgConnection::connect_with(&options.clone().database("postgres")).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE corpus").execute(&mut server).await.unwrap();
    let mut database = PgConnection::connect_with(&options.database("corpus")).await.unwrap();
    let fixture = std::fs::read_to_string(repo().join("crates/schema/tests/corpus/fixture.sql")).unwrap();
    sqlx::raw_sql(AssertSqlSafe(fixture)).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/corpus", cluster.port());
    let scratch = Scratch::from_url(&url).unwrap().password(PASSWORD);

    let (mut wrong, mut tried) = (String::new(), 0);
    for case in corpus().iter().filter(|case| case.live) {
        let traced = match trace::trace(&scratch, vec![case.raw()], std::future::pending()).await {
            Ok(traced) => traced,
            // Code that is hidden from the reader is not tried either.
            Err(trace::TraceError::Problems) => continue,
            Err(error) => panic!("{}: {error}", case.place()),
        };
        tried += 1;
        for one in traced {
            if one.failed.is_some() || !one.disagreements.is_empty() {
                writeln!(wrong, "{}: {one:?}", case.place()).unwrap();
            }
            let named = one.locks.iter().flatten().all(|lock| matches!(lock.on, Locked::Table(_)));
            assert!(named, "the server names its tables");
        }
    }
    assert!(tried >= 120, "{tried}");
    assert!(wrong.is_empty(), "{wrong}");
}
