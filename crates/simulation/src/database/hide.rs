//! The steps hide and unhide, on a transaction of the model.
//!
//! Called by the port, and by purge to give rights back. The same checks in the same order as the schema crate's
//! `hide`; neither takes a lock on a table. Who lost a right stands in the journal, and that is what un-hiding gives back.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::schema::{ChangePlan, Object, TableName};
use tidegate_schema::{Failure, Job};

use super::{
    catalog::Catalog,
    journal::{Hide, Journal, Taken, key},
    roles::{Roles, able},
    transaction::Transaction,
};

/// Hides the old form from every role but ours.
pub(super) fn hide(transaction: &mut Transaction<'_>, job: &Job<'_>) -> Result<(), Failure> {
    let known = transaction.enter(job)?;
    let change = transaction.journal().require_complete(job, &known)?;
    if change.hidden.is_some() || change.purged_at.is_some() {
        return Ok(());
    }
    let (ours, roles) = (transaction.ours, transaction.roles);
    let catalog = &mut transaction.contents.catalog;
    let mut taken = Vec::new();
    for (table, columns) in targets(catalog, job.plan) {
        taken.push(take(catalog, table, columns, ours)?);
    }
    let bypassed_by = able_to_use(catalog, roles, ours, &taken);
    let hidden = Hide { at: transaction.now, taken, bypassed_by };
    transaction.journal().change(job)?.hidden = Some(hidden);
    Ok(())
}

/// Gives the old form back; only the fence is asked.
pub(super) fn unhide(transaction: &mut Transaction<'_>, job: &Job<'_>) -> Result<(), Failure> {
    transaction.lock_fence(job);
    Journal::fenced(transaction.contents.journal.as_ref(), job)?;
    give_back(transaction, job);
    Ok(())
}

/// Puts rights back as the journal has them, and forgets that anything was hidden.
pub(super) fn give_back(transaction: &mut Transaction<'_>, job: &Job<'_>) {
    let change = transaction.journal().changes.get_mut(&key(job));
    let Some(hidden) = change.and_then(|change| change.hidden.take()) else { return };
    let roles = transaction.roles;
    for taken in hidden.taken {
        give(&mut transaction.contents.catalog, roles, &taken);
    }
}

/// Login roles, ours excepted, that can use something of what was taken.
pub(super) fn able_to_use(catalog: &Catalog, roles: &Roles, ours: &str, taken: &[Taken]) -> BTreeSet<String> {
    let of = |taken: &Taken| able(roles, ours, catalog.tables.get(&taken.table), taken.columns.as_ref());
    taken.iter().flat_map(of).collect()
}

/// The tables with what is to be hidden of them; none: all of it. A table that is not there has nothing to hide.
fn targets(catalog: &Catalog, plan: &ChangePlan) -> BTreeMap<TableName, Option<BTreeSet<String>>> {
    let mut targets: BTreeMap<TableName, Option<BTreeSet<String>>> = BTreeMap::new();
    for object in plan.hidable() {
        let (table, column) = match object {
            Object::Column { table, column } => (table, Some(column)),
            Object::Table(table) => (table, None),
            Object::Trigger { .. } | Object::Function { .. } | Object::Index { .. } => continue,
        };
        if !catalog.tables.contains_key(table) {
            continue;
        }
        let columns = targets.entry(table.clone()).or_insert_with(|| Some(BTreeSet::new()));
        match (columns.as_mut(), column) {
            (Some(columns), Some(column)) => drop(columns.insert(column.clone())),
            (_, None) | (None, Some(_)) => *columns = None,
        }
    }
    targets
}

fn take(
    catalog: &mut Catalog,
    name: TableName,
    columns: Option<BTreeSet<String>>,
    ours: &str,
) -> Result<Taken, Failure> {
    let Some(table) = catalog.tables.get_mut(&name) else {
        return Err(Failure::Unexpected { object: Object::Table(name), exists: false });
    };
    let roles: BTreeSet<String> = table.whole.iter().filter(|role| *role != ours).cloned().collect();
    table.whole.retain(|role| role == ours);
    if let Some(columns) = &columns {
        table.hidden.extend(columns.iter().cloned());
        table.rest.extend(roles.iter().cloned());
    }
    Ok(Taken { table: name, columns, roles })
}

/// A right that somebody revoked meanwhile stays revoked, and a role that is gone is passed over.
fn give(catalog: &mut Catalog, roles: &Roles, taken: &Taken) {
    let Some(table) = catalog.tables.get_mut(&taken.table) else { return };
    for role in taken.roles.iter().filter(|role| roles.contains_key(*role)) {
        if taken.columns.is_none() || table.rest.remove(role) {
            table.whole.insert(role.clone());
        }
    }
    match &taken.columns {
        Some(columns) => table.hidden.retain(|column| !columns.contains(column)),
        None => table.hidden.clear(),
    }
}
