//! Engines: how traffic moves. One folder each: its rules (what it can keep, when which step) and its reading of "where
//! are we". This version has one.

pub(crate) mod codedeploy;
