//! F25: many other releases at once, each with a spec that is valid and a service that is not there.
//!
//! They are found, read and looked at in every pass, and wait for what they name. What is watched is that the release of the
//! scenario is not kept by them.

use serde_json::json;
use tidegate_sandbox::protocol::Service;

use super::{After, Begun, perform, spec::put};
use crate::scene::Scene;

/// Parameters that one call deletes.
const AT_ONCE: usize = 10;

pub(super) fn begin(scene: &Scene, releases: u32) -> Begun {
    let names: Vec<String> = (1..=releases).map(|number| format!("/tidegate/crowd-{number}/spec")).collect();
    for (number, name) in names.iter().enumerate() {
        let spec = json!({
            "service": { "cluster": "ecommerce", "name": format!("crowd-{number}") },
            "revision": { "container": "app", "image": "shop:v2" },
            "traffic": {
                "engine": "codedeploy",
                "application": format!("crowd-{number}"),
                "deploymentGroup": format!("crowd-{number}"),
                "shift": "allAtOnce",
            },
            "bake": "5m",
        });
        put(scene, name, &spec.to_string());
    }
    Begun::Until(After::then(move |scene| {
        for some in names.chunks(AT_ONCE) {
            perform(scene, Service::Ssm, "DeleteParameters", &json!({ "Names": some }));
        }
    }))
}
