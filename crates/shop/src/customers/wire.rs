//! One request over HTTP/1.1, on a kept connection or on one of its own, never sent twice.
//!
//! Called by: the shoppers. Must not: retry, pool, or follow redirects.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::tally::Cause;

/// The longest a customer waits for a whole answer, connecting included.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A shopper's end of the line.
pub(super) struct Wire {
    target: SocketAddr,
    keeps: bool,
    kept: Option<SendRequest<Full<Bytes>>>,
}

/// An answer that is no server error.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Null` if it was no JSON.
    pub(super) body: Value,
}

impl Wire {
    pub(super) fn new(target: SocketAddr, keeps: bool) -> Self {
        Self { target, keeps, kept: None }
    }

    pub(super) fn keeps_connection(&self) -> bool {
        self.keeps
    }

    /// Sends a request once and waits for the whole answer.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Cause> {
        let request = self.request(method, path, body);
        match tokio::time::timeout(ANSWER_LIMIT, self.exchange(request)).await {
            Ok(Ok(answer)) if answer.status.is_server_error() => Err(Cause::Status(answer.status.as_u16())),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(cause(error.as_ref())),
            Err(_) => Err(Cause::TooLate),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> http::Request<Full<Bytes>> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut request = http::Request::new(Full::new(bytes));
        *request.method_mut() = method;
        // Paths are our own: a fixed text and a number.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = self.target.to_string().parse() {
            headers.insert(http::header::HOST, host);
        }
        if body.is_some() {
            headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        if !self.keeps {
            headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        request
    }

    async fn exchange(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        // Taken, so that a connection on which anything goes wrong is not used again.
        let mut sender = match self.kept.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => connect(self.target).await?,
        };
        // A connection that the server closed while nothing was under way is simply replaced; nothing was sent.
        if sender.ready().await.is_err() {
            sender = connect(self.target).await?;
        }
        let response = sender.send_request(request).await?;
        let status = response.status();
        let closes = response.headers().get(http::header::CONNECTION).is_some_and(|value| value == "close");
        let bytes = response.into_body().collect().await?.to_bytes();
        if self.keeps && !closes {
            self.kept = Some(sender);
        }
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

async fn connect(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped or the server closes; its error is also the sender's.
    tokio::spawn(connection);
    Ok(sender)
}

fn cause(error: &(dyn Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            return Cause::Refused;
        }
        next = error.source();
    }
    Cause::Reset
}
