//! Virtual time: tokio's paused clock, as a calendar and as each daemon sees it.
//!
//! Time passes only while everybody waits. A daemon's own clock may jump or run at another rate; whatever it shows, the
//! world's clock goes on as it does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::TimeSource;
use futures_util::{FutureExt as _, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use tidegate_controller::{Clock, Steady};
use tokio::time::Instant;

/// The world's calendar. A copy shows the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    start: Timestamp,
    since: Instant,
}

impl Calendar {
    /// It is `start` now.
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { start, since: Instant::now() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.start.saturating_add(self.since.elapsed()).unwrap_or(self.start)
    }

    /// How long ago it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// The clock of one machine, made steady as the daemon makes it.
#[derive(Debug)]
pub(crate) struct MachineClock {
    calendar: Calendar,
    /// How far it is ahead of the calendar.
    ahead: Mutex<SignedDuration>,
    steady: Steady,
}

impl MachineClock {
    /// A clock that is right.
    pub(crate) fn new(calendar: Calendar) -> Self {
        Self { calendar, ahead: Mutex::default(), steady: Steady::default() }
    }

    /// Sets it forward, or back.
    pub(crate) fn jump(&self, by: SignedDuration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead = ahead.saturating_add(by);
    }

    /// How far it was set forward while its daemon was not there to see it.
    pub(crate) fn unnoticed(&self) -> SignedDuration {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.saturating_sub(self.steady.set_forward()).max(SignedDuration::ZERO)
    }

    /// What it shows, whatever it showed before.
    fn shown(&self) -> Timestamp {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        self.calendar.now().saturating_add(ahead).unwrap_or_else(|_| self.calendar.now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.steady.at(self.shown())
    }

    fn ahead(&self) -> SignedDuration {
        self.steady.ahead(self.shown())
    }

    fn set_forward(&self) -> SignedDuration {
        self.steady.set_forward()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            loop {
                let left = at.duration_since(self.now());
                if left <= SignedDuration::ZERO {
                    return;
                }
                // A jump is noticed within the minute, as timers of a real machine notice it.
                tokio::time::sleep(left.unsigned_abs().min(Duration::from_secs(60))).await;
            }
        }
        .boxed()
    }
}

/// The time that a machine signs its requests with: what its clock shows, even if that went back.
#[derive(Debug)]
pub(crate) struct SigningTime(pub(crate) Arc<MachineClock>);

impl TimeSource for SigningTime {
    fn now(&self) -> SystemTime {
        self.0.shown().into()
    }
}
