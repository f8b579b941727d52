//! Orders and specs by themselves: what is taken in, what is refused with which problem at which place, and what waits.

use serde_json::{Value, json};
use tidegate_model::{
    Digest, Fact, ParameterVersion,
    fact::Why,
    ledger::{Accepted, Cause, Entry, FailedRevision, Hold, RolloutEnd},
    observation::DeploymentStatus,
    orders::ParameterRead,
    schema::ChangePlan,
    spec::{Code, Problem},
    waiting::Reason,
};

use super::{
    gates::ask,
    golden::in_flight,
    sketch::{AbortText, ApprovalText, Journal, Phase, Serving, Sketch, SpecText, calm},
    world::{World, ago, build, definition, plan, revision},
};
use crate::{
    draft::Draft,
    intake::{failed_under, take_orders, take_spec},
};

/// Blue serves, and a newer spec is there.
fn asked_anew() -> Sketch {
    let mut sketch = calm();
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    sketch
}

/// What taking the spec in journals.
fn entries(world: &World) -> Vec<Entry> {
    ask(world, |mut draft| {
        take_spec(&mut draft);
        draft.entries
    })
}

fn accepted(world: &World) -> Option<Box<Accepted>> {
    entries(world).into_iter().find_map(|entry| match entry {
        Entry::Accepted(accepted) => Some(accepted),
        _ => None,
    })
}

/// The only problem that a spec is refused for.
#[track_caller]
fn refused(world: &World) -> Problem {
    let entries = entries(world);
    let [Entry::Refused(refused)] = entries.as_slice() else { panic!("{entries:?}") };
    let [problem] = refused.problems.as_slice() else { panic!("{refused:?}") };
    problem.clone()
}

/// True if nothing is accepted or refused until something can be read.
#[track_caller]
fn waits(world: &World, words: &str) {
    ask(world, |mut draft| {
        take_spec(&mut draft);
        assert_eq!(draft.entries, []);
        assert!(draft.waiting.iter().any(|wait| wait.reason == Reason::Unobserved), "{:?}", draft.waiting);
        let unread = draft.spec_unread.unwrap_or_default();
        assert!(unread.contains(words), "{unread}");
    });
}

fn with_spec(mut world: World, change: impl FnOnce(&mut Value)) -> World {
    let Fact::Known(read) = &mut world.seen.spec else { panic!("the spec is known") };
    let mut spec = serde_json::from_str(&read.text).unwrap();
    change(&mut spec);
    read.text = serde_json::to_string_pretty(&spec).unwrap();
    world
}

