//! From a [`Sketch`] to what `decide` takes: the names and the folded state of one small shop. What is read of it is
//! [`super::observed`]'s.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate_model::{
    Digest, ParameterVersion, ReleaseName,
    decision::{CreateDeployment, Decision, Register, SchemaStep, Step, Verify},
    ledger::{
        Accepted, BakeClock, Cause, ChangeState, EvidenceMark, FailedRevision, Hold, Intent, LastRollout,
        OpenedChange, Quarantine, ReaderSeen, Recurrence, Refusals, Refused, ReleaseState, Rollout,
        RolloutEnd, RolloutKind, RolloutPhase, RolloutStart,
    },
    name::Marker,
    observation::{Observation, TargetGroup},
    revision::{RevisionArn, TaskDefinition},
    schema as database,
    spec::{self, Shift},
    status::ReleaseStatus,
    verdict::Baseline,
};

use super::{
    observed::observation,
    sketch::{Change, Flight, Phase, Sketch, Tool},
    tool,
};
use crate::{Input, decide};

/// What `decide` takes, owned.
pub(super) struct World {
    pub release: ReleaseName,
    pub state: ReleaseState,
    pub seen: Observation,
    pub now: Timestamp,
    pub ahead: SignedDuration,
    pub set_forward: SignedDuration,
}

impl World {
    pub(super) fn decide(&self) -> Decision {
        self.decide_after(None)
    }

    pub(super) fn decide_after(&self, previous: Option<&ReleaseStatus>) -> Decision {
        let Self { release, state, seen, now, ahead, set_forward } = self;
        let (now, ahead, set_forward) = (*now, *ahead, *set_forward);
        decide(&Input {
            release,
            state,
            observation: seen,
            previous,
            now,
            read_since: now,
            ahead,
            set_forward,
        })
    }
}

/// Every world is looked at at the same time.
pub(super) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50)
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(super) const DAY: i64 = 86_400;

/// The deployment that carries the rollout, and the one that rolls it back.
pub(super) const OURS: &str = "d-1";
pub(super) const ROLLBACK: &str = "d-2";

pub(super) fn release() -> ReleaseName {
    "shop".parse().unwrap()
}

pub(super) fn blue_group() -> TargetGroup {
    TargetGroup("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/1".into())
}

pub(super) fn green_group() -> TargetGroup {
    TargetGroup("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/green/2".into())
}

/// The revision of blue (1) or green (2).
pub(super) fn revision(number: u32) -> RevisionArn {
    RevisionArn(format!("arn:aws:ecs:eu-west-1:1:task-definition/shop:{number}"))
}

fn content(number: u32) -> Value {
    json!({ "family": "shop", "containerDefinitions": [{ "name": "app", "image": format!("shop:v{number}") }] })
}

pub(super) fn definition(number: u32, active: bool) -> TaskDefinition {
    let (arn, content) = (revision(number), content(number));
    TaskDefinition { arn, active, content, unknown_members: vec![], marker: None }
}

pub(super) fn spec_text(image: &str, bake: &str, rich: bool) -> String {
    let mut spec = json!({
        "service": { "cluster": "shop", "name": "shop" },
        "revision": { "container": "app", "image": image },
        "traffic": { "engine": "codedeploy", "application": "shop", "deploymentGroup": "shop",
                     "shift": { "linear": { "percent": 20, "every": "3m" } } },
        "bake": bake,
    });
    if rich {
        spec["verify"] = json!([{ "get": "/health" }]);
        spec["schema"] = json!({
            "database": { "secret": "arn:aws:secretsmanager:eu-west-1:1:secret:tidegate", "instance": "shop-db" },
            "change": "address", "source": "file:///migrations",
        });
    }
    spec.to_string()
}

/// The spec in force, version 5.
fn accepted(rich: bool) -> Accepted {
    let text = spec_text("shop:v2", "1h", rich);
    Accepted {
        version: ParameterVersion(5),
        modified: ago(7_200),
        digest: Digest::of(&text),
        spec: spec::read(&text).unwrap(),
        text,
        base: revision(1),
        content: content(2),
        desired: definition(2, true).digest(),
        plan: rich.then(|| plan(None)),
    }
}

pub(super) fn plan(tool: Option<Tool>) -> database::ChangePlan {
    let files = [
        ("1_expand_a.sql", database::FilePhase::Expand),
        ("2_backfill_a.sql", database::FilePhase::Backfill),
        ("3_check_a.sql", database::FilePhase::Check),
        ("4_contract_a.sql", database::FilePhase::Contract),
    ];
    let file = |(version, (name, phase)): (u64, (&str, database::FilePhase))| database::MigrationFile {
        version,
        phase,
        name: name.into(),
        text: name.into(),
        checksum: Digest::of(name),
        backfill: None,
        sync: None,
    };
    database::ChangePlan {
        change: "address".parse().unwrap(),
        files: (1..).zip(files).map(file).collect(),
        runner: tool.map(|_| tool::runner()),
        adds: vec![column("street")],
        removes: vec![column("address")],
        digest: Digest::of("the plan"),
    }
}

