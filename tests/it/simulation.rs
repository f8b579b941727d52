//! Whole releases in the simulation: every scenario as it is, some of them with faults, and the proof that a run is its seed.
//!
//! `cargo xtask sim` does the same for every crash point, every operation with every fault, and for as many random plans as it
//! is asked for, at the daemon's own pace. What is here is the part that each test run can afford, at a slower one: two passes
//! are ten seconds apart, so that a rollout goes through the same states in half as many calls.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use jiff::SignedDuration;
use tidegate_simulation::{
    fault::{At, Fault, Plan, Position, What},
    plans,
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario},
    sweep::Job,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const A_WHILE: Duration = Duration::from_secs(6 * 60);
const PACE: SignedDuration = SignedDuration::from_secs(10);

fn catalogue() -> Catalogue {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("an entry").path());
    files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a scenario");
            let mut scenario =
                Scenario::read(&text).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
            scenario.pace = Some(PACE);
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), scenario)
        })
        .collect()
}

pub(crate) fn scenario(name: &str) -> Scenario {
    catalogue().remove(name).expect("the scenario")
}

pub(crate) fn played(scenario: &Scenario, plan: &Plan, seed: u64, rest: Duration) -> Report {
    run(&Setup { scenario, plan, seed, rest, keep_trace: false })
}

/// Plays every fourth scenario, and on for a while after its end.
fn all_end_as_they_say(part: usize) {
    let mut played_some = false;
    for (name, scenario) in catalogue().into_iter().skip(part).step_by(4) {
        let report = played(&scenario, &Plan::default(), 1, A_WHILE);
        assert!(report.violations.is_empty(), "{name}: {:#?}", report.violations);
        assert_eq!(report.never_struck, [], "{name}: a fault of its own strikes nothing");
        played_some = true;
    }
    assert!(played_some, "there are no scenarios");
}

#[test]
fn every_scenario_ends_as_it_says_1() {
    all_end_as_they_say(0);
}

#[test]
fn every_scenario_ends_as_it_says_2() {
    all_end_as_they_say(1);
}

#[test]
fn every_scenario_ends_as_it_says_3() {
    all_end_as_they_say(2);
}

#[test]
fn every_scenario_ends_as_it_says_4() {
    all_end_as_they_say(3);
}

#[test]
fn what_has_settled_is_quiet_for_a_day() {
    let report = played(&scenario("all-at-once"), &Plan::default(), 1, DAY);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn the_same_seed_and_plan_give_the_same_trace() {
    let scenario = scenario("all-at-once");
    let golden = played(&scenario, &Plan::default(), 1, Duration::ZERO);
    for seed in 1..=4 {
        let plan = plans::swarm("all-at-once", seed, &golden).plan;
        let (one, other) = (played(&scenario, &plan, seed, A_WHILE), played(&scenario, &plan, seed, A_WHILE));
        assert_eq!(one.hash, other.hash, "seed {seed}: {plan:?}");
        assert_ne!(one.hash, golden.hash, "another seed is another run");
    }
}

#[test]
fn a_run_is_the_same_beside_and_after_one_whose_log_is_read() {
    let scenario = scenario("all-at-once");
    let hash = |plan: &Plan| played(&scenario, plan, 1, A_WHILE).hash;
    let pasted = r#"{"faults": [{"at": {"crossing": 60}, "what": {"world": {"mishap": {"canary": "abort"}, "lasts": 0}}}]}"#;
    let (plain, read) = (Plan::default(), serde_json::from_str(pasted).expect("a plan"));
    let before = hash(&plain);
    let (beside, first) = std::thread::scope(|scope| {
        let first = scope.spawn(|| hash(&read));
        (hash(&plain), first.join().expect("a run"))
    });
    assert_eq!([beside, hash(&plain)], [before.clone(), before], "what others log is none of its business");
    assert_eq!(hash(&read), first, "one that is read is the same again");
}

#[test]
fn a_daemon_that_dies_at_any_effect_is_followed_by_one_that_finishes_the_release() {
    let scenario = scenario("all-at-once");
    let operations =
        ["ecs.RegisterTaskDefinition", "codedeploy.CreateDeployment", "codedeploy.ContinueDeployment"];
    for of in operations {
        for position in Position::ALL {
            let at = At::Operation { of: of.to_owned(), nth: 1 };
            let plan = Plan { faults: vec![Fault { at, what: What::Crash(position) }] };
            let report = played(&scenario, &plan, 1, A_WHILE);
            assert!(report.violations.is_empty(), "{of} {position:?}: {:#?}", report.violations);
            assert_eq!(report.effects, scenario.expect.effects, "{of} {position:?}");
        }
    }
}

#[test]
fn a_daemon_that_dies_at_whatever_it_leaves_behind_is_followed_by_one_that_goes_back() {
    let name = "an-abort-in-the-shift";
    let scenario = scenario(name);
    let golden = played(&scenario, &Plan::default(), 1, Duration::ZERO);
    let crashes = plans::crash_classes(name, 1, &golden);
    assert!(crashes.len() > 20, "{} points of a whole rollback", crashes.len());
    for crash in crashes {
        let report = played(&scenario, &crash.plan, 1, A_WHILE);
        assert!(report.violations.is_empty(), "{:?}: {:#?}", crash.plan, report.violations);
    }
}

#[test]
fn of_crashes_that_leave_the_same_behind_in_the_same_second_one_is_tried() {
    let name = "all-at-once";
    let golden = played(&scenario(name), &Plan::default(), 1, Duration::ZERO);
    let plans =
        |jobs: Vec<Job>| jobs.into_iter().map(|job| format!("{:?}", job.plan)).collect::<BTreeSet<_>>();
    let all = plans(plans::crash_points(name, 1, &golden));
    let some = plans(plans::crash_moments(name, 1, &golden));
    let moments: BTreeSet<_> = golden.moments.iter().collect();
    assert!(some.is_subset(&all));
    assert!(some.len() >= moments.len(), "{} for {} moments", some.len(), moments.len());
    assert!(some.len() * 4 < all.len() * 3, "{} of {}", some.len(), all.len());
    assert_ne!(some, plans(plans::crash_moments(name, 2, &golden)), "another seed draws others");
}

#[test]
fn faults_at_random_break_nothing() {
    // Short ones, that together go through every phase of a rollout.
    let names = [
        "all-at-once",
        "an-abort-in-the-shift",
        "an-alarm-in-the-shift",
        "probes-that-fail",
        "steps-of-its-own",
    ];
    let scenarios = names.map(|name| {
        let scenario = scenario(name);
        let golden = played(&scenario, &Plan::default(), 1, Duration::ZERO);
        (name, scenario, golden)
    });
    for (seed, (name, scenario, golden)) in (1..=30).zip(scenarios.iter().cycle()) {
        let plan = plans::swarm(name, seed, golden).plan;
        let report = played(scenario, &plan, seed, A_WHILE);
        assert!(report.violations.is_empty(), "{name}, seed {seed}, {plan:?}: {:#?}", report.violations);
    }
}

#[test]
fn a_leader_that_stands_still_is_fenced_off_when_it_goes_on() {
    let mut scenario = scenario("all-at-once");
    scenario.daemons = 2;
    for of in ["codedeploy.CreateDeployment", "ledger.append"] {
        for nth in [1, 2, 4] {
            let at = At::Operation { of: of.to_owned(), nth };
            let plan = Plan { faults: vec![Fault { at, what: What::Freeze { lasts: 300 } }] };
            let report = played(&scenario, &plan, 1, A_WHILE);
            assert!(report.violations.is_empty(), "{of} {nth}: {:#?}", report.violations);
        }
    }
}
