//! What is written for people is true: every gate, problem code and exit is in the README, and the examples are valid.

use tidegate_model::{gate::Gate, spec};

const README: &str = include_str!("../../README.md");
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
