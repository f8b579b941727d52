//! A release's own listeners as probes reach them: what answers is the image of the tasks behind the group that the listener
//! forwards to.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use tidegate_controller::{ATTEMPTS, BETWEEN_ATTEMPTS, Probes};
use tidegate_model::decision::Verify;

use crate::{
    machine::Machine,
    scene::{Crossing, Passed, Scene},
};

/// A machine's way to the listeners.
pub(crate) struct Listeners {
    pub(crate) scene: Arc<Scene>,
    pub(crate) machine: Arc<Machine>,
}

/// An image whose probes fail, however healthy its targets are.
pub(crate) const WRONG: &str = "shop:wrong";

impl Probes for Listeners {
    /// A probe that gets no answer is sent again, as the real prober does.
    fn verify<'a>(&'a self, verify: &'a Verify) -> BoxFuture<'a, Option<String>> {
        async move {
            for _ in 0..ATTEMPTS {
                let crossing = Crossing { operation: "listener.verify".to_owned(), changes: false };
                let (scene, address) = (Arc::clone(&self.scene), verify.address.clone());
                let passed =
                    self.scene.cross(&self.machine, &crossing, move || answer(&scene, &address)).await;
                if let Passed::Answer(found, _) = passed {
                    return found;
                }
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
            Some("probe 1 (GET) got no answer: the connection was refused or broke".to_owned())
        }
        .boxed()
    }
}

/// What the first failing probe found.
fn answer(scene: &Scene, address: &str) -> Option<String> {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let sides = scene.sandbox.world().sides(port);
    // Production has two sides while traffic shifts; probes are sent before that and after it.
    match sides.iter().max_by_key(|side| side.weight) {
        Some(side) if side.image.as_deref() == Some(WRONG) => {
            Some("probe 1 (GET) got status 500 where 2xx was expected".to_owned())
        }
        Some(side) if side.healthy > 0 => None,
        Some(_) | None => Some("probe 1 (GET) got status 503 where 2xx was expected".to_owned()),
    }
}
