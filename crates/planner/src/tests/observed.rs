//! From a [`Sketch`] to what would have been read of its world: parameters, AWS, the database.

use std::collections::BTreeMap;

use serde_json::json;
use tidegate_model::{
    Digest, Fact, ParameterVersion,
    observation::{self as seen, Observation, TargetGroup},
    orders::{Orders, ParameterRead},
    revision::TaskDefinition,
    runner::Placement,
    schema as database, spec,
};

use super::{
    sketch::{
        AbortText, ApprovalText, Asked, Database, Deployments, Evidence, Journal, Log, Minutes, Serving,
        Sketch, Snapshot, SpecText, Traffic,
    },
    tool,
    world::{
        DAY, OURS, ROLLBACK, ago, blue_group, column, definition, green_group, marker, plan, release,
        revision, spec_text,
    },
};

pub(super) fn observation(sketch: &Sketch) -> Observation {
    let Sketch { asked, traffic, database, .. } = sketch;
    Observation {
        spec: asked.spec.clone().map(|spec| spec_parameter(spec, asked.rich)),
        orders: orders(asked),
        plan: database
            .plan
            .clone()
            .map(|good| if good { Ok(plan(database.tool)) } else { Err(spec::read("").unwrap_err()) }),
        service: traffic.service.clone().map(service),
        group: traffic.group.clone().map(group),
        deployments: traffic.deployments.clone().map(|list| deployments(&list)),
        listeners: traffic.listeners.clone().map(|(blue, green, two)| listeners(blue, green, two)),
        health: traffic.health.clone().map(|healthy| {
            let health = seen::TargetHealth { healthy: if healthy { 2 } else { 0 }, ..Default::default() };
            BTreeMap::from([(blue_group(), health), (green_group(), health)])
        }),
        alarms: traffic.alarms.clone().map(|red| vec![seen::Alarm { name: "errors".into(), red }]),
        minutes: traffic.minutes.clone().map(minutes),
        history: Fact::default(),
        revisions: revisions(traffic),
        deployment_config: traffic.config.clone().map(|()| "tidegate".into()),
        task: tool::seen(database.tool),
        under_way: database.tool.map_or_else(Fact::default, |_| Fact::Absent),
        schema: schema(database),
        instance: database.instance.clone().map(|snapshot_possible| seen::Instance {
            id: "shop-db".into(),
            resource_id: "db-1".into(),
            storage_bytes: Some(20 << 30),
            blue_green: None,
            snapshot_possible,
            status: "available".into(),
        }),
        snapshot: database.snapshot.clone().map(snapshot),
    }
}

fn parameter(text: String, version: u64, seconds_ago: i64) -> ParameterRead {
    ParameterRead { text, version: ParameterVersion(version), modified: ago(seconds_ago) }
}

fn spec_parameter(spec: SpecText, rich: bool) -> ParameterRead {
    match spec {
        SpecText::InForce => parameter(spec_text("shop:v2", "1h", rich), 5, 7_200),
        SpecText::NewerRevision => parameter(spec_text("shop:v3", "1h", rich), 6, 60),
        SpecText::NewerBake => parameter(spec_text("shop:v2", "2h", rich), 6, 60),
        SpecText::Malformed => parameter("{".into(), 6, 60),
        SpecText::Recreated => parameter(spec_text("shop:v2", "1h", rich), 1, 60),
    }
}

fn orders(asked: &Asked) -> Orders {
    let plan = plan(None).approval_digest(0);
    let abort = |text| match text {
        AbortText::InForce => parameter(json!({ "spec": 5 }).to_string(), 1, 30),
        AbortText::Stale => parameter(json!({ "spec": 5 }).to_string(), 1, 9_000),
        AbortText::Unmatched => parameter(json!({ "spec": 99 }).to_string(), 1, 30),
        AbortText::Malformed => parameter("stop!".into(), 1, 30),
    };
    let approval = |text| match text {
        ApprovalText::Good => parameter(json!({ "spec": 5, "plan": plan.as_str() }).to_string(), 1, 30),
        ApprovalText::OtherPlan => {
            parameter(json!({ "spec": 5, "plan": Digest::of("x").as_str() }).to_string(), 1, 30)
        }
        ApprovalText::Malformed => parameter("yes".into(), 1, 30),
    };
    Orders {
        hold: asked.hold.clone().map(|()| parameter("sale".into(), 1, 60)),
        fleet_hold: asked.fleet_hold.clone().map(|()| parameter("sale".into(), 1, 60)),
        abort: asked.abort.clone().map(abort),
        approve_contract: asked.approval.clone().map(approval),
    }
}

