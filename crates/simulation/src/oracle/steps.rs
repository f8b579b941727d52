//! J1, J4, E3 of what is done in the database: what stands in the ledger before a step begins there, and in whose name.
//!
//! An operation of the database carries no marker that a gate could read: it is known again by its kind alone. Whether it comes in the
//! order of epochs is D7's, of what was committed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::Sealed;
use tidegate_model::{decision::Step, ledger::Entry};

use super::Invariant;
use crate::database::Operation;

/// What was meant longer ago has waited for its secret, or stood still with its machine: what is late by then is kept out by the fence
/// in the database, which compares epochs in its own transaction.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(35);

/// The steps in the database that the ledger in use has an intent of, and no outcome.
#[derive(Default)]
pub(crate) struct Steps {
    open: BTreeMap<u64, (Operation, Timestamp)>,
    /// The first machine that uses this ledger: those before it died with the one before.
    first: u32,
}

impl Steps {
    pub(super) fn appended(&mut self, machine: u32, rows: &[Sealed], at: Timestamp) {
        if machine < self.first {
            return;
        }
        for row in rows {
            let Ok(entry) = serde_json::from_str::<Entry>(&row.body) else { continue };
            self.says(&entry, at);
        }
    }

    fn says(&mut self, entry: &Entry, at: Timestamp) {
        if let Entry::Intended(intent) = entry {
            self.open.extend(in_database(&intent.step).map(|operation| (intent.id, (operation, at))));
        }
        if let Entry::Resolved { intent, resolution: _ } = entry {
            self.open.remove(intent);
        }
        if *entry == Entry::Unmanaged {
            self.open.clear();
        }
    }

    /// A ledger was lost, or set back: `first` is the first machine that can have another one.
    pub(super) fn lose(&mut self, first: u32) {
        *self = Self { first, ..Self::default() };
    }

    /// A machine begins an operation. `outgrown` says that the ledger has what nobody here can read: who does not lead any more may not
    /// know it yet, and the fence keeps it out.
    pub(super) fn begins(
        &self,
        (machine, leads, outgrown): (u32, bool, bool),
        operation: Operation,
        at: Timestamp,
    ) -> Vec<(Invariant, String)> {
        if !operation.changes() || machine < self.first {
            return Vec::new();
        }
        let word = operation.as_str();
        let mut wrong = Vec::new();
        // A claim comes before the first step of an epoch, whichever that is.
        let meant = |(open, _): &&(Operation, Timestamp)| *open == operation || operation == Operation::Claim;
        match self.open.values().filter(meant).map(|(_, since)| *since).max() {
            None => wrong.push((Invariant::J1, format!("{word} was begun, and no intent of it was open"))),
            Some(since) if !leads && at.duration_since(since) < ON_ITS_WAY => {
                wrong.push((Invariant::E3, format!("machine {machine} began {word} and held no lease")));
            }
            Some(_) => {}
        }
        if outgrown && leads {
            wrong.push((Invariant::J4, format!("{word} was begun by who cannot read the ledger")));
        }
        wrong
    }
}

/// The operation of the database that a step is, if it is one.
fn in_database(step: &Step) -> Option<Operation> {
    match step {
        Step::Expand(_) => Some(Operation::Expand),
        Step::Backfill(_) => Some(Operation::Backfill),
        Step::Hide(_) => Some(Operation::Hide),
        Step::Unhide(_) => Some(Operation::Unhide),
        Step::Purge(_) => Some(Operation::Purge),
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::CreateDeployment(_)
        | Step::ContinueTraffic { .. }
        | Step::ContinueTermination { .. }
        | Step::StopDeployment { .. }
        | Step::Verify(_)
        | Step::RunTask(_)
        | Step::CreateSnapshot { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn meant(operation: Operation) -> Steps {
        Steps { open: BTreeMap::from([(1, (operation, at(0)))]), first: 0 }
    }

    fn ids(wrong: &[(Invariant, String)]) -> Vec<&'static str> {
        wrong.iter().map(|(invariant, _)| invariant.id()).collect()
    }

    #[test]
    fn a_step_begins_by_its_own_intent_and_a_claim_by_any() {
        let steps = meant(Operation::Hide);
        let begins = |operation| ids(&steps.begins((1, true, false), operation, at(1)));
        assert!(begins(Operation::Hide).is_empty());
        assert!(begins(Operation::Claim).is_empty());
        assert!(begins(Operation::Observe).is_empty());
        assert_eq!(begins(Operation::Purge), ["J1"]);
        assert_eq!(ids(&Steps::default().begins((1, true, false), Operation::Claim, at(1))), ["J1"]);
        let mut over = meant(Operation::Hide);
        over.says(&Entry::Unmanaged, at(1));
        assert_eq!(ids(&over.begins((1, true, false), Operation::Hide, at(1))), ["J1"]);
    }

    #[test]
    fn it_is_begun_by_who_leads_and_can_read_the_ledger() {
        let begins = |leads, outgrown, after| {
            ids(&meant(Operation::Purge).begins((1, leads, outgrown), Operation::Purge, at(after)))
        };
        assert_eq!(begins(false, false, 10), ["E3"]);
        assert!(begins(false, false, 200).is_empty(), "it stood still, and the fence is asked");
        assert_eq!(begins(true, true, 10), ["J4"]);
        let mut another = meant(Operation::Purge);
        another.lose(3);
        assert!(another.begins((2, true, false), Operation::Purge, at(1)).is_empty());
        assert_eq!(ids(&another.begins((3, true, false), Operation::Purge, at(1))), ["J1"]);
    }
}
