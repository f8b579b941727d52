//! Forward: provisioning, verifying, shifting, confirming, baking, retiring.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    Fact,
    decision::{Step, Verify},
    duration::human,
    gate::Gate,
    ledger::{Cause, Entry, Rollout, RolloutEnd, RolloutPhase},
    observation::{Deployment, DeploymentStatus, Listener, Service},
    spec::Traffic,
    verdict::Verdict,
    waiting::{Class, Held, OnDeadline, Reason},
};

use super::{back, judge, provision, start};
use crate::{
    draft::{Direction, Draft},
    engine::codedeploy::{self, Where},
    gates,
    traffic::{Split, green_percent, left_behind, split},
};

/// CodeDeploy gives an installation this long. Source: Install waits up to 60 minutes for steady state.
pub(super) const INSTALL_LIMIT: SignedDuration = SignedDuration::from_mins(60);

/// A phase begins with the read that showed it, which may be so much later than CodeDeploy's own clock says.
const READ_LATER: SignedDuration = SignedDuration::from_mins(1);

/// A stopped deployment whose target cannot be read for this long is judged by what the ledger knows.
pub(crate) const TARGET_READ_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// A call that lets traffic go and shows no effect is sent again after this long: CodeDeploy may tell of it late.
const CONTINUE_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The pause doubles until it is so long: CodeDeploy may stand for hours, and a call a minute would not move it. Longer, and what comes
/// back at last would wait, or be ended by CodeDeploy's own wait.
const CONTINUE_AGAIN_AT_MOST: SignedDuration = SignedDuration::from_mins(5);

/// Two confirming reads are at least this far apart.
const CONFIRM_APART: SignedDuration = SignedDuration::from_secs(10);

/// Carries a forward rollout on.
pub(super) fn go_on(draft: &mut Draft<'_>) {
    let Some(rollout) = draft.rollout() else { return };
    if let Some(cause) = people_turn_back(draft, &rollout) {
        turn_back(draft, cause);
        return;
    }
    let Some(id) = rollout.deployment.clone() else {
        if !start::waits_for_another(draft, &rollout) && frozen(draft, &rollout, None, None) == Frozen::No {
            provision::preflight(draft, &rollout);
        }
        return;
    };
    match codedeploy::deployment(draft.seen, &id) {
        Fact::Known(deployment) => {
            let deployment = deployment.clone();
            carry_on(draft, &rollout, &deployment);
        }
        Fact::Absent => draft.unobserved("the deployment", "a complete list does not show it"),
        Fact::Unknown(why) => draft.unobserved("the deployment", why.as_str()),
    }
}

/// An abort of the version in flight, or a newer spec before the first production weight. Once blue is being removed an
/// abort waits for the settled state and redeploys; for as long as blue stays all the same, [`shifted`] looks at it.
fn people_turn_back(draft: &Draft<'_>, rollout: &Rollout) -> Option<Cause> {
    if is_aborted(draft, rollout) && rollout.phase != RolloutPhase::Retiring {
        return Some(Cause::Ordered);
    }
    (start::is_superseded(draft, rollout) && has_no_traffic(draft, rollout)).then_some(Cause::Superseded)
}

/// True before the first production weight, by the ledger and by CodeDeploy: a call in doubt may have let traffic go, or somebody at a
/// prompt while nobody looked.
fn has_no_traffic(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let lets_go = |step: &Step| matches!(step, Step::ContinueTraffic { .. });
    let noted = rollout.traffic_since.is_some() || rollout.continue_sent.is_some();
    if noted || draft.state.open.iter().any(|(intent, _)| lets_go(&intent.step)) {
        return false;
    }
    let Some(id) = rollout.deployment.as_deref() else { return true };
    let deployment = match codedeploy::deployment(draft.seen, id) {
        Fact::Known(deployment) => deployment,
        Fact::Absent => return true,
        Fact::Unknown(_) => return false,
    };
    let moved = match &deployment.target {
        Fact::Known(target) => target.traffic_since.is_some(),
        Fact::Absent => false,
        Fact::Unknown(_) => green_percent(&draft.seen.listeners, &rollout.start.green_group)
            .is_none_or(|percent| percent > 0.0),
    };
    !moved && !deployment.termination_wait_started && deployment.status != DeploymentStatus::Succeeded
}

fn is_aborted(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    draft.abort == Some(rollout.start.spec.version)
}

