//! Quarantine: the old form is hidden, the server's log is watched for whoever misses it, and it is given back at once if
//! somebody does. Giving back costs milliseconds and loses nothing, so one refused statement is enough; what was missed
//! counts as a reader, and the quiet window begins anew.
//!
//! Hiding is a forward step behind the gates of contract. Giving back is a step back: no hold, doubt or gate stops it.

use jiff::SignedDuration;
use tidegate_model::{
    Digest, Fact, Why,
    decision::Step,
    ledger::{Broken, ChangeState, Entry, Quarantine, ReaderSeen, RolloutKind},
    revision::TaskDefinition,
    schema::{Denial, Hidden},
    spec::ContractMode,
    waiting::{Class, Reason},
};

use super::{contract::every_row_was_checked, may_name, schema_step};
use crate::{
    draft::{Direction, Draft},
    gates,
};

/// A redeploy goes on without the hidden form after so many refusals to give it back: abort always wins.
const REFUSALS_WAITED_FOR: u32 = 3;

/// Keeps the ledger's side of the watch in step with what is seen, and gives the hidden form back where it must be. In
/// every pass, whatever else the release does.
pub(super) fn watch(draft: &mut Draft<'_>) {
    let Some(change) = draft.state.change.clone().filter(ChangeState::is_open) else { return };
    let Fact::Known(journal) = &draft.seen.schema.journal else { return };
    if journal.purged_at.is_some() {
        return;
    }
    match (change.quarantine, journal.hidden.clone()) {
        (None, Some(_)) => {
            // Hidden by a ledger that was lost: watched from the beginning.
            draft.note(Entry::LogWatched(None));
            draft.look_in(1);
        }
        (Some(quarantine), None) if quarantine.since.is_some() => ended(draft, quarantine),
        (None | Some(_), None) => {}
        (Some(quarantine), Some(_)) => {
            if quarantine.since.is_none() {
                draft.note(Entry::QuarantineBegan);
            }
            if !quarantine.broken {
                break_if_needed(draft, &change);
            }
            mark(draft, &change, quarantine);
            give_back(draft);
        }
    }
}

/// What was hidden is not any more: given back by us, or by somebody else, who may have needed it.
fn ended(draft: &mut Draft<'_>, quarantine: Quarantine) {
    if !quarantine.broken {
        draft.note(Entry::QuarantineBroken(Broken::Wanted("somebody gave it back by hand".into())));
    }
    draft.note(Entry::QuarantineEnded);
}

fn break_if_needed(draft: &mut Draft<'_>, change: &ChangeState) {
    let denial = draft.seen.schema.log.known().and_then(|reading| reading.denial.clone());
    let broken = match denial {
        Some(denial) => Some(Broken::Missed(missed(draft, denial))),
        None => wanted(draft, change).map(Broken::Wanted),
    };
    if let Some(broken) = broken {
        draft.note(Entry::QuarantineBroken(broken));
    }
}

fn missed(draft: &Draft<'_>, denial: Denial) -> ReaderSeen {
    let serving = draft.seen.service.known().and_then(|service| service.primary());
    let described = serving.and_then(|set| draft.seen.revisions.get(&set.revision.0)?.known());
    let revisions = described.map(TaskDefinition::digest).into_iter().collect();
    let how = format!("refused to role {}: {}", denial.role, denial.how);
    ReaderSeen { text: denial.text, how, revisions }
}

/// Why the hidden form is wanted back although nobody was refused. A revision that is deployed again served before it was
/// proven that the one after it does not need the old form: whether it does is not asked.
fn wanted(draft: &Draft<'_>, change: &ChangeState) -> Option<String> {
    if change.opened.schema.contract == ContractMode::Never {
        return Some("the spec says that contract never runs".into());
    }
    let rollout = draft.state.rollout.as_ref()?;
    match &rollout.start.kind {
        RolloutKind::Redeploy { to, .. } => Some(format!("{to} is deployed again")),
        RolloutKind::Forward if may_miss(draft, change, &rollout.start.spec.desired) => {
            Some(format!("the revision of spec version {} may name it", rollout.start.spec.version))
        }
        RolloutKind::Forward => None,
    }
}

/// Notes how far the log was read, so that a restart reads on from there, and begins the time in quarantine anew where a part
/// of it was lost. Not in every pass: that would fill the ledger.
fn mark(draft: &mut Draft<'_>, change: &ChangeState, quarantine: Quarantine) {
    let Fact::Known(reading) = draft.seen.schema.log.clone() else { return };
    if !reading.complete {
        draft.look_in(1);
    }
    let pause = change.opened.schema.quarantine.duration() / 20;
    let pause = pause.clamp(SignedDuration::from_secs(30), SignedDuration::from_hours(1));
    if !(reading.complete || reading.lost) || draft.now < quarantine.marked_at + pause {
        return;
    }
    if reading.lost && !quarantine.broken {
        draft.note(Entry::QuarantineBegan);
    }
    draft.note(Entry::LogWatched(Some(reading.through)));
}

