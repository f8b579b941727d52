//! The steps claim, expand and purge, on a transaction of the model.
//!
//! Called by the port. The same checks in the same order as the schema crate's `run`: whatever that finds out first is
//! found out first here. Must not look at sessions, and must not keep anything of a transaction that failed.

use tidegate_model::{
    Digest, ReleaseName,
    schema::{ChangePlan, FilePhase, MigrationFile, Object, SyncPlan, TableName},
};
use tidegate_schema::{Epoch, Failure, Job};

use super::{
    catalog::{Catalog, no_table, sql},
    hide,
    plan::{self, FileFacts},
    rows,
    transaction::{Transaction, file},
};

/// Claims the fence for a release, and makes the journal where it is missing. A claim that is older than what stands there is
/// refused.
pub(super) fn claim(
    transaction: &mut Transaction<'_>,
    release: &ReleaseName,
    ledger: &str,
    lease: u64,
) -> Result<Epoch, Failure> {
    if transaction.contents.journal.as_ref().is_some_and(|journal| journal.fence.contains_key(release)) {
        transaction.locks.fences.insert(release.clone());
    }
    let journal = transaction.journal();
    let claim = (ledger.to_owned(), lease);
    let epoch = journal.fence.entry(release.clone()).or_insert(0);
    if journal.claims.get(release).is_some_and(|newest| *newest > claim) {
        return Err(Failure::Fenced { ours: 0, found: *epoch });
    }
    journal.claims.insert(release.clone(), claim);
    *epoch += 1;
    Ok(Epoch::of(*epoch))
}

/// Applies one expand file that is one transaction.
pub(super) fn expand(transaction: &mut Transaction<'_>, job: &Job<'_>, name: &str) -> Result<(), Failure> {
    let file = file(job, FilePhase::Expand, name)?;
    let known = transaction.enter(job)?;
    if known.contains(&file.name) {
        return Ok(());
    }
    if job.plan.runner.is_some() {
        return expanded_by_runner(transaction, job, file);
    }
    let facts = transaction.facts.get(&file.name).cloned().unwrap_or_default();
    transaction.journal().open(job)?;
    transaction.contents.catalog.expect(&facts.adds, false)?;
    if let Some(sync) = &file.sync {
        can_be_kept(&transaction.contents.catalog, sync)?;
        // What is generated makes its functions before its triggers, whose lock comes last.
        columns_exist(&transaction.contents.catalog, sync)?;
    }
    take(transaction, &facts);
    run_expand(transaction, file, &facts)?;
    transaction.journal().open(job)?.record(file, plan::told(&facts.locks));
    Ok(())
}

/// Journals that the team's own tool has expanded: the catalog must show it.
fn expanded_by_runner(
    transaction: &mut Transaction<'_>,
    job: &Job<'_>,
    file: &MigrationFile,
) -> Result<(), Failure> {
    transaction.journal().open(job)?;
    transaction.contents.catalog.expect(&job.plan.adds, true)?;
    transaction.journal().open(job)?.record(file, String::new());
    Ok(())
}

/// Applies every contract file: the point of no return.
pub(super) fn purge(
    transaction: &mut Transaction<'_>,
    job: &Job<'_>,
    namers: &[Digest],
) -> Result<(), Failure> {
    let known = transaction.enter(job)?;
    if transaction.journal().require_complete(job, &known)?.purged_at.is_some() {
        return Ok(());
    }
    // The team's own tool has contracted already, and the catalog must show it.
    if job.plan.runner.is_none() {
        let all: Vec<&Object> = job.plan.adds.iter().chain(&job.plan.removes).collect();
        transaction.contents.catalog.expect(all, true)?;
        contract(transaction, job.plan)?;
    }
    transaction.contents.catalog.expect(&job.plan.removes, false)?;
    for file in job.plan.files(FilePhase::Contract) {
        transaction.journal().change(job)?.record(file, String::new());
    }
    hide::give_back(transaction, job);
    raise_floor(transaction, job.release, namers);
    let now = transaction.now;
    transaction.journal().change(job)?.purged_at = Some(now);
    Ok(())
}

