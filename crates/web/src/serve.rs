//! The server: HTTP/1.1 with limits on connections, header size and header time, and an orderly end.
//!
//! Written on hyper rather than `axum::serve`, which sets none of these limits.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

use crate::{Shared, router};

/// Connections at the same time: a few people, a scraper and a load balancer's health checks, with plenty to spare.
const CONNECTIONS: usize = 256;

/// Longest time in which a request's header must have come; an idle connection is closed after it, too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest header. hyper takes no less than 8 KiB.
const HEADER_BYTES: usize = 16 * 1_024;

/// How long answers under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `shutdown` is over; then answers what is under way and returns.
pub async fn serve(listener: TcpListener, shared: Shared, shutdown: impl Future<Output = ()>) {
    let service = TowerToHyperService::new(
        router(shared)
            .map_request(|request: http::Request<hyper::body::Incoming>| request.map(axum::body::Body::new))
            .map_err(|never: Infallible| match never {}),
    );
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::info!("connections were still open after the grace and are cut");
    }
}

/// Waits for a free slot, then for a connection. An error while accepting (no file descriptor left, a peer that is gone
/// again) passes: it is waited out.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
