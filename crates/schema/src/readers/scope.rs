//! Which tables a place in a statement can see.
//!
//! Called by the reader. A block is a query or a data-changing statement; a place sees the tables of its own block and
//! of those around it, except that the body of a WITH entry and the source of an INSERT do not see the tables of the
//! statement they belong to.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use crate::tree;

/// A table, view, WITH entry, function or subquery in a FROM list, or the target of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    /// Its written name, one part or more; empty for subqueries and functions.
    pub(super) name: Vec<String>,
    /// Its alias.
    alias: Option<String>,
    /// True for what has no table of its own: subqueries, functions.
    derived: bool,
    /// True for what a statement changes: that is always a table, whatever a WITH clause defines.
    target: bool,
    /// Where it stands: that decides which WITH clauses are in force.
    at: SyntaxNode,
}

impl Relation {
    /// What it is.
    pub(super) fn known(&self) -> Known {
        if self.derived || self.name.is_empty() {
            return Known::Derived;
        }
        match self.name.as_slice() {
            [single] if !self.target && is_with_entry(&self.at, single) => Known::Derived,
            name => Known::Table(name.to_vec()),
        }
    }

    /// True if `qualifier.column` may be about this one. An alias hides the table's name.
    pub(super) fn answers_to(&self, qualifier: &[String]) -> bool {
        match (&self.alias, qualifier) {
            (Some(alias), [written]) => alias == written,
            (Some(_), _) => false,
            (None, [written]) => self.name.last() == Some(written),
            (None, _) => {
                !qualifier.is_empty() && (self.name.ends_with(qualifier) || qualifier.ends_with(&self.name))
            }
        }
    }
}

/// What a written table name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A subquery, a function or an entry of a WITH clause.
    Derived,
    /// A table or view of that name.
    Table(Vec<String>),
}

/// What a place sees.
pub(super) struct Scope {
    node: SyntaxNode,
    blocks: Vec<Vec<Relation>>,
}

impl Scope {
    /// The scope of a node; its own block first, outer ones after it.
    pub(super) fn of(node: &SyntaxNode) -> Self {
        let mut blocks = Vec::new();
        let mut below: Option<SyntaxNode> = None;
        for up in node.ancestors() {
            if is_block(up.kind()) && !below.as_ref().is_some_and(|child| hides(&up, child)) {
                blocks.push(relations(&up));
            }
            below = Some(up);
        }
        Self { node: node.clone(), blocks }
    }

    /// Tables by block, innermost first.
    pub(super) fn blocks(&self) -> &[Vec<Relation>] {
        &self.blocks
    }

    /// False in statements that are no query: DDL, GRANT, COMMENT.
    pub(super) fn has_block(&self) -> bool {
        !self.blocks.is_empty() || self.node.ancestors().any(|up| is_block(up.kind()))
    }

    /// The statement around the node.
    pub(super) fn statement(&self) -> SyntaxNode {
        let statement = self.node.ancestors().take_while(|up| up.kind() != SyntaxKind::SOURCE_FILE).last();
        statement.unwrap_or_else(|| self.node.clone())
    }
}

/// True if a WITH clause around a node defines the name and is in force there: an entry does not see itself or later
/// ones unless the clause is recursive.
fn is_with_entry(node: &SyntaxNode, name: &str) -> bool {
    node.ancestors().filter(|up| is_block(up.kind())).any(|block| {
        let Some(with) = tree::child(&block, SyntaxKind::WITH_CLAUSE) else { return false };
        let recursive = tree::has_token(&with, SyntaxKind::RECURSIVE_KW);
        let entries: Vec<SyntaxNode> =
            with.children().filter(|entry| entry.kind() == SyntaxKind::WITH_TABLE).collect();
        let inside = entries.iter().position(|entry| node.ancestors().any(|up| up == *entry));
        entries.iter().enumerate().any(|(at, entry)| {
            let defines = tree::child(entry, SyntaxKind::CTE_NAME)
                .is_some_and(|written| tree::dotted(&written).first().is_some_and(|first| first == name));
            defines && (recursive || inside.is_none_or(|inside| at < inside))
        })
    })
}

/// True for queries and data-changing statements.
pub(super) fn is_block(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::SELECT
            | SyntaxKind::SELECT_INTO
            | SyntaxKind::COMPOUND_SELECT
            | SyntaxKind::PAREN_SELECT
            | SyntaxKind::VALUES
            | SyntaxKind::TABLE
            | SyntaxKind::INSERT
            | SyntaxKind::UPDATE
            | SyntaxKind::DELETE
            | SyntaxKind::MERGE
            | SyntaxKind::COPY
    )
}

/// True if a block's tables cannot be seen from that child of it.
fn hides(block: &SyntaxNode, child: &SyntaxNode) -> bool {
    let source = is_block(child.kind());
    child.kind() == SyntaxKind::WITH_CLAUSE || (block.kind() == SyntaxKind::INSERT && source)
}

