//! Migration files. Whatever their text: they are read or told. Places are inside the text they are of, and what stands behind a
//! statement or above it without being one does not change what the statement is.
//!
//! An input is the files of one change, each below a line `--= PHASE`, which is a comment and part of it.

use tidegate_model::{ChangeName, spec::DatabaseSpec};
use tidegate_schema::{
    RawFile,
    classify::Statement,
    source,
    sql::{self, Lint, LintedFile},
};

use crate::is_inside;

/// What a file begins with; `crates/schema/tests/corpus` has the same lines.
pub(crate) const HEADER: &str = "--= ";
const MOST_FILES: usize = 8;
/// Up to here, what is added cannot make a file too large to be read.
const SMALL: usize = 1_500;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let texts = files(&text);
    let Ok(files) = source::in_memory(texts) else { return };
    let lint = sql::lint(files.clone());
    for problem in &lint.problems {
        let written = files.iter().find(|file| file.name == problem.path).map(|file| file.text.as_str());
        let of_a_file = written.is_some_and(|text| is_inside(text, problem.line, problem.column));
        assert!(of_a_file || (problem.line, problem.column) == (1, 1), "outside of its file: {problem}");
    }
    for file in &lint.files {
        let text = text_of(file, &files);
        for statement in &file.statements {
            let place = |line, column| assert!(is_inside(text, line, column), "outside of {}", file.name);
            place(statement.line, statement.column);
            statement.findings.iter().for_each(|finding| place(finding.line, finding.column));
            assert!(!statement.what.is_empty());
        }
    }
    agreed(&lint, &files);
    for file in &files {
        let (added, index) = (sql::added_by(&file.text), sql::concurrent_index(&file.text));
        if let Some(index) = index {
            assert!(added.is_some_and(|added| added.contains(&index.object())), "an index that nobody adds");
        }
    }
    if files.iter().all(|file| file.text.len() < SMALL) {
        unmoved(&lint, &files);
    }
}

/// The files of an input, each with its name.
fn files(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let phase = line.strip_prefix(HEADER).map(|rest| rest.split([' ', '\n']).next().unwrap_or_default());
        match (files.last_mut(), phase) {
            (Some((_, file)), None) => file.push_str(line),
            (_, phase) => {
                let name = format!("{}_{}_case.sql", files.len() + 1, phase.unwrap_or("expand"));
                files.push((name, line.to_owned()));
            }
        }
    }
    files.truncate(MOST_FILES);
    files
}

fn text_of<'a>(file: &'a LintedFile, files: &'a [RawFile]) -> &'a str {
    let written = || files.iter().find(|raw| raw.name == file.name).map(|raw| raw.text.as_str());
    file.generated.as_ref().map_or_else(|| written().unwrap_or_default(), |generated| &generated.text)
}

/// A plan is made exactly where lint finds nothing.
fn agreed(lint: &Lint, files: &[RawFile]) {
    let change: ChangeName = "a-change".parse().expect("a name");
    let database = DatabaseSpec { secret: "arn".to_owned(), instance: "db".to_owned() };
    match sql::plan(&change, &database, files.to_vec()) {
        Ok(plan) => {
            assert!(lint.problems.is_empty(), "planned, with {:?}", lint.problems);
            assert_eq!(plan.files.len(), lint.files.len(), "files were lost");
        }
        Err(problems) => assert_eq!(problems, lint.problems),
    }
}

/// White space and comments, behind everything and above it.
fn unmoved(lint: &Lint, files: &[RawFile]) {
    let parses = |lint: &Lint| lint.files.len() >= files.len();
    if !parses(lint) {
        return;
    }
    let changed = |change: &dyn Fn(&str) -> String| {
        let text = |file: &RawFile| RawFile { name: file.name.clone(), text: change(&file.text) };
        sql::lint(files.iter().map(text).collect())
    };
    let behind = changed(&|text| format!("{text}\n\n-- the end\n/* of /* it */ all */ \t"));
    assert_eq!(statements(&behind, 0), statements(lint, 0), "a comment behind it changes a file");
    assert_eq!(behind.problems, lint.problems, "a comment behind it changes what is wrong with a file");
    // A sync file and a backfill begin with their header.
    let begins_anywhere = |file: &RawFile| file.name.contains("_expand_") || file.name.contains("_contract_");
    if files.iter().all(begins_anywhere) {
        let below = changed(&|text| format!("\n{text}"));
        assert_eq!(statements(&below, 1), statements(lint, 0), "an empty line above it changes a file");
    }
}

/// The statements of each file, as if their file began that many lines later.
fn statements(lint: &Lint, below: u32) -> Vec<Vec<Statement>> {
    let moved = |statement: &Statement| {
        let mut statement = statement.clone();
        statement.line -= below;
        statement.findings.iter_mut().for_each(|finding| finding.line -= below);
        statement
    };
    lint.files.iter().map(|file| file.statements.iter().map(moved).collect()).collect()
}
