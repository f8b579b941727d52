//! One run of the comparison: the sandbox's door in this process, and a Python program that asks it and moto the same.

use std::path::Path;

use serde::Deserialize;
use tidegate_sandbox::{
    Sandbox,
    clock::Clock,
    door::{self, Door},
    world::{Mode, World},
};
use tokio::process::Command;

use super::ledger::Difference;
use crate::venv::Environment;

const WORLD: &str = include_str!("world.toml");
const MOTO: Environment =
    Environment { name: "moto", what: "moto", requirements: include_str!("requirements.txt") };

/// What the program writes.
#[derive(Deserialize)]
pub(super) struct Report {
    /// Calls that both sides answered.
    pub(super) calls: usize,
    /// Operations that were called.
    pub(super) compared: Vec<String>,
    pub(super) differences: Vec<Difference>,
    /// Operations that moto's code does not have.
    pub(super) lacking: Vec<String>,
    /// Protocols of each operation, in the official model.
    pub(super) protocols: std::collections::BTreeMap<String, Vec<String>>,
    /// What the official models do not allow in the sandbox's responses.
    pub(super) findings: Vec<String>,
}

/// Compares. `None` if moto cannot be had here.
pub(super) async fn run(operations: &[String]) -> Option<Report> {
    let python = MOTO.python()?;
    let door = sandbox().await;
    let home = tempfile::tempdir().expect("a directory");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let path = std::env::join_paths([here.join("fidelity"), here.join("cli")]).expect("a search path");
    let output = Command::new(python)
        .args(["-m", "compare", &door.url(), &operations.join(",")])
        // Nothing of whoever runs the tests: no credentials, configuration or proxy.
        .env_clear()
        .env("HOME", home.path())
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // moto keeps some lists in sets: their order must be the same in every run.
        .env("PYTHONHASHSEED", "0")
        .env("MODELCHECK", home.path().join("checked"))
        .kill_on_drop(true)
        .output()
        .await
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    door.close().await;
    Some(serde_json::from_slice(&output.stdout).expect("a report"))
}

async fn sandbox() -> Door {
    let start = "2026-11-23T10:00:00Z".parse().expect("a time");
    let world = World::from_file(WORLD, start, Mode::Modelled { seed: 7 }).expect("a world");
    let address = ([127, 0, 0, 1], 0).into();
    door::serve(Sandbox::new(world, Clock::standing(start)), address).await.expect("a door")
}
