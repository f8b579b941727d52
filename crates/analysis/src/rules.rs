//! Rules that need no statistics: so many of the last closed minutes break a limit.
//!
//! Called by the judge. A rule says what a minute measures and what its limit is; here it is counted how many of the last
//! minutes break it, whether that makes green suspect or fail, and what is told of it either way. Pure.

use jiff::Timestamp;
use tidegate_model::{
    observation::Minute,
    spec::Toggle,
    verdict::{Check, Finding, Guard, RuleReading, Standing, Unit},
};

/// What one minute measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) measured: f64,
    pub(super) limit: f64,
    pub(super) broken: bool,
}

impl Look {
    /// Broken by what is above the limit. A number that is none breaks nothing.
    pub(super) fn above(measured: f64, limit: f64) -> Self {
        Self { measured, limit, broken: measured > limit }
    }
}

/// Looks at one minute.
pub(super) type Looker<'a> = Box<dyn Fn(&Minute) -> Option<Look> + 'a>;

/// At least so many of the last so many minutes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) needed: usize,
    pub(super) of: usize,
}

impl Window {
    /// So many minutes, one after another.
    pub(super) const fn in_a_row(minutes: usize) -> Self {
        Self { needed: minutes, of: minutes }
    }

    /// The same where the newest minute may not be complete yet: one of them may look better than it was.
    pub(super) const fn but_one(minutes: usize) -> Self {
        Self { needed: minutes, of: minutes + 1 }
    }
}

/// A rule.
pub(super) struct Rule<'a> {
    pub(super) toggle: Toggle,
    pub(super) check: Check,
    pub(super) guard: Option<Guard>,
    /// What is measured, where the check's name does not say it.
    pub(super) measure: Option<String>,
    pub(super) unit: Unit,
    /// Green is suspect, if the rule makes it so before it fails.
    pub(super) holds: Option<Window>,
    /// Green fails.
    pub(super) fails: Window,
    /// What a minute measures; `None` if it says nothing.
    pub(super) look: Looker<'a>,
}

/// What became of a rule.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) toggle: Toggle,
    pub(super) reading: RuleReading,
    pub(super) finding: Option<Finding>,
}

impl Rule<'_> {
    /// Holds the rule against the last of these minutes, oldest first.
    pub(super) fn judge(&self, judged: &[&Minute]) -> Outcome {
        let broken = |window: Window| -> Vec<(Timestamp, Look)> {
            let looked_at = last(judged, window.of).iter();
            let looks = looked_at.filter_map(|minute| Some((minute.at, (self.look)(minute)?)));
            // What is no number breaks nothing, and could not be kept in the ledger.
            let possible = |look: &Look| look.measured.is_finite() && look.limit.is_finite();
            looks.filter(|(_, look)| look.broken && possible(look)).collect()
        };
        let failing = broken(self.fails);
        let held = self.holds.is_some_and(|window| broken(window).len() >= window.needed);
        let standing = match (failing.len() >= self.fails.needed, held) {
            (true, _) => Standing::Broken,
            (false, true) => Standing::Suspect,
            (false, false) => Standing::Kept,
        };
        let newest = judged.last().and_then(|minute| (self.look)(minute));
        let reading = RuleReading {
            check: self.check,
            guard: self.guard,
            measure: self.measure.clone(),
            measured: newest.map(|look| look.measured).filter(|value| value.is_finite()),
            limit: newest.map(|look| look.limit).filter(|value| value.is_finite()),
            unit: self.unit,
            failing_minutes: count(failing.len()),
            of_minutes: count(last(judged, self.fails.of).len()),
            needed_minutes: count(self.fails.needed),
            standing,
            dry_run: !self.toggle.is_on(),
        };
        let worst = failing.iter().max_by(|(_, a), (_, b)| a.measured.total_cmp(&b.measured));
        let finding = worst.filter(|_| standing == Standing::Broken).map(|(_, worst)| Finding {
            check: self.check,
            measured: worst.measured,
            limit: worst.limit,
            unit: self.unit,
            first_failing: failing[0].0,
            failing_minutes: reading.failing_minutes,
            of_minutes: reading.of_minutes,
            factor: None,
            measure: self.measure.clone(),
            guard: self.guard,
        });
        Outcome { toggle: self.toggle, reading, finding }
    }
}

fn last<'a, 'b>(judged: &'b [&'a Minute], minutes: usize) -> &'b [&'a Minute] {
    &judged[judged.len().saturating_sub(minutes)..]
}

fn count(minutes: usize) -> u32 {
    u32::try_from(minutes).unwrap_or(u32::MAX)
}
