//! Constraints: on tables that are in use, and on columns that are being added.
//!
//! Called by [`super::table`]. A constraint is dangerous in three ways: the lock under which rows are read or an index
//! is built, rows that break it, and writes of the serving revision that it refuses.

use squawk_syntax::{
    SyntaxNode,
    ast::{AstNode, CallExpr, ColumnNameRef, Constraint, ConstraintOption, Expr, NameRef, PostfixExpr},
};
use tidegate_model::schema::TableName;

use super::{
    effect::Effect,
    known::Known,
    lock::{Cost, LockMode, PhaseClass},
    names,
    rule::Rule,
};
use crate::tree;

/// `ADD CONSTRAINT` on a table.
pub(super) fn add(found: &Constraint, table: &TableName, known: &mut Known) -> Effect {
    let node = found.syntax();
    let valid = !not_valid(found);
    let new_table = known.is_new_table(table);
    // An index that is unique already constrains every write.
    let constrained = matches!(found, Constraint::UniqueConstraint(unique) if unique.using_index().is_some());
    let own = new_table
        || constrained
        || columns(found).is_some_and(|all| all.iter().all(|c| known.is_new_column(table, c)));
    let mode = match found {
        Constraint::ForeignKeyConstraint(_) => LockMode::ShareRowExclusive,
        _ => LockMode::AccessExclusive,
    };
    let mut effect = Effect::new(what(found)).lock(known, Some(table.clone()), mode);
    effect = match found {
        Constraint::CheckConstraint(check) => {
            remember_not_null(check.expr().as_ref(), found, valid, table, known);
            scan(effect, valid && !new_table, node)
        }
        Constraint::ForeignKeyConstraint(foreign) => {
            let other = foreign.table_name_ref().and_then(|name| names::table(name.syntax()));
            scan(effect.lock(known, other, LockMode::ShareRowExclusive), valid && !new_table, node)
        }
        Constraint::NotNullConstraint(_) => scan(effect, valid && !new_table, node),
        Constraint::UniqueConstraint(unique) => {
            build(effect, unique.using_index().is_none(), new_table, node)
        }
        Constraint::PrimaryKeyConstraint(key) => {
            let effect = build(effect, key.using_index().is_none(), new_table, node);
            // The columns become NOT NULL, which is read from the rows unless it holds already.
            if key.using_index().is_some() { scan(effect, !new_table, node) } else { effect }
        }
        Constraint::ExcludeConstraint(_) => build(effect, true, new_table, node),
        // PostgreSQL's grammar has no such constraints of a table: the parser knows more than the server.
        Constraint::DefaultConstraint(_)
        | Constraint::GeneratedConstraint(_)
        | Constraint::NullConstraint(_)
        | Constraint::ReferencesConstraint(_) => effect,
    };
    // The serving revision leaves a new column NULL.
    if own && (new_table || !may_refuse_null(found)) {
        effect.class(if new_table { PhaseClass::Additive } else { PhaseClass::DataDependent })
    } else {
        effect.class(PhaseClass::Incompatible).rule(Rule::ConstrainsOldWrites, node)
    }
}

/// True of a constraint that a row without a value may break: NULL is what most expressions make of NULL, and a check takes that. Also
/// one that is NOT VALID is asked of each new row. Source: CREATE TABLE, `CHECK`: UNKNOWN succeeds.
fn may_refuse_null(found: &Constraint) -> bool {
    const SEES_NULL: [&str; 8] =
        ["is", "isnull", "notnull", "distinct", "coalesce", "case", "num_nulls", "num_nonnulls"];
    match found {
        Constraint::CheckConstraint(check) => check.expr().is_none_or(|expression| {
            tree::tokens(expression.syntax())
                .any(|token| SEES_NULL.iter().any(|word| token.text().eq_ignore_ascii_case(word)))
        }),
        Constraint::NotNullConstraint(_) | Constraint::PrimaryKeyConstraint(_) => true,
        Constraint::UniqueConstraint(_)
        | Constraint::ExcludeConstraint(_)
        | Constraint::ForeignKeyConstraint(_)
        | Constraint::ReferencesConstraint(_)
        | Constraint::DefaultConstraint(_)
        | Constraint::GeneratedConstraint(_)
        | Constraint::NullConstraint(_) => false,
    }
}

/// A constraint that comes with a new column. `filled` says that rows which are there get a value that is not NULL.
pub(super) fn on_new_column(
    effect: Effect,
    found: &Constraint,
    filled: bool,
    table: &TableName,
    known: &Known,
) -> Effect {
    let node = found.syntax();
    let used = !known.is_new_table(table);
    match found {
        // Adding a column with a check reads every row, although all are NULL.
        Constraint::CheckConstraint(_) => scan(effect, used, node),
        Constraint::ReferencesConstraint(references) => {
            let other = references.table().and_then(|name| names::table(name.syntax()));
            let effect = effect.lock(known, other, LockMode::ShareRowExclusive);
            // NULL refers to nothing; a default has to be looked for.
            scan(effect, used && filled, node)
        }
        Constraint::UniqueConstraint(_)
        | Constraint::PrimaryKeyConstraint(_)
        | Constraint::ExcludeConstraint(_) => build(effect, true, !used, node),
        Constraint::DefaultConstraint(_)
        | Constraint::GeneratedConstraint(_)
        | Constraint::NotNullConstraint(_)
        | Constraint::NullConstraint(_)
        | Constraint::ForeignKeyConstraint(_) => effect,
    }
}

