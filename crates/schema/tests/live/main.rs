//! The schema half against a real PostgreSQL server.

mod cluster;
mod evidence;
mod steps;
mod world;
