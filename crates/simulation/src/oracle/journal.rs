//! J1, J2, J3, J4, E1, LV2 of calls to AWS: what stands in the ledger before something happens, how often it happens, and in whose name.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::Sealed;
use tidegate_model::{
    decision::Step,
    ledger::{Entry, Intent},
};
use tidegate_sandbox::protocol::Service;

use super::{
    Arrival, Found, Invariant, Wrong,
    effect::{Effect, continues},
};
use crate::machine::Machine;

/// What was intended, and what came of it.
#[derive(Default)]
pub(crate) struct Journal {
    /// Everything that any ledger of the run ever had an intent for.
    intended: BTreeSet<Effect>,
    /// The intents of the ledger in use whose outcome is not in it, by their numbers.
    open: BTreeMap<u64, Effect>,
    /// Those of the ledger before it: whoever used that one may still be about to send.
    open_before: BTreeMap<u64, Effect>,
    effects: Vec<Effect>,
    /// Sends and complete reads are counted in one order.
    order: u64,
    /// When each effect was sent last.
    sent: BTreeMap<Effect, u64>,
    /// When a machine last read something of a service.
    read: BTreeMap<(u32, Service), u64>,
    /// The newest epoch that had an effect.
    epoch: u64,
    /// When calls of each operation were refused lately.
    refused: BTreeMap<String, Vec<Timestamp>>,
    /// When each deployment was stopped last.
    stopped: BTreeMap<String, Timestamp>,
    /// Those of them that were stopped without the ledger, which cannot tell later that they were.
    unwritten: BTreeSet<String>,
    /// How often each effect was had by a call that nobody sent a second time.
    again: BTreeMap<Effect, usize>,
    /// Snapshots that somebody deleted: they may be made again.
    pub(crate) deleted: usize,
    /// True once a newer version has written what nobody here can read.
    pub(crate) outgrown: bool,
    /// How many effects there were when a ledger was lost, if one was: epochs and the numbers of intents begin anew, so what is
    /// made for another intent may have the same marker.
    lost: Option<usize>,
    /// The first machine that uses the ledger which is in use now.
    first: u32,
}

