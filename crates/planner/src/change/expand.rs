//! Expand and backfill: before green is made, inside of a rollout's preflight.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Step,
    ledger::{Accepted, Entry, OpenedChange, Rollout},
    schema::{Access, BackfillProgress, ChangePlan, FilePhase, SchemaPhase},
    spec::SchemaSpec,
    waiting::{Class, Held, OnDeadline, Reason},
};

use super::{
    Footing, drift, footing, may_be_mended, next_backfill_file, next_expand_file, phase, quarantine,
    schema_step, service_secrets, task,
};
use crate::{
    draft::{Direction, Draft},
    gates,
};

/// An index whose build failed is built again after this long, doubled with each attempt.
const BUILD_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// Brings the change that a rollout needs to its expanded state. `ready` says that the rollout's own gates let forward
/// steps pass. True if the rollout may go on.
pub(crate) fn expand(draft: &mut Draft<'_>, rollout: &Rollout, ready: bool) -> bool {
    let spec = &rollout.start.spec;
    if is_cut_off(draft, spec) || quarantine::is_waited_for(draft) {
        return false;
    }
    let (Some(schema), Some(plan)) = (&spec.spec.schema, &spec.plan) else {
        let reading = gates::expanded(draft, phase(draft));
        // An open change of an earlier spec stays open; a revision without a schema section runs on either form.
        return draft.state.change.is_none() || draft.gate(reading);
    };
    if !is_opened(draft, plan) && !open(draft, spec, schema, plan, ready) {
        return false;
    }
    if !accessible(draft, schema) {
        return false;
    }
    if let Some((held, message)) = drift(plan, draft) {
        draft.held(held, message);
        return false;
    }
    let phase = phase(draft);
    let reading = gates::expanded(draft, phase);
    let passes = draft.gate(reading);
    if ready {
        expand_step(draft, spec, plan, phase);
    }
    passes
}

/// True if a purge cut the revision off: the ledger that knew it may have been lost since the rollout began.
fn is_cut_off(draft: &mut Draft<'_>, spec: &Accepted) -> bool {
    let cut_off = footing(draft, &spec.desired) == Footing::Gone;
    if cut_off {
        let message =
            format!("the revision of spec version {} names what was purged, so it would fail", spec.version);
        draft.held(Held::NamesPurged, message);
    }
    cut_off
}

fn is_opened(draft: &Draft<'_>, plan: &ChangePlan) -> bool {
    draft.state.change.as_ref().is_some_and(|change| {
        let opened = &change.opened.plan;
        let mended = opened.files != plan.files && may_be_mended(draft, change, plan) == Some(true);
        opened.change == plan.change && !mended
    })
}

fn open(draft: &mut Draft<'_>, spec: &Accepted, schema: &SchemaSpec, plan: &ChangePlan, ready: bool) -> bool {
    let reading = gates::one_change_per_database(draft, plan);
    if !draft.gate(reading) || !ready {
        return false;
    }
    let opened = OpenedChange { spec: spec.version, schema: schema.clone(), plan: plan.clone() };
    draft.note(Entry::ChangeOpened(Box::new(opened)));
    true
}

/// The database can be used, by a role that is Tidegate's alone.
fn accessible(draft: &mut Draft<'_>, schema: &SchemaSpec) -> bool {
    let shared =
        service_secrets(draft).iter().any(|secret| schema.database.secret.starts_with(secret.as_str()));
    let problem = match (&draft.seen.schema.access, shared) {
        (_, true) | (Fact::Known(Access::SecretShared), _) => {
            "the service's task definition uses the same secret; Tidegate needs a role of its own"
        }
        (Fact::Known(Access::Granted), false) => return true,
        (Fact::Known(Access::SecretNotBound), _) => {
            "the secret names no host and is not bound to the instance; tag it tidegate:instance or use the instance's own"
        }
        (Fact::Known(Access::Unreachable), _) => {
            "the server cannot be reached, or its certificate cannot be verified"
        }
        (Fact::Known(Access::Denied), _) => {
            "the role may not log in or lacks a privilege that the change needs"
        }
        (Fact::Known(Access::TooOld), _) => "the server is older than PostgreSQL 14",
        (Fact::Known(Access::Aurora), _) => {
            "the instance belongs to an Aurora cluster, which is not supported yet"
        }
        (Fact::Absent | Fact::Unknown(_), _) => "whether the database can be used is not known",
    };
    draft.unobserved("the database", problem);
    false
}

