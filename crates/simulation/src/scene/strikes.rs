//! When a fault counts: as it changes something, which may be long after it began, and under which name.
//!
//! Called by whatever lets faults strike. What a fault does is done elsewhere; here it is noted, once.

use std::{collections::BTreeSet, time::Duration};

use super::{Crossing, Scene, locked};
use crate::fault::{At, DatabaseMishap, Fault, Mishap, What};

impl Scene {
    /// A fault has changed an answer, or would have changed nothing: then it waits for the next one.
    pub(crate) fn bent(&self, fault: Fault, operation: &str, changed: bool) {
        if changed {
            self.note_struck(&fault, operation, Duration::ZERO);
        } else {
            locked(&self.armed).put_back(fault);
        }
    }

    /// Faults that met what they were to strike, and could change nothing of it: operation, and class.
    pub(crate) fn idle(&self) -> BTreeSet<(String, &'static str)> {
        locked(&self.armed).idle()
    }

    /// A fault has struck, or lies in wait from now on: then it is counted when it bites.
    pub(super) fn note_struck(&self, fault: &Fault, operation: &str, lasts: Duration) {
        self.troubled_for(lasts);
        if !fault.what.bites_later() {
            locked(&self.struck).struck(fault, operation);
        }
        let at = self.calendar.elapsed().as_millis();
        locked(&self.trace).line(format_args!("{at} fault {:?} at {operation}", fault.what));
        locked(&self.oracles).struck(fault, self.calendar.now());
    }

    /// What lay in wait has changed something for a daemon.
    pub(crate) fn bites(&self, how: Mishap) {
        let is_meant = |fault: &Fault| matches!(fault.what, What::World { mishap, .. } if mishap == how);
        let Some(fault) = locked(&self.deeds).bites(is_meant) else { return };
        self.troubled_for(Duration::ZERO);
        locked(&self.struck).struck(&fault, &world_of(how));
    }

    /// A mishap has happened, and lasts so long.
    pub(crate) fn happened(&self, fault: &Fault, lasts: Duration) {
        let What::World { mishap, .. } = fault.what else { return };
        if matches!(mishap, Mishap::Database(how) if how.is_an_answer()) {
            self.troubled_for(lasts);
        } else {
            self.note_struck(fault, &world_of(mishap), lasts);
        }
        // What CodeDeploy does by itself is no interference: what comes of it is to be told as it is.
        if !matches!(mishap, Mishap::Codedeploy(_)) {
            self.interfered();
        }
    }

    /// True if a fault has not struck yet.
    pub(crate) fn is_armed(&self, fault: &Fault) -> bool {
        locked(&self.armed).has(fault)
    }

    /// The database's server has failed an operation by a mishap.
    pub(crate) fn failed_at(&self, crossing: &Crossing, how: DatabaseMishap) {
        let mishap = Mishap::Database(how);
        let fault = Fault { at: At::Crossing(self.crossings()), what: What::World { mishap, lasts: 0 } };
        self.note_struck(&fault, &crossing.operation, Duration::ZERO);
    }
}

/// What happens to the world is no operation's: it is counted under its own name.
pub(crate) fn world_of(mishap: Mishap) -> String {
    format!("world.{}", mishap.name())
}
