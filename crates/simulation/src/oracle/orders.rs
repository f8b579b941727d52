//! R2, R4, P1, P2, O2, O3: what people asked for, who had read it, and what is told to them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate_model::name::Marker;
use tidegate_sandbox::{
    Call,
    world::{World, truth::Deployed},
};

use super::{
    Found, Invariant,
    traffic::{PRODUCTION, SPEC},
};
use crate::machine::Machine;

/// What somebody changed by hand this short a time ago may not have been read yet.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(90);

/// Where an abort stands.
const ABORT: &str = "/tidegate/ecommerce/abort";

/// Orders and what was done in spite of them.
#[derive(Default)]
pub(crate) struct Orders {
    /// Markers of deployments that were stopped, without their intents.
    gone: BTreeSet<String>,
    /// The newest spec version that a deployment was created for.
    newest: u64,
    /// When somebody last changed the world by hand.
    pub(crate) interfered: Option<Timestamp>,
}

impl Orders {
    /// The spec is written where there was none: its versions begin anew, and what failed may be tried again.
    pub(crate) fn asked_anew(&mut self) {
        self.newest = 0;
        self.gone.clear();
    }

    pub(crate) fn about_to(
        &self,
        world: &World,
        machine: &Machine,
        call: &Call,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        if !is_forward(world, call) {
            return;
        }
        let read = machine.read();
        let operation = &call.operation;
        if read.answers == 0 || !read.found.contains_key("spec") {
            pending.push((Invariant::P2, format!("{operation} was sent by who had read no spec")));
        }
        if read.found.contains_key("hold") {
            pending.push((Invariant::O2, format!("{operation} was sent by who had read a hold")));
        }
        if let Some(abort) = read.found.get("abort")
            && Self::concerns(world, call, abort)
        {
            pending.push((Invariant::R4, format!("{operation} was sent by who had read an abort")));
        }
        if let Some(marker) = marker_of(world, call) {
            if self.gone.contains(&without_intent(&marker)) {
                pending.push((Invariant::R2, format!("{operation} for {marker}, which was rolled back")));
            }
            if marker.version.0 < self.newest && operation == "CreateDeployment" {
                let what = format!("{operation} for {marker} after one for version {}", self.newest);
                pending.push((Invariant::P1, what));
            }
        }
    }

    /// True if an abort names the version that a call is made for and is younger than it, or is no abort that anybody could follow.
    fn concerns(world: &World, call: &Call, abort: &str) -> bool {
        let named = serde_json::from_str::<Value>(abort).ok().and_then(|order| order.get("spec")?.as_u64());
        match (named, marker_of(world, call)) {
            // What is under way goes by a newer spec that asks for the same: the older one's abort is too late, and told so.
            (Some(named), Some(marker)) => {
                let newest = world.parameter(SPEC).map_or(0, |(version, _)| version);
                let older =
                    world.written(ABORT).zip(world.written(SPEC)).is_some_and(|(abort, spec)| abort < spec);
                marker.version.0 == named && newest <= named && !older
            }
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    pub(crate) fn done(&mut self, world: &World, call: &Call) {
        match call.operation.as_str() {
            "CreateDeployment" => {
                let marker =
                    call.input.get("description").as_text().and_then(|text| text.parse::<Marker>().ok());
                self.newest = self.newest.max(marker.map_or(0, |marker| marker.version.0));
            }
            "StopDeployment" => {
                self.gone.extend(marker_of(world, call).as_ref().map(without_intent));
            }
            _ => {}
        }
    }

    /// A status was written.
    pub(crate) fn told(&self, world: &World, call: &Call, found: &mut Found) {
        let text = call.input.get("Value").as_text().unwrap_or_default();
        let Ok(status) = serde_json::from_str::<Value>(text) else { return };
        let now = world.now();
        let recent = self.interfered.is_some_and(|at| now.duration_since(at) <= JUST_NOW);
        if recent {
            return;
        }
        let (Some(version), Some((newest, spec))) =
            (status["versions"]["inForce"].as_u64(), world.parameter(SPEC))
        else {
            return;
        };
        let wanted = serde_json::from_str::<Value>(&spec).ok();
        let Some(wanted) = wanted.as_ref().and_then(|spec| spec["revision"]["image"].as_str()) else {
            return;
        };
        if version != newest {
            return;
        }
        let serves = |weight: u32| {
            world.sides(PRODUCTION).into_iter().find(|side| side.weight >= weight).and_then(|side| side.image)
        };
        match (status["summary"].as_str(), status["rollout"]["phase"].as_str()) {
            (Some("Healthy"), Some("settled")) if serves(100).as_deref() != Some(wanted) => {
                let what = format!("settled on {wanted} was told, and {:?} serves", serves(100));
                found.add(Invariant::O3, now, what);
            }
            (Some("RolledBack"), Some("rolled-back")) if serves(1).as_deref() == Some(wanted) => {
                found.add(Invariant::O3, now, format!("a rollback of {wanted} was told, and it serves"));
            }
            (_, _) => {}
        }
    }
}

/// True if a call takes a release forward, and not back to an older revision.
fn is_forward(world: &World, call: &Call) -> bool {
    match call.operation.as_str() {
        "CreateDeployment" => !call.input.has("overrideAlarmConfiguration"),
        "ContinueDeployment" => deployment_of(world, call).is_some_and(|deployment| !deployment.heedless),
        _ => false,
    }
}

fn deployment_of(world: &World, call: &Call) -> Option<Deployed> {
    let id = call.input.get("deploymentId").as_text()?;
    world.deployed().into_iter().find(|deployment| deployment.id == id)
}

fn marker_of(world: &World, call: &Call) -> Option<Marker> {
    if call.operation == "CreateDeployment" {
        return call.input.get("description").as_text()?.parse().ok();
    }
    deployment_of(world, call)?.description?.parse().ok()
}

fn without_intent(marker: &Marker) -> String {
    format!("{}/{}-{}", marker.release, marker.version, marker.hash)
}
