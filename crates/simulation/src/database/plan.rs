//! What a change's files do, read from their text once.
//!
//! Called by the steps. The reading is the schema crate's own: what a file adds, which locks its statements take, whether it
//! builds an index beside everybody's work. Parsing takes milliseconds, so it is kept by the files' checksums; one reading may
//! serve every run of a simulation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidegate_model::{
    Digest,
    schema::{ChangePlan, FilePhase, Object, TableName},
};
use tidegate_schema::{
    RawFile,
    classify::lock::{LockMode, Locked},
    sql::{self, ConcurrentIndex},
};

/// What one file does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub(super) phase: Option<FilePhase>,
    /// What it adds, if it expands.
    pub(super) adds: Vec<Object>,
    /// The strongest lock on each table that was there before the change.
    pub(super) locks: BTreeMap<TableName, LockMode>,
    /// The index that it builds concurrently.
    pub(super) builds: Option<ConcurrentIndex>,
}

/// What the files of one change do, by name.
pub(super) type PlanFacts = BTreeMap<String, FileFacts>;

/// Readings of plans. Cheap to clone, and then shared.
#[derive(Clone, Debug, Default)]
pub struct Plans(Arc<Mutex<BTreeMap<Digest, Arc<PlanFacts>>>>);

impl Plans {
    /// What the files of a change do.
    pub(super) fn facts(&self, plan: &ChangePlan) -> Arc<PlanFacts> {
        let texts: Vec<String> =
            plan.files.iter().map(|file| format!("{} {}", file.name, file.checksum)).collect();
        let key = Digest::of(texts.join("\n"));
        // A poisoned lock only means that an earlier reading stopped halfway: every entry is still right.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(key).or_insert_with(|| Arc::new(read(plan))))
    }
}

fn read(plan: &ChangePlan) -> PlanFacts {
    let raw = plan.files.iter().map(|file| RawFile { name: file.name.clone(), text: file.text.clone() });
    let linted = sql::lint(raw.collect());
    let mut facts: PlanFacts =
        linted.files.into_iter().map(|file| (file.name.clone(), facts_of(&file))).collect();
    for file in plan.files(FilePhase::Expand) {
        let of = facts.entry(file.name.clone()).or_default();
        of.adds = sql::added_by(&file.text).unwrap_or_default();
        of.builds = sql::concurrent_index(&file.text);
    }
    facts
}

fn facts_of(file: &sql::LintedFile) -> FileFacts {
    let mut facts = FileFacts { phase: Some(file.phase), ..FileFacts::default() };
    for lock in file.statements.iter().flat_map(|statement| &statement.locks) {
        // Tables that only the catalog knows are not modelled: see the table of differences.
        if let Locked::Table(table) = &lock.on {
            let strongest = facts.locks.entry(table.clone()).or_insert(lock.mode);
            *strongest = lock.mode.max(*strongest);
        }
    }
    facts
}

/// The locks as the journal has them, without the time: nothing takes any here.
pub(super) fn told(locks: &BTreeMap<TableName, LockMode>) -> String {
    let strong = locks.iter().filter(|(_, mode)| **mode >= LockMode::ShareUpdateExclusive);
    let each: Vec<String> = strong.map(|(table, mode)| format!("{mode} on {table}")).collect();
    if each.is_empty() { String::new() } else { format!("{}, 0 ms", each.join(", ")) }
}
