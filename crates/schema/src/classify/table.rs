//! ALTER TABLE, action by action.
//!
//! Called by [`super::statement`]. Locks are those that `pg_locks` showed for each action (PostgreSQL 15); where the
//! text alone cannot tell, the harder case is taken. Constraints have a module of their own.

use squawk_syntax::ast::{
    AddColumn, AlterColumn, AlterColumnOption, AlterTable, AlterTableAction, AstNode as _, Constraint,
    GeneratedAs, GeneratedKind,
};
use tidegate_model::schema::TableName;

use super::{
    constraint,
    effect::Effect,
    known::Known,
    lock::{Cost, LockMode, PhaseClass},
    names,
    rule::Rule,
    volatility,
};
use crate::tree;

/// Types that bring a sequence and with it a default of their own for every row.
const SERIAL: [&str; 6] = ["bigserial", "serial", "serial2", "serial4", "serial8", "smallserial"];

pub(super) fn alter(statement: &AlterTable, known: &mut Known) -> Effect {
    let node = statement.syntax();
    let Some(table) = statement.table_relation_name().and_then(|name| names::table(name.syntax())) else {
        // ALTER TABLE ALL IN TABLESPACE ...
        return Effect::out_of_place("ALTER TABLE ALL")
            .lock(known, None, LockMode::AccessExclusive)
            .cost(Cost::Rewrite)
            .rule(Rule::RewriteUnderLock, node);
    };
    let mut whole = Effect::new("");
    for action in statement.actions() {
        whole.join(one(&action, &table, known));
    }
    whole.what = format!("ALTER TABLE {}", whole.what);
    let hides = statement.if_exists();
    match hides {
        Some(hides) => whole.rule(Rule::HidesDrift, hides.syntax()),
        None => whole,
    }
}

