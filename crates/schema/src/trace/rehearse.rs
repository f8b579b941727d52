//! A whole change on a full copy: expand, backfill, check and contract, with what each costs.
//!
//! Called by `tidegate rehearse`. What is measured is what the data costs: nobody else is on the copy, so waiting for
//! locks and the load of others are not in it. It boots nothing and proves nothing about applications.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tidegate_model::schema::{CheckReading, FilePhase, MigrationFile};

use super::{Scratch, Script, TraceError, Traced, may_be_tried, observe, run_file};
use crate::{Limits, RawFile, backfill, failure::Failure, observe::read_check, sql};

/// What a rehearsal showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Statements of expand and contract.
    pub statements: Vec<Traced>,
    /// Backfills, in order.
    pub backfills: Vec<Backfilled>,
    /// What the checks counted after the backfills.
    pub checks: Vec<Checked>,
    /// Indexes that went with what contract dropped, and that no statement named.
    pub lost_indexes: Vec<String>,
    /// Why it ended early: the file, and the error's class.
    pub failed: Option<String>,
}

/// A backfill's cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backfilled {
    /// The file.
    pub file: String,
    /// Rows that it changed.
    pub rows: u64,
    /// Batches that it took.
    pub batches: u64,
    /// Milliseconds of all batches together.
    pub milliseconds: u64,
    /// The longest batch, in milliseconds: as long its rows are locked.
    pub longest_batch: u64,
    /// Bytes of write-ahead log, other sessions' writes included.
    pub wal_bytes: u64,
}

/// A check's answer and its cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The file.
    pub file: String,
    /// The rows that it counted.
    #[serde(flatten)]
    pub reading: CheckReading,
    /// Milliseconds that it ran.
    pub milliseconds: u64,
}

/// Told while a rehearsal goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A file begins.
    File(String),
    /// A batch is done.
    Batch {
        /// Rows changed so far.
        rows: u64,
        /// Keys left to walk, at most.
        keys_left: u64,
    },
}

/// Runs every file of a change on a copy of a database, in the order in which a release would.
///
/// # Errors
///
/// [`TraceError`] if nothing could be run; a file that fails is in the [`Rehearsal`].
pub async fn rehearse(
    scratch: &Scratch,
    files: Vec<RawFile>,
    stop: impl Future<Output = ()>,
    mut told: impl FnMut(Progress),
) -> Result<Rehearsal, TraceError> {
    let scripts =
        sql::scripts(files).filter(|all| all.iter().all(|one| may_be_tried(one) && one.migration.is_some()));
    let scripts = scripts.ok_or(TraceError::Problems)?;
    scratch.with_copy(stop, async |mut connection| whole(&mut connection, scripts, &mut told).await).await
}

async fn whole(
    connection: &mut PgConnection,
    scripts: Vec<Script>,
    told: &mut impl FnMut(Progress),
) -> Result<Rehearsal, Failure> {
    let before = observe::tables(connection).await?;
    let indexes = observe::indexes(connection).await?;
    let mut rehearsal = Rehearsal::default();
    for script in &scripts {
        told(Progress::File(script.file.clone()));
        let Some(migration) = &script.migration else { continue };
        let outcome = match script.phase {
            FilePhase::Expand | FilePhase::Contract => {
                run_file(connection, script, &before, &mut rehearsal.statements).await
            }
            FilePhase::Backfill => backfill(connection, migration, told).await.map(|done| {
                rehearsal.backfills.push(done);
                true
            }),
            FilePhase::Check => check(connection, migration).await.map(|done| {
                rehearsal.checks.push(done);
                true
            }),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => {
                rehearsal.failed = rehearsal.statements.last().and_then(|last| last.failed.clone());
                return Ok(rehearsal);
            }
            Err(failure) => {
                rehearsal.failed = Some(format!("{}: {failure}", script.file));
                return Ok(rehearsal);
            }
        }
    }
    let left = observe::indexes(connection).await?;
    let dropped: Vec<String> =
        scripts.iter().filter_map(|script| script.migration.as_ref()).flat_map(sql::dropped_by).collect();
    rehearsal.lost_indexes = indexes
        .keys()
        .filter(|index| !left.contains_key(index) && !dropped.contains(&index.to_string()))
        .map(ToString::to_string)
        .collect();
    Ok(rehearsal)
}

async fn backfill(
    connection: &mut PgConnection,
    file: &MigrationFile,
    told: &mut impl FnMut(Progress),
) -> Result<Backfilled, Failure> {
    let plan = file.backfill.as_ref().ok_or(Failure::NoSuchFile)?;
    let position = observe::wal_position(connection).await?;
    let mut progress = backfill::whole_range(connection, plan).await?;
    let (mut batches, mut all, mut longest) = (0, Duration::ZERO, Duration::ZERO);
    while !progress.done {
        let begun = Instant::now();
        let mut transaction = connection.begin().await?;
        let batch =
            backfill::one_batch(&mut transaction, file, plan, progress, Limits::default().batch_target)
                .await?;
        transaction.commit().await?;
        let took = begun.elapsed();
        (batches, all, longest) = (batches + 1, all + took, longest.max(took));
        progress = batch.progress;
        told(Progress::Batch { rows: progress.rows, keys_left: progress.keys_left() });
    }
    let wal_bytes = observe::wal_since(connection, &position).await?;
    Ok(Backfilled {
        file: file.name.clone(),
        rows: progress.rows,
        batches,
        milliseconds: milliseconds(all),
        longest_batch: milliseconds(longest),
        wal_bytes,
    })
}

async fn check(connection: &mut PgConnection, file: &MigrationFile) -> Result<Checked, Failure> {
    let begun = Instant::now();
    let reading = read_check(connection, file).await?;
    Ok(Checked { file: file.name.clone(), reading, milliseconds: milliseconds(begun.elapsed()) })
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
