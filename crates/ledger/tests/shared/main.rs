//! The ledger on a real PostgreSQL server: the same as in memory, and whole whatever happens to the server.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod differential;
mod faults;
mod proxy;
mod refusals;
mod world;