/// Decides to go back, and does the first step of it in the same pass.
fn turn_back(draft: &mut Draft<'_>, cause: Cause) {
    judge::keep(draft);
    draft.note(Entry::RollbackDecided(cause));
    back::go_back(draft);
}

fn carry_on(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment) {
    learn_green(draft, rollout, deployment);
    let let_go = rollout.continue_sent.is_some();
    match codedeploy::read(deployment, draft.seen, &rollout.start.green_group, let_go) {
        Where::Installing => installing(draft, rollout, deployment),
        Where::Ready => verifying(draft, deployment),
        Where::Shifting { asked } => shifting(draft, deployment, asked),
        Where::Shifted { waiting } => shifted(draft, deployment, waiting),
        Where::Succeeded => retired(draft, deployment),
        Where::Ended { code, rolled_back_by } => {
            ended(draft, rollout, deployment, (&code, rolled_back_by.is_some()));
        }
    }
}

/// An adopted deployment tells which revision it brings.
fn learn_green(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment) {
    let told = deployment.target.known().and_then(|target| target.green.clone());
    if let (None, Some(green)) = (&rollout.green, told) {
        draft.note(Entry::GreenKnown(green));
    }
}

fn enter(draft: &mut Draft<'_>, phase: RolloutPhase) {
    if draft.state.rollout.as_ref().is_some_and(|r| r.phase != phase) {
        draft.note(Entry::Advanced(phase));
    }
}

fn installing(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment) {
    if rollout.phase == RolloutPhase::Preflight {
        enter(draft, RolloutPhase::Provisioning);
    }
    judge::take_baseline(draft, rollout);
    if frozen(draft, rollout, None, None) != Frozen::No {
        return;
    }
    draft
        .wait(Reason::Provisioning, "CodeDeploy starts green's tasks".into(), Class::NeedsTime)
        .on(deployment.id.clone())
        .until(deployment.created + INSTALL_LIMIT, OnDeadline::RollBack)
        .unblock("it passes with time; abort goes back");
    draft.look_in(10);
}

fn verifying(draft: &mut Draft<'_>, deployment: &Deployment) {
    enter(draft, RolloutPhase::Verifying);
    let Some(rollout) = draft.rollout() else { return };
    judge::take_baseline(draft, &rollout);
    draft.look_in(10);
    if let Some(what) = &rollout.probe_failure {
        turn_back(draft, Cause::ProbeFailed { what: what.clone() });
        return;
    }
    if frozen(draft, &rollout, None, None) != Frozen::No {
        return;
    }
    let first = vec![
        gates::spec_valid(draft),
        gates::not_held(draft),
        gates::not_superseded(draft, &rollout),
        gates::green_healthy(draft, &rollout),
    ];
    if !draft.pass_gates(first) {
        ready_wait(draft, &rollout, deployment);
        return;
    }
    if !rollout.start.spec.spec.verify.is_empty() && rollout.verified.is_none() {
        let test = draft.seen.listeners.known().and_then(|l| l.test.clone());
        verify(draft, &rollout, test.as_ref(), false);
        return;
    }
    let Some(rollout) = draft.rollout() else { return };
    let second = vec![
        gates::verified(draft, &rollout),
        gates::expanded(draft, crate::change::phase(draft)),
        gates::in_sync(draft, draft.state.change.as_ref()),
        gates::healthy_so_far(&rollout, None),
        gates::rollback_ready(draft, &rollout),
    ];
    if !draft.pass_gates(second) {
        ready_wait(draft, &rollout, deployment);
        return;
    }
    if is_let_go(draft, &rollout) {
        draft
            .wait(Reason::Shifting, "CodeDeploy was told to let traffic go".into(), Class::NeedsTime)
            .on(deployment.id.clone())
            .unblock("it passes with time; abort goes back in seconds");
        return;
    }
    draft.propose(Step::ContinueTraffic { deployment: deployment.id.clone() }, Direction::Forward);
}

/// True while a call that lets traffic go may still show its effect.
pub(super) fn is_let_go(draft: &Draft<'_>, rollout: &Rollout) -> bool {
    let doublings = rollout.continue_count.saturating_sub(1).min(10);
    let pause = CONTINUE_AGAIN.saturating_mul(1 << doublings).min(CONTINUE_AGAIN_AT_MOST);
    rollout.continue_sent.is_some_and(|sent| draft.now < sent + pause)
}

