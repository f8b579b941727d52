//! O3: what is told to wait for is there, or was until just now.
//!
//! Asked by the orders' oracle with each status that is written. Nothing here judges what is told of our own deployments.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate_model::{gate::Gate, waiting::Class};
use tidegate_sandbox::world::{World, truth::Deployed};

/// The orders that hold a release: its own, and the one for all.
const HOLDS: [&str; 2] = ["/tidegate/ecommerce/hold", "/tidegate/_fleet/hold"];

/// What has ended for this long was read by every pass that is under way.
const ENDED: SignedDuration = SignedDuration::from_mins(2);

/// A hold is over with the second answer that has none, and who is refused asks again within five minutes.
const LIFTED: SignedDuration = SignedDuration::from_mins(12);

/// What the waits that are told rest on.
#[derive(Default)]
pub(crate) struct Grounds {
    /// When a deployment was last under way, whoever began it.
    under_way: Option<Timestamp>,
    /// Since when a hold has been told though nobody has one there.
    lifted: Option<Timestamp>,
}

impl Grounds {
    /// Looks at what is there.
    pub(crate) fn look(&mut self, world: &World, open: &[Deployed]) {
        if !open.is_empty() {
            self.under_way = Some(world.now());
        }
        if self.lifted.is_some() && is_held(world) {
            self.lifted = None;
        }
    }

    /// A status was written: what of its waits has lost its ground.
    pub(crate) fn told(&mut self, world: &World, status: &Value) -> Option<&'static str> {
        let now = world.now();
        let waiting = status["waiting"].as_array().map_or(&[][..], Vec::as_slice);
        let tells = |reason: &str| waiting.iter().any(|wait| wait["reason"].as_str() == Some(reason));
        let over = |since: Timestamp| now.duration_since(since) > ENDED;
        if tells("foreign-deployment") && self.under_way.is_none_or(over) {
            return Some("a deployment of somebody else was told to be under way, and none is");
        }
        let ordered = |wait: &Value| {
            wait["reason"].as_str() == Some(Gate::NotHeld.as_str())
                && wait["class"].as_str() == Some(Class::Suspended.as_str())
        };
        if !waiting.iter().any(ordered) || is_held(world) {
            self.lifted = None;
            return None;
        }
        let since = *self.lifted.get_or_insert(now);
        (now.duration_since(since) > LIFTED)
            .then_some("a hold was told again and again, and nobody has one there")
    }
}

fn is_held(world: &World) -> bool {
    HOLDS.iter().any(|hold| world.parameter(hold).is_some())
}
