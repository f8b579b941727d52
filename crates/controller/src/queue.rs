//! When each release is due: one place for each, the earliest time wins.
//!
//! Pure: a map and comparisons. It holds no more than one time for each release, however often it is woken.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_model::ReleaseName;

/// Releases and when they are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(BTreeMap<ReleaseName, Timestamp>);

impl Queue {
    /// Makes a release due at `at`, or earlier if it already is.
    pub(crate) fn push(&mut self, release: ReleaseName, at: Timestamp) {
        self.0.entry(release).and_modify(|due| *due = at.min(*due)).or_insert(at);
    }

    /// The earliest time at which any release is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }

    /// Takes out every release that is due at `now`.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> BTreeSet<ReleaseName> {
        self.0.extract_if(.., |_, due| *due <= now).map(|(release, _)| release).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn names(releases: &BTreeSet<ReleaseName>) -> Vec<&str> {
        releases.iter().map(ReleaseName::as_str).collect()
    }

    #[test]
    fn the_earliest_time_wins() {
        let mut queue = Queue::default();
        for seconds in [30, 5, 60] {
            queue.push("shop".parse().unwrap(), at(seconds));
        }
        assert_eq!(queue.next(), Some(at(5)));
        assert_eq!(names(&queue.take_due(at(5))), ["shop"]);
        assert_eq!(queue.next(), None, "three wishes of one release are one place");
    }

    #[test]
    fn only_what_is_due_is_taken() {
        let mut queue = Queue::default();
        for (name, seconds) in [("a", 3), ("b", 1), ("c", 2)] {
            queue.push(name.parse().unwrap(), at(seconds));
        }
        assert!(queue.take_due(at(0)).is_empty());
        assert_eq!(names(&queue.take_due(at(2))), ["b", "c"]);
        assert_eq!(queue.next(), Some(at(3)));
    }
}
