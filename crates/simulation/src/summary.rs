//! What a sweep saw of each class of faults, in words, and whether that is enough.
//!
//! Told by `cargo xtask sim`. Only a swarm that is large enough must have seen every class that its scenarios can draw.

use std::collections::BTreeMap;

use crate::{
    fault::class::{CLASSES, Class, unseen},
    sweep::Tally,
};

/// So many runs must have seen every class that can be drawn: each kind is in about a third of the plans, and the rarest needs a
/// scenario with a database and a snapshot.
const LARGE: u64 = 500;

/// How often each class struck, in order, and those that never did.
pub fn classes(tally: &Tally) -> String {
    let struck = struck(tally);
    let times = |class: &Class| struck.get(class.id).copied().unwrap_or_default();
    let seen: Vec<String> = CLASSES
        .iter()
        .filter(|class| times(class) > 0)
        .map(|class| format!("{} {}", class.id, times(class)))
        .collect();
    let never: Vec<&str> = CLASSES.iter().filter(|class| times(class) == 0).map(|class| class.id).collect();
    format!("{}; not seen: {}", seen.join(", "), never.join(", "))
}

/// Classes that a swarm had to see and did not.
pub fn missing(tally: &Tally, with_database: bool) -> Vec<&'static Class> {
    if tally.runs < LARGE {
        return Vec::new();
    }
    let struck = struck(tally);
    unseen(|id| struck.contains_key(id), with_database).collect()
}

fn struck(tally: &Tally) -> BTreeMap<&str, u64> {
    let mut classes = BTreeMap::<&str, u64>::new();
    for (class, times) in tally.seen.values().flatten() {
        *classes.entry(class).or_default() += times;
    }
    classes
}
