//! Scenarios: who does what to the world, and how it must end. Written as prose in TOML, one file each.
//!
//! Read by the runs and by nobody else. A deed is done as people do it: by calls to AWS.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::status::{ReleaseStatus, Summary};
use tidegate_sandbox::{
    Call, Sandbox,
    node::Node,
    protocol::{Protocol, Service},
};

use crate::{database::story, deeds::hand, fault::Plan, oracle::traffic::PRODUCTION, scene::Scene, tool};

/// The release of every scenario.
pub const RELEASE: &str = "ecommerce";

/// Where its contract is approved.
pub(crate) const APPROVAL: &str = "/tidegate/ecommerce/approve/contract";

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// A sentence.
    pub title: String,
    /// How many daemons share the ledger.
    #[serde(default = "one")]
    pub daemons: u32,
    /// How many a run has instead, if its sweep or somebody at a prompt says so.
    #[serde(skip)]
    pub other_daemons: Option<u32>,
    /// The shortest time between two passes of a daemon. Sweeps of very many runs set it where a scenario does not, so that a rollout
    /// takes a few hundred calls instead of a thousand and goes through the same states; a scenario does whose moment is shorter.
    #[serde(default)]
    pub pace: Option<SignedDuration>,
    /// Whether the release has the story's database.
    #[serde(default)]
    pub database: bool,
    /// What the world has besides the story's: TOML of a world file, laid behind it.
    #[serde(default)]
    pub world: String,
    /// What happens, one after the other.
    #[serde(rename = "event")]
    pub events: Vec<Event>,
    /// What goes wrong in it by itself, besides what a run adds.
    #[serde(default)]
    pub faults: Plan,
    /// How it ends.
    pub expect: Expect,
}

fn one() -> u32 {
    1
}

/// Something that somebody does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Once the rollout is in this phase; at once if nothing is said.
    #[serde(default)]
    pub phase: Option<String>,
    /// Once green has at least this weight.
    #[serde(default)]
    pub green: Option<f64>,
    /// Once the schema change is in this phase.
    #[serde(default)]
    pub schema: Option<String>,
    /// Once it waits for this reason.
    #[serde(default)]
    pub waits: Option<String>,
    /// Once this version of the spec has settled.
    #[serde(default)]
    pub settled: Option<u64>,
    /// So long after that.
    #[serde(default)]
    pub after: Option<SignedDuration>,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What somebody does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Writes the spec.
    Spec(SpecText),
    /// Writes a parameter below the release: its name and its text.
    Put(String, String),
    /// Approves the contract of this version of the spec, under the plan that the status shows.
    Approve(u64),
    /// Deletes a parameter below the release.
    Delete(String),
    /// Makes a call to AWS, as somebody at a prompt would: service, operation, input in JSON. `{deployment}` stands for the
    /// newest deployment's id.
    Call(String, String, String),
    /// Gives the first and the second target group these weights on the production listener, as somebody in the console would.
    Weights(u32, u32),
    /// An alarm is red for so long.
    RedAlarm(String, SignedDuration),
    /// A share of all requests fails for so long.
    Incident(f64, SignedDuration),
    /// A job that nobody told of the schema change reads the old form so many times, in the shop's role.
    Job(u64),
    /// The daemon on this machine is stopped in an orderly way, as for an update, and started again. Machines count from 1.
    Stop(u32),
}

/// What a spec asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecText {
    /// The image.
    pub image: String,
    /// The bake.
    #[serde(default = "short")]
    pub bake: String,
    /// The shift, in JSON.
    #[serde(default = "canary")]
    pub shift: String,
    /// Members besides, in JSON without the outer braces.
    #[serde(default)]
    pub with: String,
    /// Whether it asks for the story's schema change.
    #[serde(default)]
    pub change: bool,
    /// Where its files are; the story's own if nothing is said.
    #[serde(default)]
    pub source: Option<String>,
    /// Whether the team's own tool makes that change, in a task.
    #[serde(default)]
    pub tool: bool,
}

fn canary() -> String {
    r#"{"canary": {"percent": 10, "for": "5m"}}"#.to_owned()
}

fn short() -> String {
    "3m".to_owned()
}

