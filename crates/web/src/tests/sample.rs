//! A release in the middle of its bake, with something in every field.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    ParameterVersion,
    gate::{Closed, Gate, GateReading, GateState},
    ledger::{Event, EventKind},
    status::{
        CalibrationStatus, CertificateStatus, Condition, ConditionStatus, ConditionType, Grade, Published,
        ReleaseStatus, RollbackStatus, RolloutStatus, SchemaStatus, Summary, VerdictStatus, Versions,
    },
    verdict::{
        Check, Detectable, Evidence, Guard, MetricEvidence, Regression, RuleReading, Standing, Unit, Verdict,
    },
    waiting::{Class, OnDeadline, Reason, Waiting},
};

/// The time of every test here.
pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// Everything that is published, a moment ago.
pub(crate) fn published(releases: impl IntoIterator<Item = ReleaseStatus>) -> Published {
    let releases: BTreeMap<_, _> =
        releases.into_iter().map(|release| (release.name.clone(), release)).collect();
    Published {
        releases,
        last_pass: Some(now() - SignedDuration::from_secs(2)),
        ready: true,
        ..Published::default()
    }
}

/// The sample under a name.
pub(crate) fn release(name: &str) -> ReleaseStatus {
    ReleaseStatus {
        api_version: "tidegate/v1".into(),
        led_by: None,
        name: name.parse().unwrap(),
        observed_at: now(),
        summary: Summary::Progressing,
        versions: Versions {
            observed: Some(ParameterVersion(12)),
            in_force: Some(ParameterVersion(12)),
            in_flight: Some(ParameterVersion(12)),
            refused: None,
        },
        problems: vec![],
        conditions: ConditionType::ALL
            .into_iter()
            .map(|kind| Condition {
                r#type: kind,
                status: ConditionStatus::Unknown,
                observed_version: Some(ParameterVersion(12)),
                reason: "NotRead".into(),
                message: "it was not read at this stage".into(),
            })
            .collect(),
        waiting: vec![baking(), contract()],
        rollout: rollout(),
        schema: Some(schema()),
        gates: gates(),
        rollback: RollbackStatus {
            grade: Grade::Instant,
            how: "stop the deployment with rollback: traffic is on ecommerce:41 in seconds".into(),
            unproven: vec![],
            certificate: Some(CertificateStatus { at: ago(1), proven: 41, unproven: 2, broken: 0 }),
        },
        verdict: Some(VerdictStatus {
            verdict: Verdict::Pass,
            message: "green is no worse than blue".into(),
            until: Some(ago(1)),
            evidence: Some(evidence()),
            dry_run: vec![],
            rules: vec![guard()],
        }),
        events: vec![
            event(40, EventKind::Normal, "SpecAccepted", "spec version 12 is in force"),
            event(
                9,
                EventKind::Warning,
                "StepRefused",
                "a step was refused (Blocked); it is tried again later",
            ),
            event(4, EventKind::Normal, "PhaseEntered", "rollout is baking"),
        ],
    }
}

fn guard() -> RuleReading {
    RuleReading {
        check: Check::Errors,
        guard: Some(Guard::BalancerErrors),
        measure: None,
        measured: Some(0.012),
        limit: Some(0.005),
        unit: Unit::Ratio,
        failing_minutes: 2,
        of_minutes: 6,
        needed_minutes: 5,
        standing: Standing::Suspect,
        dry_run: false,
    }
}

fn event(minutes: i64, kind: EventKind, reason: &str, message: &str) -> Event {
    Event { at: ago(minutes), kind, reason: reason.into(), message: message.into(), count: 1 }
}

fn baking() -> Waiting {
    Waiting {
        reason: Reason::Baking,
        message: "v2 has run for 4 of 8 minutes on all traffic".into(),
        blocked_by: Some("d-ABCDEF123".into()),
        since: ago(4),
        measured: Some("4m".into()),
        required: Some("8m".into()),
        next_check_at: now() + SignedDuration::from_secs(30),
        deadline: Some(now() + SignedDuration::from_mins(4)),
        on_deadline: OnDeadline::Continue,
        unblock: "nothing to do; abort goes back at once".into(),
        class: Class::NeedsTime,
    }
}

