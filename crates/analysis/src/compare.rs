//! The evidence of all metrics in which green is compared with blue, and what it comes to together.
//!
//! Called by the judge with all closed minutes since green's first weight. Each metric has a process of its own; together they
//! count by the mean of their evidence, weighted by fixed shares: whatever the metrics have to do with each other, a good
//! release makes that large no oftener than one metric alone (Vovk and Wang 2021: the only way to merge that is valid under any
//! dependence). What is on trial has a process, and no share. Pure.

use std::f64::consts::LN_10;

use tidegate_model::{
    MetricName,
    calibration::Calibration,
    observation::Minute,
    spec::{Checks, MetricCheck, MetricRule, Toggle},
    verdict::{Baseline, Check, Evidence, Finding, MetricEvidence, Unit},
};

use super::{Question, errors};
use crate::{
    calibration::{of_slow, uncalibrated},
    evidence::{Effects, Pair, Process, Tally},
    limits::counts_already,
};

/// A good release is rolled back once in so many: `1/alpha` of Ville's inequality, as a power of ten.
pub const LIMIT: f64 = 3.0;
/// From this evidence on, as a power of ten, a release is suspect.
pub const SUSPECT: f64 = 1.0;
/// Evidence is gathered over this many minutes from green's first weight on: the longest ramp that is usual and a first hour
/// of bake. Each pass makes it anew, so more would cost without telling more: blue has no traffic by then.
pub const EVIDENCE_MINUTES: u32 = 180;
/// Shares of failed requests, of slow ones by each threshold, and of all the team's own counts together. Slowness shows itself
/// in so many requests that a small share costs it a minute; a failure may be the only one of its minute.
const SHARES: (f64, f64, f64) = (0.8, 0.05, 0.1);
/// A fresh fleet is slow at first: so many seconds under traffic are not held against it.
const COLD_SECONDS: i64 = 120;

/// What the comparisons found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) evidence: Option<Evidence>,
    /// Whose evidence reached the limit: that of all decisive metrics together first, then of each on trial.
    pub(super) findings: Vec<(Toggle, Finding)>,
}

impl Gathered {
    /// True if that check's metric was compared with blue.
    pub(super) fn compared(&self, check: Check) -> bool {
        self.evidence.as_ref().is_some_and(|e| e.metrics.iter().any(|metric| metric.check == check))
    }
}

/// Gathers the evidence, if every minute since green's first weight is there.
pub(super) fn gather(question: &Question<'_>, judged: &[&Minute]) -> Gathered {
    let whole = question.minutes.first().is_some_and(|first| first.at <= question.traffic_since);
    let mut comparisons = if whole { comparisons(question) } else { vec![] };
    share(&mut comparisons);
    let mut peak = f64::NEG_INFINITY;
    for minute in judged {
        for comparison in &mut comparisons {
            comparison.see(question, minute);
        }
        peak = peak.max(mean(&comparisons));
    }
    comparisons.retain(|comparison| comparison.minutes > 0);
    if comparisons.is_empty() {
        return Gathered::default();
    }
    // Ville's inequality is about the highest evidence ever: what reached the limit once stays so, unless its minutes are
    // corrected.
    let factor = if peak >= LIMIT * LN_10 { peak } else { mean(&comparisons) } / LN_10;
    let evidence =
        Evidence { factor, limit: LIMIT, metrics: comparisons.iter().map(Comparison::told).collect() };
    let together = comparisons
        .iter()
        .filter(|one| one.share > 0.0)
        .max_by(|a, b| a.weight().total_cmp(&b.weight()))
        .filter(|_| factor >= LIMIT)
        .map(|strongest| (Toggle::On, strongest.finding(question, judged, factor)));
    let tried = comparisons
        .iter()
        .filter(|one| one.share <= 0.0 && one.peak >= LIMIT * LN_10)
        .map(|one| (Toggle::DryRun, one.finding(question, judged, one.peak / LN_10)));
    let findings = together.into_iter().chain(tried).collect();
    Gathered { evidence: Some(evidence), findings }
}

/// What is compared.
#[derive(Clone, Debug)]
enum Measure<'a> {
    Errors,
    /// Requests above this threshold of two.
    Slow(usize, f64),
    Metric(&'a MetricName, &'a MetricCheck),
}

