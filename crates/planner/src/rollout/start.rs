//! Whether a rollout begins: the serving revision against the desired one, what is in flight already, and aborts of what
//! has settled.

use jiff::Timestamp;
use tidegate_model::{
    Digest, Fact,
    ledger::{Accepted, Cause, Entry, Rollout, RolloutEnd, RolloutKind, RolloutPhase, RolloutStart},
    name::Marker,
    observation::{Deployment, DeploymentStatus, Service, TargetGroup, TaskSet},
    revision::{RevisionArn, TaskDefinition},
    waiting::{Class, Held, Reason},
};

use super::back;
use crate::{
    change::{self, Footing},
    draft::{Direction, Draft},
    engine::codedeploy,
    gates,
    intake::{failed_under, ignore},
    traffic::{Split, split_at_rest},
};

/// What serves now.
pub(super) struct Serving {
    revision: RevisionArn,
    digest: Digest,
    group: TargetGroup,
    other_group: TargetGroup,
}

/// Begins a rollout, adopts one that is in flight, or says why neither.
pub(super) fn consider(draft: &mut Draft<'_>) {
    let Some(accepted) = draft.state.accepted.clone() else { return };
    let Some(serving) = serving(draft) else { return };
    let Fact::Known(deployments) = draft.seen.deployments.clone() else {
        let why = draft.seen.deployments.unknown().map_or("there are none", |why| why.as_str());
        draft.unobserved("what runs on the deployment group", why);
        return;
    };
    if let Some(active) = in_progress(&deployments) {
        consider_active(draft, &accepted, &serving, active);
        return;
    }
    let abort = draft.abort == Some(accepted.version);
    if serving.digest == accepted.desired {
        if abort {
            redeploy_previous(draft, &accepted, &serving);
        } else if asks_for_what_stayed(draft, &accepted) {
            // It is at its end at once, and the one that went back is over.
            start(draft, &accepted, &serving, RolloutKind::Forward, false);
            draft.note(Entry::RolloutEnded(RolloutEnd::Settled));
        } else {
            at_rest(draft);
        }
        return;
    }
    if draft.state.spec_absent.is_some() {
        // Nothing begins for a spec that may be gone.
        at_rest(draft);
        return;
    }
    if let Some(end) = failed_under(draft, &accepted) {
        let RolloutEnd::RolledBack(cause) = end else { return };
        let message = format!("the revision of spec version {} failed: {cause}", accepted.version);
        draft.held(Held::RevisionFailed, message);
        at_rest(draft);
        return;
    }
    match change::footing(draft, &accepted.desired) {
        Footing::Firm => {}
        Footing::Gone => {
            let message = format!(
                "the revision of spec version {} names what was purged, so it would fail",
                accepted.version
            );
            draft.held(Held::NamesPurged, message);
            at_rest(draft);
            return;
        }
        Footing::InDoubt => {
            purge_in_doubt(draft);
            at_rest(draft);
            return;
        }
    }
    if let Some(lost) = newest_unknown(draft, &accepted, &deployments).filter(went_back).cloned() {
        if takes_back(&lost) {
            start(draft, &accepted, &serving, RolloutKind::Forward, true);
            draft.note(Entry::RollbackDecided(lost_cause(draft)));
        } else {
            adopt(draft, &accepted, &serving, &lost);
        }
        return;
    }
    start(draft, &accepted, &serving, RolloutKind::Forward, false);
    if abort {
        draft.note(Entry::RollbackDecided(Cause::Ordered));
    }
}

/// True of the first spec after a version that went back, if what serves is what it asks for.
fn asks_for_what_stayed(draft: &Draft<'_>, accepted: &Accepted) -> bool {
    let went_back = draft.state.last.as_ref().filter(|last| matches!(last.end, RolloutEnd::RolledBack(_)));
    draft.state.spec_absent.is_none() && went_back.is_some_and(|last| last.version != accepted.version)
}

/// The deployment that is in progress on the group: there is at most one.
pub(crate) fn in_progress(deployments: &[Deployment]) -> Option<&Deployment> {
    deployments.iter().find(|deployment| !deployment.status.is_terminal())
}