/// Every wait at Ready has an end: CodeDeploy stops the deployment, and it is created again when the gates open.
fn ready_wait(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment) {
    let Some(lasts) = codedeploy::ready_wait(draft.seen.group.known(), deployment) else { return };
    let deadline = rollout.since + lasts;
    for wait in draft.waiting.iter_mut().filter(|w| w.deadline.is_none()) {
        wait.deadline = Some(deadline);
        wait.on_deadline = OnDeadline::Continue;
        wait.blocked_by.get_or_insert_with(|| deployment.id.clone());
    }
}

/// Sends the probes, on a listener that forwards to green alone in this read; the gate reads it again afterwards.
fn verify(draft: &mut Draft<'_>, rollout: &Rollout, listener: Option<&Listener>, production: bool) {
    let Some(listener) = listener else {
        draft.unobserved("the listener for probes", "it was not read");
        return;
    };
    if !listener.forwards_only_to(&rollout.start.green_group) {
        draft.gate(gates::verified(draft, rollout));
        return;
    }
    let step = Verify {
        address: listener.address.clone(),
        production,
        probes: rollout.start.spec.spec.verify.clone(),
    };
    draft.propose(Step::Verify(step), Direction::Forward);
}

fn shifting(draft: &mut Draft<'_>, deployment: &Deployment, asked: Option<u8>) {
    enter(draft, RolloutPhase::Shifting);
    draft.look_in(10);
    let Some(rollout) = draft.rollout() else { return };
    let percent = green_percent(&draft.seen.listeners, &rollout.start.green_group);
    if rollout.traffic_since.is_none() && percent.is_some_and(|p| p > 0.0) {
        draft.note(Entry::TrafficSeen);
    }
    let Some(rollout) = draft.rollout() else { return };
    let frozen = frozen(draft, &rollout, asked, None);
    let judgement = judge::judged(draft, &rollout, percent.unwrap_or(0.0));
    if let Some(cause) =
        judgement.as_ref().and_then(|j| judge::cause(j, true)).filter(|_| frozen != Frozen::Yes)
    {
        turn_back(draft, cause);
        return;
    }
    draft.gate(gates::healthy_so_far(&rollout, judgement.as_ref()));
    draft.gate(gates::green_healthy(draft, &rollout));
    draft.gate(gates::rollback_ready(draft, &rollout));
    let shown = percent.map_or_else(|| "an unknown share".to_owned(), |p| format!("{p:.0} %"));
    let mut message = format!("CodeDeploy moves traffic, {shown} is on green");
    if !gates::not_held(draft).lets_pass() {
        message.push_str("; a hold cannot stop this shift, abort can");
    }
    message.push_str(&red_alarms(draft));
    draft
        .wait(Reason::Shifting, message, Class::NeedsTime)
        .on(deployment.id.clone())
        .since(rollout.since)
        .unblock("it passes with time; abort goes back in seconds");
}

/// Says which of the group's alarms are red: CodeDeploy stops the deployment for them by itself.
fn red_alarms(draft: &Draft<'_>) -> String {
    let of_group = draft.seen.group.known().map_or(&[][..], |group| &group.alarms);
    let all = draft.seen.alarms.known().map_or(&[][..], |alarms| alarms);
    let red = all.iter().filter(|alarm| alarm.red && of_group.contains(&alarm.name));
    red.map(|alarm| format!("; alarm {} is red, CodeDeploy stops for it", alarm.name)).collect()
}

/// When all weight came to green: CodeDeploy's own instant, or when it was first seen.
fn all_on_green_since(rollout: &Rollout, deployment: &Deployment) -> Timestamp {
    deployment.target.known().and_then(|target| target.traffic_until).unwrap_or(rollout.since)
}

