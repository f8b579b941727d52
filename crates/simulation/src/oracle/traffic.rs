//! T1, T2, T3, T5, T6, P1: where traffic is, and what is there to take it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::spec::{self, Spec};
use tidegate_sandbox::{
    Call,
    world::{
        World,
        truth::{Deployed, Side},
    },
};

use super::{Found, Invariant, made_for, served::Served};
use crate::{machine::Machine, time::MachineClock};

/// The port of the production listener in every simulated world.
pub(crate) const PRODUCTION: u16 = 8080;

/// What was true this short a time ago may have been what a daemon decided by.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// A bake begins after two closed minutes in which green got everything.
const CONFIRMED: SignedDuration = SignedDuration::from_mins(2);

/// Where the spec of the simulated release stands.
pub(crate) const SPEC: &str = "/tidegate/ecommerce/spec";

/// Where traffic was.
#[derive(Default)]
pub(crate) struct Traffic {
    /// How long each deployment's green has had all of it.
    complete: BTreeMap<String, Served>,
    /// When a group last had as many healthy targets as its service wants.
    healthy: BTreeMap<String, Timestamp>,
    /// When no alarm was red, last.
    quiet: Option<Timestamp>,
    /// Until when what production lacks is the doing of somebody else who has meddled, and longer if it is not whole then.
    excused: Option<Timestamp>,
    /// What somebody else has written to the listener.
    written: Written,
    /// Until when a daemon could not do what it wanted.
    hindered: Option<Timestamp>,
    /// The most weight that each image had.
    most: BTreeMap<String, u32>,
    /// Each version of the spec, and when it was first there.
    specs: BTreeMap<u64, (Timestamp, Spec)>,
}

/// What somebody else has written to the production listener. Whatever comes of it is theirs for as long as it stands, if nothing could
/// be sent that would have kept CodeDeploy from deleting what serves.
#[derive(Default)]
enum Written {
    /// Nothing.
    #[default]
    Nothing,
    /// What stands there when the world is looked at next.
    ToRead,
    /// The weight of each group.
    Weights(Vec<(String, u32)>),
}

impl Written {
    fn look(&mut self, sides: &[Side]) {
        let with_weight = sides.iter().filter(|side| side.weight > 0);
        let mut found: Vec<_> = with_weight.map(|side| (side.group.clone(), side.weight)).collect();
        found.sort();
        *self = match std::mem::take(self) {
            Self::ToRead => Self::Weights(found),
            Self::Weights(written) if written == found => Self::Weights(written),
            Self::Nothing | Self::Weights(_) => Self::Nothing,
        };
    }