/// The call that a step becomes; nothing for steps that are no calls to AWS.
fn effect_of(step: &Step) -> Option<Effect> {
    let effect = |operation: &str, about: String| Some(Effect { operation: operation.to_owned(), about });
    match step {
        Step::RegisterTaskDefinition(register) => {
            effect("RegisterTaskDefinition", register.marker.to_string())
        }
        Step::CreateDeploymentConfig { name, shift: _ } => effect("CreateDeploymentConfig", name.clone()),
        Step::CreateDeployment(create) => effect("CreateDeployment", create.marker.to_string()),
        Step::ContinueTraffic { deployment } => {
            effect("ContinueDeployment", continues(deployment, "READY_WAIT"))
        }
        Step::ContinueTermination { deployment } => {
            effect("ContinueDeployment", continues(deployment, "TERMINATION_WAIT"))
        }
        Step::StopDeployment { deployment } => effect("StopDeployment", deployment.clone()),
        Step::RunTask(run) => effect("RunTask", run.token()),
        Step::CreateSnapshot { instance: _, snapshot, marker: _ } => {
            effect("CreateDBSnapshot", snapshot.clone())
        }
        Step::Verify(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::Unhide(_)
        | Step::Purge(_) => None,
    }
}

impl Journal {
    pub(crate) fn appended(&mut self, machine: u32, rows: &[Sealed]) {
        for row in rows {
            let Ok(entry) = serde_json::from_str::<Entry>(&row.body) else { continue };
            match entry {
                Entry::Intended(intent) => self.means(machine, &intent),
                Entry::Resolved { intent, resolution: _ } => drop(self.open_of(machine).remove(&intent)),
                Entry::Unmanaged => self.open_of(machine).clear(),
                _ => {}
            }
        }
    }

    fn means(&mut self, machine: u32, intent: &Intent) {
        if let Some(effect) = effect_of(&intent.step) {
            self.intended.insert(effect.clone());
            self.open_of(machine).insert(intent.id, effect);
        }
    }

    /// The open intents of the ledger that a machine uses.
    fn open_of(&mut self, machine: u32) -> &mut BTreeMap<u64, Effect> {
        if machine >= self.first { &mut self.open } else { &mut self.open_before }
    }

    /// J1. A call leaves a machine: by an intent of its own ledger that nobody has resolved. Whoever stands still after this has sent it
    /// all the same.
    pub(crate) fn is_meant(&mut self, machine: &Machine, effect: &Effect) -> Wrong {
        let Effect { operation, about } = effect;
        let open = self.open_of(machine.number).values().any(|meant| meant == effect);
        (!open && !machine.may_send_unwritten(operation)).then(|| {
            (Invariant::J1, format!("{operation} of {about} was sent, and no intent of it was open"))
        })
    }

    /// J2. A call leaves a machine, whether it ever arrives or not.
    pub(crate) fn sends(&mut self, machine: u32, effect: &Effect) -> Wrong {
        let Effect { operation, about } = effect;
        let read = self.read.get(&(machine, service_of(operation))).copied().unwrap_or_default();
        self.order += 1;
        let before = self.sent.insert(effect.clone(), self.order);
        before.filter(|sent| *sent > read).map(|_| {
            (Invariant::J2, format!("{operation} of {about} was sent again, and nothing was read in between"))
        })
    }

    /// It had no effect, and who sent it was told so: it may be sent again as it is.
    pub(crate) fn declined(&mut self, effect: &Effect) {
        self.sent.remove(effect);
    }

    pub(crate) fn about_to(
        &mut self,
        machine: &Machine,
        effect: &Effect,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        self.has_intent(machine, effect, pending);
        let Effect { operation, about } = effect;
        if self.outgrown {
            let what = format!("{operation} of {about} was sent by who cannot read the ledger");
            pending.push((Invariant::J4, what));
        }
        let unwritten = machine.may_send_unwritten(operation);
        if machine.epoch() < self.epoch && self.knows(machine) && !unwritten {
            let (ours, newest) = (machine.epoch(), self.epoch);
            let what = format!("{operation} of {about} came in epoch {ours}, after one of epoch {newest}");
            pending.push((Invariant::E1, what));
        }
    }

    /// J1. However it comes, and whatever is known of it by now: it was meant once.
    pub(crate) fn has_intent(
        &mut self,
        machine: &Machine,
        effect: &Effect,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        let Effect { operation, about } = effect;
        let unwritten = machine.may_send_unwritten(operation);
        if unwritten {
            self.unwritten.insert(about.clone());
        }
        if !self.intended.contains(effect) && !unwritten {
            pending.push((Invariant::J1, format!("{operation} of {about} has no intent in the ledger")));
        }
    }

    pub(crate) fn done(
        &mut self,
        machine: &Machine,
        effect: Effect,
        (now, arrival): (Timestamp, Arrival),
        found: &mut Found,
    ) {
        if self.knows(machine) {
            self.epoch = self.epoch.max(machine.epoch());
        }
        match arrival {
            Arrival::Sent => {
                self.is_first(&effect, now, found);
                if effect.operation == "StopDeployment" {
                    self.stops(&effect.about, now, found);
                }
            }
            // A ledger that was set back gives the numbers of intents again that were given before.
            Arrival::Late if self.lost.is_some() => {}
            Arrival::Late => self.is_first(&effect, now, found),
            Arrival::Again => *self.again.entry(effect.clone()).or_default() += 1,
        }
        self.effects.push(effect);
    }

    /// J3.
    fn is_first(&self, effect: &Effect, now: Timestamp, found: &mut Found) {
        if !effect.creates() {
            return;
        }
        let since = self.effects.iter().skip(self.lost.unwrap_or(0));
        let before = since.filter(|known| *known == effect).count();
        let again = self.again.get(effect).copied().unwrap_or(0);
        let deleted = if effect.operation == "CreateDBSnapshot" { self.deleted } else { 0 };
        if before > again + deleted {
            let Effect { operation, about } = effect;
            let what = format!("{operation} of {about} had its effect {} times", before + 1);
            found.add(Invariant::J3, now, what);
        }
    }

    /// True of a machine that uses the ledger which is in use now.
    fn knows(&self, machine: &Machine) -> bool {
        machine.number >= self.first
    }

    /// A stop that was accepted is sent again only when it has shown no effect for a while.
    fn stops(&mut self, deployment: &str, now: Timestamp, found: &mut Found) {
        const AGAIN: SignedDuration = SignedDuration::from_secs(50);
        let before = self.stopped.insert(deployment.to_owned(), now);
        let soon = before.is_some_and(|before| now.duration_since(before) < AGAIN);
        let unwritten = self.unwritten.contains(deployment);
        if soon && self.lost.is_none() && !unwritten {
            found.add(Invariant::Lv2, now, format!("{deployment} was stopped again at once"));
        }
    }

    /// A ledger was lost, or set back: `first` is the first machine that can have another one.
    pub(crate) fn lose(&mut self, first: u32) {
        self.lost = Some(self.effects.len());
        (self.first, self.epoch) = (first, 0);
        self.open_before = std::mem::take(&mut self.open);
        // What takes its place is from before, or empty.
        self.outgrown = false;
        // Who begins with another ledger does not know what was refused before.
        self.refused.clear();
    }

    /// AWS refused a call. One that is sent again is sent later each time: forward every five minutes in the end, back every minute after
    /// eight in a row, of which seventeen are in ten minutes.
    pub(crate) fn refused(&mut self, operation: &str, now: Timestamp) -> Wrong {
        const WINDOW: SignedDuration = SignedDuration::from_mins(10);
        const MOST: usize = 18;
        let times = self.refused.entry(operation.to_owned()).or_default();
        times.retain(|at| now.duration_since(*at) < WINDOW);
        times.push(now);
        let storm = times.len() > MOST;
        storm.then(|| {
            (Invariant::Lv2, format!("{operation} was refused {} times in ten minutes", times.len()))
        })
    }

    pub(crate) fn read(&mut self, machine: &Machine, service: Service) {
        self.order += 1;
        self.read.insert((machine.number, service), self.order);
    }

    pub(crate) fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

/// Where what became of an effect is read.
fn service_of(operation: &str) -> Service {
    match operation {
        "RegisterTaskDefinition" | "RunTask" => Service::Ecs,
        "CreateDBSnapshot" => Service::Rds,
        _ => Service::CodeDeploy,
    }
}
