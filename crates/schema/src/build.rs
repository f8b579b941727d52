//! Indexes that are built while everybody goes on: CREATE INDEX CONCURRENTLY.
//!
//! Called by [`crate::run`] for an expand file that is one such statement. It cannot run in a transaction and may take hours,
//! so a step only begins it: the build goes on in a session of its own, and later steps look at the catalog. What is true
//! at any moment is told by three witnesses: the journal's `build` row (ours, committed before the build began), a session
//! lock that the building session holds, and `pg_index`. A failed build leaves an INVALID index, which PostgreSQL's own
//! `IF NOT EXISTS` takes for done; here it is dropped and built again, and only if the row proves that it is ours.
//!
//! The session lock is only ever tried, never waited for: a session that waits has a snapshot, and the build waits for
//! snapshots (PostgreSQL calls that a deadlock).

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tidegate_model::{
    ChangeName, ReleaseName,
    schema::{IndexBuild, MigrationFile, TableName},
};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::Failure,
    journal::{self, Key},
    run::{Attempt, Job},
    sql::ConcurrentIndex,
};

/// First key of the building session's lock: `tide` in ASCII. The second is the file's.
const LOCK_SPACE: i32 = 0x7469_6465;

/// An index by its name, as the catalog shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Absent,
    Valid,
    /// Left by a build that failed, or being built.
    Invalid,
}

impl Database {
    /// Begins the build, or finds out what became of it.
    pub(crate) async fn build_index(
        &self,
        job: Job<'_>,
        file: &MigrationFile,
        index: &ConcurrentIndex,
    ) -> Result<Attempt<()>, Failure> {
        // A session of its own, because it outlives this step; closed at the end by whoever has it.
        let mut session = self.session().await?;
        let lock = lock_key(job.key(), &file.name);
        if !try_lock(&mut session, lock).await? {
            return Ok(Attempt::Underway);
        }
        match self.next(job, file, index).await? {
            Next::Over => {
                drop(session.close().await);
                Ok(Attempt::Done(()))
            }
            Next::Build { leftover } => {
                let work = Work {
                    release: job.release.clone(),
                    change: job.plan.change.clone(),
                    file: file.clone(),
                    index: index.name.clone(),
                    leftover,
                    limit: self.limits.build,
                };
                tokio::spawn(work.carry_out(session));
                Ok(Attempt::Underway)
            }
            Next::Failed(state) => {
                drop(session.close().await);
                Err(Failure::Build(state))
            }
        }
    }

    /// What is to be done, by journal and catalog; recorded in the same transaction. The caller has the session lock, so
    /// nobody of ours is building.
    async fn next(
        &self,
        job: Job<'_>,
        file: &MigrationFile,
        index: &ConcurrentIndex,
    ) -> Result<Next, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        let applied = crate::run::enter(&mut transaction, &job).await?;
        if applied.contains_key(&file.name) {
            return Ok(Next::Over);
        }
        let begun = journal::build_begun(&mut transaction, job.key(), file).await?;
        if let Some(state) = journal::build_failure(&mut transaction, job.key(), &file.name).await? {
            journal::build_failed(&mut transaction, job.key(), &file.name, None).await?;
            transaction.commit().await?;
            return Ok(Next::Failed(state));
        }
        let next = match (begun, shown(&mut transaction, &index.name).await?) {
            // Somebody else's: a file is applied once, to a catalog without what it adds.
            (false, Shown::Valid | Shown::Invalid) => {
                return Err(Failure::Unexpected { object: index.object(), exists: true });
            }
            (true, Shown::Valid) => {
                let facts = format!("{}: there", index.object());
                journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, (&facts, ""))
                    .await?;
                journal::build_over(&mut transaction, job.key(), &file.name).await?;
                Next::Over
            }
            (true, Shown::Invalid) if in_progress(&mut transaction, &index.name).await? => {
                // A session of a process that was killed may still be at it, without our lock if its connection broke.
                return Err(Failure::Lock);
            }
            (_, found @ (Shown::Absent | Shown::Invalid)) => {
                journal::open(&mut transaction, job.key(), job.plan, job.marker).await?;
                journal::build_begins(&mut transaction, job.key(), file, job.marker, &index.name).await?;
                Next::Build { leftover: found == Shown::Invalid }
            }
        };
        transaction.commit().await?;
        Ok(next)
    }
}

enum Next {
    /// The index is there and recorded.
    Over,
    /// The last build failed, and this is how it is told.
    Failed(String),
    Build {
        /// A failed build of ours has to go first.
        leftover: bool,
    },
}

/// A build in a session of its own.
struct Work {
    release: ReleaseName,
    change: ChangeName,
    file: MigrationFile,
    index: TableName,
    leftover: bool,
    limit: Duration,
}

