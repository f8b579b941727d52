//! The controller: a queue of releases, the reconcile pass, and the executor that carries steps out.
//!
//! The binary makes a [`Controller`] from its [`Parts`] and runs it; the web crate reads what it publishes. This crate
//! joins observers (`tidegate-aws`, `tidegate-schema`), planner and ledger. It decides nothing, speaks to AWS and
//! PostgreSQL only through those crates, and to a release's own listener through its probes.

mod clock;
mod controller;
mod damaged;
mod executor;
mod log_watch;
mod pass;
mod probe;
mod queue;
mod schema_access;
mod shown;
mod status_parameter;
mod tasks;
mod telemetry;
mod telling;
mod tls;
mod track;
mod unavailable;

pub use clock::{Clock, ClockError, Manual, Remote, Steady, System};
pub use controller::{Controller, Parts, RunError, Settings, StartError};
pub use pass::PassReport;
pub use probe::{ATTEMPTS, BETWEEN_ATTEMPTS, Prober, ProberError, Probes};
pub use schema_access::{SchemaAccess, SchemaSettings};
pub use telemetry::{PassResult, Silent, StepResult, Telemetry};
