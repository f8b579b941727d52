//! Serving until told to stop, and stopping without failing a request.
//!
//! Called by: the binary. Must not: know what it serves.
//!
//! The way down: no more connections are accepted (those already in the backlog still are), every answer from
//! now on carries `connection: close`, idle connections get a moment in which a request already under way is
//! still answered, running requests finish, and what is left after the limit is cut.

use std::{convert::Infallible, io, time::Duration};

use axum::{Router, body::Body, extract::State, http::HeaderValue, middleware, response::Response};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may keep an idle connection. Longer than the 60 s after which a load balancer gives one up,
/// so that it is never the shop that closes a connection on which the balancer is just sending.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Pause after a failed accept (no file descriptors left): the loop must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long stopping may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// How long idle connections stay open after the stop.
    pub linger: Duration,
    /// How long requests that run may take after that.
    pub limit: Duration,
}

impl Default for Drain {
    /// Together well inside the 30 s that ECS leaves between SIGTERM and SIGKILL.
    fn default() -> Self {
        Self { linger: Duration::from_secs(1), limit: Duration::from_secs(20) }
    }
}

/// Serves `router` on `listener` until `stop`, then drains. True if every connection ended within the limit.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    drain: Drain,
) -> io::Result<bool> {
    let router = router.layer(middleware::map_response_with_state(stop.clone(), close_while_draining));
    let connections =
        Connections { router, tracker: TaskTracker::new(), close_idle: CancellationToken::new() };
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => connections.spawn(stream),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    connections.take_backlog(listener)?;
    Ok(connections.drain(drain).await)
}

async fn close_while_draining(
    State(stop): State<CancellationToken>,
    mut response: Response<Body>,
) -> Response<Body> {
    if stop.is_cancelled() {
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    }
    response
}

struct Connections {
    router: Router,
    tracker: TaskTracker,
    close_idle: CancellationToken,
}

impl Connections {
    fn spawn(&self, stream: TcpStream) {
        // A delayed acknowledgement would add 40 ms to small answers; a socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.router.clone());
        let close_idle = self.close_idle.clone();
        self.tracker.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            // Either way the connection ends here; an error of it is the client's, who went away.
            if close_idle.run_until_cancelled(connection.as_mut()).await.is_none() {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
            Ok::<(), Infallible>(())
        });
    }

    /// Closing a listener resets the connections in its backlog, so they are taken first.
    fn take_backlog(&self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.spawn(TcpStream::from_std(stream)?);
        }
        Ok(())
    }

    async fn drain(self, drain: Drain) -> bool {
        self.tracker.close();
        if tokio::time::timeout(drain.linger, self.tracker.wait()).await.is_ok() {
            return true;
        }
        self.close_idle.cancel();
        tokio::time::timeout(drain.limit, self.tracker.wait()).await.is_ok()
    }
}
