//! What the statements of a change have made so far.
//!
//! Statements are classified in the order in which they run. A table that the change made itself is used by nobody yet,
//! so no lock on it matters; a column that it added is written by nobody but its own trigger.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::schema::TableName;

/// Objects of the change that were made by earlier statements.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    tables: BTreeSet<TableName>,
    columns: BTreeSet<(TableName, String)>,
    indexes: BTreeMap<TableName, TableName>,
    /// Check constraints of the form `column IS NOT NULL`, and whether they are validated.
    not_null: BTreeMap<(TableName, String), (String, bool)>,
}

impl Known {
    pub(super) fn made_table(&mut self, table: TableName) {
        self.tables.insert(table);
    }

    pub(super) fn made_column(&mut self, table: &TableName, column: String) {
        self.columns.insert((table.clone(), column));
    }

    /// An index lives in its table's schema.
    pub(super) fn made_index(&mut self, index: TableName, table: TableName) {
        self.indexes.insert(index, table);
    }

    pub(super) fn added_not_null_check(
        &mut self,
        table: &TableName,
        name: String,
        column: String,
        valid: bool,
    ) {
        self.not_null.insert((table.clone(), name), (column, valid));
    }

    pub(super) fn validated(&mut self, table: &TableName, name: String) {
        if let Some((_, valid)) = self.not_null.get_mut(&(table.clone(), name)) {
            *valid = true;
        }
    }

    /// True if the change made the table.
    pub(super) fn is_new_table(&self, table: &TableName) -> bool {
        self.tables.contains(table)
    }

    /// True if the change made the column, or its table.
    pub(super) fn is_new_column(&self, table: &TableName, column: &str) -> bool {
        self.is_new_table(table) || self.columns.contains(&(table.clone(), column.to_owned()))
    }

    pub(super) fn table_of_index(&self, index: &TableName) -> Option<&TableName> {
        self.indexes.get(index)
    }

    /// True if a validated check proves that the column has no NULL: SET NOT NULL then needs no scan (PostgreSQL 12).
    pub(super) fn is_proven_not_null(&self, table: &TableName, column: &str) -> bool {
        self.not_null.iter().any(|((on, _), (proven, valid))| on == table && proven == column && *valid)
    }
}
