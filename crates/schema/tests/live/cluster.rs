//! A throwaway PostgreSQL cluster for one test: own folder, own port, gone with the value.
//!
//! The tests use [`Cluster`] through `start`, `port` and `Drop` only, so that another helper can take its place.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The cluster's superuser password, which is also a canary: it must never show up anywhere.
pub(crate) const PASSWORD: &str = "hunter2-canary";

pub(crate) struct Cluster {
    /// Has the server's log, `log`.
    pub(crate) folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts a cluster with these extra settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("tidegate-schema-").tempdir().unwrap();
        let cluster = Self { folder, binaries: binaries(), port: free_port() };
        let password = cluster.folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            let path = cluster.folder.path();
            assert!(Command::new("chown").arg("-R").arg("postgres").arg(path).status().unwrap().success());
        }
        let mut initdb = cluster.command("initdb");
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--no-instructions"]);
        succeed(initdb.arg("--pwfile").arg(&password).arg("-D").arg(cluster.data()));
        let mut options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=40",
            cluster.port
        );
        for (name, value) in settings {
            options.push_str(&format!(" -c {name}={value}"));
        }
        let mut start = cluster.command("pg_ctl");
        let log = cluster.folder.path().join("log");
        succeed(
            start
                .args(["start", "-w", "-t", "30", "-o", &options])
                .arg("-l")
                .arg(log)
                .arg("-D")
                .arg(cluster.data()),
        );
        cluster
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A server binary, as an unprivileged user if this is root: the server refuses to run as root.
    fn command(&self, binary: &str) -> Command {
        let binary = self.binaries.join(binary);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(binary);
            command
        } else {
            Command::new(binary)
        };
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _ = stop.args(["stop", "-m", "immediate", "-w"]).arg("-D").arg(self.data()).output();
    }
}

fn succeed(command: &mut Command) {
    // The server inherits the pipes, so its output goes to files and nothing here waits for it.
    let Output { status, .. } = {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        Output { status, stdout: Vec::new(), stderr: Vec::new() }
    };
    assert!(status.success(), "{command:?} failed");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The newest server binaries of the distribution, or those on the path.
fn binaries() -> PathBuf {
    let distribution = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = distribution
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max();
    if let Some((_, bin)) = newest {
        return bin;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| Path::new(folder).join("initdb").exists())
        .expect("PostgreSQL server binaries: install the package postgresql")
}
