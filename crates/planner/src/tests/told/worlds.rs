//! The worlds, by what is the matter in them.

use tidegate_model::{
    Fact,
    decision::Step,
    fact::Why,
    observation::{DeploymentStatus, SnapshotStatus},
    schema::{Access, CheckReading, Denial, Finding, LogFailures},
};

use super::super::{
    golden::{baked, in_flight, preflight, quarantined, settled, suspect},
    sketch::{
        AbortText, ApprovalText, Change, Evidence, Journal, Log, Minutes, Phase, Serving, Sketch, Snapshot,
        SpecText, Tool,
    },
    world::{World, ago, build, definition},
};

/// A world by its name.
pub(super) struct Told(pub &'static str, pub World);

/// Every world.
pub(super) fn all() -> Vec<Told> {
    [at_rest(), soaking(), remembered(), expanding(), in_rollout(), unproven()]
        .into_iter()
        .flatten()
        .collect()
}

fn with(name: &'static str, mut sketch: Sketch, change: impl FnOnce(&mut Sketch)) -> Told {
    change(&mut sketch);
    Told(name, build(&sketch))
}

fn but(name: &'static str, sketch: &Sketch, change: impl FnOnce(&mut World)) -> Told {
    let mut world = build(sketch);
    change(&mut world);
    Told(name, world)
}

fn at_rest() -> Vec<Told> {
    let purged = || {
        let mut sketch = settled();
        sketch.ledger.change = Some(Change::Purged);
        sketch
    };
    vec![
        with("nothing was ever asked", settled(), |s| {
            (s.ledger.accepted, s.ledger.last, s.ledger.change, s.ledger.previous) =
                (false, None, None, false);
            s.asked.spec = Fact::Absent;
        }),
        with("a first spec is about to be read", settled(), |s| {
            (s.ledger.accepted, s.ledger.last, s.ledger.change, s.ledger.previous) =
                (false, None, None, false);
        }),
        with("what serves is what is asked for", settled(), |s| s.ledger.change = None),
        with("a newer spec is refused", settled(), |s| {
            s.ledger.refused = true;
            s.asked.spec = Fact::Unknown(Why::Throttled);
        }),
        with("the last version went back", settled(), |s| {
            (s.ledger.last, s.ledger.failed, s.ledger.change) = (Some(false), true, None);
            s.traffic.service = Fact::Known(Serving::Blue);
            s.traffic.listeners = Fact::Known((100, 0, false));
        }),
        with("a hold is ordered at rest", settled(), |s| {
            (s.asked.hold, s.ledger.held) = (Fact::Known(()), true);
        }),
        with("nothing of AWS can be read", settled(), |s| {
            s.traffic.service = Fact::Unknown(Why::Denied);
            s.traffic.listeners = Fact::Unknown(Why::Denied);
            s.traffic.group = Fact::Unknown(Why::Denied);
        }),
        with("the listener is edited at rest", settled(), |s| {
            s.traffic.listeners = Fact::Known((50, 50, false));
        }),
        with("an abort names nothing that is known", settled(), |s| {
            s.asked.abort = Fact::Known(AbortText::Unmatched);
        }),
        with("an abort cannot be understood", settled(), |s| {
            s.asked.abort = Fact::Known(AbortText::Malformed);
        }),
        with("the old form is gone and the revision before would need it", purged(), |_| {}),
        with("the old form is gone and its age is not known", purged(), |s| s.ledger.last = None),
        but("the old form is gone and the revision before does not need it", &purged(), |world| {
            // It served when nobody named it any more.
            world.state.previous_until = Some(ago(600));
            world.state.change.as_mut().unwrap().namers.clear();
        }),
        with("no revision is known to go back to", settled(), |s| s.ledger.previous = false),
        with("the revision to go back to was not read", settled(), |s| {
            s.traffic.revisions = Fact::Unknown(Why::Throttled);
        }),
    ]
}

fn soaking() -> Vec<Told> {
    vec![
        with("a reader still names the old form", settled(), |s| {
            s.ledger.change = Some(Change::ReaderSeen);
        }),
        with("a reader is seen now", settled(), |s| s.database.evidence = Fact::Known(Evidence::Grown)),
        with("the statistics were reset", settled(), |s| s.database.evidence = Fact::Known(Evidence::Reset)),
        with("the statistics are missing", settled(), |s| {
            s.database.evidence = Fact::Known(Evidence::Missing);
        }),
        with("the statistics are read for the first time", settled(), |s| {
            s.ledger.change = Some(Change::Opened);
        }),
        with("an approval is for another plan", settled(), |s| {
            s.asked.approval = Fact::Known(ApprovalText::OtherPlan);
        }),
        with("nobody has approved", settled(), |s| s.asked.approval = Fact::Absent),
        with("the old form may be hidden", settled(), |_| {}),
        with("the old form is hidden for too short", quarantined(), |s| {
            s.ledger.change = Some(Change::Quarantined);
        }),
        but("the old form has only just been hidden", &quarantined(), |world| {
            world.state.change.as_mut().unwrap().quarantine.as_mut().unwrap().since = Some(ago(60));
        }),
        with("somebody missed the hidden form", quarantined(), |s| {
            s.database.log = Fact::Known(Log::Missed);
        }),
        with("the hidden form is given back", quarantined(), |s| s.ledger.change = Some(Change::Broken)),
        with("a right was given on the hidden form", quarantined(), |s| {
            s.database.journal = Fact::Known(Journal::Regranted);
        }),
        with("the log was lost in part", quarantined(), |s| s.database.log = Fact::Known(Log::Lost)),
        with("the log is behind", quarantined(), |s| s.database.log = Fact::Known(Log::Behind)),
        with("the log is unclear", quarantined(), |s| s.database.log = Fact::Known(Log::Unclear)),
        with("something depends on the old form", settled(), |s| s.database.dependencies = Fact::Known(true)),
        with("a snapshot is being taken", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Creating);
        }),
        with("a snapshot is too old", quarantined(), |s| s.database.snapshot = Fact::Known(Snapshot::Old)),
        with("a snapshot has failed", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Failed);
        }),
        with("a snapshot is of another instance", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::OfAnother);
        }),
        but("a snapshot is in a state that nobody knows", &quarantined(), |world| {
            world.seen.snapshot = build(&{
                let mut sketch = quarantined();
                sketch.database.snapshot = Fact::Known(Snapshot::Creating);
                sketch
            })
            .seen
            .snapshot
            .map(|mut snapshot| {
                (snapshot.status, snapshot.percent) = (SnapshotStatus::Other, 7);
                snapshot
            });
        }),
        with("no snapshot can be taken now", quarantined(), |s| s.database.instance = Fact::Known(false)),
        with("the instance cannot be read", quarantined(), |s| {
            s.database.instance = Fact::Unknown(Why::Throttled);
        }),
        with("the snapshot is there", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Young);
        }),
        with("the team's tool has purged", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Young);
            s.database.tool = Some(Tool::Done);
            s.database.objects = Fact::Known((false, true));
        }),
        with("the team's tool contracts", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Young);
            s.database.tool = Some(Tool::Running);
        }),
        with("the team's tool failed to contract", quarantined(), |s| {
            s.database.snapshot = Fact::Known(Snapshot::Young);
            s.database.tool = Some(Tool::Failed);
        }),
        with("the journal says purged", settled(), |s| {
            s.database.journal = Fact::Known(Journal::Purged);
            s.database.objects = Fact::Known((false, true));
        }),
        with("the journal says purged and the old form is there", settled(), |s| {
            s.database.journal = Fact::Known(Journal::Purged);
        }),
        with("the database cannot be read at rest", settled(), |s| {
            s.database.journal = Fact::Unknown(Why::Unreachable);
            s.database.objects = Fact::Unknown(Why::Unreachable);
        }),
        with("the new form is gone", settled(), |s| s.database.objects = Fact::Known((true, false))),
        with("the old form is gone too soon", settled(), |s| {
            s.database.objects = Fact::Known((false, true));
        }),
        with("a migration was applied with another text", settled(), |s| {
            s.database.journal = Fact::Known(Journal::OtherText);
        }),
    ]
}

