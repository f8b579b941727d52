//! What oracles read of a modelled database: the truth, past every gate.
//!
//! Reads only, and nothing here is seen by the daemon.

use jiff::Timestamp;
use tidegate_model::{
    ChangeName, ReleaseName,
    schema::{CheckReading, Journal, Object, TableName},
};

use super::{
    model::Model,
    observe, rows,
    state::Committed,
    traffic::{self, Misfit},
};

impl Model {
    /// Whether an object is there.
    pub fn exists(&self, object: &Object) -> bool {
        self.state().contents.catalog.has(object)
    }

    /// Whether a column is hidden from roles that had it.
    pub fn is_hidden(&self, table: &TableName, column: &str) -> bool {
        self.state().contents.catalog.tables.get(table).is_some_and(|table| table.hidden.contains(column))
    }

    /// Rows of a table: how many there are.
    pub fn rows(&self, table: &TableName) -> usize {
        self.state().contents.catalog.tables.get(table).map_or(0, |table| table.rows.len())
    }

    /// What a full check of a table's two forms would count now.
    pub fn forms(&self, table: &TableName) -> CheckReading {
        let state = self.state();
        let table = state.contents.catalog.tables.get(table);
        table.map_or_else(CheckReading::default, |table| rows::check(&table.rows, table.conflicts))
    }

    /// The journal of a change, as an observation would show it; none before it was opened.
    pub fn journal(&self, release: &ReleaseName, change: &ChangeName) -> Option<Journal> {
        let state = self.state();
        let key = (release.clone(), change.clone());
        let found = state.contents.journal.as_ref()?.changes.get(&key)?;
        Some(observe::shown(&state, &key, found))
    }

    /// The newest claim for a release; 0 if there was none.
    pub fn epoch(&self, release: &ReleaseName) -> i64 {
        let state = self.state();
        state.contents.journal.as_ref().and_then(|journal| journal.fence.get(release)).copied().unwrap_or(0)
    }

    /// Every step that changed something, in the order in which they were committed. A restore does not undo it.
    pub fn committed(&self) -> Vec<Committed> {
        self.state().history.clone()
    }

    /// When the newest step was committed.
    pub fn last_committed(&self) -> Option<Timestamp> {
        self.state().history.last().map(|committed| committed.at)
    }

    /// Whether every statement of a version would work now. One that is not known runs nothing, and fits.
    ///
    /// # Errors
    /// The first statement that would not, with why.
    pub fn fits(&self, version: &str) -> Result<(), (String, Misfit)> {
        let state = self.state();
        let Some(version) = state.traffic.versions.get(version) else { return Ok(()) };
        for (statement, _) in &version.statements {
            traffic::fits(&state.contents.catalog, &state.roles, &version.role, statement)
                .map_err(|misfit| (statement.text.clone(), misfit))?;
        }
        Ok(())
    }

    /// When a statement of the application that names a column was last carried out.
    pub fn last_named(&self, table: &TableName, column: &str) -> Option<Timestamp> {
        self.state().traffic.last_named(table, column)
    }

    /// How many statements of a version failed so far.
    pub fn failed(&self, version: &str) -> u64 {
        self.state().traffic.failed.get(version).copied().unwrap_or(0)
    }
}
