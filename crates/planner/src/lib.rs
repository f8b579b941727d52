//! The decision: what to do next for one release, as a plain value.
//!
//! [`decide`] is synchronous, total and pure: the spec, the orders, what was observed, what the ledger knows and the
//! time come in, a [`Decision`] goes out. The controller calls it once in each pass and the executor carries out its one
//! step. [`needs`] says beforehand which facts the release's stage asks for. This crate must not know a runtime, an SDK,
//! a database or a clock; a test checks its dependencies.
//!
//! Code map: `calibration` learns from the service's history, [`intake`](self) takes spec and orders in, `resolve` settles calls whose outcome is unknown, `rollout` moves
//! traffic forward and back, `change` moves the schema, `gates` holds every gate as a small function, `engine` reads where
//! an engine is and says what it can keep, `publish` renders the status.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    ReleaseName,
    decision::Decision,
    ledger::{Entry, ReleaseState},
    observation::Observation,
    status::ReleaseStatus,
};

mod calibration;
mod change;
mod draft;
mod engine;
mod gates;
mod intake;
mod needs;
mod publish;
mod resolve;
mod rollout;
mod traffic;

pub use engine::codedeploy::config_name;
pub use needs::needs;

/// Everything that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The release.
    pub release: &'a ReleaseName,
    /// What its ledger entries fold to.
    pub state: &'a ReleaseState,
    /// What was read of the world in this pass.
    pub observation: &'a Observation,
    /// What was published by the pass before: only for how long each wait has lasted.
    pub previous: Option<&'a ReleaseStatus>,
    /// The time.
    pub now: Timestamp,
    /// When reading the observation began.
    pub read_since: Timestamp,
    /// How far the time is ahead of the machine's clock, which was set back: windows seem to be over sooner by as much.
    pub ahead: SignedDuration,
    /// How far the machine's clock was set forward since that was last noted: time that never passed.
    pub set_forward: SignedDuration,
}

/// Decides what to do next for one release.
///
/// That the clock was set, and a calibration that was read for, are noted before anything else. The order is the interlock:
/// people first (spec and orders), then calls in doubt, then traffic (going back before going forward), then schema; the first
/// step that is proposed is the only one.
pub fn decide(input: &Input<'_>) -> Decision {
    let mut draft = draft::Draft::new(input);
    if input.set_forward.is_positive() {
        draft.note(Entry::ClockSetForward { by: input.set_forward });
    }
    calibration::take(&mut draft);
    intake::take_orders(&mut draft);
    intake::take_spec(&mut draft);
    resolve::settle_open_intents(&mut draft);
    rollout::advance(&mut draft);
    change::advance(&mut draft);
    publish::decision(draft)
}

#[cfg(test)]
mod tests;
