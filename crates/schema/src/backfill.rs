//! Backfill: the walk over a table in batches, tried on a sample first, steered by how long batches take.
//!
//! Called by the executor for one batch at a time, and by a rehearsal for all of them. The cursor moves in the batch's own
//! transaction. What stops a backfill (holds, a server with enough to do) is the planner's.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use tidegate_model::schema::{BackfillPlan, BackfillProgress, FilePhase, MigrationFile};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::{Failure, SqlState},
    journal,
    run::{Attempt, Job, enter, pid, require},
};

/// Places of a table at which a backfill is tried before its first batch, and rows tried at each.
const TRIALS: i64 = 20;
const ROWS_A_TRIAL: i64 = 100;

/// Most keys that are told of rows that cannot be filled.
const MOST_TOLD: usize = 20;

/// One batch of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rows that this batch changed.
    pub rows: u64,
    /// Where the backfill stands after it.
    pub progress: BackfillProgress,
}

impl Database {
    /// Runs one batch of a backfill file and saves the cursor with it; done at once if the walk is over.
    ///
    /// Before the first batch the statement is tried on rows from all over the table, and undone: what it cannot fill is better known
    /// before anything is written. The walk ends at the highest key that existed when it began: later rows are the sync trigger's.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; the batch is rolled back, and the next call begins where the cursor stands.
    pub async fn backfill(&self, job: Job<'_>, file: &str) -> Result<Attempt<Batch>, Failure> {
        let file = job.file(FilePhase::Backfill, file)?;
        let plan = file.backfill.as_ref().ok_or(Failure::NoSuchFile)?;
        let mut transaction = self.begin(self.limits.batch).await?;
        let pid = pid(&mut transaction).await?;
        let attempt = async {
            let applied = enter(&mut transaction, &job).await?;
            require(&job, &applied, &[FilePhase::Expand])?;
            let before = match journal::cursor(&mut transaction, job.key(), &file.name).await? {
                Some(progress) => progress,
                None => {
                    let range = whole_range(&mut transaction, plan).await?;
                    trial(&mut transaction, file, plan, range).await?;
                    range
                }
            };
            let batch = one_batch(&mut transaction, file, plan, before, self.limits.batch_target).await;
            let batch = match batch {
                Err(Failure::Sql(state)) if state.is_about_data() => {
                    transaction.rollback().await?;
                    let mut again = self.begin(self.limits.batch).await?;
                    let keys = next_keys(&mut again, plan, before).await?;
                    let bad = unfillable(&mut again, file, before.cursor, &keys).await?;
                    return Err(unfillable_rows(bad, keys.len(), state));
                }
                Err(Failure::Timeout) if size_of_next(plan, before) > 1 => {
                    transaction.rollback().await?;
                    return self.halve(&job, file, plan, before).await;
                }
                other => other?,
            };
            journal::move_cursor(&mut transaction, job.key(), file, job.marker, &batch.progress).await?;
            transaction.commit().await?;
            Ok(batch)
        };
        self.watched(pid, attempt).await
    }

    /// A batch ran into its time limit, and what it wrote is dead rows: the next one is half as large. Only a batch that was made tells
    /// how fast they are, so that the same size would be tried for ever.
    async fn halve(
        &self,
        job: &Job<'_>,
        file: &MigrationFile,
        plan: &BackfillPlan,
        before: BackfillProgress,
    ) -> Result<Batch, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        enter(&mut transaction, job).await?;
        // A call that was given up may have moved the cursor since.
        let at = journal::cursor(&mut transaction, job.key(), &file.name).await?.unwrap_or(before);
        let progress = BackfillProgress { batch: (size_of_next(plan, before) / 2).max(1), ..at };
        journal::move_cursor(&mut transaction, job.key(), file, job.marker, &progress).await?;
        transaction.commit().await?;
        Ok(Batch { rows: 0, progress })
    }
}

