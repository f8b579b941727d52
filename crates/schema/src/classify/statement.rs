//! One statement of any kind.
//!
//! Called by [`super`] in the order of the change. A kind that is not listed is out of place: the list fails closed when
//! the grammar grows.

use squawk_syntax::{
    SyntaxKind, SyntaxNode,
    ast::{AstNode, CreateTable, CreateTrigger, LockMode as Asked, PartitionOf, ReferencesConstraint, Stmt},
};
use tidegate_model::schema::TableName;

use super::{
    effect::Effect,
    index,
    known::Known,
    lock::{Cost, LockMode, Locked, PhaseClass},
    names,
    rule::Rule,
    table,
};
use crate::tree;

/// What a statement does, given what the change made before it.
pub(super) fn classify(node: &SyntaxNode, known: &mut Known) -> Effect {
    let Some(statement) = Stmt::cast(node.clone()) else {
        return Effect::out_of_place(&leading_words(node));
    };
    let effect = match &statement {
        Stmt::AlterTable(alter) => table::alter(alter, known),
        Stmt::CreateTable(create) => create_table(create, known),
        Stmt::CreateIndex(create) => index::create(create, known),
        Stmt::DropIndex(drop) => index::drop(drop, known),
        Stmt::AlterIndex(alter) => index::alter(alter, known),
        Stmt::Reindex(reindex) => index::reindex(reindex, known),
        Stmt::CreateTrigger(create) => create_trigger(create, known),
        Stmt::CreateFunction(_)
        | Stmt::CreateProcedure(_)
        | Stmt::CreateAggregate(_)
        | Stmt::CreateType(_)
        | Stmt::CreateDomain(_)
        | Stmt::CreateSequence(_)
        | Stmt::CreateSchema(_)
        | Stmt::CreateExtension(_)
        | Stmt::Grant(_) => Effect::new(&leading_words(node)),
        Stmt::CommentOn(comment) => comment_on(comment, known),
        Stmt::CreateView(create) => {
            let effect = reads(Effect::new("CREATE VIEW"), node, known);
            let name = create.view().and_then(|view| names::table(view.syntax()));
            // A view that is replaced is locked as a table is.
            match create.or_replace() {
                Some(_) => effect.lock(known, name, LockMode::AccessExclusive),
                None => effect,
            }
        }
        Stmt::CreateMaterializedView(_) => {
            reads(Effect::new("CREATE MATERIALIZED VIEW"), node, known).cost(Cost::Scan)
        }
        Stmt::CreateStatistics(_) => {
            on_table(Effect::new("CREATE STATISTICS"), node, known, LockMode::ShareUpdateExclusive)
        }
        Stmt::Analyze(_) => {
            on_table(Effect::new("ANALYZE"), node, known, LockMode::ShareUpdateExclusive).cost(Cost::Scan)
        }
        Stmt::AlterType(alter) => alter_type(alter),
        Stmt::CreatePolicy(_) | Stmt::CreateRule(_) | Stmt::AlterPolicy(_) | Stmt::AlterTrigger(_) => {
            on_table(Effect::new(&leading_words(node)), node, known, LockMode::AccessExclusive)
                .class(PhaseClass::Incompatible)
                .rule(Rule::ChangesBehaviour, node)
        }
        Stmt::AlterFunction(_) | Stmt::AlterProcedure(_) | Stmt::AlterRoutine(_) => changes_behaviour(node),
        Stmt::AlterView(_) => {
            let view = tree::below(node, SyntaxKind::VIEW_REF).and_then(|view| names::table(&view));
            changes_behaviour(node).lock(known, view, LockMode::AccessExclusive)
        }
        // A new constraint is read from every column of the domain; the text does not name their tables.
        Stmt::AlterDomain(_) => changes_behaviour(node).lock(known, None, LockMode::Share),
        Stmt::Revoke(_)
        | Stmt::Reassign(_)
        | Stmt::AlterDefaultPrivileges(_)
        | Stmt::AlterRole(_)
        | Stmt::AlterUser(_) => {
            Effect::new(&leading_words(node)).class(PhaseClass::Incompatible).rule(Rule::TakesRights, node)
        }
        Stmt::Insert(_) | Stmt::Update(_) | Stmt::Delete(_) | Stmt::Merge(_) | Stmt::Copy(_) => {
            rows(&statement, known)
        }
        Stmt::CreateTableAs(_) | Stmt::SelectInto(_) => reads(Effect::new(&leading_words(node)), node, known)
            .cost(Cost::Rows)
            .rule(Rule::ChangesRows, node),
        Stmt::Truncate(_) => each_table(Effect::new("TRUNCATE"), node, known, LockMode::AccessExclusive)
            .cost(Cost::Rewrite)
            .class(PhaseClass::Destructive)
            .rule(Rule::ChangesRows, node),
        Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::Table(_)
        | Stmt::Values(_) => select(node, known),
        Stmt::Do(_)
        | Stmt::Call(_)
        | Stmt::Execute(_)
        | Stmt::Explain(_)
        | Stmt::Prepare(_)
        | Stmt::Load(_) => Effect::out_of_place(&leading_words(node)).rule(Rule::RunsCode, node),
        Stmt::Lock(lock) => {
            let mode = lock.lock_mode_clause().and_then(|clause| clause.lock_mode());
            each_table(
                Effect::out_of_place("LOCK"),
                node,
                known,
                mode.as_ref().map_or(LockMode::AccessExclusive, asked),
            )
        }
        Stmt::Vacuum(_) => {
            let full = tree::tokens(node).any(|token| token.kind() == SyntaxKind::FULL_KW);
            let (mode, cost) = if full {
                (LockMode::AccessExclusive, Cost::Rewrite)
            } else {
                (LockMode::ShareUpdateExclusive, Cost::Scan)
            };
            cannot_be_proven(each_table(Effect::new("VACUUM"), node, known, mode).cost(cost), node).rule_if(
                full,
                Rule::RewriteUnderLock,
                node,
            )
        }
        Stmt::Cluster(_) | Stmt::Repack(_) => {
            each_table(Effect::out_of_place(&leading_words(node)), node, known, LockMode::AccessExclusive)
                .cost(Cost::Rewrite)
                .rule(Rule::RewriteUnderLock, node)
        }
        Stmt::Refresh(refresh) => {
            let name = refresh.view_ref().and_then(|view| names::table(view.syntax()));
            let concurrently = refresh.concurrently_token().is_some();
            let mode = if concurrently { LockMode::Exclusive } else { LockMode::AccessExclusive };
            Effect::out_of_place("REFRESH MATERIALIZED VIEW").lock(known, name, mode).cost(Cost::Rewrite)
        }
        Stmt::CreateDatabase(_)
        | Stmt::DropDatabase(_)
        | Stmt::CreateTablespace(_)
        | Stmt::DropTablespace(_)
        | Stmt::AlterSystem(_)
        | Stmt::CreateSubscription(_)
        | Stmt::DropSubscription(_) => cannot_be_proven(Effect::out_of_place(&leading_words(node)), node),
        Stmt::Begin(_)
        | Stmt::Commit(_)
        | Stmt::Rollback(_)
        | Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::PrepareTransaction(_)
        | Stmt::SetTransaction(_) => {
            Effect::out_of_place(&leading_words(node)).rule(Rule::ControlsTransaction, node)
        }
        Stmt::Set(_)
        | Stmt::SetConstraints(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::Reset(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::Discard(_) => Effect::out_of_place(&leading_words(node)).rule(Rule::ChangesSettings, node),
        _ if removes(node) => remove(node, known),
        _ => Effect::out_of_place(&leading_words(node)),
    };
    cascade(hidden(effect, node), node)
}

fn changes_behaviour(node: &SyntaxNode) -> Effect {
    Effect::new(&leading_words(node)).class(PhaseClass::Incompatible).rule(Rule::ChangesBehaviour, node)
}

fn create_table(create: &CreateTable, known: &mut Known) -> Effect {
    let node = create.syntax();
    let mut effect = Effect::new("CREATE TABLE");
    let parts = node.descendants();
    for part in parts {
        let (name, mode) = if let Some(references) = ReferencesConstraint::cast(part.clone()) {
            (references.table(), LockMode::ShareRowExclusive)
        } else if let Some(parent) = PartitionOf::cast(part.clone()) {
            (parent.table_name_ref(), LockMode::AccessExclusive)
        } else if let Some(foreign) = squawk_syntax::ast::ForeignKeyConstraint::cast(part.clone()) {
            (foreign.table_name_ref(), LockMode::ShareRowExclusive)
        } else if part.kind() == SyntaxKind::INHERITS {
            (
                tree::below(&part, SyntaxKind::TABLE_NAME_REF).and_then(AstNode::cast),
                LockMode::ShareUpdateExclusive,
            )
        } else {
            continue;
        };
        let name = name.and_then(|name| names::table(name.syntax()));
        effect = effect.lock(known, name, mode);
    }
    if matches!(create.persistence(), Some(squawk_syntax::ast::Persistence::Temp(_))) {
        // It would be gone with the session.
        effect = Effect { expands: false, ..effect };
    }
    if let Some(name) = create.table_name().and_then(|name| names::table(name.syntax())) {
        known.made_table(name);
    }
    effect
}

fn create_trigger(create: &CreateTrigger, known: &Known) -> Effect {
    let on = create.on_relation().and_then(|on| names::table(on.syntax()));
    let effect = Effect::new("CREATE TRIGGER").lock(known, on, LockMode::ShareRowExclusive);
    match create.from_table() {
        Some(from) => effect.lock(known, names::table(from.syntax()), LockMode::ShareRowExclusive),
        None => effect,
    }
}

fn comment_on(comment: &squawk_syntax::ast::CommentOn, known: &Known) -> Effect {
    let effect = Effect::new("COMMENT ON");
    let Some(object) = comment.comment_object() else { return effect };
    let name = tree::dotted(object.syntax());
    // The name follows the word that says what it is: TABLE a.b, COLUMN a.b.c.
    let table = match name.split_first() {
        Some((what, table)) if what == "table" => crate::sql::table_name(table),
        Some((what, column)) if what == "column" => {
            column.split_last().and_then(|(_, table)| crate::sql::table_name(table))
        }
        Some(_) | None => return effect,
    };
    effect.lock(known, table, LockMode::ShareUpdateExclusive)
}

fn alter_type(alter: &squawk_syntax::ast::AlterType) -> Effect {
    use squawk_syntax::ast::AlterTypeAction as A;
    let node = alter.syntax();
    let effect = Effect::new("ALTER TYPE");
    match alter.action() {
        Some(A::AddValue(_)) => Effect::new("ALTER TYPE ADD VALUE").rule(Rule::EnumValueUnusable, node),
        Some(A::RenameValue(_) | A::RenameAttribute(_) | A::TypeRenameTo(_) | A::SetSchema(_)) => {
            effect.class(PhaseClass::Incompatible).rule(Rule::Renames, node)
        }
        Some(A::OwnerTo(_)) => effect.class(PhaseClass::Incompatible).rule(Rule::TakesRights, node),
        Some(A::AlterTypeAttributeActionList(_) | A::SetOptions(_)) | None => {
            effect.class(PhaseClass::Incompatible).rule(Rule::ChangesBehaviour, node)
        }
    }
}

/// Statements that change rows.
fn rows(statement: &Stmt, known: &Known) -> Effect {
    let node = statement.syntax();
    let what = leading_words(node);
    let target = target(statement);
    let new = target.as_ref().is_some_and(|table| known.is_new_table(table));
    let effect = Effect::new(&what).lock(known, target, LockMode::RowExclusive);
    let class = match statement {
        Stmt::Delete(_) | Stmt::Merge(_) => PhaseClass::Destructive,
        _ => PhaseClass::DataDependent,
    };
    if !new {
        return effect.cost(Cost::Rows).class(class).rule(Rule::ChangesRows, node);
    }
    // Rows for a table that the change makes are part of making it; where they come from is only read.
    let effect = written_inside(reads(effect, node, known), node, known);
    let cost = if effect.locks.is_empty() { Cost::Catalog } else { Cost::Scan };
    effect.cost(cost).rule_if(calls(node), Rule::RunsCode, node)
}

/// A query by itself adds nothing to the schema; what it calls or writes in its WITH may do anything.
fn select(node: &SyntaxNode, known: &Known) -> Effect {
    let effect = Effect { expands: false, ..Effect::new("SELECT") };
    let effect = written_inside(reads(effect, node, known), node, known);
    effect.cost(Cost::Scan).rule_if(calls(node), Rule::RunsCode, node)
}

/// Statements inside of another that change rows: `WITH gone AS (DELETE ...)`.
fn written_inside(effect: Effect, node: &SyntaxNode, known: &Known) -> Effect {
    let inner = node.descendants().skip(1).filter_map(Stmt::cast);
    inner.fold(effect, |mut effect, statement| {
        if matches!(statement, Stmt::Insert(_) | Stmt::Update(_) | Stmt::Delete(_) | Stmt::Merge(_)) {
            effect.join(Effect { what: effect.what.clone(), ..rows(&statement, known) });
        }
        effect
    })
}

fn target(statement: &Stmt) -> Option<TableName> {
    match statement {
        Stmt::Insert(insert) => names::table(insert.relation_name_ref()?.syntax()),
        Stmt::Update(update) => names::table(update.relation_name()?.syntax()),
        Stmt::Delete(delete) => names::table(delete.relation_name()?.syntax()),
        Stmt::Merge(merge) => names::table(merge.table_relation_name()?.syntax()),
        Stmt::Copy(copy) => names::table(copy.copy_table()?.syntax()),
        _ => None,
    }
}

/// Statements that only take something away, besides those with a grammar of their own.
fn remove(node: &SyntaxNode, known: &Known) -> Effect {
    let effect = Effect::new(&leading_words(node)).class(PhaseClass::Destructive).rule(Rule::Removes, node);
    match node.kind() {
        // Tables that it refers to, or that refer to it with CASCADE, are locked as well.
        SyntaxKind::DROP_TABLE => {
            let effect = each_table(effect, node, known, LockMode::AccessExclusive);
            let used = !effect.locks.is_empty();
            if used { effect.lock(known, None, LockMode::AccessExclusive) } else { effect }
        }
        SyntaxKind::DROP_TRIGGER | SyntaxKind::DROP_RULE | SyntaxKind::DROP_POLICY => {
            on_table(effect, node, known, LockMode::AccessExclusive)
        }
        SyntaxKind::DROP_VIEW | SyntaxKind::DROP_MATERIALIZED_VIEW => node
            .descendants()
            .filter(|part| part.kind() == SyntaxKind::VIEW_REF)
            .fold(effect, |effect, view| effect.lock(known, names::table(&view), LockMode::AccessExclusive)),
        SyntaxKind::DROP_SCHEMA | SyntaxKind::DROP_OWNED | SyntaxKind::DROP_EXTENSION => {
            effect.lock(known, None, LockMode::AccessExclusive)
        }
        _ => effect,
    }
}

/// The table that stands after ON or FROM.
fn on_table(effect: Effect, node: &SyntaxNode, known: &Known, mode: LockMode) -> Effect {
    match names_of_tables(node).into_iter().next() {
        Some(table) => effect.lock(known, Some(table), mode),
        None => effect.lock(known, None, mode),
    }
}

fn each_table(effect: Effect, node: &SyntaxNode, known: &Known, mode: LockMode) -> Effect {
    let tables = names_of_tables(node);
    if tables.is_empty() {
        return effect.lock(known, None, mode);
    }
    tables.into_iter().fold(effect, |effect, table| effect.lock(known, Some(table), mode))
}

fn names_of_tables(node: &SyntaxNode) -> Vec<TableName> {
    node.descendants()
        .filter(|part| matches!(part.kind(), SyntaxKind::TABLE_NAME_REF | SyntaxKind::RELATION_NAME_REF))
        .filter_map(|part| crate::sql::table_name(&tree::dotted(&part)))
        .collect()
}

/// Every table in its FROM is read; entries of WITH are no tables.
fn reads(effect: Effect, node: &SyntaxNode, known: &Known) -> Effect {
    let of = |kind: SyntaxKind| node.descendants().filter(move |part| part.kind() == kind);
    let entries: Vec<Vec<String>> = of(SyntaxKind::CTE_NAME).map(|name| tree::dotted(&name)).collect();
    of(SyntaxKind::RELATION_FROM_ITEM)
        .filter_map(|item| tree::child(&item, SyntaxKind::RELATION_NAME_REF))
        .map(|name| tree::dotted(&name))
        .filter(|name| !entries.contains(name))
        .fold(effect, |effect, name| effect.lock(known, crate::sql::table_name(&name), LockMode::AccessShare))
}

fn calls(node: &SyntaxNode) -> bool {
    super::volatility::may_be_volatile(node)
}

fn cannot_be_proven(effect: Effect, node: &SyntaxNode) -> Effect {
    effect.not_transactional().rule(Rule::NotTransactional, node)
}

/// OR REPLACE, IF NOT EXISTS and IF EXISTS anywhere in the statement.
fn hidden(effect: Effect, node: &SyntaxNode) -> Effect {
    let found = node.descendants().find(|child| {
        matches!(child.kind(), SyntaxKind::OR_REPLACE | SyntaxKind::IF_NOT_EXISTS | SyntaxKind::IF_EXISTS)
    });
    match found {
        Some(found) if !effect.found.iter().any(|(rule, _)| *rule == Rule::HidesDrift) => {
            effect.rule(Rule::HidesDrift, &found)
        }
        Some(_) | None => effect,
    }
}

fn cascade(effect: Effect, node: &SyntaxNode) -> Effect {
    let drops = removes(node)
        || matches!(node.kind(), SyntaxKind::ALTER_TABLE | SyntaxKind::TRUNCATE | SyntaxKind::DROP_INDEX);
    // ON DELETE CASCADE is something else: it stands in a constraint.
    let in_constraint = |part: &SyntaxNode| {
        part.ancestors().any(|up| {
            matches!(up.kind(), SyntaxKind::FOREIGN_KEY_CONSTRAINT | SyntaxKind::REFERENCES_CONSTRAINT)
        })
    };
    let found = node.descendants().find(|part| part.kind() == SyntaxKind::CASCADE && !in_constraint(part));
    match found {
        Some(found) if drops => {
            let mut effect = effect.class(PhaseClass::Destructive).rule(Rule::Cascades, &found);
            // Whatever depends on it is locked and goes with it.
            effect.add_lock(Locked::Unnamed, LockMode::AccessExclusive);
            effect
        }
        Some(_) | None => effect,
    }
}

fn removes(statement: &SyntaxNode) -> bool {
    tree::own_tokens(statement).next().is_some_and(|first| first.kind() == SyntaxKind::DROP_KW)
}

fn asked(mode: &Asked) -> LockMode {
    match mode {
        Asked::AccessShare(_) => LockMode::AccessShare,
        Asked::RowShare(_) => LockMode::RowShare,
        Asked::RowExclusive(_) => LockMode::RowExclusive,
        Asked::ShareUpdateExclusive(_) => LockMode::ShareUpdateExclusive,
        Asked::Share(_) => LockMode::Share,
        Asked::ShareRowExclusive(_) => LockMode::ShareRowExclusive,
        Asked::Exclusive(_) => LockMode::Exclusive,
        Asked::AccessExclusive(_) => LockMode::AccessExclusive,
    }
}

/// The keywords that a statement begins with, at most three: `CREATE TEXT SEARCH`.
fn leading_words(node: &SyntaxNode) -> String {
    let skipped =
        |word: &str| matches!(word, "OR" | "REPLACE" | "IF" | "NOT" | "EXISTS" | "INTO" | "FROM" | "ON");
    tree::tokens(node)
        .filter(|token| !tree::is_trivia(token))
        .take_while(|token| token.kind() != SyntaxKind::IDENT && tree::is_word(token))
        .map(|token| token.text().to_uppercase())
        .filter(|word| !skipped(word))
        .take(if removes(node) { 2 } else { 3 })
        .collect::<Vec<_>>()
        .join(" ")
}
