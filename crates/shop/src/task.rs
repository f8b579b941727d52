//! What this process is: the task that it runs in, by ECS's task metadata endpoint, version 4.
//!
//! Called by whoever publishes under the revision's name. Must not: guess.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Where ECS says that the endpoint is.
const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";
const LIMIT: Duration = Duration::from_secs(5);

/// It cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// This is no ECS task.
    #[error("there is no {VARIABLE}: this is no ECS task")]
    NoTask,
    /// The endpoint does not answer, or not so.
    #[error("the task metadata endpoint does not tell the task definition")]
    NoAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    family: String,
    revision: String,
}

/// The task definition of this task: `family:revision`.
pub(crate) async fn revision() -> Result<String, Unknown> {
    let endpoint = std::env::var(VARIABLE).map_err(|_| Unknown::NoTask)?;
    let asked = tokio::time::timeout(LIMIT, ask(&endpoint)).await;
    let task = asked.ok().flatten().ok_or(Unknown::NoAnswer)?;
    Ok(format!("{}:{}", task.family, task.revision))
}

async fn ask(endpoint: &str) -> Option<Task> {
    let uri: Uri = format!("{endpoint}/task").parse().ok()?;
    let authority = uri.authority()?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(uri.path()).header(header::HOST, authority.as_str());
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}
