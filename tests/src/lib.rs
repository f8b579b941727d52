//! What the integration tests share: a stage on which the real controller plays against the sandbox in
//! virtual time, and a live world with the daemon as a process.

pub mod database;
pub mod live;
pub mod stage;