/// Tries the statement on rows from all over the table, and undoes each try: the server itself says what types, constraints and
/// triggers take, and a hundred rows are locked for milliseconds. Source: a lock is released when the savepoint after which it
/// was taken is rolled back to.
async fn trial(
    connection: &mut PgConnection,
    file: &MigrationFile,
    plan: &BackfillPlan,
    range: BackfillProgress,
) -> Result<(), Failure> {
    let (mut bad, mut tried, mut state) = (Vec::new(), 0, None);
    let step = (range.last_key.saturating_sub(range.cursor) / TRIALS).max(1);
    let mut after = range.cursor;
    while !range.done && after < range.last_key && bad.len() < MOST_TOLD {
        let from = BackfillProgress { cursor: after, ..range };
        let keys = keys_after(connection, plan, from, ROWS_A_TRIAL).await?;
        let Some(last) = keys.last() else { break };
        if let Err(found) = try_to_fill(connection, file, after, *last).await? {
            bad.extend(unfillable(connection, file, after, &keys).await?);
            state = state.or(Some(found));
        }
        tried += keys.len();
        after = after.saturating_add(step).max(*last);
    }
    state.map_or(Ok(()), |state| Err(unfillable_rows(bad, tried, state)))
}

/// Which of these rows cannot be filled: halves them. Whoever is asked why the backfill stands wants keys and not a SQLSTATE.
async fn unfillable(
    connection: &mut PgConnection,
    file: &MigrationFile,
    after: i64,
    keys: &[i64],
) -> Result<Vec<i64>, Failure> {
    let (mut bad, mut open) = (Vec::new(), vec![(after, keys)]);
    while let Some((after, some)) = open.pop().filter(|_| bad.len() < MOST_TOLD) {
        let Some(last) = some.last() else { continue };
        match (try_to_fill(connection, file, after, *last).await?, some) {
            (Ok(()), _) => {}
            (Err(_), [only]) => bad.push(*only),
            (Err(_), [..]) => {
                let (low, high) = some.split_at(some.len() / 2);
                // The lower half is looked at first.
                open.push((low.last().copied().unwrap_or(after), high));
                open.push((after, low));
            }
        }
    }
    Ok(bad)
}

/// Fills a range and undoes it; what the rows themselves refuse is an answer.
async fn try_to_fill(
    connection: &mut PgConnection,
    file: &MigrationFile,
    after: i64,
    upto: i64,
) -> Result<Result<(), SqlState>, Failure> {
    sqlx::raw_sql("SAVEPOINT trial").execute(&mut *connection).await?;
    let outcome = match fill(connection, file, after, upto).await {
        Ok(_) => Ok(()),
        Err(Failure::Sql(state)) if state.is_about_data() => Err(state),
        Err(other) => return Err(other),
    };
    sqlx::raw_sql("ROLLBACK TO trial").execute(connection).await?;
    Ok(outcome)
}

/// The rows as a failure; the SQLSTATE alone if none of them fails by itself.
fn unfillable_rows(keys: Vec<i64>, tried: usize, state: SqlState) -> Failure {
    if keys.is_empty() { Failure::Sql(state) } else { Failure::Rows { keys, tried, state } }
}

