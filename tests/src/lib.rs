//! What the integration tests share: a stage on which the real controller plays against the sandbox.

pub mod stage;
