//! The way from a release to its target database and its migration files.
//!
//! Called in each pass whose planner asks for the schema, and by the executor for schema steps. It joins the secret that
//! AWS keeps with the database crate: which server a secret may be sent to is decided here, and nowhere in the spec.
//! Connections are kept between passes; a secret is read again after [`KEPT`] or once the server refuses it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tidegate_aws::Aws;
use tidegate_model::{
    Fact, ReleaseName, Why,
    decision::{Outcome, SchemaStep, Step},
    ledger::Resolution,
    observation::{Needs, Observation, SchemaNeeds},
    schema::{Access, ChangePlan, SchemaObservation},
    spec::{self, DatabaseSpec, Problem, Runner, Source},
};
use tidegate_schema::{
    Attempt, Databases, Endpoint, Epoch, Failure, Job, RawFile, Secret, TargetDatabase, Wanted,
};
use tokio::{runtime::RuntimeFlavor, sync::Mutex, time::Instant};

use crate::{
    clock::Clock,
    executor::{Authority, Sent, done},
    log_watch::LogWatches,
};

/// How long a connection's secret and binding are believed, in real time.
const KEPT: Duration = Duration::from_secs(300);

/// What the daemon's configuration allows of migration files.
#[derive(Clone, Debug, Default)]
pub struct SchemaSettings {
    /// Folders under which every release's migration files may lie.
    pub roots: Vec<PathBuf>,
    /// Folders for single releases, instead of the above.
    pub release_roots: BTreeMap<ReleaseName, Vec<PathBuf>>,
}

/// The way to target databases and migration files. Cheap to clone.
#[derive(Clone)]
pub struct SchemaAccess(Arc<Inner>);

struct Inner {
    settings: SchemaSettings,
    databases: Arc<dyn Databases>,
    connections: Mutex<BTreeMap<(String, String), Connection>>,
    /// Claims of the fence in a database for one release, each with the epoch of the lease that it was made under.
    claims: Mutex<BTreeMap<(String, ReleaseName), (u64, Epoch)>>,
    logs: LogWatches,
}

/// A database that was opened, and when its secret was read.
struct Connection {
    database: Arc<dyn TargetDatabase>,
    opened: Instant,
}

/// Why a database cannot be opened.
enum Closed {
    /// It must not or cannot be used.
    Access(Access),
    /// It is not known whether it may.
    Unknown(Why),
}

