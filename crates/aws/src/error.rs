//! Errors by code. The SDK's own messages may carry request content, so they never leave this crate.

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tidegate_model::{Fact, Why};

/// The clients cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// `LOG_SENSITIVE_BODIES` is set: the SDK would print secrets.
    #[error("refuse to start while LOG_SENSITIVE_BODIES is set: the SDK would log secrets")]
    SensitiveBodies,
    /// No region is configured.
    #[error("find the AWS region: set region in the configuration, or AWS_REGION")]
    NoRegion,
}

/// A read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed ({code})")]
pub struct ReadError {
    /// The operation.
    pub operation: &'static str,
    /// The service's code, or `timeout`, `connection`, `response`.
    pub code: String,
    why: Why,
}

impl ReadError {
    pub(crate) fn new(operation: &'static str, failure: Failure) -> Self {
        Self { operation, why: failure.why(), code: failure.code }
    }

    /// The reason, as a fact has it.
    pub fn why(&self) -> Why {
        self.why
    }

    /// A fact that could not be read.
    pub(crate) fn unknown<T>(&self) -> Fact<T> {
        Fact::Unknown(self.why)
    }
}

/// A call that should change something did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// AWS refused it: it had no effect.
    #[error("refused ({code})")]
    Refused {
        /// The service's code.
        code: String,
        /// True if the refusal passes with time (throttling).
        retry: bool,
    },
    /// Whether it had its effect is not known: it is resolved by reading.
    #[error("whether it had its effect is not known ({why})")]
    InDoubt {
        /// `timeout`, `connection`, or a 5xx code.
        why: String,
    },
    /// The step is not a call to AWS.
    #[error("the step is not a call to AWS")]
    NotMine,
}

/// What went wrong with a call, by code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: String,
    pub kind: Kind,
}

/// What a failure says of the call's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The service refused: no effect.
    Refused { throttled: bool, denied: bool },
    /// It was never sent.
    NotSent,
    /// It was sent and no (whole) answer came, or a 5xx.
    InDoubt,
    /// The answer could not be understood.
    Malformed,
}

/// Codes that are throttling. Source: the SDK's own list of throttling codes.
const THROTTLING: [&str; 9] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyUpdates",
];

impl Failure {
    /// Reads an SDK error.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let plain = |code: &str, kind| Self { code: code.to_owned(), kind };
        match error {
            SdkError::ConstructionFailure(_) => plain("construction", Kind::NotSent),
            SdkError::TimeoutError(_) => plain("timeout", Kind::InDoubt),
            SdkError::DispatchFailure(failure) if failure.is_user() => plain("user", Kind::NotSent),
            SdkError::DispatchFailure(_) => plain("connection", Kind::InDoubt),
            SdkError::ResponseError(_) => plain("response", Kind::InDoubt),
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or("unknown").to_owned();
                let throttled = THROTTLING.contains(&code.as_str()) || status == 429;
                let denied = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]
                    .contains(&code.as_str());
                let kind = if status >= 500 { Kind::InDoubt } else { Kind::Refused { throttled, denied } };
                Self { code, kind }
            }
            _ => plain("unknown", Kind::InDoubt),
        }
    }

    /// The answer is there, and a part of it is missing.
    pub(crate) fn incomplete() -> Self {
        Self { code: "incomplete".to_owned(), kind: Kind::Malformed }
    }

    /// True if the service will say the same again: it is not busy, and it did answer.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::Refused { throttled: false, .. })
    }

    pub(crate) fn why(&self) -> Why {
        match self.kind {
            Kind::Refused { throttled: true, .. } => Why::Throttled,
            Kind::Refused { denied: true, .. } => Why::Denied,
            Kind::Refused { .. } => Why::Failed,
            Kind::NotSent | Kind::InDoubt => Why::Unreachable,
            Kind::Malformed => Why::Malformed,
        }
    }

    /// The same of a call that should change something.
    pub(crate) fn into_act(self) -> ActError {
        match self.kind {
            Kind::Refused { throttled, .. } => ActError::Refused { code: self.code, retry: throttled },
            Kind::NotSent => ActError::Refused { code: self.code, retry: true },
            Kind::InDoubt | Kind::Malformed => ActError::InDoubt { why: self.code },
        }
    }
}