fn shifted(draft: &mut Draft<'_>, deployment: &Deployment, waiting: bool) {
    let Some(before) = draft.rollout() else { return };
    if before.traffic_since.is_none() {
        draft.note(Entry::TrafficSeen);
    }
    match before.phase {
        RolloutPhase::Confirming | RolloutPhase::Baking | RolloutPhase::Retiring => {}
        RolloutPhase::Preflight
        | RolloutPhase::Provisioning
        | RolloutPhase::Verifying
        | RolloutPhase::Shifting
        | RolloutPhase::RollingBack(_) => enter(draft, RolloutPhase::Confirming),
    }
    let Some(rollout) = draft.rollout() else { return };
    draft.look_in(10);
    let retires = rollout.phase == RolloutPhase::Retiring;
    if retires && !blue_stays(draft, &rollout, deployment) {
        retiring(draft, &rollout, deployment);
        return;
    }
    if retires && is_aborted(draft, &rollout) {
        turn_back(draft, Cause::Ordered);
        return;
    }
    let deadline = draft.seen.group.known().and_then(|group| {
        codedeploy::bake_deadline(group, deployment, all_on_green_since(&rollout, deployment))
    });
    let frozen = frozen(draft, &rollout, Some(100), deadline);
    if draft.state.rollout.as_ref().is_some_and(|r| matches!(r.phase, RolloutPhase::RollingBack(_))) {
        return;
    }
    let judgement = judge::judged(draft, &rollout, 100.0);
    if let Some(cause) =
        judgement.as_ref().and_then(|j| judge::cause(j, false)).filter(|_| frozen != Frozen::Yes)
    {
        turn_back(draft, cause);
        return;
    }
    if retires {
        retire_again(draft, &rollout, deployment, frozen);
        return;
    }
    let silent = judgement.as_ref().is_some_and(|j| matches!(j.verdict, Verdict::NoData { .. }));
    if rollout.phase == RolloutPhase::Confirming {
        confirming(draft, &rollout, frozen);
    } else {
        baking(draft, &rollout, deployment, frozen, silent, waiting);
    }
    unserved(draft, deadline);
}

/// Weights read twice; two closed minutes in which blue got nothing while green got something; probes on production.
fn confirming(draft: &mut Draft<'_>, rollout: &Rollout, frozen: Frozen) {
    let mut missing = vec![];
    if frozen == Frozen::No && rollout.confirmations < 2 {
        let far_enough = rollout.confirmed_at.is_none_or(|at| draft.now >= at + CONFIRM_APART);
        if far_enough {
            draft.note(Entry::Confirmed);
        }
        missing.push("the weights are read twice".to_owned());
    }
    let quiet = quiet_minutes(draft, rollout);
    if quiet < 2 {
        missing.push(format!("{quiet} of 2 closed minutes show requests on green and none on blue"));
    }
    let probes = !rollout.start.spec.spec.verify.is_empty();
    if probes && rollout.verified_production.is_none() {
        missing.push("the probes are sent on production".to_owned());
        if missing.len() == 1 && frozen == Frozen::No {
            if let Some(what) = &rollout.probe_failure {
                turn_back(draft, Cause::ProbeFailed { what: what.clone() });
                return;
            }
            if draft.pass_gates(vec![gates::spec_there(draft), gates::not_held(draft)]) {
                let production = draft.seen.listeners.known().map(|l| l.production.clone());
                verify(draft, rollout, production.as_ref(), true);
            }
        }
    }
    if missing.is_empty() && frozen == Frozen::No {
        judge::keep(draft);
        enter(draft, RolloutPhase::Baking);
        draft.note(Entry::BakeClock { running: true });
        draft.look_in(1);
        return;
    }
    draft
        .wait(
            Reason::Confirming,
            format!("all traffic is on green; {}", missing.join(", ")),
            Class::NeedsTime,
        )
        .since(rollout.since)
        .unblock("it passes with time and traffic");
}

/// Closed minutes since confirming began in which green has requests and blue has none.
fn quiet_minutes(draft: &Draft<'_>, rollout: &Rollout) -> usize {
    let minutes = draft.seen.minutes.known().map_or(&[][..], |m| m);
    let (blue, green) = (&rollout.start.blue_group, &rollout.start.green_group);
    let requests = |minute: &tidegate_model::observation::Minute, group| {
        minute.groups.get(group).and_then(|c| c.requests).unwrap_or(0.0)
    };
    minutes
        .iter()
        .filter(|minute| minute.at >= rollout.since)
        .filter(|minute| requests(minute, green) > 0.0 && requests(minute, blue) <= 0.0)
        .count()
}

