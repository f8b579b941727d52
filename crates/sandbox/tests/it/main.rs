//! The sandbox through the real SDK, in process and in virtual time: each module is a service or a part of the whole.

#![expect(clippy::unwrap_used, reason = "everything here is a test or a test's helper")]

mod balancing;
mod cloudwatch;
mod containers;
mod faults;
mod secrets;
mod server_log;
mod ssm;
mod support;
mod wire;
mod world_file;
