//! Does a statement name what contract removes?
//!
//! Called by [`crate::evidence`] with the normalised text of each statement (`$n` where constants were) and what the
//! catalog knows. Pure: no database, no clock. The question decides whether a column is destroyed, so every doubt
//! counts as a reader: an occurrence of the name is harmless only where the tree proves that it is something else
//! (another table's column, an alias, a function), and text that cannot be read or parsed is [`Mention::Unreadable`].

mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use squawk_syntax::{SyntaxKind, SyntaxNode, SyntaxToken};
use tidegate_model::schema::{Object, TableName};

use crate::tree;
use scope::{Known, Scope, is_block};

/// What the server puts in place of a text that the reader may not see.
pub(crate) const HIDDEN_TEXT: &str = "<insufficient privilege>";

/// Whether a statement names the old form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// It does, or may: how.
    Names(&'static str),
    /// It provably does not.
    DoesNot,
    /// It cannot be told: why. Closes the gate.
    Unreadable(&'static str),
}

/// What the catalog of the target database knows, as far as the question needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Columns of the user's tables and views.
    pub columns: BTreeMap<TableName, BTreeSet<String>>,
    /// Partitions and heirs of the tables in question, and their parents: they show the same column.
    pub kin: BTreeSet<TableName>,
    /// Views, materialised ones included, that rest on the old form, directly or through another view.
    pub views: BTreeSet<TableName>,
    /// Functions and procedures whose body names the old form (schema and name): calling one is reading it.
    pub functions: BTreeSet<(String, String)>,
}

/// Reads statements for one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub(crate) catalog: Catalog,
    /// Removed columns by name, each with the tables that have it.
    columns: BTreeMap<String, BTreeSet<TableName>>,
    /// Tables that are removed whole.
    tables: BTreeSet<TableName>,
    /// Functions that are removed or whose body names the old form.
    functions: BTreeSet<String>,
}

