//! The daemon under the dice: it lives as long as they say, is killed, and is started again.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tidegate::local::Daemon;
use tidegate_model::status::ReleaseStatus;

use super::{ChaosError, LIMIT, Settings, figures::Figures, stage, world::World};
use crate::live::{self, RELEASE};

const LOOK: Duration = Duration::from_millis(50);
/// Longest life, in milliseconds: some passes.
const LIFE: u64 = 3_000;
/// One life in so many ends while the daemon starts, within the milliseconds behind it.
const EARLY: (u32, u64) = (5, 400);

/// A world with a daemon that will be killed.
pub(super) struct Scene<'t> {
    pub(super) world: World,
    pub(super) figures: Figures,
    pub(super) kills: usize,
    /// Of them, those before the daemon answered.
    pub(super) early: usize,
    settings: Settings,
    dice: Rng,
    /// Always there but while it is killed.
    daemon: Option<Daemon>,
    born: Instant,
    dies_after: Duration,
    answered: bool,
    /// The phase that was seen last.
    seen: String,
    secret: String,
    begun: Instant,
    tell: &'t (dyn Fn(&str) + Sync),
}

impl<'t> Scene<'t> {
    pub(super) async fn open(
        world: World,
        settings: Settings,
        tell: &'t (dyn Fn(&str) + Sync),
    ) -> Result<Self, ChaosError> {
        let secret = world.secret().await?;
        let daemon = Some(begin(&world)?);
        let mut dice = Rng::with_seed(settings.seed);
        let dies_after = life(&mut dice);
        let now = Instant::now();
        let mut scene = Self {
            world,
            figures: Figures::default(),
            kills: 0,
            early: 0,
            settings,
            dice,
            daemon,
            born: now,
            dies_after,
            answered: false,
            seen: "nothing".to_owned(),
            secret,
            begun: now,
            tell,
        };
        scene.note("at the beginning");
        Ok(scene)
    }

    pub(super) fn tell(&self, what: &str) {
        (self.tell)(&format!("{:6.1}s  {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// Writes the spec: a version of the shop, for the n-th time.
    pub(super) async fn release(&self, version: u32, run: u64) -> Result<(), ChaosError> {
        let folder = self.world.change.display().to_string();
        let mut spec = live::spec(version, &self.secret, &folder);
        // A further release of the same image is another revision.
        spec["revision"]["environment"] = serde_json::json!({ "APP_VERSION": format!("{version}.{run}") });
        self.world.people.put("spec", &spec.to_string()).await?;
        self.tell(&format!("release {run}: image shop:v{version}"));
        Ok(())
    }

    /// Waits until `found` finds something in the status, and kills meanwhile.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        found: impl Fn(&ReleaseStatus) -> Option<T>,
    ) -> Result<T, ChaosError> {
        let begun = Instant::now();
        loop {
            self.live_or_die().await?;
            let asked = async { self.daemon.as_ref()?.status(RELEASE).await };
            if let Some(status) = asked.await {
                self.answered = true;
                self.seen = seen(&status);
                if let Some(value) = found(&status) {
                    return Ok(value);
                }
            }
            if begun.elapsed() > LIMIT {
                let state = self.seen.clone();
                return Err(ChaosError::NotReached {
                    what: what.to_owned(),
                    state,
                    log: self.world.end_of_log(),
                });
            }
            tokio::time::sleep(LOOK.min(self.dies_after.saturating_sub(self.born.elapsed()))).await;
        }
    }

    /// Kills the daemon if its time has come.
    async fn live_or_die(&mut self) -> Result<(), ChaosError> {
        let ended = self.daemon.as_mut().map_or(Ok(true), Daemon::has_ended);
        if ended.map_err(stage("look after the daemon"))? {
            return Err(ChaosError::Ended { log: self.world.end_of_log() });
        }
        if self.kills >= self.settings.kills || self.born.elapsed() < self.dies_after {
            return Ok(());
        }
        let age = self.born.elapsed();
        if let Some(daemon) = self.daemon.take() {
            self.figures.dies(daemon.id(), age, self.answered);
            // Waits until the process is gone, and the ledger's lock with it.
            daemon.kill().await.map_err(stage("kill the daemon"))?;
        }
        self.kills += 1;
        self.early += usize::from(!self.answered);
        let when = if self.answered { self.seen.as_str() } else { "before it answered" };
        let (kills, of) = (self.kills, self.settings.kills);
        self.tell(&format!("kill {kills} of {of}, {} ms old: {when}", age.as_millis()));
        self.daemon = Some(begin(&self.world)?);
        (self.born, self.dies_after, self.answered) = (Instant::now(), life(&mut self.dice), false);
        Ok(())
    }

    /// Ends the daemon that lives in order.
    pub(super) async fn retire(&mut self) -> Result<(), ChaosError> {
        match self.daemon.take() {
            Some(daemon) => daemon.stop().await.map_err(stage("stop the daemon")),
            None => Ok(()),
        }
    }

    /// Stops everything, whatever it was at.
    pub(super) async fn leave(mut self) -> Result<(), ChaosError> {
        self.retire().await?;
        self.world.stop().await
    }

    /// Notes what processes hold now.
    pub(super) fn note(&mut self, when: &str) {
        let daemon = self.daemon.as_ref().and_then(Daemon::id);
        self.figures.note(when, self.world.sandbox_id(), daemon.map(|id| (id, self.born.elapsed())));
    }
}

fn begin(world: &World) -> Result<Daemon, ChaosError> {
    Daemon::begin(&world.settings).map_err(|source| ChaosError::Daemon { log: world.end_of_log(), source })
}

fn life(dice: &mut Rng) -> Duration {
    let (one_in, within) = EARLY;
    let most = if dice.u32(..one_in) == 0 { within } else { LIFE };
    Duration::from_millis(dice.u64(..most))
}

fn seen(status: &ReleaseStatus) -> String {
    let schema = status.schema.as_ref().map(|schema| format!(", {}", schema.phase)).unwrap_or_default();
    let weight =
        status.rollout.green_weight.map(|weight| format!(", green {weight:.0} %")).unwrap_or_default();
    format!("{}{weight}{schema}", status.rollout.phase)
}
