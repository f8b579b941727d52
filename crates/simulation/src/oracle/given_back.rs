//! How often a hidden form could not be given back: the revision that needs it comes all the same after three refusals,
//! because abort always wins.
//!
//! Read from the ledger's rows by the oracle of the schema.

use std::collections::BTreeSet;

use tidegate_ledger::Sealed;
use tidegate_model::{
    decision::Step,
    ledger::{Entry, Resolution},
};

/// So many refusals are waited for.
const WAITED_FOR: u32 = 3;

#[derive(Default)]
pub(super) struct GivingBack {
    open: BTreeSet<u64>,
    refused: u32,
}

impl GivingBack {
    pub(super) fn appended(&mut self, rows: &[Sealed]) {
        for row in rows {
            if let Ok(entry) = serde_json::from_str::<Entry>(&row.body) {
                self.says(&entry);
            }
        }
    }

    /// True once the revision that needs the form may come without it. What else is done then, as making its deployment, changes nothing
    /// of that.
    pub(super) fn is_given_up(&self) -> bool {
        self.refused >= WAITED_FOR
    }

    /// It was hidden or given back.
    pub(super) fn is_over(&mut self) {
        self.refused = 0;
    }

    /// The ledger is another one from now on, whose intents have other numbers. What was refused before it may know.
    pub(super) fn lose(&mut self) {
        self.open.clear();
    }

    fn says(&mut self, entry: &Entry) {
        match entry {
            Entry::Intended(intent) if matches!(intent.step, Step::Unhide(_)) => self.meant(intent.id),
            Entry::Resolved { intent, resolution } => self.resolved(*intent, resolution),
            _ => {}
        }
    }

    fn meant(&mut self, intent: u64) {
        self.open.insert(intent);
    }

    fn resolved(&mut self, intent: u64, resolution: &Resolution) {
        let of_it = self.open.remove(&intent);
        match resolution {
            Resolution::Refused { .. } => self.refused += u32::from(of_it),
            Resolution::Done(_) if !self.is_given_up() => self.refused = 0,
            Resolution::Done(_) | Resolution::NotApplied => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::decision::Outcome;

    use super::*;

    /// Resolves calls one after the other: those that give the form back are upper case; refused, done, or not applied.
    fn given_up(calls: &str) -> bool {
        let mut giving_back = GivingBack::default();
        for (intent, call) in (1..).zip(calls.chars()) {
            if call.is_uppercase() {
                giving_back.meant(intent);
            }
            let resolution = match call.to_ascii_lowercase() {
                'r' => Resolution::Refused { code: "55P03".into() },
                'd' => Resolution::Done(Outcome::Accepted),
                _ => Resolution::NotApplied,
            };
            giving_back.resolved(intent, &resolution);
        }
        giving_back.is_given_up()
    }

    #[test]
    fn a_form_is_given_up_after_three_refusals_to_give_it_back_with_nothing_done_in_between() {
        assert!(!given_up("RR") && given_up("RRR") && given_up("RrRR"));
        assert!(!given_up("rrr") && !given_up("rrRR") && !given_up("RRdR") && !given_up("NNN"));
        assert!(given_up("RNRR"), "what was never sent is no answer");
        assert!(given_up("RRRdr"), "the deployment is made then");
    }

    #[test]
    fn a_form_that_was_hidden_anew_is_not_given_up() {
        let mut giving_back = GivingBack { refused: WAITED_FOR, ..GivingBack::default() };
        assert!(giving_back.is_given_up());
        giving_back.is_over();
        assert!(!giving_back.is_given_up());
    }
}
