//! Sessions of others, and of ours that stand still, with the locks that they hold.
//!
//! Asked by the steps before they go on, and by the observation of blockers. Nothing here waits: whoever is refused tries again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use jiff::Timestamp;
use tidegate_model::{
    ReleaseName,
    schema::{Blocker, TableName},
};
use tidegate_schema::classify::lock::LockMode;

/// What a transaction holds, or wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Tables, each with the strongest mode.
    pub tables: BTreeMap<TableName, LockMode>,
    /// Rows of tables, by ranges of keys.
    pub rows: Vec<(TableName, RangeInclusive<i64>)>,
    /// Rows of the journal's fence.
    pub fences: BTreeSet<ReleaseName>,
}

impl Locks {
    /// A lock on one table.
    pub fn table(table: &TableName, mode: LockMode) -> Self {
        Self { tables: BTreeMap::from([(table.clone(), mode)]), ..Self::default() }
    }

    pub(super) fn lock(&mut self, table: &TableName, mode: LockMode) {
        let held = self.tables.entry(table.clone()).or_insert(mode);
        *held = mode.max(*held);
    }

    /// True if one of them must wait for the other.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let tables = self
            .tables
            .iter()
            .any(|(table, mode)| other.tables.get(table).is_some_and(|held| modes_conflict(*mode, *held)));
        let overlap = |one: &RangeInclusive<i64>, two: &RangeInclusive<i64>| {
            one.start() <= two.end() && two.start() <= one.end()
        };
        let rows = self.rows.iter().any(|(table, keys)| {
            other.rows.iter().any(|(locked, held)| locked == table && overlap(keys, held))
        });
        tables || rows || !self.fences.is_disjoint(&other.fences)
    }
}

/// Source: the table of conflicting lock modes in PostgreSQL's documentation of explicit locking.
fn modes_conflict(one: LockMode, other: LockMode) -> bool {
    use LockMode as M;
    let least = match one {
        M::AccessShare => M::AccessExclusive,
        M::RowShare => M::Exclusive,
        M::RowExclusive => M::Share,
        // It and SHARE are the two that are no ladder: each stops itself or not, beside all that is stronger.
        M::ShareUpdateExclusive => M::ShareUpdateExclusive,
        M::Share => return other != M::Share && other >= M::RowExclusive,
        M::ShareRowExclusive => M::RowExclusive,
        M::Exclusive => M::RowShare,
        M::AccessExclusive => M::AccessShare,
    };
    other >= least
}

/// A session in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its role.
    pub role: String,
    /// Its application name.
    pub application: String,
    /// `idle in transaction`, `active`, ...
    pub state: String,
    /// When its transaction began, by the server's clock.
    pub since: Timestamp,
    /// What it holds.
    pub locks: Locks,
}

/// Every session that holds something, by process id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    all: BTreeMap<i32, Session>,
    newest: i32,
}

/// Process ids below this are the application's own: see the traffic.
const FIRST_PID: i32 = 5_000;

impl Sessions {
    pub(super) fn begin(&mut self, session: Session) -> i32 {
        self.newest = self.newest.max(FIRST_PID) + 1;
        self.all.insert(self.newest, session);
        self.newest
    }

    pub(super) fn end(&mut self, pid: i32) {
        self.all.remove(&pid);
    }

    pub(super) fn end_all(&mut self) {
        self.all.clear();
    }

    /// Sessions that one who wants these locks would wait for, the oldest first; not itself, if it holds something already.
    pub(super) fn in_the_way(&self, wanted: &Locks, itself: Option<i32>, now: Timestamp) -> Vec<Blocker> {
        self.shown(now, |pid, session| Some(pid) != itself && session.locks.conflicts(wanted))
    }

    /// Sessions with any lock on these tables in a transaction that is older than `budget`, the oldest first.
    pub(super) fn holders(
        &self,
        tables: &BTreeSet<TableName>,
        budget: Duration,
        now: Timestamp,
    ) -> Vec<Blocker> {
        self.shown(now, |_, session| {
            let holds = session.locks.tables.keys().any(|table| tables.contains(table));
            holds && now.duration_since(session.since).unsigned_abs() > budget
        })
    }

    fn shown(&self, now: Timestamp, is_one: impl Fn(i32, &Session) -> bool) -> Vec<Blocker> {
        let mut found: Vec<Blocker> = self
            .all
            .iter()
            .filter(|(pid, s)| is_one(**pid, s))
            .map(|(pid, s)| blocker(*pid, s, now))
            .collect();
        found.sort_by_key(|blocker| std::cmp::Reverse(blocker.transaction_seconds));
        found
    }
}

fn blocker(pid: i32, session: &Session, now: Timestamp) -> Blocker {
    Blocker {
        pid,
        role: session.role.clone(),
        application: session.application.clone(),
        state: session.state.clone(),
        transaction_seconds: now.duration_since(session.since).as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_conflict_as_the_server_s_documentation_says() {
        use LockMode as M;
        for (one, others) in [
            (M::AccessShare, "AccessExclusive"),
            (M::RowShare, "Exclusive AccessExclusive"),
            (M::RowExclusive, "Share ShareRowExclusive Exclusive AccessExclusive"),
            (
                M::ShareUpdateExclusive,
                "ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
            (M::Share, "RowExclusive ShareUpdateExclusive ShareRowExclusive Exclusive AccessExclusive"),
            (
                M::ShareRowExclusive,
                "RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
            (
                M::Exclusive,
                "RowShare RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
        ] {
            let found: Vec<String> = M::ALL
                .into_iter()
                .filter(|other| modes_conflict(one, *other))
                .map(|other| format!("{other:?}"))
                .collect();
            assert_eq!(found.join(" "), others, "{one}");
        }
        assert!(M::ALL.into_iter().all(|other| modes_conflict(M::AccessExclusive, other)));
    }
}
