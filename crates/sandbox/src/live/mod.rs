//! Live mode: real processes, a real balancer, real databases.
//!
//! One level-triggered loop: it locks the world, reports what happened since the last pass, takes what the world wants now,
//! and makes reality match. It remembers nothing that the world does not say again with the next pass.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Sandbox,
    world::{
        World,
        live::{HealthProbe, LiveDatabase, LiveListener, LiveSnapshot, LiveTask},
    },
};

pub(crate) mod accept;
pub mod balancer;
pub mod cluster;
pub mod database;
pub mod health;
pub(crate) mod port;
pub mod tasks;

use balancer::{BindError, Front, GroupRoute, Ledger, Routes};
use cluster::Cluster;
use database::{DatabaseReport, Databases, Seed};
use health::Checks;
use tasks::{Catalogue, TaskReport, TaskSettings, Tasks};

/// A port of 127.0.0.1 that was free a moment ago, outside the range of outgoing connections.
///
/// # Errors
/// If no port can be bound.
pub fn free_port() -> io::Result<u16> {
    port::free()
}

/// Time between passes, real. At sixty times real time this is half a second of the world's.
const PASS: Duration = Duration::from_millis(10);
/// A listener that was made later and could not be bound is tried again after this long.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// ECS's default stopTimeout.
const GRACE: Duration = Duration::from_secs(30);

/// What live mode needs. Has no `Debug`: seeds hold passwords.
pub struct LiveSettings {
    /// Images and their commands.
    pub catalogue: Catalogue,
    /// A folder for logs and copies; made if it does not exist.
    pub folder: PathBuf,
    /// Where tasks find AWS: the HTTP door's URL.
    pub endpoint: String,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What fresh database instances hold, by instance.
    pub seeds: BTreeMap<String, Seed>,
    /// Clusters that run already, by instance: a world whose secrets name their ports is made after them.
    pub clusters: BTreeMap<String, Cluster>,
}

impl LiveSettings {
    /// With ECS's default grace and no databases.
    pub fn new(catalogue: Catalogue, folder: PathBuf, endpoint: String) -> Self {
        Self { catalogue, folder, endpoint, grace: GRACE, seeds: BTreeMap::new(), clusters: BTreeMap::new() }
    }
}

