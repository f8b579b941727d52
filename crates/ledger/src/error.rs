//! What can go wrong with the ledger. Messages name object and action, never an entry's content.

use std::{io, path::PathBuf};

use tidegate_model::ReleaseName;
use tidegate_postgres::Fault;

use crate::{Damage, store::postgres::Refused};

/// The ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("ledger is locked by another process (lock file {})", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file could not be made or locked.
    #[error("cannot take the ledger's lock file {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database could not be opened or made.
    #[error("cannot open the ledger {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The PostgreSQL server could not be used.
    #[error("cannot open the ledger in {ledger}")]
    Server {
        /// Server and database.
        ledger: String,
        /// Why.
        source: Fault,
    },
    /// Nobody can tell how to connect to the PostgreSQL server.
    #[error("cannot connect to the ledger's server")]
    Access(#[source] Refused),
    /// The file is an SQLite database of something else, or the PostgreSQL database has none of this name.
    #[error("{ledger} is a database, and not a ledger")]
    NotALedger {
        /// The database.
        ledger: String,
    },
    /// A newer Tidegate made it.
    #[error("ledger {ledger} has layout {found}, newer than the newest known one ({known})")]
    Newer {
        /// The database.
        ledger: String,
        /// Its layout.
        found: i64,
        /// The newest layout known.
        known: i64,
    },
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Somebody appended since the caller's state was folded.
    #[error("ledger of {release} has {found} entries where {expected} were expected")]
    Conflict {
        /// The release.
        release: ReleaseName,
        /// The length that the caller knew.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// The release's chain does not hold.
    #[error("ledger of {release} is damaged: {why}")]
    Damaged {
        /// The release.
        release: ReleaseName,
        /// What was found.
        why: Damage,
    },
    /// The lock file was removed or replaced: another process may have the ledger.
    #[error("the ledger's lock file {} is no longer this process's", path.display())]
    LockLost {
        /// The lock file.
        path: PathBuf,
    },
    /// The file was removed or replaced: what is written to it would be lost.
    #[error("the ledger {} was removed or replaced while it was open", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has the release's lease, or nobody asked for it yet: nothing is written.
    #[error("the lease of {release} is not this process's")]
    Fenced {
        /// The release.
        release: ReleaseName,
    },
    /// An entry has no JSON form.
    #[error("cannot encode an entry of {release}")]
    Encode {
        /// The release.
        release: ReleaseName,
        /// Why.
        source: serde_json::Error,
    },
    /// The PostgreSQL server failed, or did not answer in time.
    #[error("cannot {action} the ledger")]
    Server {
        /// `read`, `write` or `lease`.
        action: &'static str,
        /// Why.
        source: Fault,
    },
    /// The SQLite file failed.
    #[error("cannot {action} the ledger")]
    Database {
        /// `read` or `write`.
        action: &'static str,
        /// Why.
        source: sqlx::Error,
    },
}

impl LedgerError {
    /// True if this process can use the ledger no more, for as long as it lives.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::LockLost { .. } | Self::Replaced { .. } => true,
            Self::Server { .. }
            | Self::Database { .. }
            | Self::Conflict { .. }
            | Self::Damaged { .. }
            | Self::Fenced { .. }
            | Self::Encode { .. } => false,
        }
    }

    /// True if the ledger's store failed, and not what was asked of it: nobody knows what it holds until it answers again.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Server { .. } | Self::Database { .. } => true,
            Self::Conflict { .. }
            | Self::Damaged { .. }
            | Self::LockLost { .. }
            | Self::Replaced { .. }
            | Self::Fenced { .. }
            | Self::Encode { .. } => false,
        }
    }

    pub(crate) fn reading(source: sqlx::Error) -> Self {
        Self::Database { action: "read", source }
    }

    pub(crate) fn writing(source: sqlx::Error) -> Self {
        Self::Database { action: "write", source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_is_an_outage_and_what_it_refuses_is_none() {
        let release: ReleaseName = "shop".parse().expect("a name");
        assert!(LedgerError::reading(sqlx::Error::PoolTimedOut).is_outage());
        assert!(LedgerError::writing(sqlx::Error::WorkerCrashed).is_outage());
        assert!(!LedgerError::Fenced { release }.is_outage());
        assert!(!LedgerError::LockLost { path: "ledger.db".into() }.is_outage());
    }

    #[test]
    fn a_file_that_is_another_one_ends_the_process_and_a_store_that_fails_does_not() {
        let release: ReleaseName = "shop".parse().expect("a name");
        assert!(LedgerError::LockLost { path: "ledger.db".into() }.is_fatal());
        assert!(LedgerError::Replaced { path: "ledger.db".into() }.is_fatal());
        assert!(!LedgerError::reading(sqlx::Error::PoolTimedOut).is_fatal());
        assert!(!LedgerError::Fenced { release }.is_fatal());
    }
}