impl SchemaAccess {
    /// Access under the given settings; nothing is opened yet. `servers_clock` is what servers write into their logs.
    pub fn new(
        settings: SchemaSettings,
        databases: Arc<dyn Databases>,
        servers_clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            settings,
            databases,
            connections: Mutex::default(),
            claims: Mutex::default(),
            logs: LogWatches::new(servers_clock),
        }))
    }

    /// Reads what the planner asked for of migration files and database into the observation.
    pub(crate) async fn look(
        &self,
        aws: &Aws,
        release: &ReleaseName,
        needs: &Needs,
        observation: &mut Observation,
    ) {
        if needs.plan {
            observation.plan = self.plan(aws, release, observation).await;
        }
        if let Some(needs) = &needs.schema {
            observation.schema = self.observe(aws, release, needs).await;
        }
    }

    /// Sends a schema step. The journal in the database shares its transaction, so it tells what became of a step whose
    /// answer was lost.
    pub(crate) async fn perform(&self, aws: &Aws, step: &Step, by: Authority<'_>) -> Sent {
        let (Step::Expand(schema)
        | Step::Backfill(schema)
        | Step::Hide(schema)
        | Step::Unhide(schema)
        | Step::Purge(schema)) = step
        else {
            return refused("NotMine");
        };
        if schema.service_secrets.iter().any(|secret| schema.database.secret.starts_with(secret.as_str())) {
            return refused("SecretShared");
        }
        let database = match self.open(aws, &schema.database).await {
            Ok(database) => database,
            Err(Closed::Access(access)) => return refused(access_code(access)),
            Err(Closed::Unknown(_)) => return refused("SecretUnread"),
        };
        match self.attempt(&*database, step, schema, by).await {
            Ok(sent) => sent,
            Err(failure) => self.failed(schema, &failure).await,
        }
    }

    async fn attempt(
        &self,
        database: &dyn TargetDatabase,
        step: &Step,
        schema: &SchemaStep,
        by: Authority<'_>,
    ) -> Result<Sent, Failure> {
        let epoch = self.claim(database, schema, by).await?;
        let job = Job { release: &schema.change.release, plan: &schema.plan, marker: &schema.marker, epoch };
        let outcome = match step {
            Step::Expand(_) => came_to(database.expand(job, &schema.file).await?, |()| Outcome::Expanded),
            Step::Backfill(_) => came_to(database.backfill(job, &schema.file).await?, |batch| {
                Outcome::Backfilled { rows: batch.rows }
            }),
            Step::Hide(_) => came_to(database.hide(job).await?, |()| Outcome::Hidden),
            Step::Unhide(_) => came_to(database.unhide(job).await?, |()| Outcome::Unhidden),
            Step::Purge(_) => came_to(database.purge(job, &schema.namers).await?, |()| Outcome::Purged),
            Step::RegisterTaskDefinition(_)
            | Step::CreateDeploymentConfig { .. }
            | Step::CreateDeployment(_)
            | Step::ContinueTraffic { .. }
            | Step::ContinueTermination { .. }
            | Step::StopDeployment { .. }
            | Step::Verify(_)
            | Step::RunTask(_)
            | Step::CreateSnapshot { .. } => refused("NotMine"),
        };
        Ok(outcome)
    }

    /// This process's claim for the change's release, made before its first step in each epoch in which it leads.
    async fn claim(
        &self,
        database: &dyn TargetDatabase,
        schema: &SchemaStep,
        by: Authority<'_>,
    ) -> Result<Epoch, Failure> {
        let key = claim_key(schema);
        let known = self.0.claims.lock().await.get(&key).copied();
        match known {
            Some((lease, epoch)) if lease == by.epoch => Ok(epoch),
            Some(_) | None => {
                let epoch = database.claim(&schema.change.release, by.ledger, by.epoch).await?;
                self.0.claims.lock().await.insert(key, (by.epoch, epoch));
                Ok(epoch)
            }
        }
    }

    async fn failed(&self, schema: &SchemaStep, failure: &Failure) -> Sent {
        tracing::info!(failure = %failure, "the database did not take a step");
        match failure {
            Failure::Fenced { .. } => {
                tracing::warn!("another process claimed this release's database");
                // Claimed again by the next step: the database refuses that if the other one is newer.
                self.0.claims.lock().await.remove(&claim_key(schema));
            }
            Failure::Login | Failure::Secret => self.forget(&schema.database).await,
            Failure::Unreachable
            | Failure::Tls
            | Failure::Privilege
            | Failure::Lock
            | Failure::Timeout
            | Failure::Dependents
            | Failure::Sql(_)
            | Failure::Malformed
            | Failure::FutureFormat
            | Failure::Changed(_)
            | Failure::NoSuchFile
            | Failure::Unexpected { .. }
            | Failure::OtherChange(_)
            | Failure::TooEarly
            | Failure::Build(_)
            | Failure::PassedOn(_)
            | Failure::NotInStep { .. }
            | Failure::Disagrees(_)
            | Failure::Rows { .. }
            | Failure::Key => {}
        }
        match failure {
            // The connection may have been lost behind the commit.
            Failure::Unreachable | Failure::Malformed => Sent::InDoubt { why: failure.to_string() },
            Failure::Sql(state) => refused(state.as_str()),
            Failure::Build(state) => refused(state),
            Failure::Secret => refused("Secret"),
            Failure::Tls => refused("Tls"),
            Failure::Login => refused("Login"),
            Failure::Privilege => refused("Privilege"),
            Failure::Lock => refused("Lock"),
            Failure::Timeout => refused("Timeout"),
            Failure::Dependents => refused("Dependents"),
            Failure::Fenced { .. } => refused("Fenced"),
            Failure::FutureFormat => refused("FutureFormat"),
            Failure::Changed(_) => refused("Changed"),
            Failure::NoSuchFile => refused("NoSuchFile"),
            Failure::Unexpected { .. } => refused("Unexpected"),
            Failure::OtherChange(_) => refused("OtherChange"),
            Failure::TooEarly => refused("TooEarly"),
            Failure::PassedOn(_) => refused("PassedOn"),
            // Which column or row it is, and why, is all that a team needs to mend it.
            Failure::NotInStep { .. } | Failure::Rows { .. } | Failure::Disagrees(_) => {
                refused(&failure.to_string())
            }
            Failure::Key => refused("Key"),
        }
    }

    async fn observe(&self, aws: &Aws, release: &ReleaseName, needs: &SchemaNeeds) -> SchemaObservation {
        let database = match self.open(aws, &needs.database).await {
            Ok(database) => database,
            Err(Closed::Access(access)) => {
                return SchemaObservation::unread(Fact::Known(access), Why::Denied);
            }
            Err(Closed::Unknown(why)) => return SchemaObservation::unread(Fact::Unknown(why), why),
        };
        let wanted = Wanted {
            blockers: needs.blockers,
            check: needs.check,
            evidence: needs.evidence,
            certificate: needs.certificate,
        };
        let mut seen = database.observe(release, &needs.plan, wanted).await;
        if seen.access == Fact::Known(Access::Denied) {
            // The secret may have been rotated.
            self.forget(&needs.database).await;
        }
        if let (Some(log), Some(journal)) = (needs.log, seen.journal.known()) {
            let hidden = journal.hidden.as_ref();
            seen.log = self.0.logs.read(aws, release, needs, log, (&*database, hidden)).await;
        }
        if needs.certificate && seen.access == Fact::Known(Access::Granted) {
            seen.failures = self.0.logs.failures(aws, release, needs, &*database).await;
        }
        seen
    }

    /// Opens the database of a spec, if its secret may be sent there.
    async fn open(&self, aws: &Aws, spec: &DatabaseSpec) -> Result<Arc<dyn TargetDatabase>, Closed> {
        let key = (spec.secret.clone(), spec.instance.clone());
        if let Some(connection) = self.0.connections.lock().await.get(&key)
            && connection.opened.elapsed() < KEPT
        {
            return Ok(Arc::clone(&connection.database));
        }
        // Read without the lock: one slow database must not keep the others waiting.
        let database = self.opened(aws, spec).await?;
        let connection = Connection { database: Arc::clone(&database), opened: Instant::now() };
        self.0.connections.lock().await.insert(key, connection);
        Ok(database)
    }

    async fn opened(&self, aws: &Aws, spec: &DatabaseSpec) -> Result<Arc<dyn TargetDatabase>, Closed> {
        let binding = match aws.instance_binding(&spec.secret, &spec.instance).await {
            Fact::Known(binding) => binding,
            Fact::Absent => return Err(Closed::Access(Access::SecretNotBound)),
            Fact::Unknown(why) => return Err(Closed::Unknown(why)),
        };
        if binding.aurora {
            return Err(Closed::Access(Access::Aurora));
        }
        let value = aws.secret(&spec.secret).await.map_err(|error| Closed::Unknown(error.why()))?;
        let secret = Secret::new(value.expose().to_owned());
        // Only an instance that is proven to belong to the secret may say where it is sent.
        let endpoint = binding.endpoint.filter(|_| binding.bound);
        if secret.host().is_none() && endpoint.is_none() {
            return Err(Closed::Access(Access::SecretNotBound));
        }
        // A database name is never guessed: the server would take an empty one as the role's own name.
        if binding.database.is_none() && !names_database(value.expose()) {
            return Err(Closed::Access(Access::Denied));
        }
        let database = binding.database.unwrap_or_default();
        let endpoint = endpoint.map(|(host, port)| Endpoint { host, port, database });
        self.0
            .databases
            .open(&secret, endpoint.as_ref())
            .map_err(|failure| failure.access().map_or(Closed::Unknown(failure.why()), Closed::Access))
    }

    async fn forget(&self, spec: &DatabaseSpec) {
        let key = (spec.secret.clone(), spec.instance.clone());
        self.0.connections.lock().await.remove(&key);
    }

    /// Reads the migration source of the spec that was just read. Only a valid one is asked for by the planner.
    async fn plan(
        &self,
        aws: &Aws,
        release: &ReleaseName,
        observation: &Observation,
    ) -> Fact<Result<ChangePlan, Vec<Problem>>> {
        let Some(Ok(spec)) = observation.spec.known().map(|read| spec::read(&read.text)) else {
            return Fact::default();
        };
        let Some(schema) = spec.schema else { return Fact::default() };
        let files = match &schema.source {
            None => Some(Ok(Vec::new())),
            Some(Source::Folder(folder)) => self.folder(release, folder.clone()).await,
            Some(Source::Ssm) => match aws.schema_files(release).await {
                Fact::Known(files) => Some(tidegate_schema::source::in_memory(files)),
                Fact::Absent => Some(tidegate_schema::source::in_memory([])),
                Fact::Unknown(why) => return Fact::Unknown(why),
            },
        };
        let parsed = match files {
            Some(Ok(files)) => parsed(schema, files).await,
            Some(Err(problems)) => Some(Err(problems)),
            None => None,
        };
        parsed.map_or(Fact::Unknown(Why::Failed), Fact::Known)
    }

    async fn folder(
        &self,
        release: &ReleaseName,
        folder: String,
    ) -> Option<Result<Vec<RawFile>, Vec<Problem>>> {
        let settings = &self.0.settings;
        let roots = settings.release_roots.get(release).unwrap_or(&settings.roots).clone();
        blocking(move || tidegate_schema::source::read_folder(&folder, &roots)).await
    }
}