/// One metric's comparison so far.
struct Comparison<'a> {
    measure: Measure<'a>,
    calibration: String,
    share: f64,
    process: Process,
    peak: f64,
    minutes: u32,
    sum: Pair,
}

fn comparisons<'a>(question: &Question<'a>) -> Vec<Comparison<'a>> {
    let mut all = vec![];
    let Some(baseline) = question.baseline else { return all };
    let checks = question.checks;
    let decides = |toggle: Toggle, share: f64| if toggle.is_on() { share } else { 0.0 };
    if let (true, Some(calibration)) = (checks.errors.is_judged(), &baseline.calibration) {
        let process = Process::new(calibration, &Effects::errors());
        let share = decides(checks.errors, SHARES.0);
        all.push(Comparison::new(Measure::Errors, calibration.describe(), share, process));
    }
    if let (true, Some(thresholds)) = (checks.latency.is_judged(), baseline.slow) {
        let share = decides(checks.latency, SHARES.1);
        for (i, (threshold, effects)) in thresholds.into_iter().zip(Effects::slow()).enumerate() {
            let process = Process::new(&of_slow(), &effects);
            let usual = "as many of blue's in the same minutes are usual".to_owned();
            all.push(Comparison::new(Measure::Slow(i, threshold), usual, share, process));
        }
    }
    let metrics: Vec<_> = checks.metrics.iter().filter(|(_, check)| check.judge.by_evidence()).collect();
    let decisive = metrics.iter().filter(|(_, check)| !check.dry_run).count().max(1);
    for (name, check) in metrics {
        let share = if check.dry_run { 0.0 } else { SHARES.2 / decisive as f64 };
        // The total of what a team counts follows its customers: only how it splits between the colors is judged.
        let known = baseline.metrics.get(name).cloned().unwrap_or_else(uncalibrated);
        let process = Process::new(&Calibration { rate: None, ..known.clone() }, &Effects::counted());
        all.push(Comparison::new(Measure::Metric(name, check), known.describe_counted(), share, process));
    }
    all
}

/// The share that failed requests will have in the evidence, if they decide at all.
pub fn share_of_errors(checks: &Checks, baseline: &Baseline) -> Option<f64> {
    let slow = checks.latency.is_on() && baseline.slow.is_some();
    let counted = checks.metrics.values().any(|check| check.judge.by_evidence() && !check.dry_run);
    let others = if slow { 2.0 * SHARES.1 } else { 0.0 } + if counted { SHARES.2 } else { 0.0 };
    checks.errors.is_on().then_some(SHARES.0 / (SHARES.0 + others))
}

