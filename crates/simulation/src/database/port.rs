//! The modelled databases behind the schema crate's port.
//!
//! Called by the real controller. A database is found by the address that a secret gives, as in production; each process opens it
//! through a gate of its own. What waits here waits in tokio's time: for a lock as long as our own limit says, and for faults.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_model::{
    Digest, ReleaseName,
    schema::{Blocker, ChangePlan, FilePhase, SchemaObservation},
};
use tidegate_schema::{
    Address, Attempt, Batch, Databases, Endpoint, Epoch, Failure, Job, Secret, TargetDatabase, Wanted,
};
use tokio::time::{Instant, sleep};

use super::{
    backfill,
    build::{self, Next},
    gate::{Answer, Gate, Operation, Verdict},
    hide,
    journal::key,
    model::Model,
    observe,
    plan::PlanFacts,
    sessions::{Locks, Session},
    state::{Committed, Once},
    steps,
    transaction::Transaction,
};

/// What the server allows of a transaction that stands still: the limit that our own connections set.
const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// The servers that one process can reach.
#[derive(Clone)]
pub struct Servers {
    models: BTreeMap<(String, u16, String), Model>,
    gate: Arc<dyn Gate>,
}

impl Servers {
    /// No server yet, behind a process's gate.
    pub fn new(gate: Arc<dyn Gate>) -> Self {
        Self { models: BTreeMap::new(), gate }
    }

    /// The same with a database at an address.
    #[must_use]
    pub fn with(mut self, host: &str, port: u16, database: &str, model: Model) -> Self {
        self.models.insert((host.to_owned(), port, database.to_owned()), model);
        self
    }
}

impl Databases for Servers {
    fn open(&self, secret: &Secret, endpoint: Option<&Endpoint>) -> Result<Arc<dyn TargetDatabase>, Failure> {
        let address = secret.address(endpoint)?;
        let at = (address.host.clone(), address.port, address.database.clone());
        let model = self.models.get(&at).cloned();
        let role = model.as_ref().and_then(|model| model.state().roles.get(&address.role).cloned());
        let password = role.map(|role| role.password).filter(|password| secret.has_password(password));
        Ok(Arc::new(Connection { address, password, model, gate: Arc::clone(&self.gate) }))
    }
}

/// One database as one process has opened it.
struct Connection {
    address: Address,
    /// The password in the secret, if the server took it when this was opened.
    password: Option<String>,
    /// None: there is no such server.
    model: Option<Model>,
    gate: Arc<dyn Gate>,
}

/// Why a step was not taken.
enum Refusal {
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
    fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Blocked(_) => Failure::Lock,
        }
    }

    /// As a step tells it that does.
    fn attempt<T>(self) -> Result<Attempt<T>, Failure> {
        match self {
            Self::Failed(failure) => Err(failure),
            Self::Blocked(blockers) => Ok(Attempt::Blocked(blockers)),
        }
    }
}

/// Who asks for what.
#[derive(Clone)]
struct Call {
    operation: Operation,
    release: ReleaseName,
    job: Option<(tidegate_model::ChangeName, i64)>,
    file: Option<String>,
}

