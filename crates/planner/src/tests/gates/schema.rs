//! Gates on the schema.

use jiff::SignedDuration;
use tidegate_model::{
    Digest, Fact, ParameterVersion,
    ledger::{Cause, LastRollout, Recurrence, RolloutEnd},
    observation::Instance,
    orders::ParameterRead,
    schema::{CheckReading, FilePhase, Preflight, SyncPlan, TableName},
    spec::ContractMode,
    waiting::Class,
};

use super::{
    super::{
        golden::{hidden, settled},
        sketch::{Change, Evidence, Snapshot, calm},
        world::{World, ago, build, now},
    },
    ask, change, closed, days, is_open, says,
};
use crate::gates;

/// A day has this many seconds.
const DAY: i64 = 86_400;

#[test]
fn one_change_is_open_in_a_database_at_a_time() {
    let one = |world: &World| {
        let mut plan = change(world).opened.plan;
        ask(world, |draft| {
            let same = gates::one_change_per_database(&draft, &plan);
            plan.change = "another".parse().unwrap();
            (same, gates::one_change_per_database(&draft, &plan))
        })
    };
    let mut sketch = calm();
    let (same, other) = one(&build(&sketch));
    assert!(is_open(&same), "it is the one that is open");
    says(other, Class::NeedsHuman, "change address of this release is still open");

    sketch.ledger.change = Some(Change::Purged);
    assert!(is_open(&one(&build(&sketch)).1), "it is finished");
    sketch.ledger.change = Some(Change::Opened);
    sketch.database.journal = Fact::Absent;
    assert!(is_open(&one(&build(&sketch)).1), "the database has nothing of it");

    sketch.database.others = Fact::Known(true);
    says(one(&build(&sketch)).0, Class::NeedsHuman, "open in this database: other of release shop");
}

#[test]
fn what_the_backfills_write_twice_must_fit_into_the_storage() {
    let room = |left: u64, rewritten_bytes| {
        let mut world = build(&calm());
        let preflight = Preflight { database_bytes: 1_000, rewritten_bytes, ..Preflight::default() };
        world.seen.schema.preflight = Fact::Known(preflight);
        let storage_bytes = Some(1_000 + left);
        world.seen.instance = world.seen.instance.map(|instance| Instance { storage_bytes, ..instance });
        ask(&world, |draft| gates::instance_in_the_way(&draft))
    };
    assert_eq!(room(200, 100), None);
    says(room(199, 100).unwrap(), Class::NeedsFix, "may fill the instance's storage");
}

#[test]
fn both_forms_agree_and_no_more_rows_are_missing_than_the_change_allows() {
    let sync = |unmapped| SyncPlan {
        table: TableName { schema: "public".into(), table: "customers".into() },
        old: vec![],
        new: vec![],
        unmapped,
        in_sync: "true".into(),
    };
    let in_sync = |now: CheckReading, before: Option<CheckReading>| {
        let mut world = build(&calm());
        world.seen.schema.check = Fact::Known(now);
        let mut change = change(&world);
        change.checked = before;
        let check = change.opened.plan.files.iter_mut().find(|file| file.phase == FilePhase::Check);
        check.unwrap().sync = Some(sync(Some(2)));
        ask(&world, |draft| gates::in_sync(&draft, Some(&change)))
    };
    let rows = |disagreeing, unmapped, sampled| CheckReading {
        disagreeing,
        unmapped,
        unmapped_back: 1,
        first_disagreeing: Some(41),
        first_unmapped: Some(42),
        sampled,
        ..CheckReading::default()
    };
    assert!(is_open(&in_sync(rows(0, 1, false), None)), "as many as it may be");
    says(in_sync(rows(3, 0, false), None), Class::NeedsFix, "(the first one has key 41)");
    says(
        in_sync(rows(0, 2, false), None),
        Class::NeedsFix,
        "2 rows have no new form (the first one has key 42)",
    );
    assert!(is_open(&in_sync(rows(0, 9, true), None)), "a sample counts no rows that are missing");
    says(in_sync(rows(0, 0, true), Some(rows(0, 9, false))), Class::NeedsFix, "9 rows have no new form");
}

