//! What the planner answers: entries to journal, at most one step, why it waits, and when to look again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Digest,
    gate::GateReading,
    ledger::Entry,
    name::Marker,
    revision::RevisionArn,
    runner::RunTask,
    schema::{ChangePlan, OpenChange},
    spec::{DatabaseSpec, Probe, Shift},
    status::ReleaseStatus,
    waiting::Waiting,
};

/// A plain value: the whole answer of one pass for one release.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to append to the ledger, in order, before anything is sent.
    pub entries: Vec<Entry>,
    /// At most one side effect.
    pub step: Option<Step>,
    /// Every reason for waiting, the most important first.
    pub waiting: Vec<Waiting>,
    /// Every gate that was read.
    pub gates: Vec<GateReading>,
    /// What is published.
    pub status: ReleaseStatus,
    /// When to look again at the latest.
    pub next_look: Timestamp,
}

impl Decision {
    /// True if nothing is to be written, and nothing sent.
    pub fn changes_nothing(&self) -> bool {
        self.entries.is_empty() && self.step.is_none()
    }
}

/// One side effect. It carries everything it needs: the executor makes no choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// RegisterTaskDefinition with this content.
    RegisterTaskDefinition(Register),
    /// CreateDeploymentConfig for a shift that CodeDeploy does not bring along.
    CreateDeploymentConfig {
        /// Its name, derived from the shift.
        name: String,
        /// The shift.
        shift: Shift,
    },
    /// CreateDeployment.
    CreateDeployment(CreateDeployment),
    /// ContinueDeployment out of the Ready wait: production traffic begins.
    ContinueTraffic {
        /// The deployment, which must be Ready.
        deployment: String,
    },
    /// ContinueDeployment out of the termination wait: blue is deleted.
    ContinueTermination {
        /// The deployment, which must wait for termination.
        deployment: String,
    },
    /// StopDeployment with automatic rollback.
    StopDeployment {
        /// The deployment, which must not have ended.
        deployment: String,
    },
    /// Send the probes.
    Verify(Verify),
    /// RunTask: the team's own tool expands or contracts.
    RunTask(Box<RunTask>),
    /// Apply one expand file.
    Expand(SchemaStep),
    /// Run one batch of one backfill file.
    Backfill(SchemaStep),
    /// Hide the old form.
    Hide(SchemaStep),
    /// Give the hidden form back.
    Unhide(SchemaStep),
    /// CreateDBSnapshot.
    CreateSnapshot {
        /// The instance.
        instance: String,
        /// The snapshot's id.
        snapshot: String,
        /// The marker for its tags.
        marker: Marker,
    },
    /// Apply the contract files in one transaction.
    Purge(SchemaStep),
}

impl Step {
    /// The step as it is journaled: without the texts of migration files, which stand in the opened change and have their checksums here.
    /// A backfill has as many steps as batches, and who takes over reads them all.
    pub fn as_journaled(&self) -> Self {
        let mut step = self.clone();
        match &mut step {
            Self::Expand(schema)
            | Self::Backfill(schema)
            | Self::Hide(schema)
            | Self::Unhide(schema)
            | Self::Purge(schema) => schema.plan.files.iter_mut().for_each(|file| file.text.clear()),
            Self::RegisterTaskDefinition(_)
            | Self::CreateDeploymentConfig { .. }
            | Self::CreateDeployment(_)
            | Self::ContinueTraffic { .. }
            | Self::ContinueTermination { .. }
            | Self::StopDeployment { .. }
            | Self::Verify(_)
            | Self::RunTask(_)
            | Self::CreateSnapshot { .. } => {}
        }
        step
    }

    /// The word of every step.
    pub const WORDS: [&'static str; 14] = [
        "register-task-definition",
        "create-deployment-config",
        "create-deployment",
        "continue-traffic",
        "continue-termination",
        "stop-deployment",
        "verify",
        "run-task",
        "expand",
        "backfill",
        "hide",
        "unhide",
        "create-snapshot",
        "purge",
    ];

    /// True of what may be sent though the ledger cannot be written: it takes traffic back to what served before, ends what is
    /// known by its own name, and is the same done twice. A ledger that is gone must keep nobody on a version that fails; it may
    /// well lie in the database that the version harms.
    pub fn goes_without_ledger(&self) -> bool {
        match self {
            Self::StopDeployment { .. } => true,
            Self::RegisterTaskDefinition(_)
            | Self::CreateDeploymentConfig { .. }
            | Self::CreateDeployment(_)
            | Self::ContinueTraffic { .. }
            | Self::ContinueTermination { .. }
            | Self::RunTask(_)
            | Self::CreateSnapshot { .. }
            | Self::Verify(_)
            | Self::Expand(_)
            | Self::Backfill(_)
            | Self::Hide(_)
            | Self::Unhide(_)
            | Self::Purge(_) => false,
        }
    }

