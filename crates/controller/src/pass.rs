//! One reconcile pass: read what is due in the fewest calls, then for each release decide, journal, act, journal.
//!
//! Started by the controller, which owns the releases between passes. Reads are shared by all due releases; from then on
//! each release is a task of its own, so that a slow step or a panic of one does not touch another. Nothing in here
//! chooses: what to read is the planner's `needs`, what to do is its decision. While the ledger cannot be written nothing is
//! sent but a step that goes without it.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tidegate_ledger::{Damage, Lead, Ledger, LedgerError};
use tidegate_model::{
    Fact, ReleaseName,
    decision::{Decision, step_fields},
    ledger::{Entry, Intent, ReleaseState, Resolution},
    observation::{Needs, Observation},
    status::ReleaseStatus,
    waiting::{Held, Reason, Waiting},
};
use tidegate_planner::Input;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    clock::Clock,
    controller::{Message, Settings},
    damaged,
    executor::{Authority, Executor, Sent},
    shown::{tell_followers, told_by, write_status},
    tasks::Tasks,
    telemetry::{PassResult, StepResult, Telemetry},
    telling,
    track::{Chain, Tracked, is_in_flight, is_unmanaged},
    unavailable,
};

/// How long a release rests after a pass that could not write the ledger or ended in a panic.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(15);

/// How long a release that another daemon leads is left alone: about how long it takes to notice that it resigned.
const AFTER_FOLLOWING: SignedDuration = SignedDuration::from_secs(10);

/// What must be left of a lease for a step to be sent: the longest call, and a margin for clocks and for being slow.
const LONGEST_CALL: Duration = Duration::from_secs(35);

/// How long a release rests after a call whose answer was lost: its effect may be seen soon.
const AFTER_DOUBT: SignedDuration = SignedDuration::from_secs(1);

/// Everything that passes share.
pub(crate) struct Core {
    pub executor: Executor,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<dyn Telemetry>,
    pub settings: Settings,
    /// Once cancelled, no step is begun any more.
    pub stopping: CancellationToken,
    /// Everything that runs beside the loop.
    pub tasks: Tasks,
}

/// What a pass for one release came to.
#[derive(Clone, Debug, PartialEq)]
pub struct PassReport {
    /// What was decided; `None` if the ledger is damaged or could not be written, or the pass ended in a panic.
    pub decision: Option<Decision>,
    /// What became of the decision's step, if it had one and its outcome is known.
    pub resolution: Option<Resolution>,
    /// How the pass ended.
    pub result: PassResult,
}

/// The end of a pass for one release: the report, and what goes back to the controller.
pub(crate) struct Done {
    pub release: ReleaseName,
    /// Which dispatch it belongs to.
    pub ticket: u64,
    pub tracked: Tracked,
    pub report: PassReport,
    pub next_look: Timestamp,
    /// False if the release is not to be published: there is nothing to look after.
    pub managed: bool,
    /// True if the release's parameters could be read.
    pub read: bool,
    /// Who leads the release, if it is not this process.
    pub leader: Option<String>,
    /// The whole daemon must stop: it no longer has the ledger for itself.
    pub fatal: Option<LedgerError>,
}

/// What was read for one release.
struct Look {
    /// When reading began.
    since: Timestamp,
    needs: Needs,
    observation: Observation,
}

