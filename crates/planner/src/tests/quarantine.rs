//! The watch over what is hidden: how far the log was read, whom it is given back for, and when it is not watched.

use tidegate_model::{
    Fact,
    decision::Step,
    fact::Why,
    ledger::{Entry, Quarantine, Refusals, Resolution},
    observation::DeploymentStatus,
    spec::ContractMode,
};

use super::{
    gates::ask,
    golden::{in_flight, preflight, quarantined, settled},
    sketch::{Change, Journal, Phase, Tool, calm},
    word,
    world::{World, ago, build, definition},
};
use crate::change;

/// A form that is hidden for a day and was marked as watched so many seconds ago; it is to be hidden for a hundred minutes.
fn watched(marked: i64, complete: bool, lost: bool) -> World {
    let mut world = build(&quarantined());
    let change = world.state.change.as_mut().unwrap();
    change.opened.schema.quarantine = "100m".parse().unwrap();
    change.quarantine.as_mut().unwrap().marked_at = ago(marked);
    let Fact::Known(reading) = &mut world.seen.schema.log else { panic!("it is known") };
    (reading.complete, reading.lost) = (complete, lost);
    world
}

/// Whether it is noted how far the log was read, and whether the time in quarantine begins anew.
fn noted(world: &World) -> (bool, bool) {
    let entries = world.decide().entries;
    let through = Some(ago(60));
    (entries.contains(&Entry::LogWatched(through)), entries.contains(&Entry::QuarantineBegan))
}

#[test]
fn how_far_the_log_was_read_is_noted_once_in_a_twentieth_of_the_quarantine() {
    assert_eq!(noted(&watched(299, true, false)), (false, false));
    assert_eq!(noted(&watched(300, true, false)), (true, false));
    assert_eq!(noted(&watched(5_000, false, false)), (false, false), "it is behind");
}

#[test]
fn a_part_of_the_log_that_was_lost_begins_the_quarantine_anew_unless_the_form_is_given_back() {
    assert_eq!(noted(&watched(300, true, true)), (true, true));
    assert_eq!(noted(&watched(300, false, true)), (true, true));
    let mut broken = watched(300, true, true);
    broken.state.change.as_mut().unwrap().quarantine.as_mut().unwrap().broken = true;
    assert_eq!(noted(&broken), (true, false));
}

#[test]
fn a_form_that_is_to_be_given_back_is_not_served_however_long_it_is_hidden() {
    let mut world = watched(10, true, false);
    world.state.change.as_mut().unwrap().quarantine.as_mut().unwrap().broken = true;
    let reading =
        ask(&world, |draft| crate::gates::hidden_long_enough(&draft, world.state.change.as_ref().unwrap()));
    assert!(!reading.lets_pass());
}

#[test]
fn an_abort_waits_for_the_hidden_form_until_giving_it_back_was_refused_three_times() {
    let waits = |step, count, of_unhide| {
        let mut world = build(&quarantined());
        let (since, last) = (ago(900), ago(3));
        world.state.refusals = Some(Refusals { count, of_unhide, since, last, code: "Busy".into(), step });
        ask(&world, |draft| change::is_in_the_way(&draft))
    };
    assert!(waits("unhide", 2, 2));
    assert!(!waits("unhide", 3, 3));
    assert!(waits("unhide", 9, 1), "the others were about something else");
    assert!(
        !waits("create-deployment", 4, 3),
        "nor is it waited for once more, where the next step is refused"
    );
}

#[test]
fn refusals_to_give_a_form_back_are_counted_apart_from_those_of_all() {
    let refused = |words: &[&str]| {
        let mut state = build(&quarantined()).state;
        for word in words {
            let mut sketch = quarantined();
            let index = Step::WORDS.iter().position(|step| step == word).expect("a step");
            sketch.ledger.doubt = Some((index, false));
            let World { state: in_doubt, now, .. } = build(&sketch);
            let intent = in_doubt.open[0].0.id;
            state.open = in_doubt.open;
            state.apply(
                now,
                &Entry::Resolved { intent, resolution: Resolution::Refused { code: "55P03".into() } },
            );
        }
        let refusals = state.refusals.expect("it was refused");
        (refusals.step, refusals.count, refusals.of_unhide)
    };
    assert_eq!(refused(&["purge", "purge", "unhide"]), ("unhide", 3, 1));
    assert_eq!(refused(&["unhide", "purge", "unhide"]), ("unhide", 3, 2));
    assert_eq!(refused(&["unhide", "purge"]), ("purge", 2, 1));
}

