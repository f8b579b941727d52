//! The nouns of Tidegate, and nothing that touches the world.
//!
//! Every other crate speaks in these types: [`spec`] and [`orders`] are what people ask, [`observation`] is what was
//! read, [`ledger`] is what has no other witness, [`decision`] is what the planner answers, [`status`] is what is
//! published. This crate must not know a runtime, an SDK, a database or a clock; a test checks its dependencies.

pub mod calibration;
pub mod decision;
pub mod digest;
pub mod duration;
pub mod fact;
pub mod gate;
pub mod ledger;
pub mod name;
pub mod observation;
pub mod orders;
pub mod revision;
pub mod runner;
pub mod schema;
pub mod spec;
pub mod status;
pub mod verdict;
pub mod waiting;

pub use digest::Digest;
pub use fact::{Fact, Why};
pub use name::{ChangeName, MetricName, ParameterVersion, ReleaseName};
