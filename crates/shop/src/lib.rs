//! The story's application in four versions, and the customers who use it.
//!
//! Called by: the binary `shop` (one version on one port), the demo and the end-to-end tests (customers, initial
//! data). Must not: know Tidegate. The shop is somebody's ordinary application, and stays one.

pub mod address;
mod api;
mod customer;
pub mod customers;
mod database;
mod fault;
pub mod initial;
mod serve;
mod settings;
mod store;
mod version;

use std::io;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{
    database::Unreachable,
    settings::{DatabaseSettings, Password, Settings},
    version::{UnknownVersion, Version},
};
use self::{serve::Drain, store::Store};

/// Runs a shop until `stop`, then drains it. True if every connection ended by itself.
pub async fn run(
    settings: &Settings,
    password: &Password,
    stop: CancellationToken,
) -> Result<bool, StartError> {
    let connect = database::connect(settings.connect_options(password));
    let Some(pool) = stop.run_until_cancelled(connect).await else { return Ok(true) };
    let pool = pool.map_err(StartError::Database)?;
    let listener = TcpListener::bind((settings.host, settings.port)).await.map_err(StartError::Listen)?;
    tracing::info!(version = settings.version.number(), address = ?listener.local_addr().ok(), "shop started");
    let router = api::router(Store::new(pool.clone(), settings.version), settings.fault());
    let drained = serve::serve(listener, router, stop, Drain::default()).await.map_err(StartError::Listen)?;
    pool.close().await;
    Ok(drained)
}

/// Why a shop did not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its database is not there.
    #[error("open database")]
    Database(#[source] Unreachable),
    /// Its port is taken, privileged, or was lost.
    #[error("listen on the shop's port")]
    Listen(#[source] io::Error),
    /// The process cannot be told to stop.
    #[error("install signal handler")]
    Signal(#[source] io::Error),
}
