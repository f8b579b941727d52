//! The shop, its migrations and its customers, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "everything here is a test or a test's helper")]

mod cluster;
mod conduct;
mod customers;
mod migrations;
mod process;
mod shop;
