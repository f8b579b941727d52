//! What a statement asks of the server: table locks and work done under them.
//!
//! Plain values, ordered from harmless to hard. The facts behind them are PostgreSQL's: its documentation of explicit
//! locking, and what `pg_locks` showed inside the transaction (PostgreSQL 15).

use std::fmt;

use serde::Serialize;
use tidegate_model::schema::TableName;

/// PostgreSQL's table lock modes, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the server's own names")]
pub enum LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl LockMode {
    /// Every mode, weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// The mode as the documentation writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// The mode as `pg_locks.mode` writes it: `AccessExclusiveLock`.
    pub fn from_pg_locks(mode: &str) -> Option<Self> {
        let plain = mode.strip_suffix("Lock")?;
        Self::ALL.into_iter().find(|known| format!("{known:?}") == plain)
    }

    /// True if writers wait while it is held.
    pub fn blocks_writes(self) -> bool {
        self >= Self::Share
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a lock is on. Tables that the change itself makes are not listed: nobody else knows them yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Locked {
    /// A table, view or materialised view by name.
    Table(TableName),
    /// The table that an index belongs to; only the catalog knows which.
    TableOfIndex(TableName),
    /// Tables that the statement does not name, or that only the catalog knows.
    Unnamed,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::TableOfIndex(index) => write!(f, "the table of index {index}"),
            Self::Unnamed => f.write_str("tables that it does not name"),
        }
    }
}

/// A lock that a statement takes and holds until its transaction ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lock {
    /// What it is on.
    pub on: Locked,
    /// How strong it is.
    pub mode: LockMode,
}

/// How much a statement does while it holds its locks, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cost {
    /// It changes the catalog alone, whatever the table's size.
    Catalog,
    /// It reads the table.
    Scan,
    /// It reads the table and builds an index.
    Build,
    /// It changes rows.
    Rows,
    /// It writes the whole table anew.
    Rewrite,
}

impl Cost {
    /// The cost in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog only",
            Self::Scan => "reads the table",
            Self::Build => "builds an index",
            Self::Rows => "changes rows",
            Self::Rewrite => "rewrites the table",
        }
    }
}

/// What a statement means for two revisions that run side by side, from harmless to irreversible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PhaseClass {
    /// Both revisions go on as before.
    Additive,
    /// It works or fails by the rows that are there.
    DataDependent,
    /// It may break what one of the revisions reads or writes.
    Incompatible,
    /// It loses data, or what data is kept in.
    Destructive,
}

impl PhaseClass {
    /// The class in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Additive => "additive",
            Self::DataDependent => "data-dependent",
            Self::Incompatible => "incompatible",
            Self::Destructive => "destructive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_the_server_writes_them() {
        assert_eq!(LockMode::from_pg_locks("ShareRowExclusiveLock"), Some(LockMode::ShareRowExclusive));
        assert_eq!(LockMode::from_pg_locks("AccessShareLock"), Some(LockMode::AccessShare));
        assert_eq!(LockMode::from_pg_locks("SIReadLock"), None);
        assert!(!LockMode::ShareUpdateExclusive.blocks_writes() && LockMode::Share.blocks_writes());
    }
}