impl Work {
    async fn carry_out(self, mut session: PgConnection) {
        let Self { release, change, file, index, leftover, limit } = self;
        if let Err(failure) = build(&mut session, &index, leftover, &file.text, limit).await {
            tracing::warn!(%failure, %index, "the index was not built; it is tried again");
            let state = if let Failure::Sql(state) = &failure { state.as_str() } else { "Build" };
            let key = Key { release: &release, change: &change };
            // If this is not recorded either, the next step begins again without telling.
            drop(journal::build_failed(&mut session, key, &file.name, Some(state)).await);
        }
        drop(session.close().await);
    }
}

/// The builds that the journal knows as begun, and how far they are.
pub(crate) async fn underway(
    connection: &mut PgConnection,
    key: Key<'_>,
) -> Result<Vec<(String, IndexBuild)>, Failure> {
    let mut builds = Vec::new();
    for begun in journal::builds(connection, key).await? {
        let lock = lock_key(key, &begun.file);
        let running = is_locked(connection, lock).await?;
        let progress = progress(connection, &begun.index).await?;
        let index = begun.index.to_string();
        let (phase, percent) = progress.unwrap_or_default();
        builds.push((begun.file, IndexBuild { index, attempts: begun.attempts, running, phase, percent }));
    }
    Ok(builds)
}

async fn build(
    session: &mut PgConnection,
    index: &TableName,
    leftover: bool,
    text: &str,
    limit: Duration,
) -> Result<(), Failure> {
    // No lock limit: the build waits for transactions that are older than it, and a limit would count that wait and leave
    // an INVALID index. The statement's limit is the outer one.
    let limits = format!(
        "SET lock_timeout = 0; SET statement_timeout = {}; SET search_path = public",
        limit.as_millis().max(1)
    );
    sqlx::raw_sql(AssertSqlSafe(limits)).execute(&mut *session).await?;
    if leftover {
        let name = format!("{}.{}", catalog::quoted(&index.schema), catalog::quoted(&index.table));
        sqlx::raw_sql(AssertSqlSafe(format!("{MARK}DROP INDEX CONCURRENTLY {name}")))
            .execute(&mut *session)
            .await?;
    }
    sqlx::raw_sql(AssertSqlSafe(format!("{MARK}{text}"))).execute(session).await?;
    Ok(())
}

async fn try_lock(session: &mut PgConnection, key: i32) -> Result<bool, Failure> {
    let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)").bind(LOCK_SPACE).bind(key);
    Ok(query.fetch_one(session).await?)
}

async fn is_locked(connection: &mut PgConnection, key: i32) -> Result<bool, Failure> {
    let query = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 \
         AND classid::int8 = $1 AND objid::int8 = $2 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    );
    Ok(query.bind(i64::from(LOCK_SPACE)).bind(i64::from(key)).fetch_one(connection).await?)
}

/// The second key: never negative, so that `pg_locks` shows it as it is.
fn lock_key(key: Key<'_>, file: &str) -> i32 {
    let digest = tidegate_model::Digest::of(format!("{}/{}/{file}", key.release, key.change));
    let hash =
        digest.as_str().bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    i32::try_from(hash >> 1).unwrap_or(0)
}

async fn shown(connection: &mut PgConnection, index: &TableName) -> Result<Shown, Failure> {
    let valid: Option<bool> = sqlx::query_scalar(
        "SELECT coalesce(i.indisvalid AND i.indisready, true) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid \
         WHERE n.nspname = $1 AND c.relname = $2",
    )
    .bind(&index.schema)
    .bind(&index.table)
    .fetch_optional(connection)
    .await?;
    Ok(match valid {
        None => Shown::Absent,
        Some(true) => Shown::Valid,
        Some(false) => Shown::Invalid,
    })
}

async fn in_progress(connection: &mut PgConnection, index: &TableName) -> Result<bool, Failure> {
    Ok(progress(connection, index).await?.is_some())
}

/// What the server tells of a build: its phase, in the server's own fixed words, and how much of the table it has read.
async fn progress(
    connection: &mut PgConnection,
    index: &TableName,
) -> Result<Option<(Option<String>, Option<u8>)>, Failure> {
    let row = sqlx::query(
        "SELECT p.phase, (100 * p.blocks_done / nullif(p.blocks_total, 0))::int4 \
         FROM pg_stat_progress_create_index p JOIN pg_class c ON c.oid = p.index_relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE p.datname = current_database() AND n.nspname = $1 AND c.relname = $2",
    )
    .bind(&index.schema)
    .bind(&index.table)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let percent: Option<i32> = row.try_get(1)?;
    Ok(Some((row.try_get(0)?, percent.and_then(|percent| u8::try_from(percent).ok()))))
}
