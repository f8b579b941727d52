//! What the server's statistics and its log say of statements: who names the old form, what fails, what still holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who names the old form, by pg_stat_statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// The statistics cannot tell, and why: the gate stays closed.
    Missing(String),
    /// What they show.
    Read(EvidenceRead),
}

/// A complete read of the statement statistics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRead {
    /// When the statistics were last reset; a change of it restarts the quiet window.
    pub stats_reset: Timestamp,
    /// How often entries were deallocated; growth restarts the quiet window.
    pub dealloc: i64,
    /// Statements that name the old form, or that cannot be read or parsed, by key
    /// (user, database, query id, top level). Our own queries are not among them.
    pub namers: BTreeMap<String, Namer>,
}

/// A statement that names the old form, or may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namer {
    /// Calls so far.
    pub calls: i64,
    /// The normalised text (constants replaced by the server), escaped and cut; empty if it cannot be read.
    pub text: String,
    /// The role that calls it; empty if that is gone.
    #[serde(default)]
    pub role: String,
    /// How it names the old form: `names column`, `SELECT *`, `INSERT without a column list`, `cannot be parsed`, ...
    pub how: String,
}

/// What speaks for going back to a revision from before the change, and what against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackCertificate {
    /// Statements in the statistics that name a table of the change.
    pub statements: u32,
    /// How many of them the server can still prepare, with the same answer.
    pub proven: u32,
    /// The first ones that say nothing either way.
    pub unproven: Vec<Finding>,
    /// How many the change broke.
    pub broken_count: u32,
    /// The first ones of these.
    pub broken: Vec<Finding>,
    /// The roles whose statements these are: several can tell which revision runs what.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Why the statistics cannot tell anything, if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl RollbackCertificate {
    /// How many say nothing either way.
    pub fn unproven_count(&self) -> u32 {
        self.statements.saturating_sub(self.proven).saturating_sub(self.broken_count)
    }
}

/// A statement and what was found about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its normalised text, escaped and cut; empty if it cannot be read.
    pub text: String,
    /// What was found.
    pub why: String,
}

/// What the server's log says about a hidden form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReading {
    /// Up to here the log was read, by the server's clock.
    pub through: Timestamp,
    /// False if there is more to read at once.
    pub complete: bool,
    /// True if a part of it vanished before it was read, or could not be understood.
    pub lost: bool,
    /// Why the log cannot tell now, if it cannot.
    pub problem: Option<String>,
    /// The newest statement that was refused because of what is hidden.
    pub denial: Option<Denial>,
}

/// Statements on the change's tables that failed for a reason of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFailures {
    /// Since when they are counted, by the server's clock: since the daemon looks.
    pub since: Timestamp,
    /// How many.
    pub count: u32,
    /// The last of them.
    pub last: Option<Denial>,
    /// Why the log cannot tell now, if it cannot.
    pub problem: Option<String>,
}

/// A statement that was refused because of what is hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// Whose it was, escaped and cut.
    pub role: String,
    /// The statement without its constants, escaped and cut; empty if the log does not have it.
    pub text: String,
    /// How it used the old form.
    pub how: String,
}