fn one(action: &AlterTableAction, table: &TableName, known: &mut Known) -> Effect {
    use AlterTableAction as A;
    let node = action.syntax();
    let locks = |effect: Effect, mode| effect.lock(known, Some(table.clone()), mode);
    let exclusive = |effect| locks(effect, LockMode::AccessExclusive);
    let weak = |what| locks(Effect::new(what), LockMode::ShareUpdateExclusive);
    let renames =
        |what| exclusive(Effect::new(what)).class(PhaseClass::Incompatible).rule(Rule::Renames, node);
    let rewrites =
        |what| exclusive(Effect::out_of_place(what)).cost(Cost::Rewrite).rule(Rule::RewriteUnderLock, node);
    let behaves = |what, mode| {
        locks(Effect::new(what), mode).class(PhaseClass::Incompatible).rule(Rule::ChangesBehaviour, node)
    };
    match action {
        A::AddColumn(add) => add_column(add, table, known),
        A::AddConstraint(add) => match add.constraint() {
            Some(found) => constraint::add(&found, table, known),
            None => exclusive(Effect::out_of_place("ADD CONSTRAINT")),
        },
        A::ValidateConstraint(validate) => {
            let effect = weak("VALIDATE CONSTRAINT")
                .cost(Cost::Scan)
                .class(PhaseClass::DataDependent)
                .rule(Rule::DependsOnRows, node);
            if let Some(name) = validate.constraint_name_ref().and_then(|name| names::last(name.syntax())) {
                known.validated(table, name);
            }
            effect
        }
        A::AlterColumn(alter) => alter_column(alter, table, known),
        A::DropColumn(drop) => exclusive(Effect::new("DROP COLUMN"))
            .class(PhaseClass::Destructive)
            .rule(Rule::Removes, node)
            .rule(Rule::DropsIndexes, node)
            .rule_if(drop.if_exists().is_some(), Rule::HidesDrift, node),
        A::DropConstraint(drop) => exclusive(Effect::new("DROP CONSTRAINT"))
            // Of a foreign key, the table that it refers to is locked as well.
            .lock(known, None, LockMode::AccessExclusive)
            .class(PhaseClass::Incompatible)
            .rule(Rule::Removes, node)
            .rule_if(drop.if_exists().is_some(), Rule::HidesDrift, node),
        A::RenameColumn(_) => renames("RENAME COLUMN"),
        A::TableRenameTo(_) => renames("RENAME TO"),
        A::RenameConstraint(_) => renames("RENAME CONSTRAINT"),
        A::SetSchema(_) => renames("SET SCHEMA"),
        A::OwnerTo(_) => {
            exclusive(Effect::new("OWNER TO")).class(PhaseClass::Incompatible).rule(Rule::TakesRights, node)
        }
        A::SetTablespace(_) => rewrites("SET TABLESPACE"),
        A::SetAccessMethod(_) => rewrites("SET ACCESS METHOD"),
        A::SetLogged(_) => rewrites("SET LOGGED"),
        A::SetUnlogged(_) => rewrites("SET UNLOGGED"),
        A::MergePartitions(_) => rewrites("MERGE PARTITIONS"),
        A::SplitPartition(_) => rewrites("SPLIT PARTITION"),
        A::SetOptions(_) => weak("SET (options)"),
        A::ResetOptions(_) => weak("RESET (options)"),
        A::ClusterOn(_) => weak("CLUSTER ON"),
        A::SetWithoutCluster(_) => weak("SET WITHOUT CLUSTER"),
        A::EnableTrigger(_) | A::EnableReplicaTrigger(_) | A::EnableAlwaysTrigger(_) => {
            behaves("ENABLE TRIGGER", LockMode::ShareRowExclusive)
        }
        A::DisableTrigger(_) => behaves("DISABLE TRIGGER", LockMode::ShareRowExclusive),
        A::EnableRule(_) | A::EnableReplicaRule(_) | A::EnableAlwaysRule(_) => {
            behaves("ENABLE RULE", LockMode::AccessExclusive)
        }
        A::DisableRule(_) => behaves("DISABLE RULE", LockMode::AccessExclusive),
        A::EnableRls(_) | A::ForceRls(_) => behaves("ENABLE ROW LEVEL SECURITY", LockMode::AccessExclusive),
        A::DisableRls(_) | A::NoForceRls(_) => {
            behaves("DISABLE ROW LEVEL SECURITY", LockMode::AccessExclusive)
        }
        A::AlterConstraint(_) => behaves("ALTER CONSTRAINT", LockMode::AccessExclusive),
        A::AttachPartition(attach) => {
            let part = attach.table_name_ref().and_then(|name| names::table(name.syntax()));
            // The new partition is read, unless a check on it proves that its rows belong there.
            let reads = part.as_ref().is_none_or(|part| !known.is_new_table(part));
            weak("ATTACH PARTITION")
                .lock(known, part, LockMode::AccessExclusive)
                .cost(if reads { Cost::Scan } else { Cost::Catalog })
                .class(PhaseClass::DataDependent)
                .rule_if(reads, Rule::ScanUnderLock, node)
        }
        A::DetachPartition(detach) => {
            let part = detach.table_name_ref().and_then(|name| names::table(name.syntax()));
            let concurrently =
                tree::tokens(node).any(|token| token.kind() == squawk_syntax::SyntaxKind::CONCURRENTLY_KW);
            let parent =
                if concurrently { LockMode::ShareUpdateExclusive } else { LockMode::AccessExclusive };
            let effect = locks(Effect::new("DETACH PARTITION"), parent)
                .lock(known, part, LockMode::AccessExclusive)
                .class(PhaseClass::Destructive)
                .rule(Rule::Removes, node);
            if concurrently { effect.not_transactional().rule(Rule::NotTransactional, node) } else { effect }
        }
        A::InheritTable(_)
        | A::NoInheritTable(_)
        | A::OfType(_)
        | A::NotOf(_)
        | A::ReplicaIdentity(_)
        | A::SetWithoutOids(_)
        | A::AlterOptionList(_)
        | A::OptionItemList(_) => exclusive(Effect::out_of_place("another change of the table")),
    }
}

fn add_column(add: &AddColumn, table: &TableName, known: &mut Known) -> Effect {
    let node = add.syntax();
    let column = add.column_name().and_then(|name| names::last(name.syntax()));
    let mut effect = Effect::new("ADD COLUMN").lock(known, Some(table.clone()), LockMode::AccessExclusive);
    if let Some(hides) = add.if_not_exists() {
        effect = effect.rule(Rule::HidesDrift, hides.syntax());
    }
    // From here on the column is the change's own, and so are constraints on it.
    if let Some(column) = column {
        known.made_column(table, column);
    }
    let constraints: Vec<Constraint> = add.constraints().collect();
    let serial =
        add.ty().and_then(|ty| names::last(ty.syntax())).is_some_and(|ty| SERIAL.contains(&ty.as_str()));
    let fills = |found: &Constraint| match found {
        Constraint::DefaultConstraint(default) => default
            .expr()
            .is_some_and(|value| !value.syntax().text().to_string().trim().eq_ignore_ascii_case("null")),
        Constraint::GeneratedConstraint(_) => true,
        _ => false,
    };
    let rewrites = serial || constraints.iter().any(fills_row_by_row);
    if rewrites && !known.is_new_table(table) {
        effect = effect.cost(Cost::Rewrite).rule(Rule::RewriteUnderLock, node);
    }
    let required = |found: &Constraint| {
        matches!(found, Constraint::NotNullConstraint(_) | Constraint::PrimaryKeyConstraint(_))
    };
    let filled = serial || constraints.iter().any(fills);
    if !filled && constraints.iter().any(required) && !known.is_new_table(table) {
        effect = effect.class(PhaseClass::Incompatible).rule(Rule::RequiredColumn, node);
    }
    for found in &constraints {
        effect = constraint::on_new_column(effect, found, filled, table, known);
    }
    effect
}

