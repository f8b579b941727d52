//! Our journal in the target database: schema `tidegate`.
//!
//! Written by [`crate::run`], always in the transaction of the effect it tells of; read by [`crate::observe`]. It lives
//! in the database that it describes, so that a restored or moved database brings its own truth along. The `fence`
//! table holds the newest claim of each release: every step locks that row and compares, so a process that was
//! overtaken cannot commit, and one that was overtaken and comes late cannot claim. Functions here take a connection and never begin or end a transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{PgConnection, Row};
use tidegate_model::{
    ChangeName, Digest, ReleaseName,
    name::Marker,
    schema::{BackfillProgress, ChangePlan, Journal, MigrationFile, OpenChange, TableName},
};

use crate::failure::Failure;

/// The format that this version writes and reads.
const FORMAT: i32 = 1;

/// The format while something is hidden: a version that knows nothing of that must not purge, so it must not read on.
const FORMAT_WHILE_HIDDEN: i32 = 2;

/// Key of the lock under which the journal is created: `tide` in ASCII.
const CREATION_LOCK: i64 = 0x7469_6465;

const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS tidegate;
CREATE TABLE IF NOT EXISTS tidegate.format (version integer NOT NULL);
INSERT INTO tidegate.format SELECT 1 WHERE NOT EXISTS (SELECT FROM tidegate.format);
CREATE TABLE IF NOT EXISTS tidegate.fence (
    release text PRIMARY KEY,
    epoch bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS tidegate.change (
    release text NOT NULL,
    change text NOT NULL,
    marker text NOT NULL,
    plan text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    purged_at timestamptz,
    PRIMARY KEY (release, change)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open_change ON tidegate.change ((true)) WHERE purged_at IS NULL;
CREATE TABLE IF NOT EXISTS tidegate.file (
    release text NOT NULL,
    change text NOT NULL,
    file text NOT NULL,
    checksum text NOT NULL,
    marker text NOT NULL,
    epoch bigint NOT NULL,
    objects text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, change, file),
    FOREIGN KEY (release, change) REFERENCES tidegate.change
);
CREATE TABLE IF NOT EXISTS tidegate.backfill (
    release text NOT NULL,
    change text NOT NULL,
    file text NOT NULL,
    checksum text NOT NULL,
    marker text NOT NULL,
    cursor_key bigint NOT NULL,
    last_key bigint NOT NULL,
    rows_changed bigint NOT NULL,
    done boolean NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, change, file),
    FOREIGN KEY (release, change) REFERENCES tidegate.change
);
CREATE TABLE IF NOT EXISTS tidegate.build (
    release text NOT NULL,
    change text NOT NULL,
    file text NOT NULL,
    checksum text NOT NULL,
    marker text NOT NULL,
    index_schema text NOT NULL,
    index_name text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    failure text,
    begun_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, change, file),
    FOREIGN KEY (release, change) REFERENCES tidegate.change
);
CREATE TABLE IF NOT EXISTS tidegate.hide (
    release text NOT NULL,
    change text NOT NULL,
    marker text NOT NULL,
    epoch bigint NOT NULL,
    before text NOT NULL,
    undo text NOT NULL,
    bypassed_by text[] NOT NULL,
    hidden_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, change),
    FOREIGN KEY (release, change) REFERENCES tidegate.change
);
CREATE TABLE IF NOT EXISTS tidegate.floor (
    release text NOT NULL,
    revision text NOT NULL,
    change text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (release, revision)
);
ALTER TABLE tidegate.backfill
    ADD COLUMN IF NOT EXISTS next_batch integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS batches bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS active_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE tidegate.file ADD COLUMN IF NOT EXISTS locks text NOT NULL DEFAULT '';
ALTER TABLE tidegate.fence
    ADD COLUMN IF NOT EXISTS ledger text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS lease bigint NOT NULL DEFAULT 0;
REVOKE ALL ON SCHEMA tidegate FROM PUBLIC;
";

/// A claim of the fence: what a process shows with every step. A later claim makes it worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub(crate) i64);

