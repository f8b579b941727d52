//! What the daemon may call is called in some scenario without any fault: what none crosses has no cell of operation and fault, and
//! no sweep would ever tell.
//!
//! What must be crossed is read where it is granted and where it is defined; what is crossed is played. Nothing is unreachable so
//! far: whatever comes to be is to be named here with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::Value;
use tidegate_simulation::{
    database::Operation,
    fault::Plan,
    keep::Request,
    run::{Setup, run},
    scenario::{Catalogue, Scenario},
};

const POLICY: &str = include_str!("../../../deploy/iam-policy.json");

/// Two passes are half a minute apart: the same states in fewer calls.
const PACE: SignedDuration = SignedDuration::from_secs(30);

/// Together these cross everything, as far as is known. The others are played only if something is missing then.
const FIRST: [&str; 6] = [
    "a-hidden-form-that-is-missed",
    "a-leader-that-is-stopped-in-the-bake",
    "a-tool-that-fails-and-is-run-again",
    "an-abort-in-the-shift",
    "probes-that-pass",
    "steps-of-its-own",
];

/// Every operation that the policy allows: `ecs:RunTask` is crossed as `ecs.RunTask`.
fn allowed() -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(POLICY).expect("the policy is JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        one => vec![one.clone()],
    });
    actions.map(|action| action.as_str().expect("an action").replace(':', ".")).collect()
}

/// Every way out of the daemon.
fn expected() -> BTreeSet<String> {
    let ledger = Request::ALL.map(|request| request.operation().to_owned());
    let database = Operation::ALL.map(|operation| format!("database.{}", operation.as_str()));
    let probes = ["listener.verify".to_owned()];
    allowed().into_iter().chain(ledger).chain(database).chain(probes).collect()
}

/// Every scenario at that pace, those that cross most first.
fn scenarios() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let files = fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("an entry").path());
    let mut catalogue: Catalogue = files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a scenario");
            let scenario = Scenario::read(&text).expect("a scenario");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, Scenario { pace: scenario.pace.or(Some(PACE)), ..scenario })
        })
        .collect();
    let first = FIRST.map(|name| catalogue.remove_entry(name).expect("a scenario of that name"));
    first.into_iter().chain(catalogue).collect()
}

#[test]
fn every_operation_that_the_daemon_may_call_is_crossed_by_some_scenario() {
    let (expected, plan) = (expected(), Plan::default());
    let mut crossed = BTreeMap::<String, String>::new();
    for (name, scenario) in scenarios() {
        if expected.iter().all(|operation| crossed.contains_key(operation)) {
            break;
        }
        let setup =
            Setup { scenario: &scenario, plan: &plan, seed: 1, rest: Duration::ZERO, keep_trace: false };
        let report = run(&setup);
        assert!(report.violations.is_empty(), "{name}: {:#?}", report.violations);
        report.operations.into_keys().for_each(|operation| drop(crossed.insert(operation, name.clone())));
    }
    let missing: Vec<_> = expected.iter().filter(|operation| !crossed.contains_key(*operation)).collect();
    assert!(missing.is_empty(), "no scenario crosses {missing:?}");
    crossed.retain(|operation, _| !expected.contains(operation));
    assert!(crossed.is_empty(), "crossed though nothing says that it may be called: {crossed:?}");
}
