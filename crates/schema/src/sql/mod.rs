//! Migration files: names, statements, and which statement has a place in which phase.
//!
//! Called when a spec is accepted, and by `tidegate lint`. The text is parsed with PostgreSQL's own grammar; nothing is
//! decided by searching text. Every problem is reported at once, with file, line and column, and no text is quoted. What a
//! statement does is told by [`crate::classify`]; here is what a file and a change must have.

mod objects;
mod rules;
mod runner;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use squawk_syntax::{SyntaxKind, SyntaxNode};
use tidegate_model::{
    ChangeName, Digest,
    schema::{BackfillPlan, ChangePlan, FilePhase, MigrationFile, Object, SyncColumn, SyncPlan, TableName},
    spec::{Code, DatabaseSpec, Problem},
};

pub(crate) use self::rules::LARGEST_BATCH;
pub use self::runner::plan_of_runner;
use crate::{
    classify::{Classifier, Statement},
    source::{RawFile, problem, shown},
    sync::{self, SourceFile},
    trace::Script,
    tree,
};

/// Reads the files of a change into its plan.
///
/// # Errors
///
/// Every problem of every file, sorted by file and place.
pub fn plan(
    change: &ChangeName,
    database: &DatabaseSpec,
    files: Vec<RawFile>,
) -> Result<ChangePlan, Vec<Problem>> {
    let (read, problems) = read_change(files, disagreements);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(assemble(change, database, parts(read)))
}

/// What every statement of a change does, and everything that is wrong with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lint {
    /// The files that parse, in the order in which they run.
    pub files: Vec<LintedFile>,
    /// What refuses the change, sorted by file and place.
    pub problems: Vec<Problem>,
}

/// A file and its statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LintedFile {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub phase: FilePhase,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// If it was generated: from which file, and its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated: Option<Generated>,
}

/// Where a generated file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Generated {
    /// The sync file.
    pub from: String,
    /// What was generated.
    pub text: String,
}

/// Classifies every statement of a change. Never fails: what cannot be read is among the problems.
pub fn lint(files: Vec<RawFile>) -> Lint {
    let (read, problems) = read_change(files, disagreements);
    let files = read.into_iter().map(|Read { name, phase, statements, generated, .. }| LintedFile {
        name,
        phase,
        statements,
        generated,
    });
    Lint { files: files.collect(), problems }
}

/// The statements of a change as they run, each with its text; `None` if a file does not parse.
pub(crate) fn scripts(files: Vec<RawFile>) -> Option<Vec<Script>> {
    let (read, problems) = read_change(files, disagreements);
    let unread = |found: &Problem| matches!(found.code, Code::FileName | Code::NotSql | Code::BadSync);
    let script = |file: Read| Script {
        file: file.name,
        phase: file.phase,
        statements: file.texts.into_iter().zip(file.statements).collect(),
        migration: file.part.map(|part| part.file),
    };
    (!problems.iter().any(unread)).then(|| read.into_iter().map(script).collect())
}

/// A file that parses: what its statements do, and its part of the plan if nothing refuses it.
struct Read {
    name: String,
    phase: FilePhase,
    generated: Option<Generated>,
    statements: Vec<Statement>,
    /// The statements' texts.
    texts: Vec<String>,
    part: Option<Part>,
}

/// Reads every file; `together` says what is wrong with them together.
fn read_change(
    files: Vec<RawFile>,
    together: impl FnOnce(&[Read]) -> Vec<Problem>,
) -> (Vec<Read>, Vec<Problem>) {
    let twice = versions_twice(&files);
    let Some((read, mut problems)) = tree::on_large_stack(|| read_files(files)) else {
        let message = "the files are too deeply nested to be parsed";
        return (Vec::new(), vec![problem(Code::NotSql, "source", message, "split the files")]);
    };
    problems.extend(twice);
    if problems.is_empty() {
        problems.extend(together(&read));
    }
    problems.sort_by(|one, other| {
        (&one.path, one.line, one.column, one.code).cmp(&(&other.path, other.line, other.column, other.code))
    });
    problems.dedup();
    (read, problems)
}

/// Parses every file, then judges them in the order in which they run: what a later statement does depends on what an
/// earlier one made.
fn read_files(files: Vec<RawFile>) -> (Vec<Read>, Vec<Problem>) {
    let (files, mut problems) = sync::generate(files);
    let mut parsed = Vec::new();
    for file in files {
        match parse_file(file) {
            Ok(file) => parsed.push(file),
            Err(found) => problems.extend(found),
        }
    }
    parsed.sort_by_key(|file| (file.phase, file.version));
    let mut classifier = Classifier::default();
    let read = parsed
        .into_iter()
        .map(|file| {
            let (read, found) = judge_file(file, &mut classifier);
            problems.extend(found);
            read
        })
        .collect();
    (read, problems)
}