#[test]
fn a_way_back_waits_while_nobody_can_say_whether_the_form_that_was_hidden_still_is() {
    let watched = |names: bool, change, journal: Fact<Journal>, watch: fn(&mut Quarantine)| {
        let mut sketch = in_flight(Phase::Redeploying, DeploymentStatus::Succeeded, false);
        sketch.rollout.as_mut().unwrap().deployment = false;
        sketch.traffic = calm().traffic;
        (sketch.ledger.change, sketch.database.journal) = (Some(change), journal);
        let mut world = build(&sketch);
        let change = world.state.change.as_mut().unwrap();
        change.namers = names.then(|| definition(2, true).digest()).into_iter().collect();
        change.quarantine.iter_mut().for_each(watch);
        let decision = world.decide();
        let told =
            decision.waiting.iter().any(|wait| wait.message.contains("whether the old form is still hidden"));
        (word(&decision), told)
    };
    let redeployed = |names, change, journal| watched(names, change, journal, |_| {});
    let unread = || Fact::Unknown(Why::Unreachable);
    let quarantined = |watch| watched(true, Change::Quarantined, unread(), watch);
    assert_eq!(
        quarantined(|watch| watch.since = None),
        (None, true),
        "a call has hidden it and nobody has seen it"
    );
    let nothing = quarantined(|watch| (watch.since, watch.taken) = (None, false));
    assert_eq!(nothing, (Some("create-deployment"), false), "it was about to be hidden");
    assert_eq!(redeployed(true, Change::Quarantined, unread()), (None, true));
    assert_eq!(
        redeployed(true, Change::Marked, unread()),
        (Some("create-deployment"), false),
        "it was never hidden"
    );
    assert_eq!(
        redeployed(false, Change::Quarantined, unread()),
        (Some("create-deployment"), false),
        "it never named it"
    );
    let given_back = Fact::Known(Journal::Filled);
    assert_eq!(redeployed(true, Change::Quarantined, given_back), (Some("create-deployment"), false));
}

#[test]
fn a_version_that_names_the_hidden_form_is_not_deployed_before_it_is_given_back() {
    let step_of = |previous: bool, names: bool, journal: Journal, count: u32| {
        let mut sketch = preflight();
        sketch.ledger.previous = previous;
        sketch.ledger.change = Some(Change::Quarantined);
        sketch.database.journal = Fact::Known(journal);
        let mut world = build(&sketch);
        let (since, last) = (ago(900), ago(3));
        world.state.refusals =
            Some(Refusals { count, of_unhide: count, since, last, code: "Busy".into(), step: "unhide" });
        let desired = world.state.rollout.as_ref().unwrap().start.spec.desired.clone();
        let change = world.state.change.as_mut().unwrap();
        change.namers = names.then_some(desired).into_iter().collect();
        word(&world.decide())
    };
    let step = |names, journal, count| step_of(true, names, journal, count);
    assert_eq!(step(true, Journal::Hidden, 0), Some("unhide"));
    assert_eq!(step(true, Journal::Hidden, 9), None, "however often that was refused");
    assert_eq!(step(true, Journal::Filled, 0), Some("create-deployment"));
    assert_eq!(step(false, Journal::Hidden, 0), Some("create-deployment"));
    assert_eq!(
        step_of(false, false, Journal::Hidden, 0),
        Some("unhide"),
        "a ledger that was lost knows of nobody"
    );
    assert_eq!(step_of(false, false, Journal::Filled, 0), Some("create-deployment"));
}

#[test]
fn one_that_does_not_name_it_goes_on_even_where_the_tool_drops_it_and_the_spec_says_that_it_never_should() {
    let mut sketch = preflight();
    sketch.ledger.change = Some(Change::SnapshotNamed);
    sketch.database.tool = Some(Tool::Done);
    sketch.database.journal = Fact::Known(Journal::Hidden);
    let mut world = build(&sketch);
    let change = world.state.change.as_mut().unwrap();
    change.namers.clear();
    change.opened.schema.contract = ContractMode::Never;
    let change = change.clone();
    assert!(ask(&world, |draft| change::is_contracting(&draft, &change)));
    assert_eq!(word(&world.decide()), Some("create-deployment"));
}

#[test]
fn nobody_watches_while_nothing_is_hidden_and_it_is_not_time_to_hide() {
    let ends = |approved: bool| {
        let mut sketch = settled();
        sketch.ledger.change = Some(Change::Quarantined);
        sketch.database.journal = Fact::Known(Journal::Filled);
        if !approved {
            sketch.asked.approval = Fact::Absent;
        }
        let mut world = build(&sketch);
        let watch = world.state.change.as_mut().unwrap().quarantine.as_mut().unwrap();
        (watch.since, watch.taken) = (None, false);
        world.decide().entries.contains(&Entry::QuarantineEnded)
    };
    assert!(ends(false));
    assert!(!ends(true), "it is about to be hidden");
}
