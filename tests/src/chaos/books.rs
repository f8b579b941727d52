//! The end: nobody is killed any more, a day passes, and everything is counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use tidegate_ledger::ReadOnly;
use tidegate_model::{
    decision::Step,
    ledger::{Entry, Resolution},
};
use tidegate_shop::customers::Forms;

use super::{
    ChaosError,
    report::{Intents, Report},
    scene::Scene,
    stage,
};
use crate::live::RELEASE;

/// What a good version does to AWS.
const RELEASED: [&str; 4] =
    ["RegisterTaskDefinition", "CreateDeployment", "ContinueDeployment", "ContinueDeployment"];
/// Versions before the contract.
const BEFORE_CONTRACT: u64 = 2;
/// Passwords of the story.
const PASSWORDS: [&str; 2] = ["sandbox-tidegate-password", "sandbox-shop-password"];

pub(super) async fn close(mut scene: Scene<'_>, releases: u64, begun: Instant) -> Result<Report, ChaosError> {
    let customers = scene.world.customers.take();
    let (traffic, writes) = match customers {
        Some(customers) => customers.stop().await,
        None => Default::default(),
    };
    let forms = if releases >= BEFORE_CONTRACT { Forms::New } else { Forms::Both };
    let mut database = scene.world.database().await?;
    let read = writes.read_back(&mut database, forms, SystemTime::now()).await;
    let read = read.map_err(stage("read acknowledged writes back"))?;
    drop(database);
    let effects = operations(&scene).await?;
    let late = a_day(&mut scene, effects.len()).await?;
    scene.note("at the end");
    scene.retire().await?;
    let intents = intents(&scene).await?;
    let log = scene.world.log();
    let leaked = PASSWORDS.iter().any(|password| log.contains(password));
    let Scene { world, figures, kills, early, .. } = scene;
    world.stop().await?;
    let (took, expected) = (begun.elapsed(), expected(releases));
    Ok(Report {
        kills,
        early,
        releases,
        took,
        traffic,
        read,
        effects,
        expected,
        late,
        intents,
        leaked,
        figures,
    })
}

async fn operations(scene: &Scene<'_>) -> Result<Vec<String>, ChaosError> {
    Ok(scene.world.effects().await?.into_iter().map(|entry| entry.operation).collect())
}

fn expected(releases: u64) -> Vec<&'static str> {
    let released = |number| {
        let snapshot = (number == BEFORE_CONTRACT).then_some("CreateDBSnapshot");
        RELEASED.into_iter().chain(snapshot)
    };
    (1..=releases).flat_map(released).collect()
}

/// Lets 24 hours pass with passes in between, and gives what was done in them.
async fn a_day(scene: &mut Scene<'_>, before: usize) -> Result<Vec<String>, ChaosError> {
    for _ in 0..12 {
        scene.world.jump("2h").await?;
        // The daemon asks for the time each second.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
    }
    let mut effects = operations(scene).await?;
    Ok(effects.split_off(before.min(effects.len())))
}

async fn intents(scene: &Scene<'_>) -> Result<Intents, ChaosError> {
    let ledger = ReadOnly::open(&scene.world.ledger).await.map_err(stage("open the ledger"))?;
    let release = RELEASE.parse().map_err(stage("name the release"))?;
    let history = ledger.history(&release).await.map_err(stage("read the ledger"))?;
    let mut open: BTreeMap<u64, Step> = BTreeMap::new();
    let mut intents = Intents::default();
    for record in history {
        match record.entry {
            Entry::Intended(intent) => {
                intents.all += 1;
                open.insert(intent.id, intent.step);
            }
            Entry::Resolved { intent, resolution } => match (open.remove(&intent), resolution) {
                (Some(step), Resolution::Done(_)) => {
                    intents.done += 1;
                    intents.at_aws += usize::from(changes_aws(&step));
                }
                (Some(_), Resolution::Refused { .. } | Resolution::NotApplied) => intents.without_effect += 1,
                (None, _) => intents.twice += 1,
            },
            _ => {}
        }
    }
    intents.open = open.len();
    Ok(intents)
}

/// True for steps that are a call which changes something at AWS; each is an operation of the audit log.
fn changes_aws(step: &Step) -> bool {
    match step {
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::CreateDeployment(_)
        | Step::ContinueTraffic { .. }
        | Step::ContinueTermination { .. }
        | Step::StopDeployment { .. }
        | Step::RunTask(_)
        | Step::CreateSnapshot { .. } => true,
        Step::Verify(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::Unhide(_)
        | Step::Purge(_) => false,
    }
}
