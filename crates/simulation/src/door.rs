//! A machine's way to the release's database: the modelled one, behind the same faults as everything else.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_schema::Failure as Refusal;

use crate::{
    database::{Answer, Gate, Operation, Verdict},
    deeds::Trouble,
    fault::Failure,
    machine::Machine,
    scene::{Crossing, Passage, Scene, locked},
};

/// The door of one process.
pub(crate) struct Door {
    pub(crate) scene: Arc<Scene>,
    pub(crate) machine: Arc<Machine>,
    /// What is still to strike the operation that is under way: a release has one at a time.
    pub(crate) passage: Mutex<Option<Passage>>,
}

fn crossing(operation: Operation) -> Crossing {
    Crossing { operation: format!("database.{}", operation.as_str()), changes: operation.changes() }
}

impl Gate for Door {
    fn before(&self, operation: Operation) -> BoxFuture<'_, Verdict> {
        async move {
            self.scene.begins(&self.machine, operation);
            match self.scene.enter(&self.machine, &crossing(operation)).await {
                Ok(mut passage) => {
                    let trouble = locked(&self.scene.troubles).strike(operation);
                    if let Some((how, trouble)) = trouble {
                        self.scene.failed_at(&crossing(operation), how);
                        match trouble {
                            Trouble::Fails(failure) => return Verdict::Fail(failure),
                            Trouble::IsLost => passage.is_lost(),
                        }
                    }
                    *locked(&self.passage) = Some(passage);
                    Verdict::Pass
                }
                Err(how) => Verdict::Fail(refusal(how)),
            }
        }
        .boxed()
    }

    fn after(&self, operation: Operation) -> BoxFuture<'_, Answer> {
        async move {
            let passage = locked(&self.passage).take().unwrap_or_default();
            match self.scene.leave(&self.machine, &crossing(operation), passage).await {
                Ok(_) => Answer::Arrives,
                Err(_) => Answer::Lost,
            }
        }
        .boxed()
    }
}

/// As a server, or the way to it, would fail.
fn refusal(how: Failure) -> Refusal {
    match how {
        Failure::Disconnect | Failure::ServerError | Failure::Unavailable => Refusal::Unreachable,
        Failure::Silence => Refusal::Timeout,
        Failure::Throttle => Refusal::Lock,
        Failure::Denied => Refusal::Privilege,
        Failure::Expired => Refusal::Login,
    }
}
