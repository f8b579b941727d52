//! P1, G17: what the entries of a ledger say one after the other: which specs were accepted, and what was rolled out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_ledger::Sealed;
use tidegate_model::{
    Digest,
    decision::{Outcome, Step},
    ledger::{Entry, Resolution, RolloutKind, RolloutStart},
    revision::RevisionArn,
};

use super::{Found, Invariant, Wrong};

/// What this ledger has said so far.
#[derive(Default)]
pub(crate) struct Chronicle {
    /// When the newest spec that was accepted was written.
    accepted: Option<Timestamp>,
    /// What is registered under intents that are open.
    registering: BTreeMap<u64, Digest>,
    registered: BTreeMap<RevisionArn, Digest>,
}

impl Chronicle {
    pub(crate) fn appended(&mut self, rows: &[Sealed], at: Timestamp, found: &mut Found) {
        for row in rows {
            if let Ok(entry) = serde_json::from_str::<Entry>(&row.body) {
                found.add_if(self.says(&entry), at);
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
        if let Entry::RolloutStarted(start) = entry {
            return self.superfluous(start);
        }
        let Entry::Accepted(accepted) = entry else { return None };
        let before = self.accepted.replace(accepted.modified)?;
        (accepted.modified < before).then(|| {
            let (version, at) = (accepted.version, accepted.modified);
            (Invariant::P1, format!("version {version} of {at} was accepted after one of {before}"))
        })
    }

    /// A revision that was registered as what is desired never becomes anything else.
    fn superfluous(&self, start: &RolloutStart) -> Wrong {
        let serves = self.registered.get(&start.blue) == Some(&start.spec.desired);
        (serves && start.kind == RolloutKind::Forward)
            .then(|| (Invariant::G17, format!("what {} is was to be rolled out, and it serves", start.blue)))
    }
}
