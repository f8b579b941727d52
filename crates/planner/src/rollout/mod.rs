//! The rollout machine: traffic from blue to green, or back.
//!
//! `start` decides whether a rollout begins, `forward` carries one on, `back` takes one back. Phases in the ledger only
//! say how far a rollout was proven; where it is now is read from listener and deployment in every pass.

use tidegate_model::ledger::{RolloutKind, RolloutPhase};

use crate::draft::Draft;

mod back;
mod forward;
mod judge;
mod provision;
mod start;

pub(crate) use back::{brings_newer, is_blue_going};
pub(crate) use forward::TARGET_READ_WITHIN;
pub(crate) use start::in_progress;

/// Carries the rollout on by at most one step.
pub(crate) fn advance(draft: &mut Draft<'_>) {
    if draft.state.rollout.is_none() {
        start::consider(draft);
    }
    find_own(draft);
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

/// A deployment of ours that is under way and that the ledger knows nothing of is taken over: the call that made it was refused
/// by what was told, and carried out all the same, as one is that arrives twice. One that has ended was made under a newer copy of
/// the ledger, and what became of it counts; so does what somebody else has deployed.
fn find_own(draft: &mut Draft<'_>) {
    let Some(rollout) = draft.rollout().filter(|rollout| rollout.deployment.is_none()) else { return };
    if !draft.state.open.is_empty() {
        // A call in doubt is settled first.
        return;
    }
    let redeploys = matches!(rollout.start.kind, RolloutKind::Redeploy { .. });
    if let Some(found) = start::own_under_way(draft, &rollout) {
        start::take_over(draft, &rollout, found);
    } else if !matches!(rollout.phase, RolloutPhase::RollingBack(_)) || redeploys {
        start::learn_of_unknown(draft, &rollout);
    }
}