fn service(serving: Serving) -> seen::Service {
    let set = |number, group: TargetGroup, status| seen::TaskSet {
        id: format!("set-{number}"),
        status,
        revision: revision(number),
        target_group: Some(group),
        desired: 2,
        running: 2,
        pending: 0,
        steady: true,
        external_id: None,
    };
    let (primary, active) = (seen::TaskSetStatus::Primary, seen::TaskSetStatus::Active);
    let task_sets = match serving {
        Serving::Nothing => vec![],
        Serving::Blue => vec![set(1, blue_group(), primary)],
        Serving::BlueWithGreen => vec![set(1, blue_group(), primary), set(2, green_group(), active)],
        Serving::GreenWithBlue => vec![set(1, blue_group(), active), set(2, green_group(), primary)],
        Serving::Green => vec![set(2, green_group(), primary)],
    };
    seen::Service {
        active: true,
        by_codedeploy: true,
        desired: 2,
        container: Some(("app".into(), 80)),
        task_sets,
        placement: Placement::default(),
    }
}

fn group(good: bool) -> seen::DeploymentGroup {
    seen::DeploymentGroup {
        cluster: "shop".into(),
        service: "shop".into(),
        ready_wait_minutes: good.then_some(60),
        termination_wait_minutes: Some(2_880),
        target_groups: vec![blue_group(), green_group()],
        production_listener: Some("production".into()),
        test_listener: Some("test".into()),
        alarms: vec!["errors".into()],
        rollback_on: seen::RollbackEvents { failure: good, alarm: true, request: true },
    }
}

fn deployments(list: &Deployments) -> Vec<seen::Deployment> {
    let deployment = |id: &str, status| seen::Deployment {
        id: id.into(),
        status,
        created: ago(600),
        ended: None,
        marker: None,
        is_rollback: false,
        rolled_back_by: None,
        error: None,
        ready_wait_minutes: None,
        termination_wait_started: false,
        termination_wait_minutes: None,
        target: Fact::Absent,
    };
    let mut all = vec![];
    if list.foreign {
        all.push(deployment("d-9", seen::DeploymentStatus::InProgress));
    }
    if let Some((status, termination_wait_started, rolled_back)) = list.ours {
        if rolled_back {
            all.push(seen::Deployment { is_rollback: true, ..deployment(ROLLBACK, list.rollback) });
        }
        let target = list.target.clone().map(|(green_weight, all_moved)| seen::DeploymentTarget {
            green: Some(revision(2)),
            green_weight,
            ready_since: None,
            traffic_since: green_weight.map(|_| ago(500)),
            traffic_until: all_moved.then(|| ago(400)),
        });
        all.push(seen::Deployment {
            marker: Some(marker()),
            rolled_back_by: rolled_back.then(|| ROLLBACK.into()),
            termination_wait_started,
            target,
            ..deployment(OURS, status)
        });
    }
    all
}

fn listeners(blue: u32, green: u32, two: bool) -> seen::Listeners {
    let rule = |rule: &str, blue, green| seen::RuleWeights {
        rule: rule.into(),
        weights: BTreeMap::from([(blue_group(), blue), (green_group(), green)]),
        sticky: false,
    };
    let listener = |port: u16, rules| seen::Listener {
        arn: format!("listener-{port}"),
        address: format!("http://127.0.0.1:{port}"),
        rules,
    };
    let mut production = vec![rule("default", blue, green)];
    if two {
        production.push(rule("other", 30, 70));
    }
    seen::Listeners {
        production: listener(80, production),
        test: Some(listener(81, vec![rule("default", 0, 100)])),
    }
}

