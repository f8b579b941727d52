//! The handle of a modelled database: how a simulation makes one, lets time pass in it, breaks it, and has a hand in it.
//!
//! The daemon never sees this: it comes in through [`super::port`]. What oracles read is in [`super::truth`].

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tidegate_controller::Clock;
use tidegate_model::schema::{Object, TableName};
use tidegate_sandbox::world::World;
use tidegate_schema::Failure;

use super::{
    catalog::{Catalog, Dependent},
    plan::Plans,
    roles,
    sessions::{Locks, Session},
    state::{Backup, Settings, Setup, State},
    traffic::{self, Misfit, Statement},
};

/// A modelled target database. Cheap to clone, and then shared.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    plans: Plans,
    state: Mutex<State>,
}

impl Model {
    /// A server with a database. Its clock is handed in; plans may be shared between runs.
    pub fn new(setup: Setup, clock: Arc<dyn Clock>, plans: Plans) -> Self {
        let state = Mutex::new(State::new(setup, clock.now()));
        Self(Arc::new(Inner { clock, plans, state }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock only means that a test failed elsewhere.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plans(&self) -> &Plans {
        &self.0.plans
    }

    /// The server's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Lets everything happen that is due by now: the application's calls, and builds that end. Steps do this by themselves
    /// before they look, so it is only needed where nothing else asks.
    pub fn advance(&self, now: Timestamp) {
        self.state().advance(now);
    }

    /// Which versions of the application have running tasks from now on.
    pub fn set_running(&self, versions: &[&str]) {
        let now = self.now();
        let mut state = self.state();
        state.advance(now);
        state.traffic.set_running(versions.iter().copied());
    }

    /// Runs a statement so many times in a role, as a person or a job does.
    ///
    /// # Errors
    /// [`Misfit`] if the server refuses it, which is in its log then.
    pub fn run(&self, role: &str, statement: &Statement, calls: u64) -> Result<(), Misfit> {
        let now = self.now();
        traffic::run(&mut self.state(), role, statement, calls, now)
    }

    /// Hands what the server logged on to an instance of the sandbox's world. To be called before the log may be read.
    pub fn deliver_log(&self, world: &mut World, instance: &str) {
        self.state().log.deliver(world, instance);
    }

    /// Takes what the server logged and was not handed on yet, for whoever has no world: messages and when they were written.
    pub fn take_log(&self) -> Vec<(Timestamp, String)> {
        self.state().log.take()
    }

    /// A session begins a transaction that holds locks, until it is ended. Answers its process id.
    pub fn begin_session(&self, role: &str, application: &str, locks: Locks) -> i32 {
        let since = self.now();
        let (role, application) = (role.to_owned(), application.to_owned());
        let state = "idle in transaction".to_owned();
        self.state().sessions.begin(Session { role, application, state, since, locks })
    }

    /// Ends a session.
    pub fn end_session(&self, pid: i32) {
        self.state().sessions.end(pid);
    }

    /// Changes a setting of the server.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state().settings);
    }

    /// A hand changes the catalog, beside every journal.
    pub fn by_hand<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        change(&mut self.state().contents.catalog)
    }

    /// A hand makes an object in our role's name.
    ///
    /// # Errors
    /// As the server would answer.
    pub fn create_by_hand(&self, object: &Object) -> Result<(), Failure> {
        let mut state = self.state();
        let ours = state.ours.clone();
        state.contents.catalog.add(object, &ours)
    }

    /// Something depends on an object from now on.
    pub fn depend(&self, on: &Object, dependent: Dependent) {
        self.by_hand(|catalog| catalog.dependents.entry(on.clone()).or_default().insert(dependent));
    }

    /// A hand grants a role all of a table.
    pub fn grant(&self, table: &TableName, role: &str) {
        self.by_hand(|catalog| roles::grant(catalog, table, role));
    }

    /// A hand takes everything on a table from a role.
    pub fn revoke(&self, table: &TableName, role: &str) {
        self.by_hand(|catalog| roles::revoke(catalog, table, role));
    }

    /// A role's password is another one from now on.
    pub fn set_password(&self, role: &str, password: &str) {
        if let Some(role) = self.state().roles.get_mut(role) {
            password.clone_into(&mut role.password);
        }
    }

    /// The statistics cannot tell anything, and why; or they can again.
    pub fn set_statistics_missing(&self, why: Option<&str>) {
        self.state().statistics.missing = why.map(str::to_owned);
    }

    /// Somebody resets the statistics.
    pub fn reset_statistics(&self) {
        let now = self.now();
        self.state().statistics.forget(now);
    }

    /// The statistics were full and forgot entries.
    pub fn deallocate_statistics(&self) {
        self.state().statistics.dealloc += 1;
    }

    /// Processes of ours are killed: sessions that built an index end, and leave one that is not valid. False if there were none.
    pub fn kill_builds(&self) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.advance(now);
        !std::mem::take(&mut state.builders).is_empty()
    }

    /// Whether anybody can connect. A server that cannot be reached serves no traffic either.
    pub fn set_reachable(&self, reachable: bool) {
        let now = self.now();
        let mut state = self.state();
        state.advance(now);
        state.reachable = reachable;
    }

    /// A failover to the standby: every session ends, what was committed is there, and what was in memory is not. Whether
    /// anybody can connect meanwhile is [`Self::set_reachable`].
    pub fn fail_over(&self) {
        let now = self.now();
        let mut state = self.state();
        state.advance(now);
        state.restart(now);
    }

    /// What is in the database now, as a snapshot has it.
    pub fn backup(&self) -> Backup {
        Backup(self.state().contents.clone())
    }

    /// The database is restored from a backup: data, rights and our journal are as they were then.
    pub fn restore(&self, backup: &Backup) {
        let now = self.now();
        let mut state = self.state();
        state.contents = backup.0.clone();
        state.restart(now);
    }

    /// Every version of the application that is known, by name, whether it runs or not.
    pub fn versions(&self) -> BTreeSet<String> {
        self.state().traffic.versions.keys().cloned().collect()
    }
}
