//! The story's application in four versions, and the customers who use it.
//!
//! Called by: the binary `shop` (one version on one port), the demo and the end-to-end tests (customers, initial
//! data). Must not: know Tidegate. The shop is somebody's ordinary application, and stays one.

pub mod address;
mod api;
mod checkouts;
mod conduct;
mod customer;
pub mod customers;
mod database;
mod fault;
pub mod initial;
mod leak;
mod pace;
mod serve;
mod settings;
mod store;
mod task;
mod version;

use std::io;

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{checkouts::Publisher, conduct::Conduct, serve::Drain, store::Store};
pub use self::{
    conduct::ConductSettings,
    database::Unreachable,
    settings::{DatabaseSettings, Password, Settings},
    task::Unknown,
    version::{UnknownVersion, Version},
};

/// Runs a shop until `stop`, then drains it. True if every connection ended by itself.
pub async fn run(
    settings: &Settings,
    password: &Password,
    stop: CancellationToken,
) -> Result<bool, StartError> {
    let options = settings.connect_options(password);
    let conduct = Conduct::new(settings, &options);
    let served = CancellationToken::new();
    let publishing = publish(&conduct, settings, &served).await?;
    let connect = database::connect(options);
    let Some(pool) = stop.run_until_cancelled(connect).await else { return Ok(true) };
    let pool = pool.map_err(StartError::Database)?;
    let listener = TcpListener::bind((settings.host, settings.port)).await.map_err(StartError::Listen)?;
    tracing::info!(version = settings.version.number(), address = ?listener.local_addr().ok(), "shop started");
    let router = api::router(Store::new(pool.clone(), settings.version), conduct);
    let drained = serve::serve(listener, router, stop, Drain::default()).await.map_err(StartError::Listen)?;
    served.cancel();
    publishing.close();
    publishing.wait().await;
    pool.close().await;
    Ok(drained)
}

/// Publishes checkouts until everything is served, if that is wanted.
async fn publish(
    conduct: &Conduct,
    settings: &Settings,
    served: &CancellationToken,
) -> Result<TaskTracker, StartError> {
    let publishing = TaskTracker::new();
    if let Some(every) = settings.conduct.publish_every {
        let publisher = Publisher::connect(every).await.map_err(StartError::Task)?;
        publishing.spawn(conduct.checkouts.clone().publish(publisher, served.clone()));
    }
    Ok(publishing)
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
    /// It does not know which revision it is, and was told to publish under its name.
    #[error("find out the task definition")]
    Task(#[source] Unknown),
    /// The process cannot be told to stop.
    #[error("install signal handler")]
    Signal(#[source] io::Error),
}
