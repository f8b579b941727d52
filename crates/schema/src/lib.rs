//! The schema half's hands: PostgreSQL.
//!
//! Called by the controller, which decides nothing here either: [`sql::plan`] reads the migration files of an accepted
//! spec, [`connect::Database`] observes a target database and takes one step at a time in it. The planner's types come
//! from `tidegate_model::schema`. This crate must not know AWS, must not retry, and must not let a secret, a row or a
//! server's message out.

mod backfill;
mod build;
mod catalog;
mod certificate;
pub mod classify;
pub mod connect;
mod dependencies;
pub mod evidence;
pub mod failure;
mod floor;
mod hide;
mod journal;
pub mod observe;
mod preflight;
mod pressure;
pub mod readers;
pub mod run;
pub mod server_log;
mod sessions;
pub mod source;
pub mod sql;
mod sync;
mod target;
pub mod trace;
mod tree;

pub use backfill::{Batch, next_size};
pub use catalog::tables;
pub use certificate::reads_or_writes;
pub use connect::{Database, Endpoint, Limits, Secret};
pub use failure::{Failure, SqlState};
pub use journal::Epoch;
pub use observe::Wanted;
pub use run::{Attempt, Job};
pub use source::RawFile;
pub use target::{Databases, Servers, TargetDatabase};
