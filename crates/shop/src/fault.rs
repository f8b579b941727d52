//! A fault: after some requests under traffic a share of them fails, evenly or in clusters.
//!
//! Called by the HTTP API, before each customer request. Must not: touch `/health`, which stays green as it
//! does in the accidents that this stands for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// When and how often requests fail; shared by all connections of a process.
#[derive(Clone)]
pub(crate) struct Fault(Option<Arc<State>>);

struct State {
    after: u64,
    share: f64,
    cluster: u64,
    served: AtomicU64,
    /// Requests of the present cluster that are still to fail.
    left: AtomicU64,
}

impl Fault {
    /// A version without a fault.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Serves `after` requests well, then fails this share of them, which is at most 1: `cluster` in a row each time, at
    /// least 1.
    pub(crate) fn new(after: u64, share: f64, cluster: u64) -> Self {
        let (share, cluster) = (share.clamp(0.0, 1.0), cluster.max(1));
        let (served, left) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Some(Arc::new(State { after, share, cluster, served, left })))
    }

    /// Counts a request and says whether it is to fail.
    pub(crate) fn strikes(&self) -> bool {
        let Some(state) = &self.0 else { return false };
        let before = state.served.fetch_add(1, Ordering::Relaxed);
        if before < state.after {
            return false;
        }
        let goes_on =
            state.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if goes_on.is_ok() {
            return true;
        }
        let begins = rand::random::<f64>() < state.begins();
        if begins {
            state.left.store(state.cluster - 1, Ordering::Relaxed);
        }
        begins
    }
}

impl State {
    /// The chance that a request outside of a cluster begins one, such that the share comes out: a cluster of `n` follows
    /// upon `1 / chance - 1` good requests on average.
    #[expect(clippy::cast_precision_loss, reason = "a cluster has few requests")]
    fn begins(&self) -> f64 {
        let cluster = self.cluster as f64;
        if self.share >= 1.0 { 1.0 } else { self.share / (cluster - self.share * (cluster - 1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_only_after_the_first_requests() {
        let fault = Fault::new(3, 1.0, 1);
        let struck: Vec<bool> = (0..5).map(|_| fault.strikes()).collect();
        assert_eq!(struck, [false, false, false, true, true]);
    }

    #[test]
    fn it_strikes_about_the_asked_share_evenly_and_in_clusters() {
        for cluster in [1, 6] {
            let fault = Fault::new(0, 0.3, cluster);
            let struck = (0..20_000).filter(|_| fault.strikes()).count();
            assert!((5_400..6_600).contains(&struck), "{struck} of 20000 in clusters of {cluster}");
        }
    }

    #[test]
    fn a_cluster_is_as_long_as_asked() {
        let fault = Fault::new(0, 0.01, 6);
        let struck: Vec<bool> = (0..20_000).map(|_| fault.strikes()).collect();
        let lengths = struck.chunk_by(|a, b| a == b).filter(|run| run[0]).map(<[bool]>::len);
        let lengths: Vec<usize> = lengths.collect();
        assert!(lengths.len() > 10, "{lengths:?}");
        // Two may follow upon each other, and the last may be cut off.
        assert!(lengths[..lengths.len() - 1].iter().all(|length| length.is_multiple_of(6)), "{lengths:?}");
    }

    #[test]
    fn without_a_fault_nothing_fails() {
        let fault = Fault::none();
        assert!((0..1_000).all(|_| !fault.strikes()));
    }
}
