//! What is asked of the world, where it is more than nothing and less than everything.

use tidegate_model::{
    Fact,
    decision::Step,
    observation::{DeploymentStatus, Needs, TaskKey},
    runner::token_prefix,
    schema::{CheckReading, CheckScope},
    spec::ContractMode,
};

use super::{
    golden::{baked, hidden, in_flight, preflight, quarantined, settled},
    sketch::{Journal, Phase, Sketch, SpecText, Tool},
    world::{World, ago, build, release},
};

fn needs(world: &World) -> Needs {
    crate::needs(&world.release, &world.state, &world.seen.spec, &world.seen.orders, world.now)
}

#[test]
fn every_minute_is_read_for_as_long_as_evidence_is_gathered_and_the_last_ones_after_that() {
    let mut world = build(&baked());
    for (passed, read) in
        [(0, 15), (12, 15), (13, 60), (57, 60), (58, 183), (180, 183), (181, 15), (5_000, 15)]
    {
        world.state.rollout.as_mut().unwrap().traffic_since = Some(ago(passed * 60));
        assert_eq!(needs(&world).minutes.unwrap().count, read, "{passed} minutes after the first weight");
    }
}

#[test]
fn green_is_judged_until_blue_is_gone() {
    for phase in [Phase::Shifting, Phase::Confirming, Phase::Baking, Phase::Retiring] {
        let needs = needs(&build(&in_flight(phase, DeploymentStatus::InProgress, true)));
        assert!(needs.minutes.is_some() && needs.alarms, "{phase:?}");
    }
    let stopping = needs(&build(&in_flight(Phase::Stopping, DeploymentStatus::InProgress, true)));
    assert!(stopping.minutes.is_none() && !stopping.alarms, "nothing is judged on the way back");
}

#[test]
fn a_spec_that_names_a_revision_has_it_read_before_it_is_accepted() {
    let mut sketch = settled();
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    let mut world = build(&sketch);
    let Fact::Known(read) = &mut world.seen.spec else { panic!("it is known") };
    let image = r#""revision":{"container":"app","image":"#;
    let begins = read.text.find(image).unwrap();
    let ends = begins + read.text[begins..].find('}').unwrap() + 1;
    read.text.replace_range(begins..ends, r#""revision":{"taskDefinition":"shop:7"}"#);
    assert!(needs(&world).revisions.contains(&"shop:7".to_owned()));
}

/// What of the rows is checked at rest, once all of them were.
fn checked(change: impl FnOnce(&mut World)) -> Option<CheckScope> {
    let mut world = build(&hidden());
    world.state.change.as_mut().unwrap().checked = Some(CheckReading::default());
    change(&mut world);
    needs(&world).schema.unwrap().check
}

#[test]
fn every_row_is_checked_again_only_where_the_next_step_of_contract_may_be_due() {
    let of = |change: fn(&mut tidegate_model::ledger::ChangeState)| {
        checked(|world| change(world.state.change.as_mut().unwrap()))
    };
    assert_eq!(of(|_| {}), Some(CheckScope::Whole), "approved, quiet and hidden for long enough");
    assert_eq!(of(|change| change.checked = None), Some(CheckScope::Whole));
    assert_eq!(of(|change| change.quiet_since = None), Some(CheckScope::Sample));
    assert_eq!(of(|change| change.quiet_since = Some(ago(3_600))), Some(CheckScope::Sample));
    let hidden_since = |since| {
        move |change: &mut tidegate_model::ledger::ChangeState| {
            change.quarantine.as_mut().unwrap().since = since;
        }
    };
    let of_hidden = |since| checked(|world| hidden_since(since)(world.state.change.as_mut().unwrap()));
    assert_eq!(of_hidden(Some(ago(3_600))), Some(CheckScope::Sample));
    assert_eq!(of_hidden(None), Some(CheckScope::Whole), "it is about to be hidden");
    assert_eq!(of(|change| change.opened.schema.contract = ContractMode::Never), Some(CheckScope::Sample));
}

#[test]
fn every_row_is_checked_again_only_once_somebody_approved_or_nobody_has_to() {
    let approved = |mode, there: bool| {
        checked(|world| {
            world.state.change.as_mut().unwrap().opened.schema.contract = mode;
            if !there {
                world.seen.orders.approve_contract = Fact::Absent;
            }
        })
    };
    assert_eq!(approved(ContractMode::OnApproval, true), Some(CheckScope::Whole));
    assert_eq!(approved(ContractMode::OnApproval, false), Some(CheckScope::Sample));
    assert_eq!(approved(ContractMode::Automatic, false), Some(CheckScope::Whole));
}

#[test]
fn a_run_of_the_tool_is_read_while_it_is_known_and_any_other_before_one_is_started() {
    let asked = |mut sketch: Sketch, tool| {
        sketch.database.tool = Some(tool);
        let needs = needs(&build(&sketch));
        let prefix = token_prefix(&release());
        let under_way = needs.under_way.map(|runs| (runs.family == "flyway", runs.prefix == prefix));
        (needs.task.map(|task| task.by), under_way)
    };
    let expands = || {
        let mut sketch = preflight();
        sketch.database.journal = Fact::Known(Journal::Opened);
        sketch
    };
    let (known, any) = (Some(TaskKey::Arn("task/1".into())), Some((true, true)));
    assert_eq!(asked(expands(), Tool::Running), (known, None));
    assert_eq!(asked(expands(), Tool::NotRun), (None, any));
    assert_eq!(asked(expands(), Tool::Failed), (None, any));
    assert_eq!(asked(quarantined(), Tool::NotRun), (None, any), "contract is due");
    assert_eq!(asked(baked(), Tool::NotRun), (None, None), "nothing is to be started");
}

#[test]
fn a_call_in_doubt_has_read_what_settles_it() {
    let in_doubt = |step: &str| {
        let mut sketch = settled();
        sketch.ledger.change = None;
        sketch.ledger.doubt = Step::WORDS.iter().position(|word| *word == step).map(|index| (index, true));
        needs(&build(&sketch))
    };
    assert!(in_doubt("register-task-definition").revisions.contains(&"shop".to_owned()));
    assert_eq!(in_doubt("create-deployment-config").deployment_config.as_deref(), Some("tidegate"));
    assert_eq!(in_doubt("create-snapshot").snapshot.as_deref(), Some("tidegate-shop"));
    let task = in_doubt("run-task").task.unwrap();
    assert!(matches!(task.by, TaskKey::Token(_)), "{task:?}");
    let none = in_doubt("continue-traffic");
    assert_eq!((none.deployment_config, none.snapshot, none.task), (None, None, None));
}
