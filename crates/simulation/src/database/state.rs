//! The modelled server as a whole: what is in the database, and what only the server has.
//!
//! Kept behind one lock that is never held across a wait. Changed by [`super::port`] for our own steps, by traffic, and by
//! events and hands of a simulation.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    ChangeName, ReleaseName,
    schema::{Access, Blocker, Object, Pressure, TableName},
};
use tidegate_schema::{Failure, Limits};

use super::{
    build::{self, Builder, Builders},
    catalog::{Catalog, Table},
    gate::Operation,
    journal::Key,
    log::Log,
    plan::PlanFacts,
    roles::{Role, Roles},
    sessions::{Locks, Sessions},
    statistics::Statistics,
    traffic::{self, Traffic, Version},
    transaction::{Contents, Transaction},
};

/// What a server is made from.
#[derive(Clone)]
pub struct Setup {
    /// The database's name.
    pub database: String,
    /// Our own role.
    pub ours: String,
    /// Login roles, ours among them.
    pub roles: BTreeMap<String, Role>,
    /// Tables.
    pub tables: BTreeMap<TableName, Table>,
    /// Versions of the application.
    pub versions: Vec<Version>,
    /// Everything that can be set.
    pub settings: Settings,
}

/// What can be set of a server, and changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our own time limits.
    pub limits: Limits,
    /// `max_connections`.
    pub max_connections: u32,
    /// What our role may do.
    pub access: Access,
    /// How long a batch is taken to last for each key that it walks over: it steers the next one's size.
    pub pace: Duration,
    /// How long an index is built.
    pub build: Duration,
    /// What speaks against a backfill now.
    pub pressure: Vec<Pressure>,
    /// What is told before a change begins.
    pub told: Vec<String>,
    /// Bytes of a row.
    pub row_bytes: u64,
    /// What the log would not show.
    pub log_problem: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_connections: 100,
            access: Access::Granted,
            pace: Duration::ZERO,
            build: Duration::from_secs(60),
            pressure: Vec::new(),
            told: Vec::new(),
            row_bytes: 200,
            log_problem: None,
        }
    }
}

/// A step of ours that changed something, as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// What.
    pub operation: Operation,
    /// For which release.
    pub release: ReleaseName,
    /// For which change; a claim is for all of a release.
    pub change: Option<ChangeName>,
    /// Of which file, if the step is of one.
    pub file: Option<String>,
    /// Under which claim; of a claim, the one that was given.
    pub epoch: i64,
}

/// What a backup holds: the database at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup(pub(super) Contents);

pub(super) struct State {
    pub(super) database: String,
    pub(super) ours: String,
    pub(super) contents: Contents,
    pub(super) roles: Roles,
    pub(super) sessions: Sessions,
    pub(super) builders: Builders,
    pub(super) statistics: Statistics,
    pub(super) log: Log,
    pub(super) traffic: Traffic,
    pub(super) settings: Settings,
    pub(super) history: Vec<Committed>,
    pub(super) reachable: bool,
}

/// What one look at a step came to.
pub(super) enum Once<T> {
    /// It can be committed, and is if that was wanted.
    Free(T, Locks),
    /// It needs a lock that these sessions hold; while it waits for that it holds the fence, if that is free.
    InTheWay(Vec<Blocker>, Locks),
    /// It is refused; nothing changed.
    Failed(Failure),
}

impl State {
    pub(super) fn new(setup: Setup, now: Timestamp) -> Self {
        let Setup { database, ours, roles, tables, versions, settings } = setup;
        let catalog = Catalog { tables, ..Catalog::default() };
        let mut log = Log::default();
        log.started(now);
        Self {
            database,
            ours,
            contents: Contents { catalog, journal: None },
            roles,
            sessions: Sessions::default(),
            builders: Builders::new(),
            statistics: Statistics::new(now),
            log,
            traffic: Traffic::new(versions, now),
            settings,
            history: Vec::new(),
            reachable: true,
        }
    }

    /// Everything that happens by the clock, up to now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        build::settle(&mut self.builders, &mut self.contents.catalog, now);
        traffic::catch_up(self, now);
    }

    /// Runs a step as a transaction. It is committed if nobody holds what it needs and `commit` says so.
    ///
    /// `itself` is the session in which it waits already. Locks come first: a step that would have failed after a lock that it does not get is in somebody's way, not refused.
    pub(super) fn once<T>(
        &mut self,
        facts: &PlanFacts,
        now: Timestamp,
        (commit, itself): (Option<Committed>, Option<i32>),
        step: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Once<T> {
        self.advance(now);
        let mut transaction = Transaction {
            contents: self.contents.clone(),
            locks: Locks::default(),
            now,
            roles: &self.roles,
            facts,
            limits: &self.settings.limits,
            ours: &self.ours,
        };
        let outcome = step(&mut transaction);
        let Transaction { contents, locks, .. } = transaction;
        let blockers = self.sessions.in_the_way(&locks, itself, now);
        if !blockers.is_empty() {
            let fence = Locks { fences: locks.fences, ..Locks::default() };
            let free = self.sessions.in_the_way(&fence, itself, now).is_empty();
            return Once::InTheWay(blockers, if free { fence } else { Locks::default() });
        }
        let value = match outcome {
            Ok(value) => value,
            Err(failure) => return Once::Failed(failure),
        };
        if let Some(committed) = commit
            && contents != self.contents
        {
            self.contents = contents;
            self.history.push(committed);
        }
        Once::Free(value, locks)
    }

    /// A session of ours builds an index from now on. One whose table is missing has failed at once.
    pub(super) fn begin_build(
        &mut self,
        at: (Key, String),
        index: Object,
        facts: &PlanFacts,
        now: Timestamp,
    ) {
        let tables = facts.get(&at.1).map(|facts| facts.locks.keys().cloned().collect::<Vec<_>>());
        let missing = |table: &TableName| !self.contents.catalog.tables.contains_key(table);
        if tables.unwrap_or_default().iter().any(missing) {
            self.fail_build(&at, &index, "42P01");
            return;
        }
        let lasts = SignedDuration::try_from(self.settings.build).unwrap_or(SignedDuration::MAX);
        let ends = now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        self.builders.insert(at, Builder { index, ends });
    }

    fn fail_build(&mut self, (key, file): &(Key, String), index: &Object, state: &str) {
        self.contents.catalog.invalid.remove(index);
        let journal = self.contents.journal.as_mut();
        let build = journal.and_then(|journal| journal.changes.get_mut(key)?.builds.get_mut(file));
        if let Some(build) = build {
            build.failure = Some(state.to_owned());
        }
    }

    /// Every session ends and the server starts anew, with or without what was in memory.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.sessions.end_all();
        // What they were building stays behind as an index that is not valid.
        self.builders.clear();
        self.statistics.forget(now);
        self.log.started(now);
    }
}
