//! Two controllers on one ledger in virtual time: one leads, the other shows what it was told, and goes on when it leads.

use std::{collections::BTreeSet, sync::Arc};

use jiff::SignedDuration;
use tidegate_aws::Aws;
use tidegate_controller::{
    Controller, Manual, Parts, PassResult, SchemaAccess, SchemaSettings, Settings, Silent,
};
use tidegate_ledger::{Ledger, store::memory::Memory};
use tidegate_model::{ReleaseName, status::Published};
use tidegate_tests::stage::{RELEASE, Stage, spec};

struct Daemon {
    controller: Controller,
    ledger: Ledger,
    clock: Arc<Manual>,
}

impl Daemon {
    async fn start(stage: &Stage, store: &Memory, name: &str) -> Self {
        let ledger = Ledger::on(Arc::new(store.clone()), name);
        let clock = Arc::new(Manual::new(stage.sandbox.now()));
        let parts = Parts {
            aws: Aws::from_config(&stage.config, "/tidegate"),
            ledger: ledger.clone(),
            schema: SchemaAccess::new(SchemaSettings::default()),
            clock: clock.clone(),
            telemetry: Arc::new(Silent),
        };
        let settings = Settings { jitter: 0.0, ..Settings::default() };
        let controller = Controller::new(parts, settings).await.expect("it starts");
        Self { controller, ledger, clock }
    }

    /// One pass over the release, at the sandbox's time.
    async fn pass(&mut self, stage: &Stage) -> PassResult {
        let now = tidegate_controller::Clock::now(&*self.clock);
        self.clock.advance(stage.sandbox.now().duration_since(now));
        let mut reports = self.controller.pass(&BTreeSet::from([release()])).await;
        reports.remove(&release()).expect("a report").result
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
