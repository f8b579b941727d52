//! A change tried on a copy: the locks that it really takes and the tables that it really rewrites.
//!
//! Called by `tidegate lint --database`. What the text says is a second opinion; what the server does is the first. The
//! given database is only copied (`CREATE DATABASE ... TEMPLATE`), and the copy is dropped at the end whatever happens; it
//! needs the right to create databases, and nobody else may be connected to the given one. It must never be a database
//! that serves anybody: a copy is made of all that is in it.

mod observe;
mod proof;
pub mod rehearse;
mod scratch;

use std::{collections::BTreeMap, slice, time::Instant};

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};
use tidegate_model::schema::{FilePhase, MigrationFile, TableName};

pub(crate) use self::proof::Proof;
pub use self::scratch::{Scratch, TraceError};
use crate::{
    RawFile,
    classify::{
        Statement,
        lock::{Cost, Lock, LockMode, Locked},
        rule::Rule,
    },
    failure::Failure,
    sql,
};

/// What one statement did on the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traced {
    /// The file.
    pub file: String,
    /// The statement's line, from 1.
    pub line: u32,
    /// What it is.
    pub what: String,
    /// The locks that it took on tables that were there before the change, strongest for each. `None` where the server
    /// cannot be asked: the statement runs outside of a transaction.
    pub locks: Option<Vec<Lock>>,
    /// Tables that were there before the change and were written anew.
    pub rewrote: Vec<TableName>,
    /// How long it ran, on the copy and with nobody in its way.
    pub microseconds: u64,
    /// What the server wrote to its log meanwhile, other sessions' writes included.
    pub wal_bytes: u64,
    /// Where the server did more than was told from the text.
    pub disagreements: Vec<String>,
    /// The SQLSTATE, or another word for why it failed. Nothing after it was tried.
    pub failed: Option<String>,
}

/// Tries every expand and contract file of a change on a copy of a database, statement by statement.
///
/// Backfills and checks are not run: they take no lock that stops anybody. Statements after one that fails are not tried.
/// The copy is dropped as well if `stop` ends first.
///
/// # Errors
///
/// [`TraceError`] if the change could not be tried; what a statement did wrong is in its [`Traced`].
pub async fn trace(
    scratch: &Scratch,
    files: Vec<RawFile>,
    stop: impl Future<Output = ()>,
) -> Result<Vec<Traced>, TraceError> {
    let scripts =
        sql::scripts(files).filter(|all| all.iter().all(may_be_tried)).ok_or(TraceError::Problems)?;
    scratch.with_copy(stop, async |mut connection| run(&mut connection, scripts).await).await
}

/// False for statements that would reach beyond the copy, or out of the transaction in which their locks are seen.
fn may_be_tried(script: &Script) -> bool {
    let reaches_out = |rule| {
        [
            Rule::NotTransactional,
            Rule::ControlsTransaction,
            Rule::ChangesSettings,
            Rule::RunsCode,
            Rule::NotAlone,
        ]
        .contains(&rule)
    };
    let builds_index = |statement: &Statement| statement.cost == Cost::Build && script.statements.len() == 1;
    script.statements.iter().all(|(_, statement)| {
        builds_index(statement) || !statement.findings.iter().any(|finding| reaches_out(finding.rule))
    })
}

/// A file's statements as they run: text and classification.
pub(crate) struct Script {
    pub(crate) file: String,
    pub(crate) phase: FilePhase,
    pub(crate) statements: Vec<(String, Statement)>,
    /// The file as a plan has it; none if something refuses it.
    pub(crate) migration: Option<MigrationFile>,
}

async fn run(connection: &mut PgConnection, scripts: Vec<Script>) -> Result<Vec<Traced>, Failure> {
    let before = observe::tables(connection).await?;
    let mut traced = Vec::new();
    for script in scripts {
        if !matches!(script.phase, FilePhase::Expand | FilePhase::Contract) {
            continue;
        }
        let done = run_file(connection, &script, &before, &mut traced).await?;
        if !done {
            break;
        }
    }
    Ok(traced)
}

/// One file as one transaction; false if a statement failed.
async fn run_file(
    connection: &mut PgConnection,
    script: &Script,
    before: &observe::Tables,
    traced: &mut Vec<Traced>,
) -> Result<bool, Failure> {
    let transactional = script.statements.iter().all(|(_, statement)| statement.transactional);
    if transactional {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    }
    let mut held: BTreeMap<TableName, LockMode> = BTreeMap::new();
    for (text, statement) in &script.statements {
        let files = observe::files(connection, before).await?;
        let indexes = observe::indexes(connection).await?;
        let position = observe::wal_position(connection).await?;
        let begun = Instant::now();
        let outcome = sqlx::raw_sql(AssertSqlSafe(text.clone())).execute(&mut *connection).await;
        let microseconds = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut told = Traced {
            file: script.file.clone(),
            line: statement.line,
            what: statement.what.clone(),
            locks: None,
            rewrote: Vec::new(),
            microseconds,
            wal_bytes: 0,
            disagreements: Vec::new(),
            failed: None,
        };
        if let Err(error) = outcome {
            told.failed = Some(Failure::from(error).to_string());
            traced.push(told);
            if transactional {
                sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            }
            return Ok(false);
        }
        told.wal_bytes = observe::wal_since(connection, &position).await?;
        told.rewrote = observe::rewritten(connection, before, &files).await?;
        if transactional {
            let now = observe::locks(connection, before).await?;
            let taken = now.iter().filter(|(table, mode)| held.get(*table).is_none_or(|held| held < mode));
            let lock = |(table, mode): (&TableName, &LockMode)| Lock {
                on: Locked::Table(table.clone()),
                mode: *mode,
            };
            told.locks = Some(taken.map(lock).collect());
            held = now;
        }
        let strong = told.locks.iter().flatten().filter_map(|lock| match &lock.on {
            Locked::Table(table) => Some((table, lock.mode)),
            Locked::TableOfIndex(_) | Locked::Unnamed => None,
        });
        let did = Did { locks: strong.collect(), rewrote: &told.rewrote };
        told.disagreements = disagreements(slice::from_ref(statement), &did, &indexes, before);
        traced.push(told);
    }
    if transactional {
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
    }
    Ok(true)
}

/// What statements did to tables that were there before.
struct Did<'a> {
    locks: Vec<(&'a TableName, LockMode)>,
    rewrote: &'a [TableName],
}

/// Where the server did more than the texts told. Less is no disagreement: the classifier takes the harder case.
fn disagreements(
    statements: &[Statement],
    did: &Did<'_>,
    indexes: &observe::Indexes,
    before: &observe::Tables,
) -> Vec<String> {
    let mut found = Vec::new();
    for (table, mode) in did.locks.iter().filter(|(_, mode)| *mode >= LockMode::ShareUpdateExclusive) {
        let expected = statements
            .iter()
            .flat_map(|statement| &statement.locks)
            .filter(|known| match &known.on {
                Locked::Table(named) => named == *table || before.is_part_of(table, named),
                Locked::TableOfIndex(index) => indexes.get(index) == Some(table),
                Locked::Unnamed => true,
            })
            .map(|known| known.mode)
            .max();
        if expected.is_none_or(|expected| expected < *mode) {
            let known = expected.map_or("no lock", LockMode::as_str);
            found.push(format!("it takes {mode} on {table}; its text told of {known}"));
        }
    }
    if statements.iter().all(|statement| statement.cost < Cost::Rewrite) {
        found.extend(did.rewrote.iter().map(|table| format!("it rewrites {table}; its text did not tell")));
    }
    found
}
