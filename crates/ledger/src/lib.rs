//! The durable record on SQLite of what has no other witness.
