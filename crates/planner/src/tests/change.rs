//! The phase of a change as database and ledger show it, and what may still be mended of it.

use jiff::SignedDuration;
use serde_json::json;
use tidegate_model::{
    Digest, Fact,
    decision::Step,
    fact::Why,
    gate::Gate,
    ledger::{Broken, Entry, Intent, ReaderSeen},
    observation::DeploymentStatus,
    schema::{ChangePlan, FilePhase, Object, SchemaPhase},
    spec::Probe,
    waiting::Reason,
};

use super::{
    after,
    gates::ask,
    golden::{in_flight, preflight, quarantined, settled},
    sketch::{Change, Evidence, Journal, Phase, Sketch, Snapshot, Tool},
    word,
    world::{DAY, World, ago, build, definition, now, steps},
};
use crate::change::{self, Footing};

fn phase(world: &World) -> Option<SchemaPhase> {
    ask(world, |draft| change::phase(&draft))
}

/// A change whose old form can be hidden from nobody: an index has no rights.
fn index_alone(world: &mut World) {
    let change = world.state.change.as_mut().unwrap();
    change.opened.plan.removes = vec![Object::Index { schema: "public".into(), name: "old".into() }];
}

fn change(sketch: Sketch, change: Change, journal: Journal) -> World {
    let mut sketch = sketch;
    sketch.ledger.change = Some(change);
    sketch.database.journal = Fact::Known(journal);
    build(&sketch)
}

#[test]
fn what_is_filled_is_expanded_in_a_rollout_and_soaks_at_rest() {
    let rollout = || in_flight(Phase::Baking, DeploymentStatus::InProgress, true);
    for named in [Change::Marked, Change::SnapshotNamed] {
        assert_eq!(phase(&change(rollout(), named, Journal::Filled)), Some(SchemaPhase::Expanded));
        assert_eq!(phase(&change(settled(), named, Journal::Filled)), Some(SchemaPhase::Soaking));
    }
}

#[test]
fn what_is_hidden_is_snapshotted_once_the_snapshot_has_a_name_in_a_rollout_too() {
    for sketch in [settled(), in_flight(Phase::Baking, DeploymentStatus::InProgress, true)] {
        let hidden = change(sketch.clone(), Change::Quarantined, Journal::Hidden);
        assert_eq!(phase(&hidden), Some(SchemaPhase::Hidden));
        let named = change(sketch, Change::SnapshotNamed, Journal::Hidden);
        assert_eq!(phase(&named), Some(SchemaPhase::Snapshotting));
    }
}

#[test]
fn what_cannot_be_hidden_is_snapshotted_without_that() {
    let mut named = change(settled(), Change::SnapshotNamed, Journal::Filled);
    index_alone(&mut named);
    assert_eq!(phase(&named), Some(SchemaPhase::Snapshotting));
    let mut soaks = change(settled(), Change::Marked, Journal::Filled);
    index_alone(&mut soaks);
    assert_eq!(phase(&soaks), Some(SchemaPhase::Soaking));
}

#[test]
fn the_steps_before_come_one_after_the_other() {
    let of = |journal, objects| {
        let mut sketch = preflight();
        (sketch.database.journal, sketch.database.objects) = (journal, Fact::Known(objects));
        phase(&build(&sketch))
    };
    let known = Fact::Known;
    assert_eq!(of(Fact::Absent, (true, false)), Some(SchemaPhase::Absent));
    assert_eq!(of(Fact::Unknown(Why::Throttled), (true, true)), None);
    assert_eq!(of(known(Journal::Opened), (true, true)), Some(SchemaPhase::Expanding), "nothing was applied");
    assert_eq!(
        of(known(Journal::Filled), (true, false)),
        Some(SchemaPhase::Expanding),
        "the new form is gone"
    );
    assert_eq!(of(known(Journal::Expanded), (true, true)), Some(SchemaPhase::Backfilling));
    assert_eq!(of(known(Journal::Purged), (false, true)), Some(SchemaPhase::Purged));
}

/// The plan with another text in a file.
fn mended(plan: &ChangePlan, file: usize) -> ChangePlan {
    let mut plan = plan.clone();
    plan.files[file].text = "another".into();
    plan
}

