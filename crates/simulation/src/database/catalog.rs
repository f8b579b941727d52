//! The catalog of the modelled database: tables with their columns, rows and rights, and everything else by name.
//!
//! Read and changed by the steps, inside their transaction, and by a hand that is not ours (tests and events of a simulation).
//! Must not know of journals or sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate_model::schema::{Object, TableName};
use tidegate_schema::{Failure, SqlState};

use super::rows::{Row, Rows};

/// A column, as far as a mapping into it may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// It refuses NULL.
    pub not_null: bool,
    /// It has a default.
    pub default: bool,
    /// The server computes it: generated, or identity.
    pub computed: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Whose it is.
    pub owner: String,
    /// The integer key that never is NULL, if it has one.
    pub key: Option<String>,
    /// Its columns.
    pub columns: BTreeMap<String, Column>,
    /// Its rows. Shared between versions of the catalog until one of them changes.
    pub rows: Arc<Rows>,
    /// Writes that gave both forms and they disagreed.
    pub conflicts: u64,
    /// Roles that may use all of it, the owner among them unless it was taken from it.
    pub(super) whole: BTreeSet<String>,
    /// Roles that may use what is not hidden.
    pub(super) rest: BTreeSet<String>,
    /// Columns that are hidden from roles of `rest`.
    pub(super) hidden: BTreeSet<String>,
    /// The triggers that keep two forms in step.
    pub(super) sync: BTreeSet<Object>,
}

impl Table {
    /// A table without rows, of an owner, with a key and columns that take NULL.
    pub fn new(owner: &str, key: Option<&str>, columns: &[&str]) -> Self {
        let names = key.iter().chain(columns).map(|name| (*name).to_owned());
        Self {
            owner: owner.to_owned(),
            key: key.map(str::to_owned),
            columns: names.map(|name| (name, Column::default())).collect(),
            rows: Arc::default(),
            conflicts: 0,
            whole: BTreeSet::from([owner.to_owned()]),
            rest: BTreeSet::new(),
            hidden: BTreeSet::new(),
            sync: BTreeSet::new(),
        }
    }

    /// The same with rows.
    #[must_use]
    pub fn with_rows(mut self, rows: impl IntoIterator<Item = (i64, Row)>) -> Self {
        self.rows = Arc::new(rows.into_iter().collect());
        self
    }

    /// The same with another role that may use all of it.
    #[must_use]
    pub fn granted_to(mut self, role: &str) -> Self {
        self.whole.insert(role.to_owned());
        self
    }
}

/// Something that depends on a column or a table, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependent {
    /// What it is: `view addresses`.
    pub description: String,
    /// It goes along without a word; otherwise the server refuses the DROP.
    pub vanishes: bool,
}

/// Everything that the server's catalog has of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    pub(super) tables: BTreeMap<TableName, Table>,
    /// Triggers that are enabled, functions, and valid indexes.
    pub(super) others: BTreeSet<Object>,
    /// Indexes that a build left, or is at.
    pub(super) invalid: BTreeSet<Object>,
    pub(super) dependents: BTreeMap<Object, BTreeSet<Dependent>>,
}

impl Catalog {
    /// Whether an object is there: a disabled trigger and an index that is not valid are not.
    pub fn has(&self, object: &Object) -> bool {
        match object {
            Object::Column { table, column } => {
                self.tables.get(table).is_some_and(|table| table.columns.contains_key(column))
            }
            Object::Table(table) => self.tables.contains_key(table),
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => {
                self.others.contains(object)
            }
        }
    }

    /// Which of these objects exist.
    pub(super) fn objects<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a Object>,
    ) -> BTreeMap<Object, bool> {
        objects.into_iter().map(|object| (object.clone(), self.has(object))).collect()
    }

    /// Fails with the first of the objects, in their own order, that is not in the expected state.
    pub(super) fn expect<'a>(
        &self,
        expected: impl IntoIterator<Item = &'a Object>,
        exists: bool,
    ) -> Result<(), Failure> {
        match self.objects(expected).into_iter().find(|(_, there)| *there != exists) {
            Some((object, exists)) => Err(Failure::Unexpected { object, exists }),
            None => Ok(()),
        }
    }

    /// Makes an object. A table is made without columns: a plan does not tell them.
    ///
    /// # Errors
    /// [`Failure::Sql`] with 42P01 if its table is missing.
    pub fn add(&mut self, object: &Object, owner: &str) -> Result<(), Failure> {
        match object {
            Object::Column { table, column } => {
                let table = self.tables.get_mut(table).ok_or_else(no_table)?;
                table.columns.insert(column.clone(), Column::default());
            }
            Object::Table(table) => {
                self.tables.insert(table.clone(), Table::new(owner, None, &[]));
            }
            Object::Trigger { table, .. } => {
                if !self.tables.contains_key(table) {
                    return Err(no_table());
                }
                self.others.insert(object.clone());
            }
            Object::Function { .. } => {
                self.others.insert(object.clone());
            }
            Object::Index { .. } => {
                self.invalid.remove(object);
                self.others.insert(object.clone());
            }
        }
        Ok(())
    }

    /// Takes an object away, with what goes along with it.
    pub fn remove(&mut self, object: &Object) {
        match object {
            Object::Column { table, column } => {
                if let Some(table) = self.tables.get_mut(table) {
                    table.columns.remove(column);
                    table.hidden.remove(column);
                }
            }
            Object::Table(table) => {
                self.tables.remove(table);
            }
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => {
                self.others.remove(object);
                self.invalid.remove(object);
            }
        }
        self.dependents.remove(object);
    }

    /// Whether something depends on an object.
    pub fn depends(&self, on: &Object, dependent: &Dependent) -> bool {
        self.dependents.get(on).is_some_and(|all| all.contains(dependent))
    }

    /// It does not any more.
    pub fn no_longer_depends(&mut self, on: &Object, dependent: &Dependent) {
        if let Some(all) = self.dependents.get_mut(on) {
            all.remove(dependent);
        }
    }

    /// True if the server would refuse to drop one of these, because of what stays.
    pub(super) fn refuses_to_drop(&self, objects: &[Object]) -> bool {
        objects.iter().filter_map(|object| self.dependents.get(object)).flatten().any(|one| !one.vanishes)
    }

    /// True if the triggers of a table keep its two forms in step.
    pub(super) fn is_kept_in_step(&self, table: &Table) -> bool {
        !table.sync.is_empty() && table.sync.is_subset(&self.others)
    }
}

/// SQLSTATE 42P01.
pub(super) fn no_table() -> Failure {
    sql("42P01")
}

/// The server's answer with a code.
pub(super) fn sql(code: &str) -> Failure {
    SqlState::new(code).map_or(Failure::Malformed, Failure::Sql)
}
