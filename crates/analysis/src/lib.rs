//! Verdicts: judging green against blue from closed CloudWatch minutes.
//!
//! One function, [`judge`], called by the planner in every pass in which green has production weight. Failed requests, slow
//! requests and a team's own counts are judged by evidence ([`Process`]), for failures calibrated on the service's own history
//! ([`calibrate`]); targets, connections and a team's own limits by the last few minutes; and guards watch for what a comparison
//! cannot see. Pure: no clock, no I/O; what is not in the question does not exist.

use jiff::Timestamp;
use tidegate_model::{
    observation::{Alarm, ColorHealth, Counts, Minute, TargetGroup},
    spec::Checks,
    verdict::{Baseline, Check, Evidence, Finding, RuleReading, Standing, Verdict},
};

use minutes::Judged;
use rules::Outcome;

mod baseline;
mod calibration;
mod compare;
mod errors;
mod evidence;
mod fewest;
mod foresight;
mod gauge;
mod guards;
mod history;
mod limits;
mod minutes;
mod ramp;
mod rules;
mod values;

pub use baseline::{MINUTES as BASELINE_MINUTES, baseline};
pub use calibration::{calibrate, uncalibrated};
pub use compare::{EVIDENCE_MINUTES, LIMIT, SUSPECT, share_of_errors};
pub use evidence::{Effects, Pair, Process, Tally};
pub use foresight::foresee;
pub use gauge::{Gauge, learn};
pub use history::{calibrated, windows};
pub use ramp::{FIRST_WEIGHT, Ramping, next_weight};

/// Traffic is due in a minute when the last known total times green's weight lets this many requests be expected.
const DUE_REQUESTS: f64 = 10.0;
/// So many minutes in a row without due traffic are *no data*.
pub const NO_DATA_MINUTES: u32 = 5;
/// The minutes that a pass rests on.
const RECENT: usize = 5;
/// A pass needs this many minutes with data and this many requests in them.
const PASS: (usize, f64) = (3, 30.0);

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which checks are on.
    pub checks: &'a Checks,
    /// The target group that served before.
    pub blue: &'a TargetGroup,
    /// The candidate's target group.
    pub green: &'a TargetGroup,
    /// Blue's history, frozen before the first weight.
    pub baseline: Option<&'a Baseline>,
    /// Closed minutes, oldest first; those before `traffic_since` are not judged.
    pub minutes: &'a [Minute],
    /// Green's production weight now, 0 to 1.
    pub weight: f64,
    /// When green got its first production weight.
    pub traffic_since: Timestamp,
    /// Minutes from green's first weight until it has all of it, by the spec.
    pub ramp_minutes: u32,
    /// Targets of both colors as read now, if they were.
    pub health: Option<ColorHealth>,
    /// Alarms as read now, if they were.
    pub alarms: Option<&'a [Alarm]>,
}

/// A verdict and the minutes that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Start of the last closed minute that was looked at.
    pub until: Option<Timestamp>,
    /// What speaks for green being worse, if it was compared with blue.
    pub evidence: Option<Evidence>,
    /// What checks on trial found: it decides nothing.
    pub dry_run: Vec<Finding>,
    /// Every limit and guard that was judged, broken or not.
    pub rules: Vec<RuleReading>,
}

impl Judgement {
    /// The first rule that makes green suspect.
    pub fn suspicion(&self) -> Option<&RuleReading> {
        self.rules.iter().find(|rule| rule.standing == Standing::Suspect && !rule.dry_run)
    }
}

/// Judges green against blue. Fail beats no data, no data beats everything else; the first failing check in the order
/// evidence, guards, errors, targets, latency, connections, the team's metrics is the finding.
pub fn judge(question: &Question<'_>) -> Judgement {
    let judged = Judged::of(question);
    let gathered = compare::gather(question, &judged.minutes);
    let outcomes = outcomes(question, &judged.minutes, gathered.compared(Check::Errors));
    let found = outcomes.iter().filter_map(|one| Some((one.toggle, one.finding.clone()?)));
    let (decisive, dry_run): (Vec<_>, Vec<_>) =
        gathered.findings.iter().cloned().chain(found).partition(|(toggle, _)| toggle.is_on());
    let mut judgement = Judgement {
        verdict: Verdict::Undecided,
        until: judged.minutes.last().map(|minute| minute.at),
        evidence: gathered.evidence,
        dry_run: dry_run.into_iter().map(|(_, finding)| finding).collect(),
        rules: outcomes.into_iter().map(|one| one.reading).collect(),
    };
    judgement.verdict = match decisive.into_iter().next() {
        Some((_, finding)) => Verdict::Fail(finding),
        None => without_finding(question, &judged, &judgement),
    };
    judgement
}

/// What became of every guard and limit of a check that is judged.
fn outcomes(question: &Question<'_>, judged: &[&Minute], compared: bool) -> Vec<Outcome> {
    let limits = std::iter::once(errors::rule(question, compared))
        .chain(limits::built_in(question))
        .chain(limits::preset(question))
        .chain(limits::of_the_team(question));
    let mut outcomes = guards::all(question, judged);
    outcomes.extend(limits.map(|rule| rule.judge(judged)));
    outcomes.extend(guards::alarms(question, judged));
    outcomes.retain(|outcome| outcome.toggle.is_judged());
    outcomes
}

fn without_finding(question: &Question<'_>, judged: &Judged<'_>, judgement: &Judgement) -> Verdict {
    let silent = silent_minutes(question, &judged.minutes);
    if silent >= NO_DATA_MINUTES {
        return Verdict::NoData { minutes: silent };
    }
    let suspected = judgement.evidence.as_ref().is_some_and(|evidence| evidence.factor >= SUSPECT);
    if suspected || judgement.suspicion().is_some() {
        return Verdict::Suspect;
    }
    let possible = |counts: &Counts| counts.requests.and_then(|_| errors::tally(counts));
    let complete = judged.last(RECENT).filter(|(_, complete)| *complete);
    let seen: Vec<f64> = complete
        .filter_map(|(minute, _)| Some(possible(minute.groups.get(question.green)?)?.requests))
        .collect();
    if seen.len() >= PASS.0 && seen.iter().sum::<f64>() >= PASS.1 {
        Verdict::Pass
    } else {
        Verdict::Undecided
    }
}

/// Minutes at the end in which traffic was due and green reported none. Minutes that are not published yet look the same,
/// which is why five are asked for.
fn silent_minutes(question: &Question<'_>, judged: &[&Minute]) -> u32 {
    let total =
        |minute: &Minute| -> f64 { minute.groups.values().filter_map(|counts| counts.requests).sum() };
    let known = question.minutes.iter().filter(|minute| total(minute) > 0.0).max_by_key(|minute| minute.at);
    let known = known.map(total);
    let history = question.baseline.filter(|b| b.minutes > 0).map(|b| b.requests / f64::from(b.minutes));
    let due = known.or(history).is_some_and(|total| total * question.weight >= DUE_REQUESTS);
    if !due {
        return 0;
    }
    let silent = |minute: &&&Minute| {
        minute.groups.get(question.green).is_none_or(|counts| counts.requests.is_none_or(|r| r <= 0.0))
            // The minute in which the first weight came is not wholly green's.
            && minute.at >= question.traffic_since
    };
    u32::try_from(judged.iter().rev().take_while(silent).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
