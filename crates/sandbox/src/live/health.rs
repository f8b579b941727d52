//! Health checks of target groups: one GET on a connection of its own.
//!
//! When a check is due is the world's matter and virtual; how long it may take is real.

use std::{collections::BTreeSet, net::SocketAddr};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::world::live::HealthProbe;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The target group.
    pub target_group: String,
    /// The target.
    pub address: SocketAddr,
    /// True if it answered in time with a status that counts as healthy.
    pub ok: bool,
}

/// Checks that are on their way.
#[derive(Debug, Default)]
pub struct Checks {
    running: JoinSet<Finding>,
    busy: BTreeSet<(String, SocketAddr)>,
}

impl Checks {
    /// Starts the checks that are due. With fast virtual time a check may be due again before the last one is over: then
    /// that one's finding stands for both.
    pub fn start(&mut self, due: Vec<HealthProbe>) {
        for probe in due {
            if self.busy.insert((probe.target_group.clone(), probe.address)) {
                self.running.spawn(async move {
                    let ok = check(&probe).await;
                    Finding { target_group: probe.target_group, address: probe.address, ok }
                });
            }
        }
    }

    /// Findings since the last time.
    pub fn findings(&mut self) -> Vec<Finding> {
        let mut found = Vec::new();
        while let Some(joined) = self.running.try_join_next() {
            match joined {
                Ok(finding) => {
                    self.busy.remove(&(finding.target_group.clone(), finding.address));
                    found.push(finding);
                }
                Err(error) => tracing::error!(%error, "a health check failed to run"),
            }
        }
        found
    }
}

/// Makes one check.
pub async fn check(probe: &HealthProbe) -> bool {
    match timeout(probe.timeout, status(probe)).await {
        Ok(Ok(status)) => (probe.matcher.0..=probe.matcher.1).contains(&status),
        Ok(Err(error)) => {
            tracing::debug!(target = %probe.address, %error, "a health check got no answer");
            false
        }
        Err(_) => false,
    }
}

async fn status(probe: &HealthProbe) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(probe.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(&probe.path)
        .header(header::HOST, probe.address.to_string())
        .header(header::USER_AGENT, "ELB-HealthChecker/2.0")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    // The connection is driven here, so that it ends with the check, also when that is given up.
    let answered = async { sender.send_request(request).await.map(|response| response.status().as_u16()) };
    tokio::pin!(answered, connection);
    tokio::select! {
        biased;
        status = &mut answered => return Ok(status?),
        // The connection ends with the poll that reads the answer, if the target closes it at once.
        ended = &mut connection => ended?,
    }
    Ok(answered.await?)
}
