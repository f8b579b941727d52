//! The schema half against a real PostgreSQL server.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

mod certificate;
mod cluster;
mod corpus;
mod dependencies;
mod evidence;
mod fence;
mod hide;
mod index_build;
mod locks;
mod oracle;
mod rehearse;
mod steps;
mod sync;
mod world;
