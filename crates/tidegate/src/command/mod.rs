//! The verbs of the command line, one module each.

use std::process::ExitCode;

use crate::{
    cli::{Cli, RunArgs, Verb},
    config::Config,
    daemon, demo,
    exit::{Exit, Failure},
    logging, verdicts,
};

mod ask;
mod healthcheck;
mod judge;
mod lint;
mod rehearse;
mod restore_plan;
pub mod sandbox;
mod status;
mod validate;

/// Bytes of a worker's stack. Not optimised, the SDK alone takes more than a megabyte to read one RDS instance; what is not used costs
/// nothing.
const STACK: usize = 8 << 20;

/// Carries a command out. An error's chain is told here, once.
pub fn dispatch(cli: Cli) -> ExitCode {
    // Every HTTP client of this process uses the same TLS provider.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => runtime,
        Err(error) => return told(&Failure::internal(error)),
    };
    match runtime.block_on(carry_out(cli.verb)) {
        Ok(exit) => exit.into(),
        Err(failure) => told(&failure),
    }
}

async fn carry_out(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(args) => run(&args).await,
        Verb::Sandbox(args) => sandbox::run(&args).await,
        Verb::Demo(args) => demo::run(&args).await,
        Verb::Verdicts(args) => verdicts::run(&args).await,
        Verb::Validate(args) => validate::run(&args),
        Verb::Judge(args) => judge::run(&args).await,
        Verb::Lint(args) => lint::run(&args).await,
        Verb::Rehearse(args) => rehearse::run(&args).await,
        Verb::RestorePlan(args) => restore_plan::run(&args).await,
        Verb::Schema => Ok(schema()),
        Verb::Status(args) => status::run(&args).await,
        Verb::Healthcheck(args) => healthcheck::run(&args).await,
    }
}

async fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let config = Config::load(args).map_err(Failure::usage)?;
    logging::start(&config.log.filter, config.log.format).map_err(Failure::usage)?;
    let shutdown = daemon::on_signal().map_err(Failure::internal)?;
    daemon::run(&config, args.clock.as_deref(), shutdown).await?;
    Ok(Exit::Done)
}

fn schema() -> Exit {
    println!("{:#}", tidegate_model::spec::json_schema());
    Exit::Done
}

fn told(failure: &Failure) -> ExitCode {
    eprintln!("tidegate: {}", failure.chain());
    failure.exit.into()
}
