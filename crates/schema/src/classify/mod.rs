//! What each statement of a change does to the database that it meets: locks, work, and what it means for two revisions
//! that run side by side.
//!
//! Called by [`crate::sql`] with parsed statements, in the order in which they will run. Everything is told from the text
//! alone; where the text cannot tell, the harder case is taken, and a trace on a real server says more. Nothing is
//! decided by searching text.

mod allow;
mod constraint;
mod effect;
mod index;
mod known;
pub mod lock;
mod names;
pub mod rule;
mod statement;
mod table;
mod volatility;

use serde::Serialize;
use squawk_syntax::SyntaxNode;
use tidegate_model::{
    schema::FilePhase,
    spec::{Code, Problem},
};

use self::{
    effect::Effect,
    known::Known,
    lock::{Cost, Lock, LockMode, PhaseClass},
    rule::Rule,
};
use crate::sql::{Text, start};

/// One statement of a migration file, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its line in the file, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
    /// What it is, in SQL's words: `ALTER TABLE ADD COLUMN`.
    pub what: String,
    /// The table locks that it takes, and holds until its file's transaction ends. Tables that the change makes are not
    /// among them.
    pub locks: Vec<Lock>,
    /// What it does under them.
    pub cost: Cost,
    /// What it means for two revisions side by side.
    pub class: PhaseClass,
    /// False if PostgreSQL refuses it inside a transaction.
    pub transactional: bool,
    /// What was found about it.
    pub findings: Vec<Finding>,
}

/// A rule at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule's code.
    pub code: Code,
    /// The rule.
    pub rule: Rule,
    /// Its line, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
    /// True if the file's author allowed it, with a reason.
    pub allowed: bool,
    /// True if it refuses the file.
    pub refuses: bool,
}

/// The classifier of one change: files are given to it in the order in which they run.
#[derive(Default)]
pub(crate) struct Classifier {
    known: Known,
}

impl Classifier {
    /// The statements of the next file, and every problem that refuses it.
    pub(crate) fn file(
        &mut self,
        text: &Text<'_>,
        phase: FilePhase,
        statements: &[SyntaxNode],
    ) -> (Vec<Statement>, Vec<Problem>) {
        let mut effects: Vec<Effect> =
            statements.iter().map(|node| statement::classify(node, &mut self.known)).collect();
        together(&mut effects, statements, phase);
        let mut problems = Vec::new();
        let mut told = Vec::new();
        for (node, effect) in statements.iter().zip(effects) {
            let allows = allow::read(node);
            problems.extend(allows.problems(text, &effect));
            let findings = findings(text, phase, &effect, &allows);
            problems.extend(
                findings.iter().filter(|finding| finding.refuses).map(|finding| problem(text, finding)),
            );
            if phase == FilePhase::Expand && has_no_place(&effect, &findings) {
                let message = "the statement has no place in an expand file";
                problems.push(text.at_node(node, Code::WrongPhase, message, EXPAND_HAS));
            }
            let (line, column) = text.place(start(node));
            let Effect { what, locks, cost, class, transactional, .. } = effect;
            told.push(Statement { line, column, what, locks, cost, class, transactional, findings });
        }
        (told, problems)
    }
}

const EXPAND_HAS: &str = "expand adds columns, tables, functions, triggers, indexes, types, sequences, views, constraints and grants";

/// What breaks no rule and is still no expand step.
fn has_no_place(effect: &Effect, findings: &[Finding]) -> bool {
    let refused = findings.iter().any(|finding| finding.refuses);
    let dangerous =
        effect.class > PhaseClass::DataDependent && !findings.iter().any(|finding| finding.allowed);
    !refused && (!effect.expands || dangerous)
}

fn findings(text: &Text<'_>, phase: FilePhase, effect: &Effect, allows: &allow::Allows) -> Vec<Finding> {
    let finding = |(rule, at): &(Rule, usize)| {
        let (line, column) = text.place(*at);
        let allowed = allows.allow(*rule);
        Finding { code: rule.code(), rule: *rule, line, column, allowed, refuses: rule.refuses(allowed) }
    };
    effect.found.iter().filter(|(rule, _)| rule.applies(phase)).map(finding).collect()
}

fn problem(text: &Text<'_>, finding: &Finding) -> Problem {
    Problem {
        line: finding.line,
        column: finding.column,
        ..text.at(0, finding.code, finding.rule.why(), finding.rule.safe_way())
    }
}

/// What only shows when the statements of a file are seen together: they are one transaction.
fn together(effects: &mut [Effect], statements: &[SyntaxNode], phase: FilePhase) {
    let alone = effects.len() == 1;
    let mut strong: Vec<Lock> = Vec::new();
    for (effect, node) in effects.iter_mut().zip(statements) {
        if !effect.transactional && !alone {
            effect.found.push((Rule::NotAlone, start(node)));
        }
        let takes_long = effect.cost > Cost::Catalog && !effect.locks.is_empty();
        if takes_long && !strong.is_empty() && phase == FilePhase::Expand {
            effect.found.push((Rule::LongWorkUnderLock, start(node)));
        }
        let strongly: Vec<Lock> =
            effect.locks.iter().filter(|lock| lock.mode >= LockMode::ShareRowExclusive).cloned().collect();
        // One statement that locks two tables, as a foreign key does, cannot be taken apart.
        let another = strongly.iter().any(|lock| strong.iter().all(|held| held.on != lock.on));
        if another && !strong.is_empty() && phase == FilePhase::Expand {
            effect.found.push((Rule::ManyTablesLocked, start(node)));
        }
        strong.extend(strongly);
    }
}
