//! Chaos: whole releases under live traffic while the daemon is killed with SIGKILL at times that nobody chose.
//!
//! Everything is as it is for users: `tidegate run` and `tidegate sandbox` are processes, the shop's tasks too, PostgreSQL is real.
//! The tests that kill at each call and inside of each transaction know where it hurts; this one does not, and also hits what
//! nobody thought of: start-up, reading the ledger, the middle of a pass. Called by `cargo xtask chaos`, for as many kills as
//! somebody likes, and by a test for a few. Must not know how a release is decided: what is asked is that nothing is lost, no
//! request fails, each intent has at most one effect, and it ends as if nobody had been killed.

mod books;
mod figures;
mod report;
mod scene;
mod world;

use std::time::{Duration, Instant};

use serde_json::json;
use tidegate::local::{DaemonError, PeopleError};
use tidegate_model::status::Summary;

use self::{scene::Scene, world::World};

pub use self::report::Report;

/// No wait is longer, in real time: a release with a kill each second takes a few minutes.
const LIMIT: Duration = Duration::from_secs(900);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Kills; releases go on until there were as many.
    pub kills: usize,
    /// Of the dice.
    pub seed: u64,
    /// Virtual seconds in a real one.
    pub speed: u32,
    /// False: one release, which expands and backfills. True: the whole change up to its contract, and then some more.
    pub whole: bool,
}

/// It did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// Something that is needed could not be had.
    #[error("{what}")]
    Stage {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon does not start.
    #[error("start the daemon; the end of its log: {log}")]
    Daemon {
        /// The log's last lines.
        log: String,
        /// Why.
        source: DaemonError,
    },
    /// The daemon ended though nobody killed it.
    #[error("the daemon ended by itself; the end of its log: {log}")]
    Ended {
        /// The log's last lines.
        log: String,
    },
    /// A parameter could not be written.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// Something was waited for that does not come.
    #[error("{what} is not reached; the release is {state}; the end of the daemon's log: {log}")]
    NotReached {
        /// What.
        what: String,
        /// Where it stands.
        state: String,
        /// The log's last lines.
        log: String,
    },
    /// A good version went back.
    #[error("{what}: the release went back: {cause}")]
    WentBack {
        /// What was waited for.
        what: String,
        /// Why.
        cause: String,
    },
}

/// Makes a stage error of what went wrong.
fn stage<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> ChaosError {
    move |source| ChaosError::Stage { what, source: source.into() }
}

/// Plays it; each line is told as it comes. Nothing if it was interrupted. Whatever comes of it, nothing is left running.
///
/// # Errors
/// If it does not come to its end. What is broken at the end is in the report.
pub async fn run(
    settings: Settings,
    interrupted: impl Future<Output = ()>,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Option<Report>, ChaosError> {
    let begun = Instant::now();
    let Settings { kills, seed, speed, .. } = settings;
    tell(&format!("seed {seed}: {kills} kills, {speed} times as fast as real time"));
    let world = World::start(speed).await?;
    let mut scene = Scene::open(world, settings, tell).await?;
    let played = tokio::select! {
        played = play(&mut scene, settings) => played.map(Some),
        () = interrupted => Ok(None),
    };
    match played {
        Ok(Some(releases)) => books::close(scene, releases, begun).await.map(Some),
        Ok(None) => scene.leave().await.map(|()| None),
        Err(error) => {
            scene.leave().await?;
            Err(error)
        }
    }
}

/// What people write, and what must become of it. Gives how many releases there were.
async fn play(scene: &mut Scene<'_>, settings: Settings) -> Result<u64, ChaosError> {
    scene.release(2, 1).await?;
    settled(scene, 1).await?;
    if !settings.whole {
        return Ok(1);
    }
    scene.release(3, 2).await?;
    settled(scene, 2).await?;
    let plan =
        scene.until("the plan is shown", |s| s.schema.as_ref().map(|schema| schema.plan.clone())).await?;
    scene.world.people.put("approve/contract", &json!({ "spec": 2, "plan": plan }).to_string()).await?;
    scene.until("the old form is purged", |s| (s.schema.as_ref()?.phase == "purged").then_some(())).await?;
    scene.note("after the schema change");
    let mut releases = 2;
    while scene.kills < settings.kills {
        releases += 1;
        scene.release(3, releases).await?;
        settled(scene, releases).await?;
        scene.note(&format!("after release {releases}"));
    }
    Ok(releases)
}

async fn settled(scene: &mut Scene<'_>, version: u64) -> Result<(), ChaosError> {
    let what = format!("version {version} settles");
    let cause = scene.until(&what, |status| match status.summary {
        Summary::RolledBack => Some(Some(status.rollout.cause.clone().unwrap_or_default())),
        Summary::Healthy => {
            let settled = status.rollout.phase == "settled";
            (settled && status.versions.in_force.is_some_and(|v| v.0 == version)).then_some(None)
        }
        Summary::Progressing
        | Summary::Waiting
        | Summary::Held
        | Summary::RollingBack
        | Summary::Invalid
        | Summary::Unknown => None,
    });
    match cause.await? {
        Some(cause) => Err(ChaosError::WentBack { what, cause }),
        None => {
            scene.tell(&format!("{what} after {} kills", scene.kills));
            Ok(())
        }
    }
}
