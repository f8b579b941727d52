//! The state of this service.

/// The service's state.
#[derive(Debug, Default)]
pub struct Secrets {}