    /// The step's word, for log and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RegisterTaskDefinition(_) => "register-task-definition",
            Self::CreateDeploymentConfig { .. } => "create-deployment-config",
            Self::CreateDeployment(_) => "create-deployment",
            Self::ContinueTraffic { .. } => "continue-traffic",
            Self::ContinueTermination { .. } => "continue-termination",
            Self::StopDeployment { .. } => "stop-deployment",
            Self::Verify(_) => "verify",
            Self::RunTask(_) => "run-task",
            Self::Expand(_) => "expand",
            Self::Backfill(_) => "backfill",
            Self::Hide(_) => "hide",
            Self::Unhide(_) => "unhide",
            Self::CreateSnapshot { .. } => "create-snapshot",
            Self::Purge(_) => "purge",
        }
    }
}

/// A task definition to register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// The revision that the content was laid over: registered from its typed description plus the overlay.
    pub base: RevisionArn,
    /// The content, canonical; its digest must be reached.
    pub content: Value,
    /// Digest of the content, written as a tag.
    pub digest: Digest,
    /// The marker, written as a tag.
    pub marker: Marker,
}

/// A deployment to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateDeployment {
    /// The application.
    pub application: String,
    /// The deployment group.
    pub group: String,
    /// The exact revision.
    pub revision: RevisionArn,
    /// The container and port that the load balancer sends to.
    pub container: String,
    /// Its port.
    pub port: u16,
    /// The deployment config's name.
    pub config: String,
    /// True for a redeploy: the group's alarms are overridden, because they may be red for what is being undone.
    pub ignore_alarms: bool,
    /// The marker, written as the description.
    pub marker: Marker,
}

/// Probes to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// `http://host:port` of the release's own listener.
    pub address: String,
    /// True for the production listener after the shift, false for the test listener before it.
    pub production: bool,
    /// The probes, in order.
    pub probes: Vec<Probe>,
}

/// A step in the target database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStep {
    /// Which database, by which secret.
    pub database: DatabaseSpec,
    /// The release and the change.
    pub change: OpenChange,
    /// The file to apply; empty for what concerns the whole change: hide, unhide and purge.
    pub file: String,
    /// The change's plan.
    pub plan: ChangePlan,
    /// The marker for the journal.
    pub marker: Marker,
    /// Revisions that are known to name the old form, by the digest of their content: purge cuts them off.
    #[serde(default)]
    pub namers: Vec<Digest>,
    /// Secrets that the service's task definition uses: Tidegate's own must not be among them.
    pub service_secrets: Vec<String>,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The call was accepted; what it causes is observed.
    Accepted,
    /// The task definition is registered (or was found registered).
    Registered(RevisionArn),
    /// The deployment is created (or was found by its marker).
    DeploymentCreated(String),
    /// The probes were sent.
    Probed {
        /// On the production listener.
        production: bool,
        /// What the first failing probe found; `None` if all passed.
        failure: Option<String>,
    },
    /// The task is started (or was found by its token): its ARN.
    TaskStarted(String),
    /// The expand file is applied.
    Expanded,
    /// The batch is done.
    Backfilled {
        /// Rows changed.
        rows: u64,
    },
    /// The old form is hidden.
    Hidden,
    /// The hidden form is given back.
    Unhidden,
    /// Contract is applied.
    Purged,
}

/// Free-form labels of a step for the log: object names only, never content.
pub fn step_fields(step: &Step) -> BTreeMap<&'static str, String> {
    let one = |key, value: &str| BTreeMap::from([(key, value.to_owned())]);
    match step {
        Step::RegisterTaskDefinition(register) => one("base", register.base.short()),
        Step::CreateDeploymentConfig { name, shift: _ } => one("config", name),
        Step::CreateDeployment(create) => {
            BTreeMap::from([("revision", create.revision.to_string()), ("config", create.config.clone())])
        }
        Step::ContinueTraffic { deployment }
        | Step::ContinueTermination { deployment }
        | Step::StopDeployment { deployment } => one("deployment", deployment),
        Step::Verify(verify) => one("listener", if verify.production { "production" } else { "test" }),
        Step::RunTask(run) => BTreeMap::from([
            ("taskDefinition", run.task_definition.clone()),
            ("phase", run.phase.as_str().to_owned()),
        ]),
        Step::Expand(schema) | Step::Backfill(schema) => one("file", &schema.file),
        Step::CreateSnapshot { snapshot, .. } => one("snapshot", snapshot),
        Step::Hide(schema) | Step::Unhide(schema) | Step::Purge(schema) => {
            one("change", schema.change.change.as_str())
        }
    }
}
