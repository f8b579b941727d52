//! What the controller tells about its own work. The binary wires it to metrics; a test may count.

use tidegate_aws::CallReport;
use tidegate_model::{ReleaseName, ledger::EventKind};

/// How a pass for one release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassResult {
    /// Nothing was to be done.
    Quiet,
    /// Something was journaled, and a step may have been taken.
    Progress,
    /// A step's outcome is not known; it is resolved by reading.
    InDoubt,
    /// The ledger could not be written, or the release's chain is damaged: nothing was done.
    Failed,
    /// A panic ended it.
    Panicked,
    /// Another daemon leads the release: nothing was read.
    Following,
}

impl PassResult {
    /// Every result.
    pub const ALL: [Self; 6] =
        [Self::Quiet, Self::Progress, Self::InDoubt, Self::Failed, Self::Panicked, Self::Following];

    /// The result's word, for metrics and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Progress => "progress",
            Self::InDoubt => "in-doubt",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Following => "following",
        }
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepResult {
    /// It had its effect.
    Done,
    /// It was refused.
    Refused,
    /// Its outcome is not known.
    InDoubt,
}

impl StepResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::InDoubt];

    /// The result's word, for metrics and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::InDoubt => "in-doubt",
        }
    }
}

/// Takes note of the controller's work. Calls must return at once.
pub trait Telemetry: Send + Sync {
    /// A pass for one release ended after so many real seconds.
    fn pass(&self, _result: PassResult, _seconds: f64) {}

    /// A step ended; `step` is its word.
    fn step(&self, _step: &'static str, _result: StepResult) {}

    /// An event was told of a release.
    fn event(&self, _release: &ReleaseName, _kind: EventKind, _reason: &str) {}

    /// A rollout ended after so many seconds of the controller's clock; `outcome` is `settled` or its cause's word.
    fn rollout_ended(&self, _outcome: &'static str, _seconds: f64) {}

    /// A call to AWS ended.
    fn aws_call(&self, _call: &CallReport) {}
}

/// Takes note of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Telemetry for Silent {}