fn expand_step(draft: &mut Draft<'_>, spec: &Accepted, plan: &ChangePlan, phase: Option<SchemaPhase>) {
    let journal = draft.seen.schema.journal.known();
    match phase {
        Some(SchemaPhase::Absent | SchemaPhase::Expanding) => {
            let file = match journal {
                Some(journal) => next_expand_file(plan, journal),
                None => plan.files(FilePhase::Expand).map(|file| file.name.as_str()).next(),
            };
            let Some(file) = file.map(str::to_owned) else { return };
            if is_building(draft, &file) {
                return;
            }
            let allowed = match &plan.runner {
                Some(runner) => task::carry_out(draft, spec, runner, FilePhase::Expand),
                None => {
                    let reading = gates::no_blockers(draft);
                    draft.gate(reading)
                }
            };
            if allowed && let Some(step) = schema_step(draft, spec, file) {
                draft.propose(Step::Expand(step), Direction::Forward);
            }
        }
        Some(SchemaPhase::Backfilling) => {
            let Some(journal) = journal else { return };
            let Some(file) = next_backfill_file(plan, journal).map(str::to_owned) else { return };
            let progress = journal.backfills.get(&file).copied();
            let told = backfill_told(&file, progress);
            if is_pressed(draft, &told) {
                return;
            }
            draft
                .wait(Reason::Backfilling, told, Class::NeedsTime)
                .unblock("it goes on batch by batch; hold stops it within one batch");
            if let Some(step) = schema_step(draft, spec, file) {
                draft.propose(Step::Backfill(step), Direction::Forward);
            }
        }
        Some(
            SchemaPhase::Expanded
            | SchemaPhase::Soaking
            | SchemaPhase::Hidden
            | SchemaPhase::Snapshotting
            | SchemaPhase::Purged,
        )
        | None => {}
    }
}

/// How far a backfill is, at which measured rate, and how long it will take at that.
fn backfill_told(file: &str, progress: Option<BackfillProgress>) -> String {
    let Some(progress) = progress else { return format!("{file} begins") };
    let left = format!("{file}: at most {} rows left", progress.keys_left());
    match (progress.rows_per_second(), progress.seconds_left()) {
        (Some(rate), Some(seconds)) => format!("{left}, {rate} rows a second, about {seconds} s to go"),
        (_, _) => left,
    }
}

/// A backfill can wait: it pauses while the server has enough to do, and while that is not known.
fn is_pressed(draft: &mut Draft<'_>, told: &str) -> bool {
    match draft.seen.schema.pressure.clone() {
        Fact::Known(signs) => {
            let Some(sign) = signs.first() else { return false };
            draft
                .wait(Reason::Backfilling, format!("{told}; it pauses: {sign}"), Class::Throttled)
                .on(sign.to_string())
                .unblock("it goes on by itself once that has passed");
            draft.look_in(15);
        }
        Fact::Absent | Fact::Unknown(_) => {
            draft.unobserved("the load of the database", "it could not be read");
        }
    }
    true
}

/// An index is built in the server while everybody goes on, and nothing is to be done meanwhile. A build that failed is begun
/// again by the file's own step, later each time: it may fail for the rows that are there, after hours of work.
fn is_building(draft: &mut Draft<'_>, file: &str) -> bool {
    let build = draft.seen.schema.journal.known().and_then(|journal| journal.builds.get(file)).cloned();
    let Some(build) = build else { return false };
    if build.running {
        draft
            .wait(Reason::BuildingIndex, build.to_string(), Class::NeedsTime)
            .on(build.index)
            .unblock("it passes with time; transactions that are older than the build keep it waiting");
        draft.look_in(10);
        return true;
    }
    let Some(refusals) = draft.state.refusals.clone() else { return false };
    let pause = BUILD_AGAIN.saturating_mul(1 << build.attempts.min(10)).min(SignedDuration::from_hours(1));
    let again = refusals.last + pause;
    if draft.now >= again {
        return false;
    }
    let message = format!("{} was not built in {} attempts ({})", build.index, build.attempts, refusals.code);
    draft
        .wait(Reason::Refused, message, Class::NeedsFix)
        .until(again, OnDeadline::Continue)
        .unblock("mend the rows that break it; it is built again by itself");
    draft.look_in(again.duration_since(draft.now).as_secs().max(1));
    true
}
