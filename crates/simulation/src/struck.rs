//! What struck a run: where, how often, and what the release was doing then; and what of the plan never struck.
//!
//! Kept by the scene, told to by whoever lets faults strike, read when the run is over.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use tidegate_model::status::ReleaseStatus;

use crate::fault::{Fault, Mishap, Plan, What};

/// Where a release stands: the phases that its status tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phases {
    /// The rollout's; nothing while there is no status.
    pub rollout: Option<String>,
    /// The schema change's, where there is one.
    pub schema: Option<String>,
}

/// Stands for a phase that nothing is told of.
pub const NO_PHASE: &str = "none";

impl Phases {
    fn of(status: Option<&ReleaseStatus>) -> Self {
        Self {
            rollout: status.map(|status| status.rollout.phase.clone()),
            schema: status.and_then(|status| Some(status.schema.as_ref()?.phase.clone())),
        }
    }

    fn are_of(&self, status: Option<&ReleaseStatus>) -> bool {
        let rollout = status.map(|status| status.rollout.phase.as_str());
        let schema = status.and_then(|status| Some(status.schema.as_ref()?.phase.as_str()));
        self.rollout.as_deref() == rollout && self.schema.as_deref() == schema
    }
}

/// As `rollout/schema`.
impl Display for Phases {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [rollout, schema] =
            [&self.rollout, &self.schema].map(|phase| phase.as_deref().unwrap_or(NO_PHASE));
        write!(f, "{rollout}/{schema}")
    }
}

/// What struck a run so far.
#[derive(Debug)]
pub(crate) struct Struck {
    /// Operation, class of fault, and how often it struck.
    pub(crate) seen: BTreeMap<(String, &'static str), u64>,
    /// Class of fault, the release's phases, and how often it struck in them.
    pub(crate) in_phases: BTreeMap<(&'static str, Phases), u64>,
    /// Faults of the plan that have not struck.
    pub(crate) to_come: Vec<Fault>,
    /// The phases that were told last.
    phases: Phases,
}

impl Struck {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            seen: BTreeMap::new(),
            in_phases: BTreeMap::new(),
            to_come: plan.faults.clone(),
            phases: Phases::default(),
        }
    }

    /// The release's newest status. Given in every second of a run, and hardly ever of another phase.
    pub(crate) fn told(&mut self, status: Option<&ReleaseStatus>) {
        if !self.phases.are_of(status) {
            self.phases = Phases::of(status);
        }
    }

    /// A fault has struck an operation.
    pub(crate) fn struck(&mut self, fault: &Fault, operation: &str) {
        let class = fault.class();
        *self.seen.entry((operation.to_owned(), class)).or_default() += 1;
        *self.in_phases.entry((class, self.phases.clone())).or_default() += 1;
        if let Some(place) = self.to_come.iter().position(|planned| is_struck_by(planned, fault)) {
            self.to_come.remove(place);
        }
    }
}

/// True if what struck is what was planned. What a database's server answers strikes by itself, as often as it is asked: of that only
/// what it is can be compared.
fn is_struck_by(planned: &Fault, fault: &Fault) -> bool {
    match (&planned.what, &fault.what) {
        (
            What::World { mishap: Mishap::Database(wanted), .. },
            What::World { mishap: Mishap::Database(how), .. },
        ) if how.is_an_answer() => wanted == how,
        _ => planned == fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{At, DatabaseMishap, Position};

    #[test]
    fn what_never_struck_is_left_over() {
        let crash = |nth| Fault { at: At::Crossing(nth), what: What::Crash(Position::AfterReply) };
        let mut struck = Struck::new(&Plan { faults: vec![crash(1), crash(2), crash(2)] });
        struck.struck(&crash(2), "ledger.append");
        assert_eq!(struck.to_come, [crash(1), crash(2)]);
        let phases = Phases::default();
        assert_eq!(phases.to_string(), "none/none");
        assert_eq!(struck.in_phases, BTreeMap::from([(("F1", phases), 1)]));
        assert_eq!(struck.seen[&("ledger.append".to_owned(), "F1")], 1);
    }

    #[test]
    fn an_answer_of_the_server_strikes_wherever_it_is_given() {
        let how = DatabaseMishap::ALL.iter().copied().find(|how| how.is_an_answer()).expect("an answer");
        let mishap = Mishap::Database(how);
        let fault = |nth, lasts| Fault { at: At::Crossing(nth), what: What::World { mishap, lasts } };
        let mut struck = Struck::new(&Plan { faults: vec![fault(1, 60)] });
        struck.struck(&fault(7, 0), "database.observe");
        assert!(struck.to_come.is_empty());
    }
}
