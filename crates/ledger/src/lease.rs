//! Who may act for a release, and for how long that may be relied on.
//!
//! The store's clock alone decides when a lease ends; this process only measures how long ago it asked, by a clock that
//! never goes back, and relies on two thirds of the term, counted from before the request was sent. So a machine whose
//! clock runs half as fast again as the store's, or behind it, stops before anybody else may begin. What a slower one still
//! sends is refused where the epoch is compared: in the ledger and in the target database.

use std::{collections::BTreeMap, time::Duration};

use rand::RngExt as _;
use tidegate_model::ReleaseName;
use tokio::time::Instant;

/// How long a lease lasts. Two thirds of it hold the longest call (30 s) and leave room to miss some renewals.
pub const TERM: Duration = Duration::from_secs(90);

/// How often leases are renewed.
pub const RENEWAL: Duration = Duration::from_secs(10);

/// A lease that can be relied on for this long is not asked for again: more than the longest call, so that a step may still
/// be sent at the end of the pass.
const FRESH: Duration = Duration::from_secs(45);

/// Who leads a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// This process, in this epoch: the time between two changes of hands.
    Leading(u64),
    /// Another one.
    Following {
        /// Which.
        leader: String,
    },
}

/// A lease that this process was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) epoch: u64,
    /// Nothing if it lasts as long as the process.
    until: Option<Instant>,
}

impl Lease {
    /// As it was granted to a request that was sent at `asked`.
    pub(crate) fn granted(epoch: u64, term: Option<Duration>, asked: Instant) -> Self {
        Self { epoch, until: term.map(|term| asked + term * 2 / 3) }
    }

    /// True if the store need not be asked for it: it ends, and not before a renewal that failed was tried again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.until.is_some() && self.covers(FRESH)
    }

    /// True if it can be relied on for as long as `span` from now on.
    pub(crate) fn covers(&self, span: Duration) -> bool {
        self.until.is_none_or(|until| Instant::now() + span < until)
    }
}

/// What is left of the leases after a renewal that was sent at `asked`: those that the store still knows in their epoch.
pub(crate) fn renewed(
    leases: &mut BTreeMap<ReleaseName, Lease>,
    kept: &BTreeMap<ReleaseName, u64>,
    term: Duration,
    asked: Instant,
) {
    leases.retain(|release, lease| lease.until.is_none() || kept.get(release) == Some(&lease.epoch));
    for lease in leases.values_mut().filter(|lease| lease.until.is_some()) {
        *lease = Lease::granted(lease.epoch, Some(term), asked);
    }
}

/// A name for a new ledger: by when it was made, so that of two the newer one is known.
pub(crate) fn new_identity() -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    format!("{now:013}-{:08x}", rand::rng().random::<u32>())
}

/// A name for this process that no other one has: the machine for people, chance for everything else.
pub(crate) fn new_holder() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
    let host = told.map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned());
    format!("{host}-{}-{:08x}", std::process::id(), rand::rng().random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_relied_on_for_two_thirds_of_its_term_and_not_an_instant_longer() {
        let lease = Lease::granted(7, Some(TERM), Instant::now());
        let two_thirds = TERM * 2 / 3;
        assert!(lease.covers(two_thirds - Duration::from_millis(1)));
        assert!(!lease.covers(two_thirds));
        assert!(lease.is_fresh());
        tokio::time::advance(two_thirds - FRESH).await;
        assert!(!lease.is_fresh());
        let own = Lease::granted(7, None, Instant::now());
        assert!(own.covers(TERM * 1_000));
        assert!(!own.is_fresh(), "what never ends is not renewed either");
    }
}
