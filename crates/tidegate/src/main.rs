//! `tidegate`: see [`tidegate::cli`].

use std::process::ExitCode;

use clap::Parser as _;
use tidegate::{cli::Cli, command};

fn main() -> ExitCode {
    command::dispatch(Cli::parse())
}
