//! R1, P1, C1, G17: what the entries of a ledger say one after the other: which specs were accepted, and what was rolled out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_ledger::Sealed;
use tidegate_model::{
    Digest,
    decision::{Outcome, Step},
    ledger::{Entry, Resolution, RolloutEnd, RolloutKind, RolloutStart},
    revision::RevisionArn,
    spec::RevisionSpec,
};
use tidegate_sandbox::world::truth::Side;

use super::{Found, Invariant, Wrong};

/// What this ledger has said so far.
#[derive(Default)]
pub(crate) struct Chronicle {
    /// When the newest spec that was accepted was written.
    accepted: Option<Timestamp>,
    /// What is registered under intents that are open.
    registering: BTreeMap<u64, Digest>,
    registered: BTreeMap<RevisionArn, Digest>,
    /// What the rollout in flight brings: an image.
    brings: Option<String>,
    /// True while a rollout is in flight: what it began from is in the ledger.
    in_flight: bool,
    /// What has settled just now.
    settled: Option<String>,
}

impl Chronicle {
    /// That of a ledger of which nobody here knows what is in it.
    pub(crate) fn of_another_ledger() -> Self {
        Self { in_flight: true, ..Self::default() }
    }

    pub(crate) fn appended(&mut self, rows: &[Sealed], at: Timestamp, found: &mut Found) {
        let entries: Vec<Entry> =
            rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect();
        for (place, entry) in entries.iter().enumerate() {
            found.add_if(self.says(entry), at);
            // What is at its end at once is told to be so, and not rolled out.
            if let (Entry::RolloutStarted(start), next) = (entry, entries.get(place + 1))
                && !matches!(next, Some(Entry::RolloutEnded(RolloutEnd::Settled)))
            {
                found.add_if(self.superfluous(start), at);
            }
        }
    }

    fn says(&mut self, entry: &Entry) -> Wrong {
        if let Entry::Intended(intent) = entry
            && let Step::RegisterTaskDefinition(register) = &intent.step
        {
            self.registering.insert(intent.id, register.digest.clone());
        }
        if let Entry::Resolved { intent, resolution: Resolution::Done(Outcome::Registered(arn)) } = entry {
            let digest = self.registering.remove(intent);
            self.registered.extend(digest.map(|digest| (arn.clone(), digest)));
        }
        if let Entry::Intended(intent) = entry
            && moves_traffic(&intent.step)
            && !self.in_flight
        {
            return Some((
                Invariant::R1,
                format!("{} was meant, and no rollout has begun", intent.step.as_str()),
            ));
        }
        if let Entry::RolloutEnded(end) = entry {
            self.in_flight = false;
            self.settled = self.brings.take().filter(|_| *end == RolloutEnd::Settled);
        }
        if let Entry::RolloutStarted(start) = entry {
            self.in_flight = true;
            self.brings = brings(start);
            // What is taken back at once was never said to serve.
            self.settled = None;
        }
        let Entry::Accepted(accepted) = entry else { return None };
        let before = self.accepted.replace(accepted.modified)?;
        (accepted.modified < before).then(|| {
            let (version, at) = (accepted.version, accepted.modified);
            (Invariant::P1, format!("version {version} of {at} was accepted after one of {before}"))
        })
    }

    /// Looks at what production has, right after a rollout has ended.
    pub(crate) fn look(&mut self, sides: &[Side]) -> Wrong {
        let image = self.settled.take()?;
        let serves =
            sides.iter().any(|side| side.weight == 100 && !side.mixed && side.image.as_ref() == Some(&image));
        (!serves).then(|| (Invariant::C1, format!("{image} has settled, and production has {sides:?}")))
    }

    /// A revision that was registered as what is desired never becomes anything else.
    fn superfluous(&self, start: &RolloutStart) -> Wrong {
        let serves = self.registered.get(&start.blue) == Some(&start.spec.desired);
        (serves && start.kind == RolloutKind::Forward)
            .then(|| (Invariant::G17, format!("what {} is was to be rolled out, and it serves", start.blue)))
    }
}

/// True of a step by which traffic comes to go elsewhere: what leads back is a rollout's blue.
fn moves_traffic(step: &Step) -> bool {
    match step {
        Step::CreateDeployment(_) | Step::ContinueTraffic { .. } | Step::ContinueTermination { .. } => true,
        Step::RegisterTaskDefinition(_)
        | Step::CreateDeploymentConfig { .. }
        | Step::StopDeployment { .. }
        | Step::Verify(_)
        | Step::Expand(_)
        | Step::Backfill(_)
        | Step::Hide(_)
        | Step::Unhide(_)
        | Step::Purge(_)
        | Step::RunTask(_)
        | Step::CreateSnapshot { .. } => false,
    }
}

/// The image that a rollout forward brings.
fn brings(start: &RolloutStart) -> Option<String> {
    match (&start.kind, &start.spec.spec.revision) {
        (RolloutKind::Forward, RevisionSpec::Image(image)) => Some(image.image.clone()),
        (
            RolloutKind::Forward | RolloutKind::Redeploy { .. },
            RevisionSpec::Image(_) | RevisionSpec::TaskDefinition(_),
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::ledger::Intent;

    use super::*;

    fn meant(step: Step) -> Entry {
        Entry::Intended(Box::new(Intent { id: 1, step }))
    }

    #[test]
    fn traffic_is_not_moved_before_it_is_written_down_where_it_came_from() {
        let moves = || meant(Step::ContinueTraffic { deployment: "d-1".into() });
        let stops = meant(Step::StopDeployment { deployment: "d-1".into() });
        let mut chronicle = Chronicle::default();
        assert_eq!(chronicle.says(&stops), None);
        assert_eq!(chronicle.says(&moves()).map(|(invariant, _)| invariant), Some(Invariant::R1));
        assert_eq!(Chronicle::of_another_ledger().says(&moves()), None, "it may be written there");
        let mut over = Chronicle::of_another_ledger();
        assert_eq!(over.says(&Entry::RolloutEnded(RolloutEnd::Settled)), None);
        assert!(over.says(&moves()).is_some());
    }
}
