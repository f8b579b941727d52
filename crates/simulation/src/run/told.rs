//! What people must be told while it is so: what is under way, an edit of the listener, and by the status parameter what the page tells.
//!
//! Asked by the run with each of its ticks, and at rest. Nothing here lets anything happen.

use std::time::Duration;

use tidegate_model::{
    status::{ReleaseStatus, Summary},
    waiting::{Held, Reason},
};
use tidegate_sandbox::world::truth::Deployed;

use super::{Stage, told};
use crate::{
    oracle::{Invariant, made_for},
    scene::locked,
    sweep::REST,
};

/// A release that is under way is told of within this time, whoever has just died.
const TOLD_WITHIN: Duration = Duration::from_secs(5 * 60);

impl Stage<'_> {
    /// P2: what is under way is told of, whether anybody asks for it or not.
    pub(super) fn is_untold(&mut self, quiet_since: Duration) {
        let ours = |deployment: &Deployed| !deployment.ended && made_for(deployment).is_some();
        let now = self.scene.calendar.elapsed();
        // Without the ledger and without the spec nobody knows that there is a release.
        if self.daemons.is_empty()
            || self.setup.plan.forgets()
            || !self.scene.sandbox.world().deployed().iter().any(ours)
        {
            self.untold_since = None;
            return;
        }
        let since = (*self.untold_since.get_or_insert(now)).max(quiet_since);
        if now.saturating_sub(since) > TOLD_WITHIN {
            self.found(
                Invariant::P2,
                "a deployment of ours is under way, and nothing is told of the release".to_owned(),
            );
        }
    }

    /// O3: whoever reads the status parameter at rest is told what the page tells, whatever arrived late. A machine whose clock is
    /// wrong can write nothing: its requests are refused.
    pub(super) fn parameter_is_told(&self) {
        if self.scene.clocks_settle_at() + TOLD_WITHIN > self.scene.calendar.elapsed() {
            return;
        }
        let (Some(status), Some((_, text))) =
            (self.status(), self.scene.sandbox.world().parameter("/tidegate/ecommerce/status"))
        else {
            return;
        };
        let read = serde_json::from_str::<serde_json::Value>(&text).ok();
        let read = read.as_ref().and_then(|read| read["summary"].as_str()).unwrap_or_default();
        if self.setup.rest >= REST && read != status.summary.as_str() {
            let what = format!("{} is told, and the status parameter says {read}", status.summary.as_str());
            self.found(Invariant::O3, what);
        }
    }

    /// O1. A wait for something else is no word of it, whoever is to do something about that.
    pub(super) fn edits_are_told(
        &self,
        status: Option<&ReleaseStatus>,
        (now, quiet_since): (Duration, Duration),
    ) {
        let edited = locked(&self.scene.oracles).edited_for(self.scene.calendar.now());
        let Some(status) = status else { return };
        let quiet = now.saturating_sub(quiet_since) > TOLD_WITHIN;
        // What goes back takes traffic along, and how long that may last is watched by G15.
        let goes_back = status.summary == Summary::RollingBack;
        let is_told = goes_back || status.waiting.iter().any(|wait| is_about_traffic(wait.reason));
        if quiet && edited.unsigned_abs() > TOLD_WITHIN && !is_told {
            let stands = told(status);
            self.found(
                Invariant::O1,
                format!("traffic has stood elsewhere for {edited:#}, and the status is {stands}"),
            );
        }
    }
}

/// True of a redeployment that has failed and is made again: any other rollback that failed waits for people, without an end.
pub(super) fn is_tried_again(status: &ReleaseStatus) -> bool {
    let failed = Reason::Held(Held::RollbackFailed);
    status.waiting.iter().any(|wait| wait.reason == failed && wait.deadline.is_some())
}

/// True of a wait that sends people to look where traffic goes: the listener was edited, or somebody else's deployment, or one that no
/// ledger here knows, has it, or what takes it back has failed; and who cannot read the ledger looks at nothing.
fn is_about_traffic(reason: Reason) -> bool {
    match reason {
        Reason::Held(held) => is_held_for_traffic(held),
        Reason::Gate(_)
        | Reason::Provisioning
        | Reason::Shifting
        | Reason::Confirming
        | Reason::Baking
        | Reason::Retiring
        | Reason::RollingBack
        | Reason::Backfilling
        | Reason::BuildingIndex
        | Reason::MigrationTask
        | Reason::Soaking
        | Reason::Quarantined
        | Reason::Snapshotting
        | Reason::Unobserved
        | Reason::Refused
        | Reason::InDoubt
        | Reason::LedgerUnavailable => false,
    }
}

fn is_held_for_traffic(held: Held) -> bool {
    match held {
        Held::ListenerEdited
        | Held::TrafficDisagrees
        | Held::ForeignDeployment
        | Held::LedgerBehind
        | Held::RollbackFailed
        | Held::LedgerDamaged => true,
        Held::Ordered
        | Held::AbortUnmatched
        | Held::SpecGone
        | Held::SchemaDrifted
        | Held::TaskDisagrees
        | Held::MigrationChanged
        | Held::RestoreOnly
        | Held::NamesPurged
        | Held::RevisionFailed => false,
    }
}
