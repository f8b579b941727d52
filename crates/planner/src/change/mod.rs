//! The schema machine: expand before green, contract long after.
//!
//! The phase is read from the catalog and the journal in the target database; the ledger only adds what has no other
//! witness (when naming calls were seen, how long nobody missed what is hidden, which snapshot was named). `expand` runs
//! inside a rollout's preflight, `contract` only when no rollout is in flight, and `quarantine` always.

use tidegate_model::{
    Digest, Fact,
    decision::{SchemaStep, Step},
    ledger::{Accepted, ChangeState, Entry, OpenedChange, ReleaseState, RolloutEnd, RolloutPhase},
    schema::{ChangePlan, FilePhase, Journal, MigrationFile, OpenChange, SchemaPhase},
    waiting::Held,
};

use crate::draft::Draft;

mod contract;
mod expand;
mod quarantine;
mod task;

pub(crate) use contract::contract_allowed;
pub(crate) use expand::expand;
pub(crate) use quarantine::{is_in_the_way, unread_in_the_way};
pub(crate) use task::is_contracting;

/// The phase of the change that the ledger knows. `None` if there is none, or if the database could not be read.
pub(crate) fn phase(draft: &Draft<'_>) -> Option<SchemaPhase> {
    let change = draft.state.change.as_ref()?;
    if !change.is_open() {
        return Some(SchemaPhase::Purged);
    }
    let plan = &change.opened.plan;
    let objects = draft.seen.schema.objects.known()?;
    let journal = match &draft.seen.schema.journal {
        Fact::Known(journal) => journal,
        Fact::Absent => return Some(SchemaPhase::Absent),
        Fact::Unknown(_) => return None,
    };
    if journal.purged_at.is_some() {
        return Some(SchemaPhase::Purged);
    }
    if next_expand_file(plan, journal).is_some() || !plan.adds.iter().all(|o| objects.get(o) == Some(&true)) {
        return Some(SchemaPhase::Expanding);
    }
    if next_backfill_file(plan, journal).is_some() {
        return Some(SchemaPhase::Backfilling);
    }
    let hidden = journal.hidden.is_some();
    let hidable = plan.hidable().next().is_some();
    Some(match (&draft.state.rollout, &change.snapshot) {
        (_, Some(_)) if hidden => SchemaPhase::Snapshotting,
        (_, None) if hidden => SchemaPhase::Hidden,
        (Some(_), _) => SchemaPhase::Expanded,
        (None, Some(_)) if !hidable => SchemaPhase::Snapshotting,
        (None, _) => SchemaPhase::Soaking,
    })
}

fn next_expand_file<'p>(plan: &'p ChangePlan, journal: &Journal) -> Option<&'p str> {
    plan.files(FilePhase::Expand)
        .map(|file| file.name.as_str())
        .find(|name| !journal.applied.contains_key(*name))
}

fn next_backfill_file<'p>(plan: &'p ChangePlan, journal: &Journal) -> Option<&'p str> {
    plan.files(FilePhase::Backfill)
        .map(|file| file.name.as_str())
        .find(|name| journal.backfills.get(*name).is_none_or(|progress| !progress.done))
}

/// Whether the files of the open change may be written anew as in `plan`: what the database has of it is immutable, and what it
/// does not have yet may be mended until all of it is expanded. `None` while that is not known.
pub(crate) fn may_be_mended(draft: &Draft<'_>, change: &ChangeState, plan: &ChangePlan) -> Option<bool> {
    if !change.is_open() || change.run.as_ref().is_some_and(|run| run.end.is_none()) {
        return Some(false);
    }
    let journal = match &draft.seen.schema.journal {
        Fact::Known(journal) => journal,
        Fact::Absent => return Some(true),
        Fact::Unknown(_) => return None,
    };
    let begun = |name: &String| {
        journal.applied.contains_key(name)
            || journal.backfills.contains_key(name)
            || journal.builds.contains_key(name)
    };
    let kept = |file: &MigrationFile| plan.files.contains(file);
    let immutable = change.opened.plan.files.iter().filter(|file| begun(&file.name)).all(kept);
    Some(match phase(draft)? {
        SchemaPhase::Absent | SchemaPhase::Expanding | SchemaPhase::Backfilling => immutable,
        SchemaPhase::Expanded
        | SchemaPhase::Soaking
        | SchemaPhase::Hidden
        | SchemaPhase::Snapshotting
        | SchemaPhase::Purged => false,
    })
}

