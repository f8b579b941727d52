//! Contract: its gates, its evidence, and the way from hidden through a snapshot to purge. Only while no rollout is in flight.

use jiff::SignedDuration;
use tidegate_model::{
    Digest, Fact,
    decision::Step,
    gate::Gate,
    ledger::{Accepted, ChangeState, Entry, EvidenceMark, ReaderSeen},
    observation::SnapshotStatus,
    schema::{Evidence, FilePhase, SchemaPhase},
    waiting::{Class, Reason},
};

use super::{phase, quarantine, schema_step, task};
use crate::{
    draft::{Direction, Draft},
    gates,
};

/// One step on the way to purge, if every gate is open.
pub(super) fn advance(draft: &mut Draft<'_>, change: &ChangeState) {
    let readings = vec![
        gates::spec_valid(draft),
        gates::not_held(draft),
        gates::in_sync(draft, Some(change)),
        gates::readers_gone(draft, change),
        gates::recurrence_covered(draft, change),
        gates::redeploy_ready(draft),
        gates::contract_approved(draft, change),
        gates::rollout_at_rest(draft),
    ];
    let open = draft.pass_gates(readings);
    mark_evidence(draft, change);
    mark_check(draft, change);
    if !open {
        quarantine::stop_watching(draft);
        let reader = change.last_reader.as_ref().map(|(reader, _)| reader.text.clone());
        let waits = match phase(draft) {
            Some(SchemaPhase::Hidden | SchemaPhase::Snapshotting) => {
                "the old form is hidden, and purge waits for its gates"
            }
            Some(
                SchemaPhase::Absent
                | SchemaPhase::Expanding
                | SchemaPhase::Backfilling
                | SchemaPhase::Expanded
                | SchemaPhase::Soaking
                | SchemaPhase::Purged,
            )
            | None => "contract waits for its gates",
        };
        let builder = draft.wait(Reason::Soaking, waits.into(), Class::NeedsTime);
        if let Some(reader) = reader.filter(|text| !text.is_empty()) {
            builder.on(reader).unblock("the gates above say what opens them");
        } else {
            builder.unblock("the gates above say what opens them");
        }
        return;
    }
    if quarantine::is_served(draft, change) && every_row_was_checked(draft, change) {
        snapshot_then_purge(draft, change);
    }
}

/// True if the check read the whole table in this pass, or there is no check. Every gate being open is what asks for it, so
/// a sample here is one from the pass before.
pub(super) fn every_row_was_checked(draft: &mut Draft<'_>, change: &ChangeState) -> bool {
    let unchecked = change.opened.plan.files(FilePhase::Check).next().is_none();
    let whole = draft.seen.schema.check.known().is_some_and(|check| !check.sampled);
    if !whole && !unchecked {
        draft.unobserved("the check's count", "only a sample was read");
    }
    whole || unchecked
}

/// Journals what a check of every row counted, if it is not what is known: an approval covers the number of unmapped rows.
pub(super) fn mark_check(draft: &mut Draft<'_>, change: &ChangeState) {
    let Fact::Known(check) = draft.seen.schema.check else { return };
    if !check.sampled && change.checked != Some(check) {
        draft.note(Entry::RowsChecked(check));
    }
}

fn snapshot_then_purge(draft: &mut Draft<'_>, change: &ChangeState) {
    draft.look_in(10);
    let Some(accepted) = draft.state.accepted.clone() else { return };
    let Some(id) = change.snapshot.clone() else {
        name_snapshot(draft, change);
        return;
    };
    let fact = draft.seen.snapshot.clone();
    let reading = gates::snapshot_available(draft, &fact);
    let available = draft.gate(reading);
    match &fact {
        Fact::Known(_) if available => {
            if let Some(in_the_way) = gates::instance_in_the_way(draft) {
                draft.gate(in_the_way);
                return;
            }
            if let Some(runner) = &change.opened.plan.runner
                && !task::carry_out(draft, &accepted, runner, FilePhase::Contract)
            {
                return;
            }
            if let Some(step) = schema_step(draft, &accepted, String::new()) {
                draft.propose(Step::Purge(step), Direction::Forward);
            }
        }
        Fact::Known(snapshot) => match snapshot.status {
            // Too old, or failed, or not of this instance: another one under a new name.
            SnapshotStatus::Available | SnapshotStatus::Failed => name_snapshot(draft, change),
            SnapshotStatus::Creating | SnapshotStatus::Other => {
                let message = format!("snapshot {id} is being taken, {} %", snapshot.percent);
                draft
                    .wait(Reason::Snapshotting, message, Class::NeedsTime)
                    .on(id)
                    .unblock("it passes with time");
            }
        },
        Fact::Absent => take_snapshot(draft, change, &accepted, id),
        Fact::Unknown(_) => {}
    }
}