fn baking(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    deployment: &Deployment,
    frozen: Frozen,
    silent: bool,
    waiting: bool,
) {
    let runs = frozen == Frozen::No && !silent;
    if runs != rollout.bake.running_since.is_some() {
        draft.note(Entry::BakeClock { running: runs });
    }
    let Some(rollout) = draft.rollout() else { return };
    let judgement = draft.judgement.clone();
    let readings = vec![
        gates::spec_there(draft),
        gates::not_held(draft),
        gates::healthy_so_far(&rollout, judgement.as_ref()),
        gates::rollback_ready(draft, &rollout),
        gates::baked(draft, &rollout),
    ];
    let open = draft.pass_gates(readings);
    let served = human(rollout.bake.served_at(draft.now));
    let wanted = human(rollout.start.spec.spec.bake.duration());
    let message = if silent {
        format!("the bake stands at {served} of {wanted}: green reports no requests")
    } else {
        format!("green serves everything and blue is warm; {served} of {wanted} served")
    };
    let message = message + &red_alarms(draft);
    draft
        .wait(Reason::Baking, message, Class::NeedsTime)
        .since(rollout.since)
        .measured(served, wanted)
        .unblock("it passes with time; abort goes back in seconds");
    if open && frozen == Frozen::No && waiting {
        let step = Step::ContinueTermination { deployment: deployment.id.clone() };
        if draft.propose(step, Direction::Forward) {
            draft.note(Entry::BakeClock { running: false });
            draft.note(Entry::Advanced(RolloutPhase::Retiring));
        }
    }
}

/// A bake that is unserved 30 minutes before CodeDeploy deletes blue goes back, unless only people or a suspicion kept it, or a blue
/// that cannot carry the load: a good release must not go back for an order, a spec that is gone, or what never became clear.
fn unserved(draft: &mut Draft<'_>, deadline: Option<Timestamp>) {
    let Some(deadline) = deadline else { return };
    let suspect = draft.judgement.as_ref().is_some_and(|judgement| judgement.verdict == Verdict::Suspect);
    let kept = suspect || !may_go_on(draft) || !draft.is_open(Gate::RollbackReady);
    let served = draft.is_open(Gate::Baked) && kept;
    for wait in draft.waiting.iter_mut().filter(|w| w.deadline.is_none()) {
        wait.deadline = Some(deadline);
        wait.on_deadline = if served { OnDeadline::Continue } else { OnDeadline::RollBack };
    }
    let going_forward = draft
        .state
        .rollout
        .as_ref()
        .is_some_and(|r| matches!(r.phase, RolloutPhase::Confirming | RolloutPhase::Baking));
    if going_forward && draft.now >= deadline && !served {
        turn_back(draft, Cause::BakeUnserved);
    }
}

/// True if people let this go on: there is a spec, and no hold.
fn may_go_on(draft: &Draft<'_>) -> bool {
    gates::spec_there(draft).lets_pass() && gates::not_held(draft).lets_pass()
}

fn retiring(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment) {
    draft
        .wait(Reason::Retiring, "CodeDeploy removes blue".into(), Class::NeedsTime)
        .on(deployment.id.clone())
        .since(rollout.since)
        .unblock("it passes with time");
}

/// True if the call that removes blue had no effect: none is in doubt, and none was taken, or CodeDeploy still waits long after, and
/// blue's tasks run. Then going back is as quick as before it.
fn blue_stays(draft: &Draft<'_>, rollout: &Rollout, deployment: &Deployment) -> bool {
    let sent_long_ago = rollout.retire_sent.is_none_or(|at| draft.now >= at + SignedDuration::from_mins(5));
    let start = &rollout.start;
    let blue =
        draft.seen.service.known().and_then(|service| service.task_set(&start.blue, &start.blue_group));
    deployment.termination_wait_started
        && sent_long_ago
        && draft.state.open.is_empty()
        && blue.is_some_and(|set| set.running > 0)
        && !back::is_blue_going(draft, rollout)
}

fn retire_again(draft: &mut Draft<'_>, rollout: &Rollout, deployment: &Deployment, frozen: Frozen) {
    retiring(draft, rollout, deployment);
    let judgement = draft.judgement.clone();
    let readings = vec![
        gates::spec_there(draft),
        gates::not_held(draft),
        gates::healthy_so_far(rollout, judgement.as_ref()),
    ];
    if draft.pass_gates(readings) && frozen == Frozen::No && back::all_traffic_on_green(draft, rollout) {
        let step = Step::ContinueTermination { deployment: deployment.id.clone() };
        draft.propose(step, Direction::Forward);
    }
}