impl Call {
    fn of(operation: Operation, job: &Job<'_>, file: Option<&str>) -> Self {
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
    fn reach(&self) -> Result<&Model, Failure> {
        let model = self.model.as_ref().ok_or(Failure::Unreachable)?;
        let state = model.state();
        if !state.reachable {
            return Err(Failure::Unreachable);
        }
        let role = state.roles.get(&self.address.role).ok_or(Failure::Login)?;
        if self.password.as_ref() == Some(&role.password) { Ok(model) } else { Err(Failure::Login) }
    }

    /// Asks the gate; how long the process is to stand still inside its transaction, if it is to.
    async fn begin(&self, operation: Operation) -> Result<Option<Duration>, Failure> {
        match self.gate.before(operation).await {
            Verdict::Pass => Ok(None),
            Verdict::Fail(failure) => Err(failure),
            Verdict::Freeze(lasts) => Ok(Some(lasts)),
        }
    }

    async fn end(&self, operation: Operation) -> Result<(), Failure> {
        match self.gate.after(operation).await {
            Answer::Arrives => Ok(()),
            Answer::Lost => Err(Failure::Unreachable),
        }
    }

    /// Runs a step as a transaction, waiting for locks as long as our own limit says.
    async fn transact<T>(
        &self,
        call: Call,
        facts: &PlanFacts,
        step: impl Fn(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Refusal> {
        let mut freeze = self.begin(call.operation).await?;
        let lock = self.reach()?.state().settings.limits.lock;
        let (deadline, mut seen) = (Instant::now() + lock, Vec::new());
        loop {
            // Asked again after each wait: the server may be gone by then.
            let model = self.reach()?;
            match self.once(model, &call, facts, freeze.is_none(), &step) {
                Once::Failed(failure) => return Err(failure.into()),
                Once::InTheWay(blockers) => seen = blockers,
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
        call: &Call,
        facts: &PlanFacts,
        commit: bool,
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
        state.once(facts, now, commit.then_some(committed), step)
    }

    /// Holds what a transaction has while the process stands still; the server ends its session if that lasts too long.
    async fn stand_still(&self, model: &Model, locks: Locks, lasts: Duration) -> Result<(), Failure> {
        let session = Session {
            role: self.address.role.clone(),
            application: tidegate_schema::connect::APPLICATION.to_owned(),
            state: "idle in transaction".to_owned(),
            since: model.now(),
            locks,
        };
        let pid = model.state().sessions.begin(session);
        sleep(lasts.min(LONGEST_IDLE)).await;
        model.state().sessions.end(pid);
        if lasts < LONGEST_IDLE { Ok(()) } else { Err(Failure::Unreachable) }
    }

    fn facts(&self, plan: &ChangePlan) -> Arc<PlanFacts> {
        self.model.as_ref().map(|model| model.plans().facts(plan)).unwrap_or_default()
    }

    async fn expand_file(&self, job: Job<'_>, name: &str) -> Result<Attempt<()>, Failure> {
        let facts = self.facts(job.plan);
        let builds = facts.get(name).and_then(|facts| facts.builds.clone());
        let builds = builds.filter(|_| job.plan.runner.is_none());
        if job.plan.files(FilePhase::Expand).all(|file| file.name != name) {
            return Err(Failure::NoSuchFile);
        }
        let call = Call::of(Operation::Expand, &job, Some(name));
        let Some(index) = builds else {
            let step = |transaction: &mut Transaction<'_>| steps::expand(transaction, &job, name);
            return match self.transact(call, &facts, step).await {
                Ok(()) => Ok(Attempt::Done(())),
                Err(refusal) => refusal.attempt(),
            };
        };
        let at = (key(&job), name.to_owned());
        if self.is_building(&at)? {
            return Ok(Attempt::Underway);
        }
        let step = |transaction: &mut Transaction<'_>| build::next(transaction, &job, name, &index);
        match self.transact(call, &facts, step).await.map_err(Refusal::failure)? {
            Next::Over => Ok(Attempt::Done(())),
            Next::Failed(state) => Err(Failure::Build(state)),
            Next::Begin(index) => {
                let model = self.reach()?;
                let now = model.now();
                model.state().begin_build(at, index, &facts, now);
                Ok(Attempt::Underway)
            }
        }
    }

    /// True while a session of ours is at a build; asked before the fence, as the real one asks the session's lock.
    fn is_building(&self, at: &(super::journal::Key, String)) -> Result<bool, Failure> {
        let model = self.reach()?;
        let now = model.now();
        let mut state = model.state();
        state.advance(now);
        Ok(state.builders.contains_key(at))
    }

    async fn see(
        &self,
        release: &ReleaseName,
        plan: &ChangePlan,
        wanted: Wanted,
    ) -> Result<SchemaObservation, Failure> {
        if let Some(lasts) = self.begin(Operation::Observe).await? {
            sleep(lasts.min(LONGEST_IDLE)).await;
        }
        let model = self.reach()?;
        let now = model.now();
        let seen = {
            let mut state = model.state();
            state.advance(now);
            observe::observe(&state, release, plan, wanted, now)
        };
        self.end(Operation::Observe).await?;
        Ok(seen)
    }
}

impl TargetDatabase for Connection {
    fn identity(&self) -> (String, String) {
        (self.address.role.clone(), self.address.database.clone())
    }

    fn claim<'a>(&'a self, release: &'a ReleaseName) -> BoxFuture<'a, Result<Epoch, Failure>> {
        async move {
            let call = Call { operation: Operation::Claim, release: release.clone(), job: None, file: None };
            let facts = PlanFacts::new();
            let step = |transaction: &mut Transaction<'_>| Ok(steps::claim(transaction, release));
            self.transact(call, &facts, step).await.map_err(Refusal::failure)
        }
        .boxed()
    }

    fn observe<'a>(
        &'a self,
        release: &'a ReleaseName,
        plan: &'a ChangePlan,
        wanted: Wanted,
    ) -> BoxFuture<'a, SchemaObservation> {
        async move {
            match self.see(release, plan, wanted).await {
                Ok(seen) => seen,
                Err(failure) => observe::unread(&failure),
            }
        }
        .boxed()
    }

    fn log_problem(&self) -> BoxFuture<'_, Result<Option<&'static str>, Failure>> {
        async move {
            self.begin(Operation::Log).await?;
            let problem = self.reach()?.state().settings.log_problem;
            self.end(Operation::Log).await?;
            Ok(problem)
        }
        .boxed()
    }

    fn expand<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        self.expand_file(job, file).boxed()
    }

    fn backfill<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<Batch>, Failure>> {
        async move {
            let facts = self.facts(job.plan);
            let pace = self.model.as_ref().map(|model| model.state().settings.pace).unwrap_or_default();
            let call = Call::of(Operation::Backfill, &job, Some(file));
            let step = |transaction: &mut Transaction<'_>| backfill::batch(transaction, &job, file, pace);
            match self.transact(call, &facts, step).await {
                Ok(batch) => Ok(Attempt::Done(batch)),
                Err(refusal) => refusal.attempt(),
            }
        }
        .boxed()
    }

    fn hide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        async move {
            let (call, facts) = (Call::of(Operation::Hide, &job, None), self.facts(job.plan));
            let step = |transaction: &mut Transaction<'_>| hide::hide(transaction, &job);
            self.transact(call, &facts, step).await.map_err(Refusal::failure)?;
            Ok(Attempt::Done(()))
        }
        .boxed()
    }

    fn unhide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        async move {
            let (call, facts) = (Call::of(Operation::Unhide, &job, None), self.facts(job.plan));
            let step = |transaction: &mut Transaction<'_>| hide::unhide(transaction, &job);
            self.transact(call, &facts, step).await.map_err(Refusal::failure)?;
            Ok(Attempt::Done(()))
        }
        .boxed()
    }

    fn purge<'a>(
        &'a self,
        job: Job<'a>,
        namers: &'a [Digest],
    ) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        async move {
            let (call, facts) = (Call::of(Operation::Purge, &job, None), self.facts(job.plan));
            let step = |transaction: &mut Transaction<'_>| steps::purge(transaction, &job, namers);
            match self.transact(call, &facts, step).await {
                Ok(()) => Ok(Attempt::Done(())),
                Err(refusal) => refusal.attempt(),
            }
        }
        .boxed()
    }
}