/// Live mode cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A listener's port cannot be had.
    #[error(transparent)]
    Listener(#[from] BindError),
    /// The work folder or the watchdog over the tasks.
    #[error("prepare the sandbox's work folder")]
    Folder(#[from] io::Error),
}

/// The running live half. Dropping it stops everything; [`Live::stop`] also waits.
pub struct Live {
    stop: CancellationToken,
    looping: JoinHandle<()>,
}

impl Live {
    /// Binds the world's listeners and begins to make reality match the world.
    ///
    /// # Errors
    /// If a listener's port is taken or privileged, or the work folder cannot be used.
    pub async fn start(sandbox: Sandbox, settings: LiveSettings) -> Result<Self, LiveError> {
        let databases = Databases::new(settings.folder.join("snapshots"), settings.seeds)?;
        for (id, cluster) in settings.clusters {
            databases.adopt(&id, cluster);
        }
        let tasks = Tasks::new(TaskSettings {
            catalogue: settings.catalogue,
            logs: settings.folder.join("logs"),
            endpoint: settings.endpoint,
            grace: settings.grace,
        })?;
        let mut reality = Reality {
            fronts: BTreeMap::new(),
            ledger: Ledger::default(),
            tasks,
            databases,
            checks: Checks::default(),
        };
        let listeners = sandbox.world().live_listeners();
        for listener in &listeners {
            reality.bind(listener).await?;
        }
        let stop = CancellationToken::new();
        let looping = tokio::spawn(reality.follow(sandbox, stop.clone()));
        Ok(Self { stop, looping })
    }

    /// Stops listeners, tasks and databases, in this order, and waits for them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.looping).await {
            tracing::error!(%error, "the live loop failed");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What is there.
struct Reality {
    fronts: BTreeMap<String, Bound>,
    ledger: Ledger,
    tasks: Tasks,
    databases: Databases,
    checks: Checks,
}

/// A listener that is bound, or could not be.
struct Bound {
    port: u16,
    routes: Routes,
    front: Result<Front, Instant>,
}

/// What the world wants at one instant.
struct Wanted {
    listeners: Vec<(LiveListener, Routes)>,
    tasks: Vec<LiveTask>,
    probes: Vec<HealthProbe>,
    databases: Vec<LiveDatabase>,
    snapshots: Vec<LiveSnapshot>,
}

impl Reality {
    async fn follow(mut self, sandbox: Sandbox, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PASS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Cancel safe: a tick that is dropped has done nothing.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.pass(&sandbox).await,
            }
        }
        self.end(&sandbox).await;
    }

    async fn pass(&mut self, sandbox: &Sandbox) {
        let wanted = {
            let mut world = sandbox.world();
            self.report(&mut world);
            wanted(&mut world)
        };
        // Routes before tasks: who must stop gets no request any more when its SIGTERM comes.
        self.match_listeners(wanted.listeners).await;
        self.tasks.match_world(&wanted.tasks);
        self.checks.start(wanted.probes);
        self.databases.match_world(&wanted.databases, &wanted.snapshots);
    }

    fn report(&mut self, world: &mut World) {
        world.report_served(&self.ledger.take());
        for finding in self.checks.findings() {
            world.report_health(&finding.target_group, finding.address, finding.ok);
        }
        for report in self.tasks.reports() {
            match report {
                TaskReport::Started { id, address } => world.task_started(&id, address),
                TaskReport::Stopped { id, exit_code, reason } => world.task_stopped(&id, exit_code, &reason),
            }
        }
        for report in self.databases.reports() {
            match report {
                DatabaseReport::Ready { id, address, logs } => {
                    world.report_log_folder(&id, logs);
                    world.database_ready(&id, address);
                }
                DatabaseReport::Connections { id, count } => world.report_connections(&id, count),
                DatabaseReport::Copied { id, outcome } => world.snapshot_copied(&id, outcome),
            }
        }
    }

    async fn match_listeners(&mut self, wanted: Vec<(LiveListener, Routes)>) {
        let gone: Vec<String> = self
            .fronts
            .iter()
            .filter(|(arn, bound)| !wanted.iter().any(|(l, _)| l.arn == **arn && l.port == bound.port))
            .map(|(arn, _)| arn.clone())
            .collect();
        for arn in gone {
            if let Some(Bound { front: Ok(front), .. }) = self.fronts.remove(&arn) {
                tokio::spawn(front.close());
            }
        }
        for (listener, routes) in wanted {
            let due = match self.fronts.get(&listener.arn) {
                Some(Bound { front: Err(since), .. }) => since.elapsed() > BIND_AGAIN,
                Some(Bound { front: Ok(_), .. }) => false,
                None => true,
            };
            if due && let Err(error) = self.bind(&listener).await {
                tracing::error!(%error, "a listener has no port");
                let unbound =
                    Bound { port: listener.port, routes: Routes::default(), front: Err(Instant::now()) };
                self.fronts.insert(listener.arn.clone(), unbound);
            }
            if let Some(Bound { routes: current, front: Ok(front), .. }) = self.fronts.get_mut(&listener.arn)
                && *current != routes
            {
                front.route(&routes);
                *current = routes;
            }
        }
    }

    async fn bind(&mut self, listener: &LiveListener) -> Result<(), BindError> {
        let front =
            Front::bind(&listener.arn, &listener.load_balancer, listener.port, self.ledger.clone()).await?;
        let bound = Bound { port: listener.port, routes: Routes::default(), front: Ok(front) };
        self.fronts.insert(listener.arn.clone(), bound);
        Ok(())
    }

    async fn end(mut self, sandbox: &Sandbox) {
        for (_, bound) in std::mem::take(&mut self.fronts) {
            if let Ok(front) = bound.front {
                front.close().await;
            }
        }
        self.tasks.stop_all().await;
        self.report(&mut sandbox.world());
        self.databases.stop_all().await;
    }
}

fn wanted(world: &mut World) -> Wanted {
    let listeners = world
        .live_listeners()
        .into_iter()
        .map(|listener| {
            let routes = routes(world, &listener);
            (listener, routes)
        })
        .collect();
    Wanted {
        listeners,
        tasks: world.live_tasks(),
        probes: world.health_probes_due(),
        databases: world.live_databases(),
        snapshots: world.live_snapshots(),
    }
}

fn routes(world: &World, listener: &LiveListener) -> Routes {
    let group = |(arn, weight): &(String, u32)| GroupRoute {
        arn: arn.as_str().into(),
        weight: *weight,
        targets: world.live_targets(arn),
    };
    Routes { groups: listener.forward.iter().map(group).collect() }
}
