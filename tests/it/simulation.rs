//! Whole releases in the simulation: every scenario as it is, some of them with faults, and the proof that a run is its seed.
//!
//! `cargo xtask sim` does the same for every crash point, every operation with every fault, and for as many random plans as it
//! is asked for. What is here is the part that each test run can afford.

use std::{fs, path::Path, time::Duration};

use tidegate_simulation::{
    fault::{At, Fault, Plan, Position, What},
    plans,
    run::{Report, Setup, run},
    scenario::{Catalogue, Scenario},
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const A_WHILE: Duration = Duration::from_secs(20 * 60);

fn catalogue() -> Catalogue {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("an entry").path());
    files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a scenario");
            let scenario =
                Scenario::read(&text).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), scenario)
        })
        .collect()
}

fn scenario(name: &str) -> Scenario {
    catalogue().remove(name).expect("the scenario")
}

fn played(scenario: &Scenario, plan: &Plan, seed: u64, rest: Duration) -> Report {
    run(&Setup { scenario, plan, seed, rest, keep_trace: false })
}

/// Plays scenarios whose names begin with one of these letters, and on for a while after their end.
fn all_end_as_they_say(letters: &str) {
    let scenarios = catalogue().into_iter().filter(|(name, _)| name.starts_with(|c| letters.contains(c)));
    let mut played_some = false;
    for (name, scenario) in scenarios {
        let report = played(&scenario, &Plan::default(), 1, A_WHILE);
        assert!(report.violations.is_empty(), "{name}: {:#?}", report.violations);
        played_some = true;
    }
    assert!(played_some, "no scenario begins with any of {letters}");
}

#[test]
fn every_scenario_ends_as_it_says_a() {
    all_end_as_they_say("a");
}

#[test]
fn every_scenario_ends_as_it_says_b() {
    all_end_as_they_say("bcdefghijklmnopqrstuvwxyz");
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

/// Plans that found something once. Each names what it was.
#[test]
fn what_was_found_once_is_not_found_again() {
    for (name, plan) in [
        // The description of the serving task definition had members that nobody knew: the release was deployed again.
        (
            "all-at-once",
            r#"{"faults":[{"at":{"operation":{"of":"ecs.DescribeTaskDefinition","nth":7}},"what":{"mangled":"unknown-members"}}]}"#,
        ),
        (
            "all-at-once",
            r#"{"faults":[{"at":{"operation":{"of":"ecs.DescribeTaskDefinition","nth":7}},"what":{"mangled":"missing-members"}}]}"#,
        ),
        // The group's settings came without the termination wait: the bake counted as unserved, and a good version went back.
        (
            "all-at-once",
            r#"{"faults":[{"at":{"operation":{"of":"codedeploy.BatchGetDeploymentGroups","nth":28}},"what":{"mangled":"missing-members"}}]}"#,
        ),
        // One probe got no answer: the version had failed for good.
        (
            "all-at-once",
            r#"{"faults":[{"at":{"operation":{"of":"listener.verify","nth":1}},"what":{"fail":["before-effect","disconnect"]}}]}"#,
        ),
        // A clock that was set back stood still for as long, and the daemon with it.
        (
            "steps-of-its-own",
            r#"{"faults":[{"at":{"crossing":23},"what":{"clock-jump":{"by":7037,"lasts":600}}}]}"#,
        ),
    ] {
        let plan = serde_json::from_str(plan).expect("a plan");
        let report = played(&scenario(name), &plan, 1, A_WHILE);
        assert!(report.violations.is_empty(), "{name} {plan:?}: {:#?}", report.violations);
    }
}
