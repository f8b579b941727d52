//! A model of a target database, for runs in which no real server can take part.
