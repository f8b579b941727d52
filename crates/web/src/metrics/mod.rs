//! Metrics of the daemon's own work, and their rendering together with the state of the releases.
//!
//! The binary wires the controller's telemetry to [`Metrics`]. Work is counted as it happens; state is collected from what
//! is published when somebody scrapes (see [`state`]), so that the series of a release vanish with the release. Labels are
//! bounded: words of our own enums, release names, and AWS' operations and codes up to a limit. Never free text.

mod state;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder, exponential_buckets,
};
use tidegate_model::{ledger::EventKind, status::Published};

pub use state::ROLLOUT_PHASES;

/// Words that one label may take before further ones are counted as [`OTHER`]. AWS has some 20 error codes per service.
const WORDS: usize = 200;

/// The label of what is over the limit or malformed.
const OTHER: &str = "other";

/// Outcomes of rollouts: settled, or the word of what it went back for. They are counted from zero.
pub(crate) const OUTCOMES: [&str; 9] = [
    "settled",
    "verdict",
    "no-data",
    "probe-failed",
    "ordered",
    "superseded",
    "deployment-ended",
    "freeze-over",
    "bake-unserved",
];

/// Releases take minutes to days.
const RELEASE_BUCKETS: [f64; 12] = [
    60.0,
    300.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    1_209_600.0,
];

/// The daemon's own work. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// `tidegate_reconcile_total{result}`: passes, one per release.
    reconcile: IntCounterVec,
    /// `tidegate_reconcile_duration_seconds`: real seconds of a pass.
    reconcile_seconds: Histogram,
    /// `tidegate_steps_total{step,result}`: side effects sent.
    steps: IntCounterVec,
    /// `tidegate_events_total{type,reason}`: events told.
    events: IntCounterVec,
    /// `tidegate_releases_finished_total{outcome}`: rollouts that ended.
    finished: IntCounterVec,
    /// `tidegate_release_duration_seconds{outcome}`: seconds of the controller's clock from start to end.
    release_seconds: HistogramVec,
    /// `tidegate_aws_requests_total{service,operation,code}`: calls to AWS.
    aws: IntCounterVec,
    /// `tidegate_aws_request_duration_seconds{service}`: real seconds of a call, without its wait for the budget.
    aws_seconds: HistogramVec,
    /// `tidegate_aws_throttles_total`: calls that AWS throttled.
    throttles: IntCounter,
    codes: Words,
    reasons: Words,
}

