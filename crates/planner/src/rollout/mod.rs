//! The rollout machine: traffic from blue to green, or back.
//!
//! `start` decides whether a rollout begins, `forward` carries one on, `back` takes one back. Phases in the ledger only
//! say how far a rollout was proven; where it is now is read from listener and deployment in every pass.

use tidegate_model::ledger::RolloutPhase;

use crate::draft::Draft;

mod back;
mod forward;
mod judge;
mod provision;
mod start;

/// Carries the rollout on by at most one step.
pub(crate) fn advance(draft: &mut Draft<'_>) {
    if draft.state.rollout.is_none() {
        start::consider(draft);
    }
    let Some(rollout) = draft.rollout() else { return };
    match rollout.phase {
        RolloutPhase::RollingBack(_) => back::go_back(draft),
        RolloutPhase::Preflight
        | RolloutPhase::Provisioning
        | RolloutPhase::Verifying
        | RolloutPhase::Shifting
        | RolloutPhase::Confirming
        | RolloutPhase::Baking
        | RolloutPhase::Retiring => forward::go_on(draft),
    }
}
