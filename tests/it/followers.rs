//! Two controllers on one ledger in virtual time: one leads, the other shows what it was told, and goes on when it leads.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use jiff::SignedDuration;
use tidegate_aws::Aws;
use tidegate_controller::{
    Controller, Manual, Parts, PassReport, PassResult, Prober, SchemaAccess, SchemaSettings, Settings,
    Silent, System,
};
use tidegate_ledger::{Ledger, store::memory::Memory};
use tidegate_model::{ReleaseName, ledger::Resolution, status::Published};
use tidegate_schema::Servers;
use tidegate_tests::{
    database::{Database, schema_spec},
    stage::{RELEASE, Stage, spec},
};

struct Daemon {
    controller: Controller,
    ledger: Ledger,
    clock: Arc<Manual>,
}

impl Daemon {
    async fn start(stage: &Stage, store: &Memory, name: &str) -> Self {
        let ledger = Ledger::on(Arc::new(store.clone()), name);
        let clock = Arc::new(Manual::new(stage.sandbox.now()));
        let roots = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/migrations")];
        let parts = Parts {
            aws: Aws::from_config(&stage.config, "/tidegate"),
            ledger: ledger.clone(),
            schema: SchemaAccess::new(
                SchemaSettings { roots, ..SchemaSettings::default() },
                Arc::new(Servers::default()),
                Arc::new(System::default()),
            ),
            probes: Arc::new(Prober::new().expect("a prober")),
            clock: clock.clone(),
            telemetry: Arc::new(Silent),
        };
        let settings = Settings { jitter: 0.0, ..Settings::default() };
        let controller = Controller::new(parts, settings).await.expect("it starts");
        Self { controller, ledger, clock }
    }

    /// One pass over the release, at the sandbox's time.
    async fn pass(&mut self, stage: &Stage) -> PassResult {
        self.report(stage).await.result
    }

    async fn report(&mut self, stage: &Stage) -> PassReport {
        let now = tidegate_controller::Clock::now(&*self.clock);
        self.clock.advance(stage.sandbox.now().duration_since(now));
        let mut reports = self.controller.pass(&BTreeSet::from([release()])).await;
        reports.remove(&release()).expect("a report")
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.controller.published().borrow())
    }

    fn phase(&self) -> String {
        self.published().releases[&release()].rollout.phase.clone()
    }

    /// Passes until the traffic machine is in a phase.
    async fn play_until(&mut self, stage: &Stage, phase: &str) {
        for _ in 0..400 {
            self.pass(stage).await;
            if self.phase() == phase {
                return;
            }
            stage.sandbox.jump(SignedDuration::from_secs(20));
        }
        panic!("{phase} is not reached; it is {}", self.phase());
    }
}

fn release() -> ReleaseName {
    RELEASE.parse().expect("a name")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_shows_what_it_is_told_and_goes_on_where_the_leader_ended() {
    let stage = Stage::new().await;
    stage.put("spec", &spec("shop:v2")).await;
    let store = Memory::default();
    let mut one = Daemon::start(&stage, &store, "one").await;
    let mut other = Daemon::start(&stage, &store, "other").await;
    one.play_until(&stage, "shifting").await;

    let before = stage.effects().len();
    assert_eq!(other.pass(&stage).await, PassResult::Following);
    let shown = other.published();
    let status = &shown.releases[&release()];
    assert_eq!((status.rollout.phase.as_str(), status.led_by.as_deref()), ("shifting", Some("one")));
    assert_eq!(shown.followed[&release()], "one");
    assert!(shown.last_pass.is_some(), "who follows is ready");
    assert_eq!(stage.effects().len(), before, "who follows does nothing");

    one.ledger.resign().await.expect("the lease is given back");
    assert_ne!(other.pass(&stage).await, PassResult::Following);
    assert!(other.published().followed.is_empty());
    assert_eq!(other.published().releases[&release()].led_by, None);
    assert_eq!(one.pass(&stage).await, PassResult::Following);
    assert_eq!(one.published().followed[&release()], "other");

    other.play_until(&stage, "settled").await;
    let effects: Vec<String> = stage.effects().into_iter().map(|entry| entry.operation).collect();
    assert_eq!(
        effects,
        ["RegisterTaskDefinition", "CreateDeployment", "ContinueDeployment", "ContinueDeployment"],
        "exactly one effect of each intent"
    );
}

/// Each time in office is a new epoch, and the database is claimed anew in each: whoever was overtaken leads again.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_carried_out_though_its_leader_changes_after_every_pass() {
    let stage = Stage::new().await;
    let database = Database::start(&stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    let store = Memory::default();
    let mut daemons =
        [Daemon::start(&stage, &store, "one").await, Daemon::start(&stage, &store, "other").await];
    for pass in 0..400 {
        let daemon = &mut daemons[pass % 2];
        let report = daemon.report(&stage).await;
        assert_ne!(report.result, PassResult::Following);
        let fenced = Resolution::Refused { code: "Fenced".into() };
        assert_ne!(report.resolution, Some(fenced), "the leader is not fenced off by a claim of the past");
        if daemon.phase() == "shifting" {
            break;
        }
        assert!(pass < 399, "traffic never shifts: {:#?}", daemon.published().releases[&release()].waiting);
        daemon.ledger.resign().await.expect("the lease is given back");
        stage.sandbox.jump(SignedDuration::from_secs(20));
    }
    assert!(database.has_column("street_address").await);
    let unfilled = "SELECT count(*) FROM customers WHERE address IS NOT NULL AND street_address IS NULL";
    assert_eq!(database.count(unfilled).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_release_ends_with_the_release() {
    let stage = Stage::new().await;
    let store = Memory::default();
    let mut one = Daemon::start(&stage, &store, "one").await;
    stage.put("spec", &spec("shop:v2")).await;
    one.play_until(&stage, "shifting").await;
    one.play_until(&stage, "settled").await;
    assert!(one.ledger.published(&release()).await.expect("it is read").is_some());
    assert_eq!(one.published().releases.len(), 1);
    stage.delete("spec").await;
    for _ in 0..5 {
        stage.sandbox.jump(SignedDuration::from_mins(1));
        one.pass(&stage).await;
    }
    assert_eq!(one.published().releases.len(), 0);
    assert_eq!(one.ledger.published(&release()).await.expect("it is read"), None);
}
