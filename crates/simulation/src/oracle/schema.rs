//! D1, D2, D7, N1, R3 of the schema: what the database has, and who still needs it.

use tidegate_sandbox::world::World;

use super::{Found, Invariant};
use crate::database::{Model, Operation};

/// The instance that the database is on.
const INSTANCE: &str = "ecommerce-db";

/// What was committed so far.
#[derive(Default)]
pub(crate) struct Schema {
    seen: usize,
    epoch: i64,
    /// When the old form was hidden last, and is still.
    hidden: Option<jiff::Timestamp>,
}

impl Schema {
    pub(crate) fn look(&mut self, world: &World, database: &Model, running: &[&str], found: &mut Found) {
        let now = world.now();
        let known = database.versions();
        for version in running.iter().filter(|version| known.contains(**version)) {
            if let Err((statement, misfit)) = database.fits(version) {
                let what = format!("{version} has tasks, and its {statement:?} fails: {misfit:?}");
                found.add(Invariant::D2, now, what);
            }
        }
        if database.last_committed().is_none() {
            return;
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
                Operation::Hide => self.hidden = Some(step.at),
                Operation::Unhide => self.hidden = None,
                Operation::Purge => self.purged(world, step.at, found),
                Operation::Claim
                | Operation::Observe
                | Operation::Expand
                | Operation::Backfill
                | Operation::Log => {}
            }
        }
        self.seen = committed.len();
    }

    fn purged(&self, world: &World, at: jiff::Timestamp, found: &mut Found) {
        let Some(hidden) = self.hidden else {
            found.add(Invariant::D1, at, "purged what was not hidden".to_owned());
            return;
        };
        let resource = world.resource_id_of(INSTANCE);
        let kept = world.kept();
        let young = |snapshot: &&tidegate_sandbox::world::truth::Kept| {
            snapshot.available
                && snapshot.created >= hidden
                && Some(&snapshot.resource_id) == resource.as_ref()
        };
        if !kept.iter().any(|snapshot| young(&snapshot)) {
            found.add(Invariant::N1, at, format!("purged with these snapshots: {kept:?}"));
        }
    }
}
