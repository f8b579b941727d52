//! Back: stop with rollback while CodeDeploy still can, redeploy the old revision once it cannot. Sticky: nothing here
//! ever goes forward again.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    Fact,
    decision::Step,
    ledger::{Cause, Entry, FailedRedeployment, Rollout, RolloutEnd, RolloutKind, RolloutPhase},
    observation::{Deployment, DeploymentStatus, TargetGroup, TaskSet},
    revision::RevisionArn,
    waiting::{Class, Held, OnDeadline, Reason},
};

use super::{
    forward, provision,
    start::{self, AtRest},
};
use crate::{
    change,
    draft::{Direction, Draft},
    engine::codedeploy::{self, Where},
    gates,
    traffic::{Split, left_behind, split_at_rest},
};

/// A stop that was accepted but shows no effect is sent again after this long. Source: StopDeployment may answer Pending
/// and is to be repeated until the deployment has stopped.
const STOP_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// A redeployment that ended without success is made again so long after its end: what kept it from its end may be over by then.
const REDEPLOY_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// What people can do while a redeployment fails.
const LOOK_AT_ITS_TASKS: &str =
    "look at why its tasks do not become healthy; it is deployed again until it serves";

/// After a stop, CodeDeploy names the rollback deployment only after a while.
pub(super) const ROLLBACK_NAMED: SignedDuration = SignedDuration::from_mins(2);

/// Takes the rollout one step back.
pub(super) fn go_back(draft: &mut Draft<'_>) {
    let Some(rollout) = draft.rollout() else { return };
    let RolloutPhase::RollingBack(cause) = rollout.phase.clone() else { return };
    draft.look_in(5);
    match rollout.start.kind.clone() {
        RolloutKind::Forward => stop(draft, &rollout, cause),
        RolloutKind::Redeploy { to, cause } => redeploy(draft, &rollout, &to, cause),
    }
}

fn rolling_back(draft: &mut Draft<'_>, rollout: &Rollout, cause: &Cause, what: &str) {
    let on = rollout.rollback_deployment.clone().or(rollout.deployment.clone()).unwrap_or_default();
    draft
        .wait(Reason::RollingBack, format!("{what} because {cause}"), Class::NeedsTime)
        .since(rollout.since)
        .on(on)
        .unblock("it passes with time");
}

/// The old revision is being deployed again. Once that has failed, people are told so until it succeeds, also while the next attempt is
/// under way: what failed for an hour may fail for days, and nobody looks at what "passes with time".
fn deploying_again(draft: &mut Draft<'_>, rollout: &Rollout, to: &RevisionArn, cause: &Cause) {
    let other = first_to_end(draft, rollout).cloned();
    if let Some(other) = other.as_ref().filter(|other| goes_forward(draft, other)) {
        let message = format!(
            "deployment {} goes forward, and the ledger does not know it; {to} is deployed again once it has ended, \
             because {cause}",
            other.id
        );
        let held = draft.held(Held::LedgerBehind, message).on(other.id.clone());
        held.unblock("stop that deployment with rollback, or point the daemon to the newer ledger");
        return;
    }
    let what = match &other {
        Some(other) => format!("{to} is deployed again once deployment {} has ended", other.id),
        None => format!("{to} is deployed again"),
    };
    let on = other.map(|other| other.id).or(rollout.deployment.clone());
    let Some(FailedRedeployment { count, deployment, code }) = &rollout.redeployment_failed else {
        draft
            .wait(Reason::RollingBack, format!("{what} because {cause}"), Class::NeedsTime)
            .since(rollout.since)
            .on(on.unwrap_or_default())
            .unblock("it passes with time");
        return;
    };
    let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
    let message = format!(
        "{what} because {cause}, after that failed {times}; the last redeployment, {deployment}, ended ({code})"
    );
    draft
        .held(Held::RollbackFailed, message)
        .on(on.unwrap_or_else(|| deployment.clone()))
        .until(rollout.since + forward::INSTALL_LIMIT, OnDeadline::Continue)
        .unblock(LOOK_AT_ITS_TASKS);
}