async fn parsed(schema: spec::SchemaSpec, files: Vec<RawFile>) -> Option<Result<ChangePlan, Vec<Problem>>> {
    blocking(move || match &schema.runner {
        Some(Runner::Task(runner)) => {
            tidegate_schema::sql::plan_of_runner(&schema.change, &schema.database, runner, files)
        }
        None => tidegate_schema::sql::plan(&schema.change, &schema.database, files),
    })
    .await
}

/// Runs work that would hold a runtime thread; `None` if it panicked.
/// On a runtime of one thread nothing else could run meanwhile, and so it is done at once.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let runtime = tokio::runtime::Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Some(work());
    }
    runtime.spawn_blocking(work).await.ok()
}

/// An attempt that was blocked changed nothing; who was in the way is observed before the next one.
fn came_to<T>(attempt: Attempt<T>, outcome: impl FnOnce(T) -> Outcome) -> Sent {
    match attempt {
        Attempt::Done(value) => done(outcome(value)),
        Attempt::Blocked(_) => refused("Blocked"),
        // What was begun is told by the journal in the database; the step itself was taken.
        Attempt::Underway => done(Outcome::Accepted),
    }
}

fn refused(code: &str) -> Sent {
    Sent::Resolved(Resolution::Refused { code: code.to_owned() })
}

fn access_code(access: Access) -> &'static str {
    match access {
        Access::Granted => "Granted",
        Access::SecretNotBound => "SecretNotBound",
        Access::SecretShared => "SecretShared",
        Access::Unreachable => "Unreachable",
        Access::Denied => "Denied",
        Access::TooOld => "TooOld",
        Access::Aurora => "Aurora",
    }
}

fn claim_key(schema: &SchemaStep) -> (String, ReleaseName) {
    (schema.database.secret.clone(), schema.change.release.clone())
}

/// True if a secret's JSON names the database.
fn names_database(secret: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        dbname: Option<String>,
    }
    serde_json::from_str::<Named>(secret).is_ok_and(|named| named.dbname.is_some_and(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_a_secret_that_has_one() {
        assert!(names_database(r#"{"username":"u","password":"p","dbname":"shop"}"#));
        for secret in [r#"{"username":"u","password":"p"}"#, r#"{"dbname":""}"#, r#"{"dbname":1}"#, "shop"] {
            assert!(!names_database(secret), "{secret}");
        }
    }
}