/// True if no deployment is in progress on the group, and CodeDeploy has none that it may yet begin to take back.
pub(super) fn is_idle(now: Timestamp, deployments: &[Deployment]) -> bool {
    let without_success = |d: &Deployment| {
        matches!(d.status, DeploymentStatus::Stopped | DeploymentStatus::Failed) && d.rolled_back_by.is_none()
    };
    let lately = |d: &Deployment| d.ended.is_some_and(|ended| now < ended + back::ROLLBACK_NAMED);
    in_progress(deployments).is_none() && !deployments.iter().any(|d| without_success(d) && lately(d))
}

/// The primary task set's revision with its content's digest and both target groups, if all of it is known. Told if not.
pub(super) fn serving(draft: &mut Draft<'_>) -> Option<Serving> {
    let seen = draft.seen;
    let service: &Service = match &seen.service {
        Fact::Known(service) => service,
        Fact::Absent => {
            draft.unobserved("the service", "the cluster has no service of this name");
            return None;
        }
        Fact::Unknown(why) => {
            draft.unobserved("the service", why.as_str());
            return None;
        }
    };
    let Some(primary) = service.primary() else {
        draft.unobserved("what serves", "the service has no primary task set");
        return None;
    };
    let group_fact = &seen.group;
    let Some(settings) = group_fact.known() else {
        let why = group_fact.unknown().map_or("it does not exist", |why| why.as_str());
        draft.unobserved("the deployment group", why);
        return None;
    };
    let Some(group) = primary.target_group.clone() else {
        draft.unobserved("what serves", "the primary task set has no target group");
        return None;
    };
    let Some(other_group) = settings.target_groups.iter().find(|g| **g != group).cloned() else {
        draft.unobserved("green's target group", "the deployment group names no second one");
        return None;
    };
    let described = seen.revisions.get(&primary.revision.0);
    let read = described.and_then(Fact::known).map(TaskDefinition::digest);
    // The ledger knows better: an answer that AWS has added members to must not make it another revision.
    let Some(digest) = draft.state.registered_as(&primary.revision).cloned().or(read) else {
        let why = described.and_then(Fact::unknown).map_or("it was not found", |why| why.as_str());
        draft.unobserved("the serving task definition", why);
        return None;
    };
    Some(Serving { revision: primary.revision.clone(), digest, group, other_group })
}

fn start(draft: &mut Draft<'_>, accepted: &Accepted, serving: &Serving, kind: RolloutKind, adopted: bool) {
    draft.note(Entry::RolloutStarted(Box::new(RolloutStart {
        spec: accepted.clone(),
        kind,
        blue: serving.revision.clone(),
        blue_digest: serving.digest.clone(),
        blue_group: serving.group.clone(),
        green_group: serving.other_group.clone(),
        adopted,
    })));
    draft.look_in(1);
}

/// A deployment is in flight that this ledger did not start: ours by its marker is adopted, anything else holds.
fn consider_active(draft: &mut Draft<'_>, accepted: &Accepted, serving: &Serving, active: &Deployment) {
    if is_made_for(active, draft, accepted) && !active.is_rollback {
        adopt(draft, accepted, serving, active);
        // A call that lands late may bring what has failed meanwhile.
        let failed =
            failed_under(draft, accepted).filter(|_| draft.rollout().is_some() && !takes_back(active));
        if let Some(RolloutEnd::RolledBack(cause)) = failed {
            draft.note(Entry::RollbackDecided(cause));
        }
    } else {
        held_for(draft, accepted, active);
    }
}

fn held_for(draft: &mut Draft<'_>, accepted: &Accepted, active: &Deployment) {
    let ours = active.marker.as_ref().filter(|marker| &marker.release == draft.release);
    let (held, message) = match ours.filter(|marker| marker.version > accepted.version) {
        Some(newer) => {
            let (version, known) = (newer.version, accepted.version);
            let message = format!(
                "deployment {} was made for spec version {version}, the ledger knows {known}",
                active.id
            );
            (Held::LedgerBehind, message)
        }
        None => {
            let what = if active.is_rollback { "a rollback" } else { "a deployment that is not ours" };
            (Held::ForeignDeployment, format!("{what}, {}, is in progress on the group", active.id))
        }
    };
    draft.held(held, message).on(active.id.clone());
}

