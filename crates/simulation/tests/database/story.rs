//! The story's change in the model, from nothing to purged, in the order in which the planner asks for it.

use std::time::Duration;

use jiff::SignedDuration;
use tidegate_model::{
    Digest, Fact,
    ledger::EvidenceMark,
    schema::{CheckReading, Evidence, FilePhase, SchemaObservation},
};
use tidegate_schema::{Attempt, Epoch, Failure, TargetDatabase};
use tidegate_simulation::database::{Operation, Row, story};

use crate::world::World;

async fn expand(world: &World, database: &dyn TargetDatabase, epoch: Epoch) {
    for file in world.files(FilePhase::Expand) {
        assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())), "{file}");
    }
}

async fn backfill(world: &World, database: &dyn TargetDatabase, epoch: Epoch) -> Vec<u64> {
    let file = world.files(FilePhase::Backfill).remove(0);
    let mut rows = Vec::new();
    loop {
        match database.backfill(world.job(epoch), &file).await.unwrap() {
            Attempt::Done(batch) => {
                rows.push(batch.rows);
                if batch.progress.done {
                    return rows;
                }
            }
            other @ (Attempt::Blocked(_) | Attempt::Underway) => panic!("{other:?}"),
        }
    }
}

fn namers(seen: &SchemaObservation) -> Vec<String> {
    match seen.evidence.known().unwrap() {
        Evidence::Read(read) => read.namers.values().map(|namer| namer.text.clone()).collect(),
        Evidence::Missing(why) => panic!("{why}"),
    }
}

fn fitting(world: &World) -> Vec<String> {
    world.model.versions().into_iter().filter(|version| world.model.fits(version).is_ok()).collect()
}

fn pass(world: &World, minutes: i64) {
    world.clock.advance(SignedDuration::from_mins(minutes));
    world.model.advance(world.model.now());
}

#[tokio::test(start_paused = true)]
async fn the_story_goes_from_absent_to_purged_with_the_application_at_work() {
    let world = World::new();
    let (database, model) = (world.process(), &world.model);
    model.set_running(&["shop:v1"]);
    pass(&world, 5);
    let seen = world.observe(&*database).await;
    assert_eq!((&seen.journal, &seen.check), (&Fact::Absent, &Fact::Absent));
    assert_eq!(fitting(&world), ["shop:v1"]);

    let epoch = database.claim(&world.release, "1", 1).await.unwrap();
    expand(&world, &*database, epoch).await;
    assert_eq!(fitting(&world), ["shop:v1", "shop:v2", "shop:v3"]);
    assert_eq!(model.forms(&story::customers()).disagreeing, 2_505);
    let rows = backfill(&world, &*database, epoch).await;
    assert_eq!(rows, [1_000, 1_201, 304], "a batch grows by a fifth");
    let seen = world.observe(&*database).await;
    assert_eq!(seen.check, Fact::Known(CheckReading::default()));

    // The trigger keeps both forms in step, whichever colour writes.
    model.set_running(&["shop:v1", "shop:v2"]);
    pass(&world, 10);
    model.set_running(&["shop:v3"]);
    pass(&world, 10);
    assert_eq!(model.forms(&story::customers()), CheckReading::default());
    let seen = world.observe(&*database).await;
    assert_eq!(namers(&seen).len(), 8, "what versions 1 and 2 ran: {:?}", namers(&seen));
    let before = seen.evidence.known().cloned();
    pass(&world, 10);
    let now = world.observe(&*database).await.evidence.known().cloned();
    let (Some(Evidence::Read(before)), Some(Evidence::Read(now))) = (before, now) else { panic!("unread") };
    let mark = EvidenceMark::of(&before);
    assert!(mark.is_continued_by(&EvidenceMark::of(&now)));
    assert_eq!(mark.grown(&now).map(|namer| &namer.text).collect::<Vec<_>>(), Vec::<&String>::new());

    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    assert!(model.is_hidden(&story::customers(), "address"));
    assert_eq!(fitting(&world), ["shop:v3"]);
    let hidden = world.observe(&*database).await.journal.known().unwrap().hidden.clone().unwrap();
    assert_eq!(hidden.taken_from, ["shop"]);

    let namers = [Digest::of("version 1"), Digest::of("version 2")];
    assert_eq!(database.purge(world.job(epoch), &namers).await, Ok(Attempt::Done(())));
    let seen = world.observe(&*database).await;
    let journal = seen.journal.known().unwrap();
    assert!(journal.purged_at.is_some() && journal.hidden.is_none());
    assert_eq!(journal.floor.len(), 2);
    assert!(world.plan.removes.iter().all(|object| !model.exists(object)));
    assert_eq!((fitting(&world), seen.check), (vec!["shop:v3".to_owned()], Fact::Absent));
    pass(&world, 10);
    assert_eq!((model.failed("shop:v1"), model.failed("shop:v3")), (0, 0));

    let committed: Vec<Operation> = model.committed().iter().map(|step| step.operation).collect();
    use Operation as O;
    assert_eq!(
        committed,
        [O::Claim, O::Expand, O::Expand, O::Backfill, O::Backfill, O::Backfill, O::Hide, O::Purge]
    );
    assert!(model.committed().iter().all(|step| step.epoch == epoch.number()));
}

