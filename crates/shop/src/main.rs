//! The binary `shop`: one version of the story's application on one port.
//!
//! Called by: the sandbox, as the command behind an image name. Must not: decide anything; it wires settings,
//! database and service, logs one JSON line at start and one at stop, and exits 0 after SIGTERM.

use std::process::ExitCode;

use clap::Parser;
use tidegate_shop::{Password, Settings, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    let password = Password::new(std::env::var("DB_PASSWORD").unwrap_or_default());
    match run(&settings, &password).await {
        Ok(drained) => {
            tracing::info!(version = settings.version.number(), drained, "shop stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(version = settings.version.number(), %error, cause, "shop cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings, password: &Password) -> Result<bool, StartError> {
    // Before anything else: a SIGTERM during the start must stop the shop in order as well.
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.cancel();
    });
    tidegate_shop::run(settings, password, stop).await
}
