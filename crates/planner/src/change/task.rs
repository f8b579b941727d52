//! Expand and contract by the team's own tool, in an ECS task. The gates are those of our own steps; whether a run did its work
//! is told by the catalog, and only then journaled. A run that failed is started again, later each time, because these tools keep
//! their own history and take up where they stopped.

use jiff::SignedDuration;
use tidegate_model::{
    Fact,
    decision::Step,
    ledger::{Accepted, ChangeState, Entry},
    runner::{RunTask, TaskEnd, TaskRun, TaskRunner},
    schema::{FilePhase, Object},
    waiting::{Class, Held, OnDeadline, Reason},
};

use super::schema_step;
use crate::{
    draft::{Direction, Draft},
    gates,
};

/// A run that failed is started again after this long, doubled with each attempt, at most an hour.
const RUN_AGAIN: SignedDuration = SignedDuration::from_secs(30);
const RUN_AGAIN_AT_MOST: SignedDuration = SignedDuration::from_hours(1);

/// A task that is not shown for so long after its start is over and forgotten. Source: ECS reads are eventually consistent, and
/// stopped tasks are shown for at least an hour.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Journals how the last run ended, as soon as that is read. In every pass: ECS shows a stopped task for an hour only.
pub(super) fn watch(draft: &mut Draft<'_>) {
    let run = draft.state.change.as_ref().and_then(|change| change.run.as_ref());
    let Some(began) = run.filter(|run| run.end.is_none()).map(|run| run.began) else { return };
    match &draft.seen.task {
        Fact::Known(task) => {
            if let Some(end) = task.end.clone() {
                draft.note(Entry::TaskEnded(end));
            }
        }
        // Just after its start a task may not be shown yet.
        Fact::Absent if draft.now >= began + SHOWN_AFTER => {
            let reason = "ECS does not show the task any more".to_owned();
            draft.note(Entry::TaskEnded(TaskEnd { exit_code: None, reason }));
        }
        Fact::Absent | Fact::Unknown(_) => {}
    }
}

/// Brings a phase about by the tool. True once the catalog shows it and no run is under way: then it is to be journaled.
pub(super) fn carry_out(
    draft: &mut Draft<'_>,
    spec: &Accepted,
    runner: &TaskRunner,
    phase: FilePhase,
) -> bool {
    let run = draft.state.change.as_ref().and_then(|change| change.run.clone());
    let run = run.filter(|run| run.phase == phase);
    let done = is_shown(draft, runner, phase);
    match run {
        Some(TaskRun { end: None, arn, began, .. }) => {
            if draft.seen.task.unknown().is_some() {
                draft.unobserved("the migration task", "it could not be read");
            }
            draft
                .wait(
                    Reason::MigrationTask,
                    format!("{phase} runs as a task", phase = phase.as_str()),
                    Class::NeedsTime,
                )
                .on(arn)
                .since(began)
                .unblock("it passes with time; its log says how far it is");
            draft.look_in(10);
            false
        }
        Some(TaskRun { end: Some((end, _)), .. }) if end.is_success() => match done {
            Ok(()) => true,
            Err(what) => {
                draft.held(Held::TaskDisagrees, format!("the task ended with exit code 0, but {what}"));
                false
            }
        },
        Some(TaskRun { end: Some((end, at)), arn, attempts, .. }) => {
            let pause =
                RUN_AGAIN.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(RUN_AGAIN_AT_MOST);
            let again = at + pause;
            if draft.now < again {
                let message = format!("{} failed in {attempts} runs ({end})", phase.as_str());
                draft
                    .wait(Reason::Refused, message, Class::NeedsFix)
                    .on(arn)
                    .until(again, OnDeadline::Continue)
                    .unblock("mend what the task's log names; it is run again by itself, and a newer spec may give another command");
                draft.look_in(again.duration_since(draft.now).as_secs().max(1));
            } else {
                start(draft, spec, runner, phase);
            }
            false
        }
        // Run by the team before Tidegate was asked to: nothing is left to do.
        None if done.is_ok() => true,
        None => {
            start(draft, spec, runner, phase);
            false
        }
    }
}

