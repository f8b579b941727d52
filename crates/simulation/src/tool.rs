//! The team's own migration tool, as far as a run has it: what its tasks do to the modelled database, and how they end.
//!
//! Looked after by the run with each of its ticks. The sandbox starts the tasks and shows them, as it does in every world; their
//! process is played here, as its live half plays it with a real one. Must not know of daemons, or what an oracle expects.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tidegate_sandbox::{node::Node, world::World};
use tidegate_schema::Failure;

use crate::database::{Model, story};

/// Its image, which a scenario's world has a task definition of.
const IMAGE: &str = "flyway:10";

/// What it is told to expand with.
pub(crate) const EXPAND: [&str; 2] = ["migrate", "-target=12"];

/// What it is told to contract with.
pub(crate) const CONTRACT: [&str; 2] = ["migrate", "-target=13"];

/// How long a run takes from its start: several passes of a daemon.
const WORKS: SignedDuration = SignedDuration::from_secs(40);

/// Source: ECS's `stoppedReason` of a task whose container has ended by itself.
const EXITED: &str = "Essential container in task exited";

/// The tool's tasks that run.
#[derive(Debug, Default)]
pub(crate) struct Tool {
    begun: BTreeMap<String, Timestamp>,
}

impl Tool {
    /// Lets each task do its work when its time has come; tells which did, and how that ended.
    pub(crate) fn work(&mut self, world: &mut World, database: &Model) -> Vec<String> {
        let now = world.now();
        let tasks = world.live_tasks();
        let ours = tasks.into_iter().filter(|task| task.image == IMAGE && task.started);
        let mut told = Vec::new();
        for task in ours {
            let begun = *self.begun.entry(task.id.clone()).or_insert(now);
            if now.duration_since(begun) < WORKS {
                continue;
            }
            let outcome = migrate(database, &task.command);
            world.task_stopped(&task.id, Some(i32::from(outcome.is_err())), EXITED);
            told.push(format!("{}: {outcome:?}", task.command.join(" ")));
        }
        told
    }
}

/// Brings the database where a command says. The target that contracts has nothing left to expand: it comes after.
fn migrate(database: &Model, command: &[String]) -> Result<(), Failure> {
    let table = story::customers();
    if command == EXPAND {
        database.tool_adds(&table, &story::NEW_COLUMNS)
    } else if command == CONTRACT {
        database.tool_drops(&table, &[story::OLD_COLUMN])
    } else {
        Err(Failure::NoSuchFile)
    }
}

/// Tasks of it that run, or are about to.
pub(crate) fn runs(world: &World) -> usize {
    world.live_tasks().iter().filter(|task| task.image == IMAGE).count()
}

/// True if a call tells the tool to contract.
pub(crate) fn is_told_to_contract(run: &Node) -> bool {
    let containers = run.get("overrides").items("containerOverrides").unwrap_or(&[]);
    containers.iter().any(|container| container.text_items("command").is_ok_and(|words| words == CONTRACT))
}

/// The member `runner` of a spec's schema, in JSON.
pub(crate) fn runner() -> serde_json::Value {
    let column = |name: &&str| format!("column {}.{name}", story::customers());
    let adds: Vec<String> = story::NEW_COLUMNS.iter().map(column).collect();
    serde_json::json!({ "task": {
        "taskDefinition": "flyway:1", "container": "flyway",
        "expand": EXPAND, "adds": adds,
        "contract": CONTRACT, "removes": [column(&story::OLD_COLUMN)],
    }})
}
