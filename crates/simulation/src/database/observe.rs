//! What the model answers when a change is observed: every fact of `SchemaObservation` that was asked for.
//!
//! Called by the port. The same facts from the same sources as the schema crate's `observe`; log and failures are read through
//! AWS and are never filled here. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_model::{
    Fact, ReleaseName, Why,
    schema::{
        ChangePlan, CheckReading, Dependencies, FilePhase, Hidden, Journal, MigrationFile, Object,
        OpenChange, Preflight, SchemaObservation, TableName,
    },
};
use tidegate_schema::{Failure, Wanted, classify::lock::LockMode, tables};

use super::{
    build,
    hide::able_to_use,
    journal::{Change, Hide, Key},
    roles::stoppable,
    rows,
    sessions::Locks,
    state::State,
};

/// Reads everything about a change that was asked for.
pub(super) fn observe(
    state: &State,
    release: &ReleaseName,
    plan: &ChangePlan,
    wanted: Wanted,
    now: Timestamp,
) -> SchemaObservation {
    let mut seen = SchemaObservation::unread(Fact::Known(state.settings.access), Why::NotAsked);
    (seen.journal, seen.other_open) = journal_facts(state, &(release.clone(), plan.change.clone()));
    let objects = state.contents.catalog.objects(plan.adds.iter().chain(&plan.removes));
    let all_there = objects.values().all(|there| *there);
    seen.objects = Fact::Known(objects);
    seen.max_connections = Fact::Known(state.settings.max_connections);
    if wanted.blockers {
        seen.blockers = Fact::Known(state.sessions.holders(&tables(plan), state.settings.limits.lock, now));
        seen.pressure = Fact::Known(state.settings.pressure.clone());
        seen.preflight = Fact::Known(preflight(state, plan));
    }
    if wanted.check.is_some() {
        seen.check = if all_there { fact(check(state, plan, now)) } else { Fact::Absent };
    }
    if wanted.evidence {
        seen.evidence = Fact::Known(state.statistics.evidence(plan, &state.contents.catalog));
        seen.dependencies = Fact::Known(dependencies(state, plan));
    }
    if wanted.certificate {
        seen.certificate = Fact::Known(state.statistics.certificate(plan, &state.contents.catalog));
    }
    seen
}

/// Nothing could be read; only the access may be known by the way in which that failed.
pub(super) fn unread(failure: &Failure) -> SchemaObservation {
    let why = failure.why();
    SchemaObservation::unread(failure.access().map_or(Fact::Unknown(why), Fact::Known), why)
}

fn fact<T>(read: Result<T, Failure>) -> Fact<T> {
    match read {
        Ok(value) => Fact::Known(value),
        Err(failure) => Fact::Unknown(failure.why()),
    }
}

fn journal_facts(state: &State, key: &Key) -> (Fact<Journal>, Fact<Vec<OpenChange>>) {
    let Some(journal) = &state.contents.journal else { return (Fact::Absent, Fact::Known(Vec::new())) };
    let ours = OpenChange { release: key.0.clone(), change: key.1.clone() };
    let others = Fact::Known(journal.open_changes().filter(|open| *open != ours).collect());
    let Some(change) = journal.changes.get(key) else { return (Fact::Absent, others) };
    (Fact::Known(shown(state, key, change)), others)
}

/// The journal of one change, as it is read.
pub(super) fn shown(state: &State, key: &Key, change: &Change) -> Journal {
    let journal = state.contents.journal.as_ref();
    let floor = journal.and_then(|journal| journal.floor.get(&key.0)).into_iter().flatten().cloned();
    let locks = change.files.iter().filter(|(_, file)| !file.locks.is_empty());
    Journal {
        epoch: journal.and_then(|journal| journal.fence.get(&key.0)).copied().unwrap_or(0),
        release: key.0.clone(),
        marker: change.marker.clone(),
        applied: change.files.iter().map(|(name, file)| (name.clone(), file.checksum.clone())).collect(),
        locks: locks.map(|(name, file)| (name.clone(), file.locks.clone())).collect(),
        backfills: change.backfills.iter().map(|(name, at)| (name.clone(), at.progress)).collect(),
        builds: build::underway(key, change, &state.builders),
        hidden: change.hidden.as_ref().map(|hide| hidden(state, hide)),
        purged_at: change.purged_at,
        floor: floor.collect(),
    }
}

/// What the journal's record of a hide means now.
fn hidden(state: &State, hide: &Hide) -> Hidden {
    let able = able_to_use(&state.contents.catalog, &state.roles, &state.ours, &hide.taken);
    let (bypassed_by, regranted_to) = able.into_iter().partition(|role| hide.bypassed_by.contains(role));
    let from: BTreeSet<String> = hide.taken.iter().flat_map(|taken| taken.roles.clone()).collect();
    Hidden {
        at: hide.at,
        tables: hide.taken.iter().map(|taken| taken.table.clone()).collect(),
        taken_from: stoppable(&state.roles, &state.ours, &from),
        bypassed_by,
        regranted_to,
    }
}

/// Adds up what the check files count. One that a team wrote cannot be understood: only a server runs SQL.
fn check(state: &State, plan: &ChangePlan, now: Timestamp) -> Result<CheckReading, Failure> {
    let mut reading = CheckReading::default();
    for file in plan.files(FilePhase::Check) {
        let name = checked(plan, file).ok_or(Failure::Malformed)?;
        let wanted = Locks::table(name, LockMode::AccessShare);
        if !state.sessions.in_the_way(&wanted, None, now).is_empty() {
            return Err(Failure::Lock);
        }
        let table = state.contents.catalog.tables.get(name).ok_or_else(super::catalog::no_table)?;
        reading = reading.plus(rows::check(&table.rows, table.conflicts));
    }
    Ok(reading)
}

/// The table of a check that was generated: its sync has the same version.
fn checked<'a>(plan: &'a ChangePlan, check: &MigrationFile) -> Option<&'a TableName> {
    let syncs = plan.files.iter().filter(|file| file.version == check.version);
    syncs.filter_map(|file| file.sync.as_ref()).map(|sync| &sync.table).next()
}

/// Sizes are rows times a row's bytes.
fn preflight(state: &State, plan: &ChangePlan) -> Preflight {
    let bytes = |table: &TableName| {
        let rows = state.contents.catalog.tables.get(table).map_or(0, |table| table.rows.len());
        u64::try_from(rows).unwrap_or(u64::MAX).saturating_mul(state.settings.row_bytes)
    };
    let rewritten = plan.files(FilePhase::Backfill).filter_map(|file| file.backfill.as_ref());
    Preflight {
        database_bytes: state.contents.catalog.tables.keys().map(bytes).sum(),
        rewritten_bytes: rewritten.map(|backfill| bytes(&backfill.table)).sum(),
        told: state.settings.told.clone(),
    }
}

/// What depends on what contract removes, except what it removes itself.
fn dependencies(state: &State, plan: &ChangePlan) -> Dependencies {
    let known: &BTreeMap<Object, _> = &state.contents.catalog.dependents;
    let all = plan.removes.iter().filter_map(|object| known.get(object)).flatten();
    let (vanishing, blocking): (BTreeSet<_>, BTreeSet<_>) = all.partition(|one| one.vanishes);
    let told = |some: BTreeSet<&super::catalog::Dependent>| {
        some.into_iter().map(|one| one.description.clone()).collect()
    };
    Dependencies { blocking: told(blocking), vanishing: told(vanishing) }
}
