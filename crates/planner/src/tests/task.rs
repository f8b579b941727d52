//! Runs of the team's own tool: when their end is known, when one is started again, and what the catalog must show.

use tidegate_model::{
    Fact, Why,
    decision::Decision,
    ledger::Entry,
    runner::{SeenTask, TaskEnd},
    waiting::{Held, Reason},
};

use super::{
    golden::{preflight, quarantined},
    sketch::{Journal, Sketch, Snapshot, Tool},
    word,
    world::{World, ago, build},
};

/// Expand is due by the tool.
fn expands(tool: Tool) -> Sketch {
    let mut sketch = preflight();
    sketch.database.journal = Fact::Known(Journal::Opened);
    sketch.database.objects = Fact::Known((true, false));
    sketch.database.tool = Some(tool);
    sketch
}

/// Contract is due by the tool.
fn contracts(tool: Tool) -> Sketch {
    let mut sketch = quarantined();
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    sketch.database.tool = Some(tool);
    sketch
}

fn run_of(world: &mut World) -> &mut tidegate_model::runner::TaskRun {
    world.state.change.as_mut().unwrap().run.as_mut().unwrap()
}

fn ended(decision: &Decision) -> Option<TaskEnd> {
    decision.entries.iter().find_map(|entry| match entry {
        Entry::TaskEnded(end) => Some(end.clone()),
        _ => None,
    })
}

fn held(decision: &Decision) -> Option<&str> {
    let held = Reason::Held(Held::TaskDisagrees);
    decision.waiting.iter().find(|wait| wait.reason == held).map(|wait| wait.message.as_str())
}

#[test]
fn how_a_run_ended_is_noted_as_soon_as_ecs_shows_it() {
    let mut world = build(&expands(Tool::Running));
    assert_eq!(ended(&world.decide()), None);
    let end = TaskEnd { exit_code: Some(3), reason: "it failed".into() };
    world.seen.task = Fact::Known(SeenTask { arn: "task/1".into(), end: Some(end.clone()) });
    assert_eq!(ended(&world.decide()), Some(end));
}

#[test]
fn a_run_that_ecs_does_not_show_is_over_ten_minutes_after_it_began() {
    let mut world = build(&expands(Tool::Running));
    world.seen.task = Fact::Absent;
    for (seconds, over) in [(0, false), (599, false), (600, true)] {
        run_of(&mut world).began = ago(seconds);
        let end = ended(&world.decide());
        assert_eq!(end.is_some(), over, "{seconds} s after it began");
        assert_eq!(end.and_then(|end| end.exit_code), None);
    }
}

#[test]
fn a_run_that_failed_is_started_again_after_a_pause_that_doubles_to_an_hour() {
    for (attempts, pause) in [(1, 30), (3, 120), (30, 3_600)] {
        let step = |seconds| {
            let mut world = build(&expands(Tool::Failed));
            let run = run_of(&mut world);
            run.attempts = attempts;
            run.end.as_mut().unwrap().1 = ago(seconds);
            word(&world.decide())
        };
        assert_eq!(step(pause - 1), None, "{attempts} attempts");
        assert_eq!(step(pause), Some("run-task"), "{attempts} attempts");
    }
}

#[test]
fn no_run_is_started_beside_one_that_the_ledger_does_not_know_or_that_nobody_could_look_for() {
    for sketch in [expands(Tool::NotRun), expands(Tool::Failed), contracts(Tool::NotRun)] {
        let mut world = build(&sketch);
        if let Some(run) = world.state.change.as_mut().unwrap().run.as_mut() {
            run.end.as_mut().unwrap().1 = ago(3_600);
        }
        let mut seen = |under_way| {
            world.seen.under_way = under_way;
            let decision = world.decide();
            let waits = |reason| decision.waiting.iter().any(|wait| wait.reason == reason);
            (word(&decision), waits(Reason::MigrationTask), waits(Reason::Unobserved))
        };
        assert_eq!(seen(Fact::Known("task/9".into())), (None, true, false));
        assert_eq!(seen(Fact::Unknown(Why::Denied)), (None, false, true));
        assert_eq!(seen(Fact::Absent), (Some("run-task"), false, false));
    }
}

#[test]
fn what_the_team_has_run_already_is_only_journaled() {
    let mut sketch = expands(Tool::NotRun);
    assert_eq!(word(&build(&sketch).decide()), Some("run-task"));
    sketch.database.objects = Fact::Known((true, true));
    assert_eq!(word(&build(&sketch).decide()), Some("expand"));
}

#[test]
fn sessions_are_in_the_way_of_expand_alone() {
    for (mut sketch, step) in [(expands(Tool::NotRun), None), (contracts(Tool::NotRun), Some("run-task"))] {
        sketch.database.blockers = Fact::Known(true);
        assert_eq!(word(&build(&sketch).decide()), step);
    }
}

#[test]
fn a_run_that_ended_well_is_not_believed_before_the_catalog_shows_it() {
    let said = "the task ended with exit code 0, but column public.customers";
    let decision = build(&expands(Tool::Done)).decide();
    assert_eq!(held(&decision), Some(format!("{said}.street is not there").as_str()));
    let decision = build(&contracts(Tool::Done)).decide();
    assert_eq!(held(&decision), Some(format!("{said}.address is still there").as_str()));
}

#[test]
fn a_run_that_failed_after_all_was_gone_is_journaled_and_one_that_failed_half_way_waits_for_people() {
    let mut sketch = contracts(Tool::Failed);
    sketch.database.objects = Fact::Known((false, true));
    let mut world = build(&sketch);
    assert_eq!(word(&world.decide()), Some("purge"));
    let runner = world.state.change.as_mut().unwrap().opened.plan.runner.as_mut().unwrap();
    runner.removes.push(super::world::column("street"));
    let decision = world.decide();
    assert_eq!(word(&decision), None);
    assert!(held(&decision).unwrap().starts_with("contract failed half way"), "{:?}", held(&decision));
}
