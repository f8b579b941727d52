//! D1, D2, D6, D7, N1: what the database has, and who still needs it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_ledger::Sealed;
use tidegate_model::{
    orders::read_approval,
    spec::{self, ContractMode, SchemaSpec},
};
use tidegate_sandbox::{
    Call,
    world::{World, truth::Deployed},
};

use super::{Found, Invariant, given_back::GivingBack, made_for, orders::JUST_NOW, traffic::SPEC};
use crate::{
    database::{Misfit, Model, Operation, story},
    scenario::APPROVAL,
    tool,
};

/// The instance that the database is on.
const INSTANCE: &str = "ecommerce-db";

/// What was committed so far.
#[derive(Default)]
pub(crate) struct Schema {
    seen: usize,
    epoch: i64,
    /// What the newest spec that could be read asks of the schema, with its version: while nobody can read what stands there, it is still
    /// what counts.
    asked: Option<(u64, SchemaSpec)>,
    /// Which writing of the spec that was looked at last: its version, and when.
    looked_at: Option<(u64, Option<Timestamp>)>,
    /// When the old form was hidden last, and is still.
    hidden: Option<Timestamp>,
    given_back: GivingBack,
    /// When there was last a snapshot that a purge may rest on: somebody may have deleted it just now.
    kept: Option<Timestamp>,
    /// True once the team's own tool was told to drop the old form: then a purge only writes down that it did.
    by_tool: bool,
    /// Since when each snapshot can be restored.
    available: BTreeMap<(String, Timestamp), Timestamp>,
}

/// A snapshot on which a purge rests is no older: the half hour that it may have, and what a purge waits for locks.
const YOUNG: jiff::SignedDuration = jiff::SignedDuration::from_mins(33);

