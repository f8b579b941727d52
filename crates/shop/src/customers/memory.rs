//! What the shop acknowledged, so that it can be asked for later.
//!
//! Called by: the shoppers; read by the read-back. Must not: forget a write whose outcome is unknown. It may
//! have been done, so it is as acceptable afterwards as the acknowledged one before it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::content::Content;

/// One write, in the order its shopper sent them.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) content: Content,
    /// When the acknowledgement arrived, or nothing if none did.
    pub(super) acknowledged: Option<SystemTime>,
}

/// Every write of every shopper.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<i64, Vec<Write>>>);

/// A copy of what is remembered at one moment.
#[derive(Clone, Debug, Default)]
pub struct Writes(pub(super) BTreeMap<i64, Vec<Write>>);

/// Counts of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Customers created.
    pub customers: usize,
    /// Writes to them, creation included.
    pub writes: usize,
    /// Writes whose outcome is unknown.
    pub unknown: usize,
}

impl Memory {
    /// Remembers a customer that was created and acknowledged now.
    pub(super) fn created(&self, id: i64, content: Content) {
        let write = Write { content, acknowledged: Some(SystemTime::now()) };
        self.lock().entry(id).or_default().push(write);
    }

    /// Remembers a write before it is sent: from now on it may be done. Its outcome is unknown until it is told.
    pub(super) fn sends(&self, id: i64, content: Content) {
        self.lock().entry(id).or_default().push(Write { content, acknowledged: None });
    }

    /// The customer's last write was acknowledged now.
    pub(super) fn acknowledged(&self, id: i64) {
        if let Some(write) = self.lock().get_mut(&id).and_then(|writes| writes.last_mut()) {
            write.acknowledged = Some(SystemTime::now());
        }
    }

    /// The customer's last write was refused: it was not done.
    pub(super) fn refused(&self, id: i64) {
        if let Some(writes) = self.lock().get_mut(&id) {
            writes.pop();
        }
    }

    /// Whether `seen` holds for a content that customer `id` may have now.
    pub(super) fn may_show(&self, id: i64, seen: impl Fn(&Content) -> bool) -> bool {
        self.lock().get(&id).is_some_and(|writes| acceptable(writes, None).any(seen))
    }

    pub(super) fn writes(&self) -> Writes {
        Writes(self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Vec<Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writes {
    /// How much is remembered.
    pub fn acknowledged(&self) -> Acknowledged {
        let writes = || self.0.values().flatten();
        let unknown = writes().filter(|write| write.acknowledged.is_none()).count();
        Acknowledged { customers: self.0.len(), writes: writes().count() - unknown, unknown }
    }
}

/// The contents that a database may show which holds at least everything acknowledged by `until` (everything, if
/// not given): the last of those, anything later, and anything whose outcome is unknown. Nothing if no write was
/// acknowledged by then.
pub(super) fn acceptable(writes: &[Write], until: Option<SystemTime>) -> impl Iterator<Item = &Content> {
    let in_time = |write: &Write| write.acknowledged.is_some_and(|at| until.is_none_or(|until| at <= until));
    let from = writes.iter().rposition(in_time).unwrap_or(usize::MAX);
    writes
        .iter()
        .enumerate()
        .filter(move |(index, write)| from != usize::MAX && (*index >= from || write.acknowledged.is_none()))
        .map(|(_, write)| &write.content)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// Writes acknowledged at these seconds, named by their index.
    fn writes(acknowledged: &[Option<u64>]) -> Vec<Write> {
        let mut random = StdRng::seed_from_u64(1);
        let write = |(index, second): (usize, &Option<u64>)| Write {
            content: Content { name: index.to_string(), ..Content::ordinary(&mut random) },
            acknowledged: second.map(at),
        };
        acknowledged.iter().enumerate().map(write).collect()
    }

    fn names(writes: &[Write], until: Option<u64>) -> Vec<String> {
        acceptable(writes, until.map(at)).map(|content| content.name.clone()).collect()
    }

    #[test]
    fn a_copy_may_hold_the_last_write_in_time_or_any_later_one_but_no_earlier_one() {
        let writes = writes(&[Some(1), Some(2), Some(3)]);
        assert_eq!(names(&writes, Some(2)), ["1", "2"]);
        assert_eq!(names(&writes, None), ["2"]);
    }

    #[test]
    fn a_customer_created_after_the_instant_need_not_be_there() {
        assert!(names(&writes(&[Some(5), None]), Some(2)).is_empty());
    }

    #[test]
    fn a_write_without_an_acknowledgement_may_have_been_done_at_any_time() {
        assert_eq!(names(&writes(&[Some(1), None, Some(3)]), Some(4)), ["1", "2"]);
    }
}
