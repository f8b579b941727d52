//! The schema half's hands: PostgreSQL.
pub mod readers;
pub mod source;
pub mod sql;
mod tree;
