//! Tells log and telemetry what was journaled: new events, and how rollouts ended.

use tidegate_model::{
    ReleaseName,
    ledger::{Entry, Event, EventKind, ReleaseState, RolloutEnd},
};

use crate::telemetry::Telemetry;

/// Tells what `entries` came to; `before` are the events of the state before they were folded into `state`.
pub(crate) fn tell(
    telemetry: &dyn Telemetry,
    release: &ReleaseName,
    before: &[Event],
    state: &ReleaseState,
    entries: &[Entry],
) {
    // An event that happened again has another time or count: it equals none of those before.
    for event in state.events.iter().filter(|event| !before.contains(event)) {
        let (reason, what) = (event.reason.as_str(), event.message.as_str());
        match event.kind {
            EventKind::Normal => tracing::info!(reason, what, "event"),
            EventKind::Warning => tracing::warn!(reason, what, "event"),
        }
        telemetry.event(release, event.kind, reason);
    }
    for entry in entries {
        if let (Entry::RolloutEnded(end), Some(last)) = (entry, &state.last) {
            let outcome = match end {
                RolloutEnd::Settled => "settled",
                RolloutEnd::RolledBack(cause) => cause.as_str(),
            };
            telemetry.rollout_ended(outcome, last.at.duration_since(last.started).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::{SignedDuration, Timestamp};
    use tidegate_model::ledger::Resolution;

    use super::*;

    /// Remembers what it was told.
    #[derive(Default)]
    struct Memory(Mutex<Vec<String>>);

    impl Telemetry for Memory {
        fn event(&self, release: &ReleaseName, _: EventKind, reason: &str) {
            self.0.lock().unwrap().push(format!("{release} {reason}"));
        }
    }

    impl Memory {
        fn after(&self, state: &mut ReleaseState, seconds: i64, entry: Entry) -> usize {
            let before = state.events.clone();
            state.apply(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds), &entry);
            tell(self, &"shop".parse().unwrap(), &before, state, &[entry]);
            self.0.lock().unwrap().len()
        }
    }

    #[test]
    fn each_event_is_told_once_and_again_when_it_happens_again() {
        let (memory, mut state) = (Memory::default(), ReleaseState::default());
        let held = || Entry::Hold { present: true };
        assert_eq!(memory.after(&mut state, 1, held()), 1);
        assert_eq!(memory.after(&mut state, 2, held()), 2);
        let bookkeeping = Entry::Resolved { intent: 7, resolution: Resolution::NotApplied };
        assert_eq!(memory.after(&mut state, 3, bookkeeping), 2);
        assert_eq!(*memory.0.lock().unwrap(), ["shop Held", "shop Held"]);
    }

    #[test]
    fn events_are_told_though_old_ones_are_forgotten() {
        let (memory, mut state) = (Memory::default(), ReleaseState::default());
        for number in 0..200_i64 {
            let told = memory.after(&mut state, number, Entry::SnapshotNamed(format!("s-{number}")));
            assert_eq!(told, usize::try_from(number).unwrap() + 1);
        }
    }
}
