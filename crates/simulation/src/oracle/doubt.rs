//! E5: what became of a call is read before another one is sent, and "nothing" is believed only once the call can land no more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::Sealed;
use tidegate_model::{
    decision::Step,
    ledger::{Entry, Resolution},
};

use super::{Found, Invariant, Wrong};

/// A call may land for so long after it was meant: the longest one takes half a minute, and is sent at the end of a pass.
const MAY_LAND: SignedDuration = SignedDuration::from_secs(40);

/// The intents of the release whose outcome is not in the ledger.
#[derive(Default)]
pub(crate) struct Doubts {
    open: BTreeMap<u64, (Step, Timestamp)>,
    /// Some machine's clock was wrong: it may have counted another time.
    pub(crate) clock_was_wrong: bool,
}

impl Doubts {
    pub(crate) fn appended(&mut self, rows: &[Sealed], now: Timestamp, found: &mut Found) {
        for row in rows {
            // By the clock of who wrote it: what was meant before its machine stood still is no younger for that.
            let at = row.at.parse().unwrap_or(now);
            if let Ok(entry) = serde_json::from_str::<Entry>(&row.body) {
                found.add_if(self.says(&entry, at), now);
            }
        }
    }

    /// The ledger is another one from now on.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    fn says(&mut self, entry: &Entry, at: Timestamp) -> Wrong {
        match entry {
            Entry::Intended(intent) => {
                let wrong = self.intended(&intent.step);
                self.open.insert(intent.id, (intent.step.clone(), at));
                wrong
            }
            Entry::Resolved { intent, resolution } => {
                let (step, since) = self.open.remove(intent)?;
                let nothing = *resolution == Resolution::NotApplied && !is_simply_made_again(&step);
                let early = at.duration_since(since) < MAY_LAND && !self.clock_was_wrong;
                (nothing && early).then(|| {
                    let (step, after) = (step.as_str(), at.duration_since(since).as_secs());
                    (
                        Invariant::E5,
                        format!("{step} counted as never sent after {after} s, and could still land"),
                    )
                })
            }
            Entry::Unmanaged => {
                self.open.clear();
                None
            }
            _ => None,
        }
    }

    fn intended(&self, step: &Step) -> Wrong {
        let (in_doubt, _) =
            self.open.values().find(|(open, _)| goes_forward(step) || open.as_str() == step.as_str())?;
        let (step, before) = (step.as_str(), in_doubt.as_str());
        Some((Invariant::E5, format!("{step} was meant while nobody had read what became of {before}")))
    }
}

/// True of a step that only ever goes forward: what may go back as well does not wait for what is in doubt.
fn goes_forward(step: &Step) -> bool {
    match step {
        Step::CreateDeployment(create) => !create.marker.takes_back(),
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::Verify(_)
        | Step::RunTask(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::CreateSnapshot { .. }
        | Step::Purge(_) => true,
        Step::ContinueTraffic { .. }
        | Step::ContinueTermination { .. }
        | Step::StopDeployment { .. }
        | Step::Unhide(_) => false,
    }
}

/// True of a step that leaves nothing behind that a second one would repeat.
fn is_simply_made_again(step: &Step) -> bool {
    matches!(step, Step::Verify(_) | Step::Backfill(_))
}

#[cfg(test)]
mod tests {
    use tidegate_model::{ParameterVersion, ledger::Intent, name::Marker};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn meant(id: u64, step: Step) -> Entry {
        Entry::Intended(Box::new(Intent { id, step }))
    }

    fn go(deployment: &str) -> Step {
        Step::ContinueTraffic { deployment: deployment.into() }
    }

    fn stop() -> Step {
        Step::StopDeployment { deployment: "d-1".into() }
    }

    fn snapshot() -> Step {
        let release = "shop".parse().expect("a name");
        let marker =
            Marker { release, version: ParameterVersion(5), hash: "a19b7531".into(), intent: "i1".into() };
        Step::CreateSnapshot { instance: "db".into(), snapshot: "one".into(), marker }
    }

    fn resolved(intent: u64, resolution: Resolution) -> Entry {
        Entry::Resolved { intent, resolution }
    }

    #[test]
    fn nothing_goes_forward_and_nothing_is_repeated_while_an_outcome_is_not_known() {
        for (step, wrong) in [(snapshot(), true), (go("d-1"), true), (stop(), false)] {
            let mut doubts = Doubts::default();
            assert_eq!(doubts.says(&meant(1, go("d-1")), at(0)), None);
            assert_eq!(doubts.says(&meant(2, step), at(60)).is_some(), wrong);
        }
        let mut doubts = Doubts::default();
        assert_eq!(doubts.says(&meant(1, go("d-1")), at(0)), None);
        assert_eq!(doubts.says(&resolved(1, Resolution::NotApplied), at(45)), None);
        assert_eq!(doubts.says(&meant(2, go("d-1")), at(45)), None);
    }

    #[test]
    fn a_call_counts_as_never_sent_only_once_it_can_land_no_more() {
        for (after, wrong_clock, wrong) in
            [(10, false, true), (39, false, true), (40, false, false), (10, true, false)]
        {
            let mut doubts = Doubts { clock_was_wrong: wrong_clock, ..Doubts::default() };
            assert_eq!(doubts.says(&meant(1, stop()), at(0)), None);
            let wrong_here = doubts.says(&resolved(1, Resolution::NotApplied), at(after)).is_some();
            assert_eq!(wrong_here, wrong, "after {after} s");
        }
    }
}