/// Whether another text of a file may take its place.
fn may(world: &World, file: usize) -> Option<bool> {
    let change = world.state.change.clone().unwrap();
    let plan = mended(&change.opened.plan, file);
    ask(world, |draft| change::may_be_mended(&draft, &change, &plan))
}

#[test]
fn a_file_may_be_mended_until_the_database_has_it_and_all_until_it_is_expanded() {
    let expanded = change(preflight(), Change::Marked, Journal::Expanded);
    assert_eq!(may(&expanded, 0), Some(false), "it is applied");
    assert_eq!(may(&expanded, 1), Some(true), "nobody has begun it");
    let filling = change(preflight(), Change::Marked, Journal::Filled);
    let begun = |mut world: World, done| {
        let Fact::Known(journal) = &mut world.seen.schema.journal else { panic!("it is known") };
        journal.backfills.values_mut().for_each(|progress| progress.done = done);
        world
    };
    assert_eq!(may(&begun(filling, false), 1), Some(false), "rows were filled by it");
    let building = change(preflight(), Change::Marked, Journal::Building(true));
    assert_eq!(may(&building, 0), Some(false), "its index is being built");
    assert_eq!(may(&building, 1), Some(true));
    let done = change(preflight(), Change::Marked, Journal::Filled);
    assert_eq!(may(&done, 3), Some(false), "both forms are there, and people have seen its plan");
    let untouched = {
        let mut world = change(preflight(), Change::Marked, Journal::Opened);
        world.seen.schema.journal = Fact::Absent;
        world
    };
    assert_eq!(may(&untouched, 0), Some(true));
    let purged = change(preflight(), Change::Purged, Journal::Expanded);
    assert_eq!(may(&purged, 1), Some(false));
    let mut unread = untouched;
    unread.seen.schema.journal = Fact::Unknown(Why::Unreachable);
    assert_eq!(may(&unread, 0), None);
}

#[test]
fn nothing_is_mended_while_the_team_s_tool_runs() {
    let run = |tool| {
        let mut sketch = preflight();
        sketch.database.journal = Fact::Absent;
        sketch.database.tool = Some(tool);
        build(&sketch)
    };
    assert_eq!(may(&run(Tool::Running), 0), Some(false));
    assert_eq!(may(&run(Tool::Failed), 0), Some(true));
    let untouched = |world: &World| {
        let change = world.state.change.clone().unwrap();
        ask(world, |draft| change::is_untouched(&draft, &change))
    };
    assert!(!untouched(&run(Tool::Running)));
    assert!(!untouched(&run(Tool::Failed)), "it had added a column when it failed");
    let mut nothing = preflight();
    (nothing.database.journal, nothing.database.tool) = (Fact::Absent, Some(Tool::Failed));
    nothing.database.objects = Fact::Known((true, false));
    assert!(untouched(&build(&nothing)), "it had added nothing");
    nothing.database.objects = Fact::Unknown(Why::Unreachable);
    assert!(!untouched(&build(&nothing)), "nobody knows");
    assert!(!untouched(&change(preflight(), Change::Marked, Journal::Opened)));
}

#[test]
fn the_service_s_own_secret_is_not_used_and_the_executor_is_told_which_those_are() {
    let with = |secret: &str| {
        let mut sketch = preflight();
        sketch.database.journal = Fact::Known(Journal::Expanded);
        let mut world = build(&sketch);
        for revision in world.seen.revisions.values_mut() {
            let Fact::Known(definition) = revision else { continue };
            definition.content["containerDefinitions"][0]["secrets"] =
                json!([{ "name": "DATABASE_URL", "valueFrom": secret }]);
        }
        world.decide()
    };
    let Some(Step::Backfill(step)) = with("arn:aws:secretsmanager:eu-west-1:1:secret:shop").step else {
        panic!("backfill is due");
    };
    assert_eq!(step.service_secrets, ["arn:aws:secretsmanager:eu-west-1:1:secret:shop"]);
    let shared = with("arn:aws:secretsmanager:eu-west-1:1:secret:tidegate");
    assert_eq!(word(&shared), None);
    assert!(shared.waiting.iter().any(|wait| wait.message.contains("uses the same secret")));
}

/// The revisions of a reader that is noted now, if one is.
fn reader_noted(world: &World) -> Option<Vec<Digest>> {
    world.decide().entries.into_iter().find_map(|entry| match entry {
        Entry::ReaderSeen(reader) => Some(reader.revisions),
        _ => None,
    })
}

