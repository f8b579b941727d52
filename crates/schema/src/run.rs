//! The steps: expand, one backfill batch, purge; and the claim that fences them.
//!
//! Called by the executor, which journals the intent first. Each step is one transaction: fence, journal and catalog
//! are compared first, the effect and its bookkeeping commit together, and nothing is tried twice. Whether and when to
//! try again is the caller's. If the connection is lost at the commit, the journal tells later what happened.
//!
//! A process claims once for each lease that it holds, never again after [`Failure::Fenced`]: being fenced means that
//! another process has the release.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use tidegate_model::{
    Digest, ReleaseName,
    name::Marker,
    schema::{
        BackfillPlan, BackfillProgress, Blocker, ChangePlan, FilePhase, Journal, MigrationFile, Object,
    },
};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::{Failure, SqlState},
    floor, hide,
    journal::{self, Epoch, Key},
    sessions, sync,
};

/// What one attempt of a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt<T> {
    /// It is committed, now or by an earlier attempt.
    Done(T),
    /// A lock was not granted in time, and nothing changed. The sessions that were seen in the way; none if they were
    /// gone before they could be asked for.
    Blocked(Vec<Blocker>),
    /// It was begun and goes on in the server; the journal tells when it is over.
    Underway,
}

/// One batch of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rows that this batch changed.
    pub rows: u64,
    /// Where the backfill stands after it.
    pub progress: BackfillProgress,
}

/// Which change a step belongs to, and with which authority it is taken.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The release.
    pub release: &'a ReleaseName,
    /// The change's plan, as it was accepted.
    pub plan: &'a ChangePlan,
    /// The marker for the journal.
    pub marker: &'a Marker,
    /// The claim.
    pub epoch: Epoch,
}

impl<'a> Job<'a> {
    pub(crate) fn key(&self) -> Key<'a> {
        Key { release: self.release, change: &self.plan.change }
    }

    fn file(&self, phase: FilePhase, name: &str) -> Result<&'a MigrationFile, Failure> {
        self.plan.files(phase).find(|file| file.name == name).ok_or(Failure::NoSuchFile)
    }
}