/// What one expand file adds; `None` if its text does not parse.
pub fn added_by(text: &str) -> Option<Vec<Object>> {
    tree::on_large_stack(|| {
        let root = tree::parse(text).ok()?;
        Some(objects::added(&root.children().collect::<Vec<_>>()))
    })?
}

/// An index that a file builds concurrently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentIndex {
    /// Its name; it lives in its table's schema.
    pub name: TableName,
}

impl ConcurrentIndex {
    /// The index as an object of a change.
    pub fn object(&self) -> Object {
        Object::Index { schema: self.name.schema.clone(), name: self.name.table.clone() }
    }
}

/// The index that an expand file builds concurrently; `None` for every other file.
pub fn concurrent_index(text: &str) -> Option<ConcurrentIndex> {
    let added = tree::on_large_stack(|| {
        let root = tree::parse(text).ok()?;
        let statements: Vec<SyntaxNode> =
            root.children().filter(|node| node.kind() != SyntaxKind::EMPTY_STMT).collect();
        let [only] = statements.as_slice() else { return None };
        tree::has_token(only, SyntaxKind::CONCURRENTLY_KW).then(|| objects::added(&statements))
    });
    match added??.pop() {
        Some(Object::Index { schema, name }) => {
            Some(ConcurrentIndex { name: TableName { schema, table: name } })
        }
        Some(Object::Column { .. } | Object::Table(_) | Object::Trigger { .. } | Object::Function { .. })
        | None => None,
    }
}

/// The indexes that a contract file drops by name, as the catalog writes them: `public.customers_city`.
pub(crate) fn dropped_by(file: &MigrationFile) -> Vec<String> {
    let dropped = tree::on_large_stack(|| {
        let root = tree::parse(&file.text).ok()?;
        Some(objects::removed(&root.children().collect::<Vec<_>>()))
    });
    let named = |object: Object| match object {
        Object::Index { schema, name } => Some(format!("{schema}.{name}")),
        Object::Column { .. } | Object::Table(_) | Object::Trigger { .. } | Object::Function { .. } => None,
    };
    dropped.flatten().unwrap_or_default().into_iter().filter_map(named).collect()
}

/// A file that was read, and what it adds or removes.
struct Part {
    file: MigrationFile,
    adds: Vec<Object>,
    removes: Vec<Object>,
}

fn parts(read: Vec<Read>) -> Vec<Part> {
    read.into_iter().filter_map(|file| file.part).collect()
}

fn assemble(change: &ChangeName, database: &DatabaseSpec, mut parts: Vec<Part>) -> ChangePlan {
    parts.sort_by_key(|part| part.file.version);
    let adds: Vec<Object> = parts.iter().flat_map(|part| part.adds.clone()).collect();
    let removes: Vec<Object> = parts.iter().flat_map(|part| part.removes.clone()).collect();
    let contract: Vec<&str> = parts
        .iter()
        .filter(|part| part.file.phase == FilePhase::Contract)
        .map(|part| part.file.text.as_str())
        .collect();
    let digest = Digest::of_json(&json!({
        "change": change.as_str(),
        "database": { "secret": database.secret, "instance": database.instance },
        "contract": contract,
        "removes": removes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }));
    let files = parts.into_iter().map(|part| part.file).collect();
    ChangePlan { change: change.clone(), files, runner: None, adds, removes, digest }
}

/// Versions that stand twice. Asked before anything is generated: what a sync file stands for has its version.
fn versions_twice(files: &[RawFile]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let twice = |file: &&RawFile| FileName::of(&file.name).is_some_and(|name| !seen.insert(name.version));
    let remedy = "give each file of a change a version of its own";
    let found =
        |file: &RawFile| problem(Code::FilesDisagree, &shown(&file.name), "the version stands twice", remedy);
    files.iter().filter(twice).map(found).collect()
}

