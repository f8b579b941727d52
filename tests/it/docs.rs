//! What is written for people is true: every gate, problem code and variable is in the README, and the examples are valid.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use tidegate::{config::DEFAULTS, local::story::beside_this_program};
use tidegate_model::{gate::Gate, spec};

const README: &str = include_str!("../../README.md");
const DEPLOY: &str = include_str!("../../deploy/README.md");
const SERVICE: &str = include_str!("../../deploy/service.json");
const TASK: &str = include_str!("../../deploy/task-definition.json");
const EXAMPLE: &str = include_str!("../../config/example/spec.json");

#[test]
fn the_readme_names_every_gate_and_every_problem_code() {
    for gate in Gate::ALL {
        assert!(README.contains(&format!("`{}`", gate.as_str())), "{}", gate.as_str());
    }
    for code in spec::Code::ALL {
        assert!(README.contains(code.as_str()), "{}", code.as_str());
    }
}

#[test]
fn the_example_spec_is_valid() {
    assert_eq!(spec::read(EXAMPLE).map(drop), Ok(()));
}

/// Names of environment variables of ours in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter(|word| word.starts_with("TIDEGATE_")).collect()
}

#[test]
fn every_variable_of_the_daemon_is_in_the_readme_and_deploy_sets_no_other() {
    let program = beside_this_program("tidegate").expect("run `cargo xtask test`");
    let help = Command::new(program).args(["run", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let known = variables(&help);
    assert!(known.contains("TIDEGATE_LEDGER_SECRET"), "{known:?}");
    let mut told = variables(README);
    // `--config FILE` is told by its flag.
    told.insert("TIDEGATE_CONFIG");
    assert!(known.is_subset(&told), "not in the README: {:?}", known.difference(&told));
    for (place, text) in [("deploy", TASK), ("deploy's page", DEPLOY), ("the defaults", DEFAULTS)] {
        let found = variables(text);
        assert!(!found.is_empty() && found.is_subset(&known), "{place}: {:?}", found.difference(&known));
    }
}

#[test]
fn deploy_runs_two_tasks_on_a_ledger_that_both_can_open() {
    let service: Value = serde_json::from_str(SERVICE).expect("JSON");
    let task: Value = serde_json::from_str(TASK).expect("JSON");
    assert_eq!(service["desiredCount"], 2);
    let environment = task["containerDefinitions"][0]["environment"].as_array().expect("variables");
    let value =
        |name: &str| environment.iter().find(|variable| variable["name"] == name).map(|v| &v["value"]);
    let url = value("TIDEGATE_LEDGER_URL").and_then(Value::as_str).expect("a URL");
    assert!(url.starts_with("postgres://") && !url.contains('@'), "the secret names the role: {url}");
    let secret = value("TIDEGATE_LEDGER_SECRET").and_then(Value::as_str).expect("a secret");
    assert!(secret.contains(":secret:tidegate-"), "the policy allows no other: {secret}");
    assert!(value("TIDEGATE_LEDGER").is_none() && task.get("volumes").is_none());
}
