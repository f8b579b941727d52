//! The evidence of all metrics in which green is compared with blue, and what it comes to together.
//!
//! Called by the judge with all closed minutes since green's first weight. Each metric has a process of its own; together they
//! count by the mean of their evidence, weighted by fixed shares: whatever the metrics have to do with each other, a good
//! release makes that large no oftener than one metric alone (Vovk and Wang 2021: the only way to merge that is valid under any
//! dependence). What is on trial has a process, and no share. Pure.

use std::f64::consts::LN_10;

use jiff::Timestamp;
use tidegate_model::{
    MetricName,
    calibration::Calibration,
    observation::Minute,
    spec::{Checks, MetricCheck, MetricRule, Toggle},
    verdict::{Baseline, Check, ComparedValues, Evidence, Finding, MetricEvidence, Unit},
};

use super::{Question, errors};
use crate::{
    calibration::{of_slow, uncalibrated},
    evidence::{Effects, Pair, Process, Tally},
    fewest::fewest,
    limits::{counts_already, toggle},
    values::{Values, What},
};

/// A good release is rolled back once in so many: `1/alpha` of Ville's inequality, as a power of ten.
pub const LIMIT: f64 = 3.0;
/// From this evidence on, as a power of ten, a release is suspect.
pub const SUSPECT: f64 = 1.0;
/// Evidence is gathered over this many minutes from green's first weight on: the longest ramp that is usual and a first hour
/// of bake. Each pass makes it anew, so more would cost without telling more: blue has no traffic by then.
pub const EVIDENCE_MINUTES: u32 = 180;
/// Shares of failed requests, of slow ones by each threshold, of all the team's own counts together, and of all values that are no
/// counts together. Slowness shows itself in so many requests that a small share costs it a minute; a failure may be the only one
/// of its minute. A metric that is critical has the share of failed requests: the bound on good releases that go back stays.
const SHARES: Shares = Shares { errors: 0.8, slow: 0.05, counted: 0.1, values: 0.1 };
/// A fresh fleet is slow at first: so many seconds under traffic are not held against it.
const COLD_SECONDS: i64 = 120;

struct Shares {
    errors: f64,
    slow: f64,
    counted: f64,
    values: f64,
}

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
    let whole = question.minutes.iter().any(|minute| minute.at <= question.traffic_since);
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
    /// A team's gauge.
    Gauge(&'a MetricName),
    /// Connections to the database.
    Connections,
}

/// How the evidence is made.
enum Test<'a> {
    Counts(Process),
    Values(Values<'a>),
}

impl Test<'_> {
    fn ln_evidence(&self) -> f64 {
        match self {
            Self::Counts(process) => process.ln_evidence(),
            Self::Values(values) => values.ln_evidence(),
        }
    }
}

/// One metric's comparison so far.
struct Comparison<'a> {
    measure: Measure<'a>,
    calibration: String,
    share: f64,
    test: Test<'a>,
    peak: f64,
    minutes: u32,
    sum: Pair,
    last: Pair,
}

fn comparisons<'a>(question: &Question<'a>) -> Vec<Comparison<'a>> {
    let mut all = vec![];
    let Some(baseline) = question.baseline else { return all };
    let checks = question.checks;
    if let (true, Some(calibration)) = (checks.errors.is_judged(), &baseline.calibration) {
        let process = Process::new(calibration, &Effects::errors());
        let share = decides(checks.errors, SHARES.errors);
        all.push(Comparison::new(Measure::Errors, calibration.describe(), share, Test::Counts(process)));
    }
    if let (true, Some(thresholds)) = (checks.latency.is_judged(), baseline.slow) {
        let share = decides(checks.latency, SHARES.slow);
        for (i, (threshold, effects)) in thresholds.into_iter().zip(Effects::slow()).enumerate() {
            let test = Test::Counts(Process::new(&of_slow(), &effects));
            let usual = "as many of blue's in the same minutes are usual".to_owned();
            all.push(Comparison::new(Measure::Slow(i, threshold), usual, share, test));
        }
    }
    if let Some(history) = baseline.connection_history.filter(|_| checks.database_connections.is_judged()) {
        let test = Test::Values(Values::new(What::Connections, history));
        let share = decides(checks.database_connections, SHARES.values / gauges(checks, baseline).max(1.0));
        let usual = history.describe(Measure::Connections.unit());
        all.push(Comparison::new(Measure::Connections, usual, share, test));
    }
    all.extend(
        checks.metrics.iter().filter_map(|(name, check)| of_the_team(question, baseline, (name, check))),
    );
    all
}

