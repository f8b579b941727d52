//! Which statement has a place in a file of which phase.
//!
//! Called by [`super::plan`] for each file that parses. A statement kind that is not listed is refused: a list of what
//! is allowed fails closed when the grammar grows.

use squawk_syntax::{SyntaxKind, SyntaxNode};
use tidegate_model::{
    schema::{BackfillPlan, FilePhase},
    spec::{Code, Problem},
};

use super::{Text, backfill_header, backfill_plan, table_name};
use crate::tree;

/// Most rows in one backfill batch.
pub(super) const LARGEST_BATCH: u32 = 100_000;

/// Judges the statements of a file; answers the backfill's plan if the file is one.
pub(super) fn judge(
    text: &Text<'_>,
    phase: FilePhase,
    statements: &[SyntaxNode],
) -> Result<Option<BackfillPlan>, Vec<Problem>> {
    if statements.is_empty() {
        let remedy = "write its statements, or remove the file";
        return Err(vec![text.at(0, Code::WrongPhase, "the file has no statement", remedy)]);
    }
    let mut problems: Vec<Problem> = statements.iter().filter_map(|node| never(text, node)).collect();
    let mut plan = None;
    if problems.is_empty() {
        match phase {
            FilePhase::Expand => problems.extend(statements.iter().flat_map(|node| expand(text, node))),
            FilePhase::Contract => problems.extend(statements.iter().flat_map(|node| contract(text, node))),
            FilePhase::Check => problems.extend(check(text, statements)),
            FilePhase::Backfill => match backfill(text, statements) {
                Ok(found) => plan = Some(found),
                Err(found) => problems.extend(found),
            },
        }
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// What no file may have: its transaction is ours, and so are its settings.
fn never(text: &Text<'_>, node: &SyntaxNode) -> Option<Problem> {
    let problem = |message, remedy| Some(text.at_node(node, Code::WrongPhase, message, remedy));
    match node.kind() {
        SyntaxKind::BEGIN
        | SyntaxKind::COMMIT_TRANSACTION
        | SyntaxKind::COMMIT_PREPARED
        | SyntaxKind::ROLLBACK_TRANSACTION
        | SyntaxKind::ROLLBACK_TO_SAVEPOINT
        | SyntaxKind::ROLLBACK_PREPARED
        | SyntaxKind::SAVEPOINT_CREATE
        | SyntaxKind::RELEASE_SAVEPOINT
        | SyntaxKind::PREPARE_TRANSACTION
        | SyntaxKind::SET_TRANSACTION => problem(
            "a migration file controls no transaction",
            "remove it: each file runs in one transaction",
        ),
        SyntaxKind::SET | SyntaxKind::RESET | SyntaxKind::SET_ROLE | SyntaxKind::SET_SESSION_AUTH => problem(
            "a migration file changes no setting",
            "remove it: search_path is public, and the time limits come from the daemon's configuration",
        ),
        _ if !transactional(node) => problem(
            "the statement cannot run in a transaction, and this version runs every file in one",
            "run it by hand before the release, or leave out CONCURRENTLY while the table is small",
        ),
        _ => None,
    }
}

/// False for what PostgreSQL refuses inside a transaction block.
fn transactional(node: &SyntaxNode) -> bool {
    let concurrently = node.descendants().any(|part| tree::has_token(&part, SyntaxKind::CONCURRENTLY_KW));
    let outside = matches!(
        node.kind(),
        SyntaxKind::VACUUM
            | SyntaxKind::CREATE_DATABASE
            | SyntaxKind::DROP_DATABASE
            | SyntaxKind::CREATE_TABLESPACE
            | SyntaxKind::DROP_TABLESPACE
            | SyntaxKind::ALTER_SYSTEM
    );
    !concurrently && !outside
}

fn expand(text: &Text<'_>, node: &SyntaxNode) -> Vec<Problem> {
    let problem = |node: &SyntaxNode, message, remedy| text.at_node(node, Code::WrongPhase, message, remedy);
    match node.kind() {
        SyntaxKind::CREATE_TABLE | SyntaxKind::CREATE_FUNCTION | SyntaxKind::CREATE_TRIGGER => {
            replaced(text, node).into_iter().collect()
        }
        SyntaxKind::CREATE_INDEX if tree::child(node, SyntaxKind::INDEX).is_none() => {
            vec![problem(node, "the index has no name", "name it, so that the catalog can be asked for it")]
        }
        SyntaxKind::CREATE_INDEX
        | SyntaxKind::CREATE_TYPE
        | SyntaxKind::CREATE_SEQUENCE
        | SyntaxKind::CREATE_VIEW
        | SyntaxKind::COMMENT_ON
        | SyntaxKind::GRANT => replaced(text, node).into_iter().collect(),
        SyntaxKind::ALTER_TABLE => {
            node.children().filter_map(|action| expand_action(text, &action)).collect()
        }
        kind if is_data(kind) => vec![problem(
            node,
            "an expand file changes no rows: the table's lock would be held for as long as that takes",
            "move it to a backfill file, which runs in batches",
        )],
        kind if removes(kind) => vec![problem(
            node,
            "an expand file removes nothing: the serving revision may need it",
            "move it to a contract file",
        )],
        _ => vec![problem(
            node,
            "the statement has no place in an expand file",
            "expand adds columns, tables, functions, triggers, indexes, types, sequences, views, comments and grants",
        )],
    }
}

/// `OR REPLACE` and `IF NOT EXISTS` hide that the database is not in the expected state.
fn replaced(text: &Text<'_>, node: &SyntaxNode) -> Option<Problem> {
    let hides = |kind| matches!(kind, SyntaxKind::OR_REPLACE | SyntaxKind::IF_NOT_EXISTS);
    node.children().find(|child| hides(child.kind())).map(|child| {
        let message = "OR REPLACE and IF NOT EXISTS hide that the object is there already, and whose it is";
        text.at_node(&child, Code::WrongPhase, message, "leave it out: a file is applied once")
    })
}

fn expand_action(text: &Text<'_>, action: &SyntaxNode) -> Option<Problem> {
    let problem = |message, remedy| Some(text.at_node(action, Code::WrongPhase, message, remedy));
    match action.kind() {
        SyntaxKind::TABLE_RELATION_NAME | SyntaxKind::TABLE_NAME_REF => None,
        SyntaxKind::ADD_COLUMN | SyntaxKind::ADD_CONSTRAINT => replaced(text, action),
        SyntaxKind::ALTER_COLUMN
            if action
                .children()
                .any(|what| matches!(what.kind(), SyntaxKind::SET_DEFAULT | SyntaxKind::DROP_NOT_NULL)) =>
        {
            None
        }
        SyntaxKind::DROP_COLUMN | SyntaxKind::DROP_CONSTRAINT => problem(
            "an expand file removes nothing: the serving revision may need it",
            "move it to a contract file",
        ),
        SyntaxKind::RENAME_COLUMN | SyntaxKind::TABLE_RENAME_TO | SyntaxKind::RENAME_CONSTRAINT => problem(
            "a rename breaks the revision that knows the old name",
            "add the new name, keep both in step with a trigger, and drop the old one in a contract file",
        ),
        _ => problem(
            "the change of the table has no place in an expand file",
            "expand adds columns and constraints, sets defaults and drops NOT NULL",
        ),
    }
}

fn contract(text: &Text<'_>, node: &SyntaxNode) -> Vec<Problem> {
    let mut problems: Vec<Problem> = node
        .descendants()
        .filter(|part| part.kind() == SyntaxKind::CASCADE)
        .map(|part| {
            let message = "CASCADE removes what the file does not name";
            text.at_node(
                &part,
                Code::WrongPhase,
                message,
                "name each object, so that its readers can be asked for",
            )
        })
        .collect();
    match node.kind() {
        SyntaxKind::DROP_TABLE
        | SyntaxKind::DROP_FUNCTION
        | SyntaxKind::DROP_TRIGGER
        | SyntaxKind::DROP_INDEX => {}
        SyntaxKind::ALTER_TABLE => {
            problems.extend(node.children().filter_map(|action| contract_action(text, &action)));
        }
        _ => problems.push(text.at_node(
            node,
            Code::WrongPhase,
            "the statement has no place in a contract file",
            "contract drops tables, functions, triggers, indexes, columns and constraints, and nothing else",
        )),
    }
    problems
}

fn contract_action(text: &Text<'_>, action: &SyntaxNode) -> Option<Problem> {
    match action.kind() {
        SyntaxKind::TABLE_RELATION_NAME
        | SyntaxKind::TABLE_NAME_REF
        | SyntaxKind::DROP_COLUMN
        | SyntaxKind::DROP_CONSTRAINT => None,
        _ => Some(text.at_node(
            action,
            Code::WrongPhase,
            "a contract file only drops",
            "of ALTER TABLE it may have DROP COLUMN and DROP CONSTRAINT",
        )),
    }
}

fn check(text: &Text<'_>, statements: &[SyntaxNode]) -> Vec<Problem> {
    let remedy = "write one SELECT that returns one number: the rows in which old and new form disagree";
    let problem =
        |node: &SyntaxNode| vec![text.at_node(node, Code::BadCheck, "a check is one SELECT", remedy)];
    match statements {
        [only] if only.kind() == SyntaxKind::SELECT => {
            let writes =
                only.descendants().find(|node| is_data(node.kind()) && node.kind() != SyntaxKind::SELECT);
            let takes = tree::tokens(only).any(|token| token.kind() == SyntaxKind::POSITIONAL_PARAM);
            match writes {
                Some(node) => problem(&node),
                None if takes => problem(only),
                None => Vec::new(),
            }
        }
        [only] => problem(only),
        [_, second, ..] => problem(second),
        [] => Vec::new(),
    }
}

fn backfill(text: &Text<'_>, statements: &[SyntaxNode]) -> Result<BackfillPlan, Vec<Problem>> {
    let remedy =
        "write one UPDATE ... WHERE key > $1 AND key <= $2 under the line `-- tidegate: key=id batch=1000`";
    let bad = |at, message| text.at(at, Code::BadBackfill, message, remedy);
    let mut problems = Vec::new();
    let header = backfill_header(text.text);
    if header.is_none() {
        problems.push(bad(0, "the first line does not name key and batch (1 to 100000)"));
    }
    let update = match statements {
        [only] if only.kind() == SyntaxKind::UPDATE => only,
        [only] => {
            problems.push(bad(super::start(only), "a backfill is one UPDATE"));
            return Err(problems);
        }
        [_, second, ..] => {
            problems.push(bad(super::start(second), "a backfill is one UPDATE"));
            return Err(problems);
        }
        [] => return Err(problems),
    };
    let table = tree::child(update, SyntaxKind::RELATION_NAME)
        .and_then(|name| tree::below(&name, SyntaxKind::RELATION_NAME_REF))
        .and_then(|name| table_name(&tree::dotted(&name)));
    let bounded = header.as_ref().is_none_or(|(key, _)| {
        bound(update, key, SyntaxKind::R_ANGLE, "$1") && bound(update, key, SyntaxKind::LTEQ, "$2")
    });
    let others = tree::tokens(update)
        .filter(|token| token.kind() == SyntaxKind::POSITIONAL_PARAM)
        .find(|token| !matches!(token.text(), "$1" | "$2"));
    if !bounded {
        problems.push(bad(super::start(update), "the WHERE does not have key > $1 AND key <= $2"));
    }
    if let Some(token) = others {
        problems.push(bad(token.text_range().start().into(), "a backfill has only $1 and $2"));
    }
    if update.descendants().skip(1).any(|node| is_data(node.kind()) && node.kind() != SyntaxKind::SELECT) {
        problems.push(bad(super::start(update), "a backfill changes rows of one table only"));
    }
    let plan = table.and_then(|table| backfill_plan(text.text, table));
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        Some(_) | None => Err(problems),
    }
}

/// True if `key OPERATOR parameter` must hold for every row: it stands in the WHERE, below nothing but AND and
/// brackets.
fn bound(update: &SyntaxNode, key: &str, operator: SyntaxKind, parameter: &str) -> bool {
    let Some(wanted) = tree::child(update, SyntaxKind::WHERE_CLAUSE) else { return false };
    wanted.descendants().filter(|node| node.kind() == SyntaxKind::BIN_EXPR).any(|node| {
        let sides: Vec<SyntaxNode> = node.children().collect();
        let compares = tree::has_operator(&node, operator);
        let named =
            sides.first().is_some_and(|side| tree::dotted(side).last().is_some_and(|name| name == key));
        let given = sides.last().is_some_and(|side| side.text().to_string().trim() == parameter);
        let always = node.ancestors().skip(1).take_while(|up| *up != wanted).all(|up| match up.kind() {
            SyntaxKind::PAREN_EXPR => true,
            SyntaxKind::BIN_EXPR => tree::has_operator(&up, SyntaxKind::AND_KW),
            _ => false,
        });
        compares && named && given && always
    })
}

/// Statements that read or change rows, or may.
fn is_data(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::INSERT
            | SyntaxKind::UPDATE
            | SyntaxKind::DELETE
            | SyntaxKind::MERGE
            | SyntaxKind::COPY
            | SyntaxKind::SELECT
            | SyntaxKind::SELECT_INTO
            | SyntaxKind::CREATE_TABLE_AS
            | SyntaxKind::TRUNCATE
            | SyntaxKind::DO
            | SyntaxKind::CALL
            | SyntaxKind::EXECUTE
    )
}

fn removes(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::DROP_TABLE
            | SyntaxKind::DROP_FUNCTION
            | SyntaxKind::DROP_TRIGGER
            | SyntaxKind::DROP_INDEX
            | SyntaxKind::DROP_VIEW
            | SyntaxKind::DROP_TYPE
            | SyntaxKind::DROP_SEQUENCE
            | SyntaxKind::DROP_SCHEMA
            | SyntaxKind::DROP_PROCEDURE
    )
}
