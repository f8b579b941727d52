//! An index that is built beside everybody's work, on a transaction of the model.
//!
//! Called by the port for a file that is one CREATE INDEX CONCURRENTLY. The witnesses are the real one's: the
//! journal's row, a session that is at it, and the catalog. A build takes as long as the server is told that builds take; one
//! whose session ends before leaves an index that is not valid.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_model::schema::{FilePhase, IndexBuild, MigrationFile, Object};
use tidegate_schema::{Failure, Job, sql::ConcurrentIndex};

use super::{
    catalog::Catalog,
    journal::{Build, Change, Key, key},
    transaction::{Transaction, file},
};

/// Sessions of ours that build an index, by change and file.
pub(super) type Builders = BTreeMap<(Key, String), Builder>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Builder {
    pub(super) index: Object,
    pub(super) ends: Timestamp,
}

/// What one step of a build came to.
pub(super) enum Next {
    /// The index is there and recorded.
    Over,
    /// It is to be built from now on.
    Begin(Object),
    /// The last build failed; the journal forgets it with this transaction.
    Failed(String),
}

/// What is to be done, by journal and catalog. Nobody of ours is building.
pub(super) fn next(
    transaction: &mut Transaction<'_>,
    job: &Job<'_>,
    name: &str,
    index: &ConcurrentIndex,
) -> Result<Next, Failure> {
    let file = file(job, FilePhase::Expand, name)?;
    if transaction.enter(job)?.contains(&file.name) {
        return Ok(Next::Over);
    }
    let object = index.object();
    let begun = begun(transaction, job, file)?;
    if let Some(state) = told(transaction, job, &file.name) {
        return Ok(Next::Failed(state));
    }
    let catalog = &transaction.contents.catalog;
    let (valid, invalid) = (catalog.has(&object), catalog.invalid.contains(&object));
    match (begun, valid) {
        (false, _) if valid || invalid => Err(Failure::Unexpected { object, exists: true }),
        (true, true) => {
            let change = transaction.journal().change(job)?;
            change.record(file, String::new());
            change.builds.remove(&file.name);
            Ok(Next::Over)
        }
        (_, _) => {
            begin(transaction.journal().open(job)?, file, &object);
            transaction.contents.catalog.invalid.insert(object.clone());
            Ok(Next::Begin(object))
        }
    }
}

fn begun(transaction: &mut Transaction<'_>, job: &Job<'_>, file: &MigrationFile) -> Result<bool, Failure> {
    let change = transaction.journal().changes.get(&key(job));
    match change.and_then(|change| change.builds.get(&file.name)) {
        Some(build) if build.checksum != file.checksum => Err(Failure::Changed(file.name.clone())),
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

/// Why the last build failed, which is told once.
fn told(transaction: &mut Transaction<'_>, job: &Job<'_>, file: &str) -> Option<String> {
    let change = transaction.journal().changes.get_mut(&key(job))?;
    change.builds.get_mut(file)?.failure.take()
}

fn begin(change: &mut Change, file: &MigrationFile, index: &Object) {
    let build = change.builds.entry(file.name.clone()).or_insert_with(|| Build {
        checksum: file.checksum.clone(),
        index: index.clone(),
        attempts: 0,
        failure: None,
    });
    build.attempts += 1;
    build.failure = None;
}

/// Ends the builds whose time is over: their indexes are valid.
pub(super) fn settle(builders: &mut Builders, catalog: &mut Catalog, now: Timestamp) {
    builders.retain(|_, builder| {
        let over = builder.ends <= now;
        if over {
            catalog.invalid.remove(&builder.index);
            catalog.others.insert(builder.index.clone());
        }
        !over
    });
}

/// The builds of a change as they are observed. What the server tells of its progress is not modelled.
pub(super) fn underway(key: &Key, change: &Change, builders: &Builders) -> BTreeMap<String, IndexBuild> {
    let shown = |(file, build): (&String, &Build)| {
        let running = builders.contains_key(&(key.clone(), file.clone()));
        let index = match &build.index {
            Object::Index { schema, name } => format!("{schema}.{name}"),
            other @ (Object::Column { .. }
            | Object::Table(_)
            | Object::Trigger { .. }
            | Object::Function { .. }) => other.to_string(),
        };
        let build = IndexBuild { index, attempts: build.attempts, running, phase: None, percent: None };
        (file.clone(), build)
    };
    change.builds.iter().map(shown).collect()
}