fn start(draft: &mut Draft<'_>, spec: &Accepted, runner: &TaskRunner, phase: FilePhase) {
    if is_under_way(draft) {
        return;
    }
    let Some(service) = draft.seen.service.known() else {
        draft.unobserved("the network of the service's tasks", "the service could not be read");
        return;
    };
    let run = RunTask {
        cluster: spec.spec.service.cluster.clone(),
        phase,
        task_definition: runner.task_definition.clone(),
        container: runner.container.clone(),
        command: runner.command(phase).to_vec(),
        placement: service.placement.clone(),
        marker: draft.marker(spec),
    };
    // Not asked while a run is under way: its own sessions would be in the way then.
    let reading = gates::no_blockers(draft);
    if phase != FilePhase::Expand || draft.gate(reading) {
        draft.propose(Step::RunTask(Box::new(run)), Direction::Forward);
    }
}

/// True if a run that the ledger does not know is under way, or may be: one that arrived late, or of a ledger that was lost. Two at
/// once would do everything twice.
fn is_under_way(draft: &mut Draft<'_>) -> bool {
    match &draft.seen.under_way {
        Fact::Known(arn) => {
            let (arn, message) = (arn.clone(), "a run that the ledger does not know is under way".to_owned());
            draft
                .wait(Reason::MigrationTask, message, Class::NeedsTime)
                .on(arn)
                .unblock("it passes with time; its log says how far it is");
            draft.look_in(10);
            true
        }
        Fact::Unknown(why) => {
            let why = why.as_str();
            draft.unobserved("whether the migration task is under way", why);
            true
        }
        Fact::Absent => false,
    }
}

/// Whether the catalog shows a phase as done; if not, what it shows instead.
fn is_shown(draft: &Draft<'_>, runner: &TaskRunner, phase: FilePhase) -> Result<(), String> {
    let Some(objects) = draft.seen.schema.objects.known() else {
        return Err("the catalog could not be read".to_owned());
    };
    let (wanted, there): (&[Object], bool) = match phase {
        FilePhase::Expand => (&runner.adds, true),
        FilePhase::Contract => (&runner.removes, false),
        FilePhase::Backfill | FilePhase::Check => (&[], true),
    };
    match wanted.iter().find(|object| objects.get(*object) != Some(&there)) {
        Some(object) if there => Err(format!("{object} is not there")),
        Some(object) => Err(format!("{object} is still there")),
        None => Ok(()),
    }
}

/// True once the tool was told to contract, unless it failed and left all of the old form.
pub(crate) fn is_contracting(draft: &Draft<'_>, change: &ChangeState) -> bool {
    let run = change.run.as_ref().filter(|run| run.phase == FilePhase::Contract);
    let failed = |run: &TaskRun| run.end.as_ref().is_some_and(|(end, _)| !end.is_success());
    let objects = draft.seen.schema.objects.known();
    let untouched =
        objects.is_some_and(|objects| change.opened.plan.old_form().all(|o| objects.get(o) == Some(&true)));
    change.is_open() && run.is_some_and(|run| !(failed(run) && untouched))
}

/// After the tool was told to contract there is no way back, and no evidence to ask for again: what it did is journaled, or it
/// stops for people if it failed half way.
pub(super) fn finish(draft: &mut Draft<'_>, change: &ChangeState) {
    let (Some(runner), Some(accepted)) = (&change.opened.plan.runner, draft.state.accepted.clone()) else {
        return;
    };
    if draft.seen.schema.objects.known().is_none() {
        draft.unobserved("what the task did", "the catalog could not be read");
        return;
    }
    let failed = change.run.as_ref().and_then(|run| run.end.as_ref()).filter(|(end, _)| !end.is_success());
    if let (Some((end, _)), Err(what)) = (failed, is_shown(draft, runner, FilePhase::Contract)) {
        draft.held(Held::TaskDisagrees, format!("contract failed half way ({end}): {what}"));
        return;
    }
    let done = failed.is_some() || carry_out(draft, &accepted, runner, FilePhase::Contract);
    if !done || draft.state.rollout.is_some() {
        return;
    }
    let readings = vec![gates::spec_valid(draft), gates::not_held(draft), gates::rollout_at_rest(draft)];
    if draft.pass_gates(readings)
        && let Some(step) = schema_step(draft, &accepted, String::new())
    {
        draft.propose(Step::Purge(step), Direction::Forward);
    }
}
