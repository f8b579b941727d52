//! A ledger in an SQLite file, for one daemon: a lock file beside it says who.
//!
//! The process that has the lock has the lease of every release, for as long as it lives; its epoch is how often the file
//! was opened.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures_util::{FutureExt as _, TryStreamExt as _, future::BoxFuture};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use tidegate_model::ReleaseName;
use tokio::sync::{Mutex, MutexGuard};

use super::{Grant, Row, Store};
use crate::{
    LedgerError, OpenError,
    chain::{Head, Sealed},
};

mod lock;
mod open;
mod place;

use lock::LockFile;
use place::Place;

/// An SQLite file that this process has for itself.
pub struct Sqlite {
    connection: Mutex<SqliteConnection>,
    lock: LockFile,
    file: Place,
    identity: String,
    epoch: u64,
}

impl Sqlite {
    /// Opens the file at `path`, making it if it is not there. The folder must exist.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process has it open; otherwise what is wrong with the file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = LockFile::take(path)?;
        let mut connection = open::file(path).await?;
        let (identity, epoch) = open::begin(&mut connection, path).await?;
        let failed = |error| OpenError::Database { path: path.to_owned(), source: sqlx::Error::Io(error) };
        let file = Place::of(path.to_owned()).map_err(failed)?;
        Ok(Self { connection: Mutex::new(connection), lock, file, identity, epoch })
    }

    /// Whether this process still has the file for itself, and what it writes can be found at its path.
    fn check_files(&self) -> Result<(), LedgerError> {
        if !self.lock.is_ours() {
            return Err(LedgerError::LockLost { path: self.lock.path().to_owned() });
        }
        if !self.file.is_kept() {
            return Err(LedgerError::Replaced { path: self.file.path().to_owned() });
        }
        Ok(())
    }

    async fn add(&self, release: &ReleaseName, head: &Head, rows: &[Sealed]) -> Result<(), LedgerError> {
        self.check_files()?;
        let mut connection = self.begin().await?;
        let added = add(&mut connection, release, head, rows).await;
        if added.is_err() {
            roll_back(&mut connection).await;
        }
        added
    }

    /// Begins a transaction. Not with the library's own: SQLite itself rolls back what meets a full disk, which the library does not
    /// know of, so that it would begin none ever again (<https://sqlite.org/lang_transaction.html>).
    async fn begin(&self) -> Result<MutexGuard<'_, SqliteConnection>, LedgerError> {
        let mut connection = self.at_rest().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(LedgerError::writing)?;
        Ok(connection)
    }

    /// The connection, outside of any transaction: nobody may have waited for the end of the last one.
    async fn at_rest(&self) -> MutexGuard<'_, SqliteConnection> {
        let mut connection = self.connection.lock().await;
        roll_back(&mut connection).await;
        connection
    }
}

impl Store for Sqlite {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn read<'a>(
        &'a self,
        of: Option<&'a ReleaseName>,
        each: &'a mut (dyn FnMut(Row) + Send),
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        async move { read(&mut *self.at_rest().await, of, each).await }.boxed()
    }

    fn append<'a>(
        &'a self,
        release: &'a ReleaseName,
        epoch: u64,
        head: &'a Head,
        rows: &'a [Sealed],
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        async move {
            if epoch != self.epoch {
                return Err(LedgerError::Fenced { release: release.clone() });
            }
            self.add(release, head, rows).await
        }
        .boxed()
    }

    fn lease<'a>(
        &'a self,
        _: &'a ReleaseName,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Grant, LedgerError>> {
        let granted = self.check_files().map(|()| Grant::Held { epoch: self.epoch, term: None });
        std::future::ready(granted).boxed()
    }

    fn renew<'a>(
        &'a self,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<BTreeMap<ReleaseName, u64>, LedgerError>> {
        // Nothing ends that would have to be gone on with.
        std::future::ready(self.check_files().map(|()| BTreeMap::new())).boxed()
    }

    fn resign<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        // The lock goes with the process.
        std::future::ready(Ok(())).boxed()
    }

    fn publish<'a>(
        &'a self,
        _: &'a ReleaseName,
        _: u64,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        // Nobody follows: one process has the file for itself.
        std::future::ready(Ok(())).boxed()
    }

    fn published<'a>(&'a self, _: &'a ReleaseName) -> BoxFuture<'a, Result<Option<String>, LedgerError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// A file that is only read, beside a daemon that may have it open.
pub(crate) struct ReadOnly(Mutex<SqliteConnection>);

impl ReadOnly {
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Mutex::new(open::to_read(path).await?)))
    }

    pub(crate) async fn read(
        &self,
        of: &ReleaseName,
        each: &mut (dyn FnMut(Row) + Send),
    ) -> Result<(), LedgerError> {
        read(&mut *self.0.lock().await, Some(of), each).await
    }
}

async fn read(
    connection: &mut SqliteConnection,
    of: Option<&ReleaseName>,
    each: &mut (dyn FnMut(Row) + Send),
) -> Result<(), LedgerError> {
    let mut rows = sqlx::query(
        "SELECT release, seq, at, format, body, previous, hash FROM entries \
         WHERE ?1 IS NULL OR release = ?1 ORDER BY release, seq",
    )
    .bind(of.map(ReleaseName::as_str))
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(LedgerError::reading)? {
        each(Row { release: text(&row, "release").and_then(|name| name.parse().ok()), sealed: sealed(&row) });
    }
    Ok(())
}