impl Reader {
    /// A reader for the old form of a change.
    pub fn new<'a>(old_form: impl IntoIterator<Item = &'a Object>, catalog: Catalog) -> Self {
        let mut columns: BTreeMap<String, BTreeSet<TableName>> = BTreeMap::new();
        let mut tables = BTreeSet::new();
        let mut functions: BTreeSet<String> =
            catalog.functions.iter().map(|(_, name)| name.clone()).collect();
        for object in old_form {
            match object {
                Object::Column { table, column } => {
                    let owners = columns.entry(column.clone()).or_default();
                    owners.insert(table.clone());
                    owners.extend(catalog.kin.iter().cloned());
                }
                Object::Table(table) => {
                    tables.insert(table.clone());
                }
                Object::Function { schema: _, name } => {
                    functions.insert(name.clone());
                }
                // Statements cannot name these; what they serve is named by other objects.
                Object::Trigger { .. } | Object::Index { .. } => {}
            }
        }
        Self { catalog, columns, tables, functions }
    }

    /// What one statement does. `top_level` is false for statements that ran inside functions; their text may be a
    /// bare expression.
    ///
    /// Run many of these inside [`on_parser_stack`]: the parser needs more stack than a worker thread has.
    pub fn mention(&self, text: &str, top_level: bool) -> Mention {
        if text.trim() == HIDDEN_TEXT {
            return Mention::Unreadable("its text may not be read");
        }
        if text.trim().is_empty() {
            return Mention::Unreadable("it has no text");
        }
        match readable(text, top_level) {
            Ok(root) => self.search(&root),
            Err(tree::NotParsed::TooLarge) => Mention::Unreadable("it is too long to be parsed"),
            Err(tree::NotParsed::Errors(_)) => Mention::Unreadable("it cannot be parsed"),
        }
    }

    /// Functions whose bodies name one of these columns together with one of its tables: for the catalog read.
    pub(crate) fn body_names(&self, body: &str) -> bool {
        let words = Unparsed::new(body);
        let table = |table: &TableName| words.may_name(&table.table);
        self.tables.iter().any(table)
            || self.columns.iter().any(|(column, owners)| {
                owners.iter().any(table) && (words.may_name(column) || body.contains('*'))
            })
    }

    /// The same for a trigger function of such a table: its rows are `NEW` and `OLD`, so that the table's name need
    /// not occur.
    pub(crate) fn trigger_body_names(&self, body: &str) -> bool {
        let words = Unparsed::new(body);
        self.columns.keys().any(|column| words.may_name(column)) || self.body_names(body)
    }

    fn search(&self, root: &SyntaxNode) -> Mention {
        if tree::tokens(root)
            .any(|token| token.text().get(..2).is_some_and(|start| start.eq_ignore_ascii_case("u&")))
        {
            return Mention::Unreadable("it has a Unicode-escaped name");
        }
        for node in root.descendants() {
            if let Some(how) = self.whole_table(&node) {
                return Mention::Names(how);
            }
        }
        for token in tree::tokens(root).filter(|token| !tree::is_trivia(token) && tree::is_word(token)) {
            if let Some(how) = self.word(&token) {
                return Mention::Names(how);
            }
        }
        Mention::DoesNot
    }

    /// What a node says about a table as a whole: every column, without naming one.
    fn whole_table(&self, node: &SyntaxNode) -> Option<&'static str> {
        match node.kind() {
            SyntaxKind::TARGET if tree::has_token(node, SyntaxKind::STAR) => {
                self.sees_old_form(node).then_some("SELECT * or RETURNING *")
            }
            SyntaxKind::FIELD_EXPR if tree::has_token(node, SyntaxKind::STAR) => {
                self.qualified(node).then_some("table.*")
            }
            SyntaxKind::INSERT => {
                let lists = tree::child(node, SyntaxKind::COLUMN_TARGET_LIST).is_some()
                    || tree::child(node, SyntaxKind::DEFAULT_VALUES).is_some();
                (!lists && self.targets_old_form(node)).then_some("INSERT without a column list")
            }
            SyntaxKind::MERGE_INSERT => {
                let lists = tree::child(node, SyntaxKind::COLUMN_TARGET_LIST).is_some()
                    || tree::child(node, SyntaxKind::DEFAULT_VALUES).is_some();
                (!lists && self.sees_old_form(node)).then_some("INSERT without a column list")
            }
            SyntaxKind::TABLE => self.targets_old_form(node).then_some("TABLE"),
            SyntaxKind::COPY_TABLE => {
                let lists = tree::child(node, SyntaxKind::COLUMN_REF_LIST).is_some();
                (!lists && self.any_relation(node)).then_some("COPY without a column list")
            }
            SyntaxKind::LIKE_CLAUSE => self.any_relation(node).then_some("LIKE"),
            SyntaxKind::JOIN if tree::has_token(node, SyntaxKind::NATURAL_KW) => {
                self.sees_old_form(node).then_some("NATURAL JOIN")
            }
            SyntaxKind::FROM_ALIAS if tree::child(node, SyntaxKind::COLUMN_LIST).is_some() => node
                .parent()
                .is_some_and(|item| self.any_relation(&item))
                .then_some("columns renamed by position"),
            SyntaxKind::RELATION_NAME_REF | SyntaxKind::TABLE_NAME_REF => self.removed_or_view(node),
            SyntaxKind::DO | SyntaxKind::CREATE_FUNCTION | SyntaxKind::CREATE_PROCEDURE => self.body(node),
            _ => None,
        }
    }

    /// What one word says: a column, a row or a function.
    fn word(&self, token: &SyntaxToken) -> Option<&'static str> {
        let name = tree::fold(token.text());
        let node = token.parent()?;
        let called = || is_callee(&node) || node.ancestors().any(|up| up.kind() == SyntaxKind::CALL);
        if self.functions.contains(&name) && called() {
            return Some("calls a function that names it");
        }
        if let Some(owners) = self.columns.get(&name)
            && self.is_column(token, &node, owners)
        {
            return Some("names the column");
        }
        if node.kind() == SyntaxKind::NAME_REF && self.is_row(&node, &name) {
            return Some("uses the whole row");
        }
        None
    }

    /// True unless the word is proven to be something else than the column.
    fn is_column(&self, token: &SyntaxToken, node: &SyntaxNode, owners: &BTreeSet<TableName>) -> bool {
        let parent = node.parent();
        let parent_kind = parent.as_ref().map(SyntaxNode::kind);
        match node.kind() {
            // Names of tables and of output columns.
            SyntaxKind::TABLE_ALIAS | SyntaxKind::CTE_NAME => false,
            SyntaxKind::COLUMN_NAME
                if matches!(parent_kind, Some(SyntaxKind::AS_NAME | SyntaxKind::COLUMN_LIST)) =>
            {
                false
            }
            SyntaxKind::PATH_SEGMENT | SyntaxKind::PATH_SEGMENT_REF => {
                let holder = node.ancestors().skip(1).find(|up| !is_path(up.kind()));
                let of_column = holder
                    .as_ref()
                    .is_some_and(|holder| holder.kind() == SyntaxKind::QUALIFIED_COLUMN_NAME_REF);
                of_column && self.in_scope(node, owners)
            }
            SyntaxKind::NAME_REF => match (parent, parent_kind) {
                (Some(field), Some(SyntaxKind::FIELD_EXPR)) => {
                    let is_base = field.first_child().is_some_and(|first| first == *node);
                    // As a qualifier it is a table's or schema's name.
                    !is_base && !is_callee(node) && self.qualified_by(&field, owners)
                }
                // `address(c)` reads the column of row `c`: the row is found by itself.
                (Some(_), Some(SyntaxKind::CALL_EXPR)) if is_callee(node) => false,
                (_, _) => self.in_scope(node, owners),
            },
            // `SET address = ...` and the list of an INSERT are about the statement's own table.
            SyntaxKind::COLUMN_NAME_REF if parent_kind == Some(SyntaxKind::COLUMN_TARGET) => {
                let statement = node.ancestors().find(|up| scope::changes(up.kind()));
                statement.is_none_or(|statement| self.targets(&statement, owners))
            }
            _ => is_only_token(token, node) && self.in_scope(node, owners),
        }
    }

    /// True if the unqualified name may be a column of an owner: innermost block first, and a block whose other tables
    /// have such a column ends the search.
    fn in_scope(&self, node: &SyntaxNode, owners: &BTreeSet<TableName>) -> bool {
        let name = tree::dotted(node).pop().unwrap_or_default();
        let scope = Scope::of(node);
        if !scope.has_block() {
            return self.any_relation(&scope.statement());
        }
        for block in scope.blocks() {
            let mut shadowed = false;
            for relation in block {
                match relation.known() {
                    Known::Derived => {}
                    Known::Table(table) => {
                        if self.is_one_of(&table, owners) || self.is_view(&table) {
                            return true;
                        }
                        shadowed |= self.catalog_column(&table, &name);
                    }
                }
            }
            if shadowed {
                return false;
            }
        }
        false
    }

    fn catalog_column(&self, table: &[String], column: &str) -> bool {
        self.catalog.columns.iter().any(|(known, columns)| same(table, known) && columns.contains(column))
    }

    /// True if `qualifier.name` or `qualifier.*` is about the old form's tables.
    fn qualified(&self, field: &SyntaxNode) -> bool {
        let owners: BTreeSet<TableName> = self.columns.values().flatten().cloned().collect();
        self.qualified_by(field, &owners)
    }

    fn qualified_by(&self, field: &SyntaxNode, owners: &BTreeSet<TableName>) -> bool {
        let Some(base) = field.first_child() else { return true };
        let scope = Scope::of(field);
        if !matches!(base.kind(), SyntaxKind::NAME_REF | SyntaxKind::FIELD_EXPR) {
            // `(expression).name`: the expression is not resolved.
            return self.sees_old_form(field);
        }
        let qualifier = tree::dotted(&base);
        let mut found = false;
        for block in scope.blocks() {
            for relation in block.iter().filter(|relation| relation.answers_to(&qualifier)) {
                found = true;
                match relation.known() {
                    Known::Derived => {}
                    Known::Table(table) => {
                        if self.is_one_of(&table, owners) || self.is_view(&table) {
                            return true;
                        }
                    }
                }
            }
            if found {
                return false;
            }
        }
        // `excluded`, `old`, `new` and whatever else: the tables in sight decide.
        self.sees_old_form(field)
    }

    /// True if a bare name is a row of an owner: `to_jsonb(c)`, `SELECT c`, `c IS NULL`.
    fn is_row(&self, node: &SyntaxNode, name: &str) -> bool {
        if is_callee(node) || node.ancestors().any(|up| up.kind() == SyntaxKind::LOCKING_OF) {
            return false;
        }
        let is_base = node
            .parent()
            .filter(|up| up.kind() == SyntaxKind::FIELD_EXPR)
            .and_then(|field| field.first_child())
            .is_some_and(|first| first == *node);
        let is_field = node.parent().is_some_and(|up| up.kind() == SyntaxKind::FIELD_EXPR) && !is_base;
        if is_base || is_field {
            return false;
        }
        let qualifier = [name.to_owned()];
        let scope = Scope::of(node);
        scope.blocks().iter().flatten().filter(|relation| relation.answers_to(&qualifier)).any(|relation| {
            match relation.known() {
                Known::Derived => false,
                Known::Table(table) => self.is_owner(&table),
            }
        })
    }

    /// True if a table of the old form is in sight of a node.
    fn sees_old_form(&self, node: &SyntaxNode) -> bool {
        let scope = Scope::of(node);
        if !scope.has_block() {
            return self.any_relation(&scope.statement());
        }
        scope.blocks().iter().flatten().any(|relation| match relation.known() {
            Known::Derived => false,
            Known::Table(table) => self.is_owner(&table),
        })
    }

    /// True if the statement's own target (INSERT INTO, TABLE) is of the old form.
    fn targets_old_form(&self, block: &SyntaxNode) -> bool {
        scope::relations(block).first().is_some_and(|relation| match relation.known() {
            Known::Derived => false,
            Known::Table(table) => self.is_owner(&table),
        })
    }

    /// True if a statement changes one of these tables, or a view over them.
    fn targets(&self, statement: &SyntaxNode, owners: &BTreeSet<TableName>) -> bool {
        scope::relations(statement).first().is_none_or(|relation| match relation.known() {
            Known::Derived => false,
            Known::Table(table) => self.is_one_of(&table, owners) || self.is_view(&table),
        })
    }

    /// True if any table name at or below a node, outside nested queries, is of the old form.
    fn any_relation(&self, node: &SyntaxNode) -> bool {
        scope::table_names(node).iter().any(|name| self.is_owner(name))
    }

    fn removed_or_view(&self, node: &SyntaxNode) -> Option<&'static str> {
        match scope::named_by(node).known() {
            Known::Derived => None,
            Known::Table(table) if self.tables.iter().any(|removed| same(&table, removed)) => {
                Some("names the table")
            }
            Known::Table(table) if self.is_view(&table) => Some("uses a view over it"),
            Known::Table(_) => None,
        }
    }

    /// A body is text to the server: only its words are compared.
    fn body(&self, node: &SyntaxNode) -> Option<&'static str> {
        let text: String = tree::tokens(node).map(|token| format!("{} ", token.text())).collect();
        let words = Unparsed::new(&text);
        let column = self.columns.keys().any(|column| words.may_name(column));
        let owner = |table: &TableName| words.may_name(&table.table);
        let table = self.columns.values().flatten().any(owner) || self.tables.iter().any(owner);
        let dynamic = node.kind() == SyntaxKind::DO && words.may_name("execute");
        (column || table || dynamic).then_some("has a body that names it or runs text")
    }

    fn is_owner(&self, name: &[String]) -> bool {
        self.columns.values().any(|owners| self.is_one_of(name, owners))
            || self.tables.iter().any(|table| same(name, table))
            || self.is_view(name)
    }

    fn is_one_of(&self, name: &[String], tables: &BTreeSet<TableName>) -> bool {
        tables.iter().any(|table| same(name, table))
    }

    fn is_view(&self, name: &[String]) -> bool {
        self.catalog.views.iter().any(|view| same(name, view))
    }
}