/// Calls that name the old form have grown since this mark, and the last one that was noted is so old.
fn grown(sketch: Sketch, marked: i64, noted: Option<i64>) -> World {
    let mut sketch = sketch;
    sketch.database.evidence = Fact::Known(Evidence::Grown);
    let mut world = build(&sketch);
    let change = world.state.change.as_mut().unwrap();
    change.opened.schema.contract_after = "100m".parse().unwrap();
    change.mark.as_mut().unwrap().1 = ago(marked);
    let reader = ReaderSeen { text: "SELECT address".into(), how: "names column".into(), revisions: vec![] };
    change.last_reader = noted.map(|seconds| (reader, ago(seconds)));
    world
}

#[test]
fn a_busy_reader_is_noted_once_in_a_twentieth_of_the_quiet_window() {
    let noted = |seconds| reader_noted(&grown(settled(), 10 * DAY, seconds)).is_some();
    assert!(noted(None));
    assert!(!noted(Some(299)));
    assert!(noted(Some(300)) && noted(Some(301)));
}

#[test]
fn a_reader_is_of_the_revision_that_serves_of_the_one_before_it_or_of_blue() {
    let [one, two] = [1, 2].map(|number| definition(number, true).digest());
    assert_eq!(reader_noted(&grown(settled(), 10 * DAY, None)), Some(vec![two.clone()]));
    // The release has settled twenty days ago.
    assert_eq!(reader_noted(&grown(settled(), 20 * DAY, None)), Some(vec![two]));
    let before = grown(settled(), 20 * DAY + 1, Some(1));
    assert_eq!(reader_noted(&before), Some(vec![one.clone()]), "it may have drained since: noted at once");
    let rollout = in_flight(Phase::Baking, DeploymentStatus::InProgress, true);
    assert_eq!(reader_noted(&grown(rollout, 10 * DAY, None)), Some(vec![one]));
}

#[test]
fn the_mark_is_set_anew_where_the_statistics_begin_anew_or_the_release_has_settled_since() {
    let marked = |sketch: Sketch, at: i64| {
        let mut world = build(&sketch);
        world.state.change.as_mut().unwrap().mark.as_mut().unwrap().1 = ago(at);
        world.decide().entries.iter().any(|entry| matches!(entry, Entry::EvidenceMarked(_)))
    };
    assert!(!marked(settled(), 10 * DAY));
    assert!(marked(settled(), 20 * DAY + 1));
    let mut reset = settled();
    reset.database.evidence = Fact::Known(Evidence::Reset);
    assert!(marked(reset, 10 * DAY));
    let evicted = |seconds| {
        let mut world = build(&settled());
        let (mark, at) = world.state.change.as_mut().unwrap().mark.as_mut().unwrap();
        (mark.dealloc, *at) = (77, ago(seconds));
        world.decide().entries.iter().any(|entry| matches!(entry, Entry::EvidenceMarked(_)))
    };
    assert!(evicted(3_600) && !evicted(3_599), "a server that forgets all the time does not fill the ledger");
}

#[test]
fn a_statement_whose_statistics_were_reset_alone_lets_the_quiet_begin_anew() {
    for calls in [Some(2), None] {
        let mut world = build(&settled());
        let Fact::Known(tidegate_model::schema::Evidence::Read(read)) = &mut world.seen.schema.evidence
        else {
            panic!("it was read")
        };
        match calls {
            Some(calls) => read.namers.get_mut("q").unwrap().calls = calls,
            None => read.namers.clear(),
        }
        let decision = world.decide();
        let wait =
            decision.waiting.iter().find(|wait| wait.reason == Reason::Gate(Gate::ReadersGone)).unwrap();
        assert!(wait.message.contains("lost a part"), "{}", wait.message);
        world.state = after(&world, &decision);
        let change = world.state.change.as_ref().unwrap();
        assert_eq!(change.quiet_since, Some(now()), "whoever called between the reads was not counted");
        let closed = |gate| {
            world.decide().gates.into_iter().any(|reading| reading.gate == gate && !reading.lets_pass())
        };
        assert!(!closed(Gate::ReadersGone) && closed(Gate::RecurrenceCovered));
    }
}

