//! The shop, its migrations and its customers, on a real PostgreSQL.

mod cluster;
mod migrations;
