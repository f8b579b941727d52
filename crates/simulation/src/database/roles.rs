//! Roles of the modelled server, and who may use what.
//!
//! Asked by the steps hide and unhide, by the observation and by traffic. A role has either all rights on a table, all but
//! those on what is hidden, or none: single privileges, columns with rights of their own and PUBLIC are not modelled.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::schema::TableName;

use super::catalog::{Catalog, Table};

/// What a role may do beside what it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Nothing.
    None,
    /// A member of `pg_read_all_data`.
    ReadsAll,
    /// A superuser.
    Super,
}

/// A role that can log in. No `Debug`: it has a password.
#[derive(Clone)]
pub struct Role {
    /// Its password now.
    pub password: String,
    /// What nobody can take from it.
    pub power: Power,
}

/// Every login role, by name.
pub(super) type Roles = BTreeMap<String, Role>;

/// Login roles, ours excepted, that can use columns of a table (none: any of it).
pub(super) fn able(
    roles: &Roles,
    ours: &str,
    table: Option<&Table>,
    columns: Option<&BTreeSet<String>>,
) -> BTreeSet<String> {
    let Some(table) = table else { return BTreeSet::new() };
    let asked = |column: &&String| columns.is_none_or(|columns| columns.contains(*column));
    let can =
        |role: &str| table.columns.keys().filter(asked).any(|column| may_use(roles, table, role, column));
    let others = roles.keys().filter(|role| *role != ours && !role.starts_with("rds"));
    others.filter(|role| can(role)).cloned().collect()
}

/// True if a role may use a column.
pub(super) fn may_use(roles: &Roles, table: &Table, role: &str, column: &str) -> bool {
    let powerful = roles.get(role).is_some_and(|role| role.power != Power::None);
    powerful || table.whole.contains(role) || (table.rest.contains(role) && !table.hidden.contains(column))
}

/// Login roles among these that the server refuses something, except ours.
pub(super) fn stoppable(roles: &Roles, ours: &str, taken_from: &BTreeSet<String>) -> Vec<String> {
    let stopped =
        |name: &&String| *name != ours && roles.get(*name).is_some_and(|role| role.power != Power::Super);
    taken_from.iter().filter(stopped).cloned().collect()
}

/// Grants all of a table to a role, as a hand does.
pub(super) fn grant(catalog: &mut Catalog, table: &TableName, role: &str) {
    if let Some(table) = catalog.tables.get_mut(table) {
        table.rest.remove(role);
        table.whole.insert(role.to_owned());
    }
}

/// Revokes everything on a table from a role.
pub(super) fn revoke(catalog: &mut Catalog, table: &TableName, role: &str) {
    if let Some(table) = catalog.tables.get_mut(table) {
        table.rest.remove(role);
        table.whole.remove(role);
    }
}