/// The range that a backfill will walk, before its first batch.
pub(crate) async fn whole_range(
    connection: &mut PgConnection,
    plan: &BackfillPlan,
) -> Result<BackfillProgress, Failure> {
    let integer: Option<bool> = sqlx::query_scalar(
        "SELECT a.attnotnull AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .bind(&plan.table.schema)
    .bind(&plan.table.table)
    .bind(&plan.key)
    .fetch_optional(&mut *connection)
    .await?;
    if integer != Some(true) {
        return Err(Failure::Key);
    }
    let (key, table) = (catalog::quoted(&plan.key), table_text(plan));
    let sql = format!("SELECT min({key})::int8, max({key})::int8 FROM {table}");
    let (first, last): (Option<i64>, Option<i64>) =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(match (first, last) {
        (Some(first), Some(last)) => {
            BackfillProgress { cursor: first.saturating_sub(1), last_key: last, ..NOTHING_DONE }
        }
        (_, _) => BackfillProgress { done: true, ..NOTHING_DONE },
    })
}

/// Fewer keys than this are not worth a transaction.
const SMALLEST_BATCH: u32 = 50;

const NOTHING_DONE: BackfillProgress =
    BackfillProgress { cursor: 0, last_key: 0, rows: 0, batch: 0, batches: 0, milliseconds: 0, done: false };

/// The keys of the next batch: as many as would have taken the target, but at most a fifth more and at least half of the
/// last. A batch's rows stay locked for as long as it takes, so slowing down is quick and speeding up is slow.
pub fn next_size(size: u32, took: Duration, target: Duration) -> u32 {
    let fits = u128::from(size) * target.as_micros() / took.as_micros().max(1);
    let fits = u32::try_from(fits).unwrap_or(u32::MAX);
    let most = size.saturating_add(size / 5).saturating_add(1);
    fits.clamp(size / 2, most).clamp(SMALLEST_BATCH, crate::sql::LARGEST_BATCH)
}

pub(crate) async fn one_batch(
    connection: &mut PgConnection,
    file: &MigrationFile,
    plan: &BackfillPlan,
    before: BackfillProgress,
    target: Duration,
) -> Result<Batch, Failure> {
    if before.done {
        return Ok(Batch { rows: 0, progress: before });
    }
    let size = size_of_next(plan, before);
    let begun = Instant::now();
    let (key, table) = (catalog::quoted(&plan.key), table_text(plan));
    let sql = format!(
        "SELECT max(k)::int8 FROM (SELECT {key} AS k FROM {table} WHERE {key} > $1 AND {key} <= $2 \
         ORDER BY {key} LIMIT $3) AS window_of_keys"
    );
    let upper: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(before.cursor)
        .bind(before.last_key)
        .bind(i64::from(size))
        .fetch_one(&mut *connection)
        .await?;
    let Some(upper) = upper else {
        let progress = BackfillProgress { cursor: before.last_key, done: true, ..before };
        return Ok(Batch { rows: 0, progress });
    };
    let rows = fill(connection, file, before.cursor, upper).await?;
    let progress = BackfillProgress {
        cursor: upper,
        last_key: before.last_key,
        rows: before.rows.saturating_add(rows),
        batch: next_size(size, begun.elapsed(), target),
        batches: before.batches.saturating_add(1),
        milliseconds: before.milliseconds,
        done: upper >= before.last_key,
    };
    Ok(Batch { rows, progress })
}

fn size_of_next(plan: &BackfillPlan, before: BackfillProgress) -> u32 {
    if before.batch == 0 { plan.batch } else { before.batch }
}

/// The keys of the next batch.
async fn next_keys(
    connection: &mut PgConnection,
    plan: &BackfillPlan,
    before: BackfillProgress,
) -> Result<Vec<i64>, Failure> {
    keys_after(connection, plan, before, i64::from(size_of_next(plan, before))).await
}

async fn keys_after(
    connection: &mut PgConnection,
    plan: &BackfillPlan,
    before: BackfillProgress,
    count: i64,
) -> Result<Vec<i64>, Failure> {
    let (key, table) = (catalog::quoted(&plan.key), table_text(plan));
    let sql =
        format!("SELECT {key}::int8 FROM {table} WHERE {key} > $1 AND {key} <= $2 ORDER BY {key} LIMIT $3");
    let keys = sqlx::query_scalar(AssertSqlSafe(sql)).bind(before.cursor).bind(before.last_key).bind(count);
    Ok(keys.fetch_all(connection).await?)
}

/// Runs the backfill's UPDATE over a range of keys; answers the rows that it changed.
async fn fill(
    connection: &mut PgConnection,
    file: &MigrationFile,
    after: i64,
    upto: i64,
) -> Result<u64, Failure> {
    let update = sqlx::query(AssertSqlSafe(format!("{MARK}{}", file.text))).bind(after).bind(upto);
    Ok(update.execute(connection).await?.rows_affected())
}

fn table_text(plan: &BackfillPlan) -> String {
    format!("{}.{}", catalog::quoted(&plan.table.schema), catalog::quoted(&plan.table.table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_slowly_and_shrinks_quickly() {
        let next = |size, took| next_size(size, Duration::from_millis(took), Duration::from_millis(100));
        assert_eq!(next(1_000, 100), 1_000);
        assert_eq!(next(1_000, 1), 1_201);
        assert_eq!(next(1_000, 125), 800);
        assert_eq!(next(1_000, 10_000), 500);
        assert_eq!(next(60, 10_000), SMALLEST_BATCH);
        assert_eq!(next(crate::sql::LARGEST_BATCH, 1), crate::sql::LARGEST_BATCH);
        assert_eq!(next(1, 0), SMALLEST_BATCH);
    }
}
