//! A daemon of a run, put together as the binary would, with seams for everything that leads outside; and what it publishes.
//!
//! Booted and stopped by the run; nothing here decides what becomes of it.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{
    rt::sleep::{SharedAsyncSleep, TokioSleep},
    time::SharedTimeSource,
};
use tidegate_aws::Aws;
use tidegate_controller::{Controller, Parts, SchemaAccess, SchemaSettings, Settings};
use tidegate_ledger::Ledger;
use tidegate_model::{
    ReleaseName,
    status::{Published, ReleaseStatus},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Servers, story},
    door::Door,
    keep::Keep,
    listeners::Listeners,
    machine::Machine,
    scenario::migrations,
    scene::{Scene, locked},
    time::SigningTime,
    wire::Wire,
};

type Publishing = Arc<Mutex<Option<watch::Receiver<Arc<Published>>>>>;

/// A machine with its daemon.
pub(crate) struct Daemon {
    pub(crate) machine: Arc<Machine>,
    pub(crate) running: JoinHandle<()>,
    /// Cancelled when it is to end in an orderly way.
    pub(crate) stopping: CancellationToken,
    published: Publishing,
}

impl Daemon {
    /// Starts it.
    pub(crate) fn boot(scene: &Arc<Scene>, machine: Arc<Machine>, settings: Settings) -> Self {
        let published = Publishing::default();
        let stopping = CancellationToken::new();
        let parts = (Arc::clone(&published), stopping.clone());
        let running = run(Arc::clone(scene), Arc::clone(&machine), settings, parts);
        Self { machine, running: tokio::spawn(running), stopping, published }
    }

    /// What it shows of a release.
    pub(crate) fn shows(&self, release: &ReleaseName) -> Option<Shown> {
        let published = Arc::clone(&locked(&self.published).as_ref()?.borrow());
        published.releases.contains_key(release).then(|| Shown { published, release: release.clone() })
    }
}

/// A release's status, in what a daemon published. Asked for in every second of a run: nothing is copied.
pub(crate) struct Shown {
    published: Arc<Published>,
    release: ReleaseName,
}

impl Deref for Shown {
    type Target = ReleaseStatus;

    fn deref(&self) -> &ReleaseStatus {
        &self.published.releases[&self.release]
    }
}

async fn run(
    scene: Arc<Scene>,
    machine: Arc<Machine>,
    settings: Settings,
    (published, stopping): (Publishing, CancellationToken),
) {
    let wire = Wire { scene: Arc::clone(&scene), machine: Arc::clone(&machine) };
    let keys = Credentials::new("simulation", "simulation", None, None, "simulation");
    let config = aws_types::SdkConfig::builder()
        .region(aws_types::region::Region::new("eu-west-1"))
        .endpoint_url("http://simulation.invalid")
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .http_client(wire)
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SigningTime(Arc::clone(&machine.clock))))
        .build();
    let keep = Keep { scene: Arc::clone(&scene), machine: Arc::clone(&machine), memory: scene.ledger() };
    let clock = Arc::clone(&machine.clock);
    let parts = Parts {
        aws: Aws::from_config(&config, "/tidegate"),
        ledger: Ledger::on(Arc::new(keep), &format!("machine-{}", machine.number)),
        schema: schema_access(&scene, &machine),
        probes: Arc::new(Listeners { scene: Arc::clone(&scene), machine: Arc::clone(&machine) }),
        clock,
        telemetry: scene.passes.clone(),
    };
    if let Ok(controller) = Controller::new(parts, settings).await {
        *locked(&published) = Some(controller.published());
        drop(controller.run(stopping).await);
    }
    // It could not begin or go on, or was stopped: whoever looks after the machine starts it again.
    scene.ended(&machine);
}

/// The way to the release's database, if the scenario has one.
fn schema_access(scene: &Arc<Scene>, machine: &Arc<Machine>) -> SchemaAccess {
    let (scene, machine) = (Arc::clone(scene), Arc::clone(machine));
    let (clock, database) = (machine.clock.clone(), scene.database.clone());
    let door = Door { scene, machine, passage: Mutex::default() };
    let mut servers = Servers::new(Arc::new(door));
    if let Some(database) = database {
        servers = servers.with("127.0.0.1", 5432, story::DATABASE, database);
    }
    let settings = SchemaSettings { roots: vec![migrations()], ..SchemaSettings::default() };
    SchemaAccess::new(settings, Arc::new(servers), clock)
}
