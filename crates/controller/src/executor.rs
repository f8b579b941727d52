//! Carries out one step: one exhaustive match, step to call. It makes no choice; what to do and when was decided.

use std::sync::Arc;

use tidegate_aws::{ActError, Aws};
use tidegate_model::{
    decision::{Outcome, Step},
    ledger::Resolution,
};

use crate::{probe::Probes, schema_access::SchemaAccess};

/// The hands: one for each place where steps have their effect.
#[derive(Clone)]
pub(crate) struct Executor {
    pub aws: Aws,
    pub schema: SchemaAccess,
    pub probes: Arc<dyn Probes>,
}

/// In whose name a step is sent: where it can be compared, a newer one is not overtaken.
#[derive(Clone, Copy)]
pub(crate) struct Authority<'a> {
    /// The ledger's identity.
    pub ledger: &'a str,
    /// The epoch in which this process leads the release by it.
    pub epoch: u64,
}

/// What came of sending a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    /// It had its effect, or was refused: known now.
    Resolved(Resolution),
    /// The answer was lost. Reading will tell; the step is not sent again before.
    InDoubt {
        /// Why, in a few words of our own.
        why: String,
    },
}

impl Executor {
    /// Sends a step and waits for its answer.
    pub(crate) async fn send(&self, step: &Step, by: Authority<'_>) -> Sent {
        match step {
            Step::RegisterTaskDefinition(_)
            | Step::CreateDeploymentConfig { .. }
            | Step::CreateDeployment(_)
            | Step::ContinueTraffic { .. }
            | Step::ContinueTermination { .. }
            | Step::StopDeployment { .. }
            | Step::RunTask(_)
            | Step::CreateSnapshot { .. } => sent_to_aws(self.aws.act(step).await),
            Step::Verify(verify) => {
                let failure = self.probes.verify(verify).await;
                done(Outcome::Probed { production: verify.production, failure })
            }
            Step::Expand(_) | Step::Backfill(_) | Step::Hide(_) | Step::Unhide(_) | Step::Purge(_) => {
                self.schema.perform(&self.aws, step, by).await
            }
        }
    }
}

pub(crate) fn done(outcome: Outcome) -> Sent {
    Sent::Resolved(Resolution::Done(outcome))
}

fn sent_to_aws(result: Result<Outcome, ActError>) -> Sent {
    match result {
        Ok(outcome) => done(outcome),
        Err(ActError::Refused { code, retry: _ }) => Sent::Resolved(Resolution::Refused { code }),
        Err(ActError::InDoubt { why }) => Sent::InDoubt { why },
        // The match above gives AWS only its own steps.
        Err(ActError::NotMine) => Sent::Resolved(Resolution::Refused { code: "NotMine".to_owned() }),
    }
}