impl Database {
    /// Claims the fence for a release and creates the journal where it is missing. Earlier claims are void afterwards.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; nothing is claimed then, unless the connection was lost.
    pub async fn claim(&self, release: &ReleaseName) -> Result<Epoch, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        journal::create(&mut transaction).await?;
        let epoch = journal::claim(&mut transaction, release).await?;
        transaction.commit().await?;
        Ok(epoch)
    }

    /// Applies one expand file; done at once if the journal shows it applied.
    ///
    /// A file that builds an index concurrently is begun, or found to be over: see [`crate::build`].
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; the transaction is rolled back.
    pub async fn expand(&self, job: Job<'_>, file: &str) -> Result<Attempt<()>, Failure> {
        let file = job.file(FilePhase::Expand, file)?;
        if job.plan.runner.is_some() {
            return self.expanded_by_runner(job, file).await;
        }
        if let Some(index) = crate::sql::concurrent_index(&file.text) {
            return self.build_index(job, file, &index).await;
        }
        let mut transaction = self.begin(self.limits.statement).await?;
        let pid = pid(&mut transaction).await?;
        let attempt = async {
            let applied = enter(&mut transaction, &job).await?;
            if applied.contains_key(&file.name) {
                return Ok(());
            }
            let adds = added_by(file)?;
            journal::open(&mut transaction, job.key(), job.plan, job.marker).await?;
            catalog::expect(&mut transaction, &adds, false).await?;
            if let Some(sync) = &file.sync {
                sync::proof::can_be_kept(&mut transaction, sync).await?;
            }
            run_file(&mut transaction, file).await?;
            if let Some(sync) = &file.sync {
                sync::proof::runs(&mut transaction, sync).await?;
            }
            let facts = catalog::expect(&mut transaction, &adds, true).await?;
            let facts = facts_text(&facts);
            journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, &facts).await?;
            transaction.commit().await?;
            Ok(())
        };
        self.watched(pid, attempt).await
    }

    /// Journals that the team's own tool has expanded: the catalog must show it. The tool's work and this record cannot commit
    /// together, so it is the catalog that counts.
    async fn expanded_by_runner(&self, job: Job<'_>, file: &MigrationFile) -> Result<Attempt<()>, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        let applied = enter(&mut transaction, &job).await?;
        if !applied.contains_key(&file.name) {
            journal::open(&mut transaction, job.key(), job.plan, job.marker).await?;
            let facts = facts_text(&catalog::expect(&mut transaction, &job.plan.adds, true).await?);
            journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, &facts).await?;
        }
        transaction.commit().await?;
        Ok(Attempt::Done(()))
    }

    /// Runs one batch of a backfill file and saves the cursor with it; done at once if the walk is over.
    ///
    /// The walk ends at the highest key that existed when it began: later rows are the sync trigger's.
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
                None => whole_range(&mut transaction, plan).await?,
            };
            let batch = one_batch(&mut transaction, file, plan, before, self.limits.batch_target).await;
            let batch = match batch {
                Err(Failure::Sql(state)) if state.is_about_data() => {
                    transaction.rollback().await?;
                    return Err(self.first_bad_row(file, plan, before, state).await?);
                }
                other => other?,
            };
            journal::move_cursor(&mut transaction, job.key(), file, job.marker, &batch.progress).await?;
            transaction.commit().await?;
            Ok(batch)
        };
        self.watched(pid, attempt).await
    }

    /// Which row of the next batch cannot be filled: halves it, undoing each try. Whoever is asked why the backfill stands wants a
    /// key and not a SQLSTATE.
    async fn first_bad_row(
        &self,
        file: &MigrationFile,
        plan: &BackfillPlan,
        before: BackfillProgress,
        state: SqlState,
    ) -> Result<Failure, Failure> {
        let mut transaction = self.begin(self.limits.batch).await?;
        let keys = next_keys(&mut transaction, plan, before).await?;
        let (mut fine, mut some) = (0, keys.len());
        while some > fine + 1 {
            let middle = fine + (some - fine) / 2;
            let after = fine.checked_sub(1).and_then(|last| keys.get(last)).unwrap_or(&before.cursor);
            let Some(upper) = keys.get(middle - 1) else { break };
            sqlx::raw_sql("SAVEPOINT half").execute(&mut *transaction).await?;
            match fill(&mut transaction, file, *after, *upper).await {
                Ok(_) => fine = middle,
                Err(Failure::Sql(found)) if found.is_about_data() => some = middle,
                Err(other) => return Err(other),
            }
            sqlx::raw_sql("ROLLBACK TO half").execute(&mut *transaction).await?;
        }
        transaction.rollback().await?;
        Ok(keys.get(fine).map_or(Failure::Sql(state), |key| Failure::Row { key: *key, state }))
    }

    /// Applies every contract file in one transaction: the point of no return. Done at once if the journal shows it. If the
    /// team's own tool contracts, only what it did is journaled.
    /// Rights that hiding took on what stays are given back in it, and revisions with the content of `namers` may not run any more.
    ///
    /// Refuses unless every expand and backfill is recorded as complete and the catalog shows all that expand added
    /// and all that contract removes. Evidence, approval and snapshot are the planner's gates, not looked at here.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; the transaction is rolled back.
    pub async fn purge(&self, job: Job<'_>, namers: &[Digest]) -> Result<Attempt<()>, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        let pid = pid(&mut transaction).await?;
        let attempt = async {
            let applied = enter(&mut transaction, &job).await?;
            let journal = require_complete(&mut transaction, &job, &applied).await?;
            if journal.purged_at.is_some() {
                return Ok(());
            }
            // The team's own tool has contracted already, and the catalog must show it.
            if job.plan.runner.is_none() {
                let all: Vec<&Object> = job.plan.adds.iter().chain(&job.plan.removes).collect();
                catalog::expect(&mut transaction, all, true).await?;
                for file in job.plan.files(FilePhase::Contract) {
                    run_file(&mut transaction, file).await?;
                }
            }
            let facts = catalog::expect(&mut transaction, &job.plan.removes, false).await?;
            let facts = facts_text(&facts);
            for file in job.plan.files(FilePhase::Contract) {
                journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, &facts).await?;
            }
            hide::give_back(&mut transaction, job.key()).await?;
            floor::raise(&mut transaction, job.key(), namers).await?;
            journal::purged(&mut transaction, job.key()).await?;
            transaction.commit().await?;
            Ok(())
        };
        self.watched(pid, attempt).await
    }

    /// Sessions that would make the change's DDL wait beyond its lock budget.
    ///
    /// # Errors
    ///
    /// Any [`Failure`].
    pub async fn blockers(&self, plan: &ChangePlan) -> Result<Vec<Blocker>, Failure> {
        let mut transaction = self.read(self.limits.read).await?;
        sessions::holders(&mut transaction, &catalog::tables(plan), self.limits.lock).await
    }

    /// Runs an attempt while another connection notes who is in its way; a lock that was not granted is an answer.
    async fn watched<T>(
        &self,
        pid: i32,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Attempt<T>, Failure> {
        let mut seen = Vec::new();
        let outcome = {
            let watch = self.watch(pid, &mut seen);
            tokio::pin!(watch, attempt);
            tokio::select! {
                outcome = &mut attempt => outcome,
                // The watcher gave up: only the attempt is left to wait for.
                () = &mut watch => attempt.await,
            }
        };
        match outcome {
            Ok(done) => Ok(Attempt::Done(done)),
            Err(Failure::Lock) => Ok(Attempt::Blocked(seen)),
            Err(failure) => Err(failure),
        }
    }

    /// Notes the sessions that block a server session, several times within its lock budget.
    async fn watch(&self, pid: i32, seen: &mut Vec<Blocker>) {
        let pause = (self.limits.lock / 4).max(Duration::from_millis(10));
        loop {
            tokio::time::sleep(pause).await;
            let Ok(mut connection) = self.watcher().await else { return };
            match sessions::blocking(&mut connection, pid).await {
                Ok(blockers) if blockers.is_empty() => {}
                Ok(blockers) => *seen = blockers,
                Err(_) => return,
            }
        }
    }
}