#[test]
fn a_revision_without_a_schema_section_runs_on_either_form_and_waits_for_an_open_change_alone() {
    let plain = |change| {
        let mut sketch = preflight();
        (sketch.asked.rich, sketch.ledger.change) = (false, change);
        sketch
    };
    assert_eq!(word(&build(&plain(None)).decide()), Some("create-deployment"));
    assert_eq!(word(&build(&plain(Some(Change::Marked))).decide()), Some("create-deployment"));
    let mut half = plain(Some(Change::Marked));
    half.database.journal = Fact::Known(Journal::Expanded);
    let decision = build(&half).decide();
    assert_eq!(word(&decision), None, "rows are still being filled, and nobody fills them");
    let wait = decision.waiting.iter().find(|wait| wait.reason == Reason::Gate(Gate::Expanded)).unwrap();
    assert!(wait.class.needs_somebody());
    assert!(
        wait.message.ends_with("is applied in part, and this spec has no schema section"),
        "{}",
        wait.message
    );
    let mut untouched = plain(Some(Change::Opened));
    untouched.database.journal = Fact::Absent;
    assert_eq!(
        word(&build(&untouched).decide()),
        Some("create-deployment"),
        "as if nobody had ever opened it"
    );
}

#[test]
fn a_change_is_opened_anew_only_where_its_files_may_be_mended() {
    let opens = |file, journal, other: bool| {
        let mut world = change(preflight(), Change::Marked, journal);
        let opened = &mut world.state.change.as_mut().unwrap().opened;
        opened.plan = mended(&opened.plan, file);
        if other {
            opened.plan.change = "other".parse().unwrap();
        }
        let decision = world.decide();
        let opened = decision.entries.iter().any(|entry| matches!(entry, Entry::ChangeOpened(_)));
        let waits =
            decision.waiting.iter().any(|wait| wait.reason == Reason::Gate(Gate::OneChangePerDatabase));
        (opened, waits)
    };
    assert_eq!(opens(1, Journal::Expanded, false), (true, false));
    assert_eq!(opens(0, Journal::Expanded, false), (false, false));
    assert_eq!(opens(1, Journal::Filled, true), (false, true), "another one is open");
}

/// Entries about the quarantine.
fn quarantine(world: &World) -> Vec<Entry> {
    let of = |entry: &Entry| matches!(entry, Entry::QuarantineBroken(_) | Entry::QuarantineEnded);
    world.decide().entries.into_iter().filter(of).collect()
}

#[test]
fn what_was_never_hidden_was_given_back_by_nobody() {
    let mut world = change(settled(), Change::Quarantined, Journal::Filled);
    let by_hand = quarantine(&world);
    assert_eq!(by_hand.len(), 2, "{by_hand:?}");
    world.state.change.as_mut().unwrap().quarantine.as_mut().unwrap().since = None;
    assert_eq!(quarantine(&world), []);
}

#[test]
fn the_hidden_form_is_wanted_back_by_a_version_that_names_it() {
    let rollout = in_flight(Phase::Provisioning, DeploymentStatus::InProgress, false);
    let mut world = change(rollout, Change::Quarantined, Journal::Hidden);
    assert_eq!(quarantine(&world), []);
    world.state.change.as_mut().unwrap().namers.insert(definition(2, true).digest());
    let why = "the revision of spec version 5 may name it".to_owned();
    assert_eq!(quarantine(&world), [Entry::QuarantineBroken(Broken::Wanted(why))]);
}

#[test]
fn a_step_in_the_database_is_journaled_without_the_texts_of_its_files() {
    for step in steps() {
        let journaled = step.as_journaled();
        assert_eq!(journaled.as_str(), step.as_str());
        let (Step::Expand(whole)
        | Step::Backfill(whole)
        | Step::Hide(whole)
        | Step::Unhide(whole)
        | Step::Purge(whole)) = step
        else {
            assert_eq!(journaled, step);
            continue;
        };
        assert!(whole.plan.files.iter().any(|file| !file.text.is_empty()));
        let (Step::Expand(kept)
        | Step::Backfill(kept)
        | Step::Hide(kept)
        | Step::Unhide(kept)
        | Step::Purge(kept)) = journaled
        else {
            panic!("it is another step");
        };
        assert_eq!((&kept.marker, &kept.file), (&whole.marker, &whole.file));
        for (kept, whole) in kept.plan.files.iter().zip(&whole.plan.files) {
            assert_eq!((&kept.checksum, kept.text.as_str()), (&whole.checksum, ""));
        }
    }
}