fn take_snapshot(draft: &mut Draft<'_>, change: &ChangeState, accepted: &Accepted, snapshot: String) {
    let possible =
        draft.seen.instance.known().map(|instance| (instance.snapshot_possible, instance.status.clone()));
    match possible {
        Some((true, _)) => {
            let instance = change.opened.schema.database.instance.clone();
            let marker = draft.marker(accepted);
            draft.propose(Step::CreateSnapshot { instance, snapshot, marker }, Direction::Forward);
        }
        Some((false, status)) => {
            let instance = change.opened.schema.database.instance.clone();
            let message = format!("the snapshot is taken once {instance} is available; it is {status} now");
            draft
                .wait(Reason::Snapshotting, message, Class::NeedsTime)
                .on(instance)
                .unblock("it passes with time; look at the instance if it stays so");
        }
        None => draft.unobserved("the instance", "it could not be read"),
    }
}

/// The id is computed once and journaled: create and wait must mean the same snapshot. A name that is taken again within
/// the same second would be the same snapshot.
fn name_snapshot(draft: &mut Draft<'_>, change: &ChangeState) {
    let stamp = draft.now.strftime("%Y%m%d-%H%M%S");
    let mut id = format!("tidegate-{}-{}-{stamp}", draft.release, change.opened.plan.change);
    // RDS takes no two hyphens in a row.
    while id.contains("--") {
        id = id.replace("--", "-");
    }
    draft.note(Entry::SnapshotNamed(id));
    draft.look_in(1);
}

/// Journals what the statement statistics say: the first read, a reset, and growth (at most so often that a busy reader
/// does not fill the ledger).
pub(super) fn mark_evidence(draft: &mut Draft<'_>, change: &ChangeState) {
    let Fact::Known(Evidence::Read(read)) = draft.seen.schema.evidence.clone() else { return };
    let mark = EvidenceMark::of(&read);
    let Some((old, marked_at)) = &change.mark else {
        draft.note(Entry::EvidenceMarked(mark));
        return;
    };
    let settled = draft.state.last.as_ref().map(|last| last.at);
    let before_settled = settled.is_some_and(|settled| *marked_at < settled);
    let pause = change.opened.schema.contract_after.duration() / 20;
    let pause = pause.clamp(SignedDuration::from_secs(30), SignedDuration::from_hours(1));
    // A server with more statements than it keeps forgets some all the time.
    let lost = !old.is_continued_by(&mark);
    let lost = lost && (old.dealloc == mark.dealloc || draft.now >= *marked_at + pause);
    if let Some((text, how)) = gates::grown(&read, old) {
        if !before_settled && change.last_reader.as_ref().is_some_and(|(_, at)| draft.now < *at + pause) {
            return;
        }
        let revisions = match &draft.state.rollout {
            Some(rollout) => vec![rollout.start.blue_digest.clone()],
            None if before_settled => previous_digest(draft),
            None => serving_digest(draft),
        };
        draft.note(Entry::ReaderSeen(ReaderSeen { text, how, revisions }));
        draft.note(Entry::EvidenceMarked(mark));
    } else if before_settled || old.stats_reset != mark.stats_reset || lost {
        draft.note(Entry::EvidenceMarked(mark));
    }
}

/// Growth since a mark that is older than the last settling may be the drained revision's.
fn previous_digest(draft: &Draft<'_>) -> Vec<Digest> {
    draft.state.previous.iter().map(|(_, digest)| digest.clone()).collect()
}

pub(super) fn serving_digest(draft: &Draft<'_>) -> Vec<Digest> {
    let primary = draft.seen.service.known().and_then(|service| service.primary());
    let described = primary.and_then(|set| draft.seen.revisions.get(&set.revision.0)?.known());
    described.map(tidegate_model::revision::TaskDefinition::digest).into_iter().collect()
}

/// True if every gate before contract was read in this pass and is open.
pub(crate) fn contract_allowed(draft: &Draft<'_>) -> bool {
    let gates = [
        Gate::ReadersGone,
        Gate::RecurrenceCovered,
        Gate::RedeployReady,
        Gate::ContractApproved,
        Gate::InSync,
    ];
    gates.into_iter().all(|gate| draft.is_open(gate))
}