impl Epoch {
    /// A claim by its number: for whatever else keeps a fence, a model of a database among it. A server compares it with its own.
    pub fn of(number: i64) -> Self {
        Self(number)
    }

    /// The number, for logs.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// Which change a step belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) release: &'a ReleaseName,
    pub(crate) change: &'a ChangeName,
}

/// True once the journal exists and is of a format that this version knows.
pub(crate) async fn exists(connection: &mut PgConnection) -> Result<bool, Failure> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('tidegate.format') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(false);
    }
    let format: Option<i32> =
        sqlx::query_scalar("SELECT max(version) FROM tidegate.format").fetch_one(&mut *connection).await?;
    match format {
        Some(FORMAT | FORMAT_WHILE_HIDDEN) => Ok(true),
        Some(_) | None => Err(Failure::FutureFormat),
    }
}

/// Creates the journal if it is missing. Two processes may try at once: the transaction's lock lets one pass.
pub(crate) async fn create(connection: &mut PgConnection) -> Result<(), Failure> {
    if exists(connection).await? && is_newest(connection).await? {
        return Ok(());
    }
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(CREATION_LOCK).execute(&mut *connection).await?;
    sqlx::raw_sql(TABLES).execute(&mut *connection).await?;
    Ok(())
}

/// False for a journal from before claims told whose they are, which was added last.
async fn is_newest(connection: &mut PgConnection) -> Result<bool, Failure> {
    let there = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('tidegate.fence') \
         AND attname = 'ledger' AND NOT attisdropped)",
    );
    Ok(there.fetch_one(connection).await?)
}

/// False for a journal from before builds, the pace of backfills and hiding were recorded: it has none of them. What was
/// added since does not disturb an older version, so the format is the same (but see [`FORMAT_WHILE_HIDDEN`]).
pub(crate) async fn is_current(connection: &mut PgConnection) -> Result<bool, Failure> {
    let there = sqlx::query_scalar("SELECT to_regclass('tidegate.hide') IS NOT NULL");
    Ok(there.fetch_one(connection).await?)
}

/// Gives the journal the format that older versions may read, or may not while something is hidden.
pub(crate) async fn mark_format(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query("UPDATE tidegate.format SET version = CASE WHEN EXISTS (SELECT FROM tidegate.hide) THEN $1 ELSE $2 END")
        .bind(FORMAT_WHILE_HIDDEN)
        .bind(FORMAT)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the fence for a release: every earlier claim is void when this commits.
///
/// Claims have an order: by ledger, whose identities sort by when they were made, then by the epoch of the lease. One that is
/// older than what stands there is refused. A claim from before ledgers had names is older than any.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    release: &ReleaseName,
    ledger: &str,
    lease: u64,
) -> Result<Epoch, Failure> {
    let epoch: Option<i64> = sqlx::query_scalar(
        "INSERT INTO tidegate.fence AS fence (release, epoch, ledger, lease) VALUES ($1, 1, $2, $3) \
         ON CONFLICT (release) DO UPDATE SET epoch = fence.epoch + 1, ledger = $2, lease = $3, claimed_at = now() \
         WHERE (fence.ledger COLLATE \"C\", fence.lease) <= ($2 COLLATE \"C\", $3) RETURNING epoch",
    )
    .bind(release.as_str())
    .bind(ledger)
    .bind(lease.cast_signed())
    .fetch_optional(&mut *connection)
    .await?;
    match epoch {
        Some(epoch) => Ok(Epoch(epoch)),
        None => Err(Failure::Fenced { ours: 0, found: claimed(connection, release).await?.unwrap_or(0) }),
    }
}

/// The number of the claim that holds, locked until the transaction ends.
async fn claimed(connection: &mut PgConnection, release: &ReleaseName) -> Result<Option<i64>, Failure> {
    let epoch = sqlx::query_scalar("SELECT epoch FROM tidegate.fence WHERE release = $1 FOR UPDATE")
        .bind(release.as_str());
    Ok(epoch.fetch_optional(connection).await?)
}