/// If reading the database took longer than this, what people ask and what AWS shows is read again before anything is decided by it: a
/// check of a large table takes minutes, and a hold or an abort that is written meanwhile counts.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Looks after every given release once. Each sends one [`Done`], when it is done.
pub(crate) async fn batch(
    core: Arc<Core>,
    ticket: u64,
    tracked: BTreeMap<ReleaseName, Tracked>,
    messages: mpsc::UnboundedSender<Message>,
) {
    let began = Instant::now();
    let mut known = BTreeMap::new();
    // Side by side: a ledger that does not answer must not keep releases waiting for each other.
    let entered = tracked.into_iter().map(|(release, tracked)| enter(&core, release, tracked));
    for (release, entered) in futures_util::future::join_all(entered).await {
        let core = Arc::clone(&core);
        match entered {
            Entered::Known(tracked) => drop(known.insert(release, tracked)),
            Entered::Followed { leader, set_before } => {
                hand_over(&Arc::clone(&core), ticket, release.clone(), &messages, began, async move {
                    follow(&core, ticket, release, leader, set_before).await
                });
            }
            Entered::Damaged { tracked, why } => {
                hand_over(&Arc::clone(&core), ticket, release.clone(), &messages, began, async move {
                    refuse(&core, ticket, release, tracked, &why).await
                });
            }
            Entered::Stale(tracked) => {
                hand_over(&Arc::clone(&core), ticket, release.clone(), &messages, began, async move {
                    failed(&core, ticket, release, tracked, None, None).await
                });
            }
            Entered::Lost { tracked, error } => {
                hand_over(&Arc::clone(&core), ticket, release.clone(), &messages, began, async move {
                    failed(&core, ticket, release, tracked, None, Some(error)).await
                });
            }
        }
    }
    let states = known.iter().filter_map(|(release, tracked)| Some((release, tracked.chain.state()?)));
    let mut looks = look(&core, states.collect()).await;
    for (release, tracked) in known {
        let look = looks.remove(&release);
        let span = tracing::info_span!("pass", %release);
        hand_over(&core, ticket, release.clone(), &messages, began, {
            let core = Arc::clone(&core);
            async move { one(&core, ticket, release, tracked, look).await }.instrument(span)
        });
    }
}

/// Runs a release's part of the pass as a task of its own and sends what comes of it, a panic included.
fn hand_over(
    core: &Arc<Core>,
    ticket: u64,
    release: ReleaseName,
    messages: &mpsc::UnboundedSender<Message>,
    began: Instant,
    part: impl Future<Output = Done> + Send + 'static,
) {
    let (mine, messages) = (Arc::clone(core), messages.clone());
    core.tasks.spawn(async move {
        let core = mine;
        // What a panic leaves half done is dropped with it: the release's chain is read again before anything is done.
        let ended = AssertUnwindSafe(part).catch_unwind().await;
        let done = ended.unwrap_or_else(|_| lost(&core, ticket, release));
        core.telemetry.pass(done.report.result, began.elapsed().as_secs_f64());
        // Nobody listens any more only when the process ends.
        drop(messages.send(Message::Done(Box::new(done))));
    });
}

/// How a release's part of the pass begins.
enum Entered {
    /// What is known of it is enough to look at it.
    Known(Tracked),
    /// Another daemon leads it.
    Followed { leader: String, set_before: SignedDuration },
    /// Its chain does not hold.
    Damaged { tracked: Tracked, why: Damage },
    /// Its chain must be read and could not be.
    Stale(Tracked),
    /// The ledger is no longer this process's.
    Lost { tracked: Tracked, error: LedgerError },
}

/// Settles who leads a release, and reads its chain if that must be.
async fn enter(core: &Core, release: ReleaseName, mut tracked: Tracked) -> (ReleaseName, Entered) {
    // What the clock is set forward by from here on counts once this one leads: the windows were another one's.
    let set_before = if tracked.epoch.is_some() { core.clock.set_forward() } else { tracked.set_before };
    match who_leads(core, &release, &mut tracked, set_before).await {
        Err(error) => return (release, Entered::Lost { tracked, error }),
        Ok(Some(Lead::Following { leader })) => return (release, Entered::Followed { leader, set_before }),
        Ok(Some(Lead::Leading(_))) => reload(core, &release, &mut tracked).await,
        // A ledger that does not answer is not waited for twice.
        Ok(None) => tracked.chain = std::mem::replace(&mut tracked.chain, Chain::Stale).unwritten(),
    }
    let entered = match &tracked.chain {
        Chain::Sound(_) | Chain::Unwritten(_) => Entered::Known(tracked),
        Chain::Damaged(why) => Entered::Damaged { why: why.clone(), tracked },
        Chain::Stale => Entered::Stale(tracked),
    };
    (release, entered)
}

