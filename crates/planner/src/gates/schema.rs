//! Gates on the schema: expand before green, evidence before contract.

use jiff::SignedDuration;
use tidegate_model::{
    Fact, Why,
    duration::human,
    gate::{Gate, GateReading},
    ledger::{ChangeState, EvidenceMark, RolloutEnd},
    observation::{Snapshot, SnapshotStatus},
    orders::{ParameterRead, read_approval},
    schema::{ChangePlan, CheckReading, Evidence, EvidenceRead, FilePhase, SchemaPhase},
    spec::ContractMode,
    waiting::Class,
};

use super::{closed, measured, not_applicable, open, unknown};
use crate::{
    change::is_untouched,
    draft::{Draft, age},
    traffic::{Split, split_at_rest},
};

/// A snapshot older than this is not the state that purge destroys.
const SNAPSHOT_YOUNG: SignedDuration = SignedDuration::from_mins(30);

/// No other open change on the same database, this release's own included.
pub(crate) fn one_change_per_database(draft: &Draft<'_>, plan: &ChangePlan) -> GateReading {
    let gate = Gate::OneChangePerDatabase;
    let own = draft.state.change.as_ref().filter(|c| c.is_open() && c.opened.plan.change != plan.change);
    if let Some(own) = own.filter(|own| !is_untouched(draft, own)) {
        let message = format!("change {} of this release is still open", own.opened.plan.change);
        return closed(gate, Class::NeedsHuman, message, "let it be contracted first");
    }
    match &draft.seen.schema.other_open {
        Fact::Known(others) if others.is_empty() => open(gate),
        Fact::Known(others) => {
            let names: Vec<String> =
                others.iter().map(|o| format!("{} of release {}", o.change, o.release)).collect();
            closed(
                gate,
                Class::NeedsHuman,
                format!("open in this database: {}", names.join(", ")),
                "let it be contracted first",
            )
        }
        Fact::Absent => open(gate),
        Fact::Unknown(why) => unknown(gate, "which changes are open in the database", why.as_str()),
    }
}

/// No session would make the DDL wait beyond its lock budget, no RDS blue/green deployment would break because of it, and there is
/// room for what the backfills write.
pub(crate) fn no_blockers(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::NoBlockers;
    if let Some(in_the_way) = instance_in_the_way(draft) {
        return in_the_way;
    }
    match &draft.seen.schema.blockers {
        Fact::Known(blockers) => match blockers.first() {
            None => open(gate),
            Some(first) => closed(
                gate,
                Class::NeedsHuman,
                format!("DDL would wait for {first}"),
                "end that session's transaction; Tidegate never kills it",
            ),
        },
        Fact::Absent => open(gate),
        Fact::Unknown(why) => unknown(gate, "who holds locks", why.as_str()),
    }
}

