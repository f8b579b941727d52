//! What CodeDeploy does wrong, for those who test what a client makes of it. Each mishap is one that was seen: a deployment that
//! says `Succeeded` while traffic is elsewhere, one that hears nothing, one that fails half way and leaves everything, a
//! rollback that fails, a stop that is taken and not carried out.
//!
//! Called by the simulation; nothing here is reachable through a wire protocol, and no deployment has a mishap by itself.

use jiff::{SignedDuration, Timestamp};

use super::{Creator, DeploymentStatus, Stage, stop};
use crate::world::World;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeDeployMishap {
    /// It says that it succeeded, and does nothing more: weights, task sets and primary stay as they are. Source: aws
    /// containers-roadmap #1941, a success with a replacement that does not serve.
    SaysSucceeded,
    /// It stands still for so long, at Ready too: what it is told is taken, and nothing comes of it.
    Stands(SignedDuration),
    /// It fails in the middle of its shift, and nobody takes it back: weights and task sets stay.
    FailsHalfWay,
    /// Its rollback, whoever begins it, fails before any weight has moved.
    RollbackFails,
    /// The next stop is taken, and it goes on as if nobody had asked. Source: ecspresso #663.
    StopIsLost,
}

/// What is to go wrong with a deployment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    Stands(Timestamp),
    RollbackFails,
    StopIsLost,
}

impl World {
    /// Lets something go wrong with the newest deployment that somebody began, if it is one that this can happen to now.
    pub fn codedeploy_goes_wrong(&mut self, how: CodeDeployMishap) -> bool {
        let now = self.now();
        let open = |deployment: &&mut super::Deployment| {
            deployment.creator == Creator::User && !deployment.status.is_terminal()
        };
        let Some(deployment) = self.codedeploy.deployments.values_mut().find(open) else { return false };
        let id = deployment.id.clone();
        match how {
            CodeDeployMishap::SaysSucceeded => {
                if deployment.green.task_set.is_empty() {
                    return false;
                }
                deployment.stage = Stage::Ended;
                deployment.turn += 1;
                deployment.status = DeploymentStatus::Succeeded;
                deployment.completed = Some(now);
            }
            CodeDeployMishap::Stands(lasts) => deployment.mishap = Some(Later::Stands(now + lasts)),
            CodeDeployMishap::FailsHalfWay => {
                if deployment.stage != Stage::AllowTraffic {
                    return false;
                }
                stop::give_up(self, &id, "INTERNAL_ERROR", "There was an internal error.");
            }
            CodeDeployMishap::RollbackFails => deployment.mishap = Some(Later::RollbackFails),
            CodeDeployMishap::StopIsLost => deployment.mishap = Some(Later::StopIsLost),
        }
        self.note_effect("codedeploy", "Mishap", &id, format!("{how:?}"), None);
        true
    }

    /// Until when a deployment stands still.
    pub(super) fn stands_until(&self, id: &str) -> Option<Timestamp> {
        match self.codedeploy.deployments.get(id)?.mishap? {
            Later::Stands(until) => Some(until).filter(|until| *until > self.now()),
            Later::RollbackFails | Later::StopIsLost => None,
        }
    }
}
