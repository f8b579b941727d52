//! The scenes: what people write, and what must become of it.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use aws_sdk_rds::Client as Rds;
use serde_json::{Value, json};
use tidegate_model::{
    gate::{Gate, GateState},
    status::Summary,
};
use tidegate_shop::customers::{Forms, ReadBack, Writes};

use super::{
    report::{self, Report, Rollback},
    stage::{RELEASE, Stage},
    teller::Teller,
    timeline::Timeline,
};
use crate::{exit::Failure, local::story::INSTANCE};

/// No scene takes longer, at any sensible speed.
const SCENE_LIMIT: Duration = Duration::from_secs(240);
/// The restored copy's instance.
const RESTORED: &str = "ecommerce-db-restored";

#[derive(Debug, thiserror::Error)]
enum StoryError {
    #[error("restore the snapshot")]
    Restore(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("read acknowledged writes back from {database}")]
    ReadBack { database: &'static str, source: sqlx::Error },
    #[error("the world has no {0}")]
    Missing(&'static str),
}

/// Plays everything.
pub(super) async fn tell(stage: &mut Stage, timeline: &Timeline) -> Result<Report, Failure> {
    let mut teller = Teller::new(stage, timeline, SCENE_LIMIT);
    let named = teller.version_2().await?;
    teller.version_3().await?;
    let copy = teller.contract().await?;
    let good = stage.traffic();
    let rollback = teller.version_4().await?;
    timeline.scene("The books");
    teller.copy_is_up().await?;
    let acknowledged = stage.send_home().await;
    let copied = read_copy(stage, timeline, &acknowledged, &copy).await?;
    let live = read_live(stage, timeline, &acknowledged).await?;
    report::evaluate(stage, &report::Told { named, good, copied, live, rollback }).await
}

/// A copy of the database: its snapshot, and until when acknowledged writes must be in it.
struct Copy {
    snapshot: String,
    until: SystemTime,
}

impl Teller<'_> {
    /// Version 2 expands, backfills, is verified, shifts, is confirmed and bakes; then contract waits for a statement.
    async fn version_2(&mut self) -> Result<String, Failure> {
        self.timeline.scene("Version 2: an address gets four columns");
        self.write_spec(2).await?;
        self.settled("version 2", 1).await?;
        self.timeline.note("contract is not opened by this: version 2 still writes the old column");
        let named = self.until("contract is refused", |status| {
            let readers = status.gates.iter().find(|reading| reading.gate == Gate::ReadersGone)?;
            match &readers.state {
                GateState::Closed(closed) if closed.message.contains("customers") => {
                    Some(closed.message.clone())
                }
                GateState::Closed(_) | GateState::Open | GateState::NotApplicable => None,
            }
        });
        let named = named.await?;
        self.timeline.note(&format!("⚑ readers-gone: {named}"));
        Ok(named)
    }

    async fn version_3(&mut self) -> Result<(), Failure> {
        self.timeline.scene("Version 3: nobody names the old column any more");
        self.write_spec(3).await?;
        self.settled("version 3", 2).await
    }

    async fn contract(&mut self) -> Result<Copy, Failure> {
        self.timeline.scene("Contract: the point of no return");
        let plan =
            self.until("the plan is shown", |s| s.schema.as_ref().map(|schema| schema.plan.clone())).await?;
        self.put("approve/contract", &json!({ "spec": 2, "plan": plan }).to_string()).await?;
        self.timeline.note(&format!("a person approves plan {}…", plan.get(..12).unwrap_or(&plan)));
        let copy = self.snapshot().await?;
        let rds = Rds::new(self.stage.people.config());
        self.until("purged", |s| s.schema.as_ref().filter(|schema| schema.phase == "purged").map(drop))
            .await?;
        self.timeline.note("the old column is gone, and every customer was served meanwhile");
        let restore = rds
            .restore_db_instance_from_db_snapshot()
            .db_snapshot_identifier(&copy.snapshot)
            .db_instance_identifier(RESTORED)
            .send();
        restore.await.map_err(|error| Failure::internal(StoryError::Restore(error.into())))?;
        Ok(copy)
    }

    /// Waits until the snapshot is begun. What was acknowledged at the look before that must be in it.
    async fn snapshot(&mut self) -> Result<Copy, Failure> {
        let begun = Instant::now();
        let mut until = SystemTime::now();
        loop {
            let audit = self.stage.local.sandbox.audit();
            if let Some(entry) = audit.iter().find(|entry| entry.operation == "CreateDBSnapshot") {
                self.timeline.note(&format!("snapshot {} is begun", entry.object));
                return Ok(Copy { snapshot: entry.object.clone(), until });
            }
            until = SystemTime::now();
            if begun.elapsed() > SCENE_LIMIT {
                return Err(self.too_long("the snapshot").await);
            }
            self.follow().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn version_4(&mut self) -> Result<Rollback, Failure> {
        self.timeline.scene("Version 4: starts healthy, passes its probes, fails under traffic");
        let from = self.stage.local.sandbox.now();
        self.write_spec(4).await?;
        let (cause, reason) = self
            .until("version 4 is rolled back", |status| {
                (status.summary == Summary::RolledBack).then(|| {
                    let rollout = &status.rollout;
                    (
                        rollout.cause.clone().unwrap_or_default(),
                        rollout.cause_reason.clone().unwrap_or_default(),
                    )
                })
            })
            .await?;
        self.timeline.note(&format!("↩ rolled back by itself: {cause}"));
        Ok(Rollback { from, cause, reason })
    }

    async fn copy_is_up(&mut self) -> Result<(), Failure> {
        let stage = self.stage;
        self.until("the restored copy is up", |_| restored(stage).then_some(())).await
    }

    async fn write_spec(&self, version: u32) -> Result<(), Failure> {
        let spec = spec(version, &self.stage.migrations, &secret(self.stage)?);
        self.put("spec", &spec.to_string()).await?;
        self.timeline.note(&format!("the team writes /tidegate/{RELEASE}/spec: image shop:v{version}"));
        Ok(())
    }
}

async fn read_copy(
    stage: &Stage,
    timeline: &Timeline,
    acknowledged: &Writes,
    copy: &Copy,
) -> Result<ReadBack, Failure> {
    let mut connection = connect(stage, RESTORED).await?;
    let read = acknowledged.read_back(&mut connection, Forms::Both, copy.until).await;
    let read = read.map_err(|source| unread(RESTORED, source))?;
    let checked = read.checked;
    timeline
        .note(&format!("{checked} acknowledged customers read back from the restored copy, in both forms"));
    Ok(read)
}

async fn read_live(stage: &Stage, timeline: &Timeline, acknowledged: &Writes) -> Result<ReadBack, Failure> {
    let mut connection = connect(stage, INSTANCE).await?;
    let read = acknowledged.read_back(&mut connection, Forms::New, SystemTime::now()).await;
    let read = read.map_err(|source| unread(INSTANCE, source))?;
    timeline.note(&format!("{} read back from the database, in the new form", read.checked));
    Ok(read)
}

fn unread(database: &'static str, source: sqlx::Error) -> Failure {
    Failure::internal(StoryError::ReadBack { database, source })
}

/// The team's spec of a version of the shop.
fn spec(version: u32, migrations: &Path, secret: &str) -> Value {
    json!({
        "service": { "cluster": "ecommerce", "name": "ecommerce" },
        "revision": {
            "container": "app",
            "image": format!("shop:v{version}"),
            "environment": { "APP_VERSION": version.to_string() },
        },
        "traffic": {
            "engine": "codedeploy",
            "application": "ecommerce-bluegreen",
            "deploymentGroup": "ecommerce-bluegreen",
            "shift": { "linear": { "percent": 10, "every": "3m" } },
        },
        "verify": [
            { "post": "/api/customers", "json": { "name": "probe" }, "expect": { "status": 201 }, "save": { "id": "/id" } },
            { "get": "/api/customers/{id}", "expect": { "status": 200, "json": { "/name": "probe" } } },
            { "delete": "/api/customers/{id}", "always": true },
        ],
        "checks": { "databaseConnections": {}, "latency": "off" },
        "bake": "5m",
        "schema": {
            "database": { "secret": secret, "instance": INSTANCE },
            "change": "structured-address",
            "source": format!("file://{}", migrations.display()),
            "contract": "onApproval",
            "contractAfter": "5m",
            "quarantine": "5m",
        },
    })
}

/// ARN of the secret of Tidegate's own role.
fn secret(stage: &Stage) -> Result<String, Failure> {
    let found = stage.local.sandbox.world().secret_arn("tidegate-ecommerce");
    found.ok_or_else(|| Failure::internal(StoryError::Missing("secret tidegate-ecommerce")))
}

fn restored(stage: &Stage) -> bool {
    stage
        .local
        .sandbox
        .world()
        .live_databases()
        .iter()
        .any(|database| database.id == RESTORED && database.ready)
}

async fn connect(stage: &Stage, instance: &'static str) -> Result<sqlx::PgConnection, Failure> {
    use sqlx::ConnectOptions as _;
    let options = stage.local.sandbox.world().database_options(instance);
    let options = options.ok_or_else(|| Failure::internal(StoryError::Missing(instance)))?;
    let connected = options.connect().await;
    connected.map_err(|source| unread(instance, source))
}
