//! R2, R3, R4, P1, P2, C2, C3, O1, O2, O3: what people asked for, who had read it, and what is told to them.
//!
//! A hold that is told must be one: a deployment of somebody else that is ours, and a listener that stands as CodeDeploy has left
//! it, would send people to look for what nobody has done.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate_ledger::Sealed;
use tidegate_model::{ledger::Entry, name::Marker};
use tidegate_sandbox::{
    Call,
    world::{
        World,
        truth::{Deployed, Side},
    },
};

use super::{
    Found, Invariant, Wrong,
    gone::Gone,
    grounds::Grounds,
    made_for,
    traffic::{PRODUCTION, SPEC},
};
use crate::{database::Operation, machine::Machine, scenario::RELEASE};

/// What somebody changed by hand this short a time ago may not have been read yet.
pub(super) const JUST_NOW: SignedDuration = SignedDuration::from_secs(90);

/// What has stood for this long was read by every pass that is under way.
const LONG: SignedDuration = SignedDuration::from_secs(120);

/// The deployment config by which all traffic goes over at once.
const AT_ONCE: &str = "CodeDeployDefault.ECSAllAtOnce";

/// Where an abort stands.
const ABORT: &str = "/tidegate/ecommerce/abort";

/// Orders and what was done in spite of them.
#[derive(Default)]
pub(crate) struct Orders {
    /// Versions that have gone back.
    gone: Gone,
    /// The newest spec version that a deployment was created for.
    newest: u64,
    /// Whether there is a spec.
    asked: bool,
    /// When the newest spec was written, that is there or was.
    written: Option<Timestamp>,
    /// When the abort was written that the ledger says does not count.
    ignored: Option<Timestamp>,
    /// When somebody last changed the world by hand.
    pub(crate) interfered: Option<Timestamp>,
    /// When an answer was last not what the world is.
    pub(crate) misled: Option<Timestamp>,
    /// Since when production has stood as CodeDeploy has left it.
    in_place: Option<Timestamp>,
    /// Since when it has not stood so, though nothing is to move it.
    pub(crate) edited: Option<Timestamp>,
    /// Plans that people were shown.
    plans: BTreeSet<String>,
    /// What the waits that are told rest on.
    grounds: Grounds,
}

impl Orders {
    pub(crate) fn about_to(
        &self,
        world: &World,
        machine: &Machine,
        call: &Call,
        pending: &mut Vec<(Invariant, String)>,
    ) {
        pending.extend(meddles(world, call));
        if call.operation == "CreateDeployment" {
            pending.extend(inexact(named_revision(call).as_deref()));
        }
        if call.operation == "CreateDeployment" && is_back(call) {
            let config = call.input.get("deploymentConfigName").as_text().unwrap_or_default();
            if config != AT_ONCE {
                let what = format!("what is brought back would get its traffic by {config}");
                pending.push((Invariant::R4, what));
            }
        }
        if !is_forward(world, call) {
            return;
        }
        let read = machine.read();
        let operation = &call.operation;
        pending.extend(unasked(machine, operation));
        if let Some(abort) = read.found.get("abort")
            && self.concerns(world, call, abort)
        {
            pending.push((Invariant::R4, format!("{operation} was sent by who had read an abort")));
        }
        if let Some(marker) = marker_of(world, call) {
            if self.gone.has(&marker) {
                pending.push((Invariant::R2, format!("{operation} for {marker}, which was rolled back")));
            }
            if marker.version.0 < self.newest && operation == "CreateDeployment" {
                let what = format!("{operation} for {marker} after one for version {}", self.newest);
                pending.push((Invariant::P1, what));
            }
        }
    }

    /// C3. CodeDeploy refuses it: that it was asked is wrong by itself.
    pub(crate) fn hurries(&self, world: &World, call: &Call) -> Wrong {
        if call.operation != "CreateDeployment" || self.is_misled(world.now()) {
            return None;
        }
        let long = |deployment: &Deployed| world.now().duration_since(deployment.created) > JUST_NOW;
        let active = world.deployed().into_iter().find(|deployment| !deployment.ended && long(deployment))?;
        Some((Invariant::C3, format!("a deployment was asked for while {} was under way", active.id)))
    }

