//! Following a release by what the daemon says of it, and telling what changes.

use std::time::{Duration, Instant};

use tidegate_model::status::{ReleaseStatus, Summary};

use super::{
    stage::{RELEASE, Stage},
    timeline::Timeline,
};
use crate::exit::Failure;

const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
enum TellerError {
    #[error("{scene}: not reached in {} s; the release is {state}", limit.as_secs())]
    TooLong { scene: &'static str, limit: Duration, state: String },
    #[error("{scene}: the release went back: {cause}")]
    WentBack { scene: &'static str, cause: String },
}

/// Follows one release.
pub(crate) struct Teller<'s> {
    pub(super) stage: &'s Stage,
    pub(super) timeline: &'s Timeline,
    limit: Duration,
    phase: String,
    schema: String,
    weight: Option<f64>,
}

impl<'s> Teller<'s> {
    /// Has told nothing yet; waits for nothing longer than `limit`, in real time.
    pub(crate) fn new(stage: &'s Stage, timeline: &'s Timeline, limit: Duration) -> Self {
        Self { stage, timeline, limit, phase: String::new(), schema: String::new(), weight: None }
    }

    /// Writes a parameter below the release.
    ///
    /// # Errors
    /// If Parameter Store refuses it.
    pub(crate) async fn put(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.stage.people.put(name, value).await.map_err(Failure::internal)
    }

    /// Waits until the release of a spec version is over: settled, or rolled back.
    ///
    /// # Errors
    /// If neither is reached in time.
    pub(crate) async fn over(&mut self, scene: &'static str, version: u64) -> Result<ReleaseStatus, Failure> {
        // What went back before is still told until this version begins.
        self.until(scene, |status| status.versions.in_flight.filter(|flying| flying.0 == version)).await?;
        self.until(scene, |status| match status.summary {
            Summary::RolledBack => Some(status.clone()),
            Summary::Healthy
                if status.rollout.phase == "settled"
                    && status.versions.in_force.is_some_and(|v| v.0 == version) =>
            {
                Some(status.clone())
            }
            Summary::Healthy
            | Summary::Progressing
            | Summary::Waiting
            | Summary::Held
            | Summary::RollingBack
            | Summary::Invalid
            | Summary::Unknown => None,
        })
        .await
    }

    pub(super) async fn settled(&mut self, scene: &'static str, version: u64) -> Result<(), Failure> {
        let status = self.over(scene, version).await?;
        match status.summary {
            Summary::RolledBack => {
                let cause = status.rollout.cause.unwrap_or_default();
                Err(Failure::internal(TellerError::WentBack { scene, cause }))
            }
            Summary::Healthy
            | Summary::Progressing
            | Summary::Waiting
            | Summary::Held
            | Summary::RollingBack
            | Summary::Invalid
            | Summary::Unknown => Ok(()),
        }
    }

    /// Looks until `found` finds something, and tells what changes meanwhile.
    pub(super) async fn until<T>(
        &mut self,
        scene: &'static str,
        found: impl Fn(&ReleaseStatus) -> Option<T>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < self.limit {
            if let Some(status) = self.follow().await
                && let Some(value) = found(&status)
            {
                return Ok(value);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.too_long(scene).await)
    }

    pub(super) async fn too_long(&self, scene: &'static str) -> Failure {
        let status = self.stage.daemon.status(RELEASE).await;
        let state = status.map_or("unknown".to_owned(), |status| {
            let waits: Vec<&str> = status.waiting.iter().map(|wait| wait.message.as_str()).collect();
            format!("{}: {}", status.rollout.phase, waits.join("; "))
        });
        Failure::internal(TellerError::TooLong { scene, limit: self.limit, state })
    }

    pub(super) async fn follow(&mut self) -> Option<ReleaseStatus> {
        let status = self.stage.daemon.status(RELEASE).await?;
        let rollout = &status.rollout;
        if rollout.phase != self.phase {
            self.phase.clone_from(&rollout.phase);
            self.timeline.note(&format!("rollout: {}", rollout.phase));
        }
        if rollout.green_weight != self.weight {
            self.weight = rollout.green_weight;
            if let Some(weight) = rollout.green_weight {
                self.timeline.note(&format!("green has {weight} % of the traffic"));
            }
        }
        if let Some(schema) = &status.schema
            && schema.phase != self.schema
        {
            self.schema.clone_from(&schema.phase);
            self.timeline.note(&format!("schema: {}", schema.phase));
        }
        let traffic = self.stage.traffic();
        let waits = status.waiting.first().map_or("", |wait| wait.message.as_str());
        self.timeline.now(format!("{} requests, {} failed · {waits}", traffic.sent, traffic.failed));
        Some(status)
    }
}
