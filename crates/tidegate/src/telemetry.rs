//! What the controller tells about its work, as metrics.

use tidegate_aws::CallReport;
use tidegate_controller::{PassResult, StepResult, Telemetry};
use tidegate_model::{ReleaseName, decision::Step, ledger::EventKind};
use tidegate_web::Metrics;

/// Counts into the metrics of the web side.
pub(crate) struct Counting(Metrics);

impl Counting {
    pub(crate) fn new(metrics: Metrics) -> Self {
        metrics.expect(
            &PassResult::ALL.map(PassResult::as_str),
            &Step::WORDS,
            &StepResult::ALL.map(StepResult::as_str),
        );
        Self(metrics)
    }
}

impl Telemetry for Counting {
    fn pass(&self, result: PassResult, seconds: f64) {
        self.0.pass(result.as_str(), seconds);
    }

    fn step(&self, step: &'static str, result: StepResult) {
        self.0.step(step, result.as_str());
    }

    fn event(&self, _release: &ReleaseName, kind: EventKind, reason: &str) {
        self.0.event(kind, reason);
    }

    fn rollout_ended(&self, outcome: &'static str, seconds: f64) {
        self.0.finished(outcome, seconds);
    }

    fn aws_call(&self, call: &CallReport) {
        self.0.aws_call(call.service, call.operation, &call.code, call.seconds, call.throttled);
    }
}
