//! T1, T2, T3, T5, T6: where traffic is, and what is there to take it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{name::Marker, spec};
use tidegate_sandbox::{
    Call,
    world::{
        World,
        truth::{Deployed, Side},
    },
};

use super::{Found, Invariant};

/// The port of the production listener in every simulated world.
pub(crate) const PRODUCTION: u16 = 8080;

/// What was true this short a time ago may have been what a daemon decided by.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// Where the spec of the simulated release stands.
pub(crate) const SPEC: &str = "/tidegate/ecommerce/spec";

/// Where traffic was.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Since when a deployment's green has all of it.
    complete: BTreeMap<String, Timestamp>,
    /// When it had all of it last.
    still: BTreeMap<String, Timestamp>,
    /// When a group last had as many healthy targets as its service wants.
    healthy: BTreeMap<String, Timestamp>,
    /// When no alarm was red, last.
    quiet: Option<Timestamp>,
    /// True once somebody else has meddled, until production is whole again: what they did is theirs.
    excused: bool,
    /// The shortest bake of each spec version.
    bakes: BTreeMap<u64, SignedDuration>,
}

impl Traffic {
    /// Somebody else meddles with listener or tasks from now on.
    pub(crate) fn excuse(&mut self) {
        self.excused = true;
    }

    /// T2.
    fn whole(&mut self, now: Timestamp, sides: &[Side], found: &mut Found) {
        let weight: u32 = sides.iter().map(|side| side.weight).sum();
        let empty = sides.iter().find(|side| side.weight > 0 && side.image.is_none());
        if weight > 0 && empty.is_none() {
            self.excused = false;
        } else if !self.excused {
            let what = match empty {
                Some(empty) => format!("{} has weight {} and no task", empty.group, empty.weight),
                None => "the production listener has no weight at all".to_owned(),
            };
            found.add(Invariant::T2, now, what);
        }
    }

    pub(crate) fn look(&mut self, world: &World, found: &mut Found) {
        let now = world.now();
        let sides = world.sides(PRODUCTION);
        self.whole(now, &sides, found);
        let open: Vec<Deployed> =
            world.deployed().into_iter().filter(|deployment| !deployment.ended).collect();
        if open.iter().filter(|deployment| !deployment.rollback).count() > 1 {
            let ids: Vec<&str> = open.iter().map(|deployment| deployment.id.as_str()).collect();
            found.add(Invariant::T5, now, format!("deployments {ids:?} are all under way"));
        }
        for deployment in &open {
            let green = sides.iter().find(|side| side.group == deployment.green);
            if green.is_some_and(|green| green.weight == 100) {
                self.complete.entry(deployment.id.clone()).or_insert(now);
                self.still.insert(deployment.id.clone(), now);
            }
            let (cluster, service) = &deployment.service;
            let wanted = world.desired(cluster, service).unwrap_or_default();
            if world.side(&deployment.green, 0).healthy >= wanted as usize {
                self.healthy.insert(deployment.green.clone(), now);
            }
        }
        if world.red_alarms().is_empty() {
            self.quiet = Some(now);
        }
        if let Some((version, text)) = world.parameter(SPEC)
            && !self.bakes.contains_key(&version)
            && let Ok(spec) = spec::read(&text)
        {
            self.bakes.insert(version, spec.bake.duration());
        }
    }

    pub(crate) fn about_to(&self, world: &World, call: &Call, pending: &mut Vec<(Invariant, String)>) {
        if call.operation != "ContinueDeployment" {
            return;
        }
        let id = call.input.get("deploymentId").as_text().unwrap_or_default();
        let Some(deployment) = world.deployed().into_iter().find(|deployment| deployment.id == id) else {
            return;
        };
        match call.input.get("deploymentWaitType").as_text() {
            Some("READY_WAIT") => self.begins(world.now(), &deployment, pending),
            // What is brought back has served before: it is not baked.
            Some("TERMINATION_WAIT") if deployment.heedless => {}
            Some("TERMINATION_WAIT") => self.retires(world, &deployment, pending),
            Some(_) | None => {}
        }
    }

    fn begins(&self, now: Timestamp, deployment: &Deployed, pending: &mut Vec<(Invariant, String)>) {
        let fresh = |at: Option<&Timestamp>| at.is_some_and(|at| now.duration_since(*at) <= FRESH);
        if !fresh(self.healthy.get(&deployment.green)) {
            pending.push((Invariant::T1, format!("{} had not enough healthy targets", deployment.green)));
        }
        // What is brought back is brought back whatever is red.
        if !deployment.heedless && !fresh(self.quiet.as_ref()) {
            pending.push((Invariant::T6, format!("an alarm was red when {} went on", deployment.id)));
        }
    }

    fn retires(&self, world: &World, deployment: &Deployed, pending: &mut Vec<(Invariant, String)>) {
        let Some(since) = self.complete.get(&deployment.id) else {
            let what = format!("{} was to delete blue before all traffic was on green", deployment.id);
            pending.push((Invariant::T3, what));
            return;
        };
        if self.still.get(&deployment.id).is_none_or(|at| world.now().duration_since(*at) > FRESH) {
            let what = format!("{} was to delete blue while some traffic was on it", deployment.id);
            pending.push((Invariant::T3, what));
        }
        let served = world.now().duration_since(*since);
        let marker: Option<Marker> = deployment.description.as_deref().and_then(|text| text.parse().ok());
        // A newer spec may have a shorter bake, which counts from the next pass on.
        let from = marker.map_or(0, |marker| marker.version.0);
        if let Some(bake) = self.bakes.range(from..).map(|(_, bake)| *bake).min()
            && served < bake
        {
            let what = format!("{} was to delete blue after {served:#} of a bake of {bake:#}", deployment.id);
            pending.push((Invariant::T3, what));
        }
    }
}