/// What is wrong with the files together; asked only if each of them is right, so that nothing is called missing that is
/// only wrong.
fn disagreements(files: &[Read]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let has = |phase| files.iter().any(|file| file.phase == phase);
    if !has(FilePhase::Expand) {
        let remedy = "add a file <version>_expand_<name>.sql";
        problems.push(problem(Code::FilesDisagree, "source", "the change has no expand file", remedy));
    }
    if (has(FilePhase::Backfill) || has(FilePhase::Contract)) && !has(FilePhase::Check) {
        let message = "the change has a backfill or a contract, and no check file";
        let remedy = "add a file <version>_check_<name>.sql with one SELECT that counts disagreeing rows, or let a sync file generate it";
        problems.push(problem(Code::FilesDisagree, "source", message, remedy));
    }
    let parts = || files.iter().filter_map(|file| file.part.as_ref());
    for file in files {
        if let (Some(part), Some(Generated { from, .. })) = (&file.part, &file.generated) {
            problems
                .extend(part.file.sync.iter().flat_map(|sync| sync_disagrees(part, (sync, from), &parts)));
        }
    }
    problems
}

/// The new form of a sync must be added before it, the old one must be there already, and contract comes after it.
fn sync_disagrees<'a, I: Iterator<Item = &'a Part>>(
    part: &Part,
    (sync, from): (&SyncPlan, &str),
    parts: &impl Fn() -> I,
) -> Vec<Problem> {
    let column =
        |column: &SyncColumn| Object::Column { table: sync.table.clone(), column: column.name.clone() };
    let adds = |wanted: &Object, before: u64| {
        parts().any(|other| other.file.version < before && other.adds.contains(wanted))
    };
    let found = |message: String, remedy: &str| problem(Code::FilesDisagree, from, &message, remedy);
    let mut problems = Vec::new();
    for new in sync.new.iter().map(column).filter(|new| !adds(new, part.file.version)) {
        let remedy =
            "the first SELECT of a sync file maps to columns that an expand file with a lower version adds";
        problems.push(found(format!("{new} is not added before it"), remedy));
    }
    for old in sync.old.iter().map(column).filter(|old| adds(old, u64::MAX)) {
        let remedy = "the second SELECT of a sync file maps to the columns that were there before the change";
        problems.push(found(format!("{old} is added by this change"), remedy));
    }
    let contract = |other: &Part| other.file.phase == FilePhase::Contract;
    if parts().any(|other| contract(other) && other.file.version < part.file.version) {
        let message = "a contract file has a lower version, and would run before the triggers are dropped";
        problems.push(found(message.to_owned(), "give contract files the highest versions"));
    }
    problems
}

/// A file whose name and text could be read.
struct Parsed {
    version: u64,
    phase: FilePhase,
    raw: RawFile,
    sync: Option<SyncPlan>,
    from: Option<String>,
    statements: Vec<SyntaxNode>,
}

fn parse_file(SourceFile { raw, sync, from }: SourceFile) -> Result<Parsed, Vec<Problem>> {
    let Some(FileName { version, kind: FileKind::Phase(phase), .. }) = FileName::of(&raw.name) else {
        let message = "the name is not <version>_<phase>_<name>.sql";
        let remedy =
            "phase is expand, sync, backfill, check or contract; name is lowercase letters, digits, _ and -";
        return Err(vec![problem(Code::FileName, &shown(&raw.name), message, remedy)]);
    };
    let root = tree::parse(&raw.text).map_err(|why| Text::of(&raw).not_parsed(why))?;
    let statements = root.children().filter(|node| node.kind() != SyntaxKind::EMPTY_STMT).collect();
    Ok(Parsed { version, phase, raw, sync, from, statements })
}

fn judge_file(file: Parsed, classifier: &mut Classifier) -> (Read, Vec<Problem>) {
    let Parsed { version, phase, raw, sync, from, statements: nodes } = file;
    let text = Text::of(&raw);
    let (statements, mut problems) = classifier.file(&text, phase, &nodes);
    let backfill = match problems.is_empty().then(|| rules::judge(&text, phase, &nodes)) {
        Some(Ok(backfill)) => backfill,
        Some(Err(found)) => {
            problems.extend(found);
            None
        }
        None => None,
    };
    let name = raw.name.clone();
    let generated = from.map(|from| Generated { from, text: raw.text.clone() });
    let texts = nodes.iter().map(|node| node.text().to_string()).collect();
    let part = problems.is_empty().then(|| {
        let checksum = Digest::of(&raw.text);
        part(
            &nodes,
            MigrationFile { version, phase, name: raw.name, text: raw.text, checksum, backfill, sync },
        )
    });
    (Read { name, phase, generated, statements, texts, part }, problems)
}