/// What the database did is told for as long as the change is open.
fn remembered() -> Vec<Told> {
    vec![
        but("the rows were counted before and cannot be now", &settled(), |world| {
            world.seen.schema.check = Fact::Unknown(Why::Unreachable);
            let counted = CheckReading { unmapped: 3, ..CheckReading::default() };
            world.state.change.as_mut().unwrap().checked = Some(counted);
        }),
        but("a file took a lock", &settled(), |world| {
            let Fact::Known(journal) = &mut world.seen.schema.journal else { return };
            let lock = "ACCESS EXCLUSIVE on public.customers for 12 ms".to_owned();
            journal.locks.insert("1_expand_a.sql".into(), lock);
        }),
    ]
}

fn expanding() -> Vec<Told> {
    let opened = |s: &mut Sketch| {
        s.database.journal = Fact::Known(Journal::Opened);
        s.database.objects = Fact::Known((true, false));
    };
    let tool = move |tool: Tool| {
        move |s: &mut Sketch| {
            opened(s);
            s.database.tool = Some(tool);
        }
    };
    vec![
        with("the change is about to be opened", preflight(), |s| {
            (s.ledger.change, s.database.journal) = (None, Fact::Absent);
            s.database.objects = Fact::Known((true, false));
        }),
        with("another change is open in the database", preflight(), |s| {
            (s.ledger.change, s.database.others) = (None, Fact::Known(true));
        }),
        with(
            "a change is known to the database alone",
            in_flight(Phase::Baking, DeploymentStatus::InProgress, true),
            |s| {
                s.ledger.change = None;
            },
        ),
        with("expand is due", preflight(), opened),
        with("a session is in the way of expand", preflight(), |s| {
            opened(s);
            s.database.blockers = Fact::Known(true);
        }),
        with("an index is being built", preflight(), |s| {
            opened(s);
            s.database.journal = Fact::Known(Journal::Building(true));
        }),
        with("an index was not built", preflight(), |s| {
            opened(s);
            s.database.journal = Fact::Known(Journal::Building(false));
            s.ledger.refusals = Some(1);
        }),
        with("backfill is due", preflight(), |s| s.database.journal = Fact::Known(Journal::Expanded)),
        but("a backfill is half done", &preflight(), |world| {
            let Fact::Known(journal) = &mut world.seen.schema.journal else { return };
            for progress in journal.backfills.values_mut() {
                (progress.done, progress.last_key) = (false, 1_010);
            }
        }),
        but("a backfill has only just begun", &preflight(), |world| {
            let Fact::Known(journal) = &mut world.seen.schema.journal else { return };
            for progress in journal.backfills.values_mut() {
                (progress.done, progress.last_key, progress.rows, progress.milliseconds) =
                    (false, 1_010, 0, 0);
            }
        }),
        with("a backfill pauses", preflight(), |s| {
            s.database.journal = Fact::Known(Journal::Expanded);
            s.database.pressure = Fact::Known(true);
        }),
        with("a backfill waits for what is not known", preflight(), |s| {
            s.database.journal = Fact::Known(Journal::Expanded);
            s.database.pressure = Fact::Unknown(Why::Unreachable);
        }),
        with("the team's tool is to expand", preflight(), tool(Tool::NotRun)),
        with("the team's tool expands", preflight(), tool(Tool::Running)),
        with("the team's tool failed to expand", preflight(), tool(Tool::Failed)),
        with("the team's tool says that it expanded", preflight(), tool(Tool::Done)),
        with("something was applied by hand", preflight(), |s| s.database.journal = Fact::Absent),
        but("the revision was cut off by a purge", &preflight(), |world| {
            let Fact::Known(journal) = &mut world.seen.schema.journal else { return };
            journal.floor = vec![definition(2, true).digest()];
        }),
        with("the database may not be used", preflight(), |s| {
            s.database.access = Fact::Known(Access::Denied);
        }),
        with("the database is too old", preflight(), |s| s.database.access = Fact::Known(Access::TooOld)),
        with("the database is Aurora", preflight(), |s| s.database.access = Fact::Known(Access::Aurora)),
        with("the secret is the service's", preflight(), |s| {
            s.database.access = Fact::Known(Access::SecretShared);
        }),
        with("the secret is bound to nothing", preflight(), |s| {
            s.database.access = Fact::Known(Access::SecretNotBound);
        }),
        with("the server cannot be reached", preflight(), |s| {
            s.database.access = Fact::Known(Access::Unreachable);
        }),
        with("whether the database can be used is not known", preflight(), |s| {
            s.database.access = Fact::Unknown(Why::Throttled);
        }),
    ]
}

