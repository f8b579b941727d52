//! Calls whose outcome is unknown: settled by reading, never by repeating.
//!
//! An intent without a resolution means that the daemon died, or the call's answer was lost, between journaling and
//! journaling again. What it would have caused is looked for in the observation; not finding it proves something only
//! if reading began once the call could no longer land.

use tidegate_model::{
    Fact,
    decision::{Outcome, Step},
    ledger::{Entry, Intent, Resolution},
    observation::DeploymentStatus,
};

use crate::{
    draft::{CALL_MAY_LAND, Draft},
    engine::codedeploy,
    rollout::TARGET_READ_WITHIN,
};

/// What reading says of an intent.
enum Found {
    /// It had its effect.
    Effect(Outcome),
    /// Nothing of it is there.
    Nothing,
    /// It cannot have had an effect that outlives its call.
    Harmless,
    /// The facts are not known.
    Unknown,
}

/// Settles every open intent that the observation can settle.
pub(crate) fn settle_open_intents(draft: &mut Draft<'_>) {
    for (intent, since) in draft.state.open.clone() {
        let may_land = draft.read_since < since + CALL_MAY_LAND;
        let resolution = match found(draft, &intent) {
            Found::Effect(outcome) => Resolution::Done(outcome),
            Found::Harmless => Resolution::NotApplied,
            Found::Nothing if !may_land => Resolution::NotApplied,
            Found::Nothing | Found::Unknown => {
                draft.look_in(5);
                continue;
            }
        };
        draft.note(Entry::Resolved { intent: intent.id, resolution });
    }
}

fn found(draft: &Draft<'_>, intent: &Intent) -> Found {
    let seen = draft.seen;
    match &intent.step {
        Step::RegisterTaskDefinition(register) => match seen.revisions.get(register.base.family()) {
            Some(Fact::Known(newest)) if newest.digest() == register.digest => {
                Found::Effect(Outcome::Registered(newest.arn.clone()))
            }
            Some(Fact::Known(_) | Fact::Absent) => Found::Nothing,
            Some(Fact::Unknown(_)) => Found::Unknown,
            None => Found::Unknown,
        },
        Step::CreateDeploymentConfig { .. } => presence(&seen.deployment_config),
        Step::CreateDeployment(create) => match &seen.deployments {
            Fact::Known(all) => all
                .iter()
                .find(|d| d.marker.as_ref() == Some(&create.marker))
                .map_or(Found::Nothing, |d| Found::Effect(Outcome::DeploymentCreated(d.id.clone()))),
            Fact::Absent => Found::Nothing,
            Fact::Unknown(_) => Found::Unknown,
        },
        Step::ContinueTraffic { deployment } => left_ready(draft, deployment),
        Step::ContinueTermination { deployment } | Step::StopDeployment { deployment } => {
            status(draft, deployment, DeploymentStatus::is_terminal)
        }
        Step::RunTask(_) => match &seen.task {
            Fact::Known(task) => Found::Effect(Outcome::TaskStarted(task.arn.clone())),
            Fact::Absent => Found::Nothing,
            Fact::Unknown(_) => Found::Unknown,
        },
        // Probes leave nothing behind that reading could find: a verification is simply made again.
        Step::Verify(_) => Found::Harmless,
        // The cursor moves in the batch's own transaction: reading it is the resolution.
        Step::Backfill(_) => Found::Harmless,
        Step::Expand(step) => match &seen.schema.journal {
            Fact::Known(journal) if journal.applied.contains_key(&step.file) => {
                Found::Effect(Outcome::Expanded)
            }
            Fact::Known(_) | Fact::Absent => Found::Nothing,
            Fact::Unknown(_) => Found::Unknown,
        },
        Step::Hide(_) => hidden(draft, true),
        Step::Unhide(_) => hidden(draft, false),
        Step::CreateSnapshot { .. } => presence(&seen.snapshot),
        Step::Purge(_) => match &seen.schema.journal {
            Fact::Known(journal) if journal.purged_at.is_some() => Found::Effect(Outcome::Purged),
            Fact::Known(_) | Fact::Absent => Found::Nothing,
            Fact::Unknown(_) => Found::Unknown,
        },
    }
}

/// Whether the journal in the database has it as a step on the hidden form would have left it.
fn hidden(draft: &Draft<'_>, wanted: bool) -> Found {
    match &draft.seen.schema.journal {
        Fact::Known(journal) if journal.hidden.is_some() == wanted => {
            Found::Effect(if wanted { Outcome::Hidden } else { Outcome::Unhidden })
        }
        Fact::Known(_) | Fact::Absent => Found::Nothing,
        Fact::Unknown(_) => Found::Unknown,
    }
}

fn presence<T>(fact: &Fact<T>) -> Found {
    match fact {
        Fact::Known(_) => Found::Effect(Outcome::Accepted),
        Fact::Absent => Found::Nothing,
        Fact::Unknown(_) => Found::Unknown,
    }
}

/// Whether a deployment was let go. One that was stopped may have waited to the end instead, without any traffic: that is asked for for a
/// while where it could not be read, because a version that was let go and stopped has failed.
fn left_ready(draft: &Draft<'_>, id: &str) -> Found {
    let deployment = codedeploy::deployment(draft.seen, id);
    let unread = deployment.known().is_some_and(|deployment| {
        let lately = deployment.ended.is_some_and(|ended| draft.now < ended + TARGET_READ_WITHIN);
        let stopped = matches!(deployment.status, DeploymentStatus::Stopped | DeploymentStatus::Failed);
        stopped && lately && deployment.target.unknown().is_some()
    });
    if unread {
        return Found::Unknown;
    }
    let target = deployment.known().and_then(|deployment| deployment.target.known());
    let was_let_go = target.is_none_or(|target| target.traffic_since.is_some());
    status(draft, id, |status| match status {
        DeploymentStatus::Ready => false,
        DeploymentStatus::Stopped | DeploymentStatus::Failed => was_let_go,
        DeploymentStatus::Created
        | DeploymentStatus::Queued
        | DeploymentStatus::InProgress
        | DeploymentStatus::Succeeded
        | DeploymentStatus::Other => true,
    })
}

fn status(draft: &Draft<'_>, id: &str, is_effect: impl Fn(DeploymentStatus) -> bool) -> Found {
    match codedeploy::deployment(draft.seen, id) {
        Fact::Known(deployment) if is_effect(deployment.status) => Found::Effect(Outcome::Accepted),
        Fact::Known(_) => Found::Nothing,
        Fact::Absent => Found::Unknown,
        Fact::Unknown(_) => Found::Unknown,
    }
}
