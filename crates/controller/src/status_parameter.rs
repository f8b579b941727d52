//! The status parameter: what a release's people see in Parameter Store, written on transitions only.
//!
//! Pure: when to write and what. Numbers and times are no transition, or a backfill would write a version for each batch.

use serde_json::{Value, json};
use tidegate_model::{
    Digest,
    gate::Gate,
    status::ReleaseStatus,
    waiting::{Reason, Waiting},
};

/// The largest value of a standard parameter, in bytes.
pub(crate) const LIMIT: usize = 4096;

/// The longest message of a waiting record, in characters.
const MESSAGE_LIMIT: usize = 300;

/// What the parameter's content turns on: equal transitions need no write.
pub(crate) fn transition(status: &ReleaseStatus) -> Digest {
    Digest::of_json(&json!({
        "summary": status.summary,
        "versions": status.versions,
        "rollout": status.rollout.phase,
        "schema": status.schema.as_ref().map(|schema| &schema.phase),
        "plan": asked_for_approval(status),
        "waiting": status.waiting.iter().map(|wait| wait.reason.as_str()).collect::<Vec<_>>(),
    }))
}

/// The digest that an approval must name, once one is waited for: what people copy must be the one in force.
fn asked_for_approval(status: &ReleaseStatus) -> Option<&str> {
    let asked = status.waiting.iter().any(|wait| wait.reason == Reason::Gate(Gate::ContractApproved));
    status.schema.as_ref().filter(|_| asked).map(|schema| schema.plan.as_str())
}

/// The parameter's text: at most [`LIMIT`] bytes, the least important waiting records left out first.
pub(crate) fn text(status: &ReleaseStatus) -> String {
    let mut waiting: Vec<Value> = status.waiting.iter().map(shown).collect();
    loop {
        let text = document(status, &waiting).to_string();
        if text.len() <= LIMIT || waiting.pop().is_none() {
            return text;
        }
    }
}

fn document(status: &ReleaseStatus, waiting: &[Value]) -> Value {
    json!({
        "apiVersion": status.api_version,
        "name": status.name,
        "observedAt": status.observed_at,
        "summary": status.summary,
        "versions": status.versions,
        "problems": status.problems.len(),
        "rollout": {
            "phase": status.rollout.phase,
            "deployment": status.rollout.deployment,
            "cause": status.rollout.cause.as_deref().map(cut),
        },
        "schema": status.schema.as_ref().map(|schema| json!({
            "change": schema.change,
            "phase": schema.phase,
            "plan": schema.plan,
        })),
        "rollback": status.rollback.grade,
        "waiting": waiting,
        "waitingLeftOut": status.waiting.len() - waiting.len(),
    })
}

fn shown(wait: &Waiting) -> Value {
    json!({
        "reason": wait.reason.as_str(),
        "class": wait.class,
        "message": cut(&wait.message),
        "since": wait.since,
        "deadline": wait.deadline,
        "onDeadline": wait.deadline.map(|_| wait.on_deadline),
        "unblock": cut(&wait.unblock),
    })
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use tidegate_ledger::Damage;
    use tidegate_model::waiting::Held;

    fn status() -> ReleaseStatus {
        let at = Timestamp::UNIX_EPOCH;
        crate::damaged::status(&"shop".parse().unwrap(), &Damage::BadHash { seq: 3 }, at, at, at)
    }

    #[test]
    fn numbers_and_times_are_no_transition() {
        let before = status();
        let mut after = before.clone();
        after.observed_at = Timestamp::MAX;
        after.rollout.green_weight = Some(30.0);
        after.waiting[0].since = Timestamp::MAX;
        after.waiting[0].message = "entry 4".to_owned();
        assert_eq!(transition(&before), transition(&after));
    }

    #[test]
    fn phase_versions_and_reasons_are_transitions() {
        let before = transition(&status());
        let changes: [fn(&mut ReleaseStatus); 4] = [
            |status| status.rollout.phase = "shifting".to_owned(),
            |status| status.versions.in_force = Some(tidegate_model::ParameterVersion(2)),
            |status| status.summary = tidegate_model::status::Summary::Healthy,
            |status| status.waiting[0].reason = Reason::Held(Held::Ordered),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut after = status();
            change(&mut after);
            assert_ne!(transition(&after), before, "change {index}");
        }
    }

    #[test]
    fn the_text_never_outgrows_the_parameter() {
        let mut long = status();
        long.waiting[0].message = "\u{7}ä".repeat(2_000);
        long.rollout.cause = Some("\u{7}".repeat(5_000));
        long.waiting = vec![long.waiting[0].clone(); 40];
        let text = text(&long);
        assert!(text.len() <= LIMIT, "{} bytes", text.len());
        let read: Value = serde_json::from_str(&text).unwrap();
        let shown = read["waiting"].as_array().unwrap().len() as u64;
        assert_eq!(read["waitingLeftOut"].as_u64().unwrap() + shown, 40);
    }

    #[test]
    fn a_short_status_is_shown_whole() {
        let read: Value = serde_json::from_str(&text(&status())).unwrap();
        assert_eq!(read["summary"], "Held");
        assert_eq!(read["waiting"][0]["reason"], "ledger-damaged");
        assert_eq!(read["waitingLeftOut"], 0);
    }
}
