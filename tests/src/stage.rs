//! A stage: the sandbox in process and in virtual time, the real SDK clients, the real ledger and the real controller.
//!
//! A test puts parameters, lets time pass ([`Stage::play_until`]), and looks at the world, the audit log and the published
//! status. Nothing sleeps: between two passes the clock jumps to the next look.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use jiff::{SignedDuration, Timestamp};
use tidegate_aws::{Aws, CallReport};
use tidegate_controller::{
    Clock, Controller, Manual, Parts, PassReport, Prober, SchemaAccess, SchemaSettings, Settings, System,
    Telemetry,
};
use tidegate_ledger::Ledger;
use tidegate_model::{
    ReleaseName,
    status::{ReleaseStatus, Summary},
};
use tidegate_sandbox::{
    Sandbox,
    audit::AuditEntry,
    clock::Clock as SandboxClock,
    world::{Mode, World},
};
use tidegate_schema::{Databases, Servers};

/// The story's world.
pub const WORLD: &str = include_str!("../../config/world.toml");

/// The release that the tests drive.
pub const RELEASE: &str = "ecommerce";

/// When every world begins.
pub fn start() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The stage.
pub struct Stage {
    /// The simulated AWS.
    pub sandbox: Sandbox,
    /// The SDK clients that the controller uses, and tests use to look and to interfere.
    pub config: aws_config_of_tests::SdkConfig,
    clock: Arc<Manual>,
    /// Target databases, and the clock of their servers.
    databases: (Arc<dyn Databases>, Arc<dyn Clock>),
    controller: Option<Controller>,
    /// The controller's own runtime: ending it is the crash.
    runtime: Option<tokio::runtime::Runtime>,
    ledger: Option<PathBuf>,
    folder: tempfile::TempDir,
    calls: CallSet,
    release: ReleaseName,
    /// The last report of the release.
    pub last: Option<PassReport>,
}

/// The SDK's configuration type, by way of one of its clients.
pub mod aws_config_of_tests {
    pub use aws_types::SdkConfig;
}

/// Retries wait in real time otherwise, and there is nothing to wait for.
#[derive(Debug)]
struct NoSleep;

impl AsyncSleep for NoSleep {
    fn sleep(&self, duration: std::time::Duration) -> Sleep {
        // Timeouts are sleeps too: they must not fire at once.
        if duration > std::time::Duration::from_secs(3) {
            return Sleep::new(tokio::time::sleep(duration));
        }
        Sleep::new(std::future::ready(()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Stage {
    /// The story's world, with a controller that has a ledger of its own.
    pub async fn new() -> Self {
        Self::of(WORLD).await
    }

    /// Another world.
    pub async fn of(world: &str) -> Self {
        let world =
            World::from_file(world, start(), Mode::Modelled { seed: 7 }).expect("the world file is valid");
        let sandbox = Sandbox::new(world, SandboxClock::standing(start()));
        let config =
            aws_types::SdkConfig::builder()
                .behavior_version(
                    aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::v2026_01_12(),
                )
                .region(aws_types::region::Region::new("eu-west-1"))
                .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                    "sandbox", "sandbox", None, None, "sandbox",
                )))
                .http_client(sandbox.connector())
                .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(NoSleep))
                .build();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = folder.path().join("ledger.sqlite");
        let mut stage = Self {
            sandbox,
            config,
            clock: Arc::new(Manual::new(start())),
            databases: (Arc::new(Servers::default()), Arc::new(System::default())),
            controller: None,
            runtime: None,
            ledger: Some(ledger),
            folder,
            calls: CallSet::default(),
            release: RELEASE.parse().expect("a name"),
            last: None,
        };
        // The service comes up before anybody asks anything of it.
        stage.pass_time(SignedDuration::from_mins(2));
        stage.restart().await;
        stage
    }