#[tokio::test(start_paused = true)]
async fn whoever_misses_the_hidden_form_is_refused_until_it_is_given_back() {
    let world = World::new();
    let (database, model) = (world.process(), &world.model);
    let epoch = database.claim(&world.release, "1", 2).await.unwrap();
    expand(&world, &*database, epoch).await;
    backfill(&world, &*database, epoch).await;
    model.set_running(&["shop:v1"]);
    assert_eq!(database.hide(world.job(epoch)).await, Ok(Attempt::Done(())));
    pass(&world, 1);
    assert_eq!(model.failed("shop:v1"), 79, "every statement of a minute");
    assert_eq!(
        model.forms(&story::customers()),
        CheckReading::default(),
        "a refused statement writes nothing"
    );
    assert_eq!(database.unhide(world.job(epoch)).await, Ok(Attempt::Done(())));
    pass(&world, 1);
    assert_eq!((model.failed("shop:v1"), model.fits("shop:v1")), (79, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_repeated_is_committed_once() {
    let world = World::new();
    let database = world.process();
    let epoch = database.claim(&world.release, "1", 3).await.unwrap();
    for _ in 0..2 {
        expand(&world, &*database, epoch).await;
        backfill(&world, &*database, epoch).await;
    }
    for _ in 0..2 {
        assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    }
    // The claim, two files, three batches and the purge.
    assert_eq!(world.model.committed().len(), 7, "{:?}", world.model.committed());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_overtaken_commits_nothing() {
    let world = World::new();
    let (old, new) = (world.process(), world.process());
    let stale = old.claim(&world.release, "1", 4).await.unwrap();
    expand(&world, &*old, stale).await;
    let fresh = new.claim(&world.release, "1", 5).await.unwrap();
    let fenced = Failure::Fenced { ours: stale.number(), found: fresh.number() };
    let file = world.files(FilePhase::Backfill).remove(0);
    let committed = world.model.committed().len();
    assert_eq!(old.backfill(world.job(stale), &file).await, Err(fenced.clone()));
    assert_eq!(old.hide(world.job(stale)).await, Err(fenced.clone()));
    assert_eq!(old.unhide(world.job(stale)).await, Err(fenced.clone()));
    assert_eq!(old.purge(world.job(stale), &[]).await, Err(fenced));
    assert_eq!(world.model.committed().len(), committed);
    backfill(&world, &*new, fresh).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_have_no_counterpart_are_counted_and_stop_no_traffic() {
    let world = World::with(|setup| {
        let rows = [(1, Row::Old), (2, Row::OldOdd), (3, Row::Bare), (9, Row::OldOdd)];
        let table = setup.tables.get_mut(&story::customers()).unwrap();
        *table = table.clone().with_rows(rows);
    });
    let database = world.process();
    let epoch = database.claim(&world.release, "1", 6).await.unwrap();
    expand(&world, &*database, epoch).await;
    assert_eq!(backfill(&world, &*database, epoch).await, [1]);
    let reading = CheckReading { unmapped: 2, first_unmapped: Some(2), ..CheckReading::default() };
    assert_eq!(world.observe(&*database).await.check, Fact::Known(reading));
}

#[tokio::test(start_paused = true)]
async fn a_session_in_the_way_is_named_after_the_lock_s_budget_and_nothing_changes() {
    let world = World::new();
    let (database, model) = (world.process(), &world.model);
    let epoch = database.claim(&world.release, "1", 7).await.unwrap();
    let held = tidegate_simulation::database::Locks::table(
        &story::customers(),
        tidegate_schema::classify::lock::LockMode::AccessShare,
    );
    let pid = model.begin_session("shop", "report", held);
    let file = world.files(FilePhase::Expand).remove(0);
    let begun = tokio::time::Instant::now();
    let attempt = database.expand(world.job(epoch), &file).await.unwrap();
    let Attempt::Blocked(blockers) = attempt else { panic!("{attempt:?}") };
    assert_eq!(blockers.iter().map(|blocker| blocker.pid).collect::<Vec<_>>(), [pid]);
    assert_eq!(begun.elapsed(), Duration::from_millis(200));
    assert_eq!(model.journal(&world.release, &world.plan.change), None);
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.observe(&*database).await.blockers.known().unwrap().len(), 1);
    model.end_session(pid);
    expand(&world, &*database, epoch).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_the_shop_s_statements_is_what_the_reader_finds_in_them() {
    let world = World::new();
    let database = world.process();
    let epoch = database.claim(&world.release, "1", 8).await.unwrap();
    expand(&world, &*database, epoch).await;
    for (version, names_old) in [
        (story::version_1("shop:v1"), true),
        (story::version_2("shop:v2"), true),
        (story::version_3("shop:v3"), false),
    ] {
        world.model.reset_statistics();
        for (statement, _) in &version.statements {
            world.model.run(&version.role, statement, 1).unwrap();
        }
        let found = namers(&world.observe(&*database).await).len();
        assert_eq!(found, if names_old { version.statements.len() } else { 0 }, "{}", version.name);
    }
}