/// The tables that a block names itself, its target first.
pub(super) fn relations(block: &SyntaxNode) -> Vec<Relation> {
    let mut found = Vec::new();
    for child in block.children() {
        collect(&child, &mut found);
    }
    let alias = block
        .children()
        .find(|child| matches!(child.kind(), SyntaxKind::OPTIONAL_AS_ALIAS | SyntaxKind::REQUIRED_AS_ALIAS));
    if changes(block.kind())
        && let Some(target) = found.first_mut()
    {
        target.target = true;
        target.alias = alias
            .and_then(|alias| tree::child(&alias, SyntaxKind::TABLE_ALIAS))
            .and_then(|alias| tree::dotted(&alias).pop());
    }
    found
}

/// True for statements that change the first table they name.
pub(super) fn changes(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::INSERT | SyntaxKind::UPDATE | SyntaxKind::DELETE | SyntaxKind::MERGE)
}

/// A table name that stands by itself, as a relation.
pub(super) fn named_by(node: &SyntaxNode) -> Relation {
    let holder = node.ancestors().skip(1).find(|up| up.kind() != SyntaxKind::RELATION_NAME);
    let may_be_entry =
        holder.is_some_and(|up| matches!(up.kind(), SyntaxKind::RELATION_FROM_ITEM | SyntaxKind::TABLE));
    Relation {
        name: tree::dotted(node),
        alias: None,
        derived: false,
        target: !may_be_entry,
        at: node.clone(),
    }
}

fn collect(node: &SyntaxNode, found: &mut Vec<Relation>) {
    match node.kind() {
        SyntaxKind::WITH_CLAUSE => {}
        SyntaxKind::RELATION_NAME_REF | SyntaxKind::TABLE_NAME_REF => {
            found.push(Relation {
                name: tree::dotted(node),
                alias: None,
                derived: false,
                target: false,
                at: node.clone(),
            });
        }
        SyntaxKind::PAREN_FROM_ITEM => paren_item(node, found),
        kind if is_from_item(kind) => found.push(from_item(node)),
        kind if is_block(kind) => {}
        _ => {
            for child in node.children() {
                collect(&child, found);
            }
        }
    }
}

fn is_from_item(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        SyntaxKind::EXPR_FROM_ITEM
            | SyntaxKind::FUNCTION_FROM_ITEM
            | SyntaxKind::GRAPH_TABLE_FROM_ITEM
            | SyntaxKind::JSON_TABLE_FROM_ITEM
            | SyntaxKind::RELATION_FROM_ITEM
            | SyntaxKind::ROWS_FROM_ITEM
            | SyntaxKind::XML_TABLE_FROM_ITEM
    )
}

/// `(SELECT ...) alias` is a relation of its own; `(a JOIN b ...) alias` shows its tables, under the alias too.
fn paren_item(node: &SyntaxNode, found: &mut Vec<Relation>) {
    if tree::child(node, SyntaxKind::PAREN_EXPR).is_none() {
        found.push(from_item(node));
        return;
    }
    let mut inner = Vec::new();
    for child in node.children() {
        collect(&child, &mut inner);
    }
    let alias = from_item(node).alias;
    if alias.is_some() {
        found.extend(inner.iter().map(|relation| Relation { alias: alias.clone(), ..relation.clone() }));
    }
    found.extend(inner);
}

fn from_item(node: &SyntaxNode) -> Relation {
    let alias = tree::child(node, SyntaxKind::FROM_ALIAS)
        .and_then(|alias| tree::child(&alias, SyntaxKind::TABLE_ALIAS))
        .and_then(|alias| tree::dotted(&alias).pop());
    let table = tree::child(node, SyntaxKind::RELATION_NAME_REF);
    Relation {
        name: table.as_ref().map(tree::dotted).unwrap_or_default(),
        alias,
        derived: node.kind() != SyntaxKind::RELATION_FROM_ITEM,
        target: false,
        at: node.clone(),
    }
}

/// Every written table name at or below a node, nested queries excepted.
pub(super) fn table_names(node: &SyntaxNode) -> Vec<Vec<String>> {
    fn walk(node: &SyntaxNode, top: bool, found: &mut Vec<Vec<String>>) {
        match node.kind() {
            SyntaxKind::RELATION_NAME_REF
            | SyntaxKind::TABLE_NAME_REF
            | SyntaxKind::RELATION_NAME
            | SyntaxKind::TABLE_RELATION_NAME => found.push(tree::dotted(node)),
            kind if is_block(kind) && !top => {}
            SyntaxKind::PATH_REF => {
                let parts = tree::dotted(node);
                // `COMMENT ON COLUMN schema.table.column` names a table in front of the column.
                if let Some((_, table)) = parts.split_last()
                    && !table.is_empty()
                {
                    found.push(table.to_vec());
                }
                found.push(parts);
            }
            _ => {
                for child in node.children() {
                    walk(&child, false, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(node, true, &mut found);
    found
}
