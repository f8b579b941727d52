//! What the live half sees of the world and reports to it. In modelled mode the service modules play these parts
//! themselves and nobody calls this.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// A task that must run in a process, or must stop.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveTask {
    /// The task's ARN.
    pub id: String,
    /// Its image: what the catalogue maps to a command.
    pub image: String,
    /// Arguments for its command.
    pub command: Vec<String>,
    /// True if it serves requests; otherwise it runs from the moment its process is there.
    pub listens: bool,
    /// Its environment, secrets resolved as they were when the task was made.
    pub environment: BTreeMap<String, String>,
    /// True once it must stop.
    pub stop_requested: bool,
    /// True once it was reported as started.
    pub started: bool,
}

/// A listener and where it forwards now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveListener {
    /// Its ARN.
    pub arn: String,
    /// The load balancer's name.
    pub load_balancer: String,
    /// The port to bind on 127.0.0.1.
    pub port: u16,
    /// Target groups with their weights.
    pub forward: Vec<(String, u32)>,
}

/// A registered target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the health checks say of it.
    pub state: TargetState,
}

/// State of a target, as the balancer needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are ELB's states")]
pub enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
}

/// A health check that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProbe {
    /// The target group.
    pub target_group: String,
    /// The target.
    pub address: SocketAddr,
    /// The path to GET.
    pub path: String,
    /// How long to wait, in real time.
    pub timeout: Duration,
    /// The lowest and highest status that count as healthy.
    pub matcher: (u16, u16),
}

/// What a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A target answered with this status.
    Status(u16),
    /// The balancer made this answer itself: 502, 503 or 504.
    Elb(u16),
}

/// One answered request.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The listener's ARN.
    pub listener: String,
    /// The target group that was chosen, if a target was.
    pub target_group: Option<String>,
    /// The target itself.
    pub target: Option<SocketAddr>,
    /// What the client got.
    pub answer: Answer,
    /// Time to the first byte of the target's answer, in real seconds.
    pub seconds: Option<f64>,
    /// True if the connection to the target could not be made.
    pub connection_error: bool,
}

/// A database instance that must be a running cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveDatabase {
    /// The instance identifier.
    pub id: String,
    /// The master user.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The initial database.
    pub database: String,
    /// Restored from this copy; empty if it begins fresh.
    pub from_copy: Option<PathBuf>,
    /// True once it was reported as ready.
    pub ready: bool,
}

/// A snapshot that needs its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSnapshot {
    /// The snapshot's id.
    pub id: String,
    /// The instance to copy.
    pub instance: String,
}

impl fmt::Debug for LiveTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTask")
            .field("id", &self.id)
            .field("image", &self.image)
            .field("stop_requested", &self.stop_requested)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LiveDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveDatabase")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("database", &self.database)
            .field("from_copy", &self.from_copy)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}