/// Makes the shares of what decides sum to one.
fn share(comparisons: &mut [Comparison<'_>]) {
    let all: f64 = comparisons.iter().map(|one| one.share).sum();
    for one in comparisons.iter_mut().filter(|one| one.share > 0.0) {
        one.share /= all;
    }
}

/// `ln` of the mean evidence by shares; 0 if nothing has a share.
fn mean(comparisons: &[Comparison<'_>]) -> f64 {
    let decisive = comparisons.iter().filter(|one| one.share > 0.0);
    let most = decisive.clone().map(Comparison::weight).fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return 0.0;
    }
    most + decisive.map(|one| (one.weight() - most).exp()).sum::<f64>().ln()
}

impl<'a> Comparison<'a> {
    fn new(measure: Measure<'a>, calibration: String, share: f64, process: Process) -> Self {
        Self { measure, calibration, share, process, peak: 0.0, minutes: 0, sum: Pair::default() }
    }

    fn see(&mut self, question: &Question<'_>, minute: &Minute) {
        let Some(pair) = self.measure.pair(question, minute) else { return };
        self.process.see(&self.measure.turned(pair));
        self.peak = self.peak.max(self.process.ln_evidence());
        self.minutes += 1;
        for (sum, part) in [(&mut self.sum.blue, &pair.blue), (&mut self.sum.green, &pair.green)] {
            sum.requests += part.requests;
            sum.failures += part.failures;
        }
    }

    /// `ln` of its part of the mean.
    fn weight(&self) -> f64 {
        self.share.ln() + self.process.ln_evidence()
    }

    fn told(&self) -> MetricEvidence {
        MetricEvidence {
            check: self.measure.check(),
            counted: self.measure.counted(),
            share: self.share,
            minutes: self.minutes,
            blue_requests: self.sum.blue.requests,
            blue_counted: self.sum.blue.failures,
            green_requests: self.sum.green.requests,
            green_counted: self.sum.green.failures,
            factor: self.process.ln_evidence() / LN_10,
            calibration: self.calibration.clone(),
        }
    }

    fn finding(&self, question: &Question<'_>, judged: &[&Minute], factor: f64) -> Finding {
        let told = self.told();
        let (blue, green) = (told.blue_rate(), told.green_rate());
        let failing = judged.iter().filter(|minute| {
            self.measure.pair(question, minute).is_some_and(|pair| {
                let usual = blue * pair.green.requests;
                if self.measure.is_drop() { pair.green.failures < usual } else { pair.green.failures > usual }
            })
        });
        let failing: Vec<_> = failing.map(|minute| minute.at).collect();
        Finding {
            check: told.check,
            measured: green,
            limit: blue,
            unit: Unit::Ratio,
            first_failing: failing.first().copied().unwrap_or(question.traffic_since),
            failing_minutes: u32::try_from(failing.len()).unwrap_or(u32::MAX),
            of_minutes: told.minutes,
            factor: Some(factor),
            measure: (told.check != Check::Errors).then_some(told.counted),
        }
    }
}

impl Measure<'_> {
    fn check(&self) -> Check {
        match self {
            Self::Errors => Check::Errors,
            Self::Slow(..) => Check::Latency,
            Self::Metric(..) => Check::Metrics,
        }
    }

    fn counted(&self) -> String {
        match self {
            Self::Errors => "failed requests".into(),
            Self::Slow(_, threshold) => format!("requests slower than {}", Unit::Seconds.show(*threshold)),
            Self::Metric(name, _) => name.to_string(),
        }
    }

    fn is_drop(&self) -> bool {
        matches!(self, Self::Metric(_, check) if check.judge == MetricRule::Drop)
    }

    /// A drop of green's is a rise of blue's.
    fn turned(&self, pair: Pair) -> Pair {
        if self.is_drop() { Pair { blue: pair.green, green: pair.blue } } else { pair }
    }

    /// A minute's counts of both colors; `None` if green has none, it is too early, or the counts cannot be.
    fn pair(&self, question: &Question<'_>, minute: &Minute) -> Option<Pair> {
        let failures = errors::pair(question, minute)?;
        match self {
            Self::Errors => Some(failures),
            Self::Slow(which, _) => {
                let warm = minute.at.as_second() >= question.traffic_since.as_second() + COLD_SECONDS;
                let slow = |group, tally: Tally| match minute.groups.get(group) {
                    // A group that reports response times and no slow one has none.
                    Some(counts) => {
                        struck(tally, counts.slow[*which].or(counts.latency.map(|_| 0.0))?).map(bounded)
                    }
                    None => Some(Tally::default()),
                };
                let (blue, green) =
                    (slow(question.blue, failures.blue)?, slow(question.green, failures.green)?);
                warm.then_some(Pair { blue, green })
            }
            Self::Metric(name, check) => {
                // Counts are reported only where there is something to count.
                let sides = minute.metrics.get(*name).copied().unwrap_or_default();
                let blue = struck(failures.blue, sides.blue.unwrap_or(0.0))?;
                let green = struck(failures.green, sides.green.unwrap_or(0.0))?;
                counts_already(question, check, minute).then_some(Pair { blue, green })
            }
        }
    }
}

/// So many of a group's requests.
fn struck(tally: Tally, count: f64) -> Option<Tally> {
    let possible = count.is_finite() && (0.0..=1e15).contains(&count);
    possible.then(|| Tally { requests: tally.requests, failures: count.round() })
}

/// Response times may be of a few more requests than the count of requests has.
fn bounded(tally: Tally) -> Tally {
    Tally { requests: tally.requests.max(tally.failures), ..tally }
}