/// The comparison of a team's own metric; `None` if it is a limit, or nothing is known of how a gauge varies.
fn of_the_team<'a>(
    question: &Question<'a>,
    baseline: &Baseline,
    (name, check): (&'a MetricName, &'a MetricCheck),
) -> Option<Comparison<'a>> {
    let share = decides(toggle(check), share_of_metric(question.checks, baseline, check));
    if check.judge.counts() {
        // The total of what a team counts follows its customers: only how it splits between the colors is judged.
        let known = baseline.metrics.get(name).cloned().unwrap_or_else(uncalibrated);
        let process = Process::new(&Calibration { rate: None, ..known.clone() }, &Effects::counted());
        let test = Test::Counts(process);
        return Some(Comparison::new(Measure::Metric(name, check), known.describe_counted(), share, test));
    }
    let history = baseline.gauges.get(name).filter(|_| check.judge.by_evidence())?;
    let test = Test::Values(Values::new(What::Metric(name, check), *history));
    let measure = Measure::Gauge(name);
    let usual = history.describe(measure.unit());
    Some(Comparison::new(measure, usual, share, test))
}

fn decides(toggle: Toggle, share: f64) -> f64 {
    if toggle.is_on() { share } else { 0.0 }
}

/// The share of a team's own metric before all are made to sum to one.
fn share_of_metric(checks: &Checks, baseline: &Baseline, check: &MetricCheck) -> f64 {
    if check.critical {
        return SHARES.errors;
    }
    if check.judge.counts() {
        let alike = checks.metrics.values().filter(|one| one.judge.counts() && shares(one));
        return SHARES.counted / alike.count().max(1) as f64;
    }
    SHARES.values / gauges(checks, baseline).max(1.0)
}

/// A team's metric that shares its kind's share with others.
fn shares(check: &MetricCheck) -> bool {
    !check.dry_run && !check.critical
}

/// How many values that are no counts decide together.
fn gauges(checks: &Checks, baseline: &Baseline) -> f64 {
    let own = checks.metrics.iter().filter(|(name, one)| {
        one.judge.by_evidence() && !one.judge.counts() && shares(one) && baseline.gauges.contains_key(*name)
    });
    let connections = checks.database_connections.is_on() && baseline.connection_history.is_some();
    own.count() as f64 + f64::from(u8::from(connections))
}

