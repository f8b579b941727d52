//! The binary's parts: command line, configuration, the daemon's wiring, and a whole world on one machine.
//!
//! `main` parses and dispatches; each verb is a module of [`command`]. [`daemon`] joins the crates into the running
//! controller. [`local`] starts sandbox, processes, database and daemon together, for the demo and for end-to-end tests.
//! Nothing here decides about releases.

pub mod cli;
pub mod command;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod exit;
mod ledger;
pub mod local;
mod logging;
mod telemetry;
pub mod verdicts;
