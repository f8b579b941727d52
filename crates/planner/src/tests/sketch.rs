//! Worlds in a few strokes, drawn by chance: every combination of what people asked, what the ledger knows and what was
//! read, the impossible ones included. [`super::world`] builds them.

use proptest::{prelude::*, sample::select};
use tidegate_model::{Fact, fact::Why, observation::DeploymentStatus, schema::Access};

/// A world in a few strokes.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub asked: Asked,
    pub ledger: Ledger,
    pub rollout: Option<Flight>,
    pub traffic: Traffic,
    pub database: Database,
}

/// What people asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub spec: Fact<SpecText>,
    pub hold: Fact<()>,
    pub fleet_hold: Fact<()>,
    pub abort: Fact<AbortText>,
    pub approval: Fact<ApprovalText>,
    /// The spec has a schema section and probes.
    pub rich: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SpecText {
    InForce,
    NewerRevision,
    NewerBake,
    Malformed,
    Recreated,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AbortText {
    InForce,
    Stale,
    Unmatched,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ApprovalText {
    Good,
    OtherPlan,
    Malformed,
}

/// What the ledger knows beside the rollout in flight.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub accepted: bool,
    pub refused: bool,
    pub held: bool,
    pub failed: bool,
    pub previous: bool,
    /// The last rollout: `Some(true)` settled, `Some(false)` rolled back.
    pub last: Option<bool>,
    pub change: Option<Change>,
    /// A call without an outcome: which step (index of `Step::WORDS`), and whether it can still land.
    pub doubt: Option<(usize, bool)>,
    pub refusals: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Opened,
    Marked,
    ReaderSeen,
    Quarantined,
    /// Hidden, and it must be given back.
    Broken,
    SnapshotNamed,
    Purged,
}

/// The rollout in flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub phase: Phase,
    /// Seconds in this phase.
    pub age: i64,
    pub confirmations: u32,
    pub deployment: bool,
    pub green: bool,
    pub baseline: bool,
    pub traffic: bool,
    pub verified: bool,
    pub probe_failed: bool,
    pub baked: bool,
    pub frozen: bool,
    /// Stop, continue and retire were sent, and how many seconds ago.
    pub sent: (Option<i64>, Option<i64>, Option<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    Preflight,
    Provisioning,
    Verifying,
    Shifting,
    Confirming,
    Baking,
    Retiring,
    Stopping,
    Redeploying,
}

/// What was read of AWS.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub service: Fact<Serving>,
    /// Known: the group is set up well.
    pub group: Fact<bool>,
    pub deployments: Fact<Deployments>,
    /// Known: production weights of blue and green, and whether a second rule disagrees.
    pub listeners: Fact<(u32, u32, bool)>,
    /// Known: every target is healthy.
    pub health: Fact<bool>,
    /// Known: an alarm is red.
    pub alarms: Fact<bool>,
    pub minutes: Fact<Minutes>,
    /// Known: every task definition is active.
    pub revisions: Fact<bool>,
    pub config: Fact<()>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Serving {
    Nothing,
    Blue,
    BlueWithGreen,
    GreenWithBlue,
    Green,
}

#[derive(Clone, Debug)]
pub(super) struct Deployments {
    /// Ours: status, whether blue waits for its termination, whether a rollback is named.
    pub ours: Option<(DeploymentStatus, bool, bool)>,
    /// Its target: green's weight, and whether all traffic was moved.
    pub target: Fact<(Option<u8>, bool)>,
    /// The rollback of ours, if it is named.
    pub rollback: DeploymentStatus,
    pub foreign: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Minutes {
    None,
    Silent,
    BlueOnly,
    GreenOnly,
    GreenFails,
}

/// What was read of database and instance.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// Known: the plan is well formed.
    pub plan: Fact<bool>,
    pub access: Fact<Access>,
    pub journal: Fact<Journal>,
    /// Known: old form is there, new form is there.
    pub objects: Fact<(bool, bool)>,
    pub others: Fact<bool>,
    pub blockers: Fact<bool>,
    pub pressure: Fact<bool>,
    /// Known: rows that disagree.
    pub check: Fact<u64>,
    /// Only a sample was read for it.
    pub sampled: bool,
    pub evidence: Fact<Evidence>,
    /// Known: the change broke a statement of the revision from before.
    pub broken: Fact<bool>,
    /// Known: something depends on what contract removes.
    pub dependencies: Fact<bool>,
    pub log: Fact<Log>,
    /// Known: a snapshot can be taken.
    pub instance: Fact<bool>,
    pub snapshot: Fact<Snapshot>,
    /// The team's own tool applies the change, and how far it is with the phase that is due.
    pub tool: Option<Tool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tool {
    NotRun,
    Running,
    Failed,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Journal {
    Opened,
    /// The expand file builds an index; true while the build is at work, false once it has failed.
    Building(bool),
    Expanded,
    Filled,
    Hidden,
    /// Hidden, and a role was given a right on it since.
    Regranted,
    OtherText,
    Purged,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evidence {
    Missing,
    Quiet,
    Grown,
    Reset,
}

/// What the server's log says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Log {
    Quiet,
    Missed,
    Behind,
    Lost,
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Snapshot {
    Creating,
    Young,
    Old,
    Failed,
    OfAnother,
}

/// Blue serves, everything is known and well, nothing is in flight, the next revision is wanted.
pub(super) fn calm() -> Sketch {
    Sketch {
        asked: Asked {
            spec: Fact::Known(SpecText::InForce),
            hold: Fact::Absent,
            fleet_hold: Fact::Absent,
            abort: Fact::Absent,
            approval: Fact::Known(ApprovalText::Good),
            rich: true,
        },
        ledger: Ledger {
            accepted: true,
            refused: false,
            held: false,
            failed: false,
            previous: true,
            last: Some(true),
            change: Some(Change::Marked),
            doubt: None,
            refusals: None,
        },
        rollout: None,
        traffic: Traffic {
            service: Fact::Known(Serving::Blue),
            group: Fact::Known(true),
            deployments: Fact::Known(none()),
            listeners: Fact::Known((100, 0, false)),
            health: Fact::Known(true),
            alarms: Fact::Known(false),
            minutes: Fact::Known(Minutes::BlueOnly),
            revisions: Fact::Known(true),
            config: Fact::Known(()),
        },
        database: Database {
            plan: Fact::Known(true),
            access: Fact::Known(Access::Granted),
            journal: Fact::Known(Journal::Filled),
            objects: Fact::Known((true, true)),
            others: Fact::Known(false),
            blockers: Fact::Known(false),
            pressure: Fact::Known(false),
            check: Fact::Known(0),
            sampled: false,
            evidence: Fact::Known(Evidence::Quiet),
            broken: Fact::Known(false),
            dependencies: Fact::Known(false),
            log: Fact::Known(Log::Quiet),
            instance: Fact::Known(true),
            snapshot: Fact::Absent,
            tool: None,
        },
    }
}

/// No deployment at all.
pub(super) fn none() -> Deployments {
    Deployments { ours: None, target: Fact::Absent, rollback: DeploymentStatus::Created, foreign: false }
}

/// A fact: known three times out of four.
fn fact<T: Clone + std::fmt::Debug + 'static>(
    known: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Fact<T>> {
    let unknown = select(vec![Why::NotAsked, Why::Throttled, Why::Denied, Why::Malformed]);
    prop_oneof![6 => known.prop_map(Fact::Known), 1 => Just(Fact::Absent), 1 => unknown.prop_map(Fact::Unknown)]
        .boxed()
}

/// A fact that is absent as a rule: an order.
fn order<T: Clone + std::fmt::Debug + 'static>(
    known: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Fact<T>> {
    prop_oneof![1 => known.prop_map(Fact::Known), 4 => Just(Fact::Absent), 1 => Just(Fact::Unknown(Why::Throttled))]
        .boxed()
}

/// True in most cases.
fn mostly() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.8)
}

/// True now and then.
fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

/// Sketches: each part calm or anything, so that depths are reached in which all but one part must be well.
pub(super) fn sketches() -> impl Strategy<Value = Sketch> {
    fn calm_or<T: Clone + std::fmt::Debug + 'static>(
        calm: T,
        any: impl Strategy<Value = T> + 'static,
    ) -> BoxedStrategy<T> {
        prop_oneof![Just(calm), any].boxed()
    }
    let Sketch { asked: people, ledger: known, traffic: aws, database: schema, rollout: _ } = calm();
    (
        calm_or(people, asked()),
        calm_or(known, ledger()),
        proptest::option::weighted(0.7, flight()),
        calm_or(aws, traffic()),
        calm_or(schema, database()),
    )
        .prop_map(|(asked, ledger, rollout, traffic, database)| Sketch {
            asked,
            ledger,
            rollout,
            traffic,
            database,
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    use SpecText::{InForce, Malformed, NewerBake, NewerRevision, Recreated};
    let specs = vec![InForce, InForce, InForce, InForce, NewerRevision, NewerBake, Malformed, Recreated];
    let aborts = vec![AbortText::InForce, AbortText::Stale, AbortText::Unmatched, AbortText::Malformed];
    let approvals = vec![ApprovalText::Good, ApprovalText::OtherPlan, ApprovalText::Malformed];
    let approval = prop_oneof![3 => Just(ApprovalText::Good), 1 => select(approvals)];
    (
        fact(select(specs)),
        order(Just(())),
        order(Just(())),
        order(select(aborts)),
        fact(approval),
        any::<bool>(),
    )
        .prop_map(|(spec, hold, fleet_hold, abort, approval, rich)| Asked {
            spec,
            hold,
            fleet_hold,
            abort,
            approval,
            rich,
        })
}

fn ledger() -> impl Strategy<Value = Ledger> {
    use Change::{Broken, Marked, Opened, Purged, Quarantined, SnapshotNamed};
    let changes = vec![Opened, Marked, Change::ReaderSeen, Quarantined, Broken, SnapshotNamed, Purged];
    let doubt = prop_oneof![3 => Just(None), 1 => (0..tidegate_model::decision::Step::WORDS.len(), any::<bool>()).prop_map(Some)];
    let refusals = prop_oneof![5 => Just(None), 1 => (1..12u32).prop_map(Some)];
    (
        mostly(),
        seldom(),
        seldom(),
        seldom(),
        mostly(),
        select(vec![None, Some(true), Some(false)]),
        proptest::option::of(select(changes)),
        doubt,
        refusals,
    )
        .prop_map(|(accepted, refused, held, failed, previous, last, change, doubt, refusals)| Ledger {
            accepted,
            refused,
            held,
            failed,
            previous,
            last,
            change,
            doubt,
            refusals,
        })
}

fn flight() -> impl Strategy<Value = Flight> {
    let phases = vec![
        Phase::Preflight,
        Phase::Provisioning,
        Phase::Verifying,
        Phase::Shifting,
        Phase::Confirming,
        Phase::Baking,
        Phase::Retiring,
        Phase::Stopping,
        Phase::Redeploying,
    ];
    let sent = || proptest::option::of(select(vec![5, 90, 900]));
    (
        (select(phases), select(vec![1, 40, 600, 180_000]), 0..3u32),
        (mostly(), mostly(), mostly(), any::<bool>(), mostly(), seldom(), any::<bool>(), seldom()),
        (sent(), sent(), sent()),
    )
        .prop_map(|((phase, age, confirmations), known, sent)| {
            let (deployment, green, baseline, traffic, verified, probe_failed, baked, frozen) = known;
            Flight {
                phase,
                age,
                confirmations,
                deployment,
                green,
                baseline,
                traffic,
                verified,
                probe_failed,
                baked,
                frozen,
                sent,
            }
        })
}

fn traffic() -> impl Strategy<Value = Traffic> {
    use Serving::{Blue, BlueWithGreen, Green, GreenWithBlue, Nothing};
    let serving =
        vec![Blue, Blue, BlueWithGreen, BlueWithGreen, GreenWithBlue, GreenWithBlue, Green, Nothing];
    let weights = vec![(100, 0), (100, 0), (100, 0), (90, 10), (50, 50), (0, 100), (0, 100), (0, 0)];
    let listeners = (select(weights), seldom()).prop_map(|((blue, green), two)| (blue, green, two));
    let minutes =
        vec![Minutes::None, Minutes::Silent, Minutes::BlueOnly, Minutes::GreenOnly, Minutes::GreenFails];
    (
        fact(select(serving)),
        fact(mostly()),
        fact(deployments()),
        fact(listeners),
        fact(mostly()),
        fact(seldom()),
        fact(select(minutes)),
        fact(mostly()),
        fact(Just(())),
    )
        .prop_map(
            |(service, group, deployments, listeners, health, alarms, minutes, revisions, config)| Traffic {
                service,
                group,
                deployments,
                listeners,
                health,
                alarms,
                minutes,
                revisions,
                config,
            },
        )
}

fn deployments() -> impl Strategy<Value = Deployments> {
    use DeploymentStatus::{Created, Failed, InProgress, Other, Queued, Ready, Stopped, Succeeded};
    let statuses = vec![Created, Queued, InProgress, Ready, Succeeded, Failed, Stopped, Other];
    let ours = (select(statuses.clone()), any::<bool>(), any::<bool>());
    let target = fact((proptest::option::of(select(vec![0, 10, 50, 100])), any::<bool>()));
    (proptest::option::weighted(0.8, ours), target, select(statuses), seldom())
        .prop_map(|(ours, target, rollback, foreign)| Deployments { ours, target, rollback, foreign })
}

fn database() -> impl Strategy<Value = Database> {
    let access =
        prop_oneof![4 => Just(Access::Granted), 1 => select(vec![Access::Denied, Access::SecretShared])];
    let journals = vec![
        Journal::Opened,
        Journal::Building(true),
        Journal::Building(false),
        Journal::Expanded,
        Journal::Filled,
        Journal::Filled,
        Journal::Hidden,
        Journal::Hidden,
        Journal::Regranted,
        Journal::OtherText,
        Journal::Purged,
    ];
    let objects = prop_oneof![4 => Just((true, true)), 1 => (any::<bool>(), any::<bool>())];
    let evidence =
        vec![Evidence::Missing, Evidence::Quiet, Evidence::Quiet, Evidence::Grown, Evidence::Reset];
    let logs = vec![Log::Quiet, Log::Quiet, Log::Missed, Log::Behind, Log::Lost, Log::Unclear];
    let snapshots =
        vec![Snapshot::Creating, Snapshot::Young, Snapshot::Old, Snapshot::Failed, Snapshot::OfAnother];
    let tools = vec![Tool::NotRun, Tool::Running, Tool::Failed, Tool::Done];
    (
        fact(mostly()),
        fact(access),
        fact(select(journals)),
        fact(objects),
        fact(seldom()),
        fact(seldom()),
        fact(seldom()),
        (fact(select(vec![0, 0, 0, 7])), seldom()),
        (fact(select(evidence)), fact(seldom()), fact(seldom()), fact(select(logs))),
        fact(mostly()),
        (fact(select(snapshots)), proptest::option::weighted(0.3, select(tools))),
    )
        .prop_map(
            |(
                plan,
                access,
                journal,
                objects,
                others,
                blockers,
                pressure,
                (check, sampled),
                (evidence, broken, dependencies, log),
                instance,
                (snapshot, tool),
            )| {
                Database {
                    plan,
                    access,
                    journal,
                    objects,
                    others,
                    blockers,
                    pressure,
                    check,
                    sampled,
                    evidence,
                    broken,
                    dependencies,
                    log,
                    instance,
                    snapshot,
                    tool,
                }
            },
        )
}