/// Asks for the lease of a release. If the ledger cannot be asked the pass goes on with what is known, so that the release is
/// still watched, and taken back if it must be.
///
/// # Errors
/// If the ledger is no longer this process's.
async fn who_leads(
    core: &Core,
    release: &ReleaseName,
    tracked: &mut Tracked,
    set_before: SignedDuration,
) -> Result<Option<Lead>, LedgerError> {
    let lead = match core.ledger.lead(release).await {
        Ok(lead) => lead,
        Err(error) if error.is_fatal() => return Err(error),
        Err(error) => {
            tracing::warn!(%release, error = chain_of(&error), "the ledger cannot be asked who leads");
            return Ok(None);
        }
    };
    if let Lead::Leading(epoch) = lead {
        if tracked.epoch != Some(epoch) && matches!(tracked.chain, Chain::Sound(_)) {
            tracked.chain = Chain::Stale;
            (tracked.set_before, tracked.noted_before) = (set_before, None);
        }
        tracked.epoch = Some(epoch);
    }
    Ok(Some(lead))
}

/// Reads a chain again that is not the newest for sure.
async fn reload(core: &Core, release: &ReleaseName, tracked: &mut Tracked) {
    match tracked.chain {
        Chain::Sound(_) | Chain::Damaged(_) => return,
        Chain::Unwritten(_) | Chain::Stale => {}
    }
    match core.ledger.history(release).await {
        Ok(history) => {
            let mut state = ReleaseState::default();
            history.for_each(|record| state.apply(record.at, &record.entry));
            tracked.chain = Chain::Sound(Box::new(state));
        }
        Err(LedgerError::Damaged { why, .. }) => tracked.chain = Chain::Damaged(why),
        Err(error) => tracing::warn!(%release, error = chain_of(&error), "the ledger cannot be read"),
    }
}

/// Reads parameters and AWS facts of all releases together.
async fn look(core: &Core, states: BTreeMap<&ReleaseName, &ReleaseState>) -> BTreeMap<ReleaseName, Look> {
    if states.is_empty() {
        return BTreeMap::new();
    }
    let aws = &core.executor.aws;
    let since = core.clock.now();
    let mut parameters = aws.parameters(&states.keys().copied().cloned().collect()).await;
    let now = core.clock.now();
    let mut needs = BTreeMap::new();
    for (release, state) in states {
        let (spec, orders) = parameters.entry(release.clone()).or_default();
        needs.insert(release.clone(), tidegate_planner::needs(release, state, spec, orders, now));
    }
    let mut observations = aws.observe(&needs, now).await;
    needs
        .into_iter()
        .map(|(release, needs)| {
            let mut observation = observations.remove(&release).unwrap_or_default();
            (observation.spec, observation.orders) = parameters.remove(&release).unwrap_or_default();
            (release, Look { since, needs, observation })
        })
        .collect()
}

/// Reads migration files and database, and all the rest again if that took long, or if people have written something since the other
/// releases of the batch began to be read.
async fn look_at_schema(core: &Core, release: &ReleaseName, state: &ReleaseState, look: &mut Look) {
    let aws = &core.executor.aws;
    let began = core.clock.now();
    core.executor.schema.look(aws, release, &look.needs, &mut look.observation).boxed().await;
    let lasted = |since| core.clock.now().duration_since(since) >= READ_AGAIN;
    // On the heap, here and below: all that is read of AWS is a large part of any stack.
    let reads_again = lasted(began) || lasted(look.since) && is_rewritten(core, release, look).boxed().await;
    if !reads_again {
        return;
    }
    let again = self::look(core, BTreeMap::from([(release, state)])).boxed().await.remove(release);
    if let Some(Look { since, observation, .. }) = again {
        let Observation { spec, plan, schema, .. } = std::mem::take(&mut look.observation);
        // The plan is of the spec that was there.
        let plan = if spec == observation.spec { plan } else { Fact::default() };
        look.observation = Observation { plan, schema, ..observation };
        look.since = since.min(began);
    }
}

/// True if spec or orders are not, or may not be, what was read.
async fn is_rewritten(core: &Core, release: &ReleaseName, look: &Look) -> bool {
    let now = core.executor.aws.parameters(&BTreeSet::from([release.clone()])).await;
    let read = (&look.observation.spec, &look.observation.orders);
    now.get(release).is_none_or(|(spec, orders)| (spec, orders) != read)
}

