//! A change tried on a copy: the locks that it really takes and the tables that it really rewrites.
//!
//! Called by `tidegate lint --database`. What the text says is a second opinion; what the server does is the first. The
//! given database is only copied (`CREATE DATABASE ... TEMPLATE`), and the copy is dropped at the end whatever happens; it
//! needs the right to create databases, and nobody else may be connected to the given one. It must never be a database
//! that serves anybody: a copy is made of all that is in it.

mod observe;

use std::{
    collections::BTreeMap,
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Serialize;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tidegate_model::schema::{FilePhase, TableName};

use crate::{
    RawFile, catalog,
    classify::{
        Statement,
        lock::{Cost, Lock, LockMode, Locked},
        rule::Rule,
    },
    connect,
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
    /// Where the server did more than was told from the text.
    pub disagreements: Vec<String>,
    /// The SQLSTATE, or another word for why it failed. Nothing after it was tried.
    pub failed: Option<String>,
}

/// Why a change could not be tried at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The URL is not one of a PostgreSQL database.
    #[error("the database's address is not a URL like postgres://user@host/name")]
    Url,
    /// A URL stands in the list of processes, and a password must not.
    #[error("the database's address holds a password; use PGPASSWORD or PGPASSFILE")]
    Password,
    /// The copy could not be made.
    #[error("copy the database: {0}")]
    Copy(Failure),
    /// The copy could not be used.
    #[error("try the change on a copy of the database")]
    Server(#[from] Failure),
    /// It was stopped; the copy is gone.
    #[error("interrupted")]
    Interrupted,
    /// A file does not parse, or a statement would reach beyond the copy or out of its transaction.
    #[error("the files have statements that cannot be tried on a copy; mend the problems first")]
    Problems,
}

/// A database to copy. Has no `Debug`: it may hold a password.
pub struct Scratch(PgConnectOptions);

impl Scratch {
    /// From a URL without a password; the server's usual environment variables and password file hold that.
    ///
    /// # Errors
    /// [`TraceError::Url`] and [`TraceError::Password`].
    pub fn from_url(url: &str) -> Result<Self, TraceError> {
        let (_, rest) = url.split_once("://").ok_or(TraceError::Url)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
            || rest.contains("password=")
        {
            return Err(TraceError::Password);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| TraceError::Url)?;
        let options = if connect::is_local(options.get_host()) {
            options
        } else {
            options.ssl_mode(PgSslMode::VerifyFull)
        };
        Ok(Self(options.application_name(connect::APPLICATION).disable_statement_logging()))
    }

    /// The same database with a password.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        Self(self.0.password(password))
    }
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
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let options = &scratch.0;
    let scripts =
        sql::scripts(files).filter(|all| all.iter().all(may_be_tried)).ok_or(TraceError::Problems)?;
    let name = format!("tidegate_trace_{}_{}", std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
    copy(options, &name).await?;
    let shadow = options.clone().database(&name);
    let tried = tokio::select! {
        tried = run(&shadow, scripts) => tried.map_err(TraceError::Server),
        () = stop => Err(TraceError::Interrupted),
    };
    let dropped = drop_copy(options, &name).await;
    let traced = tried?;
    dropped?;
    Ok(traced)
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

async fn copy(options: &PgConnectOptions, name: &str) -> Result<(), TraceError> {
    let source = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
    let mut server = maintenance(options).await.map_err(TraceError::Copy)?;
    let sql = format!("CREATE DATABASE {} TEMPLATE {}", catalog::quoted(name), catalog::quoted(&source));
    let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await;
    drop(server.close().await);
    made.map(drop).map_err(|error| TraceError::Copy(error.into()))
}

async fn drop_copy(options: &PgConnectOptions, name: &str) -> Result<(), Failure> {
    let mut server = maintenance(options).await?;
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", catalog::quoted(name));
    let dropped = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await;
    drop(server.close().await);
    Ok(dropped.map(drop)?)
}

/// A database that is on every server, from which others are made.
async fn maintenance(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    Ok(PgConnection::connect_with(&options.clone().database("postgres")).await?)
}

/// A file's statements as they run: text and classification.
pub(crate) struct Script {
    pub(crate) file: String,
    pub(crate) phase: FilePhase,
    pub(crate) statements: Vec<(String, Statement)>,
}

async fn run(options: &PgConnectOptions, scripts: Vec<Script>) -> Result<Vec<Traced>, Failure> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql("SET search_path = public; SET lock_timeout = '5s'").execute(&mut connection).await?;
    let before = observe::tables(&mut connection).await?;
    let mut traced = Vec::new();
    for script in scripts {
        if !matches!(script.phase, FilePhase::Expand | FilePhase::Contract) {
            continue;
        }
        let done = run_file(&mut connection, &script, &before, &mut traced).await?;
        if !done {
            break;
        }
    }
    drop(connection.close().await);
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
        let outcome = sqlx::raw_sql(AssertSqlSafe(text.clone())).execute(&mut *connection).await;
        let mut told = Traced {
            file: script.file.clone(),
            line: statement.line,
            what: statement.what.clone(),
            locks: None,
            rewrote: Vec::new(),
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
        told.disagreements = disagreements(statement, &told, &indexes, before);
        traced.push(told);
    }
    if transactional {
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
    }
    Ok(true)
}

/// Where the server did more than the text told. Less is no disagreement: the classifier takes the harder case.
fn disagreements(
    statement: &Statement,
    told: &Traced,
    indexes: &observe::Indexes,
    before: &observe::Tables,
) -> Vec<String> {
    let mut found = Vec::new();
    for lock in told.locks.iter().flatten().filter(|lock| lock.mode >= LockMode::ShareUpdateExclusive) {
        let Locked::Table(table) = &lock.on else { continue };
        let expected = statement
            .locks
            .iter()
            .filter(|known| match &known.on {
                Locked::Table(named) => named == table || before.is_part_of(table, named),
                Locked::TableOfIndex(index) => indexes.get(index) == Some(table),
                Locked::Unnamed => true,
            })
            .map(|known| known.mode)
            .max();
        if expected.is_none_or(|expected| expected < lock.mode) {
            let known = expected.map_or("no lock", LockMode::as_str);
            found.push(format!("it takes {} on {table}; its text told of {known}", lock.mode));
        }
    }
    if statement.cost < Cost::Rewrite {
        found.extend(told.rewrote.iter().map(|table| format!("it rewrites {table}; its text did not tell")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_password_is_refused() {
        for url in ["postgres://u:p@localhost/d", "postgres://localhost/d?user=u&password=p"] {
            assert!(matches!(Scratch::from_url(url), Err(TraceError::Password)), "{url}");
        }
        assert!(matches!(Scratch::from_url("localhost"), Err(TraceError::Url)));
        assert!(Scratch::from_url("postgres://u@localhost:5433/d").is_ok());
    }

    #[test]
    fn tls_is_verified_in_full_except_on_this_machine() {
        let mode = |url: &str| Scratch::from_url(url).expect("an address").0.get_ssl_mode();
        assert!(matches!(mode("postgres://u@db.example.com/d"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://u@db.example.com/d?sslmode=disable"), PgSslMode::VerifyFull));
        assert!(!matches!(mode("postgres://u@127.0.0.1/d"), PgSslMode::VerifyFull));
    }
}
