//! What a sync file says.
//!
//! Called by [`super::generate`]. Takes a sync file apart and refuses what cannot be a mapping; it does not know the
//! catalog, so whether columns and functions exist is told by the server when the generated functions are created.

use std::collections::BTreeSet;

use squawk_syntax::{
    SyntaxKind, SyntaxNode,
    ast::{AstNode as _, CallExpr, Expr, Select, Target as TargetNode},
};
use tidegate_model::{
    schema::TableName,
    spec::{Code, Problem},
};

use super::of_file;
use crate::{
    source::RawFile,
    sql::{FileName, LARGEST_BATCH, Text, is_plain_name, start, table_name},
    tree,
};

/// The longest name of an object that is generated is this much longer than their common prefix: `_sync_update`.
const LONGEST_SUFFIX: usize = 12;
/// PostgreSQL cuts longer names off (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// A sync file, taken apart.
pub(super) struct Sync {
    pub(super) version: u64,
    pub(super) title: String,
    pub(super) table: TableName,
    /// What the names of everything generated begin with.
    pub(super) prefix: String,
    pub(super) key: String,
    pub(super) batch: u32,
    /// Most rows that may have no counterpart in the other form.
    pub(super) unmapped: Option<u64>,
    /// How the new form follows from the old one.
    pub(super) up: Mapping,
    /// How the old form follows from the new one.
    pub(super) down: Mapping,
}

/// One direction.
pub(super) struct Mapping {
    /// What is mapped to.
    pub(super) targets: Vec<Target>,
    /// Which rows can be mapped; all of them if nothing is said.
    pub(super) condition: Option<String>,
}

/// A column and the expression for it.
pub(super) struct Target {
    pub(super) column: String,
    pub(super) expression: String,
    /// The constant that it falls back to: such a column is never NULL.
    pub(super) fallback: Option<String>,
}

const HEADER: &str = "-- tidegate: key=id batch=1000 unmapped=0";
const SHAPE: &str = "write two SELECT expression AS column, ... FROM table: first the new columns from the old ones, then the old from the new";

/// Reads a sync file.
pub(super) fn read(file: &RawFile, name: &FileName<'_>) -> Result<Sync, Vec<Problem>> {
    let text = Text::of(file);
    let root = tree::parse(&file.text).map_err(|why| text.not_parsed(why))?;
    let Some(header) = header(&file.text) else {
        let remedy = format!("begin it with a line like `{HEADER}`; unmapped may be left out");
        return Err(vec![of_file(&file.name, "the first line does not name key and batch", &remedy)]);
    };
    let statements: Vec<SyntaxNode> =
        root.children().filter(|node| node.kind() != SyntaxKind::EMPTY_STMT).collect();
    let [first, second] = statements.as_slice() else {
        return Err(vec![of_file(&file.name, "a sync file is two SELECTs", SHAPE)]);
    };
    let (up, down) = (mapping(&text, first), mapping(&text, second));
    let (up, down) = match (up, down) {
        (Ok(up), Ok(down)) => (up, down),
        (up, down) => {
            return Err(up.err().into_iter().chain(down.err()).flatten().collect());
        }
    };
    let bad = |message: &str, remedy: &str| Err(vec![text.at_node(second, Code::BadSync, message, remedy)]);
    if up.0 != down.0 {
        return bad("the two SELECTs read different tables", "map between columns of one table");
    }
    let columns = |mapping: &Mapping| -> BTreeSet<String> {
        mapping.targets.iter().map(|target| target.column.clone()).collect()
    };
    if !columns(&up.1).is_disjoint(&columns(&down.1)) {
        return bad(
            "a column is mapped to by both SELECTs",
            "let each column belong to one of the two forms",
        );
    }
    let prefix = format!("{}_{}", up.0.table, name.title.replace('-', "_"));
    if prefix.len() + LONGEST_SUFFIX > LONGEST_NAME {
        let message = "the names of what is generated would be cut off by PostgreSQL";
        return Err(vec![of_file(&file.name, message, "give the file a shorter name")]);
    }
    let Header { key, batch, unmapped } = header;
    let (version, title) = (name.version, name.title.to_owned());
    Ok(Sync { version, title, table: up.0, prefix, key, batch, unmapped, up: up.1, down: down.1 })
}

struct Header {
    key: String,
    batch: u32,
    unmapped: Option<u64>,
}