fn orders<T>(world: &World, look: impl FnOnce(Draft<'_>) -> T) -> T {
    ask(world, |mut draft| {
        take_orders(&mut draft);
        look(draft)
    })
}

#[test]
fn an_order_that_nobody_understands_is_told_under_its_name() {
    let mut sketch = calm();
    sketch.asked.abort = Fact::Known(AbortText::Malformed);
    sketch.asked.approval = Fact::Known(ApprovalText::Malformed);
    let told = build(&sketch).decide().status.problems;
    let begins = |with: &str| told.iter().filter(|problem| problem.path.starts_with(with)).count();
    assert_eq!((begins("abort:"), begins("approve/contract:")), (1, 1), "{told:?}");
    assert!(build(&calm()).decide().status.problems.is_empty());
}

#[test]
fn a_hold_of_the_release_or_of_all_is_noted_once_and_ends_when_both_are_gone() {
    let hold = |present| vec![Entry::Hold { present }];
    for (own, fleet) in [(Fact::Known(()), Fact::Absent), (Fact::Unknown(Why::Denied), Fact::Known(()))] {
        let mut sketch = calm();
        (sketch.asked.hold, sketch.asked.fleet_hold) = (own, fleet);
        assert_eq!(orders(&build(&sketch), |draft| draft.entries), hold(true));
        sketch.ledger.held = true;
        assert_eq!(orders(&build(&sketch), |draft| draft.entries), []);
    }
    let mut sketch = calm();
    assert_eq!(orders(&build(&sketch), |draft| draft.entries), []);
    sketch.ledger.held = true;
    assert_eq!(orders(&build(&sketch), |draft| (draft.entries, draft.next_look)), (hold(false), ago(-1)));
    sketch.asked.fleet_hold = Fact::Unknown(Why::Denied);
    assert_eq!(orders(&build(&sketch), |draft| draft.entries), [], "it may still be there");
}

#[test]
fn a_hold_that_was_away_for_one_read_is_noted_again() {
    let mut sketch = calm();
    sketch.asked.hold = Fact::Known(());
    let mut world = build(&sketch);
    world.state.hold = Some(Hold { since: ago(600), absent_reads: 1 });
    assert_eq!(orders(&world, |draft| draft.entries), [Entry::Hold { present: true }]);
}

fn with_abort(spec: u64, seconds_ago: i64) -> World {
    let mut world = build(&in_flight(Phase::Shifting, DeploymentStatus::InProgress, false));
    let text = format!(r#"{{"spec": {spec}}}"#);
    world.seen.orders.abort =
        Fact::Known(ParameterRead { text, version: ParameterVersion(3), modified: ago(seconds_ago) });
    world
}

#[test]
fn an_abort_counts_unless_it_was_written_before_the_version_that_it_names() {
    let abort = |spec, seconds_ago| orders(&with_abort(spec, seconds_ago), |draft| draft.abort);
    assert_eq!(abort(5, 7_199), Some(ParameterVersion(5)));
    assert_eq!(abort(5, 7_200), Some(ParameterVersion(5)), "written in the same instant, it wins");
    assert_eq!(abort(5, 7_201), None);
    assert_eq!(abort(4, 1), None);
    assert_eq!(abort(6, 1), None);
}

#[test]
fn an_abort_that_does_not_count_is_told_once_or_holds() {
    let told = |spec, seconds_ago| {
        let world = with_abort(spec, seconds_ago);
        let (entries, holds) = orders(&world, |draft| (draft.entries, draft.unmatched_abort.is_some()));
        let ignored = |entry: &Entry| matches!(entry, Entry::OrderIgnored { version, .. } if version.0 == 3);
        let mut again = with_abort(spec, seconds_ago);
        entries.iter().for_each(|entry| again.state.apply(again.now, entry));
        assert_eq!(orders(&again, |draft| draft.entries), []);
        (entries.iter().filter(|entry| ignored(entry)).count(), holds)
    };
    assert_eq!(told(5, 9_000), (1, false), "older than its version");
    assert_eq!(told(4, 1), (1, false), "a version from before");
    assert_eq!(told(6, 1), (0, true), "a version that nobody knows");
    assert_eq!(told(5, 1), (0, false));
}

#[test]
fn a_spec_is_taken_in_once_and_an_older_one_is_a_stale_read() {
    let world = build(&asked_anew());
    assert_eq!(accepted(&world).unwrap().version, ParameterVersion(6));
    assert_eq!(entries(&build(&calm())), [], "it is in force already");
    let read_at = |seconds_ago| {
        let mut world = build(&asked_anew());
        let Fact::Known(read) = &mut world.seen.spec else { panic!("the spec is known") };
        read.modified = ago(seconds_ago);
        accepted(&world).is_some()
    };
    assert!(!read_at(7_201), "older than what is in force");
    assert!(read_at(7_200), "written in the same second");
    let mut refused_before = asked_anew();
    refused_before.ledger.refused = true;
    let mut world = build(&refused_before);
    assert!(accepted(&world).is_some());
    world.state.refused.as_mut().unwrap().modified = ago(59);
    assert_eq!(entries(&world), [], "older than what was refused");
    world.state.refused.as_mut().unwrap().modified = ago(60);
    assert_eq!(entries(&world), [], "refused already");
}

#[test]
fn a_spec_that_cannot_be_read_waits_where_one_is_in_force() {
    let mut sketch = calm();
    sketch.asked.spec = Fact::Unknown(Why::Denied);
    waits(&build(&sketch), "could not be read");
    sketch.ledger.accepted = false;
    ask(&build(&sketch), |mut draft| {
        take_spec(&mut draft);
        assert!(draft.waiting.is_empty() && draft.spec_unread.is_some());
    });
}

#[test]
fn a_release_is_not_given_up_while_a_rollout_or_a_change_is_open() {
    let gives_up = |mut sketch: Sketch| {
        sketch.asked.spec = Fact::Absent;
        let mut world = build(&sketch);
        world.state.spec_absent = Some(ago(900));
        entries(&world) == [Entry::Unmanaged]
    };
    let in_flight = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    let without_change = |mut sketch: Sketch| {
        sketch.ledger.change = None;
        sketch
    };
    assert!(!gives_up(without_change(in_flight)));
    assert!(!gives_up(calm()), "a change is open");
    assert!(gives_up(without_change(calm())));
}

/// An abort of the version that waits says nothing of the one in flight, whatever is asked for next.
#[test]
fn an_abort_stays_with_the_version_that_it_names_when_a_newer_spec_comes() {
    let mut sketch = in_flight(Phase::Shifting, DeploymentStatus::InProgress, false);
    sketch.asked.spec = Fact::Known(SpecText::NewerRevision);
    sketch.asked.abort = Fact::Known(AbortText::InForce);
    let aborted = |in_flight| {
        let mut world = build(&sketch);
        world.state.rollout.as_mut().unwrap().start.spec.version = ParameterVersion(in_flight);
        ask(&world, |mut draft| {
            take_orders(&mut draft);
            take_spec(&mut draft);
            assert!(matches!(draft.entries.as_slice(), [Entry::Accepted(_)]), "{:?}", draft.entries);
            draft.abort
        })
    };
    assert_eq!(aborted(5), Some(ParameterVersion(5)));
    assert_eq!(aborted(4), Some(ParameterVersion(5)));
}

#[test]
fn a_spec_that_is_back_is_not_counted_as_gone_any_more() {
    let mut world = build(&calm());
    world.state.spec_absent = Some(ago(60));
    assert_eq!(entries(&world), [Entry::SpecAbsent { absent: false }]);
}

#[test]
fn a_release_keeps_its_service() {
    let other = |spec: &mut Value| spec["service"]["name"] = "another".into();
    let problem = refused(&with_spec(build(&asked_anew()), other));
    assert_eq!((problem.code, problem.path.as_str()), (Code::Conflict, "service"));
    assert!(problem.line > 1, "{problem:?}");
    let mut first = asked_anew();
    first.ledger.accepted = false;
    assert!(accepted(&with_spec(build(&first), other)).is_some());
}

#[test]
fn a_spec_waits_for_its_migration_files_or_is_refused_for_them() {
    let mut world = build(&asked_anew());
    assert_eq!(accepted(&world).unwrap().plan, Some(plan(None)));
    world.seen.plan = Fact::Unknown(Why::Denied);
    waits(&world, "migration source");
    world.seen.plan = Fact::Absent;
    let problem = refused(&world);
    assert_eq!((problem.code, problem.path.as_str()), (Code::SourceUnreadable, "schema.source"));
    let of_file = Problem { path: "1_expand_a.sql".into(), line: 9, ..problem.clone() };
    world.seen.plan = Fact::Known(Err(vec![of_file.clone()]));
    assert_eq!(refused(&world), of_file, "a file's problem keeps its place");
    world.seen.plan =
        Fact::Known(Err(vec![Problem { path: "source".into(), line: 9, column: 77, ..problem.clone() }]));
    assert_eq!(refused(&world), problem, "the source's is the spec's");
    let mut plain = asked_anew();
    plain.asked.rich = false;
    let mut world = build(&plain);
    world.seen.plan = Fact::Absent;
    assert_eq!(accepted(&world).unwrap().plan, None);
}

#[test]
fn files_of_an_expanded_change_are_immutable() {
    let changed = || {
        let mut plan = plan(None);
        plan.files[0].text = "another text".into();
        plan.files[0].checksum = Digest::of("another text");
        plan
    };
    let world = |journal, plan: ChangePlan| {
        let mut sketch = asked_anew();
        sketch.database.journal = journal;
        let mut world = build(&sketch);
        world.seen.plan = Fact::Known(Ok(plan));
        world
    };
    let problem = refused(&world(Fact::Known(Journal::Filled), changed()));
    assert_eq!((problem.code, problem.path.as_str()), (Code::FilesDisagree, "schema.source"));
    assert!(accepted(&world(Fact::Known(Journal::Opened), changed())).is_some(), "nothing is applied yet");
    waits(&world(Fact::Unknown(Why::Denied), changed()), "open change");
    let other = ChangePlan { change: "another".parse().unwrap(), ..changed() };
    let of_another = |spec: &mut Value| spec["schema"]["change"] = Value::from("another");
    let world = with_spec(world(Fact::Known(Journal::Filled), other), of_another);
    assert!(accepted(&world).is_some(), "another change has files of its own");
}

#[test]
fn an_exact_revision_is_taken_as_it_is_while_it_is_active() {
    const ASKED: &str = "shop:2";
    let exact = |spec: &mut Value| spec["revision"] = json!({ "taskDefinition": ASKED });
    let with = |fact| {
        let mut world = with_spec(build(&asked_anew()), exact);
        world.seen.revisions.insert(ASKED.into(), fact);
        world
    };
    let found = accepted(&with(Fact::Known(definition(2, true)))).unwrap();
    assert_eq!((found.base, found.desired), (revision(2), definition(2, true).digest()));
    for fact in [Fact::Known(definition(2, false)), Fact::Absent] {
        let problem = refused(&with(fact));
        assert_eq!((problem.code, problem.path.as_str()), (Code::BadValue, "revision.taskDefinition"));
    }
    waits(&with(Fact::Unknown(Why::Denied)), "task definition");
    waits(&with_spec(build(&asked_anew()), exact), "was not asked for");
}

#[test]
fn an_image_is_laid_over_what_serves() {
    let mut world = build(&asked_anew());
    let found = accepted(&world).unwrap();
    assert_eq!((found.base, found.desired), (revision(1), definition(3, true).digest()));
    let container = |spec: &mut Value| spec["revision"]["container"] = "another".into();
    let problem = refused(&with_spec(build(&asked_anew()), container));
    assert_eq!((problem.code, problem.path.as_str()), (Code::BadValue, "revision.container"));
    let mut newer = definition(1, true);
    newer.unknown_members.push("somethingNew".into());
    world.seen.revisions.insert(revision(1).0, Fact::Known(newer));
    let problem = refused(&world);
    assert_eq!((problem.code, problem.path.as_str()), (Code::NotYet, "revision"));
}

#[test]
fn an_image_waits_for_the_service_that_it_is_laid_over() {
    let mut world = build(&asked_anew());
    world.seen.service = Fact::Unknown(Why::Throttled);
    waits(&world, "service");
    world.seen.service = Fact::Absent;
    let problem = refused(&world);
    assert_eq!((problem.code, problem.path.as_str()), (Code::BadValue, "service"));
    let mut sketch = asked_anew();
    sketch.traffic.service = Fact::Known(Serving::Nothing);
    waits(&build(&sketch), "no primary task set");
}

#[test]
fn a_version_has_failed_only_under_the_same_writing_of_the_spec() {
    let world = build(&calm());
    let in_force = world.state.accepted.clone().unwrap();
    let failed = FailedRevision {
        desired: in_force.desired.clone(),
        version: in_force.version,
        modified: in_force.modified,
        cause: Cause::Ordered,
    };
    let has_failed = |failed| {
        let mut world = build(&calm());
        world.state.failed = vec![failed];
        ask(&world, |draft| failed_under(&draft, &in_force))
    };
    assert_eq!(has_failed(failed.clone()), Some(RolloutEnd::RolledBack(Cause::Ordered)));
    assert_eq!(has_failed(FailedRevision { desired: definition(1, true).digest(), ..failed.clone() }), None);
    assert_eq!(has_failed(FailedRevision { version: ParameterVersion(4), ..failed.clone() }), None);
    assert_eq!(has_failed(FailedRevision { modified: ago(1), ..failed }), None);
}
