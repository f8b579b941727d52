//! Database instances and their snapshots.
//!
//! Source: the RDS model's texts. An instance is `backing-up` while a snapshot of it is made; a snapshot shows its progress
//! and becomes `available` after a while; a restore is always a new instance with an endpoint of its own. In live mode the
//! bytes are real: nothing is available before the live half has reported it.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{
    World,
    live::{LiveDatabase, LiveSnapshot},
    secrets::CURRENT,
};

mod log;
mod mishap;

pub(crate) use log::{KeptLog, LogFile};
pub use mishap::SnapshotMishap;

/// The service's state. Identifiers are lower case, as RDS stores them.
#[derive(Clone, Debug, Default)]
pub struct Rds {
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// Blue/green deployments that are under way: name, and ARN of the source.
    pub(crate) blue_green: Vec<(String, String)>,
    /// Manual snapshots that the account may have, if it is not as many as every account may.
    pub(crate) snapshot_quota: Option<usize>,
}

/// An instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub id: String,
    pub arn: String,
    pub resource_id: String,
    pub engine: String,
    pub engine_version: String,
    pub cluster: Option<String>,
    pub status: InstanceStatus,
    pub username: String,
    pub password: Password,
    pub database: Option<String>,
    /// Absent while the instance is being created.
    pub endpoint: Option<(String, u16)>,
    /// ARN of the secret that RDS manages for the master user.
    pub master_secret: Option<String>,
    pub tags: Vec<(String, String)>,
    pub groups: Groups,
    pub created: Timestamp,
    /// The copy it begins from, in live mode.
    pub from_copy: Option<PathBuf>,
    /// True if it came out of a snapshot.
    pub restored: bool,
    /// Connections as the live half last counted them.
    pub connections: Option<u32>,
    /// Where its server writes its log, as the live half last said.
    pub log_folder: Option<PathBuf>,
    /// Log files of a server that is modelled, by name.
    pub kept_logs: BTreeMap<String, KeptLog>,
}

/// The groups that decide how an instance is reached and set up. A restore takes the account's defaults unless it is told
/// others, whatever the instance had whose snapshot it is (RDS's documentation of restoring).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Its subnet group.
    pub subnet: String,
    /// Its security groups.
    pub security: Vec<String>,
    /// Its parameter group.
    pub parameter: String,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
}

impl Groups {
    /// The account's defaults for an engine version.
    pub fn default_for(engine_version: &str) -> Self {
        let major = engine_version.split('.').next().unwrap_or(engine_version);
        Self {
            subnet: "default".to_owned(),
            security: vec!["sg-0a1b2c3d4e5f60718".to_owned()],
            parameter: format!("default.postgres{major}"),
            multi_az: false,
        }
    }
}

/// A password; not even `Debug` shows it.
#[derive(Clone)]
pub(crate) struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceStatus {
    Creating,
    Available,
    BackingUp,
}

impl InstanceStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::BackingUp => "backing-up",
        }
    }
}

/// A manual snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub id: String,
    pub arn: String,
    pub instance: String,
    pub resource_id: String,
    pub engine: String,
    pub engine_version: String,
    pub username: String,
    pub password: Password,
    pub database: Option<String>,
    pub port: u16,
    pub instance_created: Timestamp,
    pub status: SnapshotStatus,
    pub created: Timestamp,
    /// When the modelled progress reaches its end.
    pub progressed: Timestamp,
    pub copy: Option<PathBuf>,
    pub tags: Vec<(String, String)>,
}

/// Status of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotStatus {
    Creating,
    Available,
    Failed,
}

impl SnapshotStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Failed => "failed",
        }
    }
}

impl Snapshot {
    /// Progress in percent: by the clock while it is made, 99 at most until the copy is there too.
    pub(crate) fn percent(&self, now: Timestamp) -> i64 {
        match self.status {
            SnapshotStatus::Available => 100,
            SnapshotStatus::Failed => 0,
            SnapshotStatus::Creating => {
                let passed = now.duration_since(self.created).as_millis();
                let whole = self.progressed.duration_since(self.created).as_millis().max(1);
                i64::try_from(passed * 100 / whole).unwrap_or(99).clamp(0, 99)
            }
        }
    }
}