/// The deployment that keeps a redeployment from beginning: CodeDeploy makes one at a time. What may be the redeployment itself is not
/// that.
fn first_to_end<'d>(draft: &Draft<'d>, rollout: &Rollout) -> Option<&'d Deployment> {
    if rollout.deployment.is_some() || is_creating(draft) || start::own_under_way(draft, rollout).is_some() {
        return None;
    }
    start::in_progress(draft.seen.deployments.known()?)
}

/// True while a call that creates a deployment is in doubt.
fn is_creating(draft: &Draft<'_>) -> bool {
    draft.state.open.iter().any(|(intent, _)| matches!(intent.step, Step::CreateDeployment(_)))
}

/// True of a deployment of ours that brings a version, and may bake for days: by an older copy of the ledger, or by a call that landed
/// late. What it brings may be newer than what goes back, so it is people who stop it.
fn goes_forward(draft: &Draft<'_>, deployment: &Deployment) -> bool {
    let ours = deployment.marker.as_ref().filter(|marker| &marker.release == draft.release);
    !deployment.is_rollback && ours.is_some_and(|marker| !marker.takes_back())
}

fn stop(draft: &mut Draft<'_>, rollout: &Rollout, cause: Cause) {
    let Some(id) = rollout.deployment.clone() else {
        never_begun(draft, rollout, cause);
        return;
    };
    let deployment = match codedeploy::deployment(draft.seen, &id) {
        Fact::Known(deployment) => deployment.clone(),
        Fact::Absent => {
            draft.unobserved("the deployment", "a complete list does not show it");
            return;
        }
        Fact::Unknown(why) => {
            draft.unobserved("the deployment", why.as_str());
            return;
        }
    };
    match deployment.status {
        DeploymentStatus::Created
        | DeploymentStatus::Queued
        | DeploymentStatus::InProgress
        | DeploymentStatus::Ready
        | DeploymentStatus::Other => {
            if is_blue_going(draft, rollout) {
                let what = "blue is being removed, and is deployed again once the deployment has ended";
                rolling_back(draft, rollout, &cause, what);
            } else {
                send_stop(draft, rollout, &cause, id);
            }
        }
        DeploymentStatus::Stopped | DeploymentStatus::Failed => follow(draft, rollout, cause, &deployment),
        DeploymentStatus::Succeeded => lost_the_race(draft, rollout, cause),
    }
}

/// True if all traffic is on green and blue's task set is gone, drains, or wants no tasks: its wait was ended, by somebody at a prompt
/// perhaps, and CodeDeploy does not tell that it was. Who stops the deployment then brings the traffic to where nobody answers.
pub(crate) fn is_blue_going(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let (seen, start) = (draft.seen, &rollout.start);
    let deployment = rollout.deployment.as_deref().map(|id| codedeploy::deployment(seen, id));
    let all_on_green = deployment
        .is_some_and(|fact| fact.known().is_some_and(|deployment| deployment.termination_wait_started));
    let blue = seen.service.known().map(|service| service.task_set(&start.blue, &start.blue_group));
    all_on_green && blue.is_some_and(|blue| blue.is_none_or(|set| set.desired == 0))
}

/// Nothing was deployed. While part of the traffic is elsewhere all the same, that is no way back which has ended.
fn never_begun(draft: &mut Draft<'_>, rollout: &Rollout, cause: Cause) {
    if is_creating(draft) {
        // It may still bring a deployment, and is settled first. No other call in doubt keeps anybody: the database may be away for hours.
        rolling_back(draft, rollout, &cause, "a call in doubt is settled before going back");
        return;
    }
    let patient = draft.now < rollout.since + ROLLBACK_NAMED;
    match start::look_at_rest(draft) {
        AtRest::Edited => {}
        AtRest::Unread if patient => draft.unobserved("where traffic goes", "it could not be read"),
        AtRest::Unread | AtRest::Whole => end(draft, cause),
    }
}

