//! Where a CodeDeploy deployment is, from its status, its target and the listener together. Source: the lifecycle table
//! of an ECS deployment; a status alone is never believed.

use tidegate_model::{
    Fact, ReleaseName,
    name::Marker,
    observation::{Deployment, DeploymentStatus, Observation, TargetGroup},
};

use crate::traffic::green_percent;

/// Where a deployment is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Where {
    /// Green's tasks are being made; no production weight has moved.
    Installing,
    /// It waits at Ready for us.
    Ready,
    /// Traffic was let go and moves; green's share as CodeDeploy says it.
    Shifting { asked: Option<u8> },
    /// All weight is on green and blue is kept.
    Shifted { waiting: bool },
    /// It ended well.
    Succeeded,
    /// It ended otherwise.
    Ended { code: String, rolled_back_by: Option<String> },
}

/// Reads where `deployment` is. `let_go` says that production traffic was let go by us, which the status alone cannot
/// tell from installing.
pub(crate) fn read(deployment: &Deployment, seen: &Observation, green: &TargetGroup, let_go: bool) -> Where {
    let target = deployment.target.known();
    let asked = target.and_then(|t| t.green_weight);
    // Weight that CodeDeploy has not moved is somebody's edit; only where its target cannot be read the listener is believed.
    let moved = target.map_or_else(
        || green_percent(&seen.listeners, green).is_some_and(|share| share > 0.0),
        |target| target.traffic_since.is_some(),
    );
    match deployment.status {
        DeploymentStatus::Created | DeploymentStatus::Queued => Where::Installing,
        DeploymentStatus::Ready => Where::Ready,
        DeploymentStatus::InProgress | DeploymentStatus::Other if deployment.termination_wait_started => {
            Where::Shifted { waiting: true }
        }
        DeploymentStatus::InProgress | DeploymentStatus::Other => {
            let all_moved = target.is_some_and(|t| t.traffic_until.is_some());
            match (all_moved, let_go || moved) {
                (true, _) => Where::Shifted { waiting: false },
                (false, true) => Where::Shifting { asked },
                (false, false) => Where::Installing,
            }
        }
        DeploymentStatus::Succeeded => Where::Succeeded,
        DeploymentStatus::Failed | DeploymentStatus::Stopped => Where::Ended {
            code: deployment.error.clone().unwrap_or_else(|| {
                if deployment.status == DeploymentStatus::Failed { "FAILED".into() } else { "STOPPED".into() }
            }),
            rolled_back_by: deployment.rolled_back_by.clone(),
        },
    }
}

/// A deployment by its id: absent only if the list is complete.
pub(crate) fn deployment<'o>(seen: &'o Observation, id: &str) -> Fact<&'o Deployment> {
    match seen.deployments.as_ref() {
        Fact::Known(all) => all.iter().find(|d| d.id == id).map_or(Fact::Absent, Fact::Known),
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

/// A deployment that is under way and was made for the same spec, in the same direction, as `marker` says.
pub(crate) fn under_way<'o>(seen: &'o Observation, marker: &Marker) -> Option<&'o Deployment> {
    let same = |found: &Marker| found.same_spec(marker) && found.takes_back() == marker.takes_back();
    let ours = |d: &&Deployment| !d.is_rollback && d.marker.as_ref().is_some_and(same);
    seen.deployments.known()?.iter().filter(ours).find(|d| !d.status.is_terminal())
}

/// The newest deployment with our marker for this release, rollbacks left out.
pub(crate) fn newest_of_ours<'o>(
    deployments: &'o [Deployment],
    release: &ReleaseName,
) -> Option<&'o Deployment> {
    deployments
        .iter()
        .filter(|d| !d.is_rollback && d.marker.as_ref().is_some_and(|marker| &marker.release == release))
        .max_by_key(|d| d.created)
}
