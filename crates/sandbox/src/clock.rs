//! The sandbox's one clock. Everything AWS schedules runs on it; what happens to real processes does not.

use std::{sync::Mutex, time::Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock that only moves forward.
#[derive(Debug)]
pub struct Clock {
    speed: u32,
    state: Mutex<State>,
    /// Since when the time is tokio's, if it is.
    virtual_since: Option<tokio::time::Instant>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    read_at: Instant,
}

impl Clock {
    /// A clock that stands still until it is moved: for tests and simulation.
    pub fn standing(start: Timestamp) -> Self {
        Self::running(start, 0)
    }

    /// A clock that runs `speed` times as fast as real time.
    pub fn running(start: Timestamp, speed: u32) -> Self {
        let state = Mutex::new(State { now: start, read_at: Instant::now() });
        Self { speed, state, virtual_since: None }
    }

    /// A clock that goes with tokio's: where that one is paused, time passes as soon as everybody waits.
    pub fn of_tokio(start: Timestamp) -> Self {
        Self { virtual_since: Some(tokio::time::Instant::now()), ..Self::standing(start) }
    }

    /// How many times faster than real time it runs; 0 if it stands.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(since) = self.virtual_since {
            return state.now.saturating_add(since.elapsed()).unwrap_or(state.now);
        }
        let read_at = Instant::now();
        let elapsed = SignedDuration::try_from(read_at - state.read_at).unwrap_or(SignedDuration::ZERO);
        let passed = elapsed
            .checked_mul(i32::try_from(self.speed).unwrap_or(i32::MAX))
            .unwrap_or(SignedDuration::ZERO);
        state.read_at = read_at;
        state.now += passed;
        state.now
    }

    /// Jumps forward.
    pub fn jump(&self, by: SignedDuration) {
        self.now();
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.now += by.max(SignedDuration::ZERO);
    }
}
