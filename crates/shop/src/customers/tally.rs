//! Counting requests: sent, failed and why, second by second.
//!
//! Called by: the shoppers; read by whoever started them. Must not: hold what an answer said.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures that are kept one by one; the rest are only counted.
const LISTED: usize = 20;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nobody listens.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No whole answer within two seconds.
    TooLate,
    /// A server error.
    Status(u16),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::TooLate => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// A request that failed, or whose answer was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Seconds since the start when it was sent.
    pub second: u64,
    /// The request line without its version: `PUT /api/customers/7`.
    pub request: String,
    /// What was wrong.
    pub cause: String,
}

/// One second of traffic, by when requests were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests sent.
    pub sent: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests with an outcome.
    pub sent: u64,
    /// Of those, on connections that are kept.
    pub sent_on_kept: u64,
    /// Requests that wrote.
    pub written: u64,
    /// 5xx, connection refused or reset, or no whole answer within two seconds.
    pub failed: u64,
    /// Answers that were in time and no error, but not what was acknowledged before: lost writes.
    pub wrong: u64,
    /// Writes refused with 4xx: awkward addresses that a version has no column for.
    pub refused: u64,
    /// Checkouts that were taken.
    pub bought: u64,
    /// Checkouts that were refused, though nothing was wrong with them.
    pub lost: u64,
    /// The slowest answer that arrived.
    pub slowest: Duration,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// The first failed or wrong requests.
    pub first_failures: Vec<Failure>,
    /// Every second since the start.
    pub history: Vec<Second>,
}

/// A request that has been decided.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) sent_at: Instant,
    pub(super) line: String,
    pub(super) writes: bool,
    pub(super) kept: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fine,
    Failed(Cause),
    Wrong(&'static str),
    Refused,
    /// A checkout was taken.
    Bought,
    /// A checkout was refused.
    Lost,
}

/// The counters that shoppers share.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    report: Mutex<Report>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), report: Mutex::default() }
    }

    pub(super) fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request that has just ended.
    pub(super) fn count(&self, request: Request, outcome: Outcome) {
        let took = request.sent_at.elapsed();
        let second = request.sent_at.saturating_duration_since(self.started).as_secs();
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.sent += 1;
        report.sent_on_kept += u64::from(request.kept);
        report.written += u64::from(request.writes);
        let mut failed = false;
        let cause = match outcome {
            Outcome::Fine => None,
            Outcome::Bought => {
                report.bought += 1;
                None
            }
            Outcome::Lost => {
                report.lost += 1;
                None
            }
            Outcome::Refused => {
                report.refused += 1;
                None
            }
            Outcome::Wrong(what) => {
                report.wrong += 1;
                Some(what.to_owned())
            }
            Outcome::Failed(cause) => {
                failed = true;
                report.failed += 1;
                *report.causes.entry(cause).or_default() += 1;
                Some(cause.to_string())
            }
        };
        if !failed {
            report.slowest = report.slowest.max(took);
        }
        if let Some(cause) = cause
            && report.first_failures.len() < LISTED
        {
            report.first_failures.push(Failure { second, request: request.line, cause });
        }
        let index = usize::try_from(second).unwrap_or(usize::MAX - 1);
        if report.history.len() <= index {
            report.history.resize(index + 1, Second::default());
        }
        report.history[index].sent += 1;
        report.history[index].failed += u64::from(failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_cause_and_second_and_wrong_answers_apart() {
        let tally = Tally::new();
        let request = |second| Request {
            sent_at: tally.started + Duration::from_secs(second),
            line: "GET /x".to_owned(),
            writes: false,
            kept: true,
        };
        tally.count(request(0), Outcome::Fine);
        tally.count(request(2), Outcome::Failed(Cause::Status(503)));
        tally.count(request(2), Outcome::Wrong("lost"));
        tally.count(request(2), Outcome::Refused);
        tally.count(request(1), Outcome::Bought);
        tally.count(request(1), Outcome::Lost);
        let report = tally.report();
        assert_eq!((report.sent, report.failed, report.wrong, report.refused), (6, 1, 1, 1));
        assert_eq!((report.bought, report.lost), (1, 1));
        assert_eq!(report.causes, BTreeMap::from([(Cause::Status(503), 1)]));
        let history: Vec<(u64, u64)> =
            report.history.iter().map(|second| (second.sent, second.failed)).collect();
        assert_eq!(history, [(1, 0), (2, 0), (3, 1)]);
        assert_eq!(report.first_failures.len(), 2);
    }

    #[test]
    fn only_the_first_failures_are_kept() {
        let tally = Tally::new();
        for _ in 0..50 {
            let request = Request { sent_at: Instant::now(), line: String::new(), writes: true, kept: false };
            tally.count(request, Outcome::Failed(Cause::Reset));
        }
        assert_eq!((tally.report().failed, tally.report().first_failures.len()), (50, LISTED));
    }
}
