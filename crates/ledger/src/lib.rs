//! The ledger: what Tidegate knows that has no other witness, kept durably on SQLite.
//!
//! The controller appends [`Entry`] values before and after each call and folds them into a [`ReleaseState`] when it
//! starts. Entries are only ever added, one hash chain for each release; a chain that does not hold makes that release
//! [`Loaded::Damaged`] and leaves the others alone. One process at a time: a lock file beside the database says who.
//!
//! This crate decides nothing and knows nothing of AWS; what an entry means is the model's to say.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteRow};
use tidegate_model::{
    ReleaseName,
    ledger::{Entry, ReleaseState},
};
use tokio::sync::Mutex;

mod chain;
mod error;
mod lock;
mod open;

pub use chain::Damage;
pub use error::{LedgerError, OpenError};

use chain::{Head, Sealed};
use lock::LockFile;

/// The durable record. Cheap to clone; writers wait for each other.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    connection: Mutex<SqliteConnection>,
    /// Releases whose chain was found damaged: nothing is appended behind damage.
    damaged: StdMutex<BTreeMap<ReleaseName, Damage>>,
    /// `None` for a ledger in memory.
    lock: Option<LockFile>,
}

/// What the ledger holds of one release.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// Its entries, folded.
    State(Box<ReleaseState>),
    /// Its chain does not hold: nothing may be done for it.
    Damaged {
        /// What was found.
        why: Damage,
    },
}

/// One entry as it was appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the release's chain, from 0.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

impl Ledger {
    /// Opens the ledger at `path`, making it if it is not there. The folder must exist.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process has it open; otherwise what is wrong with the file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = LockFile::take(path)?;
        let connection = open::file(path).await?;
        Ok(Self::new(connection, Some(lock)))
    }

    /// A ledger that dies with the process, for tests.
    ///
    /// # Errors
    /// SQLite's, which it has no reason to give here.
    pub async fn in_memory() -> Result<Self, OpenError> {
        Ok(Self::new(open::memory().await?, None))
    }

    fn new(connection: SqliteConnection, lock: Option<LockFile>) -> Self {
        Self(Arc::new(Inner {
            connection: Mutex::new(connection),
            damaged: StdMutex::new(BTreeMap::new()),
            lock,
        }))
    }

    /// Reads and verifies every chain and folds it. Call it once before the first [`Self::append`]: what is found
    /// damaged here is closed to appends until the process ends.
    ///
    /// # Errors
    /// If the database cannot be read at all; damage of one release is a [`Loaded::Damaged`], not an error.
    pub async fn load(&self) -> Result<BTreeMap<ReleaseName, Loaded>, LedgerError> {
        let mut connection = self.0.connection.lock().await;
        let mut rows = sqlx::query(
            "SELECT release, seq, at, format, body, previous, hash FROM entries ORDER BY release, seq",
        )
        .fetch(&mut *connection);
        let mut folds: BTreeMap<ReleaseName, Fold> = BTreeMap::new();
        while let Some(row) = rows.try_next().await.map_err(LedgerError::reading)? {
            match text(&row, "release").and_then(|name| name.parse().ok()) {
                Some(release) => folds.entry(release).or_default().take(&row),
                None => tracing::warn!("the ledger has a row under a name that is no release's"),
            }
        }
        let loaded: BTreeMap<ReleaseName, Loaded> =
            folds.into_iter().map(|(release, fold)| (release, fold.end())).collect();
        let damaged = loaded.iter().filter_map(|(release, loaded)| match loaded {
            Loaded::Damaged { why } => Some((release.clone(), why.clone())),
            Loaded::State(_) => None,
        });
        self.damaged().extend(damaged);
        Ok(loaded)
    }

    /// Appends entries to a release's chain in one transaction. They are on disk when this returns.
    ///
    /// `expected_length` is [`ReleaseState::length`] as the caller knows it: an append from a state that is no longer
    /// the newest is refused.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if somebody appended meanwhile, [`LedgerError::Damaged`] behind damage,
    /// [`LedgerError::LockLost`] if this process no longer holds the lock; nothing is written then.
    pub async fn append(
        &self,
        release: &ReleaseName,
        expected_length: u64,
        at: Timestamp,
        entries: &[Entry],
    ) -> Result<(), LedgerError> {
        if let Some(why) = self.damaged().get(release).cloned() {
            return Err(LedgerError::Damaged { release: release.clone(), why });
        }
        self.check_lock()?;
        let mut connection = self.0.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(LedgerError::writing)?;
        let mut head = head_of(&mut transaction, release).await?;
        if head.length != expected_length {
            return Err(LedgerError::Conflict {
                release: release.clone(),
                expected: expected_length,
                found: head.length,
            });
        }
        for entry in entries {
            let sealed = head
                .seal(release, at, entry)
                .map_err(|source| LedgerError::Encode { release: release.clone(), source })?;
            insert(&mut transaction, release, &sealed).await?;
            head = sealed.head();
        }
        transaction.commit().await.map_err(LedgerError::writing)
    }

    /// Every entry of a release, oldest first, verified. Empty for a release that the ledger does not know.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if its chain does not hold.
    pub async fn history(&self, release: &ReleaseName) -> Result<std::vec::IntoIter<Record>, LedgerError> {
        let mut connection = self.0.connection.lock().await;
        records(&mut connection, release).await
    }

    /// Whether this process still holds the ledger for itself. A daemon that does not must stop.
    ///
    /// # Errors
    /// [`LedgerError::LockLost`] if the lock file was removed or replaced, so that another process may hold it.
    pub fn check_lock(&self) -> Result<(), LedgerError> {
        match &self.0.lock {
            Some(lock) if !lock.is_ours() => Err(LedgerError::LockLost { path: lock.path().to_owned() }),
            Some(_) | None => Ok(()),
        }
    }

    fn damaged(&self) -> std::sync::MutexGuard<'_, BTreeMap<ReleaseName, Damage>> {
        // The map is only ever inserted into, so a panic elsewhere cannot have left it half written.
        self.0.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ledger that is only read, beside a daemon that may have it open: for people who ask what happened.
