//! Exit codes, one meaning each, and the one place where an error's chain is printed.

use std::{error::Error, process::ExitCode};

/// Why a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// The command line or the configuration is wrong (clap's own code).
    Usage,
    /// A spec is invalid.
    InvalidSpec,
    /// A promise of the demo was not kept, a verdict was not the one that is deserved, `judge` rolls green back, or a rehearsal failed.
    Failed,
    /// What was asked for does not exist.
    NotFound,
    /// Something inside, or the network.
    Internal,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 2,
            Exit::InvalidSpec => 3,
            Exit::Failed => 4,
            Exit::NotFound => 7,
            Exit::Internal => 8,
        })
    }
}

/// An error on its way out, with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// The error.
    pub error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Wrong input of the person who called.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// Anything else.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Internal, error: error.into() }
    }

    /// The error and its causes in one line. A cause that its error's text repeats is not told twice.
    pub fn chain(&self) -> String {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}
