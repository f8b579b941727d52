//! The schema half: a change's plan, what was seen of it in the database, and the phases it goes through.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ChangeName, Digest, Fact, ReleaseName, Why, runner::TaskRunner};

mod evidence;
mod object;

pub use evidence::{
    Denial, Evidence, EvidenceRead, Finding, LogFailures, LogReading, Namer, RollbackCertificate,
};
pub use object::{NotAnObject, Object, TableName};

/// The phases of a schema change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SchemaPhase {
    /// Nothing of it is in the database.
    Absent,
    /// Its expand files are being applied.
    Expanding,
    /// Existing rows are being filled.
    Backfilling,
    /// Old and new form are both there and kept in step.
    Expanded,
    /// The revision that asked for it serves; contract waits for its evidence.
    Soaking,
    /// Contract is allowed: nobody but Tidegate can use the old form, and whoever misses it is looked for.
    Hidden,
    /// Nobody missed it, and the snapshot is being taken.
    Snapshotting,
    /// The old form is gone: the point of no return.
    Purged,
}

impl SchemaPhase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Expanding,
        Self::Backfilling,
        Self::Expanded,
        Self::Soaking,
        Self::Hidden,
        Self::Snapshotting,
        Self::Purged,
    ];

    /// The phase's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expanding => "expanding",
            Self::Backfilling => "backfilling",
            Self::Expanded => "expanded",
            Self::Soaking => "soaking",
            Self::Hidden => "hidden",
            Self::Snapshotting => "snapshotting",
            Self::Purged => "purged",
        }
    }
}

/// What a migration file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the phases of design and file names")]
pub enum FilePhase {
    Expand,
    Backfill,
    Check,
    Contract,
}

impl FilePhase {
    /// The phase as it stands in a file's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Backfill => "backfill",
            Self::Check => "check",
            Self::Contract => "contract",
        }
    }
}

/// One migration file, read and stored when the spec was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFile {
    /// Its number: files of a phase run in this order.
    pub version: u64,
    /// What it is for.
    pub phase: FilePhase,
    /// The whole file name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The digest of the text: applied text is immutable.
    pub checksum: Digest,
    /// Its backfill header, if it is a backfill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillPlan>,
    /// What it keeps in step, if it is the expand file that was generated from a sync file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncPlan>,
}

/// Two forms of the same data in one table that a generated trigger keeps in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncPlan {
    /// The table of both forms.
    pub table: TableName,
    /// The columns of the old form.
    pub old: Vec<SyncColumn>,
    /// The columns of the new form.
    pub new: Vec<SyncColumn>,
    /// Most rows that may have no counterpart in the other form; any number if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmapped: Option<u64>,
    /// The function that says of both forms, old columns first, whether they are in sync; as SQL text.
    pub in_sync: String,
}

/// A column that is mapped to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncColumn {
    /// Its name.
    pub name: String,
    /// True if its mapping falls back to a constant, so that it is never NULL.
    pub total: bool,
}

/// How a backfill walks its table: `-- tidegate: key=id batch=1000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackfillPlan {
    /// The table that its UPDATE names.
    pub table: TableName,
    /// The integer key that orders the walk.
    pub key: String,
    /// Rows a batch.
    pub batch: u32,
}

/// A change as its files describe it; fixed when the spec is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangePlan {
    /// The change's name.
    pub change: ChangeName,
    /// Its files, by version.
    pub files: Vec<MigrationFile>,
    /// The team's own tool, if that applies expand and contract: their files then only say what it is told to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<TaskRunner>,
    /// What expand adds: the catalog must show all of it.
    pub adds: Vec<Object>,
    /// What contract removes. Objects that expand added (the sync trigger, its functions) stand here too.
    pub removes: Vec<Object>,
    /// Digest over contract SQL, database and removed objects: what an approval names.
    pub digest: Digest,
}

impl ChangePlan {
    /// The files of one phase, in order.
    pub fn files(&self, phase: FilePhase) -> impl Iterator<Item = &MigrationFile> {
        self.files.iter().filter(move |file| file.phase == phase)
    }