/// The part of the pass that belongs to one release.
async fn one(
    core: &Core,
    ticket: u64,
    release: ReleaseName,
    mut tracked: Tracked,
    look: Option<Look>,
) -> Done {
    let chain = std::mem::replace(&mut tracked.chain, Chain::Stale);
    let writes = matches!(chain, Chain::Sound(_));
    let (Some(mut look), Some(mut state)) = (look, chain.into_state()) else {
        return failed(core, ticket, release, tracked, None, None).await;
    };
    look_at_schema(core, &release, &state, &mut look).boxed().await;
    let Look { since: read_since, observation, .. } = look;
    let now = core.clock.now();
    let set_forward = tracked.set_forward(core.clock.set_forward(), &state);
    let input = Input {
        release: &release,
        state: &state,
        observation: &observation,
        previous: tracked.status.as_ref(),
        now,
        read_since,
        ahead: core.clock.ahead(),
        set_forward,
    };
    let decision = tidegate_planner::decide(&input);
    // What nobody asks for is not shown because it cannot be written.
    let manages = !is_unmanaged(&state, &observation.spec);
    if !writes && !decision.changes_nothing() {
        let status = manages.then(|| decision.status.clone());
        take_back(core, &mut tracked, state, decision, now).await;
        return failed(core, ticket, release, tracked, status, None).await;
    }
    let carried = match carry_out(core, &release, &mut state, &decision, now).await {
        Ok(carried) => carried,
        Err(Unwritten { error, what }) => {
            let status = manages.then(|| decision.status.clone());
            if error.is_outage() {
                match what {
                    Missing::Decision => take_back(core, &mut tracked, state, decision, now).await,
                    Missing::Resolution => tracked.chain = Chain::Unwritten(state),
                }
            }
            return failed(core, ticket, release, tracked, status, Some(error)).await;
        }
    };
    let managed = !is_unmanaged(&state, &observation.spec);
    let (result, resolution) = carried.result();
    let next_look = next_look(core, &decision, result, is_in_flight(&state));
    tracked.chain = if writes { Chain::Sound(state) } else { Chain::Unwritten(state) };
    let shown = decision.status.clone();
    tracked.status =
        Some(if writes { shown } else { unavailable::told(shown, tracked.status.as_ref(), now, next_look) });
    tracked.alone = false;
    if managed {
        write_status(core, &release, &mut tracked).await;
    }
    tell_followers(core, &release, tracked.status.as_ref().filter(|_| managed)).await;
    let read = writes && observation.spec.unknown().is_none();
    let report = PassReport { decision: Some(decision), resolution, result };
    Done { release, ticket, tracked, report, next_look, managed, read, leader: None, fatal: None }
}

/// What carrying a decision out came to.
enum Carried {
    /// There was nothing to journal or to send.
    Nothing,
    /// Entries were journaled.
    Journaled,
    /// The step was sent.
    Step(Sent),
}

impl Carried {
    fn result(self) -> (PassResult, Option<Resolution>) {
        match self {
            Self::Nothing => (PassResult::Quiet, None),
            Self::Journaled => (PassResult::Progress, None),
            Self::Step(Sent::Resolved(resolution)) => (PassResult::Progress, Some(resolution)),
            Self::Step(Sent::InDoubt { .. }) => (PassResult::InDoubt, None),
        }
    }
}

/// The ledger could not be written.
struct Unwritten {
    error: LedgerError,
    what: Missing,
}

/// What is not in the ledger.
enum Missing {
    /// All that was decided; nothing was sent.
    Decision,
    /// What became of the step that was sent.
    Resolution,
}

