//! Where the server's binaries are, and as whom the server may run.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest server that is supported.
const OLDEST: u32 = 14;

/// No cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server binaries.
    #[error(
        "find PostgreSQL {OLDEST} or newer: install the server (Debian, Ubuntu: apt-get install postgresql; Fedora, RHEL: \
         dnf install postgresql-server postgresql-contrib; macOS: brew install postgresql)"
    )]
    Missing,
    /// The server refuses to run as root and there is no way to become somebody else.
    #[error("run PostgreSQL as an unprivileged user: install setpriv or runuser (package util-linux)")]
    NoOtherUser,
    /// The folder or a port could not be prepared.
    #[error("prepare a folder and a port for PostgreSQL")]
    Folder(#[source] io::Error),
    /// A program could not be run.
    #[error("run a program of PostgreSQL")]
    Run(#[source] io::Error),
    /// Somebody else took the port.
    #[error("start PostgreSQL: its port was taken meanwhile")]
    PortTaken,
    /// The server ended instead of starting.
    #[error("start PostgreSQL: {detail}")]
    Ended {
        /// The last line of its log.
        detail: String,
    },
    /// The server did not come up in time.
    #[error("start PostgreSQL: not ready after {seconds} seconds")]
    Slow {
        /// The limit.
        seconds: u64,
    },
    /// The copy failed.
    #[error("copy a PostgreSQL cluster: {detail}")]
    Copy {
        /// The last line of pg_basebackup's messages.
        detail: String,
    },
}

/// A folder of server binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) binaries: PathBuf,
    pub(super) has_statement_statistics: bool,
}

impl Installation {
    /// The newest of the distribution's folders and of the path.
    pub(super) fn find() -> Result<Self, ClusterError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for (parent, inner) in [
            ("/usr/lib/postgresql", "bin"),
            ("/usr/local/lib/postgresql", "bin"),
            ("/usr", "bin"),
            ("/opt/homebrew/opt", "bin"),
            ("/usr/local/opt", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ] {
            let children = fs::read_dir(parent).into_iter().flatten().flatten();
            folders.extend(children.map(|child| child.path().join(inner)));
        }
        Self::newest(folders.iter().map(PathBuf::as_path)).ok_or(ClusterError::Missing)
    }

    fn newest<'a>(folders: impl Iterator<Item = &'a Path>) -> Option<Self> {
        let versioned = folders.filter_map(|folder| {
            // Debian links some binaries into /usr/bin, and a link's neighbours are others: the server's real folder counts.
            let server = folder.join("postgres").canonicalize().ok()?;
            let binaries = server.parent()?.to_owned();
            let complete =
                ["initdb", "pg_ctl", "pg_basebackup"].iter().all(|name| binaries.join(name).exists());
            complete.then_some(())?;
            let version = major_version(&server).filter(|version| *version >= OLDEST)?;
            Some((version, binaries))
        });
        let (_, binaries) = versioned.max()?;
        let has_statement_statistics = libraries(&binaries).iter().any(|folder| {
            ["so", "dylib"].iter().any(|end| folder.join("pg_stat_statements").with_extension(end).exists())
        });
        Some(Self { binaries, has_statement_statistics })
    }

    /// One of the binaries, in a bare environment.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        bare_environment(&mut command);
        command
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)`.
fn major_version(server: &Path) -> Option<u32> {
    let mut command = Command::new(server);
    bare_environment(&mut command);
    let output = command.arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Where an installation keeps its loadable libraries: the layouts of Debian, of Homebrew and source builds, and of RHEL.
fn libraries(binaries: &Path) -> Vec<PathBuf> {
    let Some(root) = binaries.parent() else { return Vec::new() };
    ["lib", "lib/postgresql", "lib64/pgsql", "lib/pgsql"].iter().map(|inner| root.join(inner)).collect()
}

/// Nothing of the caller's environment reaches a server or its tools: PGDATA, PGHOST and their like must not lead them to
/// another cluster.
pub(super) fn bare_environment(command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    command.env_clear().env("PATH", path).env("LC_ALL", "C").env("TZ", "UTC");
}

/// An unprivileged user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// As whom to run the server; `None`: as the present user, who is not root.
    pub(super) fn for_server() -> Result<Option<Self>, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(ClusterError::Folder)?;
        let found = ["postgres", "nobody"].iter().find_map(|name| Self::in_passwd(&users, name));
        found.map(Some).ok_or(ClusterError::NoOtherUser)
    }

    fn in_passwd(users: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect())
            .find(|f: &Vec<&str>| f.first() == Some(&name))?;
        let [_, _, uid, gid, ..] = fields.as_slice() else { return None };
        Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }

    /// A command that runs `program` as this user.
    pub(super) fn command(user: Option<&Self>, program: impl AsRef<OsStr>) -> Command {
        let Some(user) = user else { return Command::new(program) };
        // setpriv replaces itself by the program; runuser stays as its parent.
        let mut command = if on_path("setpriv") {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.args(["--clear-groups", "--inh-caps=-all"]);
            command
        } else {
            let mut command = Command::new("runuser");
            command.args(["-u", &user.name]);
            command
        };
        command.arg("--").arg(program);
        command
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_binaries_are_said_in_one_line_with_what_to_install() {
        let nowhere = tempfile::tempdir().unwrap();
        assert_eq!(Installation::newest([nowhere.path()].into_iter()), None);
        let text = ClusterError::Missing.to_string();
        assert!(text.contains("apt-get install postgresql") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn the_newest_complete_installation_is_taken_and_old_ones_are_not() {
        let root = tempfile::tempdir().unwrap();
        let install = |name: &str, version: &str, tools: &[&str]| {
            let bin = root.path().join(name).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for tool in tools {
                fs::write(bin.join(tool), format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"))
                    .unwrap();
                fs::set_permissions(bin.join(tool), std::os::unix::fs::PermissionsExt::from_mode(0o755))
                    .unwrap();
            }
            bin.canonicalize().unwrap()
        };
        let complete = ["postgres", "initdb", "pg_ctl", "pg_basebackup"];
        let old = install("old", "13.9", &complete);
        let middle = install("middle", "14.2 (Debian 14.2-1)", &complete);
        let newest = install("newest", "17beta1", &complete);
        let partial = install("partial", "18.0", &["postgres", "initdb"]);
        let find = |folders: &[&PathBuf]| {
            Installation::newest(folders.iter().map(|p| p.as_path())).map(|found| found.binaries)
        };
        assert_eq!(find(&[&old, &middle, &newest, &partial]), Some(newest));
        assert_eq!(find(&[&middle, &old]), Some(middle));
        assert_eq!(find(&[&old, &partial]), None);
    }

    #[test]
    fn a_user_is_read_from_the_passwd_file() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:106:114::/var/lib/postgresql:/bin/bash\n";
        let found = User::in_passwd(users, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (106, 114));
        assert_eq!(User::in_passwd(users, "post"), None);
    }
}
