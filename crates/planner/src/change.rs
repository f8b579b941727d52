//! The schema machine: expand before green, contract long after.
//!
//! The phase is read from the catalog and the journal in the target database; the ledger only adds what has no other
//! witness (when naming calls were seen, which snapshot was named). Expand runs inside a rollout's preflight; contract
//! runs only when no rollout is in flight.

use jiff::SignedDuration;
use tidegate_model::{
    Digest, Fact,
    decision::{SchemaStep, Step},
    gate::Gate,
    ledger::{
        Accepted, ChangeState, Entry, EvidenceMark, OpenedChange, ReaderSeen, ReleaseState, Rollout,
        RolloutPhase,
    },
    observation::SnapshotStatus,
    schema::{Access, BackfillProgress, ChangePlan, Evidence, FilePhase, Journal, OpenChange, SchemaPhase},
    spec::SchemaSpec,
    waiting::{Class, Held, OnDeadline, Reason},
};

use crate::{
    draft::{Direction, Draft},
    gates,
};

/// An index whose build failed is built again after this long, doubled with each attempt.
const BUILD_AGAIN: SignedDuration = SignedDuration::from_secs(15);

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
    Some(match (&draft.state.rollout, &change.snapshot) {
        (Some(_), _) => SchemaPhase::Expanded,
        (None, Some(_)) => SchemaPhase::Snapshotting,
        (None, None) => SchemaPhase::Soaking,
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

/// What the database shows that the journal cannot explain.
fn drift(plan: &ChangePlan, draft: &Draft<'_>) -> Option<(Held, String)> {
    let objects = draft.seen.schema.objects.known()?;
    let Fact::Known(journal) = &draft.seen.schema.journal else {
        // Nothing journaled, yet something of it is there: applied by hand, or by another tool.
        let found = plan.adds.iter().find(|o| objects.get(*o) == Some(&true));
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

/// Brings the change that a rollout needs to its expanded state. `ready` says that the rollout's own gates let forward
/// steps pass. True if the rollout may go on.
pub(crate) fn expand(draft: &mut Draft<'_>, rollout: &Rollout, ready: bool) -> bool {
    let spec = &rollout.start.spec;
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

fn is_opened(draft: &Draft<'_>, plan: &ChangePlan) -> bool {
    draft.state.change.as_ref().is_some_and(|change| change.opened.plan.change == plan.change)
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
            let reading = gates::no_blockers(draft);
            if draft.gate(reading)
                && let Some(step) = schema_step(draft, spec, file)
            {
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
            SchemaPhase::Expanded | SchemaPhase::Soaking | SchemaPhase::Snapshotting | SchemaPhase::Purged,
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
    Some(SchemaStep {
        database: change.opened.schema.database.clone(),
        change: OpenChange { release: draft.release.clone(), change: change.opened.plan.change.clone() },
        file,
        plan: change.opened.plan.clone(),
        marker: draft.marker(spec),
        service_secrets: service_secrets(draft),
    })
}

/// Contract, when no rollout is in flight; the evidence for it, always.
pub(crate) fn advance(draft: &mut Draft<'_>) {
    adopt(draft);
    let Some(change) = draft.state.change.clone().filter(ChangeState::is_open) else { return };
    if draft.state.rollout.is_some() {
        // Read on while a rollout is in flight: a gap between reads would look like a gap between calls, and who drains
        // with it would never be known as a reader.
        mark_evidence(draft, &change);
        return;
    }
    match phase(draft) {
        Some(SchemaPhase::Purged) => purged(draft, &change),
        Some(SchemaPhase::Soaking | SchemaPhase::Snapshotting) => match drift(&change.opened.plan, draft) {
            Some((held, message)) => drop(draft.held(held, message)),
            None => contract(draft, &change),
        },
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

fn contract(draft: &mut Draft<'_>, change: &ChangeState) {
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
    if !open {
        let reader = change.last_reader.as_ref().map(|(reader, _)| reader.text.clone());
        let builder = draft.wait(Reason::Soaking, "contract waits for its gates".into(), Class::NeedsTime);
        if let Some(reader) = reader.filter(|text| !text.is_empty()) {
            builder.on(reader).unblock("the gates above say what opens them");
        } else {
            builder.unblock("the gates above say what opens them");
        }
        return;
    }
    snapshot_then_purge(draft, change);
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
            draft.unobserved("whether a snapshot can be taken", &format!("the instance is {status}"));
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
fn mark_evidence(draft: &mut Draft<'_>, change: &ChangeState) {
    let Fact::Known(Evidence::Read(read)) = draft.seen.schema.evidence.clone() else { return };
    let mark = EvidenceMark {
        stats_reset: read.stats_reset,
        dealloc: read.dealloc,
        calls: read.namers.iter().map(|(key, namer)| (key.clone(), namer.calls)).collect(),
    };
    let Some((old, marked_at)) = &change.mark else {
        draft.note(Entry::EvidenceMarked(mark));
        return;
    };
    let settled = draft.state.last.as_ref().map(|last| last.at);
    let before_settled = settled.is_some_and(|settled| *marked_at < settled);
    if let Some((text, how)) = gates::grown(&read, old) {
        let pause = change.opened.schema.contract_after.duration() / 20;
        let pause = pause.clamp(SignedDuration::from_secs(30), SignedDuration::from_hours(1));
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
    } else if before_settled || old.stats_reset != mark.stats_reset || old.dealloc != mark.dealloc {
        draft.note(Entry::EvidenceMarked(mark));
    }
}

/// Growth since a mark that is older than the last settling may be the drained revision's.
fn previous_digest(draft: &Draft<'_>) -> Vec<Digest> {
    draft.state.previous.iter().map(|(_, digest)| digest.clone()).collect()
}

fn serving_digest(draft: &Draft<'_>) -> Vec<Digest> {
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
