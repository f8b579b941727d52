//! What can go wrong with a server, as classes and codes.
//!
//! The server's messages may carry data from rows and the driver's may carry the connection's parameters, so neither leaves
//! this module.

use std::fmt;

/// Five characters that the SQL standard and PostgreSQL give an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// From the code's text, if it is one.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// True if the data of a row is what is wrong: classes 22 (data exception) and 23 (integrity constraint violation).
    pub fn is_about_data(&self) -> bool {
        matches!(self.0, [b'2', b'2' | b'3', ..])
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a server did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer, or nobody to talk to now.
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
    /// Any other error of the server.
    #[error("the database server answered with SQLSTATE {0}")]
    Sql(SqlState),
    /// The driver or the server answered with something that this version does not understand.
    #[error("the database's answer could not be understood")]
    Malformed,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::of_code(error.code().as_deref().unwrap_or_default()),
            sqlx::Error::Tls(_) => Self::Tls,
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable,
            // The driver's enum is open, and whatever it gains is not understood here.
            _ => Self::Malformed,
        }
    }
}

impl Fault {
    /// What a server's SQLSTATE means to us.
    pub fn of_code(code: &str) -> Self {
        match code {
            "42501" => Self::Privilege,
            "55P03" | "40P01" => Self::Lock,
            "57014" => Self::Timeout,
            // Shut down, crashed, starting up, too many connections: there is nobody to talk to now.
            "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Self::Unreachable,
            _ if code.starts_with("28") => Self::Login,
            _ if code.starts_with("08") => Self::Unreachable,
            _ => SqlState::new(code).map_or(Self::Malformed, Self::Sql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_classes_and_anything_else_stays_a_code() {
        assert_eq!(Fault::of_code("55P03"), Fault::Lock);
        assert_eq!(Fault::of_code("28P01"), Fault::Login);
        assert_eq!(Fault::of_code("42703").to_string(), "the database server answered with SQLSTATE 42703");
        assert_eq!(Fault::of_code("no code; DROP"), Fault::Malformed);
    }

    #[test]
    fn the_driver_s_own_words_do_not_come_through() {
        let canary = "password=hunter2";
        let errors = [
            sqlx::Error::Protocol(canary.into()),
            sqlx::Error::Configuration(canary.into()),
            sqlx::Error::Io(std::io::Error::other(canary)),
            sqlx::Error::Tls(canary.into()),
        ];
        for error in errors {
            let fault = Fault::from(error);
            assert!(!format!("{fault} {fault:?}").contains("hunter2"));
        }
    }
}
