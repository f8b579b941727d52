//! The real controller over the modelled database: the planner finds in it all that it asks a real one for.

use std::sync::Arc;

use jiff::SignedDuration;
use tidegate_controller::Clock;
use tidegate_model::{gate::Gate, status::ReleaseStatus};
use tidegate_sandbox::Sandbox;
use tidegate_simulation::database::{Model, Open, Operation, Plans, Row, Servers, story};
use tidegate_tests::{
    database::{INSTANCE, schema_spec},
    stage::Stage,
};

use crate::schema::{approval, closed, hours, plan, schema_phase, snapshots};

/// A modelled database, and whom an oracle looks after.
struct Watched {
    model: Model,
    sandbox: Sandbox,
}

impl Watched {
    /// The stage's database is a model from now on.
    async fn start(stage: &mut Stage) -> Self {
        let rows = (1..=200).map(|key| (key, Row::Old));
        let setup = story::setup(rows, ("sandbox-tidegate-password", "sandbox-shop-password"));
        let model = Model::new(setup, stage.clock() as Arc<dyn Clock>, Plans::default());
        let servers = Servers::new(Arc::new(Open)).with("127.0.0.1", 5432, story::DATABASE, model.clone());
        stage.use_databases(Arc::new(servers)).await;
        Self { model, sandbox: stage.sandbox.clone() }
    }

    /// After each pass: the log is handed on, and every version that runs must find what it names.
    fn look(&self, running: &[&str]) {
        self.model.advance(self.model.now());
        self.model.deliver_log(&mut self.sandbox.world(), INSTANCE);
        for version in running {
            assert_eq!(self.model.fits(version), Ok(()), "{version} runs");
        }
    }

    async fn play(
        &self,
        stage: &mut Stage,
        (most, running): (SignedDuration, &[&str]),
        done: impl Fn(&ReleaseStatus) -> bool,
    ) {
        self.model.set_running(running);
        let seen = |status: &ReleaseStatus| {
            self.look(running);
            done(status)
        };
        stage.play_until(most, seen).await;
    }
}

fn settled(version: u64) -> impl Fn(&ReleaseStatus) -> bool {
    move |status| {
        status.rollout.phase == "settled"
            && status.versions.in_force.map(|version| version.0) == Some(version)
    }
}

/// Version 3 serves alone, and the change waits for its evidence.
async fn soaking() -> (Stage, Watched) {
    let mut stage = Stage::new().await;
    let watched = Watched::start(&mut stage).await;
    stage.put("spec", &schema_spec(&stage, "shop:v2")).await;
    watched.play(&mut stage, (hours(6), &["shop:v1"]), |s| s.rollout.phase == "verifying").await;
    watched.play(&mut stage, (hours(6), &["shop:v1", "shop:v2"]), settled(1)).await;
    watched
        .play(&mut stage, (hours(1), &["shop:v2"]), |s| {
            closed(s, Gate::ReadersGone).is_some_and(|message| message.contains("customers"))
        })
        .await;
    stage.put("spec", &schema_spec(&stage, "shop:v3")).await;
    watched.play(&mut stage, (hours(6), &["shop:v2", "shop:v3"]), settled(2)).await;
    watched.play(&mut stage, (hours(2), &["shop:v3"]), |s| schema_phase(s) == "soaking").await;
    (stage, watched)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_takes_the_story_s_change_from_expand_to_purge_in_the_model() {
    let (mut stage, watched) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    watched.play(&mut stage, (hours(12), &["shop:v3"]), |s| schema_phase(s) == "purged").await;
    assert!(watched.model.fits("shop:v1").is_err() && watched.model.fits("shop:v2").is_err());
    assert_eq!((watched.model.failed("shop:v3"), snapshots(&stage)), (0, 1));
    let taken: Vec<Operation> = watched.model.committed().iter().map(|step| step.operation).collect();
    assert_eq!(taken.iter().filter(|step| **step == Operation::Hide).count(), 1, "{taken:?}");
    assert_eq!(taken.last(), Some(&Operation::Purge), "{taken:?}");
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_misses_the_hidden_form_gets_it_back() {
    let (mut stage, watched) = soaking().await;
    let order = approval(2, &plan(&stage));
    stage.put("approve/contract", &order).await;
    watched.play(&mut stage, (hours(12), &["shop:v3"]), |s| schema_phase(s) == "hidden").await;
    let (job, _) = story::version_1("a job").statements.remove(0);
    watched.model.run(story::SHOP, &job, 1).expect_err("it is hidden");
    let (model, address) = (watched.model.clone(), story::customers());
    watched.play(&mut stage, (hours(2), &["shop:v3"]), |_| !model.is_hidden(&address, "address")).await;
    assert_eq!(watched.model.run(story::SHOP, &job, 1), Ok(()));
    assert_eq!(snapshots(&stage), 0);
}
