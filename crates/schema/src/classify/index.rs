//! Indexes.
//!
//! Called by [`super::statement`]. An index is built or dropped under a lock of its table, which the statement may not
//! name: only the catalog knows it then.

use squawk_syntax::{
    SyntaxKind,
    ast::{AlterIndex, AlterIndexAction, AstNode as _, CreateIndex, DropIndex, Reindex, ReindexTarget},
};
use tidegate_model::schema::TableName;

use super::{
    constraint,
    effect::Effect,
    known::Known,
    lock::{Cost, LockMode, Locked, PhaseClass},
    names,
    rule::Rule,
};
use crate::tree;

pub(super) fn create(create: &CreateIndex, known: &mut Known) -> Effect {
    let node = create.syntax();
    let table = create.table_relation_name().and_then(|name| names::table(name.syntax()));
    let new_table = table.as_ref().is_some_and(|table| known.is_new_table(table));
    let concurrently = create.concurrently_token().is_some();
    let name = create.index().and_then(|name| names::last(name.syntax()));
    let unnamed = name.is_none();
    let (what, mode) = if concurrently {
        ("CREATE INDEX CONCURRENTLY", LockMode::ShareUpdateExclusive)
    } else {
        ("CREATE INDEX", LockMode::Share)
    };
    let mut effect = Effect::new(what)
        .lock(known, table.clone(), mode)
        .rule_if(unnamed, Rule::Unnamed, node)
        .rule_if(!concurrently && !new_table, Rule::IndexBuildUnderLock, node);
    if !new_table {
        effect = effect.cost(Cost::Build);
    }
    if concurrently {
        effect = effect.not_transactional();
    }
    if create.unique_token().is_some() && !new_table {
        let own = table.as_ref().is_some_and(|table| {
            let items = create.partition_item_list();
            items.is_some_and(|items| {
                constraint::mentioned(items.syntax()).iter().all(|column| known.is_new_column(table, column))
            })
        });
        effect = effect.class(PhaseClass::DataDependent).rule(Rule::DependsOnRows, node);
        if !own {
            effect = effect.class(PhaseClass::Incompatible).rule(Rule::ConstrainsOldWrites, node);
        }
    }
    if let (Some(name), Some(table)) = (name, table) {
        known.made_index(TableName { schema: table.schema.clone(), table: name }, table);
    }
    effect
}

pub(super) fn drop(drop: &DropIndex, known: &Known) -> Effect {
    let node = drop.syntax();
    let concurrently = drop.concurrently_token().is_some();
    let (what, mode) = if concurrently {
        ("DROP INDEX CONCURRENTLY", LockMode::ShareUpdateExclusive)
    } else {
        ("DROP INDEX", LockMode::AccessExclusive)
    };
    let mut effect = Effect::new(what).class(PhaseClass::Destructive).rule(Rule::Removes, node);
    for index in drop.index_refs() {
        lock_table_of(&mut effect, names::table(index.syntax()), mode, known);
    }
    if concurrently { effect.not_transactional().rule(Rule::NotTransactional, node) } else { effect }
}

pub(super) fn alter(alter: &AlterIndex, known: &Known) -> Effect {
    let node = alter.syntax();
    let index = alter.index_ref().and_then(|index| names::table(index.syntax()));
    match alter.action() {
        Some(AlterIndexAction::IndexRenameTo(_)) => {
            Effect::new("ALTER INDEX RENAME").class(PhaseClass::Incompatible).rule(Rule::Renames, node)
        }
        Some(AlterIndexAction::SetTablespace(_)) | None => Effect::out_of_place("ALTER INDEX SET TABLESPACE")
            .cost(Cost::Rewrite)
            .rule(Rule::RewriteUnderLock, node),
        Some(AlterIndexAction::AttachIndexPartition(_)) => {
            let mut effect = Effect::new("ALTER INDEX ATTACH PARTITION");
            lock_table_of(&mut effect, index, LockMode::AccessExclusive, known);
            effect
        }
        Some(
            AlterIndexAction::SetOptions(_)
            | AlterIndexAction::ResetOptions(_)
            | AlterIndexAction::AlterSetStatistics(_)
            | AlterIndexAction::DependsOnExtension(_)
            | AlterIndexAction::NoDependsOnExtension(_),
        ) => Effect::new("ALTER INDEX"),
    }
}

pub(super) fn reindex(reindex: &Reindex, known: &Known) -> Effect {
    let node = reindex.syntax();
    let concurrently = tree::tokens(node).any(|token| token.kind() == SyntaxKind::CONCURRENTLY_KW);
    let mode = if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::Share };
    let mut effect = Effect::out_of_place("REINDEX").cost(Cost::Build);
    let whole = match reindex.reindex_target() {
        Some(ReindexTarget::ReindexTargetTable(table)) => {
            effect =
                effect.lock(known, table.table_name_ref().and_then(|name| names::table(name.syntax())), mode);
            false
        }
        Some(ReindexTarget::ReindexTargetIndex(index)) => {
            let index = index.index_ref().and_then(|index| names::table(index.syntax()));
            lock_table_of(&mut effect, index, mode, known);
            false
        }
        Some(
            ReindexTarget::ReindexTargetDatabase(_)
            | ReindexTarget::ReindexTargetSchema(_)
            | ReindexTarget::ReindexTargetSystem(_),
        )
        | None => {
            effect = effect.lock(known, None, mode);
            true
        }
    };
    if concurrently || whole {
        effect.not_transactional().rule(Rule::NotTransactional, node)
    } else {
        effect.rule(Rule::IndexBuildUnderLock, node)
    }
}

fn lock_table_of(effect: &mut Effect, index: Option<TableName>, mode: LockMode, known: &Known) {
    match index {
        Some(index) => match known.table_of_index(&index) {
            Some(table) if known.is_new_table(table) => {}
            Some(table) => effect.add_lock(Locked::Table(table.clone()), mode),
            None => effect.add_lock(Locked::TableOfIndex(index), mode),
        },
        None => effect.add_lock(Locked::Unnamed, mode),
    }
}