    /// Ends the controller as a crash would, wherever it is, and starts another one over the same ledger.
    pub async fn restart(&mut self) {
        self.crash();
        let path = self.ledger.clone().expect("a ledger path");
        let aws = Aws::from_config(&self.config, "/tidegate");
        let settings = SchemaSettings {
            roots: vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/migrations")],
            ..SchemaSettings::default()
        };
        let (databases, servers_clock) = self.databases.clone();
        let schema = SchemaAccess::new(settings, databases, servers_clock);
        let probes = Arc::new(Prober::new().expect("a prober"));
        let clock = self.clock.clone();
        let calls = Arc::clone(&self.calls);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let started = runtime.spawn(async move {
            let ledger = reopen(&path).await;
            let parts =
                Parts { aws, ledger, schema, probes, clock, telemetry: Arc::new(Calls(Arc::clone(&calls))) };
            let settings = Settings { jitter: 0.0, ..Settings::default() };
            Controller::new(parts, settings).await.expect("the controller starts")
        });
        self.controller = Some(started.await.expect("the controller starts"));
        self.runtime = Some(runtime);
    }

    /// Takes other target databases than real servers from now on, whose clock is the stage's own, and starts anew.
    pub async fn use_databases(&mut self, databases: Arc<dyn Databases>) {
        self.databases = (databases, self.clock());
        self.restart().await;
    }

    /// The clock of decisions.
    pub fn clock(&self) -> Arc<Manual> {
        Arc::clone(&self.clock)
    }