fn contract(transaction: &mut Transaction<'_>, plan: &ChangePlan) -> Result<(), Failure> {
    for file in plan.files(FilePhase::Contract) {
        let facts = transaction.facts.get(&file.name).cloned().unwrap_or_default();
        take(transaction, &facts);
    }
    let catalog = &mut transaction.contents.catalog;
    if catalog.refuses_to_drop(&plan.removes) {
        return Err(Failure::Dependents);
    }
    for table in losing_a_form(plan) {
        if let Some(table) = catalog.tables.get_mut(&table) {
            rows::drop_old(std::sync::Arc::make_mut(&mut table.rows));
            table.sync.clear();
        }
    }
    for object in &plan.removes {
        catalog.remove(object);
    }
    Ok(())
}

/// Tables of which contract drops columns that a sync keeps in step.
fn losing_a_form(plan: &ChangePlan) -> Vec<TableName> {
    let loses = |sync: &&SyncPlan| {
        let column = |name: &String| Object::Column { table: sync.table.clone(), column: name.clone() };
        sync.old.iter().any(|old| plan.removes.contains(&column(&old.name)))
    };
    plan.files
        .iter()
        .filter_map(|file| file.sync.as_ref())
        .filter(loses)
        .map(|sync| sync.table.clone())
        .collect()
}

fn raise_floor(transaction: &mut Transaction<'_>, release: &ReleaseName, namers: &[Digest]) {
    let floor = transaction.journal().floor.entry(release.clone()).or_default();
    floor.extend(namers.iter().cloned());
}

/// Takes the locks of a file's statements.
fn take(transaction: &mut Transaction<'_>, facts: &FileFacts) {
    for (table, mode) in &facts.locks {
        if transaction.contents.catalog.tables.contains_key(table) {
            transaction.locks.lock(table, *mode);
        }
    }
}

/// Runs an expand file: what its statements name must be there, and what they make is there afterwards.
fn run_expand(
    transaction: &mut Transaction<'_>,
    file: &MigrationFile,
    facts: &FileFacts,
) -> Result<(), Failure> {
    let ours = transaction.ours.to_owned();
    let catalog = &mut transaction.contents.catalog;
    if facts.locks.keys().any(|table| !catalog.tables.contains_key(table)) {
        return Err(no_table());
    }
    for object in &facts.adds {
        catalog.add(object, &ours)?;
    }
    if let Some(sync) = &file.sync
        && let Some(table) = catalog.tables.get_mut(&sync.table)
    {
        let is_trigger = |object: &&Object| matches!(object, Object::Trigger { .. });
        table.sync = facts.adds.iter().filter(is_trigger).cloned().collect();
    }
    Ok(())
}

/// What is generated is declared with the types of both forms' columns. SQLSTATE 42P01 and 42703.
fn columns_exist(catalog: &Catalog, sync: &SyncPlan) -> Result<(), Failure> {
    let table = catalog.tables.get(&sync.table).ok_or_else(no_table)?;
    let there = |name: &String| table.columns.contains_key(name);
    let all = sync.old.iter().chain(&sync.new).all(|column| there(&column.name));
    if all { Ok(()) } else { Err(sql("42703")) }
}

/// Refuses columns that cannot be kept in step. The real one goes by their order in the table, this one by name.
fn can_be_kept(catalog: &Catalog, sync: &SyncPlan) -> Result<(), Failure> {
    let Some(table) = catalog.tables.get(&sync.table) else { return Ok(()) };
    let mut named: Vec<_> = sync
        .old
        .iter()
        .map(|column| (column, false))
        .chain(sync.new.iter().map(|column| (column, true)))
        .collect();
    named.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    for (column, is_new) in named {
        let Some(found) = table.columns.get(&column.name) else { continue };
        let why = if found.computed {
            "the server computes it"
        } else if found.not_null && !column.total {
            "it is NOT NULL, and its mapping does not end in coalesce(..., constant)"
        } else if found.default && is_new {
            "it has a default, which a trigger cannot tell from a value that was written"
        } else {
            continue;
        };
        let column = Object::Column { table: sync.table.clone(), column: column.name.clone() };
        return Err(Failure::NotInStep { column, why });
    }
    Ok(())
}
