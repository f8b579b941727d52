//! Tasks as child processes: an image is a command of the catalogue, a container is a process group.
//!
//! Called by the live loop with the tasks that the world wants; what became of them is taken from [`Tasks::reports`]. Must
//! not know the world. Every process dies with the sandbox, also when that is killed.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::live::LiveTask;

mod catalogue;
mod process;
mod watchdog;

pub use catalogue::{Catalogue, CatalogueError, Program};
use process::Launch;
use watchdog::Watchdog;

/// How tasks are run.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// Images and commands.
    pub catalogue: Catalogue,
    /// Where the tasks' logs go, one file each.
    pub logs: PathBuf,
    /// What tasks find in AWS_ENDPOINT_URL.
    pub endpoint: String,
    /// Time between SIGTERM and SIGKILL; ECS's default stopTimeout is 30 seconds.
    pub grace: Duration,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskReport {
    /// Its process answers at this address.
    Started {
        /// The task.
        id: String,
        /// Where it listens.
        address: SocketAddr,
    },
    /// Its process ended, or there never was one.
    Stopped {
        /// The task.
        id: String,
        /// The process's exit code; none if it never ran.
        exit_code: Option<i32>,
        /// The reason, in ECS's words.
        reason: String,
    },
}

/// The running tasks.
pub struct Tasks {
    settings: Arc<TaskSettings>,
    watchdog: Watchdog,
    running: BTreeMap<String, Running>,
    reports: Reports,
}

type Reports = Arc<Mutex<Vec<TaskReport>>>;

struct Running {
    stop: CancellationToken,
    life: JoinHandle<()>,
}

impl Tasks {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// If the folder for logs cannot be made or the watchdog cannot be started.
    pub fn new(settings: TaskSettings) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.logs)?;
        Ok(Self {
            settings: Arc::new(settings),
            watchdog: Watchdog::start()?,
            running: BTreeMap::new(),
            reports: Reports::default(),
        })
    }

    /// Starts what is wanted and not there, stops what must stop or is wanted no more.
    pub fn match_world(&mut self, wanted: &[LiveTask]) {
        for task in wanted {
            match (self.running.get(&task.id), task.stop_requested) {
                (Some(running), true) => running.stop.cancel(),
                (Some(_), false) => {}
                (None, true) => self.report(TaskReport::Stopped {
                    id: task.id.clone(),
                    exit_code: None,
                    reason: "Scaling activity initiated by deployment".to_owned(),
                }),
                (None, false) => self.start(task),
            }
        }
        self.running.retain(|id, running| {
            let kept = wanted.iter().any(|task| task.id == *id);
            if !kept {
                running.stop.cancel();
            }
            kept || !running.life.is_finished()
        });
    }

    /// What became of tasks since the last time.
    pub fn reports(&self) -> Vec<TaskReport> {
        std::mem::take(&mut self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops every task and waits for it.
    pub async fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        for (id, running) in std::mem::take(&mut self.running) {
            if let Err(error) = running.life.await {
                tracing::error!(task = %id, %error, "a task's keeper failed");
            }
        }
    }

    fn report(&self, report: TaskReport) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    fn start(&mut self, task: &LiveTask) {
        let Some(program) = self.settings.catalogue.images.get(&task.image).cloned() else {
            self.report(TaskReport::Stopped {
                id: task.id.clone(),
                exit_code: None,
                reason: format!(
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): {}: not found",
                    task.image
                ),
            });
            return;
        };
        let stop = CancellationToken::new();
        let life = tokio::spawn(keep(
            task.clone(),
            program,
            self.settings.clone(),
            self.watchdog.clone(),
            stop.clone(),
            self.reports.clone(),
        ));
        self.running.insert(task.id.clone(), Running { stop, life });
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
    }
}

async fn keep(
    task: LiveTask,
    program: Program,
    settings: Arc<TaskSettings>,
    watchdog: Watchdog,
    stop: CancellationToken,
    reports: Reports,
) {
    let report = |report| reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    let launch = Launch {
        task: &task,
        program: &program,
        folder: settings.catalogue.folder.as_deref(),
        log: settings.logs.join(format!("{}.log", short(&task.id))),
        endpoint: &settings.endpoint,
        grace: settings.grace,
    };
    let started = |address| report(TaskReport::Started { id: task.id.clone(), address });
    let end = process::run(&launch, &watchdog, &stop, started).await;
    report(TaskReport::Stopped { id: task.id.clone(), exit_code: end.exit_code, reason: end.reason });
}

/// The last part of a task's ARN.
fn short(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
