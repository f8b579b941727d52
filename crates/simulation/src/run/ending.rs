//! Whether a run has come to its end, whether it may end so, and what can be said of it then.
//!
//! Asked by the run with each of its ticks, and once it is over. Nothing here lets anything happen.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tidegate_ledger::{Damage, Ledger, Loaded};
use tidegate_model::{
    ReleaseName,
    gate::Gate,
    ledger::ChangeState,
    spec::{self, RevisionSpec},
    status::{ReleaseStatus, Summary},
    waiting::{Class, Held, Reason, Waiting},
};
use tokio::time::Instant;

use super::{Setup, Stage, TICK, start, told};
use crate::{
    oracle::{
        Invariant,
        traffic::{PRODUCTION, SPEC},
    },
    panics,
    scene::locked,
};

/// How long a release is at rest before it is clear that an event will never have its time.
const MISSED: Duration = Duration::from_secs(30 * 60);

/// How long an end stands before it is believed, where somebody meddles or something arrives late.
const STANDS: Duration = Duration::from_secs(90);

impl Stage<'_> {
    /// True if everything has happened, nothing more goes wrong, and the release has come to an end that the run allows.
    pub(super) fn is_over(&mut self) -> bool {
        let ended = self.has_ended();
        self.there_since = ended.then(|| self.there_since.unwrap_or_else(Instant::now));
        // Whoever meddles may have asked for something else, which is taken in when what was asked before has ended.
        // And what arrives late is seen with the next look.
        // A wait is no end by its name: every rollout waits for a moment when it begins.
        let waits = self.setup.scenario.expect.summary == Summary::Waiting.as_str();
        let late = self.setup.plan.is_late() || self.setup.scenario.faults.is_late();
        // Who has an old ledger takes up what is under way with the look after it has ended what it knew.
        let surprises = waits || late || self.setup.plan.meddles() || self.setup.plan.forgets();
        let stands = if surprises { STANDS } else { Duration::ZERO };
        self.there_since.is_some_and(|since| since.elapsed() >= stands)
    }

    /// When the last end that the run allows is believed: what is no end of the scenario's own has to stand for a while.
    pub(super) fn believed_by(&self) -> Duration {
        self.last_trouble.max(self.scene.clocks_settle_at()) + MISSED + STANDS
    }

    /// True if it is so now.
    fn has_ended(&self) -> bool {
        let since_trouble = self.scene.calendar.elapsed().saturating_sub(self.last_trouble);
        let spec = self.spec_version();
        let Some(status) = self.status() else { return spec.is_none() && since_trouble >= MISSED };
        if since_trouble < TICK * 5 || self.is_about_to_happen(&status) {
            return false;
        }
        let newer =
            status.observed_at >= start() + SignedDuration::try_from(self.last_trouble).unwrap_or_default();
        // Who cannot read the ledger reads nothing else of the release.
        let closed = self.setup.plan.outgrows() && status.summary == Summary::Held;
        let observed = closed
            || spec.is_none_or(|spec| status.versions.observed.is_some_and(|version| version.0 == spec));
        let expect = &self.setup.scenario.expect;
        let schema = expect
            .schema
            .as_ref()
            .is_none_or(|wanted| status.schema.as_ref().is_some_and(|schema| schema.phase == *wanted));
        let as_expected =
            status.summary.as_str() == expect.summary && status.rollout.phase == expect.phase && schema;
        // No window is over while a clock is ahead of what its machine shows.
        let steady = self.scene.calendar.elapsed().saturating_sub(self.scene.clocks_settle_at());
        let at_last = since_trouble.min(steady) >= MISSED && !self.setup.plan.faults.is_empty();
        // An event may wait for what a fault has kept from ever being seen; what comes with time still comes.
        let stands = self.deadline(&status).is_none() && !is_contracting(&status);
        let missed = !self.all_happened() && status.summary == Summary::Healthy && stands;
        let ended = as_expected && self.all_happened() || at_last && (missed || self.may_end(&status));
        newer && observed && ended
    }

    /// True if the next event only waits for its time, and can be done: nobody approves a plan that is not shown.
    fn is_about_to_happen(&self, status: &ReleaseStatus) -> bool {
        let next = self.setup.scenario.events.get(self.next).filter(|_| self.ready.is_some());
        next.is_some_and(|event| event.deed.is_possible(Some(status)))
    }

    /// True if a release may also end like this, for all that went wrong. A single lie or failure must not take it back; many
    /// at once, or a long one, may.
    fn may_end(&self, status: &ReleaseStatus) -> bool {
        let plan = self.setup.plan;
        let lasts = |wait: &Waiting| wait.class.needs_somebody() || wait.class == Class::Suspended;
        let named = status.waiting.iter().any(lasts);
        match status.summary {
            // What ends by itself is not over yet. What cannot be brought back, because somebody has removed it, is tried again for ever.
            Summary::Held => {
                let stays = self.deadline(status).is_none() || plan.meddles() && told::is_tried_again(status);
                stays && !plan.only_calls()
            }
            Summary::Invalid => plan.mangles() || plan.meddles() || plan.forgets(),
            // What an abort comes too late for without a fault may be in time with one.
            Summary::RolledBack => plan.may_end_otherwise() || self.scenario_allows_rollback(),
            // Whoever meddles may leave nothing to be done, or something that only people can do; and without the ledger nobody knows
            // what to go back to. Nor does it end badly if what was to go wrong never did.
            Summary::Healthy => {
                let mut own = self.setup.scenario.faults.faults.iter();
                let spared = !plan.only_crashes() && own.any(|fault| self.scene.is_armed(fault));
                (plan.meddles() || plan.forgets() || spared)
                    && !is_counting(status)
                    && (named || status.waiting.is_empty() && !is_contracting(status))
            }
            Summary::Waiting | Summary::RollingBack => plan.meddles() && named,
            Summary::Progressing | Summary::Unknown => false,
        }
    }

    /// True if what goes wrong in the scenario itself takes the release back, alone or with the one thing that the plan adds: where a clock
    /// is ahead, the last minutes are silent, and targets as they were before green had any make it look dead.
    fn scenario_allows_rollback(&self) -> bool {
        let Setup { plan, scenario, .. } = self.setup;
        scenario.faults.aborts() || scenario.faults.turns_clocks() && plan.shows_what_was()
    }

    /// True while somebody else's deployment is told to hold the release: CodeDeploy ends each in time, and the release goes on with the
    /// look after that.
    pub(super) fn waits_for_somebody(&self) -> bool {
        let foreign = |wait: &Waiting| wait.reason == Reason::Held(Held::ForeignDeployment);
        let under_way = self.scene.sandbox.world().deployed().iter().any(|deployment| !deployment.ended);
        under_way && self.status().is_some_and(|status| status.waiting.iter().any(foreign))
    }

    /// What can be said once it is over.
    pub(super) async fn look_back(&self) {
        if let Some(of) = self.leak.as_ref().and_then(|leak| locked(leak).clone()) {
            self.found(Invariant::X1, format!("a secret is in the log, level {of}"));
        }
        let passes = &self.scene.passes;
        let panicked = passes.panicked.load(std::sync::atomic::Ordering::Relaxed);
        let panics = panics::seen();
        if panicked > 0 || !panics.is_empty() {
            self.found(Invariant::V1, format!("{panicked} passes ended in a panic, and code at {panics:?}"));
        }
        match Ledger::on(Arc::new(self.scene.ledger()), "the reader").load().await {
            Ok(loaded) => loaded.iter().for_each(|(release, loaded)| self.look_into(release, loaded)),
            Err(error) => self.found(Invariant::J4, format!("the ledger: {error}")),
        }
        let status = self.status();
        let expect = &self.setup.scenario.expect;
        let as_expected = status.as_ref().is_some_and(|status| status.summary.as_str() == expect.summary);
        if as_expected && self.all_happened() {
            self.within_budget();
            if !self.setup.plan.may_end_otherwise() {
                self.as_expected();
            }
        }
    }

    /// LV1. Whatever went wrong on the way, what is told to be healthy is what the newest spec asks for, if nobody is waited for: people
    /// may have to do something first, or have ordered that nothing is done.
    pub(super) fn matches_what_is_asked(&self) {
        let Some(status) = self.status().filter(|status| status.summary == Summary::Healthy) else { return };
        let excused = |wait: &Waiting| wait.class.needs_somebody() || wait.class == Class::Suspended;
        let (newest, sides) = {
            let world = self.scene.sandbox.world();
            (world.parameter(SPEC), world.sides(PRODUCTION))
        };
        let Some((newest, Ok(spec))) = newest.map(|(version, text)| (version, spec::read(&text))) else {
            return;
        };
        let RevisionSpec::Image(wanted) = &spec.revision else { return };
        let in_force = status.versions.in_force.map(|version| version.0);
        let mut serving = sides.iter().filter(|side| side.weight > 0);
        let serves = serving.all(|side| side.image.as_ref() == Some(&wanted.image) && !side.mixed);
        if (in_force != Some(newest) || !serves) && !status.waiting.iter().any(excused) {
            let what = format!(
                "version {newest} asks for {}; {in_force:?} is in force, and production has {sides:?}",
                wanted.image
            );
            self.found(Invariant::Lv1, what);
        }
    }

    /// Looks at a chain as a new daemon reads it.
    fn look_into(&self, release: &ReleaseName, loaded: &Loaded) {
        let Setup { plan, scenario, .. } = self.setup;
        match loaded {
            Loaded::Damaged { why } if plan.outgrows() && matches!(why, Damage::NewerFormat { .. }) => {}
            Loaded::Damaged { why } => self.found(Invariant::J4, format!("the chain of {release}: {why}")),
            Loaded::State(state) => {
                let phase = self.status().and_then(|status| Some(status.schema.as_ref()?.phase.clone()));
                let wanted = scenario.expect.schema.as_deref() == Some("purged") && !plan.may_end_otherwise();
                let open = state.change.as_ref().is_some_and(ChangeState::is_open);
                if wanted && open && phase.as_deref() == Some("purged") {
                    let what = "the change is told to be purged, and no other one could begin".to_owned();
                    self.found(Invariant::Lv1, what);
                }
            }
        }
    }

    /// G17. Whatever goes wrong costs so many calls, in a hard run as well; who has forgotten what was done may do all of it again.
    fn within_budget(&self) {
        let Setup { plan, scenario, .. } = self.setup;
        if plan.forgets() {
            return;
        }
        let effects = self.effects();
        let more: usize = plan.faults.iter().map(|fault| fault.what.calls()).sum();
        if effects.len() > scenario.expect.effects.len() + more {
            self.found(Invariant::G17, format!("{} calls: {effects:?}", effects.len()));
        }
    }

    /// The end is the scenario's own: then so is what serves, and what was done.
    fn as_expected(&self) {
        let expect = &self.setup.scenario.expect;
        let sides = self.scene.sandbox.world().sides(PRODUCTION);
        let serving = sides.iter().max_by_key(|side| side.weight).and_then(|side| side.image.clone());
        if serving.as_deref() != Some(expect.image.as_str()) {
            self.found(
                Invariant::O3,
                format!("{serving:?} serves at the end, {} was expected", expect.image),
            );
        }
        if let Some((image, most)) = &expect.most
            && self.setup.plan.faults.is_empty()
        {
            let had = locked(&self.scene.oracles).most(image);
            if had > *most {
                self.found(
                    Invariant::T6,
                    format!("{image} had weight {had}, and was to have {most} at most"),
                );
            }
        }
        let untold: Vec<&String> =
            expect.told.iter().filter(|reason| !self.told.contains(reason.as_str())).collect();
        if self.setup.plan.faults.is_empty() && !untold.is_empty() {
            self.found(Invariant::Lv1, format!("nobody was told of {untold:?}"));
        }
        let effects = self.effects();
        let Setup { plan, scenario, .. } = self.setup;
        // A fault besides the scenario's own may bring it to the same end with less: what dies right before it continues a
        // deployment, and has no ledger then, never continues it.
        if !plan.faults.is_empty() && !scenario.faults.faults.is_empty() {
            return;
        }
        // Who was shown an older order once may have gone one step further before the newer one.
        if plan.shows_what_was() {
            return;
        }
        let missing: Vec<&String> =
            expect.effects.iter().filter(|wanted| !effects.contains(wanted)).collect();
        if !missing.is_empty() || (plan.only_crashes() && effects != expect.effects) {
            self.found(Invariant::G17, format!("{effects:?} were done, {:?} expected", expect.effects));
        }
    }
}

/// True while the time without readers grows, whoever else is waited for: contract may go on when that is over. A reader that comes
/// again and again lets it begin anew each time.
fn is_counting(status: &ReleaseStatus) -> bool {
    const GROWS: SignedDuration = SignedDuration::from_mins(2);
    let counts = |wait: &Waiting| {
        let unused = wait.measured.as_deref().and_then(|measured| measured.parse::<SignedDuration>().ok());
        wait.reason == Reason::Gate(Gate::RecurrenceCovered) && unused.is_some_and(|unused| unused >= GROWS)
    };
    status.waiting.iter().any(counts)
}

/// True while a schema change is on its way to its end by itself, though a pass may tell of no wait.
fn is_contracting(status: &ReleaseStatus) -> bool {
    status.schema.as_ref().is_some_and(|schema| matches!(schema.phase.as_str(), "hidden" | "snapshotting"))
}
