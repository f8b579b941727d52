//! A batch of a backfill, on a transaction of the model.
//!
//! Called by the port. The walk is the schema crate's: keys in order, a cursor that moves in the batch's own
//! transaction, an end that is fixed when it begins, and the real function for the next batch's size. How long a batch takes is
//! told by the server's pace, because nothing takes time here. Rows that cannot be filled are not modelled.

use std::{sync::Arc, time::Duration};

use tidegate_model::schema::{BackfillPlan, BackfillProgress, FilePhase};
use tidegate_schema::{Batch, Failure, Job, classify::lock::LockMode, next_size};

use super::{
    journal::{self, Cursor, require},
    rows::{self, Rows},
    transaction::{Transaction, file},
};

/// Pauses of more than this between batches are no work.
const LONGEST_GAP_MS: i128 = 60_000;

/// Places of a table at which a backfill is tried before its first batch, and rows tried at each: the schema crate's numbers.
const TRIALS: i64 = 20;
const ROWS_A_TRIAL: u32 = 100;

const NOTHING_DONE: BackfillProgress =
    BackfillProgress { cursor: 0, last_key: 0, rows: 0, batch: 0, batches: 0, milliseconds: 0, done: false };

/// Runs one batch and moves the cursor.
pub(super) fn batch(
    transaction: &mut Transaction<'_>,
    job: &Job<'_>,
    name: &str,
    pace: Duration,
) -> Result<Batch, Failure> {
    let file = file(job, FilePhase::Backfill, name)?;
    let plan = file.backfill.as_ref().ok_or(Failure::NoSuchFile)?;
    let known = transaction.enter(job)?;
    require(job.plan, &known, &[FilePhase::Expand])?;
    let cursor = transaction.journal().changes.get(&journal::key(job));
    let cursor = cursor.and_then(|change| change.backfills.get(&file.name)).cloned();
    let before = match &cursor {
        Some(cursor) => cursor.progress,
        None => {
            let range = whole_range(transaction, plan)?;
            trial(transaction, plan, range);
            range
        }
    };
    let batch = one_batch(transaction, plan, before, pace);
    let since = cursor.map_or(0, |cursor| transaction.now.duration_since(cursor.moved_at).as_millis());
    let worked = u64::try_from(since.clamp(0, LONGEST_GAP_MS)).unwrap_or(0);
    let milliseconds = before.milliseconds.saturating_add(worked);
    let moved = Cursor {
        checksum: file.checksum.clone(),
        progress: BackfillProgress { milliseconds, ..batch.progress },
        moved_at: transaction.now,
    };
    transaction.journal().change(job)?.backfills.insert(file.name.clone(), moved);
    Ok(batch)
}

/// The range that a backfill will walk, before its first batch.
fn whole_range(transaction: &mut Transaction<'_>, plan: &BackfillPlan) -> Result<BackfillProgress, Failure> {
    let table = transaction.contents.catalog.tables.get(&plan.table);
    let table = table.filter(|table| table.key.as_ref() == Some(&plan.key)).ok_or(Failure::Key)?;
    transaction.locks.lock(&plan.table, LockMode::AccessShare);
    Ok(match (table.rows.first_key_value(), table.rows.last_key_value()) {
        (Some((first, _)), Some((last, _))) => {
            BackfillProgress { cursor: first.saturating_sub(1), last_key: *last, ..NOTHING_DONE }
        }
        (_, _) => BackfillProgress { done: true, ..NOTHING_DONE },
    })
}

/// The rows that are tried before the first batch: nothing fails here, but they are locked, and somebody may hold them.
fn trial(transaction: &mut Transaction<'_>, plan: &BackfillPlan, range: BackfillProgress) {
    let Some(table) = transaction.contents.catalog.tables.get(&plan.table).filter(|_| !range.done) else {
        return;
    };
    let step = (range.last_key.saturating_sub(range.cursor) / TRIALS).max(1);
    let mut after = range.cursor;
    let mut tried = Vec::new();
    while let Some((last, _)) =
        next_keys(&table.rows, BackfillProgress { cursor: after, ..range }, ROWS_A_TRIAL)
    {
        tried.extend(rows::to_fill(&table.rows, after, last));
        after = after.saturating_add(step).max(last);
    }
    transaction.locks.lock(&plan.table, LockMode::RowExclusive);
    transaction.locks.rows.extend(tried.into_iter().map(|key| (plan.table.clone(), key..=key)));
}

fn one_batch(
    transaction: &mut Transaction<'_>,
    plan: &BackfillPlan,
    before: BackfillProgress,
    pace: Duration,
) -> Batch {
    if before.done {
        return Batch { rows: 0, progress: before };
    }
    let size = if before.batch == 0 { plan.batch } else { before.batch };
    let Some(table) = transaction.contents.catalog.tables.get_mut(&plan.table) else {
        return Batch { rows: 0, progress: before };
    };
    let Some((upper, walked)) = next_keys(&table.rows, before, size) else {
        transaction.locks.lock(&plan.table, LockMode::AccessShare);
        return Batch {
            rows: 0,
            progress: BackfillProgress { cursor: before.last_key, done: true, ..before },
        };
    };
    let filled = rows::to_fill(&table.rows, before.cursor, upper);
    if !filled.is_empty() {
        let rows = Arc::make_mut(&mut table.rows);
        for key in &filled {
            rows.entry(*key).and_modify(|row| *row = row.filled().unwrap_or(*row));
        }
    }
    transaction.locks.lock(&plan.table, LockMode::RowExclusive);
    transaction.locks.rows.extend(filled.iter().map(|key| (plan.table.clone(), *key..=*key)));
    let count = u64::try_from(filled.len()).unwrap_or(u64::MAX);
    let progress = BackfillProgress {
        cursor: upper,
        last_key: before.last_key,
        rows: before.rows.saturating_add(count),
        batch: next_size(size, pace.saturating_mul(walked), transaction.limits.batch_target),
        batches: before.batches.saturating_add(1),
        milliseconds: before.milliseconds,
        done: upper >= before.last_key,
    };
    Batch { rows: count, progress }
}

/// The last key of the next batch, and how many keys it walks over.
fn next_keys(rows: &Rows, before: BackfillProgress, size: u32) -> Option<(i64, u32)> {
    if before.cursor >= before.last_key {
        return None;
    }
    let keys = rows.range(before.cursor.saturating_add(1)..=before.last_key).map(|(key, _)| *key);
    let some = keys.take(usize::try_from(size).unwrap_or(usize::MAX));
    some.fold(None, |found, key| Some((key, found.map_or(1, |(_, count): (i64, u32)| count + 1))))
}