pub struct ReadOnly(Mutex<SqliteConnection>);

impl ReadOnly {
    /// Opens the ledger at `path` for reading. Nothing is made, locked or changed.
    ///
    /// # Errors
    /// What is wrong with the file, its absence included.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Mutex::new(open::to_read(path).await?)))
    }

    /// As [`Ledger::history`].
    ///
    /// # Errors
    /// As there.
    pub async fn history(&self, release: &ReleaseName) -> Result<std::vec::IntoIter<Record>, LedgerError> {
        records(&mut *self.0.lock().await, release).await
    }
}

async fn records(
    connection: &mut SqliteConnection,
    release: &ReleaseName,
) -> Result<std::vec::IntoIter<Record>, LedgerError> {
    let mut rows = sqlx::query(
        "SELECT release, seq, at, format, body, previous, hash FROM entries WHERE release = ? ORDER BY seq",
    )
    .bind(release.as_str())
    .fetch(connection);
    let mut head = Head::default();
    let mut records = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(LedgerError::reading)? {
        let (record, next) =
            open_row(&row, &head).map_err(|why| LedgerError::Damaged { release: release.clone(), why })?;
        records.push(record);
        head = next;
    }
    Ok(records.into_iter())
}

/// One release's chain while it is being folded.
#[derive(Default)]
struct Fold {
    head: Head,
    state: ReleaseState,
    damage: Option<Damage>,
}

impl Fold {
    fn take(&mut self, row: &SqliteRow) {
        if self.damage.is_some() {
            return;
        }
        match open_row(row, &self.head) {
            Ok((record, head)) => {
                self.state.apply(record.at, &record.entry);
                self.head = head;
            }
            Err(why) => self.damage = Some(why),
        }
    }

    fn end(self) -> Loaded {
        match self.damage {
            Some(why) => Loaded::Damaged { why },
            None => Loaded::State(Box::new(self.state)),
        }
    }
}

/// Verifies one row against the head before it; gives the record and the head behind it.
fn open_row(row: &SqliteRow, head: &Head) -> Result<(Record, Head), Damage> {
    let unreadable = || Damage::Unreadable { seq: head.length };
    let sealed = Sealed {
        seq: number(row, "seq").ok_or_else(unreadable)?,
        at: text(row, "at").ok_or_else(unreadable)?,
        format: number(row, "format").ok_or_else(unreadable)?,
        body: text(row, "body").ok_or_else(unreadable)?,
        previous: text(row, "previous").ok_or_else(unreadable)?,
        hash: text(row, "hash").ok_or_else(unreadable)?,
    };
    let release = text(row, "release").ok_or_else(unreadable)?;
    let (at, entry) = sealed.open(&release, head)?;
    Ok((Record { seq: sealed.seq, at, entry }, sealed.head()))
}

fn text(row: &SqliteRow, column: &'static str) -> Option<String> {
    row.try_get(column).ok()
}

fn number(row: &SqliteRow, column: &'static str) -> Option<u64> {
    row.try_get::<i64, _>(column).ok().and_then(|number| number.try_into().ok())
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