#[test]
fn readers_are_gone_when_no_statement_names_the_old_form_any_more() {
    let readers = |world: &World| ask(world, |draft| gates::readers_gone(&draft, &change(world)));
    let mut sketch = settled();
    assert!(is_open(&readers(&build(&sketch))));
    sketch.database.evidence = Fact::Known(Evidence::Grown);
    let said = closed(readers(&build(&sketch)));
    assert!(said.message.ends_with("names the old form now (names column as role shop): SELECT address"));
    sketch.database.evidence = Fact::Known(Evidence::Reset);
    says(readers(&build(&sketch)), Class::NeedsTime, "lost a part since they were read last");
    let mut evicted = build(&settled());
    evicted.state.change.as_mut().unwrap().mark.as_mut().unwrap().0.dealloc = 77;
    says(readers(&evicted), Class::NeedsTime, "lost a part since they were read last");
    evicted.state.change.as_mut().unwrap().mark.as_mut().unwrap().0.dealloc = -2;
    says(readers(&evicted), Class::NeedsFix, "dropped statements, 2 times since they were read last");
}

#[test]
fn a_reader_that_came_after_the_serving_revision_settled_is_its_own_until_it_was_quiet_for_long_enough() {
    let readers = |quiet: &str, seen_before: i64| {
        let mut sketch = settled();
        sketch.ledger.change = Some(Change::ReaderSeen);
        let mut world = build(&sketch);
        let change = world.state.change.as_mut().unwrap();
        change.opened.schema.contract_after = quiet.parse().unwrap();
        change.last_reader.as_mut().unwrap().1 = ago(seen_before);
        ask(&world, |draft| gates::readers_gone(&draft, &super::change(&world)))
    };
    says(readers("7d", 7 * DAY - 1), Class::NeedsHuman, "names the old form 6");
    assert!(is_open(&readers("7d", 7 * DAY)));
    // It settled 20 days ago.
    says(readers("30d", 20 * DAY - 1), Class::NeedsHuman, "still names the old form");
    assert!(is_open(&readers("30d", 20 * DAY)), "it ended as the revision settled, so it was the one before");
}

#[test]
fn the_mark_is_read_anew_after_the_serving_revision_has_settled() {
    let readers = |marked: i64| {
        let mut world = build(&settled());
        world.state.change.as_mut().unwrap().mark.as_mut().unwrap().1 = ago(marked);
        ask(&world, |draft| gates::readers_gone(&draft, &change(&world)))
    };
    assert!(is_open(&readers(20 * DAY)));
    says(readers(20 * DAY + 1), Class::NeedsTime, "drained only just now");
}

#[test]
fn quiet_lasts_at_least_twice_as_long_as_readers_were_ever_apart() {
    let wanted = |seen, longest| {
        let mut change = change(&build(&settled()));
        change.opened.schema.contract_after = "3d".parse().unwrap();
        change.recurrence = Recurrence { seen, longest };
        gates::quiet_wanted(&change)
    };
    assert_eq!(wanted(0, SignedDuration::ZERO), days(3));
    assert_eq!(wanted(1, SignedDuration::ZERO), days(6), "one reader may come again after as long");
    assert_eq!(wanted(2, days(1)), days(3));
    assert_eq!(wanted(5, days(10)), days(20));
}

#[test]
fn no_window_is_over_by_a_clock_that_was_set_back_and_has_not_been_caught_up_with() {
    let mut world = build(&hidden());
    let readings = |world: &World| {
        ask(world, |draft| {
            let change = change(world);
            [gates::recurrence_covered(&draft, &change), gates::hidden_long_enough(&draft, &change)]
        })
    };
    world.ahead = SignedDuration::from_secs(60);
    assert!(readings(&world).iter().all(is_open));
    world.ahead = SignedDuration::from_secs(61);
    for reading in readings(&world) {
        says(reading, Class::NeedsTime, "the machine's clock was set back");
    }
}

#[test]
fn the_revision_before_the_serving_one_can_be_deployed_again_while_it_is_registered() {
    let ready = |active| {
        let mut world = build(&settled());
        world.seen.revisions.values_mut().for_each(|revision| {
            *revision = revision.clone().map(|mut found| {
                found.active = active;
                found
            });
        });
        ask(&world, |draft| gates::redeploy_ready(&draft))
    };
    assert!(is_open(&ready(true)));
    says(ready(false), Class::NeedsFix, "is deregistered");
}