    fn crash(&mut self) {
        drop(self.controller.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// The ledger's file.
    ///
    /// # Panics
    /// If the controller was stopped for good.
    pub fn ledger(&self) -> &Path {
        self.ledger.as_deref().expect("a ledger path")
    }

    /// Loses the ledger and starts anew.
    pub async fn lose_ledger(&mut self) {
        self.crash();
        let fresh = self.folder.path().join(format!("ledger-{}.sqlite", self.sandbox.now().as_second()));
        self.ledger = Some(fresh);
        self.restart().await;
    }

    /// Lets time pass without a pass.
    pub fn pass_time(&mut self, by: SignedDuration) {
        self.sandbox.jump(by);
        let now = self.sandbox.now();
        let ours = tidegate_controller::Clock::now(&*self.clock);
        self.clock.advance(now.duration_since(ours));
    }

    /// Drives another release from here on; the one before stands still meanwhile.
    pub fn turn_to(&mut self, release: &str) {
        self.release = release.parse().expect("a name");
        self.last = None;
    }

    /// One pass over the release.
    pub async fn pass(&mut self) -> PassReport {
        self.pass_or_stop().await.expect("no fault stops this pass")
    }

    /// One pass, or nothing if an armed fault stopped everything in it.
    pub async fn pass_or_stop(&mut self) -> Option<PassReport> {
        let release = self.release.clone();
        let mut controller = self.controller.take().expect("a controller");
        let runtime = self.runtime.as_ref().expect("a runtime");
        let due = BTreeSet::from([release.clone()]);
        let passing = runtime.spawn(async move {
            let reports = controller.pass(&due).await;
            (controller, reports)
        });
        let sandbox = self.sandbox.clone();
        let stopped = async move {
            while sandbox.faults().stopped_at().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            biased;
            passed = passing => {
                let (controller, mut reports) = passed.expect("the pass does not panic");
                self.controller = Some(controller);
                let report = reports.remove(&release).expect("a report");
                self.last = Some(report.clone());
                // After the reply everything stops with the next call: the pass itself may have come to its end.
                self.sandbox.faults().stopped_at().is_none().then_some(report)
            }
            () = stopped => None,
        }
    }

    /// The status of the last pass.
    pub fn status(&self) -> &ReleaseStatus {
        &self.last.as_ref().and_then(|report| report.decision.as_ref()).expect("a decision").status
    }

    /// Passes and jumps from look to look until `done` says so.
    ///
    /// # Panics
    /// If it takes longer than `most` of virtual time: the panic shows where the release stands.
    #[track_caller]
    pub fn play_until<'s>(
        &'s mut self,
        most: SignedDuration,
        done: impl Fn(&ReleaseStatus) -> bool + 's,
    ) -> impl Future<Output = ()> + 's {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = self.sandbox.now() + most;
            let mut passes = 0;
            loop {
                let report = self.pass().await;
                passes += 1;
                let decision = report.decision.as_ref().expect("a decision");
                if std::env::var_os("STAGE_TRACE").is_some() {
                    trace(self.sandbox.now(), decision, &report);
                }
                if done(&decision.status) {
                    return;
                }
                let now = self.sandbox.now();
                assert!(
                    now < deadline && passes < 20_000,
                    "{caller}: not reached in {most:#}; status: {:#?}\nevents: {:#?}",
                    decision.status.waiting,
                    decision.status.events
                );
                let moved = decision.step.is_some() || !decision.entries.is_empty();
                let next =
                    if moved { now } else { decision.next_look.min(now + SignedDuration::from_secs(30)) };
                let wait = next.duration_since(now).max(SignedDuration::from_millis(500));
                self.pass_time(wait);
            }
        }
    }

    /// Plays until an armed fault stops everything, then kills the controller there and starts another one.
    ///
    /// # Panics
    /// If nothing is struck within 12 hours.
    pub async fn play_until_killed(&mut self) {
        let deadline = self.sandbox.now() + SignedDuration::from_hours(12);
        while let Some(report) = self.pass_or_stop().await {
            assert!(self.sandbox.now() < deadline, "the fault never struck");
            let decision = report.decision.expect("a decision");
            let now = self.sandbox.now();
            let moved = decision.step.is_some() || !decision.entries.is_empty();
            let next = if moved { now } else { decision.next_look.min(now + SignedDuration::from_secs(30)) };
            self.pass_time(next.duration_since(now).max(SignedDuration::from_millis(500)));
        }
        self.crash();
        self.sandbox.clear_faults();
        self.restart().await;
    }

    /// Plays until the release is healthy and settled under this spec version.
    pub async fn play_until_settled(&mut self, version: u64) {
        self.play_until(SignedDuration::from_hours(12), move |status| {
            status.summary == Summary::Healthy
                && status.rollout.phase == "settled"
                && status.versions.in_force.map(|v| v.0) == Some(version)
        })
        .await;
    }

    /// Decides again and expects nothing to do, then lets 24 hours pass with passes and expects no mutating call.
    #[track_caller]
    pub fn rest<'s>(&'s mut self) -> impl Future<Output = ()> + 's {
        let caller = std::panic::Location::caller();
        async move {
            let report = self.pass().await;
            let decision = report.decision.expect("a decision");
            assert_eq!(decision.step, None, "{caller}: a step was decided at rest");
            let before = self.effects();
            let end = self.sandbox.now() + SignedDuration::from_hours(24);
            while self.sandbox.now() < end {
                self.pass_time(SignedDuration::from_mins(10));
                self.pass().await;
            }
            let after = self.effects();
            assert_eq!(after.len(), before.len(), "{caller}: {:#?}", &after[before.len()..]);
        }
    }

    /// Looks for releases as the daemon's loop does.
    pub async fn discover(&self) -> BTreeSet<ReleaseName> {
        let calls = Calls(Arc::clone(&self.calls));
        let aws = Aws::from_config(&self.config, "/tidegate");
        let aws = aws.on_call(Arc::new(move |call| calls.aws_call(call)));
        aws.releases().await.expect("the releases are listed")
    }

    /// Every operation that the daemon called so far, with its service.
    pub fn calls(&self) -> BTreeSet<(&'static str, &'static str)> {
        self.calls.lock().expect("no call panicked").clone()
    }

    /// Mutating effects of the daemon: everything in the audit log but status writes and what tests did by hand.
    pub fn effects(&self) -> Vec<AuditEntry> {
        crate::by_daemon(self.sandbox.audit())
    }

    /// Writes a parameter under the release, as a person would.
    pub async fn put(&self, name: &str, value: &str) {
        self.put_path(&format!("/tidegate/{}/{name}", self.release), value).await;
    }

    /// Writes any parameter.
    pub async fn put_path(&self, path: &str, value: &str) {
        aws_sdk_ssm::Client::new(&self.config)
            .put_parameter()
            .name(path)
            .value(value)
            .r#type(aws_sdk_ssm::types::ParameterType::String)
            .overwrite(true)
            .send()
            .await
            .expect("the parameter is written");
    }

    /// Deletes a parameter under the release.
    pub async fn delete(&self, name: &str) {
        aws_sdk_ssm::Client::new(&self.config)
            .delete_parameter()
            .name(format!("/tidegate/{}/{name}", self.release))
            .send()
            .await
            .expect("the parameter is deleted");
    }

    /// Writes production weights by hand, as somebody with the console would.
    pub async fn edit_listener(&self, blue: i32, green: i32) {
        use aws_sdk_elasticloadbalancingv2::types as elb;
        let client = aws_sdk_elasticloadbalancingv2::Client::new(&self.config);
        let groups = client.describe_target_groups().send().await.expect("target groups");
        let arn = |name: &str| {
            let group = groups.target_groups().iter().find(|g| g.target_group_name() == Some(name));
            group.and_then(|g| g.target_group_arn()).expect("the group").to_owned()
        };
        let tuple = |name: &str, weight| {
            elb::TargetGroupTuple::builder().target_group_arn(arn(name)).weight(weight).build()
        };
        let forward = elb::ForwardActionConfig::builder()
            .target_groups(tuple("ecommerce-blue", blue))
            .target_groups(tuple("ecommerce-green", green))
            .build();
        let action =
            elb::Action::builder().r#type(elb::ActionTypeEnum::Forward).forward_config(forward).build();
        let production = {
            let world = self.sandbox.world();
            world.live_listeners().into_iter().find(|l| l.port == 8080).map(|l| l.arn).expect("the listener")
        };
        client
            .modify_listener()
            .listener_arn(production)
            .default_actions(action)
            .send()
            .await
            .expect("the edit");
    }

    /// Production weight of each target group, by name.
    pub fn weights(&self) -> Vec<(String, u32)> {
        let world = self.sandbox.world();
        let production = world.live_listeners().into_iter().find(|listener| listener.port == 8080);
        let name = |arn: &str| arn.split('/').nth(1).unwrap_or(arn).to_owned();
        production
            .map(|l| l.forward.iter().map(|(arn, weight)| (name(arn), *weight)).collect())
            .unwrap_or_default()
    }

    /// The image that serves: of the running tasks behind the group with weight.
    pub fn serving_image(&self) -> Option<String> {
        let world = self.sandbox.world();
        let production = world.live_listeners().into_iter().find(|listener| listener.port == 8080)?;
        let (group, _) = production.forward.iter().max_by_key(|(_, weight)| *weight)?;
        world.image_behind(group)
    }
}