pub(super) fn column(name: &str) -> database::Object {
    let table = database::TableName { schema: "public".into(), table: "customers".into() };
    database::Object::Column { table, column: name.into() }
}

pub(super) fn marker() -> Marker {
    let hash = accepted(true).digest.short().to_owned();
    Marker { release: release(), version: ParameterVersion(5), hash, intent: "i1".into() }
}

/// Builds the world of a sketch.
pub(super) fn build(sketch: &Sketch) -> World {
    let (state, seen) = (state(sketch), observation(sketch));
    World {
        release: release(),
        state,
        seen,
        now: now(),
        ahead: SignedDuration::ZERO,
        set_forward: SignedDuration::ZERO,
    }
}

fn state(sketch: &Sketch) -> ReleaseState {
    let ledger = &sketch.ledger;
    let tool = sketch.database.tool;
    let accepted = accepted(sketch.asked.rich);
    let accepted = Accepted { plan: accepted.plan.map(|_| plan(tool)), ..accepted };
    let refused = || Refused {
        version: ParameterVersion(6),
        modified: ago(3_600),
        problems: spec::read("").unwrap_err(),
    };
    let failed = || FailedRevision {
        desired: accepted.desired.clone(),
        version: accepted.version,
        modified: accepted.modified,
        cause: Cause::Ordered,
    };
    let end = |settled| if settled { RolloutEnd::Settled } else { RolloutEnd::RolledBack(Cause::Ordered) };
    let last = |settled| LastRollout {
        version: ParameterVersion(4),
        end: end(settled),
        at: ago(20 * DAY),
        started: ago(21 * DAY),
    };
    let doubt = |(step, may_land): (usize, bool)| {
        (Intent { id: 40, step: steps().remove(step) }, ago(if may_land { 10 } else { 100 }))
    };
    let refusals = |count| Refusals {
        count,
        of_unhide: 0,
        since: ago(900),
        last: ago(3),
        code: "Busy".into(),
        step: "verify",
    };
    ReleaseState {
        length: 50,
        accepted_at: ledger.accepted.then(|| ago(7_000)),
        refused: ledger.refused.then(refused),
        rollout: sketch.rollout.as_ref().map(|flight| rollout(flight, &accepted)),
        last: ledger.last.map(last),
        previous: ledger.previous.then(|| (revision(1), definition(1, true).digest())),
        previous_until: ledger.previous.then(|| ago(21 * DAY)),
        failed: ledger.failed.then(failed).into_iter().collect(),
        change: ledger.change.map(|kind| change(kind, tool)),
        open: ledger.doubt.map(doubt).into_iter().collect(),
        refusals: ledger.refusals.map(refusals),
        hold: ledger.held.then(|| Hold { since: ago(600), absent_reads: 0 }),
        accepted: ledger.accepted.then_some(accepted),
        ..ReleaseState::default()
    }
}

fn change(change: Change, tool: Option<Tool>) -> ChangeState {
    let schema = accepted(true).spec.schema.unwrap();
    let mark =
        EvidenceMark { stats_reset: ago(90 * DAY), dealloc: 0, calls: BTreeMap::from([("q".into(), 5)]) };
    let reader = ReaderSeen { text: "SELECT address".into(), how: "names column".into(), revisions: vec![] };
    let seen = change == Change::ReaderSeen;
    ChangeState {
        opened: OpenedChange { spec: ParameterVersion(4), schema, plan: plan(tool) },
        opened_at: ago(21 * DAY),
        checked: None,
        mark: (change != Change::Opened).then(|| (mark, ago(10 * DAY))),
        quiet_since: (change != Change::Opened).then(|| ago(if seen { DAY } else { 10 * DAY })),
        last_reader: seen.then(|| (reader, ago(DAY))),
        recurrence: Recurrence::default(),
        namers: BTreeSet::from([definition(1, true).digest()]),
        quarantine: quarantine(change),
        run: tool.and_then(|tool| tool::run(change, tool)),
        snapshot: (change == Change::SnapshotNamed).then(|| "tidegate-shop".into()),
        contracted_at: (change == Change::Purged).then(|| ago(DAY)),
        purged_at: (change == Change::Purged).then(|| ago(DAY)),
    }
}