/// Journals the decision's entries with the intent behind them, then sends the step and journals what became of it. An
/// answer that was lost leaves the intent open: the next passes resolve it by reading.
async fn carry_out(
    core: &Core,
    release: &ReleaseName,
    state: &mut ReleaseState,
    decision: &Decision,
    now: Timestamp,
) -> Result<Carried, Unwritten> {
    let mut entries = decision.entries.clone();
    let step = decision.step.as_ref().filter(|_| may_send(core, release).is_some());
    let id = state.length + entries.len() as u64;
    entries.extend(step.map(|step| Entry::Intended(Box::new(Intent { id, step: step.as_journaled() }))));
    if entries.is_empty() {
        return Ok(Carried::Nothing);
    }
    let written = journal(core, release, state, now, &entries).await;
    written.map_err(|error| Unwritten { error, what: Missing::Decision })?;
    let Some(step) = step else { return Ok(Carried::Journaled) };

    let word = step.as_str();
    tracing::info!(step = word, intent = id, about = ?step_fields(step), "step sent");
    let sent = match may_send(core, release) {
        Some(by) => core.executor.send(step, by).await,
        // Writing the intent took long. Whoever leads then finds by reading that nothing was sent.
        None => Sent::InDoubt { why: "not sent: the lease would have ended meanwhile".to_owned() },
    };
    let result = match &sent {
        Sent::Resolved(Resolution::Done(_) | Resolution::NotApplied) => StepResult::Done,
        Sent::Resolved(Resolution::Refused { code }) => {
            tracing::info!(step = word, intent = id, code, "step refused");
            StepResult::Refused
        }
        Sent::InDoubt { why } => {
            tracing::info!(step = word, intent = id, why, "the step's outcome is not known");
            StepResult::InDoubt
        }
    };
    core.telemetry.step(word, result);
    if let Sent::Resolved(resolution) = &sent {
        let resolved = Entry::Resolved { intent: id, resolution: resolution.clone() };
        let now = core.clock.now();
        if let Err(error) = journal(core, release, state, now, std::slice::from_ref(&resolved)).await {
            state.apply(now, &resolved);
            return Err(Unwritten { error, what: Missing::Resolution });
        }
    }
    Ok(Carried::Step(sent))
}

/// What is done while the ledger cannot be written: a deployment that must be stopped is stopped. It is known from what was
/// written, and whoever reads the ledger next finds it stopped. Nothing else is sent. What is found out meanwhile counts as if
/// it were written, so that a version can be judged; the ledger, once it is read again, knows nothing of it.
async fn take_back(
    core: &Core,
    tracked: &mut Tracked,
    mut state: Box<ReleaseState>,
    decision: Decision,
    now: Timestamp,
) {
    decision.entries.iter().for_each(|entry| state.apply(now, entry));
    let step = decision.step.filter(|step| step.goes_without_ledger() && !core.stopping.is_cancelled());
    if let Some(step) = step {
        tracing::error!(step = step.as_str(), about = ?step_fields(&step), "step sent without the ledger");
        let by = Authority { ledger: core.ledger.identity(), epoch: tracked.epoch.unwrap_or_default() };
        let sent = core.executor.send(&step, by).await;
        let id = state.length;
        state.apply(now, &Entry::Intended(Box::new(Intent { id, step })));
        if let Sent::Resolved(resolution) = sent {
            state.apply(core.clock.now(), &Entry::Resolved { intent: id, resolution });
        }
    }
    tracked.chain = Chain::Unwritten(state);
}

/// In whose name a call may be sent, if one that is sent now arrives while this process leads the release, and it is not
/// stopping.
fn may_send<'a>(core: &'a Core, release: &ReleaseName) -> Option<Authority<'a>> {
    let leads = |()| core.ledger.leads_for(release, LONGEST_CALL);
    let epoch = (!core.stopping.is_cancelled()).then_some(()).and_then(leads)?;
    Some(Authority { ledger: core.ledger.identity(), epoch })
}

async fn journal(
    core: &Core,
    release: &ReleaseName,
    state: &mut ReleaseState,
    at: Timestamp,
    entries: &[Entry],
) -> Result<(), LedgerError> {
    core.ledger.append(release, state.length, at, entries).await?;
    let before = state.events.clone();
    for entry in entries {
        state.apply(at, entry);
    }
    telling::tell(core.telemetry.as_ref(), release, &before, state, entries);
    Ok(())
}

/// Soon after something happened; else when the decision says, bounded while something is in flight, and a little earlier
/// than that so that releases do not keep step with each other.
fn next_look(core: &Core, decision: &Decision, result: PassResult, in_flight: bool) -> Timestamp {
    let now = core.clock.now();
    let settings = &core.settings;
    let soon = now + settings.floor;
    match result {
        PassResult::Progress => soon,
        PassResult::InDoubt => now + AFTER_DOUBT,
        PassResult::Quiet | PassResult::Failed | PassResult::Panicked | PassResult::Following => {
            let most = if in_flight { settings.in_flight_look } else { settings.resync };
            let wait = decision.next_look.min(now + most).duration_since(now);
            soon.max(now + settings.jittered(wait))
        }
    }
}

