//! Which ledger entries people want to read as events, and in what words.

use super::{Broken, Entry, EventKind, Resolution, RolloutEnd, RolloutKind};
use crate::{calibration::Calibration, decision::Outcome, duration::human};

/// The event that an entry is: kind, CamelCase reason, sentence. `None` for bookkeeping.
pub(super) fn telling(entry: &Entry) -> Option<(EventKind, &'static str, String)> {
    use EventKind::{Normal, Warning};
    Some(match entry {
        Entry::Accepted(accepted) => {
            (Normal, "SpecAccepted", format!("spec version {} is in force", accepted.version))
        }
        Entry::Refused(refused) => {
            let first = refused.problems.first().map(ToString::to_string).unwrap_or_default();
            (Warning, "SpecRefused", format!("{}: {first}", refused.describe()))
        }
        Entry::Unmanaged => {
            (Normal, "Unmanaged", "the spec was deleted; the release is no longer managed".into())
        }
        Entry::OrderIgnored { order, version, why, modified: _ } => {
            (Warning, "OrderIgnored", format!("order {order} version {version} does not count: {why}"))
        }
        Entry::ClockSetForward { by } => {
            let by = human(*by);
            (
                Warning,
                "ClockSetForward",
                format!("the machine's clock was set forward by {by}; that time counts for no window"),
            )
        }
        Entry::Hold { present: true } => (Normal, "Held", "a hold is ordered".into()),
        Entry::RolloutStarted(start) => match &start.kind {
            RolloutKind::Forward if start.adopted => (
                Normal,
                "RolloutAdopted",
                format!("spec version {} was found in flight by its marker", start.spec.version),
            ),
            RolloutKind::Forward => (
                Normal,
                "RolloutStarted",
                format!("spec version {} begins; {} serves", start.spec.version, start.blue),
            ),
            RolloutKind::Redeploy { to, cause } => {
                (Warning, "RedeployStarted", format!("{to} is deployed again because {cause}"))
            }
        },
        Entry::Advanced(phase) => (Normal, "PhaseEntered", format!("rollout is {}", phase.as_str())),
        Entry::GreenKnown(arn) => (Normal, "GreenKnown", format!("green runs {arn}")),
        Entry::DeploymentKnown(id) => {
            (Normal, "DeploymentKnown", format!("deployment {id} carries the rollout"))
        }
        Entry::DeploymentForgotten => (
            Normal,
            "ReadyWaitOver",
            "the Ready wait ended while a gate was closed; the deployment is made again when the gates open"
                .into(),
        ),
        Entry::RedeploymentFailed { deployment, code } => (
            Warning,
            "RedeploymentFailed",
            format!("redeployment {deployment} ended without success ({code}) and is made again"),
        ),
        Entry::RollbackDeploymentKnown(id) => {
            (Normal, "RollbackDeploymentKnown", format!("deployment {id} rolls back"))
        }
        Entry::BaselineTaken(baseline) => {
            let found: Vec<String> = baseline.detectable.iter().map(ToString::to_string).collect();
            let found = if found.is_empty() {
                String::new()
            } else {
                format!("; green would go back by {}", found.join(", "))
            };
            let calibration = baseline.calibration.as_ref();
            let history =
                calibration.map_or_else(|| "it is not calibrated".to_owned(), Calibration::describe);
            (Normal, "BaselineTaken", format!("blue's history is frozen: {history}{found}"))
        }
        Entry::TrafficSeen => (Normal, "TrafficSeen", "green has its first production weight".into()),
        Entry::Frozen(true) => (
            Warning,
            "ListenerEdited",
            "the listener has weights that this release did not give it; nothing is written".into(),
        ),
        Entry::Frozen(false) => (Normal, "ListenerRestored", "the listener is as expected again".into()),
        Entry::RollbackDecided(cause) => (Warning, "RollingBack", format!("rolling back: {cause}")),
        Entry::RolloutEnded(RolloutEnd::Settled) => {
            (Normal, "Settled", "green serves and blue is gone".into())
        }
        Entry::RolloutEnded(RolloutEnd::RolledBack(cause)) => {
            (Warning, "RolledBack", format!("rolled back: {cause}"))
        }
        Entry::ChangeOpened(opened) => {
            (Normal, "ChangeOpened", format!("change {} is open", opened.plan.change))
        }
        Entry::ReaderSeen(reader) => (
            Normal,
            "ReaderSeen",
            format!("a statement still names the old form ({}): {}", reader.how, reader.text),
        ),
        Entry::QuarantineBegan => {
            (Normal, "QuarantineBegan", "the old form is hidden, and nobody missed it yet".into())
        }
        Entry::QuarantineBroken(Broken::Missed(reader)) => (
            Warning,
            "HiddenFormMissed",
            format!(
                "a statement was refused because the old form is hidden ({}): {}; it is given back",
                reader.how, reader.text
            ),
        ),
        Entry::QuarantineBroken(Broken::Wanted(why)) => {
            (Warning, "HiddenFormWanted", format!("the old form is given back: {why}"))
        }
        Entry::TaskEnded(end) if end.is_success() => {
            (Normal, "TaskEnded", "the migration task ended with exit code 0".into())
        }
        Entry::TaskEnded(end) => (Warning, "TaskFailed", format!("the migration task ended with {end}")),
        Entry::SnapshotNamed(id) => {
            (Normal, "SnapshotNamed", format!("snapshot {id} will be taken before purge"))
        }
        Entry::ChangePurged => (Normal, "Purged", "the old form is gone".into()),
        Entry::Resolved { resolution: Resolution::Done(outcome), intent: _ } => match outcome {
            Outcome::Registered(arn) => {
                (Normal, "Registered", format!("task definition {arn} is registered"))
            }
            Outcome::DeploymentCreated(id) => {
                (Normal, "DeploymentCreated", format!("deployment {id} is created"))
            }
            Outcome::Probed { failure: None, production } => {
                let listener = if *production { "production" } else { "test" };
                (Normal, "Verified", format!("every probe passed on the {listener} listener"))
            }
            Outcome::Probed { failure: Some(what), .. } => (Warning, "ProbeFailed", what.clone()),
            Outcome::TaskStarted(arn) => (Normal, "TaskStarted", format!("migration task {arn} is started")),
            Outcome::Expanded => (Normal, "Expanded", "an expand file is applied".into()),
            Outcome::Hidden => (Normal, "Hidden", "the old form is hidden".into()),
            Outcome::Unhidden => (Warning, "Unhidden", "the hidden form is given back".into()),
            Outcome::Purged => (Normal, "ContractApplied", "contract is applied".into()),
            Outcome::Accepted | Outcome::Backfilled { .. } => return None,
        },
        Entry::Resolved { resolution: Resolution::Refused { code }, intent: _ } => {
            (Warning, "StepRefused", format!("a step was refused ({code}); it is tried again later"))
        }
        Entry::Hold { present: false }
        | Entry::Confirmed
        | Entry::Calibrated(_)
        | Entry::Judged(_)
        | Entry::BakeClock { .. }
        | Entry::EvidenceMarked(_)
        | Entry::RowsChecked(_)
        | Entry::FloorKnown(_)
        | Entry::LogWatched(_)
        | Entry::QuarantineEnded
        | Entry::Intended(_)
        | Entry::SpecAbsent { .. }
        | Entry::Resolved { resolution: Resolution::NotApplied, intent: _ } => return None,
    })
}
