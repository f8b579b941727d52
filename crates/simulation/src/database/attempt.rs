//! One process's way to a modelled database: its connection, and one attempt of a step as a transaction.
//!
//! Called by the port. What waits here waits in tokio's time: for a lock as long as our own limit says, and for faults. Whatever
//! is held ends with the future that holds it, as a killed process's session does. Must not know what a step does.

use std::{sync::Arc, time::Duration};

use tidegate_model::{ChangeName, ReleaseName, schema::Blocker};
use tidegate_schema::{Attempt, Failure, Job};
use tokio::time::{Instant, sleep};

use super::{
    gate::{Answer, Gate, Operation, Verdict},
    model::Model,
    plan::PlanFacts,
    sessions::{Locks, Session},
    state::{Committed, Once},
    transaction::Transaction,
};

/// What the server allows of a transaction that stands still: the limit that our own connections set.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// One database as one process has opened it.
pub(super) struct Connection {
    /// The database's name.
    pub(super) database: String,
    /// As whom it was opened.
    pub(super) role: String,
    /// The password in the secret, if the server took it when this was opened.
    pub(super) password: Option<String>,
    /// None: there is no such server.
    pub(super) model: Option<Model>,
    pub(super) gate: Arc<dyn Gate>,
}

/// A session of ours that holds something.
struct Held {
    pub(super) model: Model,
    pid: i32,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.model.end_session(self.pid);
    }
}

/// Why a step was not taken.
pub(super) enum Refusal {
    Failed(Failure),
    Blocked(Vec<Blocker>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Refusal {
    /// As a step tells it that does not name who is in its way.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Blocked(_) => Failure::Lock,
        }
    }

    /// As a step tells it that does.
    pub(super) fn attempt<T>(self) -> Result<Attempt<T>, Failure> {
        match self {
            Self::Failed(failure) => Err(failure),
            Self::Blocked(blockers) => Ok(Attempt::Blocked(blockers)),
        }
    }
}

/// Who asks for what.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) release: ReleaseName,
    pub(super) job: Option<(ChangeName, i64)>,
    pub(super) file: Option<String>,
}

impl Call {
    pub(super) fn of(operation: Operation, job: &Job<'_>, file: Option<&str>) -> Self {
        Self {
            operation,
            release: job.release.clone(),
            job: Some((job.plan.change.clone(), job.epoch.number())),
            file: file.map(str::to_owned),
        }
    }
}

impl Connection {
    /// The server, if it answers and takes the password.
    pub(super) fn reach(&self) -> Result<&Model, Failure> {
        let model = self.model.as_ref().ok_or(Failure::Unreachable)?;
        let state = model.state();
        if !state.reachable {
            return Err(Failure::Unreachable);
        }
        let role = state.roles.get(&self.role).ok_or(Failure::Login)?;
        if self.password.as_ref() == Some(&role.password) { Ok(model) } else { Err(Failure::Login) }
    }

    /// Asks the gate; how long the process is to stand still inside its transaction, if it is to.
    pub(super) async fn begin(&self, operation: Operation) -> Result<Option<Duration>, Failure> {
        match self.gate.before(operation).await {
            Verdict::Pass => Ok(None),
            Verdict::Fail(failure) => Err(failure),
            Verdict::Freeze(lasts) => Ok(Some(lasts)),
        }
    }

    pub(super) async fn end(&self, operation: Operation) -> Result<(), Failure> {
        match self.gate.after(operation).await {
            Answer::Arrives => Ok(()),
            Answer::Lost => Err(Failure::Unreachable),
        }
    }

    /// Runs a step as a transaction, waiting for locks as long as our own limit says.
    pub(super) async fn transact<T>(
        &self,
        call: Call,
        facts: &PlanFacts,
        step: impl Fn(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Refusal> {
        let mut freeze = self.begin(call.operation).await?;
        let lock = self.reach()?.state().settings.limits.lock;
        let (deadline, mut seen, mut waiting) = (Instant::now() + lock, Vec::new(), None);
        loop {
            // Asked again after each wait: the server may be gone by then.
            let model = self.reach()?;
            let itself = waiting.as_ref().map(|held: &Held| held.pid);
            match self.once(model, (&call, facts), (freeze.is_none(), itself), &step) {
                Once::Failed(failure) => return Err(failure.into()),
                Once::InTheWay(blockers, fence) => {
                    seen = blockers;
                    waiting = waiting.or_else(|| Some(self.hold(model, fence, "active")));
                }
                Once::Free(value, locks) => match freeze.take() {
                    None => {
                        self.end(call.operation).await?;
                        return Ok(value);
                    }
                    Some(lasts) => self.stand_still(model, locks, lasts).await?,
                },
            }
            if !seen.is_empty() {
                if Instant::now() >= deadline {
                    return Err(Refusal::Blocked(seen));
                }
                sleep((lock / 4).max(Duration::from_millis(1))).await;
            }
        }
    }

    fn once<T>(
        &self,
        model: &Model,
        (call, facts): (&Call, &PlanFacts),
        (commit, itself): (bool, Option<i32>),
        step: impl Fn(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Once<T> {
        let now = model.now();
        let mut state = model.state();
        let (change, epoch) = match &call.job {
            Some((change, epoch)) => (Some(change.clone()), *epoch),
            None => {
                let journal = state.contents.journal.as_ref();
                let newest = journal.and_then(|journal| journal.fence.get(&call.release)).copied();
                (None, newest.unwrap_or(0) + 1)
            }
        };
        let Call { operation, release, file, .. } = call.clone();
        let committed = Committed { at: now, operation, release, change, file, epoch };
        state.once(facts, now, (commit.then_some(committed), itself), step)
    }

    /// Holds what a transaction has while the process stands still; the server ends its session if that lasts too long.
    async fn stand_still(&self, model: &Model, locks: Locks, lasts: Duration) -> Result<(), Failure> {
        let _held = self.hold(model, locks, "idle in transaction");
        sleep(lasts.min(LONGEST_IDLE)).await;
        if lasts < LONGEST_IDLE { Ok(()) } else { Err(Failure::Unreachable) }
    }

    /// A session of ours that holds something, until this is dropped: a process that is killed holds nothing.
    fn hold(&self, model: &Model, locks: Locks, state: &str) -> Held {
        let session = Session {
            role: self.role.clone(),
            application: tidegate_postgres::APPLICATION.to_owned(),
            state: state.to_owned(),
            since: model.now(),
            locks,
        };
        let pid = model.state().sessions.begin(session);
        Held { model: model.clone(), pid }
    }
}