/// How a scenario ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The summary's word.
    pub summary: String,
    /// The phase of the rollout.
    pub phase: String,
    /// The phase of the schema change, if there is one.
    #[serde(default)]
    pub schema: Option<String>,
    /// The image that serves.
    pub image: String,
    /// What the daemon did to AWS, in order; what is repeated stands once.
    pub effects: Vec<String>,
    /// An image, and the most weight that it ever gets.
    #[serde(default)]
    pub most: Option<(String, u32)>,
    /// Reasons to wait that people are told on the way.
    #[serde(default)]
    pub told: Vec<String>,
    /// The longest that it may take.
    #[serde(default = "long")]
    pub within: SignedDuration,
}

fn long() -> SignedDuration {
    SignedDuration::from_mins(40)
}

/// A scenario cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read a scenario")]
pub struct ScenarioError(#[from] toml::de::Error);

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    /// If it is not TOML, or has members that no scenario has.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        Ok(toml::from_str(text)?)
    }

    /// How many daemons a run of it has.
    pub fn daemons(&self) -> u32 {
        self.other_daemons.unwrap_or(self.daemons)
    }

    /// How long it may take.
    pub fn within(&self) -> Duration {
        self.expect.within.unsigned_abs()
    }

    /// True if the team's own tool makes a change in it.
    pub(crate) fn has_tool(&self) -> bool {
        self.events.iter().any(|event| matches!(&event.deed, Deed::Spec(spec) if spec.tool))
    }
}

impl Event {
    /// True if its time has come, but for how long after that it is.
    pub(crate) fn is_ready(&self, status: Option<&ReleaseStatus>) -> bool {
        let phase = self
            .phase
            .as_deref()
            .is_none_or(|wanted| status.is_some_and(|status| status.rollout.phase == wanted));
        let green = self.green.is_none_or(|wanted| {
            status.and_then(|status| status.rollout.green_weight).is_some_and(|weight| weight >= wanted)
        });
        let settled = self.settled.is_none_or(|wanted| {
            status.is_some_and(|status| {
                status.summary == Summary::Healthy
                    && status.rollout.phase == "settled"
                    && status.versions.in_force.is_some_and(|version| version.0 == wanted)
            })
        });
        let schema = self.schema.as_ref().is_none_or(|wanted| {
            status.and_then(|status| status.schema.as_ref()).is_some_and(|schema| schema.phase == *wanted)
        });
        let waits = self.waits.as_ref().is_none_or(|wanted| {
            status.is_some_and(|status| status.waiting.iter().any(|wait| wait.reason.as_str() == wanted))
        });
        phase && green && settled && schema && waits
    }
}

impl Deed {
    /// False while what it needs is not shown: nobody copies a plan that is not there.
    pub(crate) fn is_possible(&self, status: Option<&ReleaseStatus>) -> bool {
        !matches!(self, Self::Approve(_)) || plan_shown(status).is_some()
    }

    /// Does it.
    pub(crate) fn happen(&self, scene: &Scene, status: Option<&ReleaseStatus>) {
        let sandbox = &scene.sandbox;
        match self {
            Self::Spec(spec) => put(sandbox, "spec", &spec.text(sandbox)),
            Self::Put(name, text) => put(sandbox, name, text),
            Self::Approve(version) => {
                let plan = plan_shown(status);
                put(sandbox, "approve/contract", &json!({ "spec": version, "plan": plan }).to_string());
            }
            Self::Delete(name) => {
                let input = Node::map([("Name", parameter(name).into())]);
                call(sandbox, Service::Ssm, "DeleteParameter", input);
            }
            Self::Call(service, operation, input) => {
                let newest = sandbox.world().deployed().pop().map(|deployment| deployment.id);
                let input = input.replace("{deployment}", newest.as_deref().unwrap_or_default());
                let input = serde_json::from_str(&input).unwrap_or_default();
                call(sandbox, service_named(service), operation, node(&input));
            }
            Self::Weights(first, second) => forward(sandbox, [*first, *second]),
            Self::RedAlarm(name, lasts) => sandbox.world().redden_alarm(name, *lasts),
            Self::Incident(share, lasts) => sandbox.world().begin_incident(*lasts, *share),
            Self::Job(times) => scene.database.iter().for_each(|database| story::job(database, *times)),
            // Daemons are the run's.
            Self::Stop(_) => {}
        }
    }
}

fn plan_shown(status: Option<&ReleaseStatus>) -> Option<String> {
    Some(status?.schema.as_ref()?.plan.clone())
}

