//! The AWS CLI from PyPI against the sandbox's HTTP door at speed 1: real requests, real parsers, and AWS's own model of
//! every response. What takes long is jumped over.

mod aws;
mod model;
mod story;
mod venv;
mod wrong;
