//! Our journal in the modelled database: schema `tidegate`, as values.
//!
//! Changed by the steps in the transaction of the effect, and read by the observation; the same rules in the same order as the
//! schema crate's `journal`, `floor` and `hide::record`. Must not decide anything that those do not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_model::{
    ChangeName, Digest, ReleaseName,
    schema::{BackfillProgress, ChangePlan, FilePhase, MigrationFile, Object, OpenChange, TableName},
};
use tidegate_schema::{Failure, Job};

/// Which change of which release.
pub(super) type Key = (ReleaseName, ChangeName);

pub(super) fn key(job: &Job<'_>) -> Key {
    (job.release.clone(), job.plan.change.clone())
}

/// The journal's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) fence: BTreeMap<ReleaseName, i64>,
    /// The ledger and the epoch of the lease in whose name the fence was claimed.
    pub(super) claims: BTreeMap<ReleaseName, (String, u64)>,
    pub(super) changes: BTreeMap<Key, Change>,
    /// Revisions that may not run any more.
    pub(super) floor: BTreeMap<ReleaseName, BTreeSet<Digest>>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) marker: String,
    pub(super) purged_at: Option<Timestamp>,
    pub(super) files: BTreeMap<String, Applied>,
    pub(super) backfills: BTreeMap<String, Cursor>,
    pub(super) builds: BTreeMap<String, Build>,
    pub(super) hidden: Option<Hide>,
}

/// A file that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) checksum: Digest,
    pub(super) locks: String,
}

/// Where a backfill stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) checksum: Digest,
    pub(super) progress: BackfillProgress,
    pub(super) moved_at: Timestamp,
}

/// A build of an index that was begun and is not recorded as over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) checksum: Digest,
    pub(super) index: Object,
    pub(super) attempts: u32,
    /// Why it failed, if that was not told yet.
    pub(super) failure: Option<String>,
}

/// The old form is hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hide {
    pub(super) at: Timestamp,
    pub(super) taken: Vec<Taken>,
    pub(super) bypassed_by: BTreeSet<String>,
}

/// What was taken of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) table: TableName,
    /// The hidden columns; none: the whole table.
    pub(super) columns: Option<BTreeSet<String>>,
    /// From whom.
    pub(super) roles: BTreeSet<String>,
}

/// Names of files that were applied or, for backfills, begun.
pub(super) type Known = BTreeSet<String>;

impl Journal {
    /// What every step does first: the fence, then the texts that were applied before.
    pub(super) fn enter(journal: Option<&Self>, job: &Job<'_>) -> Result<Known, Failure> {
        Self::fenced(journal, job)?.unchanged(job)
    }

    /// The journal, if the claim is the newest.
    pub(super) fn fenced<'a>(journal: Option<&'a Self>, job: &Job<'_>) -> Result<&'a Self, Failure> {
        let ours = job.epoch.number();
        let journal = journal.ok_or(Failure::Fenced { ours, found: 0 })?;
        match journal.fence.get(job.release).copied().unwrap_or(0) {
            found if found == ours => Ok(journal),
            found => Err(Failure::Fenced { ours, found }),
        }
    }

    fn unchanged(&self, job: &Job<'_>) -> Result<Known, Failure> {
        let Some(change) = self.changes.get(&key(job)) else { return Ok(Known::new()) };
        let applied = change.files.iter().map(|(name, applied)| (name, &applied.checksum));
        let begun = change.backfills.iter().map(|(name, cursor)| (name, &cursor.checksum));
        let mut known = Known::new();
        for (name, checksum) in applied.chain(begun) {
            let file = job.plan.files.iter().find(|file| file.name == *name);
            match file.filter(|file| file.checksum == *checksum) {
                Some(_) => drop(known.insert(name.clone())),
                None => return Err(Failure::Changed(name.clone())),
            }
        }
        Ok(known)
    }

    /// The change if the journal shows every expand and backfill as complete, or the change as purged.
    pub(super) fn require_complete(&self, job: &Job<'_>, known: &Known) -> Result<&Change, Failure> {
        let change = self.changes.get(&key(job)).ok_or(Failure::TooEarly)?;
        if change.purged_at.is_some() {
            return Ok(change);
        }
        require(job.plan, known, &[FilePhase::Expand, FilePhase::Backfill])?;
        let done = |file: &MigrationFile| change.backfills.get(&file.name).is_some_and(|at| at.progress.done);
        if job.plan.files(FilePhase::Backfill).all(done) { Ok(change) } else { Err(Failure::TooEarly) }
    }

    /// Opens the change if it is not open yet.
    pub(super) fn open(&mut self, job: &Job<'_>) -> Result<&mut Change, Failure> {
        let ours = key(job);
        let other = self.open_changes().find(|open| (&open.release, &open.change) != (&ours.0, &ours.1));
        if let Some(other) = other {
            return Err(Failure::OtherChange(other));
        }
        Ok(self.changes.entry(ours).or_insert_with(|| Change {
            marker: job.marker.to_string(),
            purged_at: None,
            files: BTreeMap::new(),
            backfills: BTreeMap::new(),
            builds: BTreeMap::new(),
            hidden: None,
        }))
    }

    /// The change of a job that is open already. SQLSTATE 23503 if it is not: the server's foreign key.
    pub(super) fn change(&mut self, job: &Job<'_>) -> Result<&mut Change, Failure> {
        self.changes.get_mut(&key(job)).ok_or_else(|| super::catalog::sql("23503"))
    }

    /// Every change that is open in this database.
    pub(super) fn open_changes(&self) -> impl Iterator<Item = OpenChange> {
        self.changes
            .iter()
            .filter(|(_, change)| change.purged_at.is_none())
            .map(|((release, change), _)| OpenChange { release: release.clone(), change: change.clone() })
    }
}

impl Change {
    /// Records a file as applied.
    pub(super) fn record(&mut self, file: &MigrationFile, locks: String) {
        self.files.insert(file.name.clone(), Applied { checksum: file.checksum.clone(), locks });
    }
}

/// Fails unless every file of these phases is known.
pub(super) fn require(plan: &ChangePlan, known: &Known, phases: &[FilePhase]) -> Result<(), Failure> {
    let mut needed = plan.files.iter().filter(|file| phases.contains(&file.phase));
    if needed.all(|file| known.contains(&file.name)) { Ok(()) } else { Err(Failure::TooEarly) }
}