fn minutes(kind: Minutes) -> Vec<seen::Minute> {
    let counts = |failures| seen::Counts { requests: Some(100.0), failures, ..Default::default() };
    let groups = match kind {
        Minutes::None => return vec![],
        Minutes::Silent => BTreeMap::new(),
        Minutes::BlueOnly => BTreeMap::from([(blue_group(), counts(0.0))]),
        Minutes::GreenOnly => BTreeMap::from([(green_group(), counts(0.0))]),
        Minutes::GreenFails => BTreeMap::from([(blue_group(), counts(0.0)), (green_group(), counts(50.0))]),
    };
    let minute =
        |back: i64| seen::Minute { at: ago(60 * back), groups: groups.clone(), ..seen::Minute::default() };
    (1..=15).rev().map(minute).collect()
}

/// Blue's revision is there whenever definitions can be read; green's only once it is registered.
fn revisions(traffic: &Traffic) -> BTreeMap<String, Fact<TaskDefinition>> {
    let registered = &traffic.revisions;
    let green = match registered {
        Fact::Known(false) => Fact::Absent,
        Fact::Known(true) | Fact::Absent | Fact::Unknown(_) => {
            registered.clone().map(|_| definition(2, true))
        }
    };
    let newest = registered.clone().map(|green| definition(if green { 2 } else { 1 }, true));
    BTreeMap::from([
        (revision(1).0, registered.clone().map(|_| definition(1, true))),
        (revision(2).0, green),
        ("shop".to_owned(), newest),
    ])
}

fn schema(sketch: &Database) -> database::SchemaObservation {
    let blocker = || database::Blocker {
        pid: 7,
        role: "app".into(),
        application: "app".into(),
        state: "idle in transaction".into(),
        transaction_seconds: 90,
    };
    let other = || database::OpenChange { release: release(), change: "other".parse().unwrap() };
    database::SchemaObservation {
        access: sketch.access.clone(),
        journal: sketch.journal.clone().map(journal),
        other_open: sketch.others.clone().map(|there| there.then(other).into_iter().collect()),
        objects: sketch
            .objects
            .clone()
            .map(|(old, new)| BTreeMap::from([(column("address"), old), (column("street"), new)])),
        preflight: Fact::Known(database::Preflight::default()),
        max_connections: Fact::Known(100),
        pressure: sketch.pressure.clone().map(|there| there.then(pressure).into_iter().collect()),
        blockers: sketch.blockers.clone().map(|there| there.then(blocker).into_iter().collect()),
        check: sketch.check.clone().map(|disagreeing| database::CheckReading {
            disagreeing,
            sampled: sketch.sampled,
            ..Default::default()
        }),
        evidence: sketch.evidence.clone().map(evidence),
        certificate: sketch.broken.clone().map(certificate),
        dependencies: sketch.dependencies.clone().map(|blocked| database::Dependencies {
            blocking: blocked.then(|| "view labels".to_owned()).into_iter().collect(),
            vanishing: vec!["index customers_by_address".into()],
        }),
        log: sketch.log.clone().map(log),
        failures: Fact::default(),
    }
}

fn certificate(broken: bool) -> database::RollbackCertificate {
    let finding = database::Finding { text: "SELECT street FROM customers".into(), why: "ambiguous".into() };
    database::RollbackCertificate {
        statements: 9,
        proven: 8,
        broken_count: u32::from(broken),
        broken: broken.then_some(finding).into_iter().collect(),
        ..database::RollbackCertificate::default()
    }
}

