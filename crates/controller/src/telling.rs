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
