//! How long green has had all of the traffic: what a bake is.
//!
//! Kept for each deployment by the traffic's oracle. Time in which some of the traffic was elsewhere is no part of it, as far as a daemon
//! could have seen that it was.

use jiff::{SignedDuration, Timestamp};

/// An interruption this short may fall between two passes, and count as served.
const UNSEEN: SignedDuration = SignedDuration::from_secs(90);

/// Time with all of the traffic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// When it had all of it first.
    since: Timestamp,
    /// When it was last seen to have all of it.
    still: Timestamp,
    /// When something of it went elsewhere, while it does.
    left: Option<Timestamp>,
    /// How long it was not whole, as far as somebody could have seen it.
    lost: SignedDuration,
}

impl Served {
    /// It has all of the traffic for the first time.
    pub(super) fn from(now: Timestamp) -> Self {
        Self { since: now, still: now, left: None, lost: SignedDuration::ZERO }
    }

    /// Looks at it again: `whole` says that it has all of the traffic. Until `blind` nobody was sure to see what it has.
    pub(super) fn look(&mut self, whole: bool, now: Timestamp, blind: Option<Timestamp>) {
        if !whole {
            self.left.get_or_insert(now);
            return;
        }
        if let Some(left) = self.left.take() {
            let seen = blind.map_or(left, |blind| blind.max(left)).saturating_add(UNSEEN).unwrap_or(now);
            self.lost = self.lost.saturating_add(now.duration_since(seen).max(SignedDuration::ZERO));
        }
        self.still = now;
    }

    /// True if it had all of the traffic so short a time ago.
    pub(super) fn had_all(&self, now: Timestamp, within: SignedDuration) -> bool {
        now.duration_since(self.still) <= within
    }

    /// How long it has had all of the traffic.
    pub(super) fn lasted(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.since).saturating_sub(self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    #[test]
    fn what_was_elsewhere_for_long_is_not_served_unless_nobody_could_see_it() {
        let lasted = |left: i64, back: i64, blind: Option<i64>| {
            let mut served = Served::from(at(0));
            for minute in 1..=60 {
                served.look(!(left..back).contains(&minute), at(minute), blind.map(at));
            }
            served.lasted(at(60)).as_mins()
        };
        assert_eq!(lasted(0, 0, None), 60);
        assert_eq!(lasted(10, 11, None), 60, "between two passes");
        // A minute and a half may be unseen.
        assert_eq!(lasted(10, 40, None), 31);
        assert_eq!(lasted(10, 40, Some(30)), 51);
        assert_eq!(lasted(10, 40, Some(50)), 60);
    }

    #[test]
    fn it_has_all_until_something_goes_elsewhere() {
        let mut served = Served::from(at(0));
        served.look(false, at(2), None);
        assert!(served.had_all(at(1), SignedDuration::from_mins(1)));
        assert!(!served.had_all(at(3), SignedDuration::from_mins(1)));
    }
}