impl SpecText {
    fn text(&self, sandbox: &Sandbox) -> String {
        let Self { image, bake, shift, with, change, source: _, tool: _ } = self;
        let mut with = if with.is_empty() { String::new() } else { format!(", {with}") };
        if *change {
            with.push_str(", ");
            with.push_str(&schema(sandbox, &self.made_by()));
        }
        format!(
            r#"{{"service": {{"cluster": "ecommerce", "name": "ecommerce"}},
 "revision": {{"container": "app", "image": "{image}"}},
 "traffic": {{"engine": "codedeploy", "application": "ecommerce-bluegreen", "deploymentGroup": "ecommerce-bluegreen", "shift": {shift}}},
 "bake": "{bake}"{with}}}"#
        )
    }

    /// What makes the change: files that Tidegate applies, or the team's own tool.
    fn made_by(&self) -> String {
        if self.tool {
            return format!(r#""runner": {}"#, tool::runner());
        }
        let story = || format!("file://{}", migrations().join("structured-address").display());
        format!(r#""source": "{}""#, self.source.clone().unwrap_or_else(story))
    }
}

/// The story's schema change, with waits that are short; `by` says what makes it.
fn schema(sandbox: &Sandbox, by: &str) -> String {
    let secret = sandbox.world().secret_arn("tidegate-ecommerce").unwrap_or_default();
    format!(
        r#""schema": {{"database": {{"secret": "{secret}", "instance": "ecommerce-db"}}, "change": "structured-address",
 {by}, "contractAfter": "10m", "quarantine": "20m"}}"#
    )
}

/// The story's migration files.
pub(crate) fn migrations() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/migrations");
    folder.canonicalize().unwrap_or(folder)
}

pub(crate) fn parameter(name: &str) -> String {
    format!("/tidegate/{RELEASE}/{name}")
}

fn put(sandbox: &Sandbox, name: &str, text: &str) {
    let input = Node::map([
        ("Name", parameter(name).into()),
        ("Value", text.into()),
        ("Type", "String".into()),
        ("Overwrite", true.into()),
    ]);
    call(sandbox, Service::Ssm, "PutParameter", input);
}

fn forward(sandbox: &Sandbox, weights: [u32; 2]) {
    let (listener, pair) = {
        let world = sandbox.world();
        let listener = world.live_listeners().into_iter().find(|listener| listener.port == PRODUCTION);
        (listener, hand::pair(&world))
    };
    let (Some(listener), [Some(first), Some(second)]) = (listener, pair) else { return };
    let input = hand::forwards(&listener.arn, &[(first, weights[0]), (second, weights[1])]);
    call(sandbox, Service::Elb, "ModifyListener", node(&input));
}

fn call(sandbox: &Sandbox, service: Service, operation: &str, input: Node) {
    let call =
        Call { service, operation: operation.to_owned(), input, protocol: Protocol::Json { minor: 1 } };
    if let Err(error) = sandbox.perform(&call) {
        tracing::warn!(operation, %error, "a deed of a scenario was refused");
    }
}

fn service_named(name: &str) -> Service {
    match name {
        "ecs" => Service::Ecs,
        "codedeploy" => Service::CodeDeploy,
        "elasticloadbalancing" => Service::Elb,
        "cloudwatch" => Service::CloudWatch,
        "rds" => Service::Rds,
        "secretsmanager" => Service::SecretsManager,
        _ => Service::Ssm,
    }
}

/// JSON as the sandbox takes it.
pub(crate) fn node(value: &Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Node::Float(number.as_f64().unwrap_or_default()), Node::Int)
        }
        Value::String(text) => Node::Text(text.clone()),
        Value::Array(items) => Node::List(items.iter().map(node).collect()),
        Value::Object(members) => {
            Node::Map(members.iter().map(|(name, value)| (name.clone(), node(value))).collect())
        }
    }
}

/// Scenarios by name.
pub type Catalogue = BTreeMap<String, Scenario>;

/// The same scenarios with two daemons each, or more where there are more.
pub fn with_two_daemons(catalogue: &Catalogue) -> Catalogue {
    let mut catalogue = catalogue.clone();
    catalogue.values_mut().for_each(|scenario| scenario.other_daemons = Some(scenario.daemons().max(2)));
    catalogue
}
