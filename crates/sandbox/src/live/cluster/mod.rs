//! A throwaway PostgreSQL cluster: own data directory, own port on 127.0.0.1, gone with the value.
//!
//! Called by the sandbox's database instances and by tests that need a real server. Blocks for about a second; async callers
//! use `spawn_blocking`. Must not touch the machine's own running server: it never reads PGDATA, PGHOST or their like.
//!
//! The server runs under a small shell (`guard.sh`) that waits on a pipe from this process. Closing the pipe is the only way
//! to stop it, so that the end of the value, a panic and `kill -9` all take the same path.

use std::{
    fs, io,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::port;

mod install;

pub use install::ClusterError;
use install::{Installation, User};

/// A cluster is up in about a second; a loaded machine may take longer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A fast stop, then an immediate one: `guard.sh` needs at most about ten seconds.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// The port is chosen before the server binds it, so somebody may be faster.
const START_TRIES: usize = 3;

/// What a cluster is made with. Has no `Debug`: it holds a password.
#[derive(Clone)]
pub struct Setup {
    /// The superuser.
    pub superuser: String,
    /// Its password. A cluster from a copy keeps the one that is in the copy.
    pub password: String,
    /// Server settings over the ones that every cluster has, for example `("max_connections", "40")`.
    pub settings: Vec<(String, String)>,
}

impl Default for Setup {
    /// `postgres` with a random password.
    fn default() -> Self {
        let password = hex::encode(rand::random::<[u8; 16]>());
        Self { superuser: "postgres".to_owned(), password, settings: Vec::new() }
    }
}

/// A running cluster; dropping it stops the server and removes its folder.
pub struct Cluster {
    // The first field is dropped first: the server must be gone when its folder goes.
    _server: Server,
    folder: tempfile::TempDir,
    installation: Installation,
    port: u16,
    setup: Setup,
}

impl Cluster {
    /// Makes and starts a fresh cluster.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] says what to install; the others what went wrong.
    pub fn start() -> Result<Self, ClusterError> {
        Self::with(&Setup::default())
    }

    /// The same with one's own superuser, password and settings.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn with(setup: &Setup) -> Result<Self, ClusterError> {
        Self::try_start(None, setup)
    }

    /// Starts a second server from what [`Cluster::copy`] made. The copy itself stays as it is.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn from_copy(copy: &Path, setup: &Setup) -> Result<Self, ClusterError> {
        Self::try_start(Some(copy), setup)
    }

    fn try_start(copy: Option<&Path>, setup: &Setup) -> Result<Self, ClusterError> {
        let installation = Installation::find()?;
        for _ in 1..START_TRIES {
            match Self::launch(&installation, copy, setup) {
                Err(ClusterError::PortTaken) => {}
                other => return other,
            }
        }
        Self::launch(&installation, copy, setup)
    }

    fn launch(installation: &Installation, copy: Option<&Path>, setup: &Setup) -> Result<Self, ClusterError> {
        let user = User::for_server()?;
        let folder = prepare(copy, setup, user.as_ref()).map_err(ClusterError::Folder)?;
        let port = port::free().map_err(ClusterError::Folder)?;
        let server = Server::spawn(installation, user.as_ref(), folder.path(), port, setup)?;
        let cluster =
            Self { _server: server, folder, installation: installation.clone(), port, setup: setup.clone() };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Copies the running cluster into a folder that does not exist yet or is empty, as a snapshot does: consistent as of
    /// the end of the copy, without stopping anybody.
    ///
    /// # Errors
    /// If pg_basebackup cannot be run or fails.
    pub fn copy(&self, into: &Path) -> Result<(), ClusterError> {
        let mut command = self.installation.command("pg_basebackup");
        command
            .args([
                "--host=127.0.0.1",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
                "--no-password",
            ])
            .arg(format!("--port={}", self.port))
            .arg(format!("--username={}", self.setup.superuser))
            .arg("-D")
            .arg(into)
            // The environment, because arguments can be read by every user of the machine.
            .env("PGPASSWORD", &self.setup.password);
        let output = command.stdin(Stdio::null()).output().map_err(ClusterError::Run)?;
        if output.status.success() {
            return Ok(());
        }
        Err(ClusterError::Copy { detail: last_line(&String::from_utf8_lossy(&output.stderr)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser.
    pub fn superuser(&self) -> &str {
        &self.setup.superuser
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.setup.password
    }

    /// The folder of the server's log: one file an hour, named and written as RDS has it. It goes with the cluster, and a
    /// copy does not have it.
    ///
    /// Names and lines tell the server's time, which is this machine's in UTC.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// True if pg_stat_statements is loaded; `CREATE EXTENSION` is still to be run in each database.
    pub fn has_statement_statistics(&self) -> bool {
        self.installation.has_statement_statistics
    }

    /// Waits for the server's own word in its pid file: the eighth line says `ready`.
    fn wait_until_ready(&self) -> Result<(), ClusterError> {
        let (pid_file, exited) =
            (self.folder.path().join("data/postmaster.pid"), self.folder.path().join("exited"));
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            let status = fs::read_to_string(&pid_file).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if exited.exists() {
                return Err(self.why_it_ended());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(ClusterError::Slow { seconds: START_LIMIT.as_secs() })
    }

    fn why_it_ended(&self) -> ClusterError {
        let said = self.said();
        if said.contains("could not bind") {
            return ClusterError::PortTaken;
        }
        ClusterError::Ended { detail: last_line(&said) }
    }

    /// What initdb and the server said before its log began, and then the log.
    fn said(&self) -> String {
        let logs = fs::read_dir(self.logs()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = logs.collect();
        files.sort();
        files.insert(0, self.folder.path().join("log"));
        let said = files.iter().filter_map(|file| fs::read(file).ok());
        said.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

/// The shell that runs the server, and the pipe that keeps it.
struct Server(Child);

impl Server {
    fn spawn(
        installation: &Installation,
        user: Option<&User>,
        folder: &Path,
        port: u16,
        setup: &Setup,
    ) -> Result<Self, ClusterError> {
        let mut command = User::command(user, "/bin/sh");
        command.arg("-c").arg(include_str!("guard.sh")).arg("tidegate-postgres");
        command.arg(folder).arg(&installation.binaries).arg(&setup.superuser);
        for (name, value) in settings(installation, folder, port, &setup.settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        install::bare_environment(&mut command);
        // A group of its own: an interrupt from the terminal must not stop the server before its clients.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self).map_err(ClusterError::Run)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let group = rustix::process::Pid::from_child(&self.0);
        if let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL) {
            tracing::warn!(%error, "a database server could not be killed");
        }
        self.0.wait().ok();
    }
}

/// What RDS for PostgreSQL sets of the server's log. Source: the user guide's page "Parameters for logging". The level is
/// this sandbox's: refusals with their statements, and no more.
const LOGGING: [(&str, &str); 11] = [
    ("log_destination", "stderr"),
    ("logging_collector", "on"),
    ("log_filename", "postgresql.log.%Y-%m-%d-%H"),
    ("log_rotation_age", "60"),
    ("log_rotation_size", "0"),
    ("log_truncate_on_rotation", "off"),
    ("log_line_prefix", "%t:%r:%u@%d:[%p]:"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_min_messages", "warning"),
    ("log_min_error_statement", "error"),
];

/// Nothing here has to survive a power failure, so nothing is flushed to disk.
fn settings(
    installation: &Installation,
    folder: &Path,
    port: u16,
    own: &[(String, String)],
) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = [
        ("port", port.to_string().as_str()),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("log_directory", &folder.join("logs").to_string_lossy()),
    ]
    .into_iter()
    .chain(LOGGING)
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    if installation.has_statement_statistics {
        all.push(("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned()));
        all.push(("pg_stat_statements.track".to_owned(), "all".to_owned()));
    }
    // The last setting of a name wins.
    all.extend_from_slice(own);
    all
}

/// A folder for the server, with the password to be set or the copied data, owned by the server's user.
fn prepare(copy: Option<&Path>, setup: &Setup, user: Option<&User>) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("tidegate-postgres-").tempdir()?;
    match copy {
        Some(copy) => {
            let data = folder.path().join("data");
            copy_folder(copy, &data)?;
            fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        None => {
            let mut options = fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
            options.open(folder.path().join("password"))?.write_all(setup.password.as_bytes())?;
        }
    }
    if let Some(user) = user {
        own(folder.path(), user)?;
    }
    Ok(folder)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn own(path: &Path, user: &User) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path(), user)?;
        }
    }
    Ok(())
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}
