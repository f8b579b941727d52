//! Sync files: two mappings, from which everything that keeps old and new form in step is generated.
//!
//! `<version>_sync_<name>.sql` holds two SELECTs over one table: how the new form follows from the old one, and how the old
//! one follows from the new one. Called by [`crate::sql`] before anything else looks at the files: a sync file becomes an
//! expand, a backfill, a check and, if the change has a contract, a contract file. Those are read, classified, traced, run
//! and recorded like files that a team wrote itself, so nothing behind this module knows of mappings.
//!
//! The text that is generated is immutable once it is applied, as every migration is: a release of Tidegate that generates
//! another text would hold every change that is open. A golden test guards it.

pub(crate) mod generate;
pub(crate) mod proof;
mod read;
#[cfg(test)]
mod tests;

use tidegate_model::{
    schema::{FilePhase, SyncPlan},
    spec::{Code, Problem},
};

use crate::{
    source::{RawFile, problem},
    sql::{FileKind, FileName},
};

/// A file as it will be read: a team's own, or generated from a sync file.
pub(crate) struct SourceFile {
    pub(crate) raw: RawFile,
    /// What it keeps in step, if it is the expand file that was generated for that.
    pub(crate) sync: Option<SyncPlan>,
    /// The sync file that it was generated from.
    pub(crate) from: Option<String>,
}

/// Replaces each sync file by what is generated from it. Call it on a large stack.
pub(crate) fn generate(files: Vec<RawFile>) -> (Vec<SourceFile>, Vec<Problem>) {
    let is_contract = |file: &RawFile| {
        FileName::of(&file.name).is_some_and(|name| name.kind == FileKind::Phase(FilePhase::Contract))
    };
    let contracts = files.iter().any(is_contract);
    let mut problems = Vec::new();
    let mut generated = Vec::new();
    for file in files {
        let read = FileName::of(&file.name)
            .filter(|name| name.kind == FileKind::Sync)
            .map(|name| read::read(&file, &name));
        match read {
            Some(Ok(sync)) => generated.extend(generate::files(&sync, &file.name, contracts)),
            Some(Err(found)) => problems.extend(found),
            None => generated.push(SourceFile { raw: file, sync: None, from: None }),
        }
    }
    (generated, problems)
}

/// A problem of a sync file as a whole.
fn of_file(name: &str, message: &str, remedy: &str) -> Problem {
    problem(Code::BadSync, &crate::source::shown(name), message, remedy)
}