fn give_back(draft: &mut Draft<'_>) {
    let broken = draft.state.change.as_ref().and_then(|change| change.quarantine).is_some_and(|q| q.broken);
    let spec = draft.state.rollout.as_ref().map(|rollout| rollout.start.spec.clone());
    let Some(spec) = spec.or_else(|| draft.state.accepted.clone()).filter(|_| broken) else { return };
    draft
        .wait(Reason::Quarantined, "the hidden form is given back".into(), Class::NeedsTime)
        .unblock("it passes with time");
    // While the outcome of a call is awaited there is nothing to be done sooner.
    draft.look_in(if draft.state.open.is_empty() { 2 } else { 5 });
    if let Some(step) = schema_step(draft, &spec, String::new()) {
        draft.propose(Step::Unhide(step), Direction::Back);
    }
}

/// Why nobody knows whether the form that was hidden, or may have been, still is. Who names it would fail with all its tasks, so that
/// going back would be no way out: people can give it back, or Tidegate its access.
pub(crate) fn unread_in_the_way(draft: &Draft<'_>, back_to: Option<&Digest>) -> Option<Why> {
    let change = draft.state.change.as_ref().filter(|change| change.is_open())?;
    let in_doubt = draft.state.open.iter().any(|(intent, _)| matches!(intent.step, Step::Hide(_)));
    change.quarantine.filter(|watch| watch.since.is_some() || watch.taken || in_doubt)?;
    let names_it = back_to.is_none_or(|digest| may_name(draft, change, digest));
    draft.seen.schema.journal.unknown().filter(|_| names_it)
}

/// True if a redeploy must wait until the hidden form is given back.
pub(crate) fn is_in_the_way(draft: &Draft<'_>) -> bool {
    let open = draft.state.change.as_ref().is_some_and(ChangeState::is_open);
    let hidden = is_hidden(draft);
    let gave_up = draft.state.refusals.as_ref().is_some_and(|r| r.of_unhide >= REFUSALS_WAITED_FOR);
    open && hidden && !gave_up
}

/// True if the rollout in preflight brings what names the hidden form, and waits until that is given back: unlike who goes back, who
/// goes forward can wait for as long as that takes.
pub(super) fn is_waited_for(draft: &Draft<'_>) -> bool {
    let change = draft.state.change.as_ref().filter(|change| change.is_open());
    let desired = draft.state.rollout.as_ref().map(|rollout| &rollout.start.spec.desired);
    is_hidden(draft) && change.zip(desired).is_some_and(|(change, desired)| may_miss(draft, change, desired))
}

/// True if what goes forward may miss the hidden form. A ledger that was lost knows neither who named it nor what served before: then
/// only what serves while it is hidden is known to do without.
fn may_miss(draft: &Draft<'_>, change: &ChangeState, revision: &Digest) -> bool {
    draft.state.previous.is_none() || may_name(draft, change, revision)
}

fn is_hidden(draft: &Draft<'_>) -> bool {
    draft.seen.schema.journal.known().is_some_and(|journal| journal.hidden.is_some())
}

/// Hides the old form and waits until nobody has missed it for as long as is asked for. Every other gate is open.
pub(super) fn is_served(draft: &mut Draft<'_>, change: &ChangeState) -> bool {
    if change.opened.plan.hidable().next().is_none() {
        return true;
    }
    draft.look_in(10);
    if change.quarantine.is_none() {
        draft.note(Entry::LogWatched(None));
        draft.look_in(1);
    }
    let reading = gates::hidden_long_enough(draft, change);
    if draft.gate(reading) {
        return true;
    }
    let hidden = draft.seen.schema.journal.known().and_then(|journal| journal.hidden.clone());
    match hidden {
        Some(hidden) => quarantined(draft, &hidden),
        None => hide(draft),
    }
    false
}

/// Nothing is hidden, and it is not time to hide: the log need not be read.
pub(super) fn stop_watching(draft: &mut Draft<'_>) {
    let watched = draft.state.change.as_ref().and_then(|change| change.quarantine);
    let hidden = draft.seen.schema.journal.known().is_none_or(|journal| journal.hidden.is_some());
    if watched.is_some_and(|quarantine| quarantine.since.is_none()) && !hidden {
        draft.note(Entry::QuarantineEnded);
    }
}

/// Hides only what it can give back in time: the log must be readable first.
fn hide(draft: &mut Draft<'_>) {
    let Some(accepted) = draft.state.accepted.clone() else { return };
    let readable =
        draft.seen.schema.log.known().is_some_and(|reading| reading.complete && reading.problem.is_none());
    let change = draft.state.change.clone().filter(|change| readable && every_row_was_checked(draft, change));
    if change.is_some()
        && let Some(step) = schema_step(draft, &accepted, String::new())
    {
        draft.propose(Step::Hide(step), Direction::Forward);
    }
}

fn quarantined(draft: &mut Draft<'_>, hidden: &Hidden) {
    let message = match hidden.bypassed_by.as_slice() {
        [] => "the old form is hidden, and nobody missed it yet".to_owned(),
        roles => format!("the old form is hidden, but not from {}", roles.join(", ")),
    };
    draft
        .wait(Reason::Quarantined, message, Class::NeedsTime)
        .unblock("it passes with time; abort, or contract \"never\" in the spec, gives the old form back");
}
