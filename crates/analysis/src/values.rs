//! Values that are no counts, compared minute by minute: a team's gauges, and connections to the database.
//!
//! Called by the comparison of all metrics. A gauge of green's is held against blue's in the same minute; connections are one
//! number for everybody at the database, so what can be said is whether both colors together hold more than two fleets need, or
//! grow when nothing makes them grow. Both become deviations for [`Gauge`]. Pure.

use jiff::Timestamp;
use tidegate_model::{
    MetricName,
    calibration::GaugeHistory,
    observation::Minute,
    spec::{MetricCheck, MetricRule},
};

use super::Question;
use crate::{
    errors,
    gauge::{Gauge, ln_sum},
    limits::counts_already,
};

/// A gauge may differ from blue's by this share of blue's: two fleets of one version do.
const MARGIN: f64 = 0.1;
/// A fleet of green's may hold this many times the connections that blue held alone, beside what is there at the first weight.
const FLEET: f64 = 1.25;
/// And five more for deploy tools.
const TOOLS: f64 = 5.0;
/// Connections may grow by this share of what was usual in a minute without a step of the weights: pools fill with a delay.
const FILLING: f64 = 0.02;
/// And by no less than this.
const FILLING_LEAST: f64 = 0.5;
/// A rise of green's share by so much is a step of the weights.
const STEP: f64 = 0.03;
/// Connections before the first weight are the median of so many minutes.
const BEFORE: usize = 5;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    Metric(&'a MetricName, &'a MetricCheck),
    Connections,
}

/// One comparison so far.
#[derive(Debug)]
pub(super) struct Values<'a> {
    what: What<'a>,
    history: GaugeHistory,
    gauges: Vec<Gauge>,
    /// Connections and green's share of the requests in the minute before.
    previous: Option<(f64, f64)>,
    blue: f64,
    green: f64,
    minutes: f64,
    /// The first minute above what is tolerated, and how many there were.
    pub(super) first_failing: Option<Timestamp>,
    pub(super) failing: u32,
}

impl<'a> Values<'a> {
    pub(super) fn new(what: What<'a>, history: GaugeHistory) -> Self {
        let gauges = match what {
            What::Metric(..) => vec![Gauge::default()],
            What::Connections => vec![Gauge::default(); 2],
        };
        let (blue, green, minutes) = (0.0, 0.0, 0.0);
        Self { what, history, gauges, previous: None, blue, green, minutes, first_failing: None, failing: 0 }
    }

    /// `ln` of the mean of what each speaks for.
    pub(super) fn ln_evidence(&self) -> f64 {
        ln_sum(self.gauges.iter().map(Gauge::ln_evidence)) - (self.gauges.len() as f64).ln()
    }

    /// Blue's value and green's: the means of the minutes, or connections before the release and now.
    pub(super) fn means(&self) -> (f64, f64) {
        match self.what {
            What::Metric(..) => (self.blue / self.minutes.max(1.0), self.green / self.minutes.max(1.0)),
            What::Connections => (self.history.level, self.previous.map_or(0.0, |(now, _)| now)),
        }
    }

    /// Sees a minute; false if it has no values.
    pub(super) fn see(&mut self, question: &Question<'_>, minute: &Minute) -> bool {
        let deviations = match self.what {
            What::Metric(name, check) => self.of_metric(question, (name, check), minute),
            What::Connections => self.of_connections(question, minute),
        };
        let Some(deviations) = deviations else { return false };
        if deviations.iter().flatten().any(|deviation| *deviation > 0.0) {
            self.first_failing.get_or_insert(minute.at);
            self.failing += 1;
        }
        for (gauge, deviation) in self.gauges.iter_mut().zip(deviations) {
            deviation.into_iter().for_each(|deviation| gauge.see(deviation));
        }
        true
    }

    /// Green's value against blue's. A mean over few requests is less certain; what hangs together is not averaged out by more.
    fn of_metric(
        &mut self,
        question: &Question<'_>,
        (name, check): (&MetricName, &MetricCheck),
        minute: &Minute,
    ) -> Option<[Option<f64>; 2]> {
        let pair = errors::pair(question, minute).filter(|pair| pair.blue.requests > 0.0)?;
        let sides = minute.metrics.get(name).filter(|_| counts_already(question, check, minute))?;
        let possible = |value: &f64| value.is_finite() && value.abs() <= 1e15;
        let (blue, green) = (sides.blue.filter(possible)?, sides.green.filter(possible)?);
        let more = if check.judge == MetricRule::Lower { blue - green } else { green - blue };
        let usual = question.baseline.map_or(0.0, |b| b.requests / f64::from(b.minutes.max(1)));
        let fewer = |requests: f64| (usual / requests).clamp(1.0, 1e4);
        let noise = self.history.noise.powi(2);
        let lasting = (self.history.deviation.powi(2) - noise).max(0.0);
        let variance = noise * (fewer(pair.blue.requests) + fewer(pair.green.requests)) + 2.0 * lasting;
        self.blue += blue;
        self.green += green;
        self.minutes += 1.0;
        Some([Some((more - MARGIN * blue.abs()) / variance.sqrt()), None])
    }

    /// More than two fleets hold, and growth without a step.
    fn of_connections(&mut self, question: &Question<'_>, minute: &Minute) -> Option<[Option<f64>; 2]> {
        let now = connections(minute)?;
        let pair = errors::pair(question, minute)?;
        let share = pair.green.requests / (pair.blue.requests + pair.green.requests);
        let usual = self.history.level;
        let start = before_weight(question).unwrap_or(2.0 * usual);
        let level = (now - start - FLEET * usual - TOOLS) / self.history.deviation.max(1.0);
        let previous = self.previous.replace((now, share));
        let growth = previous.filter(|(_, before)| share - before < STEP).map(|(before, _)| {
            let step = (self.history.noise * std::f64::consts::SQRT_2).max(1.0);
            (now - before - (FILLING * usual).max(FILLING_LEAST)) / step
        });
        Some([Some(level), growth])
    }
}

/// Connections in a minute, if the number can be.
pub(super) fn connections(minute: &Minute) -> Option<f64> {
    minute.connections.filter(|n| n.is_finite() && (0.0..=1e9).contains(n))
}

/// Connections in the last minutes before green's first weight: both fleets are up, and green has no customers.
pub(super) fn before_weight(question: &Question<'_>) -> Option<f64> {
    let since = question.traffic_since.as_second();
    let before = question.minutes.iter().filter(|minute| minute.at.as_second() + 60 <= since);
    let mut last: Vec<(Timestamp, f64)> =
        before.filter_map(|minute| Some((minute.at, connections(minute)?))).collect();
    last.sort_by_key(|(at, _)| *at);
    let mut last: Vec<f64> = last.iter().rev().take(BEFORE).map(|(_, n)| *n).collect();
    last.sort_by(f64::total_cmp);
    last.get(last.len() / 2).copied()
}