/// The end of a pass for a release whose chain is damaged: published and told, and nothing else.
async fn refuse(core: &Core, ticket: u64, release: ReleaseName, mut tracked: Tracked, why: &Damage) -> Done {
    let now = core.clock.now();
    let next_look = now + core.settings.resync;
    let damaged = |wait: &&Waiting| wait.reason == Reason::Held(Held::LedgerDamaged);
    let since = tracked.status.as_ref().and_then(|status| status.waiting.iter().find(damaged));
    let since = since.map(|wait| wait.since);
    if since.is_none() {
        tracing::warn!(%release, why = %why, "the ledger of a release is damaged; nothing is done for it");
    }
    tracked.status = Some(damaged::status(&release, why, since.unwrap_or(now), now, next_look));
    write_status(core, &release, &mut tracked).await;
    tell_followers(core, &release, tracked.status.as_ref()).await;
    let report = PassReport { decision: None, resolution: None, result: PassResult::Failed };
    Done { release, ticket, tracked, report, next_look, managed: true, read: true, leader: None, fatal: None }
}

/// The end of a pass for a release that another daemon leads. What was known of it is forgotten: it is read again when
/// this one leads. Until then it is shown as its leader told.
async fn follow(
    core: &Core,
    ticket: u64,
    release: ReleaseName,
    leader: String,
    set_before: SignedDuration,
) -> Done {
    let status = told_by(core, &release, &leader).await;
    let tracked = Tracked { status, ..Tracked::new(Chain::Stale, set_before) };
    let report = PassReport { decision: None, resolution: None, result: PassResult::Following };
    let next_look = core.clock.now() + AFTER_FOLLOWING;
    Done {
        release,
        ticket,
        tracked,
        report,
        next_look,
        managed: true,
        read: true,
        leader: Some(leader),
        fatal: None,
    }
}

/// The end of a pass that could not read or write the ledger. `decided` is the status of what was decided, if anything was.
async fn failed(
    core: &Core,
    ticket: u64,
    release: ReleaseName,
    mut tracked: Tracked,
    decided: Option<ReleaseStatus>,
    error: Option<LedgerError>,
) -> Done {
    if let Some(error) = &error {
        tracing::warn!(error = chain_of(error), "the ledger cannot be written; nothing goes forward");
    }
    let now = core.clock.now();
    let next_look = now + AFTER_FAILURE;
    let leads = core.ledger.leads_for(&release, Duration::ZERO).is_some();
    // Who followed and cannot ask any more shows what the leader told last.
    let leader = tracked.status.as_ref().and_then(|status| status.led_by.clone()).filter(|_| !leads);
    if leader.is_none() && error.as_ref().is_none_or(LedgerError::is_outage) {
        let stands = decided.or_else(|| tracked.status.clone());
        tracked.status =
            stands.map(|stands| unavailable::told(stands, tracked.status.as_ref(), now, next_look));
        write_status(core, &release, &mut tracked).await;
    }
    let report = PassReport { decision: None, resolution: None, result: PassResult::Failed };
    let fatal = error.filter(LedgerError::is_fatal);
    Done { release, ticket, tracked, report, next_look, managed: true, read: false, leader, fatal }
}

/// The end of a pass that panicked.
pub(crate) fn lost(core: &Core, ticket: u64, release: ReleaseName) -> Done {
    tracing::error!(%release, "a pass panicked; the release is looked at again");
    let tracked = Tracked { alone: true, ..Tracked::new(Chain::Stale, core.clock.set_forward()) };
    let report = PassReport { decision: None, resolution: None, result: PassResult::Panicked };
    let next_look = core.clock.now() + AFTER_FAILURE;
    Done {
        release,
        ticket,
        tracked,
        report,
        next_look,
        managed: true,
        read: false,
        leader: None,
        fatal: None,
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