    /// What contract removes that was there before the change: the old form. `readers-gone` is about these.
    pub fn old_form(&self) -> impl Iterator<Item = &Object> {
        self.removes.iter().filter(|object| !self.adds.contains(object))
    }

    /// The part of the old form that can be hidden: other objects have no rights of their own that statements need.
    pub fn hidable(&self) -> impl Iterator<Item = &Object> {
        self.old_form().filter(|object| match object {
            Object::Column { .. } | Object::Table(_) => true,
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => false,
        })
    }

    /// Most rows that may have no counterpart in the other form, if the change sets a limit to each of its syncs.
    pub fn unmapped_limit(&self) -> Option<u64> {
        let mut syncs = self.files.iter().filter_map(|file| file.sync.as_ref()).peekable();
        syncs.peek()?;
        syncs.map(|sync| sync.unmapped).sum()
    }

    /// The digest an approval must name when `unmapped` rows would lose their only copy: it covers their count.
    pub fn approval_digest(&self, unmapped: u64) -> Digest {
        if unmapped == 0 {
            self.digest.clone()
        } else {
            Digest::of(format!("{}+unmapped={unmapped}", self.digest))
        }
    }
}

/// What was seen of a change in its database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaObservation {
    /// Whether the database can be used at all.
    pub access: Fact<Access>,
    /// Our journal of this change in the target database; `Absent` before it was opened.
    pub journal: Fact<Journal>,
    /// Other changes that the journal shows open in this database.
    pub other_open: Fact<Vec<OpenChange>>,
    /// Which of the objects that the change adds or removes exist now.
    pub objects: Fact<BTreeMap<Object, bool>>,
    /// The most connections that the server allows.
    pub max_connections: Fact<u32>,
    /// Sessions that a lock request would wait for.
    pub blockers: Fact<Vec<Blocker>>,
    /// What speaks against loading the server with a backfill now.
    pub pressure: Fact<Vec<Pressure>>,
    /// What must be known before a change begins.
    pub preflight: Fact<Preflight>,
    /// The check files' count.
    pub check: Fact<CheckReading>,
    /// Who names the old form.
    pub evidence: Fact<Evidence>,
    /// What speaks for and against going back to a revision from before the change.
    pub certificate: Fact<RollbackCertificate>,
    /// What depends on what contract removes.
    pub dependencies: Fact<Dependencies>,
    /// Whom the server refused since the old form is hidden, by its log.
    pub log: Fact<LogReading>,
    /// Statements on the change's tables that failed for a reason of the schema, by the server's log.
    pub failures: Fact<LogFailures>,
}

impl SchemaObservation {
    /// Nothing could be read, and why; of the access that may tell something.
    pub fn unread(access: Fact<Access>, why: Why) -> Self {
        Self {
            access,
            journal: Fact::Unknown(why),
            other_open: Fact::Unknown(why),
            objects: Fact::Unknown(why),
            max_connections: Fact::Unknown(why),
            blockers: Fact::Unknown(why),
            pressure: Fact::Unknown(why),
            preflight: Fact::Unknown(why),
            check: Fact::Unknown(why),
            evidence: Fact::Unknown(why),
            certificate: Fact::Unknown(why),
            dependencies: Fact::Unknown(why),
            log: Fact::Unknown(why),
            failures: Fact::Unknown(why),
        }
    }
}

/// What must be known before a change begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Size of the server's databases.
    pub database_bytes: u64,
    /// Size of the tables that backfills write anew, row by row.
    pub rewritten_bytes: u64,
    /// What closes nothing and is better known now, in sentences.
    pub told: Vec<String>,
}

/// What depends on what contract removes, in the server's words; what contract removes itself is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// The server would refuse contract because of these: views, foreign keys of other tables, policies, ...
    pub blocking: Vec<String>,
    /// These would go along without a word: indexes, constraints, statistics, ...
    pub vanishing: Vec<String>,
}

