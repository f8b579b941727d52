//! Names out of the syntax tree, folded as the server folds them.

use squawk_syntax::SyntaxNode;
use tidegate_model::schema::TableName;

use crate::tree;

/// A table's or index's name, with `public` where the text names no schema.
pub(super) fn table(node: &SyntaxNode) -> Option<TableName> {
    let inner = tree::below(node, squawk_syntax::SyntaxKind::TABLE_NAME_REF)
        .or_else(|| tree::below(node, squawk_syntax::SyntaxKind::RELATION_NAME_REF));
    crate::sql::table_name(&tree::dotted(inner.as_ref().unwrap_or(node)))
}

/// The last part of a name.
pub(super) fn last(node: &SyntaxNode) -> Option<String> {
    tree::dotted(node).pop()
}