/// What serves has settled, and nothing is known of the version before it but that the quiet began so many seconds after it had gone.
fn quiet_after_the_version_before(seconds: i64) -> World {
    let mut sketch = quarantined();
    (sketch.ledger.previous, sketch.ledger.last) = (true, Some(true));
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    let mut world = build(&sketch);
    let until = world.state.previous_until.unwrap();
    let change = world.state.change.as_mut().unwrap();
    change.quiet_since = Some(until + SignedDuration::from_secs(seconds));
    change.namers.clear();
    world
}

#[test]
fn the_version_before_may_name_the_old_form_unless_it_was_quiet_before_that_had_gone() {
    let may_name = |seconds| {
        let world = quiet_after_the_version_before(seconds);
        let change = world.state.change.as_ref().unwrap();
        let before = definition(1, true).digest();
        ask(&world, |draft| change::may_name(&draft, change, &before))
    };
    assert!(may_name(1) && may_name(0));
    assert!(!may_name(-1));
}

#[test]
fn a_purge_writes_down_who_named_the_old_form_or_may_have_and_not_what_serves() {
    let (before, serves) = (definition(1, true).digest(), definition(2, true).digest());
    let written = |seconds, namers: &[&Digest]| {
        let mut world = quiet_after_the_version_before(seconds);
        world.state.change.as_mut().unwrap().namers = namers.iter().copied().cloned().collect();
        let Some(Step::Purge(step)) = world.decide().step else { panic!("it is due") };
        step.namers
    };
    assert_eq!(written(-1, &[]), []);
    assert_eq!(written(-1, &[&before]), std::slice::from_ref(&before));
    assert_eq!(written(1, &[]), std::slice::from_ref(&before), "nobody can say that it did not");
    assert_eq!(written(1, &[&before]), std::slice::from_ref(&before), "once");
    assert_eq!(written(-1, &[&serves]), []);
}

#[test]
fn nobody_is_brought_back_who_names_what_a_call_in_doubt_drops() {
    let footing = |step: Step| {
        let mut world = change(settled(), Change::Marked, Journal::Filled);
        let named = definition(2, true).digest();
        world.state.change.as_mut().unwrap().namers.insert(named.clone());
        world.state.open = vec![(Intent { id: 40, step }, ago(10))];
        ask(&world, |draft| change::footing(&draft, &named))
    };
    for step in steps() {
        if let Step::RunTask(mut run) = step {
            for (phase, wanted) in
                [(FilePhase::Expand, Footing::Firm), (FilePhase::Contract, Footing::InDoubt)]
            {
                run.phase = phase;
                assert!(footing(Step::RunTask(run.clone())) == wanted, "{phase:?}");
            }
        } else {
            let word = step.as_str();
            let wanted = if word == "purge" { Footing::InDoubt } else { Footing::Firm };
            assert!(footing(step) == wanted, "{word}");
        }
    }
}

#[test]
fn what_was_purged_is_known_as_purged_while_a_rollout_is_in_flight() {
    let is_purged = |left: bool| {
        let mut sketch = in_flight(Phase::Verifying, DeploymentStatus::Ready, false);
        sketch.database.journal = Fact::Known(Journal::Purged);
        sketch.database.objects = Fact::Known((left, true));
        build(&sketch).decide().entries.contains(&Entry::ChangePurged)
    };
    assert!(is_purged(false));
    assert!(!is_purged(true), "the catalog says otherwise");
}

#[test]
fn probes_that_are_new_in_a_spec_of_the_same_rollout_are_sent_again() {
    let verified = |change: fn(&mut Vec<Probe>)| {
        let world = build(&in_flight(Phase::Verifying, DeploymentStatus::Ready, false));
        let mut state = world.state;
        let mut newer = state.accepted.clone().unwrap();
        newer.version.0 += 1;
        change(&mut newer.spec.verify);
        state.apply(world.now, &Entry::Accepted(Box::new(newer)));
        let rollout = state.rollout.unwrap();
        (rollout.verified.is_some(), rollout.verified_production.is_some())
    };
    assert_eq!(verified(|_| {}), (true, true));
    assert_eq!(verified(Vec::clear), (false, false));
}
