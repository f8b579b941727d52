//! The spec: what a team wants of a release, as one JSON document in one parameter.
//!
//! [`read`] turns the text into a [`Spec`] or into every problem it has, with path, line and column. These types also
//! give the published JSON Schema. Whether the spec can be kept (a bake longer than an engine allows) is said by
//! [`read`] too, as far as the text alone tells; what needs the world is a gate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ChangeName, duration::Span, revision::Overlay, runner::TaskRunner};

mod checks;
mod document;
mod probes;
mod problem;
mod read;
mod schema;

pub use checks::{Checks, MetricCheck, MetricRule, PLACEHOLDERS, Preset, Toggle};
pub use document::{Document, Member, Members, Node, place};
pub use problem::{Code, Problem};
pub use read::read;

/// The desired state of a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The ECS service that is released.
    pub service: ServiceKey,
    /// What it shall run.
    pub revision: RevisionSpec,
    /// How traffic moves to it.
    pub traffic: Traffic,
    /// Requests that green must answer as expected before it gets production traffic, in order.
    #[serde(default)]
    pub verify: Vec<Probe>,
    /// What green is judged by against blue; what is absent is on, except `databaseConnections`.
    #[serde(default)]
    pub checks: Checks,
    /// How long green serves everything while blue stays warm; 1h when absent.
    #[serde(default = "default_bake")]
    pub bake: Span,
    /// The schema change that this revision needs, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaSpec>,
}

/// An hour: long enough for twenty judged minutes at any traffic, short enough for every engine.
pub(crate) fn default_bake() -> Span {
    Span::minutes(60)
}

/// The cluster and name of an ECS service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceKey {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub name: String,
}

/// What shall run: an image laid over the serving task definition, or an exact revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RevisionSpec {
    /// An image (and environment) laid over the task definition that serves when the spec is accepted.
    Image(ImageOverlay),
    /// An exact task definition revision.
    TaskDefinition(ExactRevision),
}

/// An image laid over the serving task definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageOverlay {
    /// The container that gets the image.
    pub container: String,
    /// The image, with tag or digest.
    pub image: String,
    /// Environment variables to add or replace; secrets belong in Secrets Manager.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl ImageOverlay {
    /// The same as an overlay of a task definition.
    pub fn overlay(&self) -> Overlay {
        Overlay {
            container: self.container.clone(),
            image: self.image.clone(),
            environment: self.environment.clone(),
        }
    }
}

/// An exact task definition revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExactRevision {
    /// `family:revision`.
    pub task_definition: String,
}

/// How traffic moves. Only CodeDeploy moves it in this version; the other engines are refused by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "engine", rename_all = "camelCase")]
pub enum Traffic {
    /// CodeDeploy shifts between the two target groups of a deployment group.
    Codedeploy(CodeDeployTraffic),
}

/// Where and how CodeDeploy shifts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CodeDeployTraffic {
    /// The CodeDeploy application.
    pub application: String,
    /// Its deployment group for this service.
    pub deployment_group: String,
    /// The steps in which production traffic moves.
    pub shift: Shift,
}

/// The steps in which production traffic moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Shift {
    /// Equal steps: `percent` at once and again after each `every`, until all is moved.
    #[serde(rename_all = "camelCase")]
    Linear {
        /// Step size in percent, 1 to 99.
        percent: u8,
        /// Time between steps, in whole minutes.
        every: Span,
    },
    /// `percent` first, everything else after `for`.
    #[serde(rename_all = "camelCase")]
    Canary {
        /// First step in percent, 1 to 99.
        percent: u8,
        /// Time until the rest moves, in whole minutes.
        r#for: Span,
    },
    /// Everything in one step; needs a test listener and probes.
    AllAtOnce,
}

