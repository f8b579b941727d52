//! What is published of a release while its ledger cannot be read or written: what stands, and that it waits for the ledger.
//!
//! Used at the end of a pass. The planner knows nothing of it: it decides as if what it decides could be kept.

use jiff::Timestamp;
use tidegate_model::{
    status::{ReleaseStatus, Summary},
    waiting::{Class, OnDeadline, Reason, Waiting},
};

/// The status with the wait for the ledger before all others: nothing makes progress. It has lasted since it was first told in `before`.
pub(crate) fn told(
    mut status: ReleaseStatus,
    before: Option<&ReleaseStatus>,
    now: Timestamp,
    next_look: Timestamp,
) -> ReleaseStatus {
    let same = before.and_then(|before| before.waiting.iter().find(|wait| is_for_ledger(wait)));
    let since = same.map_or(now, |wait| wait.since);
    // What was told by another daemon before this one led is its own now.
    status.led_by = None;
    if status.summary == Summary::Progressing {
        status.summary = Summary::Waiting;
    }
    status.waiting.retain(|wait| !is_for_ledger(wait));
    status.waiting.insert(0, waiting(since, next_look));
    status
}

fn is_for_ledger(wait: &Waiting) -> bool {
    wait.reason == Reason::LedgerUnavailable
}

fn waiting(since: Timestamp, next_look: Timestamp) -> Waiting {
    Waiting {
        reason: Reason::LedgerUnavailable,
        message: "the ledger cannot be read or written: nothing goes forward, traffic can still be taken back"
            .to_owned(),
        blocked_by: None,
        since,
        measured: None,
        required: None,
        next_check_at: next_look,
        deadline: None,
        on_deadline: OnDeadline::Stall,
        unblock: "see in the log what the ledger's disk or database answers, and mend that; the release goes on by itself"
            .to_owned(),
        class: Class::NeedsFix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_release_waits_for_its_ledger_first_and_since_it_was_first_told() {
        let name = "shop".parse().expect("a name");
        let damage = tidegate_ledger::Damage::BadHash { seq: 1 };
        let status = crate::damaged::status(&name, &damage, at(1), at(1), at(2));
        let first = told(status.clone(), None, at(10), at(25));
        let second = told(first.clone(), Some(&first), at(25), at(40));
        for (told, next) in [(&first, 25), (&second, 40)] {
            assert_eq!(
                told.waiting.len(),
                status.waiting.len() + 1,
                "told once, and what it waits for besides"
            );
            assert_eq!(told.waiting[0].reason, Reason::LedgerUnavailable);
            assert_eq!((told.waiting[0].since, told.waiting[0].next_check_at), (at(10), at(next)));
        }
    }
}