/// Locks the fence row and compares. Must be the first thing that a step's transaction does.
pub(crate) async fn fence(
    connection: &mut PgConnection,
    release: &ReleaseName,
    epoch: Epoch,
) -> Result<(), Failure> {
    match claimed(connection, release).await? {
        Some(found) if found == epoch.0 => Ok(()),
        Some(found) => Err(Failure::Fenced { ours: epoch.0, found }),
        None => Err(Failure::Fenced { ours: epoch.0, found: 0 }),
    }
}

/// Opens the change if it is not open yet.
pub(crate) async fn open(
    connection: &mut PgConnection,
    key: Key<'_>,
    plan: &ChangePlan,
    marker: &Marker,
) -> Result<(), Failure> {
    let ours = OpenChange { release: key.release.clone(), change: key.change.clone() };
    if let Some(other) = open_changes(connection).await?.into_iter().find(|other| *other != ours) {
        return Err(Failure::OtherChange(other));
    }
    sqlx::query(
        "INSERT INTO tidegate.change (release, change, marker, plan) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (release, change) DO NOTHING",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(marker.to_string())
    .bind(plan.digest.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Every change that is open in this database, ours included.
pub(crate) async fn open_changes(connection: &mut PgConnection) -> Result<Vec<OpenChange>, Failure> {
    let rows =
        sqlx::query("SELECT release, change FROM tidegate.change WHERE purged_at IS NULL ORDER BY 1, 2")
            .fetch_all(connection)
            .await?;
    rows.iter()
        .map(|row| {
            let text = |at: usize| row.try_get::<String, _>(at).map_err(Failure::from);
            Ok(OpenChange {
                release: text(0)?.parse().map_err(|_| Failure::Malformed)?,
                change: text(1)?.parse().map_err(|_| Failure::Malformed)?,
            })
        })
        .collect()
}

/// Fails if a file that the journal shows as applied (or as begun, for a backfill) has another text now.
pub(crate) async fn unchanged(
    connection: &mut PgConnection,
    key: Key<'_>,
    plan: &ChangePlan,
) -> Result<BTreeMap<String, Digest>, Failure> {
    let recorded = sqlx::query(
        "SELECT file, checksum FROM tidegate.file WHERE release = $1 AND change = $2 \
         UNION ALL SELECT file, checksum FROM tidegate.backfill WHERE release = $1 AND change = $2",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .fetch_all(connection)
    .await?;
    let mut applied = BTreeMap::new();
    for row in recorded {
        let (name, checksum): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let file = plan.files.iter().find(|file| file.name == name);
        match file.filter(|file| file.checksum.as_str() == checksum) {
            Some(file) => applied.insert(name, file.checksum.clone()),
            None => return Err(Failure::Changed(crate::source::shown(&name))),
        };
    }
    Ok(applied)
}

/// True if a build of this file was begun. A begun file's text is immutable as an applied one's is.
pub(crate) async fn build_begun(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &MigrationFile,
) -> Result<bool, Failure> {
    let checksum: Option<String> = sqlx::query_scalar(
        "SELECT checksum FROM tidegate.build WHERE release = $1 AND change = $2 AND file = $3",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(&file.name)
    .fetch_optional(connection)
    .await?;
    match checksum {
        Some(checksum) if checksum != file.checksum.as_str() => {
            Err(Failure::Changed(crate::source::shown(&file.name)))
        }
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

/// Records that a build begins, or begins again.
pub(crate) async fn build_begins(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &MigrationFile,
    marker: &Marker,
    index: &TableName,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO tidegate.build AS build (release, change, file, checksum, marker, index_schema, index_name) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (release, change, file) DO UPDATE SET \
         attempts = build.attempts + 1, marker = excluded.marker, failure = NULL, begun_at = now()",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(&file.name)
    .bind(file.checksum.as_str())
    .bind(marker.to_string())
    .bind(&index.schema)
    .bind(&index.table)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records why a build failed: the next step tells it, and the one after that begins again.
pub(crate) async fn build_failed(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &str,
    failure: Option<&str>,
) -> Result<(), Failure> {
    sqlx::query("UPDATE tidegate.build SET failure = $4 WHERE release = $1 AND change = $2 AND file = $3")
        .bind(key.release.as_str())
        .bind(key.change.as_str())
        .bind(file)
        .bind(failure)
        .execute(connection)
        .await?;
    Ok(())
}

/// Why the last build failed, if that was not told yet.
pub(crate) async fn build_failure(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &str,
) -> Result<Option<String>, Failure> {
    let failure: Option<Option<String>> = sqlx::query_scalar(
        "SELECT failure FROM tidegate.build WHERE release = $1 AND change = $2 AND file = $3",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(file)
    .fetch_optional(connection)
    .await?;
    Ok(failure.flatten())
}

/// The build is over, and its file is recorded as applied.
pub(crate) async fn build_over(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &str,
) -> Result<(), Failure> {
    sqlx::query("DELETE FROM tidegate.build WHERE release = $1 AND change = $2 AND file = $3")
        .bind(key.release.as_str())
        .bind(key.change.as_str())
        .bind(file)
        .execute(connection)
        .await?;
    Ok(())
}

/// A build that was begun and is not recorded as over.
pub(crate) struct Begun {
    pub(crate) file: String,
    pub(crate) index: TableName,
    pub(crate) attempts: u32,
}

/// The builds of a change that are not over.
pub(crate) async fn builds(connection: &mut PgConnection, key: Key<'_>) -> Result<Vec<Begun>, Failure> {
    if !is_current(connection).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT file, index_schema, index_name, attempts FROM tidegate.build \
               WHERE release = $1 AND change = $2 ORDER BY file";
    let begun = |row: &sqlx::postgres::PgRow| {
        let attempts: i32 = row.try_get(3)?;
        let index = TableName { schema: row.try_get(1)?, table: row.try_get(2)? };
        Ok(Begun { file: row.try_get(0)?, index, attempts: u32::try_from(attempts).unwrap_or(0) })
    };
    keyed(connection, sql, key).await?.iter().map(begun).collect()
}

/// Records a file as applied, with what the catalog showed right after it.
pub(crate) async fn record(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &MigrationFile,
    marker: &Marker,
    epoch: Epoch,
    (objects, locks): (&str, &str),
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO tidegate.file (release, change, file, checksum, marker, epoch, objects, locks) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(&file.name)
    .bind(file.checksum.as_str())
    .bind(marker.to_string())
    .bind(epoch.0)
    .bind(objects)
    .bind(locks)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records the change as purged.
pub(crate) async fn purged(connection: &mut PgConnection, key: Key<'_>) -> Result<(), Failure> {
    sqlx::query("UPDATE tidegate.change SET purged_at = now() WHERE release = $1 AND change = $2")
        .bind(key.release.as_str())
        .bind(key.change.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Where a backfill stands, with its row locked until the transaction ends.
pub(crate) async fn cursor(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &str,
) -> Result<Option<BackfillProgress>, Failure> {
    let row = sqlx::query(
        "SELECT cursor_key, last_key, rows_changed, done, next_batch, batches, active_ms FROM tidegate.backfill \
         WHERE release = $1 AND change = $2 AND file = $3 FOR UPDATE",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(file)
    .fetch_optional(connection)
    .await?;
    row.map(|row| progress(&row, 0)).transpose()
}

/// Saves where a backfill stands.
pub(crate) async fn move_cursor(
    connection: &mut PgConnection,
    key: Key<'_>,
    file: &MigrationFile,
    marker: &Marker,
    at: &BackfillProgress,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO tidegate.backfill AS backfill \
         (release, change, file, checksum, marker, cursor_key, last_key, rows_changed, done, next_batch, batches) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (release, change, file) DO UPDATE SET \
         cursor_key = excluded.cursor_key, rows_changed = excluded.rows_changed, done = excluded.done, \
         marker = excluded.marker, next_batch = excluded.next_batch, batches = excluded.batches, \
         active_ms = backfill.active_ms + least(60000, greatest(0, \
             (extract(epoch FROM clock_timestamp() - backfill.moved_at) * 1000)::int8)), \
         moved_at = clock_timestamp()",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .bind(&file.name)
    .bind(file.checksum.as_str())
    .bind(marker.to_string())
    .bind(at.cursor)
    .bind(at.last_key)
    .bind(i64::try_from(at.rows).map_err(|_| Failure::Malformed)?)
    .bind(at.done)
    .bind(i32::try_from(at.batch).map_err(|_| Failure::Malformed)?)
    .bind(i64::try_from(at.batches).map_err(|_| Failure::Malformed)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The journal of one change; `None` before it was opened.
pub(crate) async fn read(connection: &mut PgConnection, key: Key<'_>) -> Result<Option<Journal>, Failure> {
    let change = sqlx::query(
        "SELECT marker, (extract(epoch FROM purged_at) * 1000000)::int8, \
         coalesce((SELECT epoch FROM tidegate.fence WHERE fence.release = change.release), 0) \
         FROM tidegate.change WHERE release = $1 AND change = $2",
    )
    .bind(key.release.as_str())
    .bind(key.change.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(change) = change else { return Ok(None) };
    let purged: Option<i64> = change.try_get(1)?;
    let purged_at = purged.map(Timestamp::from_microsecond).transpose().map_err(|_| Failure::Malformed)?;
    let mut applied = BTreeMap::new();
    let files = "SELECT file, checksum FROM tidegate.file WHERE release = $1 AND change = $2";
    for row in keyed(connection, files, key).await? {
        let checksum = serde_json::Value::String(row.try_get(1)?);
        applied.insert(row.try_get(0)?, serde_json::from_value(checksum).map_err(|_| Failure::Malformed)?);
    }
    let mut locks = BTreeMap::new();
    if crate::floor::is_kept(connection).await? {
        let taken =
            "SELECT file, locks FROM tidegate.file WHERE release = $1 AND change = $2 AND locks <> ''";
        for row in keyed(connection, taken, key).await? {
            locks.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    let mut backfills = BTreeMap::new();
    let cursors = if is_current(connection).await? {
        "SELECT file, cursor_key, last_key, rows_changed, done, next_batch, batches, active_ms FROM tidegate.backfill \
         WHERE release = $1 AND change = $2"
    } else {
        "SELECT file, cursor_key, last_key, rows_changed, done, 0::int4, 0::int8, 0::int8 FROM tidegate.backfill \
         WHERE release = $1 AND change = $2"
    };
    for row in keyed(connection, cursors, key).await? {
        backfills.insert(row.try_get(0)?, progress(&row, 1)?);
    }
    Ok(Some(Journal {
        epoch: change.try_get(2)?,
        release: key.release.clone(),
        marker: change.try_get(0)?,
        applied,
        locks,
        backfills,
        builds: crate::build::underway(connection, key).await?.into_iter().collect(),
        hidden: crate::hide::read(connection, key).await?,
        floor: crate::floor::read(connection, key).await?,
        purged_at,
    }))
}

pub(crate) async fn keyed(
    connection: &mut PgConnection,
    sql: &'static str,
    key: Key<'_>,
) -> Result<Vec<sqlx::postgres::PgRow>, Failure> {
    let query = sqlx::query(sql).bind(key.release.as_str()).bind(key.change.as_str());
    Ok(query.fetch_all(connection).await?)
}

/// Progress from seven columns, the first of which is `at`.
fn progress(row: &sqlx::postgres::PgRow, at: usize) -> Result<BackfillProgress, Failure> {
    let rows: i64 = row.try_get(at + 2)?;
    Ok(BackfillProgress {
        cursor: row.try_get(at)?,
        last_key: row.try_get(at + 1)?,
        rows: u64::try_from(rows).map_err(|_| Failure::Malformed)?,
        done: row.try_get(at + 3)?,
        batch: u32::try_from(row.try_get::<i32, _>(at + 4)?).unwrap_or(0),
        batches: u64::try_from(row.try_get::<i64, _>(at + 5)?).unwrap_or(0),
        milliseconds: u64::try_from(row.try_get::<i64, _>(at + 6)?).unwrap_or(0),
    })
}