fn send_stop(draft: &mut Draft<'_>, rollout: &Rollout, cause: &Cause, deployment: String) {
    rolling_back(draft, rollout, cause, "the deployment is stopped with rollback");
    if rollout.stop_sent.is_none_or(|sent| draft.now >= sent + STOP_AGAIN) {
        draft.propose(Step::StopDeployment { deployment }, Direction::Back);
    }
}

/// The stop came too late and the deployment succeeded: what is observed counts, so green has settled, and blue is deployed
/// again unless all that is wrong with green is that something newer is asked for.
fn lost_the_race(draft: &mut Draft<'_>, rollout: &Rollout, cause: Cause) {
    let (spec, blue) = (rollout.start.spec.clone(), rollout.start.blue.clone());
    let seen = draft.seen;
    if seen.service.known().is_none() || seen.group.known().is_none() || seen.listeners.known().is_none() {
        draft.unobserved("what serves", "it was not read");
        return;
    }
    if serves_alone(draft, &blue, &rollout.start.blue_group) {
        // Succeeded, by CodeDeploy's word alone.
        end(draft, cause);
        return;
    }
    let replaced = rollout.deployment.as_deref().is_some_and(|id| was_replaced(draft, id));
    if cause == Cause::Superseded && !replaced {
        // What is newer goes on from what succeeded. By an older copy of the ledger it may be under way already.
        draft.note(Entry::RolloutEnded(RolloutEnd::Settled));
        draft.look_in(1);
        start::consider(draft);
        return;
    }
    if end_if_replaced(draft, rollout, rollout.deployment.as_deref(), &cause) {
        return;
    }
    // Settled with nothing begun to take it back, the decision would be forgotten.
    let Some(serving) = start::serving(draft) else { return };
    draft.note(Entry::RolloutEnded(RolloutEnd::Settled));
    start::redeploy(draft, &spec, &serving, blue.clone(), cause.clone());
    // By an older copy of the ledger it was begun before, or somebody else deploys.
    super::find_own(draft);
    if let Some(redeployment) = draft.rollout() {
        deploying_again(draft, &redeployment, &blue, &cause);
    }
}

/// A rollback is a deployment of its own: followed to its end, then listener and task set must be blue's again.
fn follow(draft: &mut Draft<'_>, rollout: &Rollout, cause: Cause, stopped: &Deployment) {
    let by = stopped.rolled_back_by.clone().or(rollout.rollback_deployment.clone());
    if let Some(by) = &by
        && rollout.rollback_deployment.as_ref() != Some(by)
    {
        draft.note(Entry::RollbackDeploymentKnown(by.clone()));
    }
    let rollback = by.as_deref().map(|id| codedeploy::deployment(draft.seen, id));
    match rollback.map(|fact| fact.map(|d| d.status)) {
        Some(Fact::Known(DeploymentStatus::Failed | DeploymentStatus::Stopped)) => {
            if is_blue_back(draft, rollout) {
                end(draft, cause);
            } else if !end_if_replaced(draft, rollout, by.as_deref(), &cause)
                && !start::is_held_for_another(draft, rollout)
            {
                let message = "CodeDeploy's rollback ended without success and traffic is not wholly on blue";
                draft.held(Held::RollbackFailed, message.into()).on(by.unwrap_or_default());
            }
        }
        Some(Fact::Known(DeploymentStatus::Succeeded)) => {
            if serves_alone(draft, &rollout.start.blue, &rollout.start.blue_group) {
                end(draft, cause);
            } else if !end_if_replaced(draft, rollout, by.as_deref(), &cause) {
                let what = "CodeDeploy's rollback has ended";
                let blue = (&rollout.start.blue, &rollout.start.blue_group);
                being_read(draft, rollout, &cause, what, blue);
            }
        }
        Some(Fact::Known(_) | Fact::Absent | Fact::Unknown(_)) => {
            rolling_back(draft, rollout, &cause, "traffic goes back to blue");
        }
        None => without_rollback(draft, rollout, cause, stopped.ended),
    }
}