/// Holds a rollout that has made no deployment while another one is in progress, or may be or have been, and says whether it does: where
/// traffic goes is that one's to say, and no edit.
pub(super) fn waits_for_another(draft: &mut Draft<'_>, rollout: &Rollout) -> bool {
    let Fact::Known(deployments) = draft.seen.deployments.clone() else {
        let why = draft.seen.deployments.unknown().map_or("there are none", |why| why.as_str());
        draft.unobserved("what runs on the deployment group", why);
        // What people ordered is told whatever could not be read.
        draft.gate(gates::not_held(draft));
        return true;
    };
    // A call in doubt may have made it.
    let active = in_progress(&deployments).filter(|_| draft.state.open.is_empty());
    let Some(active) = active else { return knows_not_what_serves(draft, rollout) };
    // Ours is not taken over before its colours can be read, and what was not read is told.
    if own_under_way(draft, rollout).is_none() {
        held_for(draft, &rollout.start.spec, active);
    }
    true
}

/// Holds a rollout whose own deployment has ended while another one is in progress, and says whether it does: where traffic goes is
/// that one's to say, and no edit and no disagreement.
pub(super) fn is_held_for_another(draft: &mut Draft<'_>, rollout: &Rollout) -> bool {
    let is_own = |deployment: &Deployment| {
        [&rollout.deployment, &rollout.rollback_deployment]
            .into_iter()
            .flatten()
            .any(|own| *own == deployment.id)
    };
    let seen = draft.seen;
    let active = seen.deployments.known().and_then(|all| in_progress(all)).filter(|active| !is_own(active));
    if let Some(active) = active {
        held_for(draft, &rollout.start.spec, active);
    }
    active.is_some()
}

/// Holds a rollout whose blue somebody has replaced, or may have, and that could not begin anew: where its traffic should be is not
/// known as long as what serves is not read, and says whether it does.
fn knows_not_what_serves(draft: &mut Draft<'_>, rollout: &Rollout) -> bool {
    if let Some(why) = draft.seen.service.unknown() {
        draft.unobserved("what serves", why.as_str());
    } else if !is_replaced(draft, rollout) {
        return false;
    } else if draft.seen.listeners.known().is_none() {
        draft.unobserved("where traffic goes", "the listeners could not be read");
    } else if look_at_rest(draft) != AtRest::Edited {
        let message = format!(
            "{} does not serve any more; this begins from what does once all of that is read and CodeDeploy has nothing \
             more to take back",
            rollout.start.blue
        );
        draft.wait(Reason::RollingBack, message, Class::NeedsTime).unblock("it passes with time");
    }
    draft.gate(gates::not_held(draft));
    true
}

/// True of a deployment of ours that was made for this spec.
pub(super) fn is_made_for(deployment: &Deployment, draft: &Draft<'_>, accepted: &Accepted) -> bool {
    deployment.marker.as_ref().is_some_and(|marker| is_of(marker, draft, accepted))
}

fn is_of(marker: &Marker, draft: &Draft<'_>, accepted: &Accepted) -> bool {
    &marker.release == draft.release
        && marker.version == accepted.version
        && marker.hash == accepted.digest.short()
}

/// The newest deployment of ours, if it was made for this spec and this ledger has never heard of it: the ledger was lost since,
/// or an older copy of it was restored.
fn newest_unknown<'d>(
    draft: &Draft<'_>,
    spec: &Accepted,
    deployments: &'d [Deployment],
) -> Option<&'d Deployment> {
    codedeploy::newest_of_ours(deployments, draft.release)
        .filter(|d| !draft.state.deployments.contains(&d.id))
        .filter(|d| is_made_for(d, draft, spec))
}

/// True of a deployment that did not last, and of one that takes the version back: that is how a failed revision is known
/// without the ledger.
fn went_back(deployment: &&Deployment) -> bool {
    deployment.rolled_back_by.is_some() || takes_back(deployment)
}