fn part(nodes: &[SyntaxNode], file: MigrationFile) -> Part {
    let adds = if file.phase == FilePhase::Expand { objects::added(nodes) } else { Vec::new() };
    let removes = if file.phase == FilePhase::Contract { objects::removed(nodes) } else { Vec::new() };
    Part { file, adds, removes }
}

/// The parts of a name `<version>_<kind>_<title>.sql`.
pub(crate) struct FileName<'a> {
    pub(crate) version: u64,
    pub(crate) kind: FileKind,
    pub(crate) title: &'a str,
}

/// What a file is by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Phase(FilePhase),
    /// Two mappings, from which files of every phase are generated.
    Sync,
}

impl<'a> FileName<'a> {
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let stem = name.strip_suffix(".sql")?;
        let mut parts = stem.splitn(3, '_');
        let (version, kind, title) = (parts.next()?, parts.next()?, parts.next()?);
        let digits =
            !version.is_empty() && version.len() <= 18 && version.bytes().all(|b| b.is_ascii_digit());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let titled = (1..=80).contains(&title.len()) && title.bytes().all(plain);
        let kind = match kind {
            "expand" => FileKind::Phase(FilePhase::Expand),
            "sync" => FileKind::Sync,
            "backfill" => FileKind::Phase(FilePhase::Backfill),
            "check" => FileKind::Phase(FilePhase::Check),
            "contract" => FileKind::Phase(FilePhase::Contract),
            _ => return None,
        };
        if digits && titled { Some(Self { version: version.parse().ok()?, kind, title }) } else { None }
    }
}

/// A file's text, and problems in it by byte offset.
pub(crate) struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(crate) fn of(file: &'a RawFile) -> Self {
        Self { name: &file.name, text: &file.text }
    }

    /// The problems of a text that does not parse.
    pub(crate) fn not_parsed(&self, why: tree::NotParsed) -> Vec<Problem> {
        match why {
            tree::NotParsed::TooLarge => {
                vec![self.at(0, Code::NotSql, "the file is too large to be parsed", "split it")]
            }
            tree::NotParsed::Errors(at) => {
                let remedy = "check it with psql on a scratch database";
                let at: BTreeSet<usize> = at.into_iter().take(20).collect();
                let found = |at| self.at(at, Code::NotSql, "PostgreSQL's grammar does not take this", remedy);
                at.into_iter().map(found).collect()
            }
        }
    }

    /// Line and column of a byte, from 1.
    pub(crate) fn place(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    pub(crate) fn at(&self, offset: usize, code: Code, message: &str, remedy: &str) -> Problem {
        let (line, column) = self.place(offset);
        Problem { line, column, ..problem(code, &shown(self.name), message, remedy) }
    }

    pub(crate) fn at_node(&self, node: &SyntaxNode, code: Code, message: &str, remedy: &str) -> Problem {
        self.at(start(node), code, message, remedy)
    }
}

/// Where a node's first token stands; comments in front of a statement belong to its node.
pub(crate) fn start(node: &SyntaxNode) -> usize {
    let first = tree::tokens(node).find(|token| !tree::is_trivia(token));
    first.map_or_else(|| node.text_range().start(), |token| token.text_range().start()).into()
}

/// A table's name with `public` where the file names no schema; steps run with `search_path = public`.
pub(crate) fn table_name(parts: &[String]) -> Option<TableName> {
    match parts {
        [table] => Some(TableName { schema: "public".to_owned(), table: table.clone() }),
        [schema, table] => Some(TableName { schema: schema.clone(), table: table.clone() }),
        _ => None,
    }
}

/// The header of a backfill, `-- tidegate: key=id batch=1000`, which must be the file's first line.
fn backfill_header(text: &str) -> Option<(String, u32)> {
    let rest = text.lines().next()?.strip_prefix("--")?.trim().strip_prefix("tidegate:")?;
    let (mut key, mut batch) = (None, None);
    for word in rest.split_whitespace() {
        match word.split_once('=')? {
            ("key", value) if key.is_none() && is_plain_name(value) => key = Some(value.to_owned()),
            ("batch", value) if batch.is_none() => batch = value.parse().ok(),
            _ => return None,
        }
    }
    Some((key?, batch.filter(|batch| (1..=rules::LARGEST_BATCH).contains(batch))?))
}

pub(crate) fn is_plain_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn backfill_plan(text: &str, table: TableName) -> Option<BackfillPlan> {
    backfill_header(text).map(|(key, batch)| BackfillPlan { table, key, batch })
}