/// Ends a way back after which something else was deployed, and says whether it did. What is under way is taken over in the same pass:
/// otherwise the release would be told to have gone back while it gets something newer.
fn end_if_replaced(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    deployment: Option<&str>,
    cause: &Cause,
) -> bool {
    if deployment.map_or_else(|| is_overtaken(draft, rollout), |id| was_replaced(draft, id)) {
        // What is in force may be what serves: an order that named what went back is read anew against that.
        end(draft, cause.clone());
        return true;
    }
    let followed = is_followed(draft, rollout);
    if followed {
        end(draft, cause.clone());
        start::consider(draft);
    }
    followed
}

/// True if the version in force is newer than the rollout's and under way. Its deployment began when this rollout was over: a newer copy
/// of the ledger knew that end.
pub(super) fn is_followed(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let (Some(all), Some(accepted)) = (draft.seen.deployments.known(), &draft.state.accepted) else {
        return false;
    };
    accepted.modified > rollout.start.spec.modified
        && draft.state.open.is_empty()
        && start::in_progress(all)
            .is_some_and(|active| goes_forward(draft, active) && start::is_made_for(active, draft, accepted))
}

/// True if something newer was deployed to its end. A way back that has made no deployment yet was over then, by a newer copy of the
/// ledger: what it would bring is older than what serves.
pub(super) fn is_overtaken(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let overtakes = |deployment: &Deployment| {
        deployment.status == DeploymentStatus::Succeeded && brings_newer(draft, rollout, deployment)
    };
    draft.seen.deployments.known().is_some_and(|all| all.iter().any(overtakes))
}

/// True of a deployment of ours that brings a version newer than the rollout's, in this life of the spec parameter.
pub(crate) fn brings_newer(draft: &Draft<'_>, rollout: &Rollout, deployment: &Deployment) -> bool {
    let spec = &rollout.start.spec;
    goes_forward(draft, deployment)
        && deployment.created > spec.modified
        && deployment.marker.as_ref().is_some_and(|marker| marker.version > spec.version)
}

/// True if a deployment that began after this one has succeeded, and production follows it: what this one brought back, somebody
/// has replaced since. The listener is then where it should be, and is not asked to be put back. A deployment that CodeDeploy made to
/// take another back has replaced nothing: what that was to replace serves again.
pub(super) fn was_replaced(draft: &Draft<'_>, id: &str) -> bool {
    let seen = draft.seen;
    let (Some(all), Some(service), Some(listeners)) =
        (seen.deployments.known(), seen.service.known(), seen.listeners.known())
    else {
        return false;
    };
    let Some(this) = all.iter().find(|deployment| deployment.id == id) else { return false };
    let later = |other: &&Deployment| !other.is_rollback && other.created > this.created;
    all.iter().filter(later).any(|other| other.status == DeploymentStatus::Succeeded)
        && all.iter().all(|deployment| deployment.status.is_terminal())
        && matches!(split_at_rest(service, listeners), Split::Expected(_))
}

/// The deployment stopped and CodeDeploy has named no rollback (yet). It may have stopped long after that was decided.
fn without_rollback(draft: &mut Draft<'_>, rollout: &Rollout, cause: Cause, ended: Option<Timestamp>) {
    if draft.now < ended.map_or(rollout.since, |ended| ended.max(rollout.since)) + ROLLBACK_NAMED {
        rolling_back(draft, rollout, &cause, "CodeDeploy begins its rollback");
        return;
    }
    if is_blue_back(draft, rollout) {
        end(draft, cause);
    } else if !end_if_replaced(draft, rollout, rollout.deployment.as_deref(), &cause)
        && !start::is_held_for_another(draft, rollout)
    {
        let message = "the deployment stopped without a rollback and traffic is not wholly on blue";
        draft.held(Held::RollbackFailed, message.into()).on(rollout.deployment.clone().unwrap_or_default());
    }
}