/// True if the database has nothing of the open change, and nothing of it is on its way there: another may take its place. What a run
/// of the team's own tool left is told by the catalog alone.
pub(crate) fn is_untouched(draft: &Draft<'_>, change: &ChangeState) -> bool {
    let untouched = match &change.run {
        None => true,
        Some(run) if run.end.is_none() => false,
        Some(_) => draft.seen.schema.objects.known().is_some_and(|objects| {
            change.opened.plan.adds.iter().all(|object| objects.get(object) == Some(&false))
        }),
    };
    draft.seen.schema.journal.is_absent() && untouched
}

/// What the database shows that the journal cannot explain.
fn drift(plan: &ChangePlan, draft: &Draft<'_>) -> Option<(Held, String)> {
    if draft.state.change.as_ref().is_some_and(|change| is_contracting(draft, change)) {
        return None;
    }
    let objects = draft.seen.schema.objects.known()?;
    let Fact::Known(journal) = &draft.seen.schema.journal else {
        // Nothing journaled, yet something of it is there: applied by hand, or by another tool.
        // What the team's own tool adds may have been run before anybody asked: then it is only journaled.
        let ours = plan.runner.is_none();
        let found = plan.adds.iter().filter(|_| ours).find(|o| objects.get(*o) == Some(&true));
        return found.filter(|_| draft.seen.schema.journal.is_absent()).map(|object| {
            (Held::SchemaDrifted, format!("{object} exists although nothing was applied here"))
        });
    };
    let changed =
        plan.files.iter().find(|f| journal.applied.get(&f.name).is_some_and(|sum| sum != &f.checksum));
    if let Some(file) = changed {
        return Some((Held::MigrationChanged, format!("{} was applied with another text", file.name)));
    }
    if journal.purged_at.is_some() || next_expand_file(plan, journal).is_some() {
        return None;
    }
    let missing = plan.adds.iter().find(|o| objects.get(*o) != Some(&true));
    let gone = plan.old_form().find(|o| objects.get(*o) == Some(&false));
    missing
        .map(|object| format!("{object} is missing although expand was applied"))
        .or_else(|| gone.map(|object| format!("{object} is gone although contract was not applied")))
        .map(|message| (Held::SchemaDrifted, message))
}

/// Whether a revision finds what its statements name, as far as purging goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Footing {
    /// Nothing that it names was purged.
    Firm,
    /// What it names is gone, or is on its way out and cannot be stopped.
    Gone,
    /// It names what a call with an unknown outcome drops.
    InDoubt,
}

/// What a purge leaves to a revision. The change counts as open until the catalog shows the purge; an abort in the pass before that would
/// bring back a revision that needs the old form. The ledger's word counts where the journal cannot be read: the database may have been
/// restored to a time before.
pub(crate) fn footing(draft: &Draft<'_>, revision: &Digest) -> Footing {
    let journal = draft.seen.schema.journal.known();
    if journal.is_some_and(|journal| journal.floor.contains(revision)) {
        return Footing::Gone;
    }
    let Some(change) = draft.state.change.as_ref().filter(|change| may_name(draft, change, revision)) else {
        return Footing::Firm;
    };
    let gone = !change.is_open()
        || change.contracted_at.is_some() && journal.is_none()
        || journal.is_some_and(|journal| journal.purged_at.is_some())
        || is_contracting(draft, change);
    let in_doubt = draft.state.open.iter().any(|(intent, _)| drops(&intent.step));
    match (gone, in_doubt) {
        (true, _) => Footing::Gone,
        (false, true) => Footing::InDoubt,
        (false, false) => Footing::Firm,
    }
}

/// True of a revision that was seen to name the old form, and of the one before what serves if the quiet began when that had gone: its
/// statements may have been counted when nobody could tell any more whose they were.
pub(crate) fn may_name(draft: &Draft<'_>, change: &ChangeState, revision: &Digest) -> bool {
    let settled = draft.state.last.as_ref().filter(|last| last.end == RolloutEnd::Settled);
    let until = settled.and(draft.state.previous_until);
    let was_quiet = change.quiet_since.zip(until).is_some_and(|(quiet, until)| quiet < until);
    let is_previous = draft.state.previous.as_ref().is_some_and(|(_, digest)| digest == revision);
    change.namers.contains(revision) || is_previous && !was_quiet
}

