//! The one clock that decisions, windows and order times use: the machine's, the sandbox's, or a test's.
//!
//! Nothing else in this crate may ask for the time of decisions. What happens to real processes (timeouts of calls and
//! probes, request signing) uses real time and does not come here.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

mod remote;

pub use remote::{ClockError, Remote};

/// A clock. It never goes back.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Waits until [`Self::now`] is `at` or later.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct System {
    newest: Newest,
}

impl Clock for System {
    fn now(&self) -> Timestamp {
        self.newest.at_least(Timestamp::now())
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Some(left) = left(at, self.now()) {
                tokio::time::sleep(left.unsigned_abs()).await;
            }
        })
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct Manual(watch::Sender<Timestamp>);

impl Manual {
    /// A clock that stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(watch::Sender::new(at))
    }

    /// Moves it on, and wakes those who waited for that.
    pub fn advance(&self, by: SignedDuration) {
        self.0.send_modify(|now| *now = now.saturating_add(by).map_or(*now, |later| later.max(*now)));
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        let mut changes = self.0.subscribe();
        // The sender lives in `self`, which this future borrows: the channel cannot close while it waits.
        Box::pin(async move { drop(changes.wait_for(|now| *now >= at).await) })
    }
}

/// What is left until `at`, if anything is.
fn left(at: Timestamp, now: Timestamp) -> Option<SignedDuration> {
    (at > now).then(|| at.duration_since(now))
}

/// The newest time that a clock has given: a machine's clock that is set back stands still until it has caught up.
#[derive(Debug, Default)]
struct Newest(Mutex<Option<Timestamp>>);

impl Newest {
    fn at_least(&self, now: Timestamp) -> Timestamp {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = newest.map_or(now, |before| before.max(now));
        *newest = Some(time);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stands_still() {
        let newest = Newest::default();
        let later = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(9);
        assert_eq!(newest.at_least(later), later);
        assert_eq!(newest.at_least(Timestamp::UNIX_EPOCH), later);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_those_whose_time_has_come() {
        let clock = Manual::new(Timestamp::UNIX_EPOCH);
        let wait = clock.sleep_until(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(5));
        tokio::pin!(wait);
        clock.advance(SignedDuration::from_secs(4));
        assert!(futures_util::poll!(&mut wait).is_pending());
        clock.advance(SignedDuration::from_secs(1));
        wait.await;
    }
}