/// A rollout that has no deployment yet learns of what was deployed without it: by this release while a newer copy of the ledger was
/// in use, so that the version is not tried once more, or by somebody else.
pub(super) fn learn_of_unknown(draft: &mut Draft<'_>, rollout: &Rollout) {
    let Fact::Known(deployments) = draft.seen.deployments.clone() else { return };
    let newest = newest_unknown(draft, &rollout.start.spec, &deployments);
    let goes_forward = rollout.start.kind == RolloutKind::Forward;
    let learnt = newest.and_then(|newest| match (&rollout.start.kind, takes_back(newest)) {
        (RolloutKind::Forward, true) => Some(Entry::RollbackDecided(lost_cause(draft))),
        (RolloutKind::Forward, false) if newest.status == DeploymentStatus::Succeeded => None,
        (RolloutKind::Forward, false) => Some(Entry::DeploymentKnown(newest.id.clone())),
        (RolloutKind::Redeploy { to, .. }, true) if was_its_end(draft, rollout, newest, to) => {
            Some(Entry::DeploymentKnown(newest.id.clone()))
        }
        (RolloutKind::Redeploy { .. }, true | false) => None,
    });
    match (learnt, newest) {
        // One that ended under other colours than this ledger knows is judged by its own.
        (Some(Entry::DeploymentKnown(_)), Some(ended)) if goes_forward && is_replaced(draft, rollout) => {
            let ended = ended.clone();
            let Some(serving) = serving(draft) else { return };
            adopt_as(draft, &rollout.start.spec, rollout.start.kind.clone(), &serving, &ended);
        }
        (Some(learnt), _) => {
            draft.note(learnt);
            draft.look_in(1);
        }
        (None, _) => begin_anew(draft, rollout, &deployments),
    }
}

/// True if something newer was accepted than what a rollout carries out.
pub(super) fn is_superseded(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    draft.state.accepted.as_ref().is_some_and(|newest| !newest.same_rollout(&rollout.start.spec))
}

/// True if what serves is known, and is not the blue that a rollout started from.
fn is_replaced(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let start = &rollout.start;
    let other =
        |set: &TaskSet| set.revision != start.blue || set.target_group.as_ref() != Some(&start.blue_group);
    draft.seen.service.known().and_then(Service::primary).is_some_and(other)
}

/// True of a rollout without a deployment that may take its colours from what serves now. One that was turned back has nothing to bring.
fn takes_colours_as_they_are(rollout: &Rollout) -> bool {
    rollout.phase == RolloutPhase::Preflight || matches!(rollout.start.kind, RolloutKind::Redeploy { .. })
}

/// True if a redeploy's end is that of the rollout: what succeeded and does not serve any more was replaced by somebody since, and
/// what serves behind the other group was brought under other colours.
fn was_its_end(draft: &Draft<'_>, rollout: &Rollout, deployment: &Deployment, to: &RevisionArn) -> bool {
    let green = &rollout.start.green_group;
    let serves = |set: &TaskSet| set.revision == *to && set.target_group.as_ref() == Some(green);
    deployment.status != DeploymentStatus::Succeeded
        || draft.seen.service.known().and_then(Service::primary).is_some_and(serves)
}

/// What serves at rest is not the blue that the rollout started from: if it is what was to be brought, the rollout is at its end,
/// and otherwise it starts again, from what serves now. Its old blue could not be gone back to, and its green is taken.
fn begin_anew(draft: &mut Draft<'_>, rollout: &Rollout, deployments: &[Deployment]) {
    let (Some(service), Some(listeners)) = (draft.seen.service.known(), draft.seen.listeners.known()) else {
        return;
    };
    let start = &rollout.start;
    let split = split_at_rest(service, listeners);
    if let Split::Unknown(what) = split {
        draft.unobserved("where traffic goes", what);
        return;
    }
    let at_rest = matches!(split, Split::Expected(_)) && is_idle(draft.now, deployments);
    if !is_replaced(draft, rollout) || !at_rest {
        return;
    }
    let Some(serving) = serving(draft) else { return };
    let end = match &start.kind {
        RolloutKind::Forward => (serving.digest == start.spec.desired).then_some(RolloutEnd::Settled),
        RolloutKind::Redeploy { to, cause } => {
            let is_over = serving.revision == *to || back::is_overtaken(draft, rollout);
            is_over.then(|| RolloutEnd::RolledBack(cause.clone()))
        }
    };
    if let Some(end) = end {
        draft.note(Entry::RolloutEnded(end));
        draft.look_in(1);
    } else {
        self::start(draft, &start.spec, &serving, start.kind.clone(), false);
    }
}

/// Takes over what is in flight.
fn adopt(draft: &mut Draft<'_>, accepted: &Accepted, serving: &Serving, deployment: &Deployment) {
    let green = deployment.target.known().and_then(|target| target.green.clone());
    let kind = match (takes_back(deployment), green) {
        (false, _) => RolloutKind::Forward,
        (true, Some(to)) => RolloutKind::Redeploy { to, cause: lost_cause(draft) },
        (true, None) => {
            draft.unobserved("which revision is brought back", "the deployment has not named it yet");
            return;
        }
    };
    adopt_as(draft, accepted, kind, serving, deployment);
}