/// True of a step after which the old form is gone.
fn drops(step: &Step) -> bool {
    match step {
        Step::Purge(_) => true,
        Step::RunTask(run) => run.phase == FilePhase::Contract,
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::CreateDeployment(_)
        | Step::ContinueTraffic { .. }
        | Step::ContinueTermination { .. }
        | Step::StopDeployment { .. }
        | Step::Verify(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::Unhide(_)
        | Step::CreateSnapshot { .. } => false,
    }
}

/// Contract, when no rollout is in flight; the evidence for it, always.
pub(crate) fn advance(draft: &mut Draft<'_>) {
    adopt(draft);
    task::watch(draft);
    let Some(change) = draft.state.change.clone().filter(ChangeState::is_open) else { return };
    if is_contracting(draft, &change) && phase(draft) != Some(SchemaPhase::Purged) {
        task::finish(draft, &change);
        return;
    }
    quarantine::watch(draft);
    let Some(change) = draft.state.change.clone() else { return };
    if draft.state.rollout.is_some() && phase(draft) != Some(SchemaPhase::Purged) {
        // Read on while a rollout is in flight: a gap between reads would look like a gap between calls, and who drains
        // with it would never be known as a reader.
        contract::mark_evidence(draft, &change);
        contract::mark_check(draft, &change);
        return;
    }
    match phase(draft) {
        Some(SchemaPhase::Purged) => purged(draft, &change),
        Some(SchemaPhase::Soaking | SchemaPhase::Hidden | SchemaPhase::Snapshotting) => {
            match drift(&change.opened.plan, draft) {
                Some((held, message)) => drop(draft.held(held, message)),
                None => contract::advance(draft, &change),
            }
        }
        Some(
            SchemaPhase::Absent | SchemaPhase::Expanding | SchemaPhase::Backfilling | SchemaPhase::Expanded,
        ) => {}
        None => draft.unobserved("the state of the change in the database", "it could not be read"),
    }
}

/// A change that the journal in the database has as this release's, and the ledger does not know: it was lost. Before a
/// rollout's first steps the change is opened behind its gates instead.
fn adopt(draft: &mut Draft<'_>) {
    let Some(spec) = unopened(&draft.state) else { return };
    let (Some(schema), Some(plan)) = (spec.spec.schema.clone(), spec.plan.clone()) else { return };
    let version = spec.version;
    let ours = draft.seen.schema.journal.known().is_some_and(|journal| journal.release == *draft.release);
    if ours {
        draft.note(Entry::ChangeOpened(Box::new(OpenedChange { spec: version, schema, plan })));
        let floor = draft.seen.schema.journal.known().map(|journal| journal.floor.clone());
        if let Some(floor) = floor.filter(|floor| !floor.is_empty()) {
            draft.note(Entry::FloorKnown(floor));
        }
        draft.look_in(1);
    }
}

/// The spec whose change may be open without the ledger's knowledge.
pub(crate) fn unopened(state: &ReleaseState) -> Option<&Accepted> {
    if state.change.is_some() {
        return None;
    }
    match &state.rollout {
        Some(rollout) if rollout.phase == RolloutPhase::Preflight => None,
        Some(rollout) => Some(&rollout.start.spec),
        None => state.accepted.as_ref(),
    }
}

/// The journal says purged; the catalog must say so too.
fn purged(draft: &mut Draft<'_>, change: &ChangeState) {
    let objects = draft.seen.schema.objects.known();
    let left =
        objects.and_then(|o| change.opened.plan.removes.iter().find(|object| o.get(*object) == Some(&true)));
    match left {
        Some(object) => {
            let message = format!("{object} is there although contract was applied");
            draft.held(Held::SchemaDrifted, message);
        }
        None => draft.note(Entry::ChangePurged),
    }
}

fn service_secrets(draft: &Draft<'_>) -> Vec<String> {
    let Some(service) = draft.seen.service.known() else { return vec![] };
    service
        .task_sets
        .iter()
        .filter_map(|set| draft.seen.revisions.get(&set.revision.0)?.known())
        .flat_map(tidegate_model::revision::TaskDefinition::secrets)
        .collect()
}

fn schema_step(draft: &Draft<'_>, spec: &Accepted, file: String) -> Option<SchemaStep> {
    let change = draft.state.change.as_ref()?;
    // What serves on after a purge is not cut off by it, whoever was taken for a reader while it served.
    let serving = contract::serving_digest(draft);
    let previous = draft.state.previous.as_ref().map(|(_, digest)| digest);
    let unproven =
        previous.filter(|previous| may_name(draft, change, previous) && !change.namers.contains(*previous));
    let namers = change.namers.iter().chain(unproven);
    Some(SchemaStep {
        database: change.opened.schema.database.clone(),
        change: OpenChange { release: draft.release.clone(), change: change.opened.plan.change.clone() },
        file,
        plan: change.opened.plan.clone(),
        marker: draft.marker(spec),
        namers: namers.filter(|namer| !serving.contains(namer)).cloned().collect(),
        service_secrets: service_secrets(draft),
    })
}
