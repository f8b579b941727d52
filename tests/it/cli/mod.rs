//! The AWS CLI from PyPI against `tidegate sandbox` at speed 1: a real process, real requests, real parsers, and AWS's own
//! model of every response. What takes long is jumped over.

#![expect(clippy::unwrap_used, reason = "everything here is a test or a test's helper")]

mod aws;
mod model;
mod story;
mod wrong;