fn in_rollout() -> Vec<Told> {
    use DeploymentStatus::{InProgress, Ready};
    let shifting = || {
        let mut sketch = in_flight(Phase::Shifting, InProgress, false);
        sketch.traffic.listeners = Fact::Known((80, 20, false));
        sketch.traffic.minutes = Fact::Known(Minutes::GreenOnly);
        if let Fact::Known(deployments) = &mut sketch.traffic.deployments {
            deployments.target = Fact::Known((Some(20), false));
        }
        sketch
    };
    vec![
        with("a deployment is about to be made", preflight(), |_| {}),
        with("blue's history is about to be frozen", preflight(), |s| {
            s.rollout.as_mut().unwrap().baseline = false;
        }),
        with("green is installed", in_flight(Phase::Provisioning, InProgress, false), |_| {}),
        with("green may get traffic", in_flight(Phase::Verifying, Ready, false), |_| {}),
        with("green is to be verified", in_flight(Phase::Verifying, Ready, false), |s| {
            s.rollout.as_mut().unwrap().verified = false;
        }),
        with("green is to be verified by nothing", in_flight(Phase::Verifying, Ready, false), |s| {
            (s.rollout.as_mut().unwrap().verified, s.asked.rich) = (false, false);
        }),
        with("a probe failed", in_flight(Phase::Verifying, Ready, false), |s| {
            let flight = s.rollout.as_mut().unwrap();
            (flight.verified, flight.probe_failed) = (false, true);
        }),
        with("a hold is ordered before traffic", in_flight(Phase::Verifying, Ready, false), |s| {
            (s.asked.fleet_hold, s.ledger.held) = (Fact::Known(()), true);
        }),
        with("an alarm is red before traffic", in_flight(Phase::Verifying, Ready, false), |s| {
            s.traffic.alarms = Fact::Known(true);
        }),
        with("traffic shifts", shifting(), |_| {}),
        with("the listener is edited in the shift", shifting(), |s| {
            s.traffic.listeners = Fact::Known((5, 95, false));
        }),
        with("rows disagree in a sample", shifting(), |s| {
            (s.database.check, s.database.sampled) = (Fact::Known(3), true);
        }),
        with("green fails", shifting(), |s| s.traffic.minutes = Fact::Known(Minutes::GreenFails)),
        with("green is silent", shifting(), |s| s.traffic.minutes = Fact::Known(Minutes::Silent)),
        but("green is suspected", &baked(), suspect),
        with("the shift is confirmed", baked(), |s| {
            let flight = s.rollout.as_mut().unwrap();
            (flight.phase, flight.baked, flight.confirmations) = (Phase::Confirming, false, 1);
        }),
        with("the bake is served in part", baked(), |s| s.rollout.as_mut().unwrap().baked = false),
        with("a hold is ordered in the bake", baked(), |s| {
            (s.asked.hold, s.ledger.held) = (Fact::Known(()), true);
        }),
        with("the bake is served", baked(), |_| {}),
        with("blue is being removed", baked(), |s| s.rollout.as_mut().unwrap().phase = Phase::Retiring),
        with("a rollout goes back", in_flight(Phase::Stopping, InProgress, false), |_| {}),
        with(
            "a rollout goes back and the listener is elsewhere",
            in_flight(Phase::Stopping, DeploymentStatus::Stopped, false),
            |s| {
                s.traffic.listeners = Fact::Known((50, 50, false));
            },
        ),
        with("a revision is deployed again", in_flight(Phase::Redeploying, InProgress, false), |_| {}),
        with("a newer spec waits for the end", shifting(), |s| {
            s.asked.spec = Fact::Known(SpecText::NewerRevision);
        }),
        with("a newer spec only bakes longer", shifting(), |s| {
            s.asked.spec = Fact::Known(SpecText::NewerBake);
        }),
        with("a call is in doubt", shifting(), |s| {
            let stop = Step::WORDS.iter().position(|word| *word == "continue-traffic").unwrap();
            s.ledger.doubt = Some((stop, true));
        }),
        with("calls are refused", in_flight(Phase::Verifying, Ready, false), |s| s.ledger.refusals = Some(9)),
    ]
}