fn journal(journal: Journal) -> database::Journal {
    let text = if journal == Journal::OtherText { "another text" } else { "1_expand_a.sql" };
    let applied = BTreeMap::from([("1_expand_a.sql".to_owned(), Digest::of(text))]);
    let progress = database::BackfillProgress {
        cursor: 10,
        last_key: 10,
        rows: 10,
        batch: 1_000,
        batches: 1,
        milliseconds: 5_000,
        done: true,
    };
    let filled = BTreeMap::from([("2_backfill_a.sql".to_owned(), progress)]);
    let (applied, backfills) = match journal {
        Journal::Opened | Journal::Building(_) => (BTreeMap::new(), BTreeMap::new()),
        Journal::Expanded => (applied, BTreeMap::new()),
        Journal::Filled | Journal::Hidden | Journal::Regranted | Journal::OtherText | Journal::Purged => {
            (applied, filled)
        }
    };
    database::Journal {
        epoch: 1,
        release: release(),
        marker: marker().to_string(),
        applied,
        locks: BTreeMap::new(),
        backfills,
        builds: builds(journal),
        hidden: matches!(journal, Journal::Hidden | Journal::Regranted).then(|| hidden(journal)),
        purged_at: (journal == Journal::Purged).then(|| ago(DAY)),
        floor: vec![],
    }
}

fn hidden(journal: Journal) -> database::Hidden {
    database::Hidden {
        at: ago(2 * DAY),
        tables: vec![],
        taken_from: vec!["shop".into()],
        bypassed_by: vec![],
        regranted_to: (journal == Journal::Regranted).then(|| "guest".to_owned()).into_iter().collect(),
    }
}

fn log(log: Log) -> database::LogReading {
    let denial = database::Denial {
        at: ago(30),
        role: "shop".into(),
        text: "SELECT address".into(),
        how: "names the column".into(),
    };
    database::LogReading {
        through: ago(60),
        complete: log != Log::Behind,
        lost: log == Log::Lost,
        problem: (log == Log::Unclear).then(|| "its lines have another form".into()),
        denial: (log == Log::Missed).then_some(denial),
    }
}

fn pressure() -> database::Pressure {
    database::Pressure::ReplicaLag { replica: "reports".into(), seconds: 42 }
}

fn builds(journal: Journal) -> BTreeMap<String, database::IndexBuild> {
    let build = |running| database::IndexBuild {
        index: "public.customers_city".into(),
        attempts: 2,
        running,
        phase: running.then(|| "building index: scanning table".into()),
        percent: running.then_some(40),
    };
    match journal {
        Journal::Building(running) => BTreeMap::from([("1_expand_a.sql".to_owned(), build(running))]),
        Journal::Opened
        | Journal::Expanded
        | Journal::Filled
        | Journal::Hidden
        | Journal::Regranted
        | Journal::OtherText
        | Journal::Purged => BTreeMap::new(),
    }
}

fn evidence(evidence: Evidence) -> database::Evidence {
    let (reset, calls) = match evidence {
        Evidence::Missing => return database::Evidence::Missing("pg_stat_statements is not there".into()),
        Evidence::Quiet => (90 * DAY, 5),
        Evidence::Grown => (90 * DAY, 6),
        Evidence::Reset => (DAY, 1),
    };
    let namer = database::Namer {
        calls,
        text: "SELECT address".into(),
        role: "shop".into(),
        how: "names column".into(),
    };
    database::Evidence::Read(database::EvidenceRead {
        stats_reset: ago(reset),
        dealloc: 0,
        namers: BTreeMap::from([("q".into(), namer)]),
    })
}

fn snapshot(kind: Snapshot) -> seen::Snapshot {
    let (status, minutes) = match kind {
        Snapshot::Creating => (seen::SnapshotStatus::Creating, None),
        Snapshot::Young | Snapshot::OfAnother => (seen::SnapshotStatus::Available, Some(5)),
        Snapshot::Old => (seen::SnapshotStatus::Available, Some(120)),
        Snapshot::Failed => (seen::SnapshotStatus::Failed, None),
    };
    let resource_id = if kind == Snapshot::OfAnother { "db-2" } else { "db-1" };
    seen::Snapshot {
        id: "tidegate-shop".into(),
        resource_id: resource_id.into(),
        marker: Some(marker()),
        status,
        percent: 50,
        available_at: minutes.map(|minutes| ago(60 * minutes)),
    }
}
