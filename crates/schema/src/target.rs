//! A target database as the controller uses it: one door for real servers and for a model of one.
//!
//! Called by the controller's schema access. [`Database`] is the real thing; the simulation has a model that is held against
//! it by replaying the same changes on both. Nothing here decides, and every call has its own time limits.

use std::{path::PathBuf, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_model::{
    Digest, ReleaseName,
    schema::{ChangePlan, SchemaObservation},
};

use crate::{
    backfill::Batch,
    connect::{Database, Endpoint, Limits, Secret},
    failure::Failure,
    journal::Epoch,
    observe::Wanted,
    run::{Attempt, Job},
};

/// Opens target databases.
pub trait Databases: Send + Sync {
    /// Prepares the way to one; nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure::Secret`] if the secret does not name all that is needed.
    fn open(&self, secret: &Secret, endpoint: Option<&Endpoint>) -> Result<Arc<dyn TargetDatabase>, Failure>;
}

/// What is asked of a target database. Each method is [`Database`]'s of the same name.
pub trait TargetDatabase: Send + Sync {
    /// Our role and the database's name, as the server's log writes them.
    fn identity(&self) -> (String, String);

    /// See [`Database::claim`].
    fn claim<'a>(
        &'a self,
        release: &'a ReleaseName,
        ledger: &'a str,
        lease: u64,
    ) -> BoxFuture<'a, Result<Epoch, Failure>>;

    /// See [`Database::observe`].
    fn observe<'a>(
        &'a self,
        release: &'a ReleaseName,
        plan: &'a ChangePlan,
        wanted: Wanted,
    ) -> BoxFuture<'a, SchemaObservation>;

    /// See [`Database::log_problem`].
    fn log_problem(&self) -> BoxFuture<'_, Result<Option<&'static str>, Failure>>;

    /// See [`Database::expand`].
    fn expand<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<()>, Failure>>;

    /// See [`Database::backfill`].
    fn backfill<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<Batch>, Failure>>;

    /// See [`Database::hide`].
    fn hide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>>;

    /// See [`Database::unhide`].
    fn unhide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>>;

    /// See [`Database::purge`].
    fn purge<'a>(&'a self, job: Job<'a>, namers: &'a [Digest])
    -> BoxFuture<'a, Result<Attempt<()>, Failure>>;
}

/// Real PostgreSQL servers.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// PEM file of certificate authorities for servers that are not on this machine.
    pub ca_bundle: Option<PathBuf>,
    /// Time limits of statements.
    pub limits: Limits,
}

impl Databases for Servers {
    fn open(&self, secret: &Secret, endpoint: Option<&Endpoint>) -> Result<Arc<dyn TargetDatabase>, Failure> {
        let database = Database::open(secret, endpoint, self.ca_bundle.as_deref(), self.limits)?;
        Ok(Arc::new(database))
    }
}

impl TargetDatabase for Database {
    fn identity(&self) -> (String, String) {
        self.identity()
    }

    fn claim<'a>(
        &'a self,
        release: &'a ReleaseName,
        ledger: &'a str,
        lease: u64,
    ) -> BoxFuture<'a, Result<Epoch, Failure>> {
        self.claim(release, ledger, lease).boxed()
    }

    fn observe<'a>(
        &'a self,
        release: &'a ReleaseName,
        plan: &'a ChangePlan,
        wanted: Wanted,
    ) -> BoxFuture<'a, SchemaObservation> {
        self.observe(release, plan, wanted).boxed()
    }

    fn log_problem(&self) -> BoxFuture<'_, Result<Option<&'static str>, Failure>> {
        self.log_problem().boxed()
    }

    fn expand<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        self.expand(job, file).boxed()
    }

    fn backfill<'a>(&'a self, job: Job<'a>, file: &'a str) -> BoxFuture<'a, Result<Attempt<Batch>, Failure>> {
        self.backfill(job, file).boxed()
    }

    fn hide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        self.hide(job).boxed()
    }

    fn unhide<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        self.unhide(job).boxed()
    }

    fn purge<'a>(
        &'a self,
        job: Job<'a>,
        namers: &'a [Digest],
    ) -> BoxFuture<'a, Result<Attempt<()>, Failure>> {
        self.purge(job, namers).boxed()
    }
}
