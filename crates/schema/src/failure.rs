//! What can go wrong with a database, in our own words.
//!
//! Used by everything in this crate that talks to PostgreSQL. Messages of server and driver do not come in here: an error is
//! a class and a SQLSTATE ([`Fault`]).

use tidegate_model::{
    Why,
    schema::{Access, Object, OpenChange, TableName},
};
use tidegate_postgres::Fault;
pub use tidegate_postgres::SqlState;

/// Why a read or a step did not happen. After any of these the step's transaction is rolled back, except that a lost
/// connection leaves it open whether a commit arrived: read the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The secret is not what Secrets Manager stores for a database.
    #[error("the secret is not a JSON object with username and password, and host and dbname where needed")]
    Secret,
    /// No answer.
    #[error("the database server cannot be reached")]
    Unreachable,
    /// TLS is required and could not be verified.
    #[error("the database server's certificate could not be verified")]
    Tls,
    /// SQLSTATE class 28.
    #[error("the database server refused the role")]
    Login,
    /// SQLSTATE 42501.
    #[error("the role lacks a privilege that this needs")]
    Privilege,
    /// SQLSTATE 55P03 or 40P01: somebody else held a lock for longer than the limit.
    #[error("a lock was not granted within the limit")]
    Lock,
    /// SQLSTATE 57014.
    #[error("the statement ran into its time limit")]
    Timeout,
    /// SQLSTATE 2BP01.
    #[error("another object in the database depends on what contract removes")]
    Dependents,
    /// Any other error of the server.
    #[error("the database server answered with SQLSTATE {0}")]
    Sql(SqlState),
    /// The driver or the server answered with something that this version does not understand.
    #[error("the database's answer could not be understood")]
    Malformed,
    /// Somebody claimed the fence after us: this process must stop acting for the release.
    #[error("a newer claim fences this process off: epoch {ours} is not {found}")]
    Fenced {
        /// The epoch of this process; 0 if its claim was refused.
        ours: i64,
        /// The epoch in the database.
        found: i64,
    },
    /// The journal in the database was written by a newer version.
    #[error("the journal in the database has a newer format")]
    FutureFormat,
    /// Applied text is immutable, and this one differs from what was applied.
    #[error("migration file {0} differs from the text that was applied")]
    Changed(String),
    /// The plan has no such file, or it belongs to another phase.
    #[error("the change has no such migration file of this phase")]
    NoSuchFile,
    /// The catalog is not in the state that the step expects.
    #[error("the catalog is not as expected: {object} {}", if *.exists { "exists" } else { "does not exist" })]
    Unexpected {
        /// The object.
        object: Object,
        /// Whether it exists.
        exists: bool,
    },
    /// Another change is open in this database.
    #[error("change {} of release {} is open in this database", .0.change, .0.release)]
    OtherChange(OpenChange),
    /// A step that the journal says must come earlier is missing.
    #[error("the journal does not show what must come before this step")]
    TooEarly,
    /// A build of an index failed: a SQLSTATE, or a word for it. What it left is dropped by the next attempt.
    #[error("the index could not be built ({0})")]
    Build(String),
    /// Rights on a table were granted by somebody else than its owner: they cannot be taken in the owner's name.
    #[error("rights on table {0} were granted by a role that does not own it")]
    PassedOn(TableName),
    /// A backfill fails at these rows: SQLSTATE class 22 or 23.
    #[error(
        "at least {} of {tried} rows cannot be filled (SQLSTATE {state}), those with key {}",
        .keys.len(),
        .keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Rows {
        /// Their keys, lowest first; not all, if there are many.
        keys: Vec<i64>,
        /// Among how many rows.
        tried: usize,
        /// What the server says of the first.
        state: SqlState,
    },
    /// The server does more than the file's text told: locks or rewrites.
    #[error("the file does more than its text tells: {0}")]
    Disagrees(String),
    /// A mapping into this column would fail or falsify writes.
    #[error("{column} cannot be kept in step: {why}")]
    NotInStep {
        /// The column.
        column: Object,
        /// Why.
        why: &'static str,
    },
    /// The backfill's key is no integer column that is never NULL.
    #[error("the backfill's key must be a smallint, integer or bigint column that is NOT NULL")]
    Key,
}

impl Failure {
    /// Why a fact that needed this read is unknown.
    pub fn why(&self) -> Why {
        match self {
            Self::Unreachable | Self::Tls | Self::Timeout | Self::Lock => Why::Unreachable,
            Self::Secret | Self::Login | Self::Privilege => Why::Denied,
            Self::Malformed | Self::FutureFormat => Why::Malformed,
            Self::Dependents
            | Self::Sql(_)
            | Self::Build(_)
            | Self::Fenced { .. }
            | Self::Changed(_)
            | Self::NoSuchFile
            | Self::Unexpected { .. }
            | Self::OtherChange(_)
            | Self::TooEarly
            | Self::PassedOn(_)
            | Self::NotInStep { .. }
            | Self::Disagrees(_)
            | Self::Rows { .. }
            | Self::Key => Why::Failed,
        }
    }

    /// What it says about the access to the database, if it says something.
    pub fn access(&self) -> Option<Access> {
        match self {
            Self::Unreachable | Self::Tls => Some(Access::Unreachable),
            Self::Secret | Self::Login | Self::Privilege => Some(Access::Denied),
            Self::Lock
            | Self::Timeout
            | Self::Dependents
            | Self::Sql(_)
            | Self::Build(_)
            | Self::Malformed
            | Self::Fenced { .. }
            | Self::FutureFormat
            | Self::Changed(_)
            | Self::NoSuchFile
            | Self::Unexpected { .. }
            | Self::OtherChange(_)
            | Self::TooEarly
            | Self::PassedOn(_)
            | Self::NotInStep { .. }
            | Self::Disagrees(_)
            | Self::Rows { .. }
            | Self::Key => None,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable => Self::Unreachable,
            Fault::Tls => Self::Tls,
            Fault::Login => Self::Login,
            Fault::Privilege => Self::Privilege,
            Fault::Lock => Self::Lock,
            Fault::Timeout => Self::Timeout,
            Fault::Sql(state) if state.as_str() == "2BP01" => Self::Dependents,
            Fault::Sql(state) => Self::Sql(state),
            Fault::Malformed => Self::Malformed,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_removed_is_a_class_of_its_own() {
        let of = |code| Failure::from(Fault::Sql(SqlState::new(code).unwrap()));
        assert_eq!(of("2BP01"), Failure::Dependents);
        assert_eq!(of("42703").to_string(), "the database server answered with SQLSTATE 42703");
    }
}
