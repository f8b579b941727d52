//! Version 4's fault: after some requests under traffic it fails a share of them.
//!
//! Called by: the HTTP API, before each customer request. Must not: touch `/health`, which stays green as it
//! does in the accidents that this stands for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// When and how often requests fail; shared by all connections of a process.
#[derive(Clone)]
pub struct Fault(Option<Arc<State>>);

struct State {
    after: u64,
    share: f64,
    served: AtomicU64,
}

impl Fault {
    /// A version without a fault.
    pub fn none() -> Self {
        Self(None)
    }

    /// Serves `after` requests well, then fails each with probability `share`, which is at most 1.
    pub fn new(after: u64, share: f64) -> Self {
        Self(Some(Arc::new(State { after, share: share.clamp(0.0, 1.0), served: AtomicU64::new(0) })))
    }

    /// Counts a request and says whether it is to fail.
    pub fn strikes(&self) -> bool {
        let Some(state) = &self.0 else { return false };
        let before = state.served.fetch_add(1, Ordering::Relaxed);
        before >= state.after && rand::random::<f64>() < state.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_only_after_the_first_requests() {
        let fault = Fault::new(3, 1.0);
        let struck: Vec<bool> = (0..5).map(|_| fault.strikes()).collect();
        assert_eq!(struck, [false, false, false, true, true]);
    }

    #[test]
    fn it_strikes_about_the_asked_share() {
        let fault = Fault::new(0, 0.3);
        let struck = (0..10_000).filter(|_| fault.strikes()).count();
        assert!((2_600..3_400).contains(&struck), "{struck} of 10000");
    }

    #[test]
    fn without_a_fault_nothing_fails() {
        let fault = Fault::none();
        assert!((0..1_000).all(|_| !fault.strikes()));
    }
}
