//! Which closed minutes can be judged, and which of them say too little to call green healthy.
//!
//! CloudWatch publishes a minute's counts metric by metric and corrects them for some minutes. A minute that is partly there
//! must neither be held for health nor be compared as if the rest were zero. Every pass judges all minutes anew, so a minute
//! that becomes complete later counts then. Pure.

use tidegate_model::observation::Minute;

use super::{DUE_REQUESTS, Question};
use crate::errors::tally;

/// The newest minutes, which may still grow.
const LATE: usize = 3;
/// What the newest ones are measured by: so many minutes before them.
const BEFORE: usize = 5;
/// A minute with less than this share of the requests that are usual is not complete, if it is one of the newest.
const COMPLETE: f64 = 0.5;

/// The minutes since green's first weight, oldest first.
pub(super) struct Judged<'a> {
    /// Those that can be judged.
    pub(super) minutes: Vec<&'a Minute>,
    /// True for each of them that is complete, as far as can be seen: only these speak for green.
    complete: Vec<bool>,
}

impl<'a> Judged<'a> {
    /// Orders them, and leaves out what cannot be judged: a minute that stands twice, and of the newest ones those in which
    /// blue's requests are not there yet.
    pub(super) fn of(question: &Question<'a>) -> Self {
        let mut all: Vec<&Minute> = question.minutes.iter().collect();
        all.sort_by_key(|minute| minute.at);
        // Of two texts of one minute the later one is the correction.
        all.reverse();
        all.dedup_by_key(|minute| minute.at);
        all.reverse();
        let newest = all.len().saturating_sub(LATE);
        let usual = usual(&all[newest.saturating_sub(BEFORE)..newest], question);
        let mut judged = Self { minutes: vec![], complete: vec![] };
        for (i, minute) in all.into_iter().enumerate() {
            let late = i >= newest;
            let since = minute.at.as_second() + 60 > question.traffic_since.as_second();
            if since && !(late && is_half(question, minute, usual)) {
                judged.minutes.push(minute);
                judged.complete.push(!late || total(minute) >= COMPLETE * usual);
            }
        }
        judged
    }

    /// The last of them, each with whether it is complete.
    pub(super) fn last(&self, minutes: usize) -> impl Iterator<Item = (&'a Minute, bool)> + '_ {
        let first = self.minutes.len().saturating_sub(minutes);
        self.minutes[first..].iter().copied().zip(self.complete[first..].iter().copied())
    }
}

/// The median of what all groups together had; blue's history where no minute tells.
fn usual(minutes: &[&Minute], question: &Question<'_>) -> f64 {
    let mut totals: Vec<f64> = minutes.iter().map(|minute| total(minute)).filter(|t| *t > 0.0).collect();
    totals.sort_by(f64::total_cmp);
    let history = question.baseline.filter(|b| b.minutes > 0).map(|b| b.requests / f64::from(b.minutes));
    let median = totals.get(totals.len() / 2).copied();
    median.or(history).filter(|usual| usual.is_finite()).unwrap_or(0.0)
}

fn total(minute: &Minute) -> f64 {
    minute.groups.values().filter_map(tally).map(|tally| tally.requests).sum()
}

/// Green's requests are there and blue's are not, though blue has weight and traffic was due.
fn is_half(question: &Question<'_>, minute: &Minute, usual: f64) -> bool {
    let has = |group| minute.groups.get(group).is_some_and(|counts| counts.requests.is_some());
    has(question.green) && !has(question.blue) && usual * (1.0 - question.weight) >= DUE_REQUESTS
}
