//! What is published of a release whose ledger is damaged: nothing is decided for it, so nobody else renders it.

use jiff::Timestamp;
use tidegate_ledger::Damage;
use tidegate_model::{
    ReleaseName,
    status::{
        Condition, ConditionStatus, ConditionType, Grade, ReleaseStatus, RollbackStatus, RolloutStatus,
        Summary, Versions,
    },
    waiting::{Class, Held, OnDeadline, Reason, Waiting},
};

/// The status of a release that is held because its ledger is damaged since `since`.
pub(crate) fn status(
    release: &ReleaseName,
    why: &Damage,
    since: Timestamp,
    now: Timestamp,
    next_look: Timestamp,
) -> ReleaseStatus {
    let message = format!("the ledger of this release is damaged: {why}");
    ReleaseStatus {
        api_version: "tidegate/v1".to_owned(),
        led_by: None,
        name: release.clone(),
        observed_at: now,
        summary: Summary::Held,
        versions: Versions::default(),
        problems: Vec::new(),
        conditions: ConditionType::ALL.into_iter().map(|kind| condition(kind, &message)).collect(),
        waiting: vec![waiting(&message, since, next_look)],
        rollout: RolloutStatus { phase: "unknown".to_owned(), ..RolloutStatus::default() },
        schema: None,
        gates: Vec::new(),
        rollback: RollbackStatus {
            grade: Grade::None,
            how: "not known while the ledger is damaged; traffic is kept as it is".to_owned(),
            unproven: Vec::new(),
            certificate: None,
        },
        verdict: None,
        events: Vec::new(),
    }
}

fn condition(kind: ConditionType, message: &str) -> Condition {
    let status = match kind {
        ConditionType::Ready => ConditionStatus::False,
        ConditionType::Stalled => ConditionStatus::True,
        ConditionType::Reconciling
        | ConditionType::SpecValid
        | ConditionType::Synced
        | ConditionType::Suspended
        | ConditionType::DatabaseExpanded
        | ConditionType::GreenHealthy
        | ConditionType::TrafficShifted
        | ConditionType::Baked
        | ConditionType::Promoted
        | ConditionType::RolledBack
        | ConditionType::ContractAllowed
        | ConditionType::Contracted => ConditionStatus::Unknown,
    };
    Condition {
        r#type: kind,
        status,
        observed_version: None,
        reason: "LedgerDamaged".to_owned(),
        message: message.to_owned(),
    }
}

fn waiting(message: &str, since: Timestamp, next_look: Timestamp) -> Waiting {
    Waiting {
        reason: Reason::Held(Held::LedgerDamaged),
        message: message.to_owned(),
        blocked_by: None,
        since,
        measured: None,
        required: None,
        next_check_at: next_look,
        deadline: None,
        on_deadline: OnDeadline::Stall,
        unblock: Held::LedgerDamaged.next_step().to_owned(),
        class: Class::NeedsHuman,
    }
}