/// Roles come from the deployment's own task set where green is primary already.
fn adopt_as(
    draft: &mut Draft<'_>,
    accepted: &Accepted,
    kind: RolloutKind,
    serving: &Serving,
    deployment: &Deployment,
) {
    let green = deployment.target.known().and_then(|target| target.green.clone());
    if !has_flipped(draft, deployment, green.as_ref(), serving) {
        start(draft, accepted, serving, kind, true);
    } else {
        let Some(roles) = roles_after_flip(draft, serving) else {
            draft.unobserved("which task set was blue", "no other task set is left");
            return;
        };
        start(draft, accepted, &roles, kind, true);
    }
    draft.note(Entry::DeploymentKnown(deployment.id.clone()));
    if let Some(green) = green {
        draft.note(Entry::GreenKnown(green));
    }
}

/// The deployment under way that was made for a rollout, by its marker.
pub(super) fn own_under_way<'d>(draft: &Draft<'d>, rollout: &Rollout) -> Option<&'d Deployment> {
    let direction = match rollout.start.kind {
        RolloutKind::Forward => Direction::Forward,
        RolloutKind::Redeploy { .. } => Direction::Back,
    };
    codedeploy::under_way(draft.seen, &draft.deployment_marker(&rollout.start.spec, direction))
}

/// Takes over a deployment under way that was made for this rollout, by a call that was lost or under a newer copy of the ledger.
/// A copy from before somebody else swapped the colours knows the wrong blue: its rollout starts anew from what this deployment
/// found.
pub(super) fn take_over(draft: &mut Draft<'_>, rollout: &Rollout, found: &Deployment) {
    if takes_colours_as_they_are(rollout) {
        let Some(serving) = serving(draft) else { return };
        if has_other_colours(draft, rollout, found, &serving) {
            adopt_as(draft, &rollout.start.spec, rollout.start.kind.clone(), &serving, found);
            return;
        }
    }
    draft.note(Entry::DeploymentKnown(found.id.clone()));
    draft.look_in(1);
}

/// True if a deployment's blue is not the one that the rollout started from.
fn has_other_colours(draft: &Draft<'_>, rollout: &Rollout, found: &Deployment, serving: &Serving) -> bool {
    let start = &rollout.start;
    let green = found.target.known().and_then(|target| target.green.as_ref());
    if has_flipped(draft, found, green, serving) {
        let blue = roles_after_flip(draft, serving).map(|roles| roles.revision);
        serving.group != start.green_group || blue.is_some_and(|blue| blue != start.blue)
    } else {
        serving.group != start.blue_group || serving.revision != start.blue
    }
}

/// True if the task set that a deployment made is primary. Where ECS does not say who made it, its revision does, unless what serves is
/// brought once more.
fn has_flipped(
    draft: &Draft<'_>,
    deployment: &Deployment,
    green: Option<&RevisionArn>,
    serving: &Serving,
) -> bool {
    let service = draft.seen.service.known();
    let made = |set: &&TaskSet| set.external_id.as_ref() == Some(&deployment.id);
    match service.and_then(|service| service.task_sets.iter().find(made)) {
        Some(set) => set.target_group.as_ref() == Some(&serving.group),
        None => green == Some(&serving.revision),
    }
}

/// True of a deployment of ours that brings an older revision back.
fn takes_back(deployment: &Deployment) -> bool {
    deployment.marker.as_ref().is_some_and(Marker::takes_back)
}

/// Why a version went back, as far as that is known without the ledger.
fn lost_cause(draft: &Draft<'_>) -> Cause {
    if draft.abort.is_some() {
        return Cause::Ordered;
    }
    Cause::DeploymentEnded { code: "it was taken back before the ledger was lost".to_owned() }
}

fn roles_after_flip(draft: &Draft<'_>, serving: &Serving) -> Option<Serving> {
    let service = draft.seen.service.known()?;
    let blue =
        service.task_sets.iter().find(|set| set.target_group.as_ref() == Some(&serving.other_group))?;
    let digest = match draft.seen.revisions.get(&blue.revision.0) {
        Some(Fact::Known(definition)) => definition.digest(),
        // Only compared to know a repeated reader again: its ARN does as well.
        Some(Fact::Absent | Fact::Unknown(_)) | None => Digest::of(&blue.revision.0),
    };
    Some(Serving {
        revision: blue.revision.clone(),
        digest,
        group: serving.other_group.clone(),
        other_group: serving.group.clone(),
    })
}