/// What of the instance speaks against changing its schema now; an instance that cannot be read does.
pub(crate) fn instance_in_the_way(draft: &Draft<'_>) -> Option<GateReading> {
    let gate = Gate::NoBlockers;
    let instance = match &draft.seen.instance {
        Fact::Known(instance) => instance,
        Fact::Absent => return Some(unknown(gate, "the instance", "there is none of that name")),
        Fact::Unknown(why) => return Some(unknown(gate, "the instance", why.as_str())),
    };
    if let Some(name) = &instance.blue_green {
        let message = format!("DDL would break the RDS blue/green deployment {name}, which is under way");
        let reading = closed(gate, Class::NeedsHuman, message, "switch it over or delete it first");
        return Some(reading);
    }
    let (read, storage) = (draft.seen.schema.preflight.known()?, instance.storage_bytes?);
    let left = storage.saturating_sub(read.database_bytes);
    // Each row is written anew once, and the write-ahead log has it too.
    let needed = read.rewritten_bytes.saturating_mul(2);
    (needed > left).then(|| {
        let message = "the backfill may fill the instance's storage".to_owned();
        let reading = closed(
            gate,
            Class::NeedsFix,
            message,
            "give the instance more storage, or let it grow by itself",
        );
        measured(reading, format!("{} left", gibibytes(left)), gibibytes(needed))
    })
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// True of a rollout that brings a revision without a schema section: nobody carries an open change on for it.
fn brings_no_change(draft: &Draft<'_>) -> bool {
    draft.state.rollout.as_ref().is_some_and(|rollout| rollout.start.spec.spec.schema.is_none())
}

/// The change, unless the rollout does not bring it and nothing of it was begun: then it is as if there were none.
fn concerned<'c>(draft: &Draft<'_>, change: Option<&'c ChangeState>) -> Option<&'c ChangeState> {
    change.filter(|change| !(brings_no_change(draft) && is_untouched(draft, change)))
}

/// A schema section that was added once the deployment was made: its revision names what nobody has expanded.
fn not_begun(draft: &Draft<'_>) -> Option<GateReading> {
    let plan = draft.state.rollout.as_ref()?.start.spec.plan.as_ref()?;
    if draft.state.change.as_ref().is_some_and(|change| change.opened.plan.change == plan.change) {
        return None;
    }
    let message = format!(
        "{} was not expanded before the deployment was made, or the ledger does not know it",
        plan.change
    );
    let remedy = "it is expanded once the Ready wait is over and the deployment is made again; abort ends that at once";
    Some(closed(Gate::Expanded, Class::NeedsTime, message, remedy))
}

/// The catalog shows the post-state of the phase reached.
pub(crate) fn expanded(draft: &Draft<'_>, phase: Option<SchemaPhase>) -> GateReading {
    let gate = Gate::Expanded;
    if let Some(reading) = not_begun(draft) {
        return reading;
    }
    let Some(change) = concerned(draft, draft.state.change.as_ref()) else { return not_applicable(gate) };
    let why = draft.seen.schema.objects.unknown().or(draft.seen.schema.journal.unknown());
    match phase {
        None => match why {
            Some(why) => unknown(gate, "the state of the change in the database", why.as_str()),
            None => not_applicable(gate),
        },
        Some(SchemaPhase::Absent | SchemaPhase::Expanding | SchemaPhase::Backfilling)
            if brings_no_change(draft) =>
        {
            let (named, spec) = (&change.opened.plan.change, change.opened.spec);
            let message = format!(
                "{named} of spec version {spec} is applied in part, and this spec has no schema section"
            );
            closed(
                gate,
                Class::NeedsFix,
                message,
                "put its schema section into the spec again: it goes on then",
            )
        }
        Some(SchemaPhase::Absent | SchemaPhase::Expanding) => {
            closed(gate, Class::NeedsTime, "expand is not complete", "it is applied by itself")
        }
        Some(SchemaPhase::Backfilling) => {
            closed(gate, Class::NeedsTime, "existing rows are being filled", "it goes on batch by batch")
        }
        Some(
            SchemaPhase::Expanded
            | SchemaPhase::Soaking
            | SchemaPhase::Hidden
            | SchemaPhase::Snapshotting
            | SchemaPhase::Purged,
        ) => open(gate),
    }
}

/// The check's count is 0, and no more rows lack a counterpart than the change allows.
pub(crate) fn in_sync(draft: &Draft<'_>, change: Option<&ChangeState>) -> GateReading {
    let gate = Gate::InSync;
    let Some(change) = concerned(draft, change).filter(|c| c.is_open()) else { return not_applicable(gate) };
    if change.opened.plan.files(FilePhase::Check).next().is_none() {
        return not_applicable(gate);
    }
    match &draft.seen.schema.check {
        Fact::Known(check) if check.disagreeing == 0 => {
            within_unmapped(&counted(draft, change), change.opened.plan.unmapped_limit())
        }
        Fact::Known(check) => measured(
            closed(
                gate,
                Class::NeedsFix,
                format!(
                    "old and new form disagree in some rows{}{}",
                    if check.sampled { " of a sample" } else { "" },
                    first(check.first_disagreeing),
                ),
                "look at the rows that the check file counts",
            ),
            check.disagreeing.to_string(),
            "0",
        ),
        Fact::Absent => unknown(gate, "the check's count", "the check could not be run"),
        Fact::Unknown(why) => unknown(gate, "the check's count", why.as_str()),
    }
}

/// Where to look.
fn first(key: Option<i64>) -> String {
    key.map_or_else(String::new, |key| format!(" (the first one has key {key})"))
}

/// What a check of every row counted: in this pass, or the last time that one was made.
pub(crate) fn counted(draft: &Draft<'_>, change: &ChangeState) -> CheckReading {
    let now = draft.seen.schema.check.known().copied().filter(|check| !check.sampled);
    now.or(change.checked).unwrap_or_default()
}

/// Whoever reads only one of the forms misses these rows.
fn within_unmapped(check: &CheckReading, limit: Option<u64>) -> GateReading {
    let gate = Gate::InSync;
    let missing = check.unmapped.saturating_add(check.unmapped_back);
    match limit {
        Some(limit) if missing > limit => {
            let message = format!(
                "{} rows have no new form{} and {} no old one{}, which is more than the change allows",
                check.unmapped,
                first(check.first_unmapped),
                check.unmapped_back,
                first(check.first_unmapped_back),
            );
            let remedy = "correct these rows, or let the mapping take them, or raise `unmapped` in the sync file of a new change";
            measured(closed(gate, Class::NeedsFix, message, remedy), missing.to_string(), limit.to_string())
        }
        Some(_) | None => open(gate),
    }
}

/// A naming statement whose calls grew since the mark: its text and how it names the old form.
pub(crate) fn grown(read: &EvidenceRead, mark: &EvidenceMark) -> Option<(String, String)> {
    let namer = mark.grown(read).next()?;
    let how = match namer.role.as_str() {
        "" => namer.how.clone(),
        role => format!("{} as role {role}", namer.how),
    };
    Some((namer.text.clone(), how))
}

/// No serving or warm revision names what contract removes: nothing that names it was called since the last namer was
/// drained, and nothing in the catalog depends on it. Missing statistics close the gate.
pub(crate) fn readers_gone(draft: &Draft<'_>, change: &ChangeState) -> GateReading {
    let gate = Gate::ReadersGone;
    match &draft.seen.schema.dependencies {
        Fact::Known(dependencies) => {
            if let Some(first) = dependencies.blocking.first() {
                let message =
                    format!("{first} depends on what contract removes, so the server would refuse it");
                return closed(
                    gate,
                    Class::NeedsFix,
                    message,
                    "drop or change it first; nothing is dropped with CASCADE",
                );
            }
        }
        Fact::Absent => return unknown(gate, "what depends on the old form", "it was not read"),
        Fact::Unknown(why) => return unknown(gate, "what depends on the old form", why.as_str()),
    }
    let read = match &draft.seen.schema.evidence {
        Fact::Known(Evidence::Read(read)) => read,
        Fact::Known(Evidence::Missing(why)) => {
            return closed(
                gate,
                Class::NeedsFix,
                format!("who names the old form cannot be told: {why}"),
                "enable pg_stat_statements and grant pg_read_all_stats to Tidegate's role",
            );
        }
        Fact::Absent => return unknown(gate, "the statement statistics", "there are none"),
        Fact::Unknown(why) => return unknown(gate, "the statement statistics", why.as_str()),
    };
    let settled = draft.state.last.as_ref().map(|last| last.at);
    let Some((mark, marked_at)) = &change.mark else {
        return closed(
            gate,
            Class::NeedsTime,
            "the statement statistics were not read before",
            "a second read follows",
        );
    };
    // Whatever named it between the last read and then was not counted: the next mark lets the quiet begin anew.
    if mark.stats_reset == read.stats_reset && mark.dealloc < read.dealloc {
        let dropped = read.dealloc - mark.dealloc;
        return closed(
            gate,
            Class::NeedsFix,
            format!(
                "pg_stat_statements had no room and dropped statements, {dropped} times since they were read last"
            ),
            "raise pg_stat_statements.max if it stays so; otherwise the quiet begins anew with the next read",
        );
    }
    if !mark.is_continued_by(&EvidenceMark::of(read)) {
        return closed(
            gate,
            Class::NeedsTime,
            "the statement statistics lost a part since they were read last",
            "the quiet begins anew with the next read",
        );
    }
    let named_again = |text: &str, how: &str, when: &str| {
        let message = format!("a statement still names the old form {when} ({how}): {text}");
        closed(gate, Class::NeedsHuman, message, "release a revision that does not name it any more")
    };
    if let Some((text, how)) = grown(read, mark) {
        return named_again(&text, &how, "now");
    }
    // Named since the serving revision settled: believed to be its own until it was quiet for as long as is asked for.
    if let Some((reader, at)) =
        change.last_reader.as_ref().filter(|(_, at)| settled.is_none_or(|settled| *at > settled))
        && draft.now.duration_since(*at) < quiet_wanted(change)
    {
        return named_again(&reader.text, &reader.how, &format!("{} ago", age(*at, draft.now)));
    }
    if settled.is_some_and(|settled| *marked_at < settled) {
        return closed(
            gate,
            Class::NeedsTime,
            "the last reader may have been drained only just now",
            "the next read tells",
        );
    }
    open(gate)
}

/// How long nothing must have named the old form.
pub(crate) fn quiet_wanted(change: &ChangeState) -> SignedDuration {
    let after = change.opened.schema.contract_after.duration();
    // One reader says nothing of how far apart they are, and of none that is zero.
    let recurrence = if change.recurrence.seen == 1 { after } else { change.recurrence.longest };
    after.max(recurrence.checked_mul(2).unwrap_or(SignedDuration::MAX))
}

/// Quiet for at least `contractAfter` and twice the longest recurrence.
pub(crate) fn recurrence_covered(draft: &Draft<'_>, change: &ChangeState) -> GateReading {
    let gate = Gate::RecurrenceCovered;
    let Some(since) = change.quiet_since else {
        return closed(
            gate,
            Class::NeedsTime,
            "the quiet window has not begun",
            "it begins with the first read of the statistics",
        );
    };
    let quiet = draft.now.duration_since(since);
    let wanted = quiet_wanted(change);
    if quiet >= wanted {
        return clock_closes(draft, gate).unwrap_or_else(|| open(gate));
    }
    let reading = closed(
        gate,
        Class::NeedsTime,
        "the old form has not been unused for long enough",
        "it passes with time",
    );
    measured(reading, human(quiet), human(wanted))
}

/// By as much as the machine's clock may be wrong anyway.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// A window that is over by a clock that was set back may not be over: nothing is hidden or removed until the clock has caught up.
fn clock_closes(draft: &Draft<'_>, gate: Gate) -> Option<GateReading> {
    (draft.ahead > CLOCKS_DIFFER).then(|| {
        let message =
            "the machine's clock was set back, and until it has caught up nobody knows how much time has passed";
        let remedy = "it passes with time; see that the machine's clock is kept right";
        measured(closed(gate, Class::NeedsTime, message, remedy), human(draft.ahead), human(CLOCKS_DIFFER))
    })
}

/// Rollback of grade redeploy is proven for the revision just before the serving one.
pub(crate) fn redeploy_ready(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::RedeployReady;
    let Some((previous, _)) = &draft.state.previous else {
        return closed(
            gate,
            Class::NeedsHuman,
            "the ledger knows no revision before the serving one",
            "release once more; after a lost ledger the next rollout makes it known",
        );
    };
    match draft.seen.revisions.get(&previous.0) {
        Some(Fact::Known(found)) if found.active => open(gate),
        Some(Fact::Known(_) | Fact::Absent) => closed(
            gate,
            Class::NeedsFix,
            format!("{previous} is deregistered and could not be deployed again"),
            "register its content again and release it",
        ),
        Some(Fact::Unknown(why)) => unknown(gate, "the revision before the serving one", why.as_str()),
        None => unknown(gate, "the revision before the serving one", "it was not asked for"),
    }
}

/// The order exists for this spec version and plan digest, or the mode is automatic. What was said of a version before it was
/// rolled back does not count after: another revision serves than the one that was meant.
pub(crate) fn contract_approved(draft: &Draft<'_>, change: &ChangeState) -> GateReading {
    let gate = Gate::ContractApproved;
    match change.opened.schema.contract {
        ContractMode::Automatic => match rolled_back_at(draft) {
            None => return open(gate),
            Some(_) => {
                let message = "the version in force was rolled back, so contract does not go on by itself";
                return closed(
                    gate,
                    Class::NeedsHuman,
                    message,
                    "release a version that settles, or set contract to onApproval",
                );
            }
        },
        ContractMode::Never => {
            return closed(
                gate,
                Class::NeedsHuman,
                "the spec says that contract never runs",
                "set contract to onApproval or automatic",
            );
        }
        ContractMode::OnApproval => {}
    }
    let Some(accepted) = &draft.state.accepted else {
        return unknown(gate, "the spec in force", "none was accepted");
    };
    let plan = change.opened.plan.approval_digest(counted(draft, change).unmapped);
    let wanted =
        format!("write approve/contract as {{\"spec\": {}, \"plan\": \"{plan}\"}}", accepted.version);
    match &draft.seen.orders.approve_contract {
        Fact::Known(order) if rolled_back_at(draft).is_some_and(|at| order.modified <= at) => {
            let message = "the approval is older than the rollback of the version that it names";
            closed(gate, Class::NeedsHuman, message, wanted)
        }
        Fact::Known(order) => match refusal(order, accepted.version, plan.as_str(), accepted.modified) {
            None => open(gate),
            Some(why) => {
                closed(gate, Class::NeedsHuman, format!("the approval opens nothing: {why}"), wanted)
            }
        },
        Fact::Absent => closed(gate, Class::NeedsHuman, "nobody has approved the contract", wanted),
        Fact::Unknown(why) => unknown(gate, "the approval", why.as_str()),
    }
}

/// When the version in force was rolled back, if that is how its last rollout ended.
fn rolled_back_at(draft: &Draft<'_>) -> Option<jiff::Timestamp> {
    let version = draft.state.accepted.as_ref()?.version;
    let last = draft.state.last.as_ref().filter(|last| last.version == version)?;
    match last.end {
        RolloutEnd::RolledBack(_) => Some(last.at),
        RolloutEnd::Settled => None,
    }
}

/// Why an approval does not count, if it does not.
fn refusal(
    order: &ParameterRead,
    version: tidegate_model::ParameterVersion,
    plan: &str,
    modified: jiff::Timestamp,
) -> Option<String> {
    match read_approval(&order.text) {
        Err(problems) => Some(
            problems.first().map_or_else(|| "it is malformed".into(), |p| format!("it is malformed: {p}")),
        ),
        Ok(approval) if approval.spec != version => {
            Some(format!("it is for spec version {}, in force is {version}", approval.spec))
        }
        Ok(_) if order.modified <= modified => Some("it is older than the spec in force".into()),
        Ok(approval) if approval.plan != plan => Some("it is for another plan".into()),
        Ok(_) => None,
    }
}

/// Settled or rolled back, nothing newer started, by us or by somebody else, and all traffic on what serves by ECS's word:
/// an old reader may stand behind any other weight.
pub(crate) fn rollout_at_rest(draft: &Draft<'_>) -> GateReading {
    let gate = Gate::RolloutAtRest;
    if let Some(rollout) = &draft.state.rollout {
        return closed(
            gate,
            Class::NeedsTime,
            format!("the rollout of spec version {} is in flight", rollout.start.spec.version),
            "it opens when the rollout has settled or rolled back",
        );
    }
    match &draft.seen.deployments {
        Fact::Known(all) => {
            if let Some(active) = all.iter().find(|d| !d.status.is_terminal()) {
                let message = format!("deployment {} is in progress on the group", active.id);
                return closed(gate, Class::NeedsTime, message, "it opens when that deployment has ended");
            }
        }
        Fact::Absent => return unknown(gate, "what runs on the deployment group", "it does not exist"),
        Fact::Unknown(why) => return unknown(gate, "what runs on the deployment group", why.as_str()),
    }
    let (Some(service), Some(listeners)) = (draft.seen.service.known(), draft.seen.listeners.known()) else {
        return unknown(gate, "where traffic goes", "service and listener were not both read");
    };
    match split_at_rest(service, listeners) {
        Split::Expected(_) => open(gate),
        Split::Unknown(why) => unknown(gate, "where traffic goes", why),
        Split::Edited { found, expected } => measured(
            closed(
                gate,
                Class::NeedsHuman,
                "the listener does not forward to the primary task set alone",
                "put the listener back",
            ),
            found,
            expected,
        ),
    }
}

/// Hidden for the set time, and missed by nobody as far as the server's log tells. A log that cannot tell closes it.
pub(crate) fn hidden_long_enough(draft: &Draft<'_>, change: &ChangeState) -> GateReading {
    let gate = Gate::HiddenLongEnough;
    if change.opened.plan.hidable().next().is_none() {
        return not_applicable(gate);
    }
    if let Some(closed) = log_closes(draft) {
        return closed;
    }
    let Fact::Known(journal) = &draft.seen.schema.journal else {
        return unknown(gate, "whether the old form is hidden", "the journal was not read");
    };
    let Some(hidden) = &journal.hidden else {
        let message = "the old form is not hidden yet";
        return closed(gate, Class::NeedsTime, message, "it is hidden when every other gate is open");
    };
    if change.quarantine.is_some_and(|quarantine| quarantine.broken) {
        let message = "the hidden form is to be given back";
        return closed(gate, Class::NeedsTime, message, "the quiet window begins anew then");
    }
    if let Some(role) = hidden.regranted_to.first() {
        let message = format!("role {role} was given a right on the hidden form");
        return closed(
            gate,
            Class::NeedsHuman,
            message,
            "revoke it, or set contract to never to give the form back",
        );
    }
    let wanted = change.opened.schema.quarantine.duration();
    let served =
        change.quarantine.and_then(|quarantine| quarantine.since).map(|at| draft.now.duration_since(at));
    match served {
        Some(served) if served >= wanted => clock_closes(draft, gate).unwrap_or_else(|| open(gate)),
        Some(_) | None => {
            let served = served.unwrap_or(SignedDuration::ZERO);
            let message = "the old form has not been hidden for long enough";
            measured(
                closed(gate, Class::NeedsTime, message, "it passes with time"),
                human(served),
                human(wanted),
            )
        }
    }
}

/// What the log's state closes the gate with, if it does.
fn log_closes(draft: &Draft<'_>) -> Option<GateReading> {
    let gate = Gate::HiddenLongEnough;
    let reading = match &draft.seen.schema.log {
        Fact::Known(reading) => reading,
        Fact::Unknown(Why::Denied) => {
            let message = "whom the server refuses cannot be seen: its log may not be read";
            let unblock = "allow rds:DescribeDBLogFiles and rds:DownloadDBLogFilePortion to Tidegate's role";
            return Some(closed(gate, Class::NeedsFix, message, unblock));
        }
        Fact::Absent => return Some(unknown(gate, "whom the server refuses", "there is no log")),
        Fact::Unknown(why) => return Some(unknown(gate, "whom the server refuses", why.as_str())),
    };
    if let Some(problem) = &reading.problem {
        let message = format!("whom the server refuses cannot be seen in its log: {problem}");
        let unblock = "set log_line_prefix, log_min_messages and lc_messages to their defaults in Amazon RDS";
        return Some(closed(gate, Class::NeedsFix, message, unblock));
    }
    let unsure = !reading.complete || reading.lost || reading.denial.is_some();
    let more = unsure.then_some(());
    more.map(|()| closed(gate, Class::NeedsTime, "the server's log is being read", "it passes with time"))
}

/// A snapshot of exactly this instance, by our id and marker, available and young enough.
pub(crate) fn snapshot_available(draft: &Draft<'_>, snapshot: &Fact<Snapshot>) -> GateReading {
    let gate = Gate::SnapshotAvailable;
    let snapshot = match snapshot {
        Fact::Known(snapshot) => snapshot,
        Fact::Absent => {
            return closed(
                gate,
                Class::NeedsTime,
                "the snapshot is not there yet",
                "it is taken when every other gate is open",
            );
        }
        Fact::Unknown(why) => return unknown(gate, "the snapshot", why.as_str()),
    };
    let instance = match &draft.seen.instance {
        Fact::Known(instance) => instance,
        Fact::Absent => {
            return closed(gate, Class::NeedsFix, "the instance does not exist", "name an existing instance");
        }
        Fact::Unknown(why) => return unknown(gate, "the instance", why.as_str()),
    };
    let ours = snapshot.marker.as_ref().is_some_and(|marker| &marker.release == draft.release);
    if snapshot.resource_id != instance.resource_id || !ours {
        return closed(
            gate,
            Class::NeedsHuman,
            format!("snapshot {} is of another instance or not ours", snapshot.id),
            "rename or remove it; another id is taken next time",
        );
    }
    match (snapshot.status, snapshot.available_at) {
        (SnapshotStatus::Available, Some(at)) if draft.now.duration_since(at) <= SNAPSHOT_YOUNG => open(gate),
        (SnapshotStatus::Available, _) => {
            closed(gate, Class::NeedsTime, "the snapshot is too old", "a new one is taken")
        }
        (SnapshotStatus::Creating | SnapshotStatus::Other, _) => measured(
            closed(gate, Class::NeedsTime, "the snapshot is being taken", "it passes with time"),
            format!("{} %", snapshot.percent),
            "available",
        ),
        (SnapshotStatus::Failed, _) => closed(
            gate,
            Class::NeedsFix,
            "the snapshot failed",
            "look at the instance's events; a new one is taken",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::gate::GateState;

    #[test]
    fn rows_without_a_counterpart_close_the_gate_only_beyond_the_change_s_own_limit() {
        let check = CheckReading { unmapped: 2, unmapped_back: 3, ..CheckReading::default() };
        for (limit, opens) in [(None, true), (Some(5), true), (Some(4), false), (Some(0), false)] {
            let state = within_unmapped(&check, limit).state;
            assert_eq!(state == GateState::Open, opens, "{limit:?}: {state:?}");
        }
    }
}