/// What a rollback would be is shown in the shift: what is not proven of it there.
fn unproven() -> Vec<Told> {
    let shifting = || in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    let failures = LogFailures { since: ago(7_200), count: 0, last: None, problem: None };
    let denial = Denial {
        at: ago(60),
        role: "app".into(),
        text: "SELECT address".into(),
        how: "column does not exist".into(),
    };
    vec![
        but("the statistics say nothing of blue's statements", &shifting(), |world| {
            let Fact::Known(certificate) = &mut world.seen.schema.certificate else { return };
            certificate.missing = Some("pg_stat_statements is not installed".into());
        }),
        but("some statements could not be proven", &shifting(), |world| {
            let Fact::Known(certificate) = &mut world.seen.schema.certificate else { return };
            certificate.proven = 6;
            certificate.unproven =
                vec![Finding { text: "SELECT now()".into(), why: "it names no table".into() }];
        }),
        but("all statements are of one role", &shifting(), |world| {
            let Fact::Known(certificate) = &mut world.seen.schema.certificate else { return };
            certificate.roles = vec!["app".into()];
        }),
        but("the server's log cannot tell", &shifting(), |world| {
            let problem = Some("log_statement_stats is off".into());
            world.seen.schema.failures = Fact::Known(LogFailures { problem, ..failures.clone() });
        }),
        but("statements failed", &shifting(), |world| {
            let last = Some(denial.clone());
            world.seen.schema.failures = Fact::Known(LogFailures { count: 4, last, ..failures.clone() });
        }),
        but("no statement failed", &shifting(), |world| {
            world.seen.schema.failures = Fact::Known(failures.clone());
        }),
        but("the server's log could not be read", &shifting(), |world| {
            world.seen.schema.failures = Fact::Unknown(Why::Denied);
        }),
        but("rows have no old form", &shifting(), |world| {
            let check = CheckReading { unmapped: 2, unmapped_back: 5, conflicts: 1, ..Default::default() };
            world.seen.schema.check = Fact::Known(check);
        }),
        but("rows disagree", &shifting(), |world| {
            world.seen.schema.check = Fact::Known(CheckReading { disagreeing: 7, ..Default::default() });
        }),
        but("the old form is what is added again", &shifting(), |world| {
            let change = world.state.change.as_mut().unwrap();
            change.opened.plan.removes.clone_from(&change.opened.plan.adds);
        }),
    ]
}