/// Nothing is in flight and nothing is wanted: the listener must be wholly on the primary's group.
fn at_rest(draft: &mut Draft<'_>) {
    look_at_rest(draft);
}

/// Where traffic is while nothing of ours moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtRest {
    /// On what serves; or somebody else's deployment moves it, and says where it goes.
    Whole,
    /// Partly elsewhere: told.
    Edited,
    /// Nobody knows.
    Unread,
}

/// Where traffic is, and a hold if part of it is not on what serves though no deployment is under way.
pub(super) fn look_at_rest(draft: &mut Draft<'_>) -> AtRest {
    let seen = draft.seen;
    let (Some(service), Some(listeners), Some(deployments)) =
        (seen.service.known(), seen.listeners.known(), seen.deployments.known())
    else {
        return AtRest::Unread;
    };
    if in_progress(deployments).is_some() {
        return AtRest::Whole;
    }
    let Split::Edited { found, expected } = split_at_rest(service, listeners) else { return AtRest::Whole };
    draft
        .held(Held::ListenerEdited, format!("the listener has {found}; expected is {expected}"))
        .measured(found, expected)
        .unblock("put the listener back to the weights shown as expected");
    AtRest::Edited
}

/// An abort of what has settled: the previous revision is deployed again, unless it names what was purged.
fn redeploy_previous(draft: &mut Draft<'_>, accepted: &Accepted, serving: &Serving) {
    // Deployed again, it serves, and is still what was before what went.
    let before = draft.state.previous.clone().filter(|(previous, _)| *previous != serving.revision);
    let Some((previous, digest)) = before else {
        if let Fact::Known(order) = draft.seen.orders.abort.clone() {
            ignore(draft, "abort", &order, "the ledger knows no revision before the serving one");
        }
        at_rest(draft);
        return;
    };
    if !finds_what_it_names(draft, &previous, &digest) {
        return;
    }
    let kind = RolloutKind::Redeploy { to: previous, cause: Cause::Ordered };
    start(draft, accepted, serving, kind, false);
    debug_assert!(
        draft.state.rollout.as_ref().is_some_and(|r| matches!(r.phase, RolloutPhase::RollingBack(_)))
    );
}

/// True if a revision that is to be brought back finds what its statements name. Told if not.
pub(super) fn has_footing(draft: &mut Draft<'_>, to: &RevisionArn) -> bool {
    digest_of(draft, to).is_none_or(|digest| finds_what_it_names(draft, to, &digest))
}

/// What a revision that is to be brought back consists of, if that is known.
pub(super) fn digest_of(draft: &Draft<'_>, to: &RevisionArn) -> Option<Digest> {
    let known = draft.seen.revisions.get(&to.0).and_then(Fact::known).map(TaskDefinition::digest);
    let previous = draft.state.previous.as_ref().filter(|(previous, _)| previous == to);
    known.or_else(|| previous.map(|(_, digest)| digest.clone()))
}

fn finds_what_it_names(draft: &mut Draft<'_>, to: &RevisionArn, digest: &Digest) -> bool {
    match change::footing(draft, digest) {
        Footing::Firm => true,
        Footing::Gone => {
            let message = format!("{to} names what was purged, so it cannot be deployed again");
            draft.held(Held::RestoreOnly, message);
            false
        }
        Footing::InDoubt => {
            purge_in_doubt(draft);
            false
        }
    }
}

/// If a purge has landed, a revision that needs the old form would fail.
fn purge_in_doubt(draft: &mut Draft<'_>) {
    let (what, why) =
        ("whether the old form is still there", "nobody knows yet what became of the call that drops it");
    draft.unobserved(what, why);
}

/// Begins a redeploy of `to` for a rollout that settled although it should have gone back.
pub(super) fn redeploy(
    draft: &mut Draft<'_>,
    accepted: &Accepted,
    serving: &Serving,
    to: RevisionArn,
    cause: Cause,
) {
    start(draft, accepted, serving, RolloutKind::Redeploy { to, cause }, false);
}