/// Whether the database can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// It can.
    Granted,
    /// The secret names no host and neither the instance nor a tag binds it to this instance.
    SecretNotBound,
    /// The service's task definition uses the same secret: the role must be Tidegate's alone.
    SecretShared,
    /// The server cannot be reached, or TLS could not be verified.
    Unreachable,
    /// The role may not log in or lacks a privilege that the change needs.
    Denied,
    /// The server is older than PostgreSQL 14.
    TooOld,
    /// The instance belongs to an Aurora cluster, which this version refuses by name.
    Aurora,
}

/// Our journal of one change, as it stands in the target database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The fencing epoch: a writer with an older one cannot commit.
    pub epoch: i64,
    /// The release that opened it.
    pub release: ReleaseName,
    /// The marker under which it was opened.
    pub marker: String,
    /// Files applied, with the checksum they had.
    pub applied: BTreeMap<String, Digest>,
    /// The locks that files took which stop somebody, as the server showed them, and how long: by file.
    #[serde(default)]
    pub locks: BTreeMap<String, String>,
    /// Progress of each backfill file.
    pub backfills: BTreeMap<String, BackfillProgress>,
    /// Indexes whose build was begun and is not known to be over, by file.
    #[serde(default)]
    pub builds: BTreeMap<String, IndexBuild>,
    /// Whether the old form is hidden.
    #[serde(default)]
    pub hidden: Option<Hidden>,
    /// When contract was applied, if it was.
    pub purged_at: Option<Timestamp>,
    /// Revisions of the release that may not run on this database any more, by the digest of their content.
    #[serde(default)]
    pub floor: Vec<Digest>,
}

/// The old form is hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hidden {
    /// Since when, by the server's clock.
    pub at: Timestamp,
    /// Tables of which something is hidden, heirs and partitions included.
    pub tables: Vec<TableName>,
    /// Login roles that lost a right, directly or through another role, as the server writes them.
    pub taken_from: Vec<String>,
    /// Login roles that hiding cannot stop: superusers, readers of all data, owners of foreign keys. Escaped and cut.
    pub bypassed_by: Vec<String>,
    /// Login roles that were given a right on it since. Escaped and cut.
    pub regranted_to: Vec<String>,
}

/// An index that is built concurrently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexBuild {
    /// The index, with its schema.
    pub index: String,
    /// How often the build was begun.
    pub attempts: u32,
    /// True while a session of ours is at it. False with an entry here: it failed, or is over and not recorded yet.
    pub running: bool,
    /// What the server says it is doing, in its own fixed words.
    pub phase: Option<String>,
    /// How much of the table was read in this phase, in percent.
    pub percent: Option<u8>,
}

impl fmt::Display for IndexBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {}", self.index)?;
        if let Some(phase) = &self.phase {
            write!(f, ": {phase}")?;
        }
        match self.percent {
            Some(percent) => write!(f, ", {percent} %"),
            None => Ok(()),
        }
    }
}

/// How far a backfill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackfillProgress {
    /// The last key done.
    pub cursor: i64,
    /// The highest key when it began.
    pub last_key: i64,
    /// Rows changed so far.
    pub rows: u64,
    /// Keys that the next batch walks over, steered by how long batches take; 0 before the first one.
    #[serde(default)]
    pub batch: u32,
    /// Batches so far.
    #[serde(default)]
    pub batches: u64,
    /// Milliseconds of work so far: from batch to batch, pauses of more than a minute left out.
    #[serde(default)]
    pub milliseconds: u64,
    /// True once the walk passed `last_key`.
    pub done: bool,
}

impl BackfillProgress {
    /// Keys left to walk; an upper bound of the rows left.
    pub fn keys_left(&self) -> u64 {
        if self.done { 0 } else { u64::try_from(self.last_key.saturating_sub(self.cursor)).unwrap_or(0) }
    }

    /// Rows a second, as measured; nothing before enough was measured to be worth telling.
    pub fn rows_per_second(&self) -> Option<u64> {
        (self.milliseconds >= 1_000).then(|| self.rows.saturating_mul(1_000) / self.milliseconds)
    }

