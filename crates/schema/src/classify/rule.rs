//! The rules: what is dangerous about a statement, why, and the safe way.
//!
//! A finding is a rule at a place. Whether it refuses the file depends on the rule and the file's phase, and for rules
//! about lock cost on whether the author allowed it with a reason, because only the author knows that a table is small.

use serde::Serialize;
use tidegate_model::{schema::FilePhase, spec::Code};

macro_rules! rules {
    ($($(#[$doc:meta])+ $name:ident { $advice:ident, why: $why:literal, way: $way:literal }),+ $(,)?) => {
        /// What can be found about a statement. The code is the same as in problems of a spec's migration files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Rule { $($(#[$doc])+ $name),+ }

        impl Rule {
            /// Every rule, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable code.
            pub fn code(self) -> Code { match self { $(Self::$name => Code::$name),+ } }
            /// Why it is dangerous.
            pub fn why(self) -> &'static str { match self { $(Self::$name => $why),+ } }
            /// The safe way.
            pub fn safe_way(self) -> &'static str { match self { $(Self::$name => $way),+ } }
            /// What it does to a file.
            pub fn force(self) -> Force { match self { $(Self::$name => Force::$advice),+ } }
        }
    };
}

/// What a finding does to the file that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Force {
    /// It is told, and nothing else.
    Advises,
    /// It refuses the file unless the author allows it: `-- tidegate: allow <code> <why>` above the statement.
    RefusesUnlessAllowed,
    /// It refuses the file.
    Refuses,
}

rules! {
    /// The whole table is written anew under a lock that stops everybody.
    RewriteUnderLock { RefusesUnlessAllowed,
        why: "it rewrites the whole table while nobody can read or write it",
        way: "add a nullable column without a default, fill it in a backfill file, and set the default by itself" },
    /// The whole table is read under a lock that stops writers or everybody.
    ScanUnderLock { RefusesUnlessAllowed,
        why: "it reads the whole table while others wait",
        way: "add the constraint NOT VALID, and VALIDATE it in a file of its own: that lets reads and writes go on" },
    /// An index is built while writers wait.
    IndexBuildUnderLock { RefusesUnlessAllowed,
        why: "it builds an index while nobody can write the table",
        way: "CREATE INDEX CONCURRENTLY, alone in its file" },
    /// A unique, primary key or exclusion constraint builds its index under a lock that stops everybody.
    ConstraintBuildsIndex { RefusesUnlessAllowed,
        why: "it builds an index while nobody can read or write the table",
        way: "CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT ... USING INDEX" },
    /// Long work in the same transaction as a strong lock.
    LongWorkUnderLock { RefusesUnlessAllowed,
        why: "the file's earlier statements hold a lock until the file ends, and this one takes long",
        way: "put it into a file of its own: each file is one transaction" },
    /// Strong locks on several tables in one transaction.
    ManyTablesLocked { Advises,
        why: "the file locks several tables at once: others wait longer, and may deadlock with it",
        way: "one file for each table" },
    /// It works or fails by the rows that are there.
    DependsOnRows { Advises,
        why: "it fails if rows break it",
        way: "count those rows first; a check file can do it" },
    /// A name that a revision knows goes away.
    Renames { Refuses,
        why: "a rename breaks the revision that knows the old name",
        way: "add the new name, keep both in step with a sync file, and drop the old one in a contract file" },
    /// A column that every INSERT would have to name.
    RequiredColumn { Refuses,
        why: "the serving revision does not write the column, and NOT NULL without a default refuses its rows",
        way: "add it nullable or with a constant default" },
    /// The type of a column that a revision uses.
    ChangesType { RefusesUnlessAllowed,
        why: "clients see the new type, and most type changes rewrite the table",
        way: "add a column of the new type, keep both in step with a sync file, and drop the old one in a contract file" },
    /// A constraint on what the serving revision writes.
    ConstrainsOldWrites { RefusesUnlessAllowed,
        why: "the serving revision may write rows that the constraint refuses",
        way: "constrain the new columns only, or allow it with the reason why every running revision keeps it" },
    /// Something that the serving revision relies on is changed in place.
    ChangesBehaviour { Refuses,
        why: "it changes what the serving revision's statements do",
        way: "add something new beside it instead" },
    /// A right is taken away or given to somebody else.
    TakesRights { Refuses,
        why: "a revision may lose its access",
        way: "grant in the expand file; leave owners and revoking to whoever manages the roles" },
    /// A default changes for every revision.
    ChangesDefault { Advises,
        why: "rows that the serving revision inserts get the new default too",
        way: "make sure that it reads such rows" },
    /// Something is removed that a revision may need.
    Removes { Refuses,
        why: "an expand file removes nothing: the serving revision may need it",
        way: "move it to a contract file" },
    /// CASCADE.
    Cascades { Refuses,
        why: "CASCADE removes what the file does not name",
        way: "name each object, so that its readers can be asked for" },
    /// Rows are changed in an expand file.
    ChangesRows { Refuses,
        why: "an expand file changes no rows of a table in use: its lock would be held for as long as that takes",
        way: "move it to a backfill file, which runs in batches" },
    /// Code whose effect cannot be read from the file.
    RunsCode { Refuses,
        why: "what the code does cannot be known before it runs",
        way: "write its statements into the file" },
    /// `OR REPLACE`, `IF NOT EXISTS`, `IF EXISTS`.
    HidesDrift { Refuses,
        why: "OR REPLACE, IF NOT EXISTS and IF EXISTS hide that the database is not in the expected state",
        way: "leave it out: a file is applied once" },
    /// A statement that cannot run in a transaction, in a file with others.
    NotAlone { Refuses,
        why: "the statement cannot run in a transaction, so it must be the only one of its file",
        way: "put it into a file of its own" },
    /// A statement that cannot run in a transaction and has no way to be proven done.
    NotTransactional { Refuses,
        why: "the statement cannot run in a transaction, and whether it was done could not be proven after a crash",
        way: "run it by hand, outside of the change" },
    /// The transaction and the session are the daemon's.
    ControlsTransaction { Refuses,
        why: "a migration file controls no transaction",
        way: "remove it: each file runs in one transaction" },
    /// Settings are the daemon's.
    ChangesSettings { Refuses,
        why: "a migration file changes no setting",
        way: "remove it: search_path is public, and the time limits come from the daemon's configuration" },
    /// Something that has no name cannot be looked for in the catalog.
    Unnamed { Refuses,
        why: "it has no name, so the catalog cannot be asked whether it is there",
        way: "name it" },
    /// A new value of an enum cannot be used in the transaction that adds it.
    EnumValueUnusable { Advises,
        why: "the new value cannot be used before the file's transaction has ended",
        way: "use it in a later file" },
    /// DROP COLUMN takes every index with the column along.
    DropsIndexes { Advises,
        why: "every index with the column in its key or predicate goes with it",
        way: "build what is still needed from the other columns first" },
    /// A column may hold NULL from now on.
    AdmitsNull { Advises,
        why: "the serving revision may read NULL where it knows of none",
        way: "make sure that it can, or let only the next revision write NULL" },
}

impl Rule {
    /// True if it is about files of this phase.
    pub fn applies(self, phase: FilePhase) -> bool {
        match (self, phase) {
            // Removing is what a contract file is for, and changing rows what a backfill is for.
            (Self::Removes | Self::ChangesRows, _) => phase == FilePhase::Expand,
            // A check only reads, in a transaction that can do nothing else; a backfill is one UPDATE.
            (Self::RunsCode, FilePhase::Check | FilePhase::Backfill) => false,
            (_, FilePhase::Expand | FilePhase::Backfill | FilePhase::Check | FilePhase::Contract) => true,
        }
    }

    /// True if it refuses the file that it is found in, `allowed` or not by its author.
    pub fn refuses(self, allowed: bool) -> bool {
        match self.force() {
            Force::Advises => false,
            Force::RefusesUnlessAllowed => !allowed,
            Force::Refuses => true,
        }
    }

    /// The rule of a code as people write it.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.code().as_str() == code)
    }
}
