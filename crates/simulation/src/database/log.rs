//! The modelled server's own log, in the form of Amazon RDS.
//!
//! Written when the server refuses a statement; handed to the sandbox's world, which serves it through RDS's two operations.
//! Times are the server's clock, which is handed in.

use jiff::{Timestamp, tz::TimeZone};
use tidegate_sandbox::world::World;

/// Most lines that one look at traffic writes for one statement: a flood says no more than its first lines.
pub(super) const MOST_AT_ONCE: u64 = 20;

/// Messages that were not handed on yet, with their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    waiting: Vec<(Timestamp, String)>,
}

/// Whose session it is, as the log's prefix tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    pub(super) role: &'a str,
    pub(super) database: &'a str,
    pub(super) pid: i32,
}

impl Log {
    /// The server started: a log has at least one line.
    pub(super) fn started(&mut self, at: Timestamp) {
        let line = format!("{}::@:[1]:LOG:  database system is ready to accept connections\n", stamp(at));
        self.waiting.push((at, line));
    }

    /// A statement failed: its message, and the statement behind it.
    pub(super) fn failed(&mut self, at: Timestamp, from: From<'_>, message: &str, statement: &str) {
        let From { role, database, pid } = from;
        let prefix = format!("{}:10.0.3.7(41234):{role}@{database}:[{pid}]", stamp(at));
        // Lines of a statement after its first begin with a tab.
        let statement = statement.replace('\n', "\n\t");
        self.waiting.push((at, format!("{prefix}:ERROR:  {message}\n{prefix}:STATEMENT:  {statement}\n")));
    }

    /// Everything that was not handed on yet: messages with their statements, and when they were written.
    pub(super) fn take(&mut self) -> Vec<(Timestamp, String)> {
        std::mem::take(&mut self.waiting)
    }

    /// Hands everything on to an instance of the world: one file an hour, named as RDS names them.
    pub(super) fn deliver(&mut self, world: &mut World, instance: &str) {
        for (at, lines) in self.take() {
            let hour = at.to_zoned(TimeZone::UTC).strftime("postgresql.log.%Y-%m-%d-%H").to_string();
            world.append_log(instance, &hour, at, &lines);
        }
    }
}

fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