/// What went back has ended well, and what should serve does not do so alone: for a moment it is still being read, and then
/// somebody else has moved traffic, or what went before was not cleared away, or CodeDeploy says what is not so.
fn being_read(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    cause: &Cause,
    what: &str,
    (revision, group): (&RevisionArn, &TargetGroup),
) {
    if draft.now < rollout.since + ROLLBACK_NAMED {
        rolling_back(draft, rollout, cause, &format!("{what} and its result is being read"));
        return;
    }
    let (Some(service), Some(listeners)) = (draft.seen.service.known(), draft.seen.listeners.known()) else {
        draft.unobserved("what serves", "it could not be read");
        return;
    };
    if start::is_held_for_another(draft, rollout) {
        return;
    }
    let serves = |set: &&TaskSet| set.revision == *revision && set.target_group.as_ref() == Some(group);
    let left = left_behind(service, Some(revision), group).map(|set| (set.id.clone(), set.revision.clone()));
    if service.primary().filter(serves).is_none() {
        let found = service.primary().map_or_else(
            || "the service has no primary task set".to_owned(),
            |set| format!("the primary task set, {}, runs {}", set.id, set.revision),
        );
        let message = format!("{what}, but {found}; {revision} should serve behind {group}");
        draft.held(Held::TrafficDisagrees, message).on(group.0.clone());
    } else if !listeners.production.forwards_only_to(group) {
        let message = format!("{what}, and the listener does not forward to {group} alone");
        draft.held(Held::ListenerEdited, message).on(group.0.clone());
    } else if let Some((set, other)) = left {
        let message =
            format!("{what}, and {other} still runs behind {group} in task set {set}; delete that set");
        draft.held(Held::RollbackFailed, message).on(set);
    } else {
        rolling_back(draft, rollout, cause, &format!("{what} and its result is being read"));
    }
}

fn end(draft: &mut Draft<'_>, cause: Cause) {
    draft.note(Entry::RolloutEnded(RolloutEnd::RolledBack(cause)));
    draft.look_in(1);
}

/// The primary task set runs this revision behind this group, no other revision does, and production forwards to it alone.
fn serves_alone(draft: &Draft<'_>, revision: &RevisionArn, group: &TargetGroup) -> bool {
    let Some(service) = draft.seen.service.known() else { return false };
    let on_group = draft.seen.listeners.known().is_some_and(|l| l.production.forwards_only_to(group));
    let serves = |set: &TaskSet| &set.revision == revision && set.target_group.as_ref() == Some(group);
    on_group && service.primary().is_some_and(serves) && left_behind(service, Some(revision), group).is_none()
}

/// True if blue serves alone: where it was, or behind the other group, where a deployment that people made brings it.
fn is_blue_back(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    is_back(draft, rollout, &rollout.start.blue)
}

fn is_back(draft: &Draft<'_>, rollout: &Rollout, revision: &RevisionArn) -> bool {
    let groups = [&rollout.start.blue_group, &rollout.start.green_group];
    groups.iter().any(|group| serves_alone(draft, revision, group))
}

/// True if production forwards to green alone: only then may what it replaces be deleted. Otherwise the wait says why not.
pub(super) fn all_traffic_on_green(draft: &mut Draft<'_>, rollout: &Rollout) -> bool {
    let group = &rollout.start.green_group;
    let Some(listeners) = draft.seen.listeners.known() else {
        draft.unobserved("where traffic goes", "the listeners could not be read");
        return false;
    };
    if listeners.production.forwards_only_to(group) {
        return true;
    }
    let found = listeners
        .production
        .percent(group)
        .map_or_else(|| "rules that disagree".to_owned(), |percent| format!("{percent:.0} % on {group}"));
    let expected = format!("100 % on {group}");
    let message =
        format!("the listener has {found}; expected is {expected}; nothing is deleted until it is put back");
    draft.held(Held::ListenerEdited, message).measured(found, expected);
    false
}

