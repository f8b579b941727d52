//! What the statements of a file add to the catalog or take from it.
//!
//! Called after [`super::rules`] has let the statements pass, so only kinds that are allowed there are met. The lists
//! decide what the catalog must show after expand and before purge.

use squawk_syntax::{SyntaxKind, SyntaxNode};
use tidegate_model::schema::Object;

use super::table_name;
use crate::tree;

/// What an expand file adds, in order.
pub(super) fn added(statements: &[SyntaxNode]) -> Vec<Object> {
    statements.iter().flat_map(added_by).collect()
}

/// What a contract file removes, in order.
pub(super) fn removed(statements: &[SyntaxNode]) -> Vec<Object> {
    statements.iter().flat_map(removed_by).collect()
}

fn added_by(statement: &SyntaxNode) -> Vec<Object> {
    match statement.kind() {
        SyntaxKind::ALTER_TABLE => columns(statement, SyntaxKind::ADD_COLUMN, SyntaxKind::COLUMN_NAME),
        SyntaxKind::CREATE_TABLE => named(statement, SyntaxKind::TABLE_NAME)
            .and_then(|name| table_name(&name))
            .map(Object::Table)
            .into_iter()
            .collect(),
        SyntaxKind::CREATE_FUNCTION => {
            named(statement, SyntaxKind::FUNCTION_NAME).and_then(|name| function(&name)).into_iter().collect()
        }
        SyntaxKind::CREATE_TRIGGER => trigger(statement, SyntaxKind::TRIGGER).into_iter().collect(),
        SyntaxKind::CREATE_INDEX => index_of_table(statement).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn removed_by(statement: &SyntaxNode) -> Vec<Object> {
    let each = |kind: SyntaxKind| statement.descendants().filter(move |node| node.kind() == kind);
    match statement.kind() {
        SyntaxKind::ALTER_TABLE => columns(statement, SyntaxKind::DROP_COLUMN, SyntaxKind::COLUMN_NAME_REF),
        SyntaxKind::DROP_TABLE => each(SyntaxKind::TABLE_NAME_REF)
            .filter_map(|node| table_name(&tree::dotted(&node)))
            .map(Object::Table)
            .collect(),
        SyntaxKind::DROP_FUNCTION => {
            each(SyntaxKind::FUNCTION_NAME_REF).filter_map(|node| function(&tree::dotted(&node))).collect()
        }
        SyntaxKind::DROP_TRIGGER => trigger(statement, SyntaxKind::TRIGGER_REF).into_iter().collect(),
        SyntaxKind::DROP_INDEX => each(SyntaxKind::INDEX_REF)
            .filter_map(|node| table_name(&tree::dotted(&node)))
            .map(|index| Object::Index { schema: index.schema, name: index.table })
            .collect(),
        _ => Vec::new(),
    }
}

/// The columns that an ALTER TABLE adds or drops.
fn columns(statement: &SyntaxNode, action: SyntaxKind, name: SyntaxKind) -> Vec<Object> {
    let Some(table) = altered_table(statement) else { return Vec::new() };
    statement
        .children()
        .filter(|child| child.kind() == action)
        .filter_map(|action| tree::child(&action, name))
        .filter_map(|column| tree::dotted(&column).pop())
        .map(|column| Object::Column { table: table.clone(), column })
        .collect()
}

fn altered_table(statement: &SyntaxNode) -> Option<tidegate_model::schema::TableName> {
    table_name(&named(statement, SyntaxKind::TABLE_NAME_REF)?)
}

fn named(statement: &SyntaxNode, kind: SyntaxKind) -> Option<Vec<String>> {
    tree::below(statement, kind).map(|node| tree::dotted(&node))
}

fn function(name: &[String]) -> Option<Object> {
    table_name(name).map(|name| Object::Function { schema: name.schema, name: name.table })
}

fn trigger(statement: &SyntaxNode, name: SyntaxKind) -> Option<Object> {
    let name = named(statement, name)?.pop()?;
    let on = tree::child(statement, SyntaxKind::ON_RELATION)?;
    Some(Object::Trigger { table: table_name(&tree::dotted(&on.children().next()?))?, name })
}

/// A new index lives in its table's schema.
fn index_of_table(statement: &SyntaxNode) -> Option<Object> {
    let name = named(statement, SyntaxKind::INDEX)?.pop()?;
    let table = statement
        .descendants()
        .find(|node| matches!(node.kind(), SyntaxKind::RELATION_NAME_REF | SyntaxKind::TABLE_NAME_REF))?;
    Some(Object::Index { schema: table_name(&tree::dotted(&table))?.schema, name })
}
