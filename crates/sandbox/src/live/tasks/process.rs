//! One task: a process from its start to its end.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Program, watchdog::Watchdog};
use crate::{live::port, metadata, world::live::LiveTask};

/// A process that does not listen after this long will not.
const START_LIMIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Between leaving the balancer's routes and SIGTERM: a request that was sent on its way a moment ago still arrives. On AWS
/// the same takes seconds.
const SETTLE: Duration = Duration::from_millis(100);
/// Waits for the word to go, which comes once the watchdog knows the process, and becomes the program. If the sandbox dies
/// before that, the word never comes.
const WAIT_AND_RUN: &str = r#"read -r go && [ "$go" = go ] && exec "$@""#;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) exit_code: Option<i32>,
    pub(super) reason: String,
}

/// What a process is run with.
pub(super) struct Launch<'a> {
    pub(super) task: &'a LiveTask,
    pub(super) program: &'a Program,
    pub(super) folder: Option<&'a Path>,
    pub(super) log: PathBuf,
    pub(super) endpoint: &'a str,
    pub(super) grace: Duration,
}

/// Runs a task until it ends by itself or `stop` is called; tells its address as soon as it answers there.
pub(super) async fn run(
    launch: &Launch<'_>,
    watchdog: &Watchdog,
    stop: &CancellationToken,
    started: impl FnOnce(SocketAddr),
) -> End {
    let (mut child, address) = match spawn(launch).await {
        Ok(spawned) => spawned,
        Err(error) => return failed_to_start(&error),
    };
    let Some(group) = child.id() else {
        return failed_to_start(&io::Error::other("it was gone at once"));
    };
    let end = match begin(&mut child, group, watchdog).await {
        Ok(()) => {
            let listens = launch.task.listens.then_some(address);
            live(&mut child, (address, listens), launch.grace, stop, started).await
        }
        Err(error) => failed_to_start(&error),
    };
    // Whatever the process started and left behind goes with it, as everything in a container does.
    kill_group(group);
    child.wait().await.ok();
    watchdog.forget(group).await.ok();
    end
}

async fn spawn(launch: &Launch<'_>) -> io::Result<(Child, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
    let log = fs::OpenOptions::new().create(true).append(true).open(&launch.log)?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", WAIT_AND_RUN, "tidegate-task"])
        .args(&launch.program.command)
        .args(&launch.task.command);
    if let Some(folder) = launch.folder {
        command.current_dir(folder);
    }
    // A container sees nothing of its host's environment; a local command needs these two.
    command.env_clear();
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let (container, region) = (metadata::container_id(&launch.task.id), region(&launch.task.id));
    command
        .env("AWS_REGION", region)
        .env("AWS_DEFAULT_REGION", region)
        .envs(&launch.program.environment)
        .envs(&launch.task.environment)
        .env("AWS_ENDPOINT_URL", launch.endpoint)
        .env(metadata::VARIABLE, format!("{}{}{container}", launch.endpoint, metadata::PATH))
        .env("HOST", address.ip().to_string())
        .env("PORT", address.port().to_string())
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    Ok((command.spawn()?, address))
}

/// The region of an ARN.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

async fn begin(child: &mut Child, group: u32, watchdog: &Watchdog) -> io::Result<()> {
    watchdog.watch(group).await?;
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    input.write_all(b"go\n").await
}

async fn live(
    child: &mut Child,
    (address, listens): (SocketAddr, Option<SocketAddr>),
    grace: Duration,
    stop: &CancellationToken,
    started: impl FnOnce(SocketAddr),
) -> End {
    // Cancel safe, both: waiting for a child can be taken up again, and a connection attempt leaves nothing.
    tokio::select! {
        status = child.wait() => return ended(status),
        () = stop.cancelled() => return stop_gently(child, grace).await,
        answers = until_it_answers(listens) => match answers {
            true => started(address),
            false => return End {
                exit_code: None,
                reason: format!("Task failed to start: nothing listened on its port after {} s", START_LIMIT.as_secs()),
            },
        },
    }
    tokio::select! {
        status = child.wait() => ended(status),
        () = stop.cancelled() => stop_gently(child, grace).await,
    }
}

/// True once a process that listens answers at its address; at once if it does not listen.
async fn until_it_answers(listens: Option<SocketAddr>) -> bool {
    let Some(address) = listens else { return true };
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        sleep(LOOK_AGAIN).await;
    }
    false
}

/// SIGTERM to the process, as a container's first process gets it; SIGKILL to all of its group after the grace.
async fn stop_gently(child: &mut Child, grace: Duration) -> End {
    timeout(SETTLE, child.wait()).await.ok();
    if let Some(pid) = child.id().and_then(pid) {
        kill_process(pid, Signal::TERM).ok();
    }
    let status = match timeout(grace, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            if let Some(id) = child.id() {
                kill_group(id);
            }
            child.wait().await
        }
    };
    End { reason: "Scaling activity initiated by deployment".to_owned(), ..ended(status) }
}

fn ended(status: io::Result<ExitStatus>) -> End {
    let exit_code = status.ok().and_then(exit_code);
    let reason = match exit_code {
        Some(126 | 127) => "CannotStartContainerError: the image's command cannot be run".to_owned(),
        Some(_) | None => "Essential container in task exited".to_owned(),
    };
    End { exit_code, reason }
}

/// A process that a signal ended has 128 and the signal's number, as containers report it.
fn exit_code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

fn failed_to_start(error: &io::Error) -> End {
    End { exit_code: None, reason: format!("CannotStartContainerError: {error}") }
}

fn kill_group(group: u32) {
    if let Some(group) = pid(group) {
        // An error means that nobody is left in it.
        kill_process_group(group, Signal::KILL).ok();
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}
