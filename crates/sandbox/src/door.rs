//! The HTTP door: one loopback port on which any SDK, boto3 and the AWS CLI find every service.
//!
//! Which service is meant is told by X-Amz-Target, by the path, or by Action and Version, as [`crate::protocol`] reads them.
//! Below `/v4/` is the task metadata endpoint. Below `/_sandbox/` is the sandbox's own: its clock, its logs and its faults.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    Disconnected, Sandbox,
    fault::Fault,
    live::accept::{self, Answers, Body, full},
    metadata,
};

/// More than the largest request of any service: a task definition is 64 KB, PutMetricData 1 MB.
const REQUEST_LIMIT: usize = 4 * 1024 * 1024;
const OWN: &str = "/_sandbox/";

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Not a loopback address: whoever reaches the door may do everything.
    #[error("open the sandbox's door at {0}: only loopback addresses are allowed")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("open the sandbox's door at {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// An open door. Dropping it stops accepting; [`Door::close`] also waits for running requests.
pub struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// Opens the door.
///
/// # Errors
/// If the address is not loopback, or is taken.
pub async fn serve(sandbox: Sandbox, address: SocketAddr) -> Result<Door, DoorError> {
    if !address.ip().is_loopback() {
        return Err(DoorError::NotLoopback(address));
    }
    let failed = |source| DoorError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let stop = CancellationToken::new();
    let service = Arc::new(Service { sandbox, stop: stop.clone() });
    let serving = tokio::spawn(accept::serve(listener, service, stop.clone()));
    Ok(Door { address, stop, serving })
}

impl Door {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to set AWS_ENDPOINT_URL to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting and waits for running requests; calls that a fault holds are broken.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "the sandbox's door failed");
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Service {
    sandbox: Sandbox,
    stop: CancellationToken,
}

/// What `GET /_sandbox/clock` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClockReading {
    /// The sandbox's time.
    pub now: jiff::Timestamp,
    /// How many times faster than real time it runs.
    pub speed: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    jump: String,
}

/// One fault, or several at once.
#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    One(Fault),
    Many(Vec<Fault>),
}

impl Answers for Service {
    type Broken = Disconnected;

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        _client: SocketAddr,
    ) -> Result<Response<Body>, Disconnected> {
        if !names_loopback(request.headers()) {
            let text = "this endpoint answers only under a loopback name";
            return Ok(say(StatusCode::MISDIRECTED_REQUEST, &json!({ "error": text })));
        }
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, REQUEST_LIMIT).collect().await else {
            return Ok(say(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "the request is too large" })));
        };
        let body = body.to_bytes();
        if let Some(own) = head.uri.path().strip_prefix(OWN) {
            return Ok(self.own(&head.method, own, &body));
        }
        if let (&Method::GET, Some(path)) = (&head.method, head.uri.path().strip_prefix(metadata::PATH)) {
            return Ok(self.metadata(path));
        }
        // Cancel safe: a call that a fault holds has no effect before it goes on.
        tokio::select! {
            response = self.sandbox.answer(Request::from_parts(head, body)) => Ok(response?.map(full)),
            () = self.stopped_for_good() => Err(Disconnected),
        }
    }
}

impl Service {
    /// Long enough after the stop that every call which is not held has been answered.
    async fn stopped_for_good(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    fn own(&self, method: &Method, path: &str, body: &Bytes) -> Response<Body> {
        match (method, path) {
            (&Method::GET, "clock") => say(StatusCode::OK, &self.clock()),
            (&Method::POST, "clock") => self.jump(body),
            (&Method::GET, "audit") => say(StatusCode::OK, &self.sandbox.audit()),
            (&Method::GET, "requests") => say(StatusCode::OK, &self.sandbox.requests()),
            (&Method::GET, "faults") => {
                let stopped = self.sandbox.faults().stopped_at().map(str::to_owned);
                say(StatusCode::OK, &json!({ "stopped_at": stopped }))
            }
            (&Method::POST, "faults") => self.arm(body),
            (&Method::DELETE, "faults") => {
                self.sandbox.clear_faults();
                say(StatusCode::OK, &json!({ "armed": 0 }))
            }
            (_, "clock" | "audit" | "requests" | "faults") => say(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({ "error": "this path does not take that method" }),
            ),
            (_, _) => say(StatusCode::NOT_FOUND, &json!({ "error": "the sandbox has no such path" })),
        }
    }

    fn metadata(&self, path: &str) -> Response<Body> {
        match metadata::answer(&self.sandbox.world(), path) {
            Some(told) => say(StatusCode::OK, &told),
            None => say(StatusCode::NOT_FOUND, &json!({ "error": "there is no such container" })),
        }
    }

    fn clock(&self) -> ClockReading {
        ClockReading { now: self.sandbox.now(), speed: self.sandbox.clock().speed() }
    }

    fn jump(&self, body: &Bytes) -> Response<Body> {
        let by =
            serde_json::from_slice(body).ok().and_then(|Jump { jump }| jump.parse::<SignedDuration>().ok());
        match by.filter(|by| !by.is_negative()) {
            Some(by) => {
                self.sandbox.jump(by);
                say(StatusCode::OK, &self.clock())
            }
            None => {
                let text = "wanted: {\"jump\": \"10m\"}, a time forward in hours, minutes and seconds";
                say(StatusCode::BAD_REQUEST, &json!({ "error": text }))
            }
        }
    }

    fn arm(&self, body: &Bytes) -> Response<Body> {
        let faults = match serde_json::from_slice(body) {
            Ok(Faults::One(fault)) => vec![fault],
            Ok(Faults::Many(faults)) => faults,
            Err(_) => {
                let text = "wanted: a fault or a list of faults, each with nth, position, action and maybe operation";
                return say(StatusCode::BAD_REQUEST, &json!({ "error": text }));
            }
        };
        let armed = faults.len();
        for fault in faults {
            self.sandbox.faults().arm(fault);
        }
        say(StatusCode::OK, &json!({ "armed": armed }))
    }
}

/// True if the client asked for a loopback name: a web page that had its own name lead here must get nothing.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    // SDKs put an account or a bucket before the endpoint's name for some services.
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        || name == Ipv4Addr::LOCALHOST.to_string()
}

fn say(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut response = match serde_json::to_vec(value) {
        Ok(bytes) => Response::new(full(bytes)),
        Err(_) => {
            let mut failed = Response::new(full("{}"));
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return failed;
        }
    };
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
