//! Connections to targets, kept for the next request.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// How long a target may take to accept a connection; ALB's fixed connection timeout.
const CONNECT: Duration = Duration::from_secs(10);
/// Idle connections kept per target.
const KEPT: usize = 64;

type Sender = SendRequest<Full<Bytes>>;

/// Why a target gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("connect to the target: {0}")]
    Refused(std::io::Error),
    #[error("connect to the target: timed out")]
    ConnectTimedOut,
    #[error("talk to the target: {0}")]
    Broken(#[from] hyper::Error),
    #[error("wait for the target's answer: timed out")]
    TimedOut,
}

/// Idle connections by target; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<BTreeMap<SocketAddr, Vec<Sender>>>>);

impl Pool {
    /// Sends a request to a target and waits for the head of its answer.
    ///
    /// A target may close an idle connection at the moment when a request goes out on it. Then nothing of an answer comes,
    /// and the request is sent once more, on a connection of its own: the target never saw it.
    pub(super) async fn send(
        &self,
        target: SocketAddr,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        if let Some(sender) = self.take(target) {
            match self.try_send(target, sender, request.clone(), limit).await {
                Err(NoAnswer::Broken(error)) if !error.is_parse() => {}
                answered => return answered,
            }
        }
        let sender = connect(target).await?;
        self.try_send(target, sender, request, limit).await
    }

    async fn try_send(
        &self,
        target: SocketAddr,
        mut sender: Sender,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let response =
            timeout(limit, sender.send_request(request)).await.map_err(|_| NoAnswer::TimedOut)??;
        let pool = self.clone();
        tokio::spawn(async move {
            // Ready again once the answer's body has been read; never if the connection closes before or after it.
            if sender.ready().await.is_ok() {
                pool.put(target, sender);
            }
        });
        Ok(response)
    }

    /// Forgets connections to targets that are not among these.
    pub(super) fn keep_only(&self, targets: &BTreeSet<SocketAddr>) {
        self.idle().retain(|target, _| targets.contains(target));
    }

    fn take(&self, target: SocketAddr) -> Option<Sender> {
        let mut idle = self.idle();
        let senders = idle.get_mut(&target)?;
        while let Some(sender) = senders.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, target: SocketAddr, sender: Sender) {
        let mut idle = self.idle();
        let senders = idle.entry(target).or_default();
        senders.retain(|sender| !sender.is_closed());
        if senders.len() < KEPT {
            senders.push(sender);
        }
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Vec<Sender>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(target: SocketAddr) -> Result<Sender, NoAnswer> {
    let stream = timeout(CONNECT, TcpStream::connect(target))
        .await
        .map_err(|_| NoAnswer::ConnectTimedOut)?
        .map_err(NoAnswer::Refused)?;
    stream.set_nodelay(true).ok();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a target broke");
        }
    });
    Ok(sender)
}
