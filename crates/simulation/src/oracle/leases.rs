//! E1, E2, E3, E4: who holds the release's lease by the store's own word, and who acts without it.
//!
//! The oracle keeps its own account of what the store has granted, and never asks the store whether it was right.

use std::time::Duration;

use super::{Invariant, Wrong};

/// The lease of the simulated release.
#[derive(Default)]
pub(crate) struct Leases {
    held: Option<Held>,
    /// The newest epoch that was granted.
    newest: u64,
    /// The first machine that uses the ledger which is in use now. Those before it may still use one that was lost, or set back, and
    /// have leases of their own.
    first: u32,
}

struct Held {
    machine: u32,
    /// Of the run's time.
    until: Duration,
}

impl Leases {
    /// The store has granted it to a machine, as it was asked for at `now`.
    pub(super) fn granted(&mut self, machine: u32, epoch: u64, now: Duration, term: Duration) -> Wrong {
        if machine < self.first {
            return None;
        }
        let before = self.held.replace(Held { machine, until: now + term });
        let newest = self.newest;
        self.newest = newest.max(epoch);
        let taken = before.filter(|held| held.machine != machine);
        if let Some(held) = taken.as_ref().filter(|held| held.until > now) {
            let (from, left) = (held.machine, held.until - now);
            return Some((
                Invariant::E4,
                format!("machine {machine} took the lease of {from}, {left:?} early"),
            ));
        }
        let used = epoch <= newest && (taken.is_some() || epoch < newest);
        used.then(|| (Invariant::E1, format!("machine {machine} leads in epoch {epoch}, after {newest}")))
    }

    /// The store lets a machine keep it.
    pub(super) fn renewed(&mut self, machine: u32, now: Duration, term: Duration) {
        if let Some(held) = self.held.as_mut().filter(|held| held.machine == machine) {
            held.until = now + term;
        }
    }

    /// A machine has given it back.
    pub(super) fn resigned(&mut self, machine: u32, now: Duration) {
        if let Some(held) = self.held.as_mut().filter(|held| held.machine == machine) {
            held.until = now;
        }
    }

    /// Rows were written in an epoch.
    pub(super) fn appended(&self, machine: u32, epoch: u64) -> Wrong {
        let newest = self.newest;
        let stale = epoch < newest && machine >= self.first;
        stale.then(|| (Invariant::E2, format!("machine {machine} wrote in epoch {epoch}, after {newest}")))
    }

    /// True while a machine holds the lease.
    pub(super) fn leads(&self, machine: u32, now: Duration) -> bool {
        self.held.as_ref().is_some_and(|held| held.machine == machine && held.until > now)
    }

    /// A call that changes something leaves a machine.
    pub(super) fn sends(&self, machine: u32, operation: &str, now: Duration) -> Wrong {
        let wrong = !self.leads(machine, now) && machine >= self.first;
        wrong.then(|| (Invariant::E3, format!("machine {machine} sent {operation} and held no lease")))
    }

    /// A ledger was lost, or set back, and its leases with it: `first` is the first machine that can have another one.
    pub(super) fn lose(&mut self, first: u32) {
        *self = Self { first, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(90);

    fn id(wrong: &Wrong) -> Option<&'static str> {
        wrong.as_ref().map(|(invariant, _)| invariant.id())
    }

    #[test]
    fn a_lease_changes_hands_when_it_has_run_out_and_in_a_new_epoch() {
        let second = Duration::from_secs;
        let held = || {
            let mut leases = Leases::default();
            assert_eq!(leases.granted(1, 1, second(0), TERM), None);
            leases
        };
        assert_eq!(held().granted(1, 1, second(200), TERM), None, "nobody else had it");
        assert_eq!(held().granted(2, 2, second(90), TERM), None);
        assert_eq!(id(&held().granted(2, 2, second(89), TERM)), Some("E4"));
        assert_eq!(id(&held().granted(2, 1, second(90), TERM)), Some("E1"));
        let mut renewed = held();
        renewed.renewed(1, second(10), TERM);
        assert_eq!(id(&renewed.granted(2, 2, second(95), TERM)), Some("E4"));
        let mut resigned = held();
        resigned.resigned(1, second(10));
        assert_eq!(resigned.granted(2, 2, second(11), TERM), None);
    }

    #[test]
    fn who_lost_it_neither_writes_nor_sends() {
        let mut leases = Leases::default();
        assert_eq!(leases.granted(1, 1, Duration::ZERO, TERM), None);
        assert_eq!(leases.sends(1, "StopDeployment", TERM / 2), None);
        assert_eq!(id(&leases.sends(1, "StopDeployment", TERM)), Some("E3"));
        assert_eq!(leases.appended(1, 1), None, "it ran out, and nobody else has begun");
        assert_eq!(leases.granted(2, 2, TERM, TERM), None);
        assert_eq!(id(&leases.appended(1, 1)), Some("E2"));
        assert_eq!(id(&leases.sends(1, "StopDeployment", TERM)), Some("E3"));
        leases.lose(3);
        assert_eq!(leases.sends(1, "StopDeployment", TERM), None, "it has a ledger of its own");
        assert_eq!(id(&leases.sends(3, "StopDeployment", TERM)), Some("E3"));
        assert_eq!(leases.granted(3, 1, TERM, TERM), None);
        assert_eq!(leases.sends(3, "StopDeployment", TERM), None);
    }
}