/// CodeDeploy says that it succeeded. That is never believed alone: listener, task sets and revision must agree, and green be
/// healthy, read twice. What somebody has deployed since is no disagreement.
fn retired(draft: &mut Draft<'_>, deployment: &Deployment) {
    enter(draft, RolloutPhase::Retiring);
    let Some(rollout) = draft.rollout() else { return };
    draft.look_in(10);
    if draft.seen.service.unknown().is_some() || draft.seen.listeners.unknown().is_some() {
        draft.unobserved("what serves", "it was not read");
        return;
    }
    if let Some(problem) = disagreement(draft, &rollout) {
        let Some(end) = replaced(draft, &rollout, deployment) else {
            if !start::is_held_for_another(draft, &rollout) {
                let message = format!("CodeDeploy says succeeded, but {problem}");
                draft.held(Held::TrafficDisagrees, message);
            }
            return;
        };
        draft.note(Entry::RolloutEnded(end));
        draft.look_in(1);
        if back::is_followed(draft, &rollout) {
            start::consider(draft);
        }
        return;
    }
    // Tasks that an autoscaler has just added are no disagreement; and what is to be replaced at once need not be healthy.
    let healthy = gates::green_healthy(draft, &rollout);
    if !draft.gate(healthy) && !is_aborted(draft, &rollout) && !start::is_superseded(draft, &rollout) {
        return;
    }
    let far_enough = rollout.confirmed_at.is_none_or(|at| draft.now >= at + CONFIRM_APART);
    if rollout.confirmations >= 1 && far_enough {
        settle(draft, &rollout);
        return;
    }
    if rollout.confirmations == 0 {
        draft.note(Entry::Confirmed);
    }
    draft
        .wait(Reason::Retiring, "everything agrees and is read a second time".into(), Class::NeedsTime)
        .unblock("it passes with time");
}

/// How a rollout ended whose deployment succeeded and after which something else was deployed: by an older copy of the ledger, or by
/// somebody else. What the version in force is about to replace had settled, and has its tasks.
fn replaced(draft: &Draft<'_>, rollout: &Rollout, deployment: &Deployment) -> Option<RolloutEnd> {
    let followed = back::is_followed(draft, rollout);
    let runs =
        |service: &Service| service.task_sets.iter().any(|set| Some(&set.revision) == rollout.green.as_ref());
    if followed && draft.seen.service.known().is_some_and(runs) {
        return Some(RolloutEnd::Settled);
    }
    let over = followed || back::was_replaced(draft, &deployment.id);
    over.then_some(RolloutEnd::RolledBack(Cause::Superseded))
}

/// Green has settled. What waited for that begins in the same pass. Only the order keeps an abort, and in the next pass it might name
/// what is no longer in force; and something newer may be under way already, by an older copy of the ledger.
fn settle(draft: &mut Draft<'_>, rollout: &Rollout) {
    let waited = is_aborted(draft, rollout) || start::is_superseded(draft, rollout);
    draft.note(Entry::RolloutEnded(RolloutEnd::Settled));
    draft.look_in(1);
    if waited {
        start::consider(draft);
    }
}

fn disagreement(draft: &Draft<'_>, rollout: &Rollout) -> Option<String> {
    let Some(service) = draft.seen.service.known() else { return Some("the service does not exist".into()) };
    let Some(listeners) = draft.seen.listeners.known() else {
        return Some("the listeners do not exist".into());
    };
    let group = &rollout.start.green_group;
    let Some(primary) = service.primary() else { return Some("the service has no primary task set".into()) };
    if Some(&primary.revision) != rollout.green.as_ref() || primary.target_group.as_ref() != Some(group) {
        return Some(format!("the primary task set runs {}", primary.revision));
    }
    if !listeners.production.forwards_only_to(group) {
        return Some("the production listener does not forward to green alone".into());
    }
    left_behind(service, rollout.green.as_ref(), group).map(gates::not_cleared)
}

