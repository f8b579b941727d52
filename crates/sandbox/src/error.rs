//! Errors as AWS answers them: a wire code, a message, an HTTP status. Every protocol writes its own form of them.

use crate::protocol::Service;

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The wire code: what clients branch on. For awsQuery services this is not always the shape's name.
    pub code: String,
    /// A sentence in AWS's manner.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ApiError {
    /// A client error, HTTP 400.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: 400 }
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same under another code: services differ in how they call a malformed input.
    #[must_use]
    pub fn coded(mut self, code: &str) -> Self {
        self.code = code.to_owned();
        self
    }

    /// A required member is missing.
    pub fn missing(member: &str) -> Self {
        Self::new(
            "ValidationException",
            format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must not be null"
            ),
        )
    }

    /// A member has another type.
    pub fn mistyped(member: &str, wanted: &str) -> Self {
        Self::new("SerializationException", format!("member '{member}' is not a {wanted}"))
    }

    /// An operation that the service does not have (or that this sandbox does not model), as AWS answers it.
    pub fn unknown_operation(service: Service, operation: &str) -> Self {
        match service.query_version() {
            Some(version) => Self::new(
                "InvalidAction",
                format!("Could not find operation {operation} for version {version}"),
            ),
            None => Self::new("UnknownOperationException", format!("operation {operation} is not known")),
        }
    }

    /// True for the two codes that say the input was malformed before the service looked at it.
    pub fn is_malformed(&self) -> bool {
        self.code == "ValidationException" || self.code == "SerializationException"
    }
}