/// True if the value must be found for each row that is there.
fn fills_row_by_row(found: &Constraint) -> bool {
    match found {
        Constraint::DefaultConstraint(default) => {
            default.expr().is_none_or(|value| volatility::may_be_volatile(value.syntax()))
        }
        Constraint::GeneratedConstraint(generated) => match generated.generated_as() {
            // A virtual column (PostgreSQL 18) is computed when it is read.
            Some(GeneratedAs::GeneratedStored(stored)) => {
                !matches!(stored.generated_kind(), Some(GeneratedKind::Virtual(_)))
            }
            Some(GeneratedAs::GeneratedIdentity(_)) | None => true,
        },
        _ => false,
    }
}

fn alter_column(alter: &AlterColumn, table: &TableName, known: &Known) -> Effect {
    use AlterColumnOption as O;
    let node = alter.syntax();
    let column = alter.column_name_ref().and_then(|name| names::last(name.syntax()));
    let new = column.as_ref().is_some_and(|column| known.is_new_column(table, column));
    let locks = |what, mode| Effect::new(what).lock(known, Some(table.clone()), mode);
    let exclusive = |what| locks(what, LockMode::AccessExclusive);
    let weak = |what| locks(what, LockMode::ShareUpdateExclusive);
    let behaves = |what| {
        let effect = exclusive(what);
        if new { effect } else { effect.class(PhaseClass::Incompatible).rule(Rule::ChangesBehaviour, node) }
    };
    let Some(option) = alter.option() else { return exclusive("ALTER COLUMN") };
    match option {
        O::SetDefault(_) => exclusive("SET DEFAULT").rule_if(!new, Rule::ChangesDefault, node),
        O::DropDefault(_) => behaves("DROP DEFAULT"),
        O::DropNotNull(_) => exclusive("DROP NOT NULL").rule_if(!new, Rule::AdmitsNull, node),
        O::SetNotNull(_) => {
            let proven = column.as_ref().is_some_and(|column| known.is_proven_not_null(table, column));
            let effect = exclusive("SET NOT NULL");
            // On a column of the change the sync trigger, not the serving revision, has to write a value: it may fail.
            let effect = effect
                .class(if new { PhaseClass::DataDependent } else { PhaseClass::Incompatible })
                .rule_if(!new, Rule::ConstrainsOldWrites, node)
                .rule_if(new && !known.is_new_table(table), Rule::DependsOnRows, node);
            if proven || known.is_new_table(table) {
                effect
            } else {
                effect.cost(Cost::Scan).rule(Rule::ScanUnderLock, node)
            }
        }
        O::SetType(_) if known.is_new_table(table) => exclusive("SET TYPE"),
        // Which type it had, only the catalog knows; most changes rewrite the table.
        O::SetType(_) => exclusive("SET TYPE")
            .cost(Cost::Rewrite)
            .class(PhaseClass::Incompatible)
            .rule(Rule::ChangesType, node)
            .rule(Rule::RewriteUnderLock, node),
        O::SetExpression(_) => exclusive("SET EXPRESSION")
            .cost(Cost::Rewrite)
            .class(PhaseClass::Incompatible)
            .rule(Rule::ChangesBehaviour, node)
            .rule(Rule::RewriteUnderLock, node),
        O::SetStatistics(_) => weak("SET STATISTICS"),
        O::SetOptions(_) => weak("SET (options)"),
        O::ResetOptions(_) => weak("RESET (options)"),
        O::SetStorage(_) => exclusive("SET STORAGE"),
        O::SetCompression(_) => exclusive("SET COMPRESSION"),
        O::AddGenerated(_)
        | O::DropExpression(_)
        | O::DropIdentity(_)
        | O::Restart(_)
        | O::SetGenerated(_)
        | O::SetGeneratedOptions(_)
        | O::SetSequenceOption(_)
        | O::SetOptionsList(_)
        | O::Inherit(_)
        | O::NoInherit(_) => behaves("ALTER COLUMN"),
    }
}