/// What happens in this service by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A snapshot's modelled progress reaches its end.
    SnapshotProgressed(String),
    /// A modelled restore is done.
    Restored(String),
}

pub(crate) fn happen(world: &mut World, event: Event) {
    match event {
        Event::SnapshotProgressed(id) => finish_snapshot(world, &id),
        Event::Restored(id) => {
            let host = modelled_host(world, &id);
            if let Some(instance) = world.rds.instances.get_mut(&id) {
                instance.status = InstanceStatus::Available;
                instance.endpoint = Some((host, PORT));
            }
        }
    }
}

/// How long a modelled snapshot takes.
const SNAPSHOT_TIME: SignedDuration = SignedDuration::from_mins(5);
/// How long a modelled restore takes.
const RESTORE_TIME: SignedDuration = SignedDuration::from_mins(10);
/// PostgreSQL's port, where nothing else says otherwise.
const PORT: u16 = 5432;
/// Connections that each modelled task holds open.
const POOL: u32 = 5;

/// Available no earlier than both the progress and, in live mode, the copy are done.
fn finish_snapshot(world: &mut World, id: &str) {
    let (now, live) = (world.now(), world.is_live());
    let Some(snapshot) = world.rds.snapshots.get_mut(id) else { return };
    let done = now >= snapshot.progressed && (!live || snapshot.copy.is_some());
    if done && snapshot.status == SnapshotStatus::Creating {
        snapshot.status = SnapshotStatus::Available;
        let instance = snapshot.instance.clone();
        end_backup(world, &instance);
    }
}

fn end_backup(world: &mut World, instance: &str) {
    if let Some(instance) = world.rds.instances.get_mut(instance)
        && instance.status == InstanceStatus::BackingUp
    {
        instance.status = InstanceStatus::Available;
    }
}

fn modelled_host(world: &World, id: &str) -> String {
    format!("{id}.c9akciq32rm4.{}.rds.amazonaws.com", world.identity.region)
}

/// An instance to make: PostgreSQL, with its initial database.
#[derive(Clone)]
pub struct NewInstance<'a> {
    /// The identifier.
    pub id: &'a str,
    /// For example `15.8`.
    pub engine_version: &'a str,
    /// The master user.
    pub username: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The initial database.
    pub database: Option<&'a str>,
    /// ARN of the secret, if RDS manages the master user's password.
    pub master_secret: Option<&'a str>,
    /// The Aurora cluster that it is a member of, if any.
    pub cluster: Option<&'a str>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Its groups; the account's defaults if absent.
    pub groups: Option<Groups>,
}

impl World {
    /// Begins an RDS blue/green deployment of an instance. It stays as it is until it is ended.
    pub fn begin_blue_green(&mut self, instance: &str, name: &str) {
        let source = self.rds.instances.get(instance).map(|found| found.arn.clone());
        self.rds.blue_green.extend(source.map(|source| (name.to_owned(), source)));
    }

    /// Ends every RDS blue/green deployment.
    pub fn end_blue_green(&mut self) {
        self.rds.blue_green.clear();
    }

    /// Makes an instance. A modelled one is available at once, a live one when its server is reported as ready.
    pub fn create_db_instance(&mut self, new: &NewInstance<'_>) {
        let id = new.id.to_ascii_lowercase();
        let live = self.is_live();
        let endpoint = (!live).then(|| (modelled_host(self, &id), PORT));
        let instance = Instance {
            arn: self.identity.arn("rds", &format!("db:{id}")),
            resource_id: self.resource_id(),
            engine: if new.cluster.is_some() { "aurora-postgresql" } else { "postgres" }.to_owned(),
            engine_version: new.engine_version.to_owned(),
            cluster: new.cluster.map(str::to_owned),
            status: if live { InstanceStatus::Creating } else { InstanceStatus::Available },
            username: new.username.to_owned(),
            password: Password(new.password.to_owned()),
            database: new.database.map(str::to_owned),
            endpoint,
            master_secret: new.master_secret.map(str::to_owned),
            tags: new.tags.clone(),
            groups: new.groups.clone().unwrap_or_else(|| Groups::default_for(new.engine_version)),
            created: self.now(),
            from_copy: None,
            restored: false,
            connections: None,
            log_folder: None,
            kept_logs: BTreeMap::new(),
            id: id.clone(),
        };
        self.rds.instances.insert(id, instance);
    }