/// An approval of this text, written so many seconds ago, in a world with this last rollout of the version in force.
fn approved(
    text: &str,
    written: i64,
    rolled_back: Option<i64>,
    mode: ContractMode,
) -> tidegate_model::gate::GateReading {
    let mut world = build(&settled());
    world.state.change.as_mut().unwrap().opened.schema.contract = mode;
    let order = ParameterRead { text: text.to_owned(), version: ParameterVersion(1), modified: ago(written) };
    world.seen.orders.approve_contract = Fact::Known(order);
    let end = rolled_back.map_or(RolloutEnd::Settled, |_| RolloutEnd::RolledBack(Cause::Ordered));
    let at = ago(rolled_back.unwrap_or(6_000));
    world.state.last = Some(LastRollout { version: ParameterVersion(5), end, at, started: ago(6_500) });
    ask(&world, |draft| gates::contract_approved(&draft, &change(&world)))
}

#[test]
fn an_approval_opens_for_its_version_and_plan_when_it_is_younger_than_both_and_than_a_rollback() {
    let plan = change(&build(&settled())).opened.plan.approval_digest(0);
    let text = |spec: u64, plan: &Digest| format!(r#"{{ "spec": {spec}, "plan": "{}" }}"#, plan.as_str());
    let good = text(5, &plan);
    let asked =
        |text: &str, written, rolled_back| approved(text, written, rolled_back, ContractMode::OnApproval);
    assert!(is_open(&asked(&good, 30, None)));
    says(asked(&text(4, &plan), 30, None), Class::NeedsHuman, "it is for spec version 4, in force is 5");
    says(asked(&text(5, &Digest::of("x")), 30, None), Class::NeedsHuman, "it is for another plan");
    says(asked("yes", 30, None), Class::NeedsHuman, "it is malformed");
    // The spec in force was written 7 200 seconds ago.
    assert!(is_open(&asked(&good, 7_199, None)));
    says(asked(&good, 7_200, None), Class::NeedsHuman, "it is older than the spec in force");
    assert!(is_open(&asked(&good, 30, Some(31))));
    says(asked(&good, 30, Some(30)), Class::NeedsHuman, "older than the rollback");
}

#[test]
fn contract_goes_on_by_itself_unless_the_version_in_force_was_rolled_back() {
    assert!(is_open(&approved("", 30, None, ContractMode::Automatic)));
    says(approved("", 30, Some(60), ContractMode::Automatic), Class::NeedsHuman, "was rolled back");
    let mut world = build(&settled());
    world.state.change.as_mut().unwrap().opened.schema.contract = ContractMode::Automatic;
    world.state.last.as_mut().unwrap().end = RolloutEnd::RolledBack(Cause::Ordered);
    let other = ask(&world, |draft| gates::contract_approved(&draft, &change(&world)));
    assert!(is_open(&other), "it was another version");
}

#[test]
fn the_old_form_is_hidden_for_the_whole_quarantine() {
    let hidden = |seconds: i64| {
        let mut world = build(&hidden());
        let change = world.state.change.as_mut().unwrap();
        change.opened.schema.quarantine = "1d".parse().unwrap();
        change.quarantine.as_mut().unwrap().since = Some(ago(seconds));
        ask(&world, |draft| gates::hidden_long_enough(&draft, &super::change(&world)))
    };
    assert!(is_open(&hidden(DAY)));
    says(hidden(DAY - 1), Class::NeedsTime, "has not been hidden for long enough");
}

#[test]
fn a_snapshot_counts_if_it_is_ours_of_this_instance_and_of_the_last_half_hour() {
    let mut sketch = settled();
    sketch.database.snapshot = Fact::Known(Snapshot::Young);
    let mut world = build(&sketch);
    let available =
        |world: &World| ask(world, |draft| gates::snapshot_available(&draft, &world.seen.snapshot));
    assert!(is_open(&available(&world)));
    let good = world.seen.snapshot.clone();
    let mut with = |change: fn(&mut tidegate_model::observation::Snapshot)| {
        world.seen.snapshot = good.clone().map(|mut snapshot| {
            change(&mut snapshot);
            snapshot
        });
        available(&world)
    };
    says(
        with(|snapshot| snapshot.resource_id = "db-2".into()),
        Class::NeedsHuman,
        "of another instance or not ours",
    );
    says(with(|snapshot| snapshot.marker = None), Class::NeedsHuman, "of another instance or not ours");
    assert!(is_open(&with(|snapshot| snapshot.available_at = Some(now() - SignedDuration::from_mins(30)))));
    let old = with(|snapshot| snapshot.available_at = Some(now() - SignedDuration::from_secs(1_801)));
    says(old, Class::NeedsTime, "too old");
}
