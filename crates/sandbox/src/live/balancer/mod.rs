//! The balancer: a weighted HTTP/1.1 proxy that stands where the load balancer's listeners are.
//!
//! Called by the live loop, which gives each [`Front`] its routes and takes what was served. It decides nothing about health:
//! that is in the routes. Routes change under running traffic without touching a connection or a request.
//!
//! As an Application Load Balancer: 503 if no target is registered, 502 if the target refuses or breaks off, 504 if it does
//! not answer in time; keep-alive on both sides; X-Forwarded-For, -Proto and -Port.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::accept::{self, Answers, Body, full};
use crate::world::live::{Answer, Served};

mod choice;
mod pool;

use choice::{Chooser, Chosen};
pub use choice::{GroupRoute, Routes};
use pool::{NoAnswer, Pool};

/// The default idle timeout of an ALB: how long a target may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Request bodies are held in memory so that a request can be sent a second time.
const REQUEST_LIMIT: usize = 8 * 1024 * 1024;
/// Headers that speak of one connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A listener's port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("bind port {port} of 127.0.0.1 for a listener of load balancer {load_balancer}: {source}")]
pub struct BindError {
    /// The port.
    pub port: u16,
    /// The load balancer's name.
    pub load_balancer: String,
    /// Why: taken, or privileged.
    pub source: io::Error,
}

/// What the fronts served and nobody has taken yet; cheap to clone.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Vec<Served>>>);

impl Ledger {
    /// Everything since the last time, in the order of the answers.
    pub fn take(&self) -> Vec<Served> {
        std::mem::take(&mut self.entries())
    }

    fn note(&self, served: Served) {
        self.entries().push(served);
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Served>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One bound listener. Dropping it stops accepting; running requests finish.
pub struct Front {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

struct Proxy {
    listener: String,
    port: HeaderValue,
    chooser: Mutex<Chooser>,
    pool: Pool,
    ledger: Ledger,
}

impl Front {
    /// Binds a listener's port (0: any) on 127.0.0.1. It answers 503 until it is given routes.
    ///
    /// # Errors
    /// If the port is taken or privileged.
    pub async fn bind(
        listener: &str,
        load_balancer: &str,
        port: u16,
        ledger: Ledger,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { port, load_balancer: load_balancer.to_owned(), source };
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let proxy = Arc::new(Proxy {
            listener: listener.to_owned(),
            port: HeaderValue::from(address.port()),
            chooser: Mutex::default(),
            pool: Pool::default(),
            ledger,
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(accept::serve(socket, proxy.clone(), stop.clone()));
        Ok(Self { address, proxy, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes new routes for every request from now on. Requests that are on their way stay where they are.
    pub fn route(&self, routes: &Routes) {
        self.proxy.chooser().route(routes);
        let targets: BTreeSet<SocketAddr> =
            routes.groups.iter().flat_map(|group| &group.targets).map(|target| target.address).collect();
        self.proxy.pool.keep_only(&targets);
    }

    /// Stops accepting and waits for the running requests.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "a listener failed");
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A request that cannot be forwarded.
enum Refusal {
    TooLarge,
    Unreadable,
}

impl Answers for Proxy {
    type Broken = Infallible;

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<Response<Body>, Infallible> {
        let request = match self.outgoing(request, client).await {
            Ok(request) => request,
            Err(Refusal::TooLarge) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE)),
            Err(Refusal::Unreadable) => return Ok(plain(StatusCode::BAD_REQUEST)),
        };
        let chosen = self.chooser().next();
        let Some(chosen) = chosen else {
            self.note(None, Answer::Elb(503), None, false);
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE));
        };
        Ok(self.forward(&chosen, request).await)
    }
}

impl Proxy {
    async fn forward(&self, chosen: &Chosen, request: Request<Full<Bytes>>) -> Response<Body> {
        let sent = Instant::now();
        match self.pool.send(chosen.target, request, ANSWER_LIMIT).await {
            Ok(response) => {
                let seconds = sent.elapsed().as_secs_f64();
                self.note(Some(chosen), Answer::Status(response.status().as_u16()), Some(seconds), false);
                incoming(response)
            }
            Err(error) => {
                tracing::debug!(target = %chosen.target, %error, "a target gave no answer");
                let (status, connection) = match error {
                    NoAnswer::Refused(_) => (StatusCode::BAD_GATEWAY, true),
                    NoAnswer::ConnectTimedOut => (StatusCode::GATEWAY_TIMEOUT, true),
                    NoAnswer::Broken(_) => (StatusCode::BAD_GATEWAY, false),
                    NoAnswer::TimedOut => (StatusCode::GATEWAY_TIMEOUT, false),
                };
                // The group is named only for its connection errors: what the balancer answers itself has no group.
                self.note(connection.then_some(chosen), Answer::Elb(status.as_u16()), None, connection);
                plain(status)
            }
        }
    }

    fn note(&self, chosen: Option<&Chosen>, answer: Answer, seconds: Option<f64>, connection_error: bool) {
        self.ledger.note(Served {
            listener: self.listener.clone(),
            target_group: chosen.map(|chosen| chosen.group.to_string()),
            target: chosen.map(|chosen| chosen.target),
            answer,
            seconds,
            connection_error,
        });
    }

    /// The request as the target gets it.
    async fn outgoing(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<Request<Full<Bytes>>, Refusal> {
        let (mut head, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_LIMIT).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Unreadable }
        })?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse::<Uri>().map_err(|_| Refusal::Unreadable)?;
        head.version = http::Version::HTTP_11;
        head.extensions.clear();
        strip_hop_by_hop(&mut head.headers);
        // The body is here already, so nobody waits for a word before sending it.
        head.headers.remove(header::EXPECT);
        self.forwarded(&mut head.headers, client);
        Ok(Request::from_parts(head, Full::new(body.to_bytes())))
    }

    fn forwarded(&self, headers: &mut HeaderMap, client: SocketAddr) {
        const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let before = headers.get(&FOR).and_then(|value| value.to_str().ok());
        let chain = match before {
            Some(before) => format!("{before}, {}", client.ip()),
            None => client.ip().to_string(),
        };
        if let Ok(chain) = HeaderValue::from_str(&chain) {
            headers.insert(FOR, chain);
        }
        headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("http"));
        headers.insert(HeaderName::from_static("x-forwarded-port"), self.port.clone());
    }

    fn chooser(&self) -> MutexGuard<'_, Chooser> {
        self.chooser.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer as the client gets it: streamed, with its own connection's headers only. A target that closes its connection
/// does not close the client's.
fn incoming(response: Response<Incoming>) -> Response<Body> {
    let mut response = response.map(|body| body.map_err(Into::into).boxed());
    *response.version_mut() = http::Version::HTTP_11;
    strip_hop_by_hop(response.headers_mut());
    response
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn plain(status: StatusCode) -> Response<Body> {
    let text = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
