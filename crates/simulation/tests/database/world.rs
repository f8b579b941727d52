//! The story's database as a model alone, with one process of ours in front of it.

use std::{path::Path, sync::Arc};

use tidegate_controller::{Clock, Manual};
use tidegate_model::{
    ReleaseName,
    name::Marker,
    schema::{ChangePlan, CheckScope, FilePhase, SchemaObservation},
    spec::DatabaseSpec,
};
use tidegate_schema::{
    Databases as _, Endpoint, Epoch, Job, RawFile, Secret, TargetDatabase, Wanted, source, sql,
};
use tidegate_simulation::database::{Gate, Model, Open, Plans, Row, Servers, Setup, story};

/// Everything that an observation can be asked for.
pub(crate) const ALL: Wanted =
    Wanted { blockers: true, check: Some(CheckScope::Whole), evidence: true, certificate: true };

pub(crate) struct World {
    pub(crate) clock: Arc<Manual>,
    pub(crate) model: Model,
    pub(crate) release: ReleaseName,
    pub(crate) marker: Marker,
    pub(crate) plan: ChangePlan,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A server that is set up in another way.
    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let clock = Arc::new(Manual::new("2026-11-23T07:00:00Z".parse().unwrap()));
        let mut setup = story::setup((1..=2_500).map(|key| (key, Row::Old)), ("ours", "theirs"));
        change(&mut setup);
        let model = Model::new(setup, Arc::clone(&clock) as Arc<dyn Clock>, Plans::default());
        let (release, marker) =
            ("ecommerce".parse().unwrap(), "tidegate:ecommerce/1-0a1b2c3d/i1".parse().unwrap());
        Self { clock, model, release, marker, plan: story_plan(1_000) }
    }

    /// A process of ours, with nothing in its way.
    pub(crate) fn process(&self) -> Arc<dyn TargetDatabase> {
        self.process_behind(Arc::new(Open))
    }

    pub(crate) fn process_behind(&self, gate: Arc<dyn Gate>) -> Arc<dyn TargetDatabase> {
        let servers = Servers::new(gate).with("db.internal", 5432, story::DATABASE, self.model.clone());
        let endpoint = Endpoint { host: "db.internal".into(), port: 5432, database: story::DATABASE.into() };
        servers
            .open(&Secret::new(r#"{"username":"tidegate","password":"ours"}"#.into()), Some(&endpoint))
            .unwrap()
    }

    pub(crate) fn job(&self, epoch: Epoch) -> Job<'_> {
        Job { release: &self.release, plan: &self.plan, marker: &self.marker, epoch }
    }

    pub(crate) fn files(&self, phase: FilePhase) -> Vec<String> {
        self.plan.files(phase).map(|file| file.name.clone()).collect()
    }

    pub(crate) async fn observe(&self, database: &dyn TargetDatabase) -> SchemaObservation {
        database.observe(&self.release, &self.plan, ALL).await
    }
}

/// The story's change, with batches of a size.
pub(crate) fn story_plan(batch: u32) -> ChangePlan {
    let root =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/migrations")).canonicalize().unwrap();
    let mut files = source::read_folder(root.join("structured-address").to_str().unwrap(), &[root]).unwrap();
    for file in &mut files {
        file.text = file.text.replace("batch=1000", &format!("batch={batch}"));
    }
    plan("structured-address", files)
}

/// A plan from files.
pub(crate) fn plan(change: &str, files: Vec<RawFile>) -> ChangePlan {
    let database =
        DatabaseSpec { secret: "arn:aws:secretsmanager:x".into(), instance: "ecommerce-db".into() };
    sql::plan(&change.parse().unwrap(), &database, files).unwrap()
}

/// A plan from files given as text.
pub(crate) fn plan_of(change: &str, files: &[(&str, &str)]) -> ChangePlan {
    plan(
        change,
        files.iter().map(|(name, text)| RawFile { name: (*name).into(), text: (*text).into() }).collect(),
    )
}
