//! The team's own migration tool at the modelled database: beside our journal, each run in one transaction.
//!
//! Called by a simulation for a task of that tool. What was done before is left alone, because such tools keep a history of their
//! own. It gives up at a lock that it does not get at once, as their own limits have it. Must not know of tasks.

use std::sync::Arc;

use tidegate_model::schema::{Object, TableName};
use tidegate_schema::{Failure, classify::lock::LockMode};

use super::{
    catalog::{Catalog, Column, no_table},
    model::Model,
    rows,
    sessions::Locks,
};

impl Model {
    /// The tool adds columns that take NULL.
    ///
    /// # Errors
    /// As the server would answer: it cannot be reached, the table is locked, or is not there.
    pub fn tool_adds(&self, table: &TableName, columns: &[&str]) -> Result<(), Failure> {
        self.by_tool(table, |catalog| {
            let table = catalog.tables.get_mut(table).ok_or_else(no_table)?;
            for column in columns {
                table.columns.entry((*column).to_owned()).or_insert_with(Column::default);
            }
            Ok(())
        })
    }

    /// The tool drops the columns of the old form, and with them what only they had.
    ///
    /// # Errors
    /// As the server would answer: it cannot be reached, the table is locked or is not there, or something depends on a column.
    pub fn tool_drops(&self, table: &TableName, columns: &[&str]) -> Result<(), Failure> {
        let column = |column: &&str| Object::Column { table: table.clone(), column: (*column).to_owned() };
        let dropped: Vec<Object> = columns.iter().map(column).collect();
        self.by_tool(table, |catalog| {
            if catalog.refuses_to_drop(&dropped) {
                return Err(Failure::Dependents);
            }
            let found = catalog.tables.get_mut(table).ok_or_else(no_table)?;
            rows::drop_old(Arc::make_mut(&mut found.rows));
            dropped.iter().for_each(|object| catalog.remove(object));
            Ok(())
        })
    }

    fn by_tool(
        &self,
        table: &TableName,
        change: impl FnOnce(&mut Catalog) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let now = self.now();
        let mut state = self.state();
        if !state.reachable {
            return Err(Failure::Unreachable);
        }
        state.advance(now);
        let wanted = Locks::table(table, LockMode::AccessExclusive);
        if !state.sessions.in_the_way(&wanted, None, now).is_empty() {
            return Err(Failure::Lock);
        }
        // A run that fails leaves nothing behind.
        let mut catalog = state.contents.catalog.clone();
        change(&mut catalog)?;
        state.contents.catalog = catalog;
        Ok(())
    }
}
