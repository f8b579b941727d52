//! The modelled target database: the story in it, faults at its door, and the model held against a real server.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

mod application;
mod compared;
mod differential;
mod faults;
mod log;
mod normal;
mod random;
mod server;
mod story;
mod world;
