//! A whole world on one machine: sandbox door, live tasks, balancer and database; and around it the daemon as a real
//! process and people who write parameters.
//!
//! Called by the demo, by `tidegate sandbox` and by end-to-end tests. It decides nothing and knows no release.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use jiff::Timestamp;
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    door::{self, Door, DoorError},
    live::{Live, LiveError, LiveSettings, tasks::Catalogue},
    world::{
        Mode, World,
        file::{self, WorldFileError},
    },
};

mod daemon;
mod people;
pub mod story;

pub use daemon::{Daemon, DaemonError, DaemonSettings, LedgerAt};
pub use people::{People, PeopleError};

/// This machine, with a free port.
pub const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a world is made of.
pub struct LocalSettings {
    /// The world file's text.
    pub world: String,
    /// Images and commands; none: tasks, traffic and databases are a model.
    pub catalogue: Option<Catalogue>,
    /// Statements for fresh database instances after those of the world file: instance and SQL.
    pub sql: Vec<(String, String)>,
    /// How many times faster than real time AWS's schedule runs.
    pub speed: u32,
    /// Where to open the door.
    pub listen: SocketAddr,
    /// Logs of tasks and copies of databases; a temporary folder if absent.
    pub folder: Option<PathBuf>,
}

/// The world cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Its file.
    #[error(transparent)]
    World(#[from] WorldFileError),
    /// Its door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Its live half.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The work folder.
    #[error("make a work folder")]
    Folder(#[from] io::Error),
}

/// A running world. Dropping it stops everything; [`Local::stop`] also waits.
pub struct Local {
    /// The sandbox.
    pub sandbox: Sandbox,
    door: Door,
    live: Option<Live>,
    /// Where logs and copies lie.
    pub folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Local {
    /// Starts it.
    ///
    /// # Errors
    /// If the file is wrong or a port is taken; the text names which.
    pub async fn start(settings: LocalSettings) -> Result<Self, LocalError> {
        let now = Timestamp::now();
        let mode = if settings.catalogue.is_some() { Mode::Live } else { Mode::Modelled { seed: 1 } };
        let world = World::from_file(&settings.world, now, mode)?;
        let sandbox = Sandbox::new(world, Clock::running(now, settings.speed));
        let door = door::serve(sandbox.clone(), settings.listen).await?;
        let (folder, temporary) = match settings.folder {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::Builder::new().prefix("tidegate-sandbox-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let live = match settings.catalogue {
            Some(catalogue) => {
                let mut live = LiveSettings::new(catalogue, folder.clone(), door.url());
                live.seeds = file::seeds(&settings.world)?;
                for (instance, sql) in settings.sql {
                    live.seeds.entry(instance).or_default().sql.push(sql);
                }
                Some(Live::start(sandbox.clone(), live).await?)
            }
            None => None,
        };
        Ok(Self { sandbox, door, live, folder, _temporary: temporary })
    }

    /// What to set AWS_ENDPOINT_URL to.
    pub fn url(&self) -> String {
        self.door.url()
    }

    /// The addresses of the listeners: load balancer's name and port.
    pub fn listeners(&self) -> Vec<(String, u16)> {
        let listeners = self.sandbox.world().live_listeners();
        listeners.into_iter().map(|listener| (listener.load_balancer, listener.port)).collect()
    }

    /// Stops listeners, tasks and databases, then the door, and waits for them.
    pub async fn stop(mut self) {
        if let Some(live) = self.live.take() {
            live.stop().await;
        }
        self.door.close().await;
    }
}
