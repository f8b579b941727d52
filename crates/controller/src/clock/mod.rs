//! The one clock that decisions, windows and order times use: the machine's, the sandbox's, or a test's.
//!
//! Nothing else in this crate may ask for the time of decisions. What happens to real processes (timeouts of calls and
//! probes, request signing) uses real time and does not come here.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};

mod remote;

pub use remote::{ClockError, Remote};

/// A clock. It never goes back.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// How far [`Self::now`] is ahead of what the clock shows: it was set back, and has not been caught up with yet.
    fn ahead(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    /// How far it was set forward altogether while this process ran: time that [`Self::now`] shows and that never passed. Asked
    /// after [`Self::now`], so that a step in between is counted too often rather than not at all.
    fn set_forward(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    /// Waits until [`Self::now`] is `at` or later.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct System {
    steady: Steady,
}

impl Clock for System {
    fn now(&self) -> Timestamp {
        self.steady.at(Timestamp::now())
    }

    fn ahead(&self) -> SignedDuration {
        self.steady.ahead(Timestamp::now())
    }

    fn set_forward(&self) -> SignedDuration {
        self.steady.set_forward()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Some(left) = left(at, self.now()) {
                tokio::time::sleep(left.unsigned_abs().min(LONGEST_SLEEP)).await;
            }
        })
    }
}

/// A clock that is set forward while somebody sleeps is noticed after this long.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Between two readings a clock gains less than this by drift, and by how long reading takes.
const SET_FORWARD: SignedDuration = SignedDuration::from_secs(1);

/// A machine's clock made steady: it follows where it is set forward, and tells how far; where it is set back it goes on at
/// half its pace until it has been caught up with. It never goes back, and it never stands still: a daemon that waited for a
/// clock to catch up would not see an abort for as long. Nor does it lag behind a clock that was set forward: metrics and
/// deadlines of AWS are read by it.
#[derive(Debug, Default)]
pub struct Steady(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    /// The time at the last reading, and when that was.
    last: Option<(Timestamp, Instant)>,
    set_forward: SignedDuration,
}

impl Steady {
    /// The time, when the machine's clock shows `shown`.
    pub fn at(&self, shown: Timestamp) -> Timestamp {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut time = shown;
        if let Some((before, since)) = readings.last {
            let passed = now - since;
            time = before.saturating_add(passed / 2).map_or(shown, |slowed| slowed.max(shown));
            let gained = time
                .duration_since(before)
                .saturating_sub(SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX));
            if gained >= SET_FORWARD {
                readings.set_forward = readings.set_forward.saturating_add(gained);
            }
        }
        readings.last = Some((time, now));
        time
    }

    /// How far the machine's clock was set forward altogether between the readings.
    pub fn set_forward(&self) -> SignedDuration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_forward
    }

    /// How far the time is ahead of what the machine's clock shows.
    pub fn ahead(&self, shown: Timestamp) -> SignedDuration {
        self.at(shown).duration_since(shown)
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

/// The newest time that the sandbox's clock has given. Readings of it differ by how long they took, never by more.
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

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_goes_on_at_half_its_pace_until_it_is_caught_up_with() {
        let steady = Steady::default();
        let second = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert_eq!(steady.at(second(7_200)), second(7_200));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(steady.at(second(100)), second(7_250), "two hours back");
        assert_eq!(steady.ahead(second(100)), SignedDuration::from_secs(7_150));
        tokio::time::advance(Duration::from_secs(20_000)).await;
        assert_eq!(steady.at(second(20_100)), second(20_100), "caught up");
        assert_eq!(steady.ahead(second(20_100)), SignedDuration::ZERO);
        assert_eq!(steady.set_forward(), SignedDuration::ZERO);
        assert_eq!(steady.at(second(30_000)), second(30_000), "set forward");
        assert_eq!(steady.set_forward(), SignedDuration::from_secs(9_900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_drifts_was_not_set() {
        let steady = Steady::default();
        for turn in 1..=1_000 {
            steady.at(Timestamp::UNIX_EPOCH + SignedDuration::from_millis(10_900) * turn);
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(steady.set_forward(), SignedDuration::ZERO);
    }

    #[test]
    fn readings_that_differ_a_little_do_not_go_back() {
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