/// Takes note of which operations are called.
struct Calls(CallSet);

type CallSet = Arc<Mutex<BTreeSet<(&'static str, &'static str)>>>;

impl Telemetry for Calls {
    fn aws_call(&self, call: &CallReport) {
        self.0.lock().expect("no call panicked").insert((call.service, call.operation));
    }
}

/// The lock of the ledger goes with the runtime that was ended: a moment later.
async fn reopen(path: &std::path::Path) -> Ledger {
    for _ in 0..500 {
        match Ledger::open(path).await {
            Ok(ledger) => return ledger,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    Ledger::open(path).await.expect("the ledger opens")
}

fn trace(now: Timestamp, decision: &tidegate_model::decision::Decision, report: &PassReport) {
    let status = &decision.status;
    eprintln!(
        "{now} {:?} {} green {:?} step {:?} -> {:?} | {}",
        status.summary,
        status.rollout.phase,
        status.rollout.green_weight,
        decision.step.as_ref().map(tidegate_model::decision::Step::as_str),
        report.resolution,
        status
            .waiting
            .iter()
            .map(|w| format!("{}: {}", w.reason.as_str(), w.message))
            .collect::<Vec<_>>()
            .join(" / ")
    );
}

/// The spec of an image, without a schema section.
pub fn spec(image: &str) -> String {
    spec_with(image, r#""bake": "10m""#)
}

/// The spec of an image with further members.
pub fn spec_with(image: &str, members: &str) -> String {
    format!(
        r#"{{
  "service": {{ "cluster": "ecommerce", "name": "ecommerce" }},
  "revision": {{ "container": "app", "image": "{image}" }},
  "traffic": {{ "engine": "codedeploy", "application": "ecommerce-bluegreen", "deploymentGroup": "ecommerce-bluegreen",
               "shift": {{ "linear": {{ "percent": 10, "every": "3m" }} }} }},
  {members}
}}"#
    )
}
