//! A modelled world with several daemons as processes on one ledger in a real PostgreSQL server.

use std::{
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use tidegate::local::{ANYWHERE, Daemon, DaemonSettings, LedgerAt, Local, LocalSettings, People, story};
use tidegate_model::status::ReleaseStatus;
use tidegate_sandbox::live::cluster::Cluster;

/// Virtual seconds in a real one. Leases run in real time: a shift of 27 virtual minutes outlives one.
const SPEED: u32 = 12;
const LOOK: Duration = Duration::from_millis(200);
/// No wait of a test is longer, in real time.
const LIMIT: Duration = Duration::from_secs(240);

/// The release of the story.
pub const RELEASE: &str = "ecommerce";

/// The world without a daemon.
pub struct Several {
    /// The world.
    pub local: Local,
    /// Who writes parameters.
    pub people: People,
    cluster: Cluster,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Several {
    /// Starts world and server.
    pub async fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::Builder::new().prefix("tidegate-several-").tempdir().expect("a folder");
        let local = Local::start(LocalSettings {
            world: story::WORLD.to_owned(),
            catalogue: None,
            sql: vec![],
            speed: SPEED,
            listen: ANYWHERE,
            folder: Some(folder.path().join("sandbox")),
        });
        let local = local.await.expect("the world begins");
        let people = People::at(&local.url(), RELEASE);
        let cluster =
            tokio::task::spawn_blocking(Cluster::start).await.expect("no panic").expect("a cluster");
        let program =
            story::beside_this_program("tidegate").expect("tidegate is built: run `cargo xtask test`");
        Self { local, people, cluster, program, folder }
    }

    /// Starts a daemon.
    pub async fn daemon(&self) -> Daemon {
        let settings = DaemonSettings {
            program: self.program.clone(),
            endpoint: self.local.url(),
            listen: ANYWHERE,
            ledger: LedgerAt::Server { url: self.url(), password: self.cluster.password().to_owned() },
            log: self.log(),
            migrations: self.folder.path().to_owned(),
        };
        let started = Daemon::start(&settings).await;
        started.unwrap_or_else(|error| panic!("{error}\n{}", self.logged()))
    }

    fn url(&self) -> String {
        format!("postgres://{}@{}/postgres", self.cluster.superuser(), self.cluster.address())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("daemons.log")
    }

    /// What all daemons logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The ledger's password.
    pub fn password(&self) -> &str {
        self.cluster.password()
    }

    /// What `tidegate judge --from-ledger` comes to.
    pub async fn judged(&self) -> Output {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(["judge", "--from-ledger", RELEASE, "--ledger-url", &self.url()]);
        command.env_clear().env("PGPASSWORD", self.cluster.password());
        command.output().await.expect("it runs")
    }

    /// The operations that daemons had an effect with, in order.
    pub fn effects(&self) -> Vec<String> {
        crate::by_daemon(self.local.sandbox.audit()).into_iter().map(|entry| entry.operation).collect()
    }

    /// Waits until one of two daemons leads the release and the other follows; the leader first.
    pub async fn sorted(&self, one: Daemon, other: Daemon) -> (Daemon, Daemon) {
        let begun = Instant::now();
        loop {
            match (leads(&one).await, leads(&other).await) {
                (Some(true), Some(false)) => return (one, other),
                (Some(false), Some(true)) => return (other, one),
                (Some(true), Some(true)) => panic!("two leaders"),
                (Some(false) | None, _) | (_, None) => {}
            }
            assert!(begun.elapsed() < LIMIT, "nobody leads: {}", self.logged());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How long it takes until a daemon leads the release.
    pub async fn until_it_leads(&self, daemon: &Daemon) -> Duration {
        let begun = Instant::now();
        while leads(daemon).await != Some(true) {
            assert!(begun.elapsed() < LIMIT, "it never leads: {}", self.logged());
            tokio::time::sleep(LOOK).await;
        }
        begun.elapsed()
    }

    /// Waits until `found` finds something in what a daemon shows of the release.
    pub async fn until<T>(
        &self,
        daemon: &Daemon,
        what: &str,
        found: impl Fn(&ReleaseStatus) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            let status = daemon.status(RELEASE).await;
            if let Some(value) = status.as_ref().and_then(&found) {
                return value;
            }
            assert!(begun.elapsed() < LIMIT, "{what}: not reached; {status:#?}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What a daemon's metrics say of who leads; nothing while it does not know the release.
async fn leads(daemon: &Daemon) -> Option<bool> {
    let metrics = daemon.get("/metrics").await.ok()?;
    let series = format!("tidegate_leader{{release=\"{RELEASE}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(series.as_str()))?;
    Some(value == "1")
}