fn contract() -> Waiting {
    Waiting {
        reason: Reason::Gate(Gate::ReadersGone),
        message: "version 2 still writes the column that contract removes".into(),
        blocked_by: None,
        since: ago(2),
        measured: None,
        required: None,
        next_check_at: now(),
        deadline: None,
        on_deadline: OnDeadline::Stall,
        unblock: "deploy a revision that does not name customers.address".into(),
        class: Class::NeedsHuman,
    }
}

fn rollout() -> RolloutStatus {
    RolloutStatus {
        phase: "baking".into(),
        since: Some(ago(4)),
        cluster: "ecommerce".into(),
        service: "ecommerce".into(),
        engine: "codedeploy".into(),
        blue: Some("arn:aws:ecs:eu-west-1:123456789012:task-definition/ecommerce:41".into()),
        green: Some("arn:aws:ecs:eu-west-1:123456789012:task-definition/ecommerce:42".into()),
        deployment: Some("d-ABCDEF123".into()),
        green_weight: Some(70.0),
        green_weight_asked: Some(80.0),
        baked_seconds: Some(240),
        bake_seconds: Some(480),
        calibration: Some(CalibrationStatus {
            at: ago(300),
            from: Some(ago(15 * 24 * 60)),
            minutes: 2_870,
            zones: 2,
            requests_per_minute: 1_100.0,
            message: "it fails in 0.040 % of requests by itself, in clusters of about 3; by 2870 minutes"
                .into(),
        }),
        detectable: vec![
            Detectable { regression: Regression::Times(2.0), minutes: None },
            Detectable { regression: Regression::Share(0.01), minutes: Some(9) },
            Detectable { regression: Regression::Share(1.0), minutes: Some(1) },
        ],
        cause: None,
        cause_reason: None,
    }
}

fn schema() -> SchemaStatus {
    SchemaStatus {
        change: "structured-address".into(),
        instance: "ecommerce-db".into(),
        phase: "soaking".into(),
        plan: "4f2a".repeat(16),
        removes: vec!["public.customers.address".into()],
        removes_added: vec!["trigger sync on public.customers".into(), "function public.sync".into()],
        noticed: vec!["publication feed carries public.customers".into()],
        locked: vec!["1_expand_city.sql: ACCESS EXCLUSIVE on public.customers, 4 ms".into()],
        backfill_keys_left: Some(0),
        backfill_rows_per_second: None,
        backfill_seconds_left: None,
        disagreeing: Some(0),
        unmapped: Some(3),
        unmapped_back: Some(1),
        conflicts: Some(2),
        last_reader: Some("INSERT INTO customers (name, address) VALUES ($1, $2)".into()),
        last_reader_at: Some(ago(1)),
        quiet_since: Some(ago(1)),
        vanishing: vec!["index customers_by_address".into()],
        hidden_since: None,
        quarantine_seconds: None,
        bypassed_by: vec![],
        snapshot: None,
    }
}

fn gates() -> Vec<GateReading> {
    let closed = Closed {
        message: "a statement of the serving revision names customers.address".into(),
        measured: Some("12 calls in the last minute".into()),
        required: Some("0".into()),
        unblock: "deploy a revision that does not name it".into(),
        class: Class::NeedsHuman,
    };
    vec![
        GateReading { gate: Gate::SpecValid, state: GateState::Open },
        GateReading { gate: Gate::InSync, state: GateState::Open },
        GateReading { gate: Gate::NoBlockers, state: GateState::NotApplicable },
        GateReading { gate: Gate::ReadersGone, state: GateState::Closed(closed) },
    ]
}

fn evidence() -> Evidence {
    let metric = |check, counted: &str, share, green_counted, blue_counted| MetricEvidence {
        check,
        counted: counted.into(),
        share,
        minutes: 27,
        blue_requests: 20_412.0,
        blue_counted,
        green_requests: 9_630.0,
        green_counted,
        values: None,
        factor: -0.7,
        needed: Some(17),
        calibration: "it fails in 0.040 % of requests by itself, in clusters of about 3".into(),
    };
    Evidence {
        factor: -0.6,
        limit: 3.0,
        metrics: vec![
            metric(Check::Errors, "failed requests", 0.9, 4.0, 9.0),
            metric(Check::Latency, "requests slower than 120 ms", 0.1, 961.0, 2_050.0),
            metric(Check::Metrics, "checkouts", 0.0, 288.0, 611.0),
        ],
    }
}