fn sealed(row: &SqliteRow) -> Option<Sealed> {
    Some(Sealed {
        seq: number(row, "seq")?,
        at: text(row, "at")?,
        format: number(row, "format")?,
        body: text(row, "body")?,
        previous: text(row, "previous")?,
        hash: text(row, "hash")?,
    })
}

fn text(row: &SqliteRow, column: &'static str) -> Option<String> {
    row.try_get(column).ok()
}

fn number(row: &SqliteRow, column: &'static str) -> Option<u64> {
    row.try_get::<i64, _>(column).ok().and_then(|number| number.try_into().ok())
}

/// Appends to the chain that ends with `head`, in a transaction that was begun, and commits it.
async fn add(
    connection: &mut SqliteConnection,
    release: &ReleaseName,
    head: &Head,
    rows: &[Sealed],
) -> Result<(), LedgerError> {
    let end = head_of(connection, release).await?;
    if end != *head {
        let (expected, found) = (head.length, end.length);
        return Err(LedgerError::Conflict { release: release.clone(), expected, found });
    }
    for sealed in rows {
        insert(connection, release, sealed).await?;
    }
    sqlx::query("COMMIT").execute(connection).await.map_err(LedgerError::writing)?;
    Ok(())
}

/// Ends a transaction without it. Where there is none SQLite refuses that, which is as well.
async fn roll_back(connection: &mut SqliteConnection) {
    drop(sqlx::query("ROLLBACK").execute(connection).await);
}

async fn head_of(connection: &mut SqliteConnection, release: &ReleaseName) -> Result<Head, LedgerError> {
    let row = sqlx::query("SELECT seq, hash FROM entries WHERE release = ? ORDER BY seq DESC LIMIT 1")
        .bind(release.as_str())
        .fetch_optional(connection)
        .await
        .map_err(LedgerError::reading)?;
    let Some(row) = row else { return Ok(Head::default()) };
    let seq: i64 = row.try_get("seq").map_err(LedgerError::reading)?;
    let hash = row.try_get("hash").map_err(LedgerError::reading)?;
    Ok(Head { length: seq.saturating_add(1).max(0).cast_unsigned(), hash })
}

async fn insert(
    connection: &mut SqliteConnection,
    release: &ReleaseName,
    sealed: &Sealed,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO entries (release, seq, at, format, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(release.as_str())
    .bind(sealed.seq.cast_signed())
    .bind(&sealed.at)
    .bind(sealed.format.cast_signed())
    .bind(&sealed.body)
    .bind(&sealed.previous)
    .bind(&sealed.hash)
    .execute(connection)
    .await
    .map_err(LedgerError::writing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(name: &str) -> (std::path::PathBuf, Sqlite, ReleaseName) {
        let folder = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let ledger = Sqlite::open(&folder.join("ledger.sqlite")).await.expect("a ledger");
        (folder, ledger, "shop".parse().expect("a name"))
    }

    /// As many rows as fit in `pages` pages, and the chain's head after them.
    async fn fill(ledger: &Sqlite, release: &ReleaseName, pages: i64) -> (Head, LedgerError) {
        limit(ledger, pages).await;
        let mut head = Head::default();
        for seq in 0..10_000 {
            let row = long_row(seq);
            match ledger.append(release, ledger.epoch, &head, std::slice::from_ref(&row)).await {
                Ok(()) => head = Head { length: seq + 1, hash: row.hash },
                Err(error) => return (head, error),
            }
        }
        panic!("the disk is never full");
    }

    async fn limit(ledger: &Sqlite, pages: i64) {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        let mut connection = ledger.connection.lock().await;
        sqlx::query(sqlx::AssertSqlSafe(pragma)).execute(&mut *connection).await.expect("a limit");
    }

    fn long_row(seq: u64) -> Sealed {
        let (body, hash) = ("x".repeat(2000), format!("hash {seq}"));
        Sealed { seq, at: String::new(), format: 1, body, previous: String::new(), hash }
    }

    fn is_full(error: &LedgerError) -> bool {
        matches!(error, LedgerError::Database { source: sqlx::Error::Database(error), .. } if error.code().as_deref() == Some("13"))
    }

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_again_once_there_is_room() {
        let (folder, ledger, release) = opened("full").await;
        let (head, error) = fill(&ledger, &release, 20).await;
        assert!(is_full(&error), "{error:?}");

        let row = long_row(head.length);
        for _ in 0..3 {
            let again = ledger.append(&release, ledger.epoch, &head, std::slice::from_ref(&row)).await;
            assert!(again.as_ref().is_err_and(is_full), "it says what is the matter: {again:?}");
            let mut rows = 0;
            ledger.read(Some(&release), &mut |_| rows += 1).await.expect("it can be read");
            assert_eq!(rows, head.length, "and nothing of it is half there");
        }
        limit(&ledger, 1000).await;
        ledger.append(&release, ledger.epoch, &head, &[row]).await.expect("there is room again");
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[tokio::test]
    async fn an_append_that_nobody_waited_for_leaves_nothing_open() {
        let (folder, ledger, release) = opened("dropped").await;
        drop(ledger.begin().await.expect("a transaction"));
        ledger.append(&release, ledger.epoch, &Head::default(), &[long_row(0)]).await.expect("another one");
        let mut dropped = ledger.begin().await.expect("a transaction");
        insert(&mut dropped, &release, &long_row(1)).await.expect("a row");
        drop(dropped);
        let mut rows = 0;
        ledger.read(Some(&release), &mut |_| rows += 1).await.expect("it can be read");
        assert_eq!(rows, 1);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