/// Deploys the exact old revision again: all at once behind the Ready wait, guarded by `green-healthy` only.
fn redeploy(draft: &mut Draft<'_>, rollout: &Rollout, to: &RevisionArn, cause: Cause) {
    let Some(id) = rollout.deployment.clone() else {
        if end_if_replaced(draft, rollout, None, &cause) {
            return;
        }
        let idle = draft.seen.deployments.known().is_some_and(|all| start::is_idle(draft.now, all));
        deploying_again(draft, rollout, to, &cause);
        if change::is_in_the_way(draft) {
            // Given back by the schema machine in this very pass: no deployment is begun that could not work.
            return;
        }
        if let Some(why) = change::unread_in_the_way(draft, start::digest_of(draft, to).as_ref()) {
            draft.unobserved("whether the old form is still hidden", why.as_str());
            return;
        }
        if idle && draft.seen.listeners.known().is_none() {
            draft.unobserved("where traffic goes", "the listeners could not be read");
        } else if idle && start::has_footing(draft, to) {
            provision::create(draft, rollout, to.clone(), Direction::Back);
        }
        return;
    };
    let deployment = match codedeploy::deployment(draft.seen, &id) {
        Fact::Known(deployment) => deployment.clone(),
        Fact::Absent | Fact::Unknown(_) => {
            draft.unobserved("the redeployment", "it could not be read");
            return;
        }
    };
    let let_go = rollout.continue_sent.is_some();
    match codedeploy::read(&deployment, draft.seen, &rollout.start.green_group, let_go) {
        Where::Installing | Where::Shifting { .. } => {
            deploying_again(draft, rollout, to, &cause);
        }
        Where::Ready => {
            deploying_again(draft, rollout, to, &cause);
            if draft.gate(gates::green_healthy(draft, rollout)) && !forward::is_let_go(draft, rollout) {
                draft.propose(Step::ContinueTraffic { deployment: id }, Direction::Back);
            }
        }
        Where::Shifted { waiting } => {
            rolling_back(draft, rollout, &cause, &format!("{to} serves again; what it replaces is removed"));
            let sent_long_ago = rollout.retire_sent.is_none_or(|at| draft.now >= at + STOP_AGAIN * 5);
            if waiting && sent_long_ago && all_traffic_on_green(draft, rollout) {
                draft.propose(Step::ContinueTermination { deployment: id }, Direction::Back);
            }
        }
        Where::Succeeded => {
            if serves_alone(draft, to, &rollout.start.green_group) {
                end(draft, cause);
            } else if !end_if_replaced(draft, rollout, Some(&id), &cause) {
                let what = "the redeployment has ended";
                being_read(draft, rollout, &cause, what, (to, &rollout.start.green_group));
            }
        }
        Where::Ended { code, .. } => redeploy_again(draft, rollout, (to, cause), (&deployment, &code)),
    }
}

/// The redeployment ended without success: people may have brought the revision back, or ask for something newer; else it is made again.
fn redeploy_again(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    (to, cause): (&RevisionArn, Cause),
    (ended, code): (&Deployment, &str),
) {
    if is_back(draft, rollout, to) {
        end(draft, cause);
        return;
    }
    if end_if_replaced(draft, rollout, Some(&ended.id), &cause) {
        return;
    }
    if start::is_superseded(draft, rollout) {
        end(draft, cause);
        return;
    }
    let again = ended.ended.unwrap_or(rollout.since) + REDEPLOY_AGAIN;
    // A call that was given up may have landed since: what it made is the next attempt.
    if draft.now >= again || start::own_under_way(draft, rollout).is_some() {
        let (deployment, code) = (ended.id.clone(), code.to_owned());
        draft.note(Entry::RedeploymentFailed { deployment, code });
        super::find_own(draft);
        draft.look_in(1);
        return;
    }
    draft
        .held(Held::RollbackFailed, format!("the redeployment of {to} ended ({code}); it is made again"))
        .on(ended.id.clone())
        .until(again, OnDeadline::Continue)
        .unblock(LOOK_AT_ITS_TASKS);
}
