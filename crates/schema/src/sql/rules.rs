//! Which statement has a place in a file of which phase.
//!
//! Called by [`super::plan`] for each file in which [`crate::classify`] found nothing that refuses it. A statement kind
//! that is not listed is refused: a list of what is allowed fails closed when the grammar grows.

use squawk_syntax::{SyntaxKind, SyntaxNode};
use tidegate_model::{
    schema::{BackfillPlan, FilePhase},
    spec::{Code, Problem},
};

use super::{Text, backfill_header, backfill_plan, table_name};
use crate::tree;

/// Most rows in one backfill batch.
pub(crate) const LARGEST_BATCH: u32 = 100_000;

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
    let mut problems = Vec::new();
    let mut plan = None;
    match phase {
        // Whatever is wrong with an expand file the classifier has told.
        FilePhase::Expand => {}
        FilePhase::Contract => problems.extend(statements.iter().flat_map(|node| contract(text, node))),
        FilePhase::Check => problems.extend(check(text, statements)),
        FilePhase::Backfill => match backfill(text, statements) {
            Ok(found) => plan = Some(found),
            Err(found) => problems.extend(found),
        },
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

fn contract(text: &Text<'_>, node: &SyntaxNode) -> Vec<Problem> {
    match node.kind() {
        SyntaxKind::DROP_TABLE
        | SyntaxKind::DROP_FUNCTION
        | SyntaxKind::DROP_TRIGGER
        | SyntaxKind::DROP_INDEX => Vec::new(),
        SyntaxKind::ALTER_TABLE => {
            node.children().filter_map(|action| contract_action(text, &action)).collect()
        }
        _ => vec![text.at_node(
            node,
            Code::WrongPhase,
            "the statement has no place in a contract file",
            "contract drops tables, functions, triggers, indexes, columns and constraints, and nothing else",
        )],
    }
}

fn contract_action(text: &Text<'_>, action: &SyntaxNode) -> Option<Problem> {
    match action.kind() {
        SyntaxKind::TABLE_RELATION_NAME
        | SyntaxKind::TABLE_NAME_REF
        | SyntaxKind::DROP_COLUMN
        | SyntaxKind::DROP_CONSTRAINT
        // Told by its own rule.
        | SyntaxKind::IF_EXISTS => None,
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