    fn stands(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl Traffic {
    /// Somebody else has written to the production listener.
    pub(crate) fn written_by_others(&mut self) {
        self.written = Written::ToRead;
    }

    /// Nothing that a daemon wants to do is sure to be done until then.
    pub(crate) fn hinder(&mut self, until: Timestamp) {
        self.hindered = self.hindered.max(Some(until));
    }

    /// Somebody else meddles with listener or tasks, or makes AWS do so, until then.
    pub(crate) fn excuse(&mut self, until: Timestamp) {
        self.excused = self.excused.max(Some(until));
    }

    /// True if what somebody else has written still stands, and no daemon could send a stop in time: it is due this long before
    /// CodeDeploy deletes what serves.
    fn could_not_be_kept(&self, now: Timestamp) -> bool {
        const DUE: SignedDuration = SignedDuration::from_mins(35);
        self.written.stands() && self.hindered.is_some_and(|until| now.duration_since(until) <= DUE)
    }

    /// The most weight that an image had.
    pub(crate) fn most(&self, image: &str) -> u32 {
        self.most.get(image).copied().unwrap_or(0)
    }

    /// T2.
    fn whole(&mut self, now: Timestamp, sides: &[Side], found: &mut Found) {
        self.written.look(sides);
        let weight: u32 = sides.iter().map(|side| side.weight).sum();
        let empty = sides.iter().find(|side| side.weight > 0 && side.image.is_none());
        if weight > 0 && empty.is_none() {
            self.excused = self.excused.filter(|until| *until > now);
        } else if self.could_not_be_kept(now) {
            self.excuse(now);
        } else if self.excused.is_none() {
            let what = match empty {
                Some(empty) => format!("{} has weight {} and no task", empty.group, empty.weight),
                None => "the production listener has no weight at all".to_owned(),
            };
            found.add(Invariant::T2, now, what);
        }
    }

    /// Looks at production's sides and at the deployments that are under way.
    pub(crate) fn look(&mut self, world: &World, sides: &[Side], open: &[Deployed], found: &mut Found) {
        let now = world.now();
        self.whole(now, sides, found);
        for (image, side) in sides.iter().filter_map(|side| Some((side.image.as_ref()?, side))) {
            if self.most.get(image).is_none_or(|most| *most < side.weight) {
                self.most.insert(image.clone(), side.weight);
            }
        }
        if open.iter().filter(|deployment| !deployment.rollback).count() > 1 {
            let ids: Vec<&str> = open.iter().map(|deployment| deployment.id.as_str()).collect();
            found.add(Invariant::T5, now, format!("deployments {ids:?} are all under way"));
        }
        for deployment in open {
            let green = sides.iter().find(|side| side.group == deployment.green);
            let whole = green.is_some_and(|green| green.weight == 100);
            if whole {
                self.complete.entry(deployment.id.clone()).or_insert_with(|| Served::from(now));
            }
            if let Some(served) = self.complete.get_mut(&deployment.id) {
                served.look(whole, now, self.hindered);
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
            && !self.specs.contains_key(&version)
            && let Ok(spec) = spec::read(&text)
        {
            self.specs.insert(version, (now, spec));
        }
    }

    pub(crate) fn about_to(
        &self,
        world: &World,
        machine: &Machine,
        call: &Call,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        if call.operation != "ContinueDeployment" {
            return;
        }
        let id = call.input.get("deploymentId").as_text().unwrap_or_default();
        let Some(deployment) = world.deployed().into_iter().find(|deployment| deployment.id == id) else {
            return;
        };
        match call.input.get("deploymentWaitType").as_text() {
            Some("READY_WAIT") => {
                self.begins(world.now(), &deployment, pending);
                self.is_newest(world, &deployment, pending);
            }
            // What is brought back has served before: it is not baked.
            Some("TERMINATION_WAIT") if deployment.heedless => {}
            Some("TERMINATION_WAIT") => {
                self.retires(world, &machine.clock, &deployment, pending);
            }
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

    /// P1: what is let go is what the newest spec asks for, if that has stood long enough to be read.
    fn is_newest(&self, world: &World, deployment: &Deployed, pending: &mut Vec<(Invariant, String)>) {
        let Some(marker) = made_for(deployment).filter(|marker| !marker.takes_back()) else { return };
        let long = |at| world.now().duration_since(at) > FRESH;
        let (Some((newest, text)), true) = (world.parameter(SPEC), world.written(SPEC).is_some_and(long))
        else {
            return;
        };
        let Some((_, made_for)) = self.specs.get(&marker.version.0) else { return };
        let other = spec::read(&text).is_ok_and(|spec| !same_rollout(&spec, made_for));
        if newest > marker.version.0 && other {
            let what = format!(
                "{} for version {} went on, and version {newest} asks for something else",
                deployment.id, marker.version
            );
            pending.push((Invariant::P1, what));
        }
    }

    fn retires(
        &self,
        world: &World,
        clock: &MachineClock,
        deployment: &Deployed,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        let now = world.now();
        let Some(served) = self.complete.get(&deployment.id) else {
            let what = format!("{} was to delete blue before all traffic was on green", deployment.id);
            pending.push((Invariant::T3, what));
            return;
        };
        if !served.had_all(now, FRESH) {
            let what = format!("{} was to delete blue while some traffic was on it", deployment.id);
            pending.push((Invariant::T3, what));
        }
        let served = served.lasted(now).saturating_sub(CONFIRMED);
        if let Some(bake) = made_for(deployment).and_then(|marker| self.bake(marker.version.0, now))
            // Nobody can tell how far a clock was set forward before it was looked at first.
            && served.saturating_add(clock.unnoticed()) < bake
        {
            let what = format!(
                "{} was to delete blue after at most {served:#} of a bake of {bake:#}",
                deployment.id
            );
            pending.push((Invariant::T3, what));
        }
    }

    /// The bake that a rollout of a version is to serve: the newest spec's that asks for the same, as far as it can have been read.
    /// One that was written just now may count already, or not yet.
    fn bake(&self, version: u64, now: Timestamp) -> Option<SignedDuration> {
        let (_, first) = self.specs.get(&version)?;
        let later: Vec<_> =
            self.specs.range(version..).filter(|(_, (_, spec))| same_rollout(spec, first)).collect();
        let read = later.iter().rposition(|(_, (since, _))| now.duration_since(*since) > FRESH).unwrap_or(0);
        later[read..].iter().map(|(_, (_, spec))| spec.bake.duration()).min()
    }
}

fn same_rollout(one: &Spec, other: &Spec) -> bool {
    one.revision == other.revision && one.traffic == other.traffic
}