fn scan(effect: Effect, reads: bool, node: &SyntaxNode) -> Effect {
    if reads {
        effect.cost(Cost::Scan).class(PhaseClass::DataDependent).rule(Rule::ScanUnderLock, node)
    } else {
        effect
    }
}

fn build(effect: Effect, builds: bool, new_table: bool, node: &SyntaxNode) -> Effect {
    if !builds || new_table {
        return effect.class(if new_table { PhaseClass::Additive } else { PhaseClass::DataDependent });
    }
    effect.cost(Cost::Build).class(PhaseClass::DataDependent).rule(Rule::ConstraintBuildsIndex, node)
}

fn not_valid(found: &Constraint) -> bool {
    found
        .constraint_options()
        .any(|option| matches!(option, ConstraintOption::NotValid(_) | ConstraintOption::NotEnforced(_)))
}

fn what(found: &Constraint) -> &'static str {
    match found {
        Constraint::CheckConstraint(_) => "ADD CHECK",
        Constraint::ForeignKeyConstraint(_) | Constraint::ReferencesConstraint(_) => "ADD FOREIGN KEY",
        Constraint::UniqueConstraint(_) => "ADD UNIQUE",
        Constraint::PrimaryKeyConstraint(_) => "ADD PRIMARY KEY",
        Constraint::ExcludeConstraint(_) => "ADD EXCLUDE",
        Constraint::NotNullConstraint(_) => "ADD NOT NULL",
        Constraint::DefaultConstraint(_)
        | Constraint::GeneratedConstraint(_)
        | Constraint::NullConstraint(_) => "ADD CONSTRAINT",
    }
}

/// The columns of the table that a constraint is about; `None` if the text does not tell.
fn columns(found: &Constraint) -> Option<Vec<String>> {
    let listed = |node: &SyntaxNode| {
        let all: Vec<String> = node
            .descendants()
            .filter_map(ColumnNameRef::cast)
            .filter_map(|c| names::last(c.syntax()))
            .collect();
        (!all.is_empty()).then_some(all)
    };
    match found {
        Constraint::CheckConstraint(check) => Some(mentioned(check.expr()?.syntax())),
        Constraint::ForeignKeyConstraint(foreign) => listed(foreign.from_columns()?.syntax()),
        Constraint::UniqueConstraint(unique) => listed(unique.index_parameters()?.column_list()?.syntax()),
        Constraint::PrimaryKeyConstraint(key) => listed(key.index_parameters()?.column_list()?.syntax()),
        Constraint::NotNullConstraint(not_null) => {
            Some(vec![names::last(not_null.column_name_ref()?.syntax())?])
        }
        Constraint::ExcludeConstraint(_)
        | Constraint::DefaultConstraint(_)
        | Constraint::GeneratedConstraint(_)
        | Constraint::NullConstraint(_)
        | Constraint::ReferencesConstraint(_) => None,
    }
}

/// Names in an expression that are not names of functions or types.
pub(super) fn mentioned(expression: &SyntaxNode) -> Vec<String> {
    let is_callee = |name: &NameRef| {
        name.syntax()
            .ancestors()
            .find_map(CallExpr::cast)
            .and_then(|call| call.expr())
            .is_some_and(|callee| callee.syntax().text_range().contains_range(name.syntax().text_range()))
    };
    expression
        .descendants()
        .filter_map(NameRef::cast)
        .filter(|name| !is_callee(name))
        .filter_map(|name| names::last(name.syntax()))
        .collect()
}

/// `CHECK (column IS NOT NULL)`: once it is validated, SET NOT NULL reads nothing.
fn remember_not_null(
    expression: Option<&Expr>,
    found: &Constraint,
    valid: bool,
    table: &TableName,
    known: &mut Known,
) {
    let mut inner = expression.cloned();
    while let Some(Expr::ParenExpr(paren)) = &inner {
        inner = paren.syntax().children().find_map(Expr::cast);
    }
    let Some(expression) =
        inner.filter(|e| PostfixExpr::can_cast(e.syntax().kind()) || is_not_null(e.syntax()))
    else {
        return;
    };
    let name = found.constraint_name().and_then(|name| names::last(name.syntax()));
    if let ([column], true, Some(name)) =
        (mentioned(expression.syntax()).as_slice(), is_not_null(expression.syntax()), name)
    {
        known.added_not_null_check(table, name, column.clone(), valid);
    }
}

/// True for `name IS NOT NULL` and nothing more.
fn is_not_null(expression: &SyntaxNode) -> bool {
    let words: Vec<String> = tree::tokens(expression)
        .filter(|token| !tree::is_trivia(token))
        .map(|token| token.text().to_lowercase())
        .collect();
    matches!(words.as_slice(), [_, is, not, null] if is == "is" && not == "not" && null == "null")
}
