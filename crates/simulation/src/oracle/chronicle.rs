//! R1, R2, R3, P1, C1, G17: what the entries of a ledger say one after the other: which specs were accepted, what was rolled out, and
//! what was to be brought back.

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
    /// Where the rollout in flight leads.
    way: Way,
    /// What has settled just now.
    settled: Option<String>,
}

/// Where a rollout leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Way {
    /// To what the spec asks for; or there is none in flight, or nobody here knows of it.
    #[default]
    Forward,
    /// It was decided to go back, until the rollout ends: what was deployed is stopped.
    Back,
    /// This revision is deployed again.
    Again(RevisionArn),
}

impl Way {
    /// R2. What must not be meant any more once it leads back.
    fn forbids(&self, step: &Step) -> bool {
        let creates_forward = matches!(step, Step::CreateDeployment(create) if !create.marker.takes_back());
        match self {
            Self::Forward => false,
            Self::Back => {
                let lets_go = matches!(step, Step::ContinueTraffic { .. } | Step::ContinueTermination { .. });
                lets_go || creates_forward
            }
            Self::Again(_) => creates_forward,
        }
    }
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
        if let Entry::Intended(intent) = entry {
            return self.means(&intent.step);
        }
        if let Entry::RollbackDecided(_) = entry {
            self.way = Way::Back;
        }
        if let Entry::RolloutEnded(end) = entry {
            self.in_flight = false;
            self.way = Way::Forward;
            self.settled = self.brings.take().filter(|_| *end == RolloutEnd::Settled);
        }
        if let Entry::RolloutStarted(start) = entry {
            self.in_flight = true;
            match &start.kind {
                RolloutKind::Redeploy { to, cause: _ } => self.way = Way::Again(to.clone()),
                // What was decided stands until the rollout has ended, however often it begins anew.
                RolloutKind::Forward => {}
            }
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

    fn means(&self, step: &Step) -> Wrong {
        let word = step.as_str();
        if moves_traffic(step) && !self.in_flight {
            return Some((Invariant::R1, format!("{word} was meant, and no rollout has begun")));
        }
        let forbidden = self.way.forbids(step);
        forbidden.then(|| (Invariant::R2, format!("{word} was meant, and the rollout was to go back")))
    }

    /// R3. A deployment brings this revision back.
    pub(crate) fn brings_back(&self, revision: &str) -> Wrong {
        let Way::Again(to) = &self.way else { return None };
        (to.0 != revision).then(|| (Invariant::R3, format!("{revision} is brought back, and {to} was to be")))
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
    use tidegate_model::{
        decision::CreateDeployment,
        ledger::{Cause, Intent},
    };

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

    fn creates(intent: &str) -> Entry {
        let marker = format!("tidegate:shop/5-a19b7531/{intent}").parse().expect("a marker");
        meant(Step::CreateDeployment(CreateDeployment {
            application: "shop".into(),
            group: "shop".into(),
            revision: RevisionArn("shop:7".into()),
            container: "app".into(),
            port: 8080,
            config: "CodeDeployDefault.ECSAllAtOnce".into(),
            ignore_alarms: false,
            marker,
        }))
    }

    #[test]
    fn what_was_decided_to_go_back_goes_forward_no_more_until_the_rollout_has_ended() {
        let goes = || meant(Step::ContinueTraffic { deployment: "d-1".into() });
        let mut chronicle = Chronicle { in_flight: true, ..Chronicle::default() };
        assert_eq!(chronicle.says(&goes()), None);
        assert_eq!(chronicle.says(&Entry::RollbackDecided(Cause::Ordered)), None);
        for step in [goes(), meant(Step::ContinueTermination { deployment: "d-1".into() }), creates("i4")] {
            assert_eq!(chronicle.says(&step).map(|(invariant, _)| invariant), Some(Invariant::R2));
        }
        assert_eq!(chronicle.says(&meant(Step::StopDeployment { deployment: "d-1".into() })), None);
        assert_eq!(chronicle.says(&Entry::RolloutEnded(RolloutEnd::RolledBack(Cause::Ordered))), None);
        chronicle.in_flight = true;
        assert_eq!(chronicle.says(&goes()), None, "another rollout");
    }

    #[test]
    fn what_is_brought_back_is_what_the_ledger_says() {
        let way = Way::Again(RevisionArn("shop:6".into()));
        let mut chronicle = Chronicle { in_flight: true, way, ..Chronicle::default() };
        assert_eq!(chronicle.says(&creates("r4")), None);
        assert!(chronicle.says(&creates("i4")).is_some(), "forward");
        assert_eq!(chronicle.says(&meant(Step::ContinueTraffic { deployment: "d-2".into() })), None);
        assert_eq!(chronicle.brings_back("shop:6"), None);
        let wrong = chronicle.brings_back("shop:7");
        assert_eq!(wrong.map(|(invariant, _)| invariant), Some(Invariant::R3));
        assert_eq!(Chronicle::of_another_ledger().brings_back("shop:7"), None, "nobody here knows");
    }
}
