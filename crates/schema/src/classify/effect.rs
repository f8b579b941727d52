//! What one statement does, while it is being found out.
//!
//! Built by [`super::statement`] and [`super::table`], which know the grammar; read by [`super`].

use squawk_syntax::SyntaxNode;
use tidegate_model::schema::TableName;

use super::{
    known::Known,
    lock::{Cost, Lock, LockMode, Locked, PhaseClass},
    rule::Rule,
};

/// What a statement does to the database.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    /// What it is, in SQL's words: `ALTER TABLE ADD COLUMN`.
    pub(super) what: String,
    pub(super) locks: Vec<Lock>,
    pub(super) cost: Cost,
    pub(super) class: PhaseClass,
    pub(super) transactional: bool,
    /// Rules, and the byte at which they were found.
    pub(super) found: Vec<(Rule, usize)>,
    /// False if the statement has no place in an expand file although it breaks no rule.
    pub(super) expands: bool,
}

impl Effect {
    /// A change of the catalog that harms nobody.
    pub(super) fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            locks: Vec::new(),
            cost: Cost::Catalog,
            class: PhaseClass::Additive,
            transactional: true,
            found: Vec::new(),
            expands: true,
        }
    }

    /// Something that has no place in a change's expand file.
    pub(super) fn out_of_place(what: &str) -> Self {
        Self { expands: false, class: PhaseClass::Incompatible, ..Self::new(what) }
    }

    /// It locks a table; not told of tables that the change made.
    pub(super) fn lock(mut self, known: &Known, table: Option<TableName>, mode: LockMode) -> Self {
        let on = match table {
            Some(table) if known.is_new_table(&table) => return self,
            Some(table) => Locked::Table(table),
            None => Locked::Unnamed,
        };
        self.add_lock(on, mode);
        self
    }

    pub(super) fn add_lock(&mut self, on: Locked, mode: LockMode) {
        match self.locks.iter_mut().find(|lock| lock.on == on) {
            Some(lock) => lock.mode = lock.mode.max(mode),
            None => self.locks.push(Lock { on, mode }),
        }
    }

    pub(super) fn cost(mut self, cost: Cost) -> Self {
        self.cost = self.cost.max(cost);
        self
    }

    pub(super) fn class(mut self, class: PhaseClass) -> Self {
        self.class = self.class.max(class);
        self
    }

    pub(super) fn rule(mut self, rule: Rule, at: &SyntaxNode) -> Self {
        self.found.push((rule, crate::sql::start(at)));
        self
    }

    pub(super) fn rule_if(self, condition: bool, rule: Rule, at: &SyntaxNode) -> Self {
        if condition { self.rule(rule, at) } else { self }
    }

    pub(super) fn not_transactional(mut self) -> Self {
        self.transactional = false;
        self
    }

    /// Takes another action of the same statement in.
    pub(super) fn join(&mut self, action: Self) {
        let Self { what, locks, cost, class, transactional, found, expands } = action;
        if !self.what.split(", ").any(|known| known == what) {
            if !self.what.is_empty() {
                self.what.push_str(", ");
            }
            self.what.push_str(&what);
        }
        for lock in locks {
            self.add_lock(lock.on, lock.mode);
        }
        self.cost = self.cost.max(cost);
        self.class = self.class.max(class);
        self.transactional &= transactional;
        self.found.extend(found);
        self.expands &= expands;
    }
}