    /// `db-` and 26 capitals and digits: names an instance for good, whatever it is renamed to.
    fn resource_id(&mut self) -> String {
        format!("db-{}", &self.hex_id().to_ascii_uppercase()[..26])
    }

    /// Begins a snapshot of an available instance; gives it. The caller has checked that both ids are right.
    pub(crate) fn create_db_snapshot(
        &mut self,
        id: &str,
        of: &Instance,
        tags: Vec<(String, String)>,
    ) -> Snapshot {
        let now = self.now();
        let snapshot = Snapshot {
            id: id.to_owned(),
            arn: self.identity.arn("rds", &format!("snapshot:{id}")),
            instance: of.id.clone(),
            resource_id: of.resource_id.clone(),
            engine: of.engine.clone(),
            engine_version: of.engine_version.clone(),
            username: of.username.clone(),
            password: of.password.clone(),
            database: of.database.clone(),
            port: of.endpoint.as_ref().map_or(PORT, |(_, port)| *port),
            instance_created: of.created,
            status: SnapshotStatus::Creating,
            created: now,
            progressed: now + SNAPSHOT_TIME,
            copy: None,
            tags,
        };
        if let Some(instance) = self.rds.instances.get_mut(&of.id) {
            instance.status = InstanceStatus::BackingUp;
        }
        self.rds.snapshots.insert(id.to_owned(), snapshot.clone());
        self.book(SNAPSHOT_TIME, super::Event::Rds(Event::SnapshotProgressed(id.to_owned())));
        snapshot
    }

    /// Begins a restore: a new instance, with an endpoint of its own once it is available.
    pub(crate) fn restore_db_instance(
        &mut self,
        id: &str,
        from: &Snapshot,
        groups: Groups,
        tags: Vec<(String, String)>,
    ) -> Instance {
        let instance = Instance {
            id: id.to_owned(),
            arn: self.identity.arn("rds", &format!("db:{id}")),
            resource_id: self.resource_id(),
            engine: from.engine.clone(),
            engine_version: from.engine_version.clone(),
            cluster: None,
            status: InstanceStatus::Creating,
            username: from.username.clone(),
            password: from.password.clone(),
            database: from.database.clone(),
            endpoint: None,
            master_secret: None,
            tags,
            groups,
            created: self.now(),
            from_copy: from.copy.clone(),
            restored: true,
            connections: None,
            log_folder: None,
            kept_logs: BTreeMap::new(),
        };
        self.rds.instances.insert(id.to_owned(), instance.clone());
        if !self.is_live() {
            self.book(RESTORE_TIME, super::Event::Rds(Event::Restored(id.to_owned())));
        }
        instance
    }

    /// Connections of each instance now, for its metric. Modelled: each running task of a service holds a pool open on
    /// every instance that was not restored. Live: what was counted last.
    pub(crate) fn database_connections(&self) -> Vec<(String, f64)> {
        let pools = u32::try_from(self.ecs.running_service_tasks()).unwrap_or(u32::MAX).saturating_mul(POOL);
        let (live, leaked) = (self.is_live(), self.leaked_connections());
        let counted = |instance: &Instance| match (live, instance.restored) {
            (true, _) => instance.connections.map(f64::from),
            (false, false) => Some(f64::from(pools) + leaked),
            (false, true) => Some(0.0),
        };
        self.rds
            .instances
            .values()
            .filter(|instance| instance.status != InstanceStatus::Creating)
            .filter_map(|instance| Some((instance.id.clone(), counted(instance)?)))
            .collect()
    }