/// What was true this short a time ago may have been what a daemon decided by.
const FRESH: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Schema {
    /// Looks at the database; `running` are the images that have tasks, `shown` the plans that people were shown.
    pub(crate) fn look(
        &mut self,
        world: &World,
        database: &Model,
        (running, shown): (&[&str], &BTreeSet<String>),
        found: &mut Found,
    ) {
        let now = world.now();
        self.read(world);
        let known = database.versions();
        for version in running.iter().filter(|version| known.contains(**version)) {
            if let Err((statement, misfit)) = database.fits(version)
                && !self.comes_all_the_same(world, version, &misfit)
            {
                let what = format!("{version} has tasks, and its {statement:?} fails: {misfit:?}");
                found.add(Invariant::D2, now, what);
            }
        }
        if database.last_committed().is_none() {
            return;
        }
        if self.hidden.is_some_and(|hidden| self.is_kept(world, hidden, now)) {
            self.kept = Some(now);
        }
        let committed = database.committed();
        for step in committed.iter().skip(self.seen) {
            if step.epoch < self.epoch {
                let what = format!(
                    "{:?} was committed in epoch {} after {}",
                    step.operation, step.epoch, self.epoch
                );
                found.add(Invariant::D7, now, what);
            }
            self.epoch = self.epoch.max(step.epoch);
            match step.operation {
                Operation::Hide => {
                    self.hidden = Some(step.at);
                    self.given_back.is_over();
                    self.contracted(world, ("hidden", step.at), shown, found);
                    self.unused(database, step.at, found);
                }
                Operation::Unhide => {
                    self.hidden = None;
                    self.given_back.is_over();
                }
                Operation::Purge if self.by_tool => {}
                Operation::Purge => {
                    self.contracted(world, ("purged", step.at), shown, found);
                    self.purged(world, step.at, found);
                }
                Operation::Expand => not_on_the_way_back(world, step.at, found),
                Operation::Claim | Operation::Observe | Operation::Backfill | Operation::Log => {}
            }
        }
        self.seen = committed.len();
    }

    /// A machine appended rows to the release's ledger.
    pub(crate) fn appended(&mut self, rows: &[Sealed]) {
        self.given_back.appended(rows);
    }

    /// The ledger is another one from now on.
    pub(crate) fn lose_ledger(&mut self) {
        self.given_back.lose();
    }

    /// True of a version that is brought back and lacks the hidden form alone, which could not be given back.
    fn comes_all_the_same(&self, world: &World, version: &str, misfit: &Misfit) -> bool {
        let lacks_it = matches!(misfit, Misfit::Refused { column, .. } if column == story::OLD_COLUMN);
        let brings_it =
            |deployment: &Deployed| world.image_of(&deployment.definition).as_deref() == Some(version);
        let deployed = world.deployed();
        let brought = deployed
            .iter()
            .filter(|deployment| !deployment.rollback)
            .rfind(|deployment| brings_it(deployment));
        let comes_back = brought.and_then(made_for).is_some_and(|marker| marker.takes_back());
        lacks_it && self.given_back.is_given_up() && comes_back
    }

    /// Keeps what is asked for. A spec that can be read and has no change in it asks for nothing.
    fn read(&mut self, world: &World) {
        let Some((version, text)) = world.parameter(SPEC) else { return };
        let writing = Some((version, world.written(SPEC)));
        if self.looked_at == writing {
            return;
        }
        self.looked_at = writing;
        if let Ok(spec) = spec::read(&text) {
            self.asked = spec.schema.map(|schema| (version, schema));
        }
    }

    /// Contract is approved, for the newest spec that could be read, by who has seen its plan; and no deployment of ours is under way.
    fn contracted(
        &self,
        world: &World,
        (what, at): (&str, Timestamp),
        shown: &BTreeSet<String>,
        found: &mut Found,
    ) {
        let ours = |deployment: &Deployed| !deployment.ended && made_for(deployment).is_some();
        if let Some(deployment) = world.deployed().into_iter().find(ours) {
            found.add(Invariant::D1, at, format!("{what} while {} was under way", deployment.id));
        }
        let Some((version, schema)) = &self.asked else { return };
        if schema.contract != ContractMode::OnApproval {
            return;
        }
        let order = world.parameter(APPROVAL).map(|(_, text)| text);
        let approval = order.as_deref().and_then(|text| read_approval(text).ok());
        // A spec that is written between reading and acting is read in the next pass.
        let unread = world.written(SPEC).is_some_and(|written| at.duration_since(written) <= JUST_NOW);
        let names = |spec: u64| spec == *version || unread && spec < *version;
        if approval.is_none_or(|approval| !names(approval.spec.0) || !shown.contains(&approval.plan)) {
            found.add(
                Invariant::D1,
                at,
                format!("{what} with this approval of spec version {version}: {order:?}"),
            );
        }
    }

    /// No statement has named the old form for as long as the spec says.
    fn unused(&self, database: &Model, at: Timestamp, found: &mut Found) {
        let Some((_, schema)) = &self.asked else { return };
        let wanted = schema.contract_after.duration();
        let last = database.last_named(&story::customers(), story::OLD_COLUMN);
        if let Some(last) = last.filter(|last| at.duration_since(*last) < wanted) {
            found.add(Invariant::D1, at, format!("hidden, and named at {last} by a statement of the shop"));
        }
    }

    /// The team's own tool is started: alone, and to drop nothing that we may not drop ourselves. A call that arrives late is one
    /// that its sender has given up, so another run may be under way by then, or come while that one is.
    pub(crate) fn tool_started(
        &mut self,
        world: &World,
        (call, late): (&Call, bool),
        shown: &BTreeSet<String>,
        found: &mut Found,
    ) {
        let now = world.now();
        if tool::runs(world) > 1 && !late {
            found.add(Invariant::J2, now, "the tool was started while another run was under way".to_owned());
        }
        if tool::is_told_to_contract(&call.input) {
            self.by_tool = true;
            self.contracted(world, ("told to be purged", now), shown, found);
            self.purged(world, now, found);
        }
    }

    fn purged(&mut self, world: &World, at: Timestamp, found: &mut Found) {
        let Some(hidden) = self.hidden else {
            found.add(Invariant::D1, at, "purged what was not hidden".to_owned());
            return;
        };
        let served = at.duration_since(hidden);
        if let Some((_, schema)) = &self.asked
            && served < schema.quarantine.duration()
        {
            found.add(Invariant::D1, at, format!("purged what was hidden for {served:#}"));
        }
        let fresh = self.kept.is_some_and(|kept| kept >= hidden && at.duration_since(kept) <= FRESH);
        if !fresh && !self.is_kept(world, hidden, at) {
            found.add(Invariant::N1, at, format!("purged with these snapshots: {:?}", world.kept()));
        }
    }

    /// True if there is an available snapshot of this very instance that is younger than the hiding, and young.
    fn is_kept(&mut self, world: &World, hidden: Timestamp, at: Timestamp) -> bool {
        let resource = world.resource_id_of(INSTANCE);
        let kept = world.kept();
        kept.iter().filter(|snapshot| snapshot.available).any(|snapshot| {
            let since = *self.available.entry((snapshot.id.clone(), snapshot.created)).or_insert(at);
            snapshot.created >= hidden
                && at.duration_since(since) <= YOUNG
                && Some(&snapshot.resource_id) == resource.as_ref()
        })
    }
}

/// D6. Hiding and purging wait for every deployment of ours.
fn not_on_the_way_back(world: &World, at: Timestamp, found: &mut Found) {
    let back = |deployment: &Deployed| {
        deployment.rollback || made_for(deployment).is_some_and(|marker| marker.takes_back())
    };
    let long = |deployment: &Deployed| at.duration_since(deployment.created) > JUST_NOW;
    let under_way = |deployment: &Deployed| !deployment.ended && back(deployment) && long(deployment);
    if let Some(deployment) = world.deployed().into_iter().find(under_way) {
        found.add(Invariant::D6, at, format!("expanded while {} took a version back", deployment.id));
    }
}
