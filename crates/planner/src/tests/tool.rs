//! The team's own tool in a [`super::sketch::Sketch`]: what the plan says of it, what the ledger has, what is seen.

use tidegate_model::{
    Fact,
    decision::Step,
    runner::{Placement, RunTask, SeenTask, TaskEnd, TaskRun, TaskRunner},
    schema::FilePhase,
};

use super::{
    sketch::{Change, Tool},
    world::{ago, column, marker},
};

/// The last run of the team's own tool: of contract once the snapshot has its name.
pub(super) fn run(change: Change, tool: Tool) -> Option<TaskRun> {
    let ended = |code| Some((TaskEnd { exit_code: Some(code), reason: String::new() }, ago(10)));
    let end = match tool {
        Tool::NotRun => return None,
        Tool::Running => None,
        Tool::Failed => ended(1),
        Tool::Done => ended(0),
    };
    let contracts = change == Change::SnapshotNamed;
    let phase = if contracts { FilePhase::Contract } else { FilePhase::Expand };
    Some(TaskRun { phase, arn: "task/1".into(), began: ago(60), attempts: 1, end })
}

pub(super) fn runner() -> TaskRunner {
    TaskRunner {
        task_definition: "flyway:1".into(),
        container: "flyway".into(),
        expand: vec!["migrate".into()],
        contract: vec!["migrate".into()],
        adds: vec![column("street")],
        removes: vec![column("address")],
    }
}

/// What ECS shows: the task while it runs, and nothing that is asked for otherwise.
pub(super) fn seen(tool: Option<Tool>) -> Fact<SeenTask> {
    match tool {
        Some(Tool::Running) => Fact::Known(SeenTask { arn: "task/1".into(), end: None }),
        Some(Tool::NotRun | Tool::Failed | Tool::Done) | None => Fact::default(),
    }
}

pub(super) fn step() -> Step {
    Step::RunTask(Box::new(RunTask {
        cluster: "shop".into(),
        phase: FilePhase::Expand,
        task_definition: "flyway:1".into(),
        container: "flyway".into(),
        command: vec!["migrate".into()],
        placement: Placement::default(),
        marker: marker(),
    }))
}