/// What every step does first: the fence, then the texts that were applied before.
pub(crate) async fn enter(
    connection: &mut PgConnection,
    job: &Job<'_>,
) -> Result<BTreeMap<String, tidegate_model::Digest>, Failure> {
    if !journal::exists(connection).await? {
        return Err(Failure::Fenced { ours: job.epoch.number(), found: 0 });
    }
    journal::fence(connection, job.release, job.epoch).await?;
    journal::unchanged(connection, job.key(), job.plan).await
}

/// The journal, if it shows every expand and backfill as complete, or the change as purged.
pub(crate) async fn require_complete(
    connection: &mut PgConnection,
    job: &Job<'_>,
    applied: &BTreeMap<String, tidegate_model::Digest>,
) -> Result<Journal, Failure> {
    let journal = journal::read(connection, job.key()).await?.ok_or(Failure::TooEarly)?;
    if journal.purged_at.is_some() {
        return Ok(journal);
    }
    require(job, applied, &[FilePhase::Expand, FilePhase::Backfill])?;
    let backfilled = |file: &MigrationFile| journal.backfills.get(&file.name).is_some_and(|at| at.done);
    if job.plan.files(FilePhase::Backfill).all(backfilled) { Ok(journal) } else { Err(Failure::TooEarly) }
}

fn require(
    job: &Job<'_>,
    applied: &BTreeMap<String, tidegate_model::Digest>,
    phases: &[FilePhase],
) -> Result<(), Failure> {
    let needed = job.plan.files.iter().filter(|file| phases.contains(&file.phase));
    if needed.into_iter().all(|file| applied.contains_key(&file.name)) {
        Ok(())
    } else {
        Err(Failure::TooEarly)
    }
}

async fn pid(transaction: &mut Transaction<'static, Postgres>) -> Result<i32, Failure> {
    Ok(sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **transaction).await?)
}

/// Runs a file's statements as they stand. The text was judged when the spec was accepted, and its checksum is part of
/// the plan.
async fn run_file(connection: &mut PgConnection, file: &MigrationFile) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(format!("{MARK}{}", file.text))).execute(connection).await?;
    Ok(())
}

/// What one expand file adds: read again from its text, because the plan lists it for all files together.
fn added_by(file: &MigrationFile) -> Result<Vec<Object>, Failure> {
    crate::sql::added_by(&file.text).ok_or(Failure::NoSuchFile)
}

fn facts_text(facts: &BTreeMap<Object, bool>) -> String {
    let line =
        |(object, exists): (&Object, &bool)| format!("{object}: {}", if *exists { "there" } else { "gone" });
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
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
fn next_size(size: u32, took: Duration, target: Duration) -> u32 {
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
    let (key, table) = (catalog::quoted(&plan.key), table_text(plan));
    let sql =
        format!("SELECT {key}::int8 FROM {table} WHERE {key} > $1 AND {key} <= $2 ORDER BY {key} LIMIT $3");
    let keys = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(before.cursor)
        .bind(before.last_key)
        .bind(i64::from(size_of_next(plan, before)));
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
