//! The accept loop that the balancer and the HTTP door share: HTTP/1.1 connections served until told to stop, then each
//! finishes the request it has.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A connection that sends nothing for this long is closed; the default idle timeout of an ALB.
const IDLE: Duration = Duration::from_secs(60);
/// Running requests get this long once the loop is told to stop.
const FINISH: Duration = Duration::from_secs(10);
/// Pause after a failed accept: out of file descriptors is over at some time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A body that is either made here or streamed from elsewhere.
pub(crate) type Body = BoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A body made here.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    use http_body_util::BodyExt as _;
    http_body_util::Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// What answers requests. An error breaks the connection without an answer.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Why a connection is broken.
    type Broken: Error + Send + Sync + 'static;

    /// Answers one request of a client.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: std::net::SocketAddr,
    ) -> impl Future<Output = Result<Response<Body>, Self::Broken>> + Send;
}

/// Serves until `stop`, and then until the running requests are over.
pub(crate) async fn serve<A: Answers>(listener: TcpListener, answers: Arc<A>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        // Cancel safe: an accept that is dropped has taken no connection.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                connections.spawn(converse(stream, client, answers.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(FINISH, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still running at the end");
    }
}

async fn converse<A: Answers>(
    stream: TcpStream,
    client: std::net::SocketAddr,
    answers: Arc<A>,
    stop: CancellationToken,
) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| answers.clone().answer(request, client));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A client that goes away in the middle is its own affair, so the connection's errors are dropped.
    let finished = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.cancelled() => false,
    };
    if !finished {
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(FINISH, connection).await.ok();
    }
}
