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

/// Which ledger this is, and how often it was opened. A layout of its own is not worth it: versions that do not know this
/// table go on as before, and this one makes it where it is missing.
const OPENED: &str = "
CREATE TABLE IF NOT EXISTS opened (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL,
    epoch    INTEGER NOT NULL
) STRICT;
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

/// Counts the opening; gives the ledger's identity and how often it was opened.
pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(String, u64), OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    sqlx::raw_sql(OPENED).execute(&mut *transaction).await.map_err(failed)?;
    let (identity, epoch): (String, i64) = sqlx::query_as(
        "INSERT INTO opened (one, identity, epoch) VALUES (1, ?, 1) \
         ON CONFLICT (one) DO UPDATE SET epoch = epoch + 1 RETURNING identity, epoch",
    )
    .bind(crate::lease::new_identity())
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok((identity, epoch.max(0).cast_unsigned()))
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
        (..LAYOUT, _) => return Err(OpenError::NotALedger { ledger: path.display().to_string() }),
        (found, _) => {
            return Err(OpenError::Newer { ledger: path.display().to_string(), found, known: LAYOUT });
        }
    }
    Ok(connection)
}

/// Makes table, triggers and layout number in one transaction, so that a half made file is an empty one.
async fn make(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(TABLE).execute(&mut *transaction).await?;
    transaction.commit().await
}