fn header(text: &str) -> Option<Header> {
    let rest = text.lines().next()?.strip_prefix("--")?.trim().strip_prefix("tidegate:")?;
    let (mut key, mut batch, mut unmapped) = (None, None, None);
    for word in rest.split_whitespace() {
        match word.split_once('=')? {
            ("key", value) if key.is_none() && is_plain_name(value) => key = Some(value.to_owned()),
            ("batch", value) if batch.is_none() => batch = Some(value.parse().ok()?),
            ("unmapped", value) if unmapped.is_none() => unmapped = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    let batch = batch.filter(|batch| (1..=LARGEST_BATCH).contains(batch))?;
    Some(Header { key: key?, batch, unmapped })
}

/// One SELECT as a mapping, and the table that it reads.
fn mapping(text: &Text<'_>, node: &SyntaxNode) -> Result<(TableName, Mapping), Vec<Problem>> {
    let bad = |node: &SyntaxNode, message, remedy| vec![text.at_node(node, Code::BadSync, message, remedy)];
    let Some(select) = Select::cast(node.clone()).filter(is_plain) else {
        return Err(bad(node, "a mapping is one SELECT with FROM and at most a WHERE", SHAPE));
    };
    let Some((table, alias)) = from(&select) else {
        return Err(bad(node, "a mapping reads one table", SHAPE));
    };
    if let Some(part) = node.descendants().skip(1).find(reads_more) {
        let remedy =
            "a mapping may depend on the row's own columns alone, or the trigger could not keep it true";
        return Err(bad(&part, "a mapping reads more than its row", remedy));
    }
    if let Some(part) = node.descendants().find(|part| is_qualified(part, &alias)) {
        let remedy = "there is one table: leave its name out";
        return Err(bad(&part, "a mapping names a column with its table", remedy));
    }
    let mut targets = Vec::new();
    let mut problems = Vec::new();
    let list = select.select_clause().and_then(|clause| clause.target_list());
    for found in list.into_iter().flat_map(|list| list.targets()) {
        match target(&found) {
            Some(target) => targets.push(target),
            None => problems.extend(bad(found.syntax(), "a mapped column is `expression AS column`", SHAPE)),
        }
    }
    let names: BTreeSet<&str> = targets.iter().map(|target| target.column.as_str()).collect();
    if problems.is_empty() && (targets.is_empty() || names.len() < targets.len()) {
        problems.extend(bad(node, "a mapping names each of its columns once", SHAPE));
    }
    let condition = select.where_clause().and_then(|clause| clause.expr()).map(|expr| words(expr.syntax()));
    if !problems.is_empty() {
        return Err(problems);
    }
    // A row that the condition leaves out has no counterpart, so nothing can be promised for its columns.
    if condition.is_some() {
        targets.iter_mut().for_each(|target| target.fallback = None);
    }
    Ok((table, Mapping { targets, condition }))
}

/// Nothing but its list, FROM and WHERE.
fn is_plain(select: &Select) -> bool {
    let quantified = select.select_clause().is_some_and(|clause| clause.select_quantifier().is_some());
    let known = |node: &SyntaxNode| {
        matches!(node.kind(), SyntaxKind::SELECT_CLAUSE | SyntaxKind::FROM_CLAUSE | SyntaxKind::WHERE_CLAUSE)
    };
    !quantified && select.syntax().children().all(|child| known(&child))
}

/// The one table after FROM, and what it is called.
fn from(select: &Select) -> Option<(TableName, String)> {
    let mut items = select.from_clause()?.items();
    let (first, rest) = (items.next()?, items.next());
    let node = first.syntax();
    let is_relation = node.kind() == SyntaxKind::RELATION_FROM_ITEM;
    if rest.is_some() || !is_relation || tree::below(node, SyntaxKind::TABLESAMPLE_CLAUSE).is_some() {
        return None;
    }
    let table = table_name(&tree::dotted(&tree::child(node, SyntaxKind::RELATION_NAME_REF)?))?;
    let alias = node.children().find(|child| child.kind() != SyntaxKind::RELATION_NAME_REF);
    let alias = match alias {
        Some(alias) => tree::dotted(&alias).pop()?,
        None => table.table.clone(),
    };
    let fine = [&table.schema, &table.table, &alias].into_iter().all(|name| can_be_quoted(name));
    fine.then_some((table, alias))
}

/// What would make the result depend on anything else than the row, as far as the text tells.
fn reads_more(node: &SyntaxNode) -> bool {
    matches!(
        node.kind(),
        SyntaxKind::SELECT
            | SyntaxKind::COMPOUND_SELECT
            | SyntaxKind::PAREN_SELECT
            | SyntaxKind::TABLE
            | SyntaxKind::VALUES
            | SyntaxKind::OVER_CLAUSE
            | SyntaxKind::FILTER_CLAUSE
    ) || tree::own_tokens(node).any(|token| token.kind() == SyntaxKind::POSITIONAL_PARAM)
}

/// `customers.address`: the functions that are generated have columns as parameters, and no table.
fn is_qualified(node: &SyntaxNode, alias: &str) -> bool {
    node.kind() == SyntaxKind::FIELD_EXPR
        && node
            .children()
            .next()
            .is_some_and(|base| base.kind() == SyntaxKind::NAME_REF && tree::dotted(&base) == [alias])
}

fn target(node: &TargetNode) -> Option<Target> {
    let column = tree::dotted(node.as_name()?.name()?.syntax()).pop().filter(|name| can_be_quoted(name))?;
    let expression = node.expr()?;
    let fallback = fallback(&expression);
    Some(Target { column, expression: words(expression.syntax()), fallback })
}

/// The constant at the end of an outermost `coalesce(...)`.
fn fallback(expression: &Expr) -> Option<String> {
    let call = CallExpr::cast(expression.syntax().clone())?;
    if tree::dotted(call.expr()?.syntax()) != ["coalesce"] {
        return None;
    }
    let last = call.arg_list()?.args().last()?;
    let constant = tree::below(last.syntax(), SyntaxKind::LITERAL)?;
    let is_null = tree::tokens(&constant).any(|token| token.kind() == SyntaxKind::NULL_KW);
    (words(&constant) == words(last.syntax()) && !is_null).then(|| words(&constant))
}

/// A node's text from its first token on: comments in front of it belong to it.
fn words(node: &SyntaxNode) -> String {
    let skipped = start(node) - usize::from(node.text_range().start());
    node.text().to_string().get(skipped..).unwrap_or_default().trim_end().to_owned()
}

/// Names stand inside of dollar quotes too.
fn can_be_quoted(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(|c| c == '$' || c.is_control())
}