/// Runs work that parses statements on a stack that is large enough; `None` if it could not be run.
pub fn on_parser_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    tree::on_large_stack(work)
}

/// Parses a statement as it is, then with constants for its parameters, then (inside functions) as an expression.
fn readable(text: &str, top_level: bool) -> Result<SyntaxNode, tree::NotParsed> {
    let first = match tree::parse(text) {
        Ok(root) => return Ok(root),
        Err(error) => error,
    };
    for constant in ["'1'", "1"] {
        if let Some(text) = tree::with_constants(text, constant)
            && let Ok(root) = tree::parse(&text)
        {
            return Ok(root);
        }
    }
    if !top_level && let Ok(root) = tree::parse(&format!("SELECT {text}")) {
        return Ok(root);
    }
    Err(first)
}

/// True if a written name may be this table: without a schema it may be.
fn same(name: &[String], table: &TableName) -> bool {
    match name {
        [written] => *written == table.table,
        [schema, written] => *schema == table.schema && *written == table.table,
        // `database.schema.table`, or nothing at all.
        [.., schema, written] => *schema == table.schema && *written == table.table,
        [] => false,
    }
}

fn is_path(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::PATH | SyntaxKind::PATH_REF)
}

/// True if a name is what is called: `f` in `f(x)` and in `schema.f(x)`.
fn is_callee(node: &SyntaxNode) -> bool {
    let callee = match node.parent() {
        Some(field) if field.kind() == SyntaxKind::FIELD_EXPR => {
            if field.first_child().is_some_and(|first| first == *node) {
                return false;
            }
            field
        }
        Some(_) | None => node.clone(),
    };
    callee.parent().is_some_and(|call| {
        call.kind() == SyntaxKind::CALL_EXPR && call.first_child().is_some_and(|first| first == callee)
    })
}

/// True for a name node, and false for a clause that happens to have a keyword of the same text.
fn is_only_token(token: &SyntaxToken, node: &SyntaxNode) -> bool {
    let mut own = tree::own_tokens(node);
    own.next().as_ref() == Some(token) && own.next().is_none() && !is_block(node.kind())
}

/// A text that is not parsed, the body of a function for example.
pub(crate) struct Unparsed {
    words: BTreeSet<String>,
    text: String,
}

impl Unparsed {
    pub(crate) fn new(text: &str) -> Self {
        Self { words: words(text), text: text.to_lowercase() }
    }

    /// True if it has this name as a word; or anywhere, if the name is no plain word (`"Ship To"`, `addr$1`).
    pub(crate) fn may_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { self.words.contains(&name) } else { self.text.contains(&name) }
    }
}

/// The words of a text that is not parsed, in lower case.
pub fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
