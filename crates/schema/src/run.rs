//! The steps expand and purge, and the claim that fences every step.
//!
//! Called by the executor, which journals the intent first. Each step is one transaction: fence, journal and catalog
//! are compared first, the effect and its bookkeeping commit together, and nothing is tried twice. Whether and when to
//! try again is the caller's. If the connection is lost at the commit, the journal tells later what happened.
//!
//! A process claims once for each epoch of its lease. After [`Failure::Fenced`] it may claim again: that is refused if another
//! process has the release by a newer lease or a newer ledger, however late this one comes.

use std::{collections::BTreeMap, future::Future, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use tidegate_model::{
    Digest, ReleaseName,
    name::Marker,
    schema::{Blocker, ChangePlan, FilePhase, Journal, MigrationFile, Object},
};

use crate::{
    catalog,
    connect::{Database, MARK},
    failure::Failure,
    floor, hide,
    journal::{self, Epoch, Key},
    sessions, sync,
    trace::Proof,
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

    pub(crate) fn file(&self, phase: FilePhase, name: &str) -> Result<&'a MigrationFile, Failure> {
        self.plan.files(phase).find(|file| file.name == name).ok_or(Failure::NoSuchFile)
    }
}

impl Database {
    /// Claims the fence for a release, in the name of a ledger and of the epoch in which this process leads the release by it,
    /// and creates the journal where it is missing. Earlier claims are void afterwards.
    ///
    /// # Errors
    ///
    /// [`Failure::Fenced`] if a newer epoch of this ledger, or a newer ledger, has claimed. After any [`Failure`] nothing is
    /// claimed, unless the connection was lost.
    pub async fn claim(&self, release: &ReleaseName, ledger: &str, lease: u64) -> Result<Epoch, Failure> {
        let mut transaction = self.begin(self.limits.statement).await?;
        journal::create(&mut transaction).await?;
        let epoch = journal::claim(&mut transaction, release, ledger, lease).await?;
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
            let proof = Proof::begin(&mut transaction, job.plan, Some(&file.name), FilePhase::Expand).await?;
            run_file(&mut transaction, file).await?;
            let locks = proof.end(&mut transaction).await?;
            if let Some(sync) = &file.sync {
                sync::proof::runs(&mut transaction, sync).await?;
            }
            let facts = catalog::expect(&mut transaction, &adds, true).await?;
            let facts = facts_text(&facts);
            journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, (&facts, &locks))
                .await?;
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
            journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, (&facts, "")).await?;
        }
        transaction.commit().await?;
        Ok(Attempt::Done(()))
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
                let proof = Proof::begin(&mut transaction, job.plan, None, FilePhase::Contract).await?;
                for file in job.plan.files(FilePhase::Contract) {
                    run_file(&mut transaction, file).await?;
                }
                proof.end(&mut transaction).await?;
            }
            let facts = catalog::expect(&mut transaction, &job.plan.removes, false).await?;
            let facts = facts_text(&facts);
            for file in job.plan.files(FilePhase::Contract) {
                journal::record(&mut transaction, job.key(), file, job.marker, job.epoch, (&facts, ""))
                    .await?;
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
    pub(crate) async fn watched<T>(
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

pub(crate) fn require(
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

pub(crate) async fn pid(transaction: &mut Transaction<'static, Postgres>) -> Result<i32, Failure> {
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