    /// Seconds of work left at the measured rate, at most: gaps between keys are counted as rows.
    pub fn seconds_left(&self) -> Option<u64> {
        let rate = self.rows_per_second().filter(|rate| *rate > 0)?;
        Some(self.keys_left().div_ceil(rate))
    }
}

/// A change that is open in the same database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChange {
    /// Whose it is.
    pub release: ReleaseName,
    /// Its name.
    pub change: ChangeName,
}

/// A session that a lock request would wait for. Never its query text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Its process id.
    pub pid: i32,
    /// Its role.
    pub role: String,
    /// Its application name, escaped and cut.
    pub application: String,
    /// `idle in transaction`, `active`, ...
    pub state: String,
    /// Age of its transaction in seconds.
    pub transaction_seconds: i64,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "session {} of role {} ({}, {}, transaction open {}s)",
            self.pid, self.role, self.application, self.state, self.transaction_seconds
        )
    }
}

/// A sign that the server has enough to do: a backfill pauses while there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pressure {
    /// A replica replays what the primary wrote long ago.
    ReplicaLag {
        /// The replica's application name, escaped and cut.
        replica: String,
        /// How far it is behind, in seconds.
        seconds: i64,
    },
    /// A replication slot keeps so much of the log that the server may soon drop it.
    SlotAtRisk {
        /// The slot, escaped and cut.
        slot: String,
    },
    /// The log grew so fast that a checkpoint was asked for before its time: it writes everything at once.
    Checkpoint {
        /// Seconds since that was seen.
        seconds: u64,
    },
    /// Autovacuum works on the table: a backfill would make more of what it is removing.
    Vacuum {
        /// The table.
        table: TableName,
    },
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplicaLag { replica, seconds } => write!(f, "replica {replica} is {seconds} s behind"),
            Self::SlotAtRisk { slot } => {
                write!(f, "replication slot {slot} keeps more of the log than it may")
            }
            Self::Checkpoint { seconds } => {
                write!(f, "the server's log grew so fast that it asked for a checkpoint {seconds} s ago")
            }
            Self::Vacuum { table } => write!(f, "autovacuum works on {table}"),
        }
    }
}

/// What the check files counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReading {
    /// Rows in which old and new form disagree, unmapped ones excluded.
    pub disagreeing: u64,
    /// Rows whose old form has no new form: purge would destroy their only copy.
    pub unmapped: u64,
    /// Rows whose new form has no old form: revisions that read the old one would miss it after a rollback.
    #[serde(default)]
    pub unmapped_back: u64,
    /// Writes that gave both forms and they disagreed; the new one won.
    #[serde(default)]
    pub conflicts: u64,
    /// The lowest key of a row that disagrees, has no new form, or has no old one, where the check tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_disagreeing: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "see the one above")]
    pub first_unmapped: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "see the one above")]
    pub first_unmapped_back: Option<i64>,
    /// True if only a sample of the rows was read: no row of it disagreeing says little, one disagreeing says enough.
    #[serde(default)]
    pub sampled: bool,
}

/// How much of a table a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckScope {
    /// Some pages of it, chosen at random by the server, where the check is generated and the table is large.
    Sample,
    /// Every row.
    Whole,
}

impl CheckReading {
    /// What two checks of one change count together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            disagreeing: self.disagreeing.saturating_add(other.disagreeing),
            unmapped: self.unmapped.saturating_add(other.unmapped),
            unmapped_back: self.unmapped_back.saturating_add(other.unmapped_back),
            conflicts: self.conflicts.saturating_add(other.conflicts),
            first_disagreeing: self.first_disagreeing.or(other.first_disagreeing),
            first_unmapped: self.first_unmapped.or(other.first_unmapped),
            first_unmapped_back: self.first_unmapped_back.or(other.first_unmapped_back),
            sampled: self.sampled || other.sampled,
        }
    }
}
