//! The modelled databases behind the schema crate's port.
//!
//! Called by the real controller. A database is found by the address that a secret gives, as in production; each process opens it
//! through a gate of its own. How a step is attempted is [`super::attempt`]'s.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_model::{
    Digest, ReleaseName,
    schema::{ChangePlan, FilePhase, SchemaObservation},
};
use tidegate_schema::{
    Attempt, Batch, Databases, Endpoint, Epoch, Failure, Job, Secret, TargetDatabase, Wanted,
};
use tokio::time::sleep;

use super::{
    attempt::{Call, Connection, LONGEST_IDLE, Refusal},
    backfill,
    build::{self, Next},
    gate::{Gate, Operation},
    hide,
    journal::key,
    model::Model,
    observe,
    plan::PlanFacts,
    steps,
    transaction::Transaction,
};

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
        let (Endpoint { host, port, database }, login) =
            secret.resolve(endpoint).map_err(|_| Failure::Secret)?;
        let model = self.models.get(&(host, port, database.clone())).cloned();
        let role = login.role().to_owned();
        let known = model.as_ref().and_then(|model| model.state().roles.get(&role).cloned());
        let password = known.map(|role| role.password).filter(|password| login.has_password(password));
        Ok(Arc::new(Connection { database, role, password, model, gate: Arc::clone(&self.gate) }))
    }
}

impl Connection {
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
        (self.role.clone(), self.database.clone())
    }

    fn claim<'a>(
        &'a self,
        release: &'a ReleaseName,
        ledger: &'a str,
        lease: u64,
    ) -> BoxFuture<'a, Result<Epoch, Failure>> {
        async move {
            let call = Call { operation: Operation::Claim, release: release.clone(), job: None, file: None };
            let facts = PlanFacts::new();
            let step = |transaction: &mut Transaction<'_>| steps::claim(transaction, release, ledger, lease);
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
