//! Answers and observations without what cannot be the same on both sides.
//!
//! Left out are: times and durations (two clocks), process ids and ages of sessions, sizes on disk (the model counts rows), when
//! statistics were reset, the keys of namers (they hold object ids) and namers of the superuser (the hand of the test), and the
//! pressure on the real server (it shares a machine).

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_model::{
    Fact,
    schema::{Blocker, Evidence, Namer, Preflight, SchemaObservation},
};
use tidegate_schema::{Attempt, Failure};

pub(crate) fn attempt<T: std::fmt::Debug>(outcome: Result<Attempt<T>, Failure>) -> String {
    match outcome {
        Ok(Attempt::Done(value)) => format!("done {value:?}"),
        Ok(Attempt::Underway) => "underway".to_owned(),
        Ok(Attempt::Blocked(blockers)) => {
            format!("blocked {:?}", blockers.iter().map(nameless).collect::<Vec<_>>())
        }
        Err(failure) => format!("{failure:?}"),
    }
}

fn nameless(blocker: &Blocker) -> Blocker {
    Blocker { pid: 0, transaction_seconds: 0, ..blocker.clone() }
}

/// An observation without what cannot be the same on both sides.
pub(crate) fn normal(mut seen: SchemaObservation) -> SchemaObservation {
    if let Fact::Known(blockers) = &mut seen.blockers {
        *blockers = blockers.iter().map(nameless).collect();
    }
    if let Fact::Known(preflight) = &mut seen.preflight {
        *preflight = Preflight { told: preflight.told.clone(), ..Preflight::default() };
    }
    if let Fact::Known(pressure) = &mut seen.pressure {
        pressure.clear();
    }
    if let Fact::Known(journal) = &mut seen.journal {
        for backfill in journal.backfills.values_mut() {
            backfill.milliseconds = 0;
        }
        for locks in journal.locks.values_mut() {
            *locks = locks.rsplit_once(", ").map_or(locks.clone(), |(locks, _)| locks.to_owned());
        }
        journal.purged_at = journal.purged_at.map(|_| Timestamp::UNIX_EPOCH);
        if let Some(hidden) = &mut journal.hidden {
            hidden.at = Timestamp::UNIX_EPOCH;
        }
    }
    if let Fact::Known(Evidence::Read(read)) = &mut seen.evidence {
        read.stats_reset = Timestamp::UNIX_EPOCH;
        let mut namers: BTreeMap<String, Namer> = BTreeMap::new();
        for namer in std::mem::take(&mut read.namers).into_values().filter(|namer| namer.role != "postgres") {
            // One text may have several entries: what `*` means changes with the table.
            let known = namers.entry(format!("{} {}", namer.role, namer.text));
            known.and_modify(|known| known.calls += namer.calls).or_insert(namer);
        }
        read.namers = namers;
    }
    seen
}

/// The lines of two observations that only one of them has.
pub(crate) fn difference(real: &SchemaObservation, modelled: &SchemaObservation) -> String {
    let (real, modelled) = (format!("{real:#?}"), format!("{modelled:#?}"));
    let only = |one: &str, other: &str, sign: char| -> String {
        let lines = one.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(|line| format!("\n{sign} {}", line.trim())).collect()
    };
    format!("{}{}", only(&real, &modelled, '-'), only(&modelled, &real, '+'))
}
