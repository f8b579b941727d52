//! A throwaway PostgreSQL for tests: own data directory, free port, gone at the end.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "story";

pub(crate) struct Cluster {
    data: TempDir,
    bin: PathBuf,
    pub(crate) port: u16,
}

impl Cluster {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let bin = server_binaries();
        let data = TempDir::new().unwrap();
        let password = data.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(data.path()));
        }
        let pgdata = data.path().join("pgdata");
        run(as_postgres(&bin.join("initdb"))
            .args(["--no-sync", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(&pgdata));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off \
             -c shared_preload_libraries=pg_stat_statements"
        );
        let log = data.path().join("log");
        run(as_postgres(&bin.join("pg_ctl"))
            .args(["start", "-w", "-o", &options, "-l"])
            .arg(log)
            .arg("-D")
            .arg(pgdata));
        Self { data, bin, port }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(PASSWORD)
            .database("postgres")
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pgdata = self.data.path().join("pgdata");
        let _ = as_postgres(&self.bin.join("pg_ctl"))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(pgdata)
            .output();
    }
}

fn server_binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("PostgreSQL's server binaries (Debian: apt-get install postgresql)");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn as_postgres(program: &Path) -> Command {
    let mut command = if is_root() { Command::new("runuser") } else { Command::new(program) };
    if is_root() {
        command.args(["-u", "postgres", "--"]).arg(program);
    }
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Not `output()`: the server would inherit the pipe, and the end of file would never come.
#[track_caller]
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} failed: {status}");
}
