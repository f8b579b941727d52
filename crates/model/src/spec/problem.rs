//! What is wrong with a text that people wrote: a code, a place and a remedy, never the text itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong with a spec, an order or a migration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The stable code.
    pub code: Code,
    /// Where in the document: `traffic.shift.linear.percent`, or the file's name for a migration.
    pub path: String,
    /// What is wrong, in our own words: input is never quoted.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} {}: {}", self.line, self.column, self.code.as_str(), self.path, self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal),+ $(,)?) => {
        /// Stable problem codes; the README lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$doc])+ #[serde(rename = $text)] $name),+ }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as it is printed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

codes! {
    /// The text is not JSON.
    NotJson = "SPEC001",
    /// The text is longer than a parameter can be.
    TooLarge = "SPEC002",
    /// A required key is missing.
    MissingKey = "SPEC003",
    /// A key that the spec does not have.
    UnknownKey = "SPEC004",
    /// A value of the wrong type.
    WrongType = "SPEC005",
    /// A value that is not one of those allowed, or not well formed.
    BadValue = "SPEC006",
    /// A number or duration out of range.
    OutOfRange = "SPEC007",
    /// A key that stands twice.
    DuplicateKey = "SPEC008",
    /// Keys that exclude each other, or need each other.
    Conflict = "SPEC009",
    /// Something that this version refuses by name.
    NotYet = "SPEC010",
    /// Something that the engine cannot keep.
    EngineCannot = "SPEC011",
    /// An order that is not well formed.
    BadOrder = "ORDER001",
    /// A migration source that cannot be read.
    SourceUnreadable = "MIGR001",
    /// A migration file whose name is not `<version>_<phase>_<name>.sql`.
    FileName = "MIGR002",
    /// SQL that the PostgreSQL grammar does not take.
    NotSql = "MIGR003",
    /// A statement that has no place in a file of its phase.
    WrongPhase = "MIGR004",
    /// A backfill that is not one UPDATE over `$1` and `$2` of its key, or lacks its header.
    BadBackfill = "MIGR005",
    /// A check that is not one SELECT.
    BadCheck = "MIGR006",
    /// Files that do not fit each other: a phase missing, a version standing twice.
    FilesDisagree = "MIGR007",
    /// A comment that allows a rule, and is not well formed or allows nothing.
    BadAllow = "MIGR008",
    /// A sync file that is not two SELECTs which map old and new columns of one table to each other.
    BadSync = "MIGR009",
    /// The whole table is written anew under a lock that stops everybody.
    RewriteUnderLock = "MIGR101",
    /// The whole table is read under a lock that stops writers or everybody.
    ScanUnderLock = "MIGR102",
    /// An index is built while writers wait.
    IndexBuildUnderLock = "MIGR103",
    /// A unique, primary key or exclusion constraint builds its index under a lock that stops everybody.
    ConstraintBuildsIndex = "MIGR104",
    /// Long work in the same transaction as a strong lock.
    LongWorkUnderLock = "MIGR105",
    /// Strong locks on several tables in one transaction.
    ManyTablesLocked = "MIGR106",
    /// It works or fails by the rows that are there.
    DependsOnRows = "MIGR107",
    /// A name that a revision knows goes away.
    Renames = "MIGR108",
    /// A column that every INSERT would have to name.
    RequiredColumn = "MIGR109",
    /// The type of a column that a revision uses.
    ChangesType = "MIGR110",
    /// A constraint on what the serving revision writes.
    ConstrainsOldWrites = "MIGR111",
    /// Something that the serving revision relies on is changed in place.
    ChangesBehaviour = "MIGR112",
    /// A right is taken away or given to somebody else.
    TakesRights = "MIGR113",
    /// A default changes for every revision.
    ChangesDefault = "MIGR114",
    /// Something is removed that a revision may need.
    Removes = "MIGR115",
    /// CASCADE.
    Cascades = "MIGR116",
    /// Rows are changed in an expand file.
    ChangesRows = "MIGR117",
    /// Code whose effect cannot be read from the file.
    RunsCode = "MIGR118",
    /// `OR REPLACE`, `IF NOT EXISTS`, `IF EXISTS`.
    HidesDrift = "MIGR119",
    /// A statement that cannot run in a transaction, in a file with others.
    NotAlone = "MIGR120",
    /// A statement that cannot run in a transaction and has no way to be proven done.
    NotTransactional = "MIGR121",
    /// The transaction and the session are the daemon's.
    ControlsTransaction = "MIGR122",
    /// Settings are the daemon's.
    ChangesSettings = "MIGR123",
    /// Something that has no name cannot be looked for in the catalog.
    Unnamed = "MIGR124",
    /// A new value of an enum cannot be used in the transaction that adds it.
    EnumValueUnusable = "MIGR125",
    /// DROP COLUMN takes every index with the column along.
    DropsIndexes = "MIGR126",
    /// A column may hold NULL from now on.
    AdmitsNull = "MIGR127",
}
