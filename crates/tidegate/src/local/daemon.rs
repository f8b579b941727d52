//! The daemon as a process of its own, as users run it: it can be killed.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::Client;
use tidegate_model::status::ReleaseStatus;
use tokio::process::{Child, Command};

/// A daemon whose page does not answer after this long will not.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How to run it. Has no `Debug`: it may hold a password.
#[derive(Clone)]
pub struct DaemonSettings {
    /// The `tidegate` program.
    pub program: PathBuf,
    /// The sandbox's door.
    pub endpoint: String,
    /// Where it serves; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its ledger.
    pub ledger: LedgerAt,
    /// Its log, appended.
    pub log: PathBuf,
    /// A folder under which migration files may lie.
    pub migrations: PathBuf,
}

/// Where a daemon's ledger is.
#[derive(Clone)]
pub enum LedgerAt {
    /// In an SQLite file.
    File(PathBuf),
    /// In a PostgreSQL database, which other daemons may share.
    Server {
        /// The database.
        url: String,
        /// The role's password.
        password: String,
    },
}

/// The daemon does not do as a daemon should.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The program cannot be run.
    #[error("run the daemon")]
    Run(#[source] io::Error),
    /// It ended at once, or did not answer in time.
    #[error("the daemon does not answer; its log is {}", log.display())]
    Silent {
        /// Where it says why.
        log: PathBuf,
    },
    /// A request to it failed.
    #[error("ask the daemon")]
    Ask(#[source] reqwest::Error),
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    client: Client,
}

impl Daemon {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// If it cannot be run, or does not answer.
    pub async fn start(settings: &DaemonSettings) -> Result<Self, DaemonError> {
        let mut daemon = Self::begin(settings)?;
        daemon.wait_until_it_answers(settings).await?;
        Ok(daemon)
    }

    /// Starts it and does not wait.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn begin(settings: &DaemonSettings) -> Result<Self, DaemonError> {
        let client =
            Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().map_err(DaemonError::Ask)?;
        let port = match settings.listen.port() {
            0 => super::story::free_port().map_err(DaemonError::Run)?,
            port => port,
        };
        let address = SocketAddr::new(settings.listen.ip(), port);
        let child = spawn(settings, address).map_err(DaemonError::Run)?;
        Ok(Self { child, address, client })
    }

    /// Its process; none once it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// True if it runs no more.
    ///
    /// # Errors
    /// If nobody can tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    async fn wait_until_it_answers(&mut self, settings: &DaemonSettings) -> Result<(), DaemonError> {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            if self.has_ended().map_err(DaemonError::Run)? {
                break;
            }
            if self.get("/healthz").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(DaemonError::Silent { log: settings.log.clone() })
    }

    /// Where it serves.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// GETs one of its pages as text; anything but 200 is an error.
    ///
    /// # Errors
    /// If it does not answer so.
    pub async fn get(&self, path: &str) -> Result<String, DaemonError> {
        let answer = async {
            let response = self.client.get(format!("{}{path}", self.url())).send().await?;
            response.error_for_status()?.text().await
        };
        answer.await.map_err(DaemonError::Ask)
    }

    /// What it says of a release; none while it knows nothing of it.
    pub async fn status(&self, release: &str) -> Option<ReleaseStatus> {
        let text = self.get(&format!("/api/v1/releases/{release}")).await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to stop with SIGTERM and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn stop(mut self) -> io::Result<()> {
        let pid =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.child.wait().await.map(drop)
    }
}

fn spawn(settings: &DaemonSettings, address: SocketAddr) -> io::Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(&settings.log)?;
    let mut command = Command::new(&settings.program);
    command
        .arg("run")
        .args(["--listen", &address.to_string()])
        .args(["--endpoint-url", &settings.endpoint, "--clock", &settings.endpoint])
        .arg("--migration-root")
        .arg(&settings.migrations)
        .args(["--log-format", "json"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(super::people::credentials())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    match &settings.ledger {
        LedgerAt::File(path) => command.arg("--ledger").arg(path),
        // The environment, because arguments can be read by every user of the machine.
        LedgerAt::Server { url, password } => command.args(["--ledger-url", url]).env("PGPASSWORD", password),
    };
    command.spawn()
}
