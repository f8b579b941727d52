//! Mishaps as they happen: what people, other machines, AWS, the application and the database do in a run, as far as a plan has it.
//!
//! Begun by the scene when a fault strikes, and carried on with each of the run's ticks. What people and machines do is done by
//! real calls to the sandbox; what AWS, images and the server do by themselves is done through the world's own hooks. A mishap
//! that cannot happen yet (there is no deployment to stop) waits until it can, and is counted only then. Nothing here may look
//! into a daemon, or know what an oracle expects.

use std::time::Duration;

use serde_json::Value;
use tidegate_sandbox::{
    Call,
    node::Node,
    protocol::{Protocol, Service},
};
use tokio::time::Instant;

use crate::{
    fault::{CodedeployMishap, Fault, Mishap, What, seconds},
    scenario::node,
    scene::{Scene, locked},
};

mod app;
mod aws;
mod crowd;
mod database;
mod foreign;
pub(crate) mod hand;
mod spec;

pub(crate) use aws::Gaps;
pub(crate) use database::{Trouble, Troubles};

/// The service of every simulated release, its database's instance, and its alarm.
const CLUSTER: &str = "ecommerce";
const SERVICE: &str = "ecommerce";
const FAMILY: &str = "ecommerce";
const INSTANCE: &str = "ecommerce-db";
const ALARM: &str = "ecommerce-5xx";
const APPLICATION: &str = "ecommerce-bluegreen";
const GROUP: &str = "ecommerce-bluegreen";

/// What came of beginning a mishap.
pub(crate) enum Begun {
    /// It cannot happen yet.
    NotYet,
    /// It happened.
    Done,
    /// It happened, and something follows when its time is over.
    Until(After),
    /// It happened, and something follows after so long, however long it is to last.
    Soon(Duration, After),
}

/// What follows, and after how long.
type Next = Option<(Duration, After)>;

/// What follows, and what follows that.
pub(crate) struct After(Box<dyn FnOnce(&Scene) -> Next + Send>);

impl After {
    /// The end of it.
    fn then(end: impl FnOnce(&Scene) + Send + 'static) -> Self {
        Self(Box::new(move |scene| {
            end(scene);
            None
        }))
    }

    /// Something that is to be carried on.
    fn on(next: impl FnOnce(&Scene) -> Next + Send + 'static) -> Self {
        Self(Box::new(next))
    }
}

/// What is still to happen.
#[derive(Default)]
pub(crate) struct Deeds {
    /// What cannot happen yet.
    waiting: Vec<Fault>,
    later: Vec<(Instant, After)>,
    /// What lies in wait, and has changed nothing for a daemon yet.
    in_wait: Vec<Fault>,
    /// True once nothing new is to happen.
    calm: bool,
}

impl Deeds {
    /// The first of what lies in wait that is meant; it does so no more.
    pub(crate) fn bites(&mut self, is_meant: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let place = self.in_wait.iter().position(is_meant)?;
        Some(self.in_wait.remove(place))
    }

    fn waits_for_a_rollback(&self) -> bool {
        let how = Mishap::Codedeploy(CodedeployMishap::RollbackFails);
        self.in_wait.iter().any(|fault| matches!(fault.what, What::World { mishap, .. } if mishap == how))
    }
}

impl Scene {
    /// A mishap is to happen from now on.
    pub(crate) fn begin(&self, fault: Fault) {
        locked(&self.deeds).waiting.push(fault);
        self.carry_on();
    }

    /// From now on nothing new happens: the end of the run is watched.
    pub(crate) fn calm(&self) {
        let mut deeds = locked(&self.deeds);
        deeds.calm = true;
        deeds.waiting.clear();
    }

    /// Lets happen what can, and what is due.
    pub(crate) fn carry_on(&self) {
        let now = Instant::now();
        let (waiting, due) = {
            let mut deeds = locked(&self.deeds);
            if deeds.calm {
                deeds.waiting.clear();
            }
            let (due, later) = std::mem::take(&mut deeds.later).into_iter().partition(|(at, _)| *at <= now);
            deeds.later = later;
            (std::mem::take(&mut deeds.waiting), due)
        };
        let due: Vec<(Instant, After)> = due;
        for (_, after) in due {
            self.interfered();
            self.follow((after.0)(self));
        }
        if locked(&self.deeds).waits_for_a_rollback() && aws::a_rollback_has_failed(self) {
            self.bites(Mishap::Codedeploy(CodedeployMishap::RollbackFails));
        }
        for fault in waiting {
            let What::World { mishap, lasts } = fault.what.clone() else { continue };
            let begun = begin(self, mishap, lasts);
            if !matches!(begun, Begun::NotYet) && fault.what.bites_later() {
                locked(&self.deeds).in_wait.push(fault.clone());
            }
            match begun {
                Begun::NotYet => locked(&self.deeds).waiting.push(fault),
                Begun::Done => self.happened(&fault, Duration::ZERO),
                Begun::Soon(wait, after) => {
                    self.happened(&fault, wait);
                    self.follow(Some((wait, after)));
                }
                Begun::Until(after) => {
                    self.happened(&fault, seconds(lasts));
                    self.follow((lasts > 0).then(|| (seconds(lasts), after)));
                }
            }
        }
    }

    fn follow(&self, next: Next) {
        if let Some((after, next)) = next {
            self.troubled_for(after);
            locked(&self.deeds).later.push((Instant::now() + after, next));
        }
    }
}

fn begin(scene: &Scene, mishap: Mishap, lasts: u64) -> Begun {
    match mishap {
        Mishap::Database(how) => database::begin(scene, how, lasts),
        Mishap::Spec(how) => spec::begin(scene, how),
        Mishap::Canary(how) => spec::leak(scene, how),
        Mishap::Hand(how) => hand::begin(scene, how),
        Mishap::Foreign(how) => foreign::begin(scene, how, lasts),
        Mishap::Codedeploy(how) => aws::codedeploy(scene, how, lasts),
        Mishap::Metrics(how) => aws::metrics(scene, how, lasts),
        Mishap::App(how) => app::begin(scene, how, lasts),
        Mishap::Snapshot(how) => aws::snapshot(scene, how, lasts),
        Mishap::Crowd(releases) => crowd::begin(scene, releases),
    }
}

/// Makes a call as somebody else; nothing if it was refused.
fn perform(scene: &Scene, service: Service, operation: &str, input: &Value) -> Option<Node> {
    send(scene, service, operation, node(input))
}

fn send(scene: &Scene, service: Service, operation: &str, input: Node) -> Option<Node> {
    let protocol = Protocol::Json { minor: 1 };
    let call = Call { service, operation: operation.to_owned(), input, protocol };
    let outcome = scene.sandbox.perform(&call);
    if let Err(error) = &outcome {
        tracing::debug!(operation, %error, "what somebody else did was refused");
    }
    outcome.ok()
}

fn done(answer: Option<Node>) -> Begun {
    answer.map_or(Begun::NotYet, |_| Begun::Done)
}

/// Makes a call of it: it is undone by another.
fn undone(answer: Option<Node>, undo: impl FnOnce(&Scene) + Send + 'static) -> Begun {
    answer.map_or(Begun::NotYet, |_| Begun::Until(After::then(undo)))
}
