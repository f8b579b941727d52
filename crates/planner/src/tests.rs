//! Decisions over small worlds.