impl Shift {
    /// Green's share of the traffic so many minutes after its first weight, 0 to 1.
    pub fn green_share(self, minute: u32) -> f64 {
        let steps = |every: Span| minute / every.whole_minutes().unwrap_or(1).max(1);
        match self {
            Self::AllAtOnce => 1.0,
            Self::Linear { percent, every } => {
                (f64::from(percent) / 100.0 * f64::from(1 + steps(every))).min(1.0)
            }
            Self::Canary { percent, r#for } if steps(r#for) == 0 => f64::from(percent) / 100.0,
            Self::Canary { .. } => 1.0,
        }
    }

    /// Whole minutes from green's first weight until it has all of it.
    pub fn ramp_minutes(self) -> u32 {
        let whole = |span: Span| span.whole_minutes().unwrap_or(1).max(1);
        match self {
            Self::AllAtOnce => 0,
            Self::Linear { percent, every } => {
                (100u32.div_ceil(u32::from(percent).max(1)) - 1).saturating_mul(whole(every))
            }
            Self::Canary { percent: _, r#for } => whole(r#for),
        }
    }
}

/// One request of a verification and what must come back. The host is never given: probes go to the release's own
/// listeners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// The method; in a spec it is the key that holds the path: `"get": "/health"`.
    pub method: Method,
    /// The path, beginning with a slash; `{name}` is replaced by what an earlier probe saved.
    pub path: String,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// What must come back; any 2xx when absent.
    #[serde(default)]
    pub expect: Expect,
    /// Values to keep for later probes: name to JSON pointer into the answer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Run even when an earlier probe failed: for cleaning up.
    #[serde(default)]
    pub always: bool,
}

/// HTTP methods that a probe may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the HTTP methods of RFC 9110")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// All methods with the key that names them in a spec.
    pub const ALL: [(&'static str, Self); 6] = [
        ("get", Self::Get),
        ("head", Self::Head),
        ("post", Self::Post),
        ("put", Self::Put),
        ("patch", Self::Patch),
        ("delete", Self::Delete),
    ];

    /// The method as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a probe must get back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The status code; any 2xx when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// JSON pointer to the value that must stand there.
    #[serde(default)]
    pub json: BTreeMap<String, Value>,
}

/// The schema change that a revision needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchemaSpec {
    /// The database to change.
    pub database: DatabaseSpec,
    /// The change's name; one change outlives the revisions that roll out while it is open.
    #[schemars(with = "String")]
    pub change: ChangeName,
    /// Where the migration files are: `file:///folder` under an allowed root, or `ssm`. Needed unless a runner applies the change;
    /// with one, it holds backfill and check files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The team's own tool, which then applies expand and contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,
    /// When the old form may go.
    #[serde(default)]
    pub contract: ContractMode,
    /// How long nothing may have named the old form before it goes; 8d when absent.
    #[serde(default = "default_contract_after")]
    pub contract_after: Span,
    /// How long the old form is hidden, and missed by nobody, before the snapshot is taken and it goes; 24h when absent.
    #[serde(default = "default_quarantine")]
    pub quarantine: Span,
}

/// Eight days: a weekly job shows itself once, with a day to spare.
pub(crate) fn default_contract_after() -> Span {
    Span::seconds(8 * 86_400)
}

/// A day: what runs every night misses the old form while it can still be given back.
pub(crate) fn default_quarantine() -> Span {
    Span::seconds(86_400)
}

/// Which database, and the secret of the role that belongs to Tidegate alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseSpec {
    /// ARN of the Secrets Manager secret with Tidegate's own role.
    pub secret: String,
    /// The RDS instance identifier: what is snapshotted before purge.
    pub instance: String,
}

/// How the team's own tool is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Runner {
    /// As an ECS task.
    Task(TaskRunner),
}

/// Where migration files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// An absolute folder on the daemon's machine.
    Folder(String),
    /// The release's own `schema/` parameters.
    Ssm,
}

impl TryFrom<String> for Source {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "ssm" {
            return Ok(Self::Ssm);
        }
        match text.strip_prefix("file://") {
            Some(folder) if folder.starts_with('/') && !folder.split('/').any(|part| part == "..") => {
                Ok(Self::Folder(folder.to_owned()))
            }
            Some(_) | None => Err("a source is \"ssm\" or file:// and an absolute folder without .."),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Folder(folder) => format!("file://{folder}"),
            Source::Ssm => "ssm".to_owned(),
        }
    }
}

impl JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^(ssm|file:///.+)$",
            "description": "file:// and an absolute folder that the daemon's configuration allows for this release, or ssm",
        })
    }
}

/// When contract may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContractMode {
    /// After a human's approval of exactly this plan.
    #[default]
    OnApproval,
    /// As soon as every other gate is open.
    Automatic,
    /// Not at all.
    Never,
}

/// The JSON Schema (draft 2020-12) of a spec as it is written, for editors and for `tidegate schema`.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Spec).to_value();
    schema["$id"] = Value::from("https://tidegate.dev/schema/spec.json");
    schema["title"] = Value::from("Tidegate release spec");
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("$schema".into(), serde_json::json!({ "type": "string" }));
    }
    probes::describe_probe(&mut schema);
    schema
}