/// The deployment ended without success. After the Ready wait with a gate closed the revision has not failed.
fn ended(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    deployment: &Deployment,
    (code, rolled_back): (&str, bool),
) {
    let Traffic::Codedeploy(_) = &rollout.start.spec.spec.traffic;
    let may_have_waited = rollout.continue_sent.is_none()
        && rollout.probe_failure.is_none()
        && deployment.status == DeploymentStatus::Stopped
        && code != "ALARM_ACTIVE";
    let waited = match waited(draft, rollout, deployment) {
        Fact::Known(waited) => may_have_waited && waited,
        Fact::Absent => false,
        Fact::Unknown(why) if may_have_waited => {
            draft.unobserved("how long the deployment had waited", why.as_str());
            return;
        }
        Fact::Unknown(_) => false,
    };
    if waited {
        if rolled_back && !rolled_back_quietly(draft) {
            let message = "the Ready wait is over and CodeDeploy takes the deployment back; it is made again afterwards";
            draft
                .wait(Reason::RollingBack, message.into(), Class::NeedsTime)
                .on(deployment.id.clone())
                .unblock("it passes with time");
            draft.look_in(10);
            return;
        }
        draft.note(Entry::DeploymentForgotten);
        super::find_own(draft);
        draft.look_in(1);
        return;
    }
    turn_back(draft, Cause::DeploymentEnded { code: code.to_owned() });
}

/// Whether a deployment that was stopped had waited at Ready for as long as CodeDeploy lets it: by CodeDeploy's own clock, because nobody
/// may have looked for as long, and else by when it was read to be there. Absent if it was not there.
fn waited(draft: &Draft<'_>, rollout: &Rollout, deployment: &Deployment) -> Fact<bool> {
    let Some(lasts) = codedeploy::ready_wait(draft.seen.group.known(), deployment) else {
        return Fact::Absent;
    };
    let ended = deployment.ended.unwrap_or(draft.now);
    let is_over = |since| ended.duration_since(since) >= lasts - READ_LATER;
    let read = (rollout.phase == RolloutPhase::Verifying).then_some(rollout.since);
    // A stop may give an event that it skips an instant of its own; what began before that moved traffic, and waited no more.
    let was_let_go = |since| ended.duration_since(since) > READ_LATER;
    let since = match &deployment.target {
        Fact::Known(target) if target.traffic_since.is_some_and(was_let_go) => return Fact::Absent,
        Fact::Known(target) => target.ready_since.or(read),
        Fact::Absent => read,
        // It could have waited for as long, and the ledger does not show it: that is asked for again, but not for ever.
        Fact::Unknown(why)
            if is_over(deployment.created)
                && !read.is_some_and(is_over)
                && draft.now < ended + TARGET_READ_WITHIN =>
        {
            return Fact::Unknown(*why);
        }
        Fact::Unknown(_) => read,
    };
    since.map_or(Fact::Absent, |since| Fact::Known(is_over(since)))
}

/// True once CodeDeploy takes nothing back on the group any more. Another deployment may be under way there: ours, if the ledger is an
/// older copy that does not know it, or somebody else's.
fn rolled_back_quietly(draft: &Draft<'_>) -> bool {
    let over = |d: &Deployment| d.status.is_terminal() || !d.is_rollback;
    draft.seen.deployments.known().is_some_and(|all| all.iter().all(over))
}

/// Whether somebody else moved the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frozen {
    No,
    Yes,
    Unknown,
}

/// Compares the listener with what this release can have caused; a third value freezes every write until it is put back
/// or, while CodeDeploy counts down to deleting blue, until `deadline`: then going back is the only safe way left,
/// because AWS would delete the serving tasks.
fn frozen(
    draft: &mut Draft<'_>,
    rollout: &Rollout,
    asked: Option<u8>,
    deadline: Option<Timestamp>,
) -> Frozen {
    let Traffic::Codedeploy(traffic) = &rollout.start.spec.spec.traffic;
    match split(rollout, draft.seen, asked, codedeploy::shift_step(traffic.shift)) {
        Split::Expected(_) => {
            if rollout.frozen.is_some() {
                draft.note(Entry::Frozen(false));
            }
            Frozen::No
        }
        Split::Unknown(what) => {
            draft.unobserved("where traffic goes", what);
            Frozen::Unknown
        }
        Split::Edited { found, expected } => {
            if rollout.frozen.is_none() {
                draft.note(Entry::Frozen(true));
            }
            let message = format!(
                "the listener has {found}; expected is {expected}; nothing is written until it is put back"
            );
            let wait = draft.held(Held::ListenerEdited, message).measured(found, expected);
            if let Some(deadline) = deadline {
                wait.until(deadline, OnDeadline::RollBack);
                if draft.now >= deadline {
                    turn_back(draft, Cause::FreezeOver);
                }
            }
            Frozen::Yes
        }
    }
}
