//! The simulation: the real controller, planner, ledger code and AWS SDK clients in virtual time, on one thread, with every
//! way out of the process a seam.
//!
//! `cargo xtask sim` and the scenario tests run it. A run is a value: world, events, faults and seed in, a trace and what the
//! oracles found out. Nothing here is used by the daemon, and nothing here may read a real clock, a socket or a file while a
//! run is under way.

pub mod bookmark;
pub mod commit;
mod daemon;
pub mod database;
mod deeds;
mod door;
mod downgrade;
mod draw;
pub mod fault;
pub mod hunt;
pub mod keep;
mod likely;
mod listeners;
mod log;
mod machine;
pub mod oracle;
mod panics;
pub mod plans;
pub mod run;
pub mod scenario;
mod scene;
pub mod struck;
pub mod summary;
pub mod sweep;
mod time;
mod tool;
mod trace;
mod wire;
mod wording;
