//! One transaction of the modelled server: a copy of what is in the database, and the locks that it needs.
//!
//! A step runs on the copy and either gives it back whole or is forgotten. Made by [`super::state`], which asks the sessions
//! whether the locks could have been granted. Must not wait, and must not know of sessions.

use jiff::Timestamp;
use tidegate_model::schema::{FilePhase, MigrationFile};
use tidegate_schema::{Failure, Job, Limits};

use super::{catalog::Catalog, journal::Journal, plan::PlanFacts, roles::Roles, sessions::Locks};

/// Everything that is in the database and goes with it when it is restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) catalog: Catalog,
    pub(super) journal: Option<Journal>,
}

/// A transaction that changes something.
pub(super) struct Transaction<'a> {
    pub(super) contents: Contents,
    /// What it took, in the order in which it ran; asked for after the fact.
    pub(super) locks: Locks,
    /// When it began, which is what `now()` answers in it.
    pub(super) now: Timestamp,
    pub(super) roles: &'a Roles,
    pub(super) facts: &'a PlanFacts,
    pub(super) limits: &'a Limits,
    /// Our own role.
    pub(super) ours: &'a str,
}

impl Transaction<'_> {
    /// What every step does first. The fence's row is locked before it is compared.
    pub(super) fn enter(&mut self, job: &Job<'_>) -> Result<super::journal::Known, Failure> {
        self.lock_fence(job);
        Journal::enter(self.contents.journal.as_ref(), job)
    }

    pub(super) fn lock_fence(&mut self, job: &Job<'_>) {
        if self.contents.journal.as_ref().is_some_and(|journal| journal.fence.contains_key(job.release)) {
            self.locks.fences.insert(job.release.clone());
        }
    }

    /// The journal; there is one once a step has entered.
    pub(super) fn journal(&mut self) -> &mut Journal {
        self.contents.journal.get_or_insert_default()
    }
}

/// A file of the plan.
pub(super) fn file<'a>(job: &Job<'a>, phase: FilePhase, name: &str) -> Result<&'a MigrationFile, Failure> {
    job.plan.files(phase).find(|file| file.name == name).ok_or(Failure::NoSuchFile)
}
