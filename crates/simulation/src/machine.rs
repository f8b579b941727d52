//! One machine with one daemon on it: whether it runs, stands still or is dead, and what it looks like from outside.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tidegate_controller::{PassResult, Telemetry};
use tokio::time::Instant;

use crate::time::MachineClock;

/// A machine. Seams ask it before anything crosses them.
pub(crate) struct Machine {
    /// Counts machines of a run, from 1: a restarted daemon is another one.
    pub(crate) number: u32,
    pub(crate) clock: Arc<MachineClock>,
    state: Mutex<State>,
    /// True once it is to die at its next crossing.
    doomed: AtomicBool,
}

#[derive(Default)]
struct State {
    dead: bool,
    frozen_until: Option<Instant>,
    /// The newest epoch that it was granted.
    epoch: u64,
    /// True if the last request to the ledger failed by which a pass goes on.
    without_ledger: bool,
    /// Orders and spec as the last answer that reached it had them.
    read: Read,
}

/// What a daemon last read of a release's parameters: what it may decide by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Texts by the parameter's name below the release.
    pub(crate) found: BTreeMap<String, String>,
    /// How many answers without a hold came after the last one with it, if there was one.
    since_hold: Option<u32>,
}

impl Read {
    /// True if a hold was in one of the last two answers: a single one without it may be stale.
    pub(crate) fn has_hold(&self) -> bool {
        self.since_hold.is_some_and(|answers| answers < 2)
    }

    /// True if the last answer had a spec.
    pub(crate) fn has_spec(&self) -> bool {
        self.found.contains_key("spec")
    }
}

impl Machine {
    pub(crate) fn new(number: u32, clock: MachineClock) -> Self {
        Self { number, clock: Arc::new(clock), state: Mutex::default(), doomed: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it stands still; for ever if it is dead.
    pub(crate) async fn stands(&self) {
        loop {
            let (dead, frozen) = {
                let state = self.state();
                (state.dead, state.frozen_until)
            };
            if dead {
                std::future::pending::<()>().await;
            }
            match frozen.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }

    pub(crate) fn die(&self) {
        self.state().dead = true;
    }

    pub(crate) fn freeze(&self, until: Instant) {
        self.state().frozen_until = Some(until);
    }

    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed)
    }

    pub(crate) fn granted(&self, epoch: u64) {
        self.state().epoch = epoch;
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// How its last request to the ledger ended by which a pass goes on.
    pub(crate) fn asked_ledger(&self, answered: bool) {
        self.state().without_ledger = !answered;
    }

    /// True if it may send this though the ledger has no intent of it, and nobody knows who leads: a stop, when the ledger does
    /// not answer (R5).
    pub(crate) fn may_send_unwritten(&self, operation: &str) -> bool {
        operation == "StopDeployment" && self.state().without_ledger
    }

    pub(crate) fn has_read(&self, asked: &[String], found: BTreeMap<String, String>) {
        let read = &mut self.state().read;
        if found.contains_key("hold") {
            read.since_hold = Some(0);
        } else if asked.iter().any(|name| name == "hold") {
            read.since_hold = read.since_hold.map(|answers| answers + 1);
        }
        read.found.retain(|name, _| !asked.contains(name));
        read.found.extend(found);
    }

    /// It asked for the spec among others, and was told nothing.
    pub(crate) fn has_read_no_spec(&self) {
        self.state().read.found.remove("spec");
    }

    pub(crate) fn read(&self) -> Read {
        self.state().read.clone()
    }
}

/// Passes of all daemons of a run.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// How many led a release.
    pub(crate) led: AtomicU64,
    /// How many ended in a panic.
    pub(crate) panicked: AtomicU64,
}

impl Telemetry for Passes {
    fn pass(&self, result: PassResult, _seconds: f64) {
        match result {
            PassResult::Quiet | PassResult::Progress | PassResult::InDoubt | PassResult::Failed => {
                self.led.fetch_add(1, Ordering::Relaxed);
            }
            PassResult::Panicked => {
                self.panicked.fetch_add(1, Ordering::Relaxed);
            }
            PassResult::Following => {}
        }
    }
}