impl Metrics {
    /// Metrics in a registry of their own, everything at zero.
    ///
    /// # Errors
    /// If two metrics clash or a name is malformed: a mistake in this file.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: Vec<f64>| {
            let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        let build = IntGaugeVec::new(
            Opts::new("tidegate_build_info", "The version that runs; always 1."),
            &["version"],
        )?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[version]).set(1);
        register_process(&registry)?;
        // 5 ms to about 40 s.
        let work = exponential_buckets(0.005, 2.0, 14)?;
        let inner = Inner {
            reconcile: counter(
                "tidegate_reconcile_total",
                "Passes over a release, by how they ended.",
                &["result"],
            )?,
            reconcile_seconds: histogram(
                "tidegate_reconcile_duration_seconds",
                "Real seconds of a pass over a release.",
                &[],
                work.clone(),
            )?
            .with_label_values::<&str>(&[]),
            steps: counter(
                "tidegate_steps_total",
                "Steps taken, by kind and what became of them.",
                &["step", "result"],
            )?,
            events: counter(
                "tidegate_events_total",
                "Events told, by type and reason.",
                &["type", "reason"],
            )?,
            finished: counter(
                "tidegate_releases_finished_total",
                "Rollouts that ended: settled, or what they were rolled back for.",
                &["outcome"],
            )?,
            release_seconds: histogram(
                "tidegate_release_duration_seconds",
                "Seconds from the start of a rollout to its end.",
                &["outcome"],
                RELEASE_BUCKETS.to_vec(),
            )?,
            aws: counter(
                "tidegate_aws_requests_total",
                "Calls to AWS, by service, operation and result code.",
                &["service", "operation", "code"],
            )?,
            aws_seconds: histogram(
                "tidegate_aws_request_duration_seconds",
                "Real seconds of a call to AWS, its wait for the call budget excluded.",
                &["service"],
                work,
            )?,
            throttles: counter("tidegate_aws_throttles_total", "Calls that AWS throttled.", &[])?
                .with_label_values::<&str>(&[]),
            registry,
            codes: Words::default(),
            reasons: Words::default(),
        };
        for outcome in OUTCOMES {
            inner.finished.with_label_values(&[outcome]);
            inner.release_seconds.with_label_values(&[outcome]);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Lets the counter of passes begin at zero for these results, and that of steps for each of these with each result.
    pub fn expect(&self, pass_results: &[&str], steps: &[&str], step_results: &[&str]) {
        for result in pass_results {
            self.0.reconcile.with_label_values(&[result]);
        }
        for step in steps {
            for result in step_results {
                self.0.steps.with_label_values(&[step, result]);
            }
        }
    }

    /// A pass for one release ended after so many real seconds.
    pub fn pass(&self, result: &'static str, seconds: f64) {
        self.0.reconcile.with_label_values(&[result]).inc();
        self.0.reconcile_seconds.observe(seconds);
    }

    /// A step ended.
    pub fn step(&self, step: &'static str, result: &'static str) {
        self.0.steps.with_label_values(&[step, result]).inc();
    }

    /// An event was told.
    pub fn event(&self, kind: EventKind, reason: &str) {
        let kind = match kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        self.0.reasons.bounded(reason, |reason| self.0.events.with_label_values(&[kind, reason]).inc());
    }

    /// A rollout ended after so many seconds of the controller's clock.
    pub fn finished(&self, outcome: &'static str, seconds: f64) {
        self.0.finished.with_label_values(&[outcome]).inc();
        self.0.release_seconds.with_label_values(&[outcome]).observe(seconds);
    }

    /// A call to AWS ended. `code` is `ok` or whatever the service answered.
    pub fn aws_call(
        &self,
        service: &'static str,
        operation: &'static str,
        code: &str,
        seconds: f64,
        throttled: bool,
    ) {
        self.0.codes.bounded(code, |code| self.0.aws.with_label_values(&[service, operation, code]).inc());
        self.0.aws_seconds.with_label_values(&[service]).observe(seconds);
        if throttled {
            self.0.throttles.inc();
        }
    }

    /// Prometheus' text format: the work, and the state of what is published now.
    ///
    /// # Errors
    /// If a name or label is malformed: a mistake in this crate.
    pub fn render(&self, published: &Published) -> Result<String, prometheus::Error> {
        let mut families = self.0.registry.gather();
        families.extend(state::families(published)?);
        families.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = Vec::with_capacity(32 * 1_024);
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|_| prometheus::Error::Msg("the text is not UTF-8".into()))
    }
}

/// `process_*`: memory, file descriptors, processor time, start.
fn register_process(registry: &Registry) -> Result<(), prometheus::Error> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
    Ok(())
}

/// The words that a label has taken so far: whatever the other side sends, there is an end to them.
#[derive(Default)]
struct Words(Mutex<BTreeSet<String>>);

impl Words {
    /// Hands on the word, or [`OTHER`] if it is no plain word or one too many.
    fn bounded(&self, word: &str, then: impl FnOnce(&str)) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let well_formed = (1..=64).contains(&word.len()) && word.bytes().all(plain);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken =
            known.contains(word) || (well_formed && known.len() < WORDS && known.insert(word.to_owned()));
        drop(known);
        then(if taken { word } else { OTHER });
    }
}

#[cfg(test)]
mod tests;
