//! R2: which versions have gone back, by what the world shows: nobody takes one of them forward again.
//!
//! Kept by the orders' oracle. A deployment that only waited at Ready for as long as CodeDeploy lets it has not failed, and is made
//! again: what ends from there after a while is left out, whoever ended it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::name::Marker;
use tidegate_sandbox::world::{World, truth::Deployed};

use super::made_for;

/// Shorter than CodeDeploy waits at Ready in any world: what stopped before was stopped.
const WAITS_LONGER: SignedDuration = SignedDuration::from_mins(9);

/// Versions that have gone back, and what may still.
#[derive(Default)]
pub(crate) struct Gone {
    /// Their markers, without the intents.
    markers: BTreeSet<String>,
    /// Those that were taken forward since versions began anew: what goes back of before has the same marker, and is another version.
    forward: BTreeSet<String>,
    /// Deployments under way that take a version forward: its marker, and since when each waits at Ready.
    under_way: BTreeMap<String, (String, Option<Timestamp>)>,
}

impl Gone {
    /// True of a version that has gone back.
    pub(crate) fn has(&self, marker: &Marker) -> bool {
        self.markers.contains(&without_intent(marker))
    }

    /// A deployment takes this version forward.
    pub(crate) fn goes_forward(&mut self, marker: &Marker) {
        self.forward.insert(without_intent(marker));
    }

    /// A deployment of this version is stopped, or this takes it back.
    pub(crate) fn goes(&mut self, marker: &Marker) {
        self.have_gone(without_intent(marker));
    }

    fn have_gone(&mut self, marker: String) {
        if self.forward.contains(&marker) {
            self.markers.insert(marker);
        }
    }

    /// Versions begin anew: what failed may be tried again.
    pub(crate) fn clear(&mut self) {
        self.markers.clear();
        self.forward.clear();
        self.under_way.clear();
    }

    /// Looks at what is under way, and at how what was has ended.
    pub(crate) fn look(&mut self, world: &World, open: &[Deployed]) {
        let is_open = |id: &String| open.iter().any(|deployment| deployment.id == *id);
        if !self.under_way.keys().all(is_open) {
            self.have_ended(world);
        }
        for deployment in open.iter().filter(|deployment| !deployment.rollback) {
            let Some(marker) = made_for(deployment).filter(|marker| !marker.takes_back()) else { continue };
            let (_, ready) = self
                .under_way
                .entry(deployment.id.clone())
                .or_insert_with(|| (without_intent(&marker), None));
            *ready = deployment.ready.then(|| ready.unwrap_or_else(|| world.now()));
        }
    }

    fn have_ended(&mut self, world: &World) {
        let deployed = world.deployed();
        let ended = |id: &String| deployed.iter().find(|deployment| deployment.id == *id && deployment.ended);
        let waited = |ready: &Option<Timestamp>| {
            ready.is_some_and(|since| world.now().duration_since(since) >= WAITS_LONGER)
        };
        for (id, (marker, ready)) in std::mem::take(&mut self.under_way) {
            match ended(&id) {
                Some(over) if !over.succeeded && !waited(&ready) => self.have_gone(marker),
                Some(_) => {}
                None => drop(self.under_way.insert(id, (marker, ready))),
            }
        }
    }
}

fn without_intent(marker: &Marker) -> String {
    format!("{}/{}-{}", marker.release, marker.version, marker.hash)
}
