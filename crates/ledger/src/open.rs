//! The database file: how it is opened, and its one table.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::OpenError;

/// The layout of the database, in `PRAGMA user_version`. 0 is SQLite's own for a new file.
const LAYOUT: i64 = 1;

/// Rows are never changed: the triggers keep a stray statement of ours, or of a person at a prompt, from doing it by
/// accident. The hash chain is what finds it when it was done on purpose.
const TABLE: &str = "
CREATE TABLE entries (
    release  TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    at       TEXT NOT NULL,
    format   INTEGER NOT NULL,
    body     TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL,
    PRIMARY KEY (release, seq)
) STRICT;
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END;
CREATE TRIGGER entries_are_not_removed BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END;
PRAGMA user_version = 1;
";

/// Opens or makes the database at `path`: write-ahead log, and a commit is on disk when it returns.
pub(crate) async fn file(path: &Path) -> Result<SqliteConnection, OpenError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = prepare(options, path).await?;
    // Only now: a database of somebody else is not to be changed by a mistyped path.
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .execute(&mut connection)
        .await
        .map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    Ok(connection)
}

/// Opens the database at `path` as it is.
pub(crate) async fn to_read(path: &Path) -> Result<SqliteConnection, OpenError> {
    prepare(SqliteConnectOptions::new().filename(path).read_only(true), path).await
}

/// A database in memory, with the same table.
pub(crate) async fn memory() -> Result<SqliteConnection, OpenError> {
    prepare(SqliteConnectOptions::new().in_memory(true), Path::new(":memory:")).await
}

async fn prepare(options: SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    // Statements carry entry bodies; none of them belongs in a log.
    let mut connection = options.disable_statement_logging().connect().await.map_err(failed)?;
    let layout: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    match (layout, tables) {
        (LAYOUT, _) => {}
        (0, 0) => make(&mut connection).await.map_err(failed)?,
        (..LAYOUT, _) => return Err(OpenError::NotALedger { path: path.to_owned() }),
        (found, _) => return Err(OpenError::Newer { path: path.to_owned(), found, known: LAYOUT }),
    }
    Ok(connection)
}

/// Makes table, triggers and layout number in one transaction, so that a half made file is an empty one.
async fn make(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
    transaction.commit().await
}