    /// True if an abort names the version that a call is made for and is younger than it, or is no abort that anybody could follow.
    fn concerns(&self, world: &World, call: &Call, abort: &str) -> bool {
        match (named_by(abort), marker_of(world, call)) {
            // What is under way goes by a newer spec that asks for the same: the older one's abort is too late, and told so.
            (Some(named), Some(marker)) => {
                let newest = world.parameter(SPEC).map_or(0, |(version, _)| version);
                marker.version.0 == named && newest <= named && !self.is_older(world)
            }
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// True if the abort was written before the spec, which may have been deleted just now.
    fn is_older(&self, world: &World) -> bool {
        world.written(ABORT).zip(self.written).is_some_and(|(abort, spec)| abort < spec)
    }

    /// What of an operation of the database is against what people ask.
    pub(crate) fn begins(
        &self,
        world: &World,
        machine: &Machine,
        operation: Operation,
    ) -> Vec<(Invariant, String)> {
        let mut wrong = match operation {
            Operation::Expand | Operation::Backfill | Operation::Hide | Operation::Purge => {
                unasked(machine, operation.as_str())
            }
            Operation::Claim | Operation::Observe | Operation::Unhide | Operation::Log => return Vec::new(),
        };
        if self.is_aborted(world, machine) {
            let what =
                format!("{} was sent by who had read an abort of what is asked for", operation.as_str());
            wrong.push((Invariant::R4, what));
        }
        wrong
    }

    /// True if a machine has read an abort of the spec that is there, or of none that anybody could know, and nobody has written down
    /// that it does not count.
    fn is_aborted(&self, world: &World, machine: &Machine) -> bool {
        let read = machine.read();
        let Some(abort) = read.found.get("abort") else { return false };
        let (Some((newest, _)), Some(written)) = (world.parameter(SPEC), world.written(ABORT)) else {
            return false;
        };
        let counts = named_by(abort).is_none_or(|named| named >= newest);
        counts && !self.is_older(world) && self.ignored != Some(written)
    }

    /// The ledger says what does not count.
    pub(crate) fn appended(&mut self, rows: &[Sealed]) {
        for row in rows {
            if let Ok(Entry::OrderIgnored { order, modified, .. }) = serde_json::from_str(&row.body)
                && order == "abort"
            {
                self.ignored = Some(modified);
            }
        }
    }

    pub(crate) fn done(&mut self, world: &World, call: &Call) {
        match call.operation.as_str() {
            "CreateDeployment" => {
                let marker =
                    call.input.get("description").as_text().and_then(|text| text.parse::<Marker>().ok());
                self.newest = self.newest.max(marker.as_ref().map_or(0, |marker| marker.version.0));
                match marker {
                    Some(marker) if marker.takes_back() => self.gone.goes(&marker),
                    Some(marker) => self.gone.goes_forward(&marker),
                    None => {}
                }
            }
            "StopDeployment" => {
                if let Some(stopped) = marker_of(world, call) {
                    self.gone.goes(&stopped);
                }
            }
            _ => {}
        }
    }

    /// Looks at where production's traffic goes, and whether a spec was written where there was none: its versions begin anew then,
    /// and what failed may be tried again.
    pub(crate) fn look(&mut self, world: &World, sides: &[Side], open: &[Deployed]) {
        let asked = world.parameter(SPEC).is_some();
        if asked && !self.asked {
            self.newest = 0;
            self.gone.clear();
        }
        self.asked = asked;
        self.written = world.written(SPEC).or(self.written);
        self.gone.look(world, open);
        self.grounds.look(world, open);
        let in_place = is_in_place(world, sides, open);
        self.in_place = in_place.then(|| self.in_place.unwrap_or_else(|| world.now()));
        let edited =
            !in_place && open.iter().all(|deployment| deployment.ready || deployment.waits_to_terminate);
        self.edited = edited.then(|| self.edited.unwrap_or_else(|| world.now()));
    }

    /// Plans that people were shown.
    pub(crate) fn plans(&self) -> &BTreeSet<String> {
        &self.plans
    }

    /// A status was written.
    pub(crate) fn told(&mut self, world: &World, call: &Call, found: &mut Found) {
        let text = call.input.get("Value").as_text().unwrap_or_default();
        let Ok(status) = serde_json::from_str::<Value>(text) else { return };
        self.plans.extend(status["schema"]["plan"].as_str().map(str::to_owned));
        let now = world.now();
        // What arrives late was so when it was told.
        let told_at = status["observedAt"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        if told_at.is_some_and(|at| now.duration_since(at) > JUST_NOW) {
            return;
        }
        let groundless = self.grounds.told(world, &status).map(str::to_owned);
        if !self.is_misled(now)
            && let Some(what) = groundless.or_else(|| self.unfounded(world, &status))
        {
            found.add(Invariant::O3, now, what);
        }
        if self.is_meddled_with(now) {
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
        let sides = world.sides(PRODUCTION);
        let serves = |weight: u32| {
            sides.iter().any(|side| side.weight >= weight && side.image.as_deref() == Some(wanted))
        };
        match (status["summary"].as_str(), status["rollout"]["phase"].as_str()) {
            (Some("Healthy"), Some("settled")) if !serves(100) || sides.iter().any(|side| side.mixed) => {
                let what = format!("settled on {wanted} was told, and production has {sides:?}");
                found.add(Invariant::O3, now, what);
            }
            (Some("RolledBack"), Some("rolled-back")) if serves(1) => {
                found.add(Invariant::O3, now, format!("a rollback of {wanted} was told, and it serves"));
            }
            (_, _) => {}
        }
    }

    /// True if somebody changed something by hand so lately that it may not have been read yet.
    pub(crate) fn is_meddled_with(&self, now: Timestamp) -> bool {
        self.interfered.is_some_and(|at| now.duration_since(at) <= JUST_NOW)
    }

    /// True if what was read lately may not have been so.
    pub(crate) fn is_misled(&self, now: Timestamp) -> bool {
        self.misled.is_some_and(|at| now.duration_since(at) <= LONG)
    }

    /// What of the holds that a status tells is not so.
    fn unfounded(&self, world: &World, status: &Value) -> Option<String> {
        let waiting = status["waiting"].as_array().map_or(&[][..], Vec::as_slice);
        let tells = |reason: &str| waiting.iter().any(|wait| wait["reason"].as_str() == Some(reason));
        let deployed = world.deployed();
        let mut open = deployed.iter().filter(|deployment| !deployment.ended).peekable();
        let in_force = status["versions"]["inForce"].as_u64();
        let ours = |deployment: &Deployed| {
            !deployment.rollback
                && made_for(deployment).is_some_and(|marker| Some(marker.version.0) == in_force)
        };
        if tells("foreign-deployment") && open.peek().is_some() && open.all(ours) {
            return Some("our own deployment was told to be somebody else's".to_owned());
        }
        let stands = world.written(SPEC).is_some_and(|at| world.now().duration_since(at) > JUST_NOW);
        if tells("spec-gone") && stands && world.parameter(SPEC).is_some() {
            return Some("the spec was told to be gone, and it is there".to_owned());
        }
        let forgotten =
            |deployment: &Deployed| ours(deployment) && world.now().duration_since(deployment.created) > LONG;
        let unsure = tells("in-doubt") || tells("unobserved");
        // Who begins anew with an old ledger names it in what it waits for, before it is taken up.
        let named = |id: &str| {
            waiting.iter().any(|wait| wait["message"].as_str().is_some_and(|message| message.contains(id)))
        };
        let told =
            |deployment: &Deployed| status["rollout"]["deployment"].is_string() || named(&deployment.id);
        let untold = |deployment: &&Deployed| !deployment.ended && forgotten(deployment) && !told(deployment);
        if !unsure && deployed.iter().any(|deployment| untold(&deployment)) {
            return Some("a deployment of ours is under way, and the status knows of none".to_owned());
        }
        let long = self.in_place.is_some_and(|since| world.now().duration_since(since) > LONG);
        // Whichever spec version is in force meanwhile.
        let counts = |deployment: &&Deployed| {
            deployment.succeeded && !deployment.rollback && made_for(deployment).is_some()
        };
        // CodeDeploy says so, and another task set is primary.
        let lies = deployed
            .iter()
            .rfind(counts)
            .is_some_and(|newest| primary(world).as_ref() != Some(&newest.green));
        let edited = tells("listener-edited") || (tells("traffic-disagrees") && !lies);
        (edited && long).then(|| "the listener was told to be edited, and nobody has".to_owned())
    }
}

/// The group of the task set that is primary.
fn primary(world: &World) -> Option<String> {
    world.primary_group("ecommerce", "ecommerce")
}

/// True if production forwards where CodeDeploy has it forward; false while it is moving traffic.
fn is_in_place(world: &World, sides: &[Side], open: &[Deployed]) -> bool {
    let group = match open {
        [] => primary(world),
        [deployment] if deployment.waits_to_terminate => Some(deployment.green.clone()),
        [deployment] if deployment.ready => Some(deployment.blue.clone()),
        [_, ..] => None,
    };
    // Whatever the numbers are: a listener that was never shifted may have others than CodeDeploy's hundreds.
    group.is_some_and(|group| {
        let only = sides.iter().all(|side| (side.weight > 0) == (side.group == group));
        only && sides.iter().any(|side| side.group == group)
    })
}

/// The version that an abort names, if it names one.
fn named_by(abort: &str) -> Option<u64> {
    serde_json::from_str::<Value>(abort).ok()?.get("spec")?.as_u64()
}

/// What is wrong with going forward by what a machine has read.
fn unasked(machine: &Machine, what: &str) -> Vec<(Invariant, String)> {
    let read = machine.read();
    let mut wrong = Vec::new();
    if !read.has_spec() {
        wrong.push((Invariant::P2, format!("{what} was sent by who had read no spec")));
    }
    if read.has_hold() {
        wrong.push((Invariant::O2, format!("{what} was sent by who had read a hold")));
    }
    wrong
}

/// C2. Whoever else deploys here lets it go, ends it and takes it back, and CodeDeploy what it begins by itself.
fn meddles(world: &World, call: &Call) -> Wrong {
    let theirs = |deployment: &Deployed| {
        made_for(deployment).is_none_or(|marker| marker.release.as_str() != RELEASE) || deployment.rollback
    };
    let deployment = deployment_of(world, call).filter(theirs)?;
    Some((Invariant::C2, format!("{} of {}, which is not ours", call.operation, deployment.id)))
}

/// The revision that the document of a deployment names.
pub(super) fn named_revision(call: &Call) -> Option<String> {
    let content = call.input.get("revision").get("appSpecContent").get("content");
    let spec: Value = serde_json::from_str(content.as_text()?).ok()?;
    spec["Resources"][0]["TargetService"]["Properties"]["TaskDefinition"].as_str().map(str::to_owned)
}

/// What is wrong with the revision that a deployment names: a family without a number is whatever was registered last.
fn inexact(named: Option<&str>) -> Wrong {
    let number = named.and_then(|named| named.rsplit_once(':')).map(|(_, number)| number);
    let exact = number.is_some_and(|number| number.parse::<u32>().is_ok());
    (!exact).then(|| (Invariant::R3, format!("a deployment names {named:?}")))
}

/// True of a deployment that brings an older revision back.
pub(super) fn is_back(call: &Call) -> bool {
    call.input.has("overrideAlarmConfiguration")
}

/// True if a call takes a release forward, and not back to an older revision.
fn is_forward(world: &World, call: &Call) -> bool {
    match call.operation.as_str() {
        "CreateDeployment" => !is_back(call),
        "ContinueDeployment" => deployment_of(world, call).is_some_and(|deployment| !deployment.heedless),
        // The team's own tool, in either direction of a schema change.
        "RunTask" => true,
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
    made_for(&deployment_of(world, call)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_without_a_number_is_no_revision() {
        let names = |revision: &str| inexact(Some(revision)).is_none();
        assert!(names("arn:aws:ecs:eu-west-1:123456789012:task-definition/shop:7"));
        assert!(!names("arn:aws:ecs:eu-west-1:123456789012:task-definition/shop"));
        assert!(!names("shop:latest"));
        assert_eq!(inexact(None).map(|(invariant, _)| invariant), Some(Invariant::R3));
    }
}