fn quarantine(change: Change) -> Option<Quarantine> {
    let hidden = Quarantine {
        through: None,
        marked_at: ago(10),
        since: Some(ago(2 * DAY)),
        taken: true,
        broken: false,
    };
    match change {
        Change::Quarantined | Change::SnapshotNamed => Some(hidden),
        Change::Broken => Some(Quarantine { broken: true, ..hidden }),
        Change::Opened | Change::Marked | Change::ReaderSeen | Change::Purged => None,
    }
}

fn rollout(flight: &Flight, accepted: &Accepted) -> Rollout {
    let redeploy = RolloutKind::Redeploy { to: revision(2), cause: Cause::Ordered };
    let back = RolloutPhase::RollingBack(Cause::Ordered);
    let (kind, phase) = match flight.phase {
        Phase::Preflight => (RolloutKind::Forward, RolloutPhase::Preflight),
        Phase::Provisioning => (RolloutKind::Forward, RolloutPhase::Provisioning),
        Phase::Verifying => (RolloutKind::Forward, RolloutPhase::Verifying),
        Phase::Shifting => (RolloutKind::Forward, RolloutPhase::Shifting),
        Phase::Confirming => (RolloutKind::Forward, RolloutPhase::Confirming),
        Phase::Baking => (RolloutKind::Forward, RolloutPhase::Baking),
        Phase::Retiring => (RolloutKind::Forward, RolloutPhase::Retiring),
        Phase::Stopping => (RolloutKind::Forward, back),
        Phase::Redeploying => (redeploy, back),
    };
    let is_redeploy = flight.phase == Phase::Redeploying;
    let (stop, go, retire) = flight.sent;
    let since = ago(flight.age);
    let baseline = Baseline { from: ago(3_600), minutes: 5, requests: 500.0, ..Baseline::default() };
    Rollout {
        start: RolloutStart {
            spec: accepted.clone(),
            kind,
            blue: revision(1),
            blue_digest: definition(1, true).digest(),
            blue_group: blue_group(),
            green_group: green_group(),
            adopted: false,
        },
        started: since,
        phase,
        since,
        green: (flight.green || is_redeploy).then(|| revision(2)),
        deployment: flight.deployment.then(|| OURS.into()),
        deployment_since: flight.deployment.then_some(since),
        rollback_deployment: None,
        baseline: flight.baseline.then_some(baseline),
        traffic_since: flight.traffic.then(|| ago(900)),
        verified: flight.verified.then_some(since),
        verified_production: flight.verified.then_some(since),
        probe_failure: flight.probe_failed.then(|| "status 500".into()),
        confirmations: flight.confirmations,
        confirmed_at: (flight.confirmations > 0).then_some(since),
        bake: BakeClock {
            served: SignedDuration::from_hours(if flight.baked { 10 } else { 0 }),
            running_since: None,
        },
        frozen: flight.frozen.then_some(since),
        stop_sent: stop.map(ago),
        continue_sent: go.map(ago),
        continue_count: u32::from(go.is_some()),
        retire_sent: retire.map(ago),
        redeployment_failed: None,
    }
}

/// Every step, in the order of `Step::WORDS`.
pub(super) fn steps() -> Vec<Step> {
    let schema = || SchemaStep {
        database: accepted(true).spec.schema.unwrap().database,
        change: database::OpenChange { release: release(), change: "address".parse().unwrap() },
        file: "1_expand_a.sql".into(),
        plan: plan(None),
        marker: marker(),
        namers: vec![],
        service_secrets: vec![],
    };
    let deployment = || OURS.to_owned();
    let shift = Shift::AllAtOnce;
    vec![
        Step::RegisterTaskDefinition(Register {
            base: revision(1),
            content: content(2),
            digest: definition(2, true).digest(),
            marker: marker(),
        }),
        Step::CreateDeploymentConfig { name: "tidegate".into(), shift },
        Step::CreateDeployment(CreateDeployment {
            application: "shop".into(),
            group: "shop".into(),
            revision: revision(2),
            container: "app".into(),
            port: 80,
            config: "tidegate".into(),
            ignore_alarms: false,
            marker: marker(),
        }),
        Step::ContinueTraffic { deployment: deployment() },
        Step::ContinueTermination { deployment: deployment() },
        Step::StopDeployment { deployment: deployment() },
        Step::Verify(Verify { address: "http://127.0.0.1:1".into(), production: false, probes: vec![] }),
        tool::step(),
        Step::Expand(schema()),
        Step::Backfill(schema()),
        Step::Hide(schema()),
        Step::Unhide(schema()),
        Step::CreateSnapshot {
            instance: "shop-db".into(),
            snapshot: "tidegate-shop".into(),
            marker: marker(),
        },
        Step::Purge(schema()),
    ]
}
