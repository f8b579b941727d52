//! What a sweep saw of each class of faults, in words, and whether that is enough.
//!
//! Told by `cargo xtask sim`. A swarm that is large enough, and the long mode's of any size, must have seen every class that its
//! scenarios can draw.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::schema::SchemaPhase;

use crate::{
    fault::class::{CLASSES, Class, unseen},
    struck::NO_PHASE,
    sweep::Tally,
};

/// The phases of a rollout, as a release goes through them.
const ROLLOUT: [&str; 12] = [
    NO_PHASE,
    "unknown",
    "preflight",
    "provisioning",
    "verifying",
    "shifting",
    "confirming",
    "baking",
    "retiring",
    "settled",
    "rolling-back",
    "rolled-back",
];

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

/// True of a swarm that is large enough to be held to every class.
pub fn is_large(tally: &Tally) -> bool {
    tally.runs >= LARGE
}

/// How many classes a swarm can draw.
pub fn drawable(with_database: bool) -> usize {
    unseen(|_| false, with_database).count()
}

/// Classes that a swarm could draw and never did.
pub fn missing(tally: &Tally, with_database: bool) -> Vec<&'static Class> {
    let struck = struck(tally);
    unseen(|id| struck.contains_key(id), with_database).collect()
}

/// How often each class struck in each phase of the rollout, and in each of the schema change: two tables.
pub fn phases<'t>(tallies: impl IntoIterator<Item = &'t Tally>) -> String {
    let (mut rollout, mut schema) = (Table::default(), Table::default());
    for (class, phases) in tallies.into_iter().flat_map(|tally| &tally.in_phases) {
        for (phases, times) in phases {
            let (one, other) = phases.split_once('/').unwrap_or((phases, NO_PHASE));
            rollout.add(class, one, *times);
            schema.add(class, other, *times);
        }
    }
    let changes: Vec<&str> =
        [NO_PHASE].into_iter().chain(SchemaPhase::ALL.into_iter().map(SchemaPhase::as_str)).collect();
    format!("{}\n{}", rollout.told("rollout", &ROLLOUT), schema.told("schema", &changes))
}

/// Counts by class and phase.
#[derive(Default)]
struct Table<'t>(BTreeMap<(&'t str, &'t str), u64>);

impl<'t> Table<'t> {
    fn add(&mut self, class: &'t str, phase: &'t str, times: u64) {
        *self.0.entry((class, phase)).or_default() += times;
    }

    /// A line for each class that struck, a column for each phase that any struck in.
    fn told(&self, of: &str, order: &[&'t str]) -> String {
        let struck: BTreeSet<&str> = self.0.keys().map(|(_, phase)| *phase).collect();
        let known = order.iter().copied().filter(|phase| struck.contains(phase));
        let columns: Vec<&str> =
            known.chain(struck.iter().copied().filter(|phase| !order.contains(phase))).collect();
        let head = columns.iter().map(|phase| format!("  {phase:>WIDTH$}"));
        let mut lines = vec![format!("  {of:8}{}", head.collect::<String>())];
        for Class { id, .. } in CLASSES {
            let times = |phase: &&str| self.0.get(&(id, *phase)).copied();
            if columns.iter().any(|phase| times(phase).is_some()) {
                let cells = columns.iter().map(|phase| {
                    let cell = times(phase).map_or_else(|| "-".to_owned(), |times| times.to_string());
                    format!("  {cell:>width$}", width = phase.len().max(WIDTH))
                });
                lines.push(format!("  {id:8}{}", cells.collect::<String>()));
            }
        }
        lines.join("\n")
    }
}

/// Room for a count.
const WIDTH: usize = 6;

fn struck(tally: &Tally) -> BTreeMap<&str, u64> {
    let mut classes = BTreeMap::<&str, u64>::new();
    for (class, times) in tally.seen.values().flatten() {
        *classes.entry(class).or_default() += times;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_class_and_phase() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.saw_in("F3", "shifting/none", 2);
        one.saw_in("F3", "shifting/soaking", 1);
        one.saw_in("F10", "none/none", 4);
        other.saw_in("F3", "baking/expanded", 5);
        let expected = "  rollout     none  shifting  baking
  F3             -         3       5
  F10            4         -       -
  schema      none  expanded  soaking
  F3             2         5        1
  F10            4         -        -";
        assert_eq!(phases([&one, &other]), expected);
    }
}
