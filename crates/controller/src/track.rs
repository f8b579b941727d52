//! What the controller keeps of a release between passes. Everything in it can be had again from ledger and world.

use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::{Damage, Loaded};
use tidegate_model::{Digest, Fact, ledger::ReleaseState, orders::ParameterRead, status::ReleaseStatus};

/// One release between two passes.
#[derive(Debug)]
pub(crate) struct Tracked {
    /// Its chain of ledger entries.
    pub chain: Chain,
    /// The epoch of the lease under which the chain was read. In another one somebody else may have appended meanwhile.
    pub epoch: Option<u64>,
    /// How far the clock had been set forward altogether when this process began, or stopped leading the release: by that much
    /// windows do not move, they began later or under another daemon's clock.
    pub set_before: SignedDuration,
    /// How far the chain knew clocks as set forward when it was first read; `None` until then.
    pub noted_before: Option<SignedDuration>,
    /// What was last decided to be published.
    pub status: Option<ReleaseStatus>,
    /// The transition that the status parameter shows; `None` until it was written by this process.
    pub written: Option<Digest>,
    /// True if the last write of the status parameter failed: told once, tried again.
    pub write_failing: bool,
    /// When a write of the status parameter last had an unknown outcome, or one of another process may have had: it may arrive after a
    /// newer one.
    pub write_in_doubt: Option<Timestamp>,
    /// True after a panic: it is read alone, so that it cannot take others with it again.
    pub alone: bool,
}

/// A release's chain, as far as this process knows it.
#[derive(Debug)]
pub(crate) enum Chain {
    /// Folded, and the newest as far as this process knows.
    Sound(Box<ReleaseState>),
    /// An append failed: what was known before it, and what was done since without the ledger. It is read again as soon as
    /// that can be; until then nothing is written, and traffic is only taken back.
    Unwritten(Box<ReleaseState>),
    /// It does not hold: nothing may be done for the release.
    Damaged(Damage),
    /// It must be read again before anything is done: it was never read, or a pass ended in a panic.
    Stale,
}

impl Chain {
    /// What is known of the release, if anything is.
    pub(crate) fn state(&self) -> Option<&ReleaseState> {
        match self {
            Self::Sound(state) | Self::Unwritten(state) => Some(state),
            Self::Damaged(_) | Self::Stale => None,
        }
    }

    /// The same, taken out.
    pub(crate) fn into_state(self) -> Option<Box<ReleaseState>> {
        match self {
            Self::Sound(state) | Self::Unwritten(state) => Some(state),
            Self::Damaged(_) | Self::Stale => None,
        }
    }

    /// It cannot be written any more.
    pub(crate) fn unwritten(self) -> Self {
        match self {
            Self::Sound(state) => Self::Unwritten(state),
            Self::Unwritten(_) | Self::Damaged(_) | Self::Stale => self,
        }
    }
}

impl Tracked {
    /// With how far the clock has been set forward until now.
    pub(crate) fn new(chain: Chain, set_before: SignedDuration) -> Self {
        Self {
            chain,
            epoch: None,
            set_before,
            noted_before: None,
            status: None,
            written: None,
            write_failing: false,
            write_in_doubt: None,
            alone: false,
        }
    }

    /// How far a clock that was set forward by `altogether` was set since the chain last noted it.
    pub(crate) fn set_forward(&mut self, altogether: SignedDuration, state: &ReleaseState) -> SignedDuration {
        let noted_before = *self.noted_before.get_or_insert(state.set_forward);
        let noted = state.set_forward.saturating_sub(noted_before);
        altogether.saturating_sub(self.set_before).saturating_sub(noted)
    }
}

impl From<Loaded> for Tracked {
    fn from(loaded: Loaded) -> Self {
        let chain = match loaded {
            Loaded::State(state) => Chain::Sound(state),
            Loaded::Damaged { why } => Chain::Damaged(why),
        };
        // It is loaded as the process begins.
        Self::new(chain, SignedDuration::ZERO)
    }
}

/// True if there is nothing to look after: no spec was ever taken, or it was deleted, and nothing is open.
pub(crate) fn is_unmanaged(state: &ReleaseState, spec: &Fact<ParameterRead>) -> bool {
    spec.is_absent()
        && state.accepted.is_none()
        && state.refused.is_none()
        && state.rollout.is_none()
        && state.open.is_empty()
        && !state.change.as_ref().is_some_and(tidegate_model::ledger::ChangeState::is_open)
}

/// True while the world moves for this release without being asked again.
pub(crate) fn is_in_flight(state: &ReleaseState) -> bool {
    state.rollout.is_some() || !state.open.is_empty()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tidegate_model::{
        Why,
        decision::Step,
        ledger::{Entry, Intent},
    };

    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_is_noted_once_and_again_if_the_ledger_lost_it() {
        let hours = SignedDuration::from_hours;
        let mut tracked = Tracked::new(Chain::Stale, hours(5));
        let mut state = ReleaseState::default();
        // Another daemon's clock, while that one led.
        state.apply(Timestamp::UNIX_EPOCH, &Entry::ClockSetForward { by: hours(90) });
        assert_eq!(tracked.set_forward(hours(7), &state), hours(2), "also before the chain was read");
        let unwritten = state.clone();
        state.apply(Timestamp::UNIX_EPOCH, &Entry::ClockSetForward { by: hours(2) });
        assert_eq!(tracked.set_forward(hours(7), &state), SignedDuration::ZERO);
        assert_eq!(tracked.set_forward(hours(8), &state), hours(1));
        assert_eq!(tracked.set_forward(hours(8), &unwritten), hours(3));
    }

    #[test]
    fn only_a_complete_read_makes_a_release_unmanaged() {
        let state = ReleaseState::default();
        assert!(is_unmanaged(&state, &Fact::Absent));
        assert!(!is_unmanaged(&state, &Fact::Unknown(Why::Throttled)));
    }

    #[test]
    fn a_release_with_an_open_intent_is_looked_after_without_a_spec() {
        let mut state = ReleaseState::default();
        let step = Step::StopDeployment { deployment: "d-1".into() };
        state.apply(Timestamp::UNIX_EPOCH, &Entry::Intended(Box::new(Intent { id: 0, step })));
        assert!(!is_unmanaged(&state, &Fact::Absent));
        assert!(is_in_flight(&state));
    }
}
