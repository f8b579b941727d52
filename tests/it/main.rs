//! The one integration-test binary: each module is a part of the behaviour.

mod calibration;
mod cli;
mod command_line;
mod crash;
mod docs;
mod eight_versions;
mod fidelity;
mod followers;
mod guards;
mod hands;
mod iam;
mod killed;
mod live;
mod malformed;
mod modelled;
mod orders;
mod purity;
mod quarantine;
mod rollout;
mod runner;
mod schema;
mod several_daemons;
mod simulation;
mod two_services;
mod venv;
mod verdict;