/// The share that failed requests will have in the evidence, if they decide at all.
pub fn share_of_errors(checks: &Checks, baseline: &Baseline) -> Option<f64> {
    let slow = if checks.latency.is_on() && baseline.slow.is_some() { 2.0 * SHARES.slow } else { 0.0 };
    let evidence = checks.metrics.values().filter(|check| check.judge.by_evidence() && !check.dry_run);
    let critical = evidence.clone().filter(|check| check.critical).count() as f64 * SHARES.errors;
    let counts = evidence.clone().any(|check| check.judge.counts() && shares(check));
    let counted = if counts { SHARES.counted } else { 0.0 };
    let values = if gauges(checks, baseline) > 0.0 { SHARES.values } else { 0.0 };
    let all = SHARES.errors + slow + critical + counted + values;
    checks.errors.is_on().then_some(SHARES.errors / all)
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
    fn new(measure: Measure<'a>, calibration: String, share: f64, test: Test<'a>) -> Self {
        Self {
            measure,
            calibration,
            share,
            test,
            peak: 0.0,
            minutes: 0,
            sum: Pair::default(),
            last: Pair::default(),
        }
    }

    fn see(&mut self, question: &Question<'_>, minute: &Minute) {
        let Some(pair) = self.measure.pair(question, minute) else { return };
        match &mut self.test {
            Test::Counts(process) => process.see(&self.measure.turned(pair)),
            Test::Values(values) => {
                if !values.see(question, minute) {
                    return;
                }
            }
        }
        self.peak = self.peak.max(self.test.ln_evidence());
        self.minutes += 1;
        self.last = pair;
        for (sum, part) in [(&mut self.sum.blue, &pair.blue), (&mut self.sum.green, &pair.green)] {
            sum.requests += part.requests;
            sum.failures += part.failures;
        }
    }

    /// `ln` of its part of the mean.
    fn weight(&self) -> f64 {
        self.share.ln() + self.test.ln_evidence()
    }

    fn told(&self) -> MetricEvidence {
        let values = match &self.test {
            Test::Counts(_) => None,
            Test::Values(values) => {
                let ((blue, green), unit) = (values.means(), self.measure.unit());
                Some(ComparedValues { blue, green, unit })
            }
        };
        MetricEvidence {
            check: self.measure.check(),
            counted: self.measure.counted(),
            share: self.share,
            minutes: self.minutes,
            blue_requests: self.sum.blue.requests,
            blue_counted: self.sum.blue.failures,
            green_requests: self.sum.green.requests,
            green_counted: self.sum.green.failures,
            values,
            factor: self.test.ln_evidence() / LN_10,
            needed: self.needed(),
            calibration: self.calibration.clone(),
        }
    }

    /// How many of green's in one more minute like the last would bring it to the limit alone.
    fn needed(&self) -> Option<u32> {
        let Test::Counts(process) = &self.test else { return None };
        if self.share <= 0.0 || self.measure.is_drop() || self.peak >= LIMIT * LN_10 - self.share.ln() {
            return None;
        }
        let most = self.last.green.requests.min(f64::from(u32::MAX)) as u32;
        let short_of = |process: &Process| self.share.ln() + process.ln_evidence() - LIMIT * LN_10;
        fewest(most, short_of(process), |count| {
            let mut next = process.clone();
            let green = Tally { failures: f64::from(count), ..self.last.green };
            next.see(&Pair { green, ..self.last });
            short_of(&next)
        })
    }

    fn finding(&self, question: &Question<'_>, judged: &[&Minute], factor: f64) -> Finding {
        let told = self.told();
        let (first, failing) = match &self.test {
            Test::Counts(_) => self.failing(question, judged, told.blue_rate()),
            Test::Values(values) => (values.first_failing, values.failing),
        };
        let (measured, limit) =
            told.values.map_or((told.green_rate(), told.blue_rate()), |values| (values.green, values.blue));
        Finding {
            check: told.check,
            measured,
            limit,
            unit: self.measure.unit(),
            first_failing: first.unwrap_or(question.traffic_since),
            failing_minutes: failing,
            of_minutes: told.minutes,
            factor: Some(factor),
            measure: (told.check != Check::Errors).then_some(told.counted),
            guard: None,
        }
    }

    /// The first minute in which green's share was worse than blue's in all of them, and how many there were.
    fn failing(&self, question: &Question<'_>, judged: &[&Minute], blue: f64) -> (Option<Timestamp>, u32) {
        let failing = judged.iter().filter(|minute| {
            self.measure.pair(question, minute).is_some_and(|pair| {
                let usual = blue * pair.green.requests;
                if self.measure.is_drop() { pair.green.failures < usual } else { pair.green.failures > usual }
            })
        });
        let failing: Vec<_> = failing.map(|minute| minute.at).collect();
        (failing.first().copied(), u32::try_from(failing.len()).unwrap_or(u32::MAX))
    }
}

impl Measure<'_> {
    fn check(&self) -> Check {
        match self {
            Self::Errors => Check::Errors,
            Self::Slow(..) => Check::Latency,
            Self::Metric(..) | Self::Gauge(_) => Check::Metrics,
            Self::Connections => Check::DatabaseConnections,
        }
    }

    fn unit(&self) -> Unit {
        match self {
            Self::Errors | Self::Slow(..) | Self::Metric(..) => Unit::Ratio,
            Self::Gauge(_) => Unit::Plain,
            Self::Connections => Unit::Count,
        }
    }

    fn counted(&self) -> String {
        match self {
            Self::Errors => "failed requests".into(),
            Self::Slow(_, threshold) => format!("requests slower than {}", Unit::Seconds.show(*threshold)),
            Self::Metric(name, _) | Self::Gauge(name) => name.to_string(),
            Self::Connections => "database connections".into(),
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
            // Only the requests are told beside the values.
            Self::Gauge(_) | Self::Connections => {
                let requests = |tally: Tally| Tally { failures: 0.0, ..tally };
                Some(Pair { blue: requests(failures.blue), green: requests(failures.green) })
            }
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
