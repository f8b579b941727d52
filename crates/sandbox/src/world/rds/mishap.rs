//! What goes wrong with a snapshot, for those who test what a client makes of it.
//!
//! Called by the simulation; nothing here is reachable through a wire protocol, and no snapshot has a mishap by itself.

use jiff::SignedDuration;

use super::{Event, Snapshot, SnapshotStatus, end_backup};
use crate::world::World;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMishap {
    /// It becomes `failed`.
    Fails,
    /// It stays `creating` for so long.
    Sticks(SignedDuration),
}

impl World {
    /// The account may have so many manual snapshots, or as many as every account.
    pub fn set_snapshot_quota(&mut self, quota: Option<usize>) {
        self.rds.snapshot_quota = quota;
    }

    /// Lets something go wrong with the snapshot that is being made; false if none is.
    pub fn snapshot_goes_wrong(&mut self, how: SnapshotMishap) -> bool {
        let now = self.now();
        let creating = |snapshot: &&mut Snapshot| snapshot.status == SnapshotStatus::Creating;
        let Some(snapshot) = self.rds.snapshots.values_mut().find(creating) else { return false };
        let (id, instance) = (snapshot.id.clone(), snapshot.instance.clone());
        match how {
            SnapshotMishap::Fails => {
                snapshot.status = SnapshotStatus::Failed;
                end_backup(self, &instance);
            }
            SnapshotMishap::Sticks(lasts) => {
                snapshot.progressed = now + lasts;
                self.book(lasts, crate::world::Event::Rds(Event::SnapshotProgressed(id.clone())));
            }
        }
        self.note_effect("rds", "Mishap", &id, format!("{how:?}"), None);
        true
    }
}