    /// True once every instance that tasks may need at their start is up: restored ones are nobody's yet.
    pub(crate) fn databases_are_up(&self) -> bool {
        self.rds.instances.values().all(|i| i.restored || i.endpoint.is_some())
    }

    /// Every instance that must be a running server, restores included.
    pub fn live_databases(&self) -> Vec<LiveDatabase> {
        self.rds
            .instances
            .values()
            .map(|instance| LiveDatabase {
                id: instance.id.clone(),
                username: instance.username.clone(),
                password: instance.password.0.clone(),
                database: instance.database.clone().unwrap_or_else(|| "postgres".to_owned()),
                from_copy: instance.from_copy.clone(),
                ready: instance.endpoint.is_some(),
            })
            .collect()
    }

    /// An instance's server is up: the instance is available there, and the secrets that name its database say where.
    pub fn database_ready(&mut self, id: &str, address: SocketAddr) {
        let Some(instance) = self.rds.instances.get_mut(id) else { return };
        if instance.status == InstanceStatus::Creating {
            instance.status = InstanceStatus::Available;
        }
        instance.endpoint = Some((address.ip().to_string(), address.port()));
        if let (false, Some(database)) = (instance.restored, instance.database.clone()) {
            self.point_secrets(&database, address);
            self.resolve_pending_tasks();
        }
    }

    /// Writes host and port into every secret for a database of that name.
    fn point_secrets(&mut self, database: &str, address: SocketAddr) {
        let versions = self.secrets.all.values_mut().flat_map(|secret| &mut secret.versions);
        for version in versions.filter(|version| version.stages.contains(CURRENT)) {
            let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(&version.value) else {
                continue;
            };
            if members.get("dbname").and_then(serde_json::Value::as_str) == Some(database) {
                members.insert("host".to_owned(), address.ip().to_string().into());
                members.insert("port".to_owned(), address.port().to_string().into());
                version.value = serde_json::Value::Object(members).to_string();
            }
        }
    }

    /// How to connect to a running live instance as its master user.
    pub fn database_options(&self, id: &str) -> Option<PgConnectOptions> {
        let instance = self.rds.instances.get(id)?;
        let (host, port) = instance.endpoint.as_ref()?;
        let options = PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(*port)
            .username(&instance.username)
            .password(&instance.password.0)
            .database(instance.database.as_deref().unwrap_or("postgres"))
            .ssl_mode(PgSslMode::Disable);
        Some(options)
    }

    /// How many connections an instance's server has now.
    pub fn report_connections(&mut self, id: &str, connections: u32) {
        if let Some(instance) = self.rds.instances.get_mut(id) {
            instance.connections = Some(connections);
        }
    }

    /// Snapshots that still need their copy.
    pub fn live_snapshots(&self) -> Vec<LiveSnapshot> {
        self.rds
            .snapshots
            .values()
            .filter(|s| s.status == SnapshotStatus::Creating && s.copy.is_none())
            .map(|s| LiveSnapshot { id: s.id.clone(), instance: s.instance.clone() })
            .collect()
    }

    /// A snapshot's copy is made, or could not be made.
    pub fn snapshot_copied(&mut self, id: &str, outcome: Result<PathBuf, String>) {
        let Some(snapshot) = self.rds.snapshots.get_mut(id) else { return };
        if snapshot.status != SnapshotStatus::Creating {
            return;
        }
        match outcome {
            Ok(copy) => {
                snapshot.copy = Some(copy);
                finish_snapshot(self, id);
            }
            Err(why) => {
                snapshot.status = SnapshotStatus::Failed;
                let instance = snapshot.instance.clone();
                end_backup(self, &instance);
                self.note_effect("rds", "CreateDBSnapshot", id, format!("the copy failed: {why}"), None);
            }
        }
    }
}
