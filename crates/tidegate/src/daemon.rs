//! `tidegate run`: joins configuration, ledger, AWS, database access, controller and web into the running daemon.
//!
//! Order matters. The address is bound first, so that a wrong one is told at once; the ledger comes before anything is read, so
//! that a second daemon on the same file ends before it could act; HTTP stops last.

use std::sync::Arc;

use tidegate_aws::Aws;
use tidegate_controller::{
    Clock, Controller, Parts, Prober, Remote, SchemaAccess, SchemaSettings, Settings, System,
};
use tidegate_schema::{Limits, Servers};
use tidegate_web::{Metrics, Shared};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, exit::Failure, ledger, telemetry::Counting};

/// The daemon cannot begin.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
}

/// Runs until `shutdown`.
///
/// # Errors
/// If it cannot begin, or loses its ledger.
pub async fn run(config: &Config, clock: Option<&str>, shutdown: CancellationToken) -> Result<(), Failure> {
    let address = config.http.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Failure::internal(StartError::Listen { address, source }))?;
    let aws = connect(config).await?;
    let ledger = ledger::open(config, &aws).await.map_err(Failure::internal)?;
    let clock: Arc<dyn Clock> = match clock {
        Some(url) => Arc::new(Remote::connect(url).await.map_err(Failure::internal)?),
        None => Arc::new(System::default()),
    };
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION")).map_err(Failure::internal)?;
    let parts = Parts {
        aws,
        ledger,
        schema: schema_access(config),
        probes: Arc::new(Prober::new().map_err(Failure::internal)?),
        clock: Arc::clone(&clock),
        telemetry: Arc::new(Counting::new(metrics.clone())),
    };
    let settings = Settings {
        resync: config.controller.resync,
        in_flight_look: config.controller.in_flight,
        ..Settings::default()
    };
    let controller = Controller::new(parts, settings).await.map_err(Failure::internal)?;
    let shared = Shared {
        published: controller.published(),
        metrics,
        now: Arc::new(move || clock.now()),
        resync: config.controller.resync,
    };
    let address = listener.local_addr().map_err(Failure::internal)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the daemon runs; page, API and metrics are served");
    let web_stop = CancellationToken::new();
    let web = tokio::spawn(tidegate_web::serve(listener, shared, web_stop.clone().cancelled_owned()));
    let ended = controller.run(shutdown).await;
    web_stop.cancel();
    drop(web.await);
    tracing::info!("the daemon has stopped");
    ended.map_err(Failure::internal)
}

async fn connect(config: &Config) -> Result<Aws, Failure> {
    let settings = tidegate_aws::Settings {
        region: config.aws.region.clone(),
        profile: config.aws.profile.clone(),
        endpoint_url: config.aws.endpoint_url.clone(),
        prefix: config.parameters.prefix.clone(),
    };
    Aws::connect(&settings).await.map_err(Failure::internal)
}

fn schema_access(config: &Config) -> SchemaAccess {
    let schema = &config.schema;
    let settings = SchemaSettings {
        roots: schema.migration_roots.clone(),
        release_roots: schema.release_migration_roots.clone(),
    };
    let limits = Limits {
        lock: schema.lock_timeout.unsigned_abs(),
        statement: schema.statement_timeout.unsigned_abs(),
        batch: schema.batch_timeout.unsigned_abs(),
        batch_target: schema.batch_target.unsigned_abs(),
        build: schema.build_timeout.unsigned_abs(),
        check: schema.check_timeout.unsigned_abs(),
        ..Limits::default()
    };
    let databases = Servers { ca_bundle: schema.ca_bundle.clone(), limits };
    SchemaAccess::new(settings, Arc::new(databases), Arc::new(System::default()))
}

/// Cancelled by SIGTERM (how ECS asks a task to stop) and by an interrupt from the terminal.
///
/// # Errors
/// If the process cannot be told of signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}
