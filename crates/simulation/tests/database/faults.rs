//! Faults at the door, as data.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use jiff::SignedDuration;
use tidegate_model::{
    Fact, Why,
    schema::{Access, FilePhase},
};
use tidegate_schema::{Attempt, Failure};
use tidegate_simulation::database::{Answer, Gate, Operation, Verdict, story};

use crate::world::{World, plan_of};

/// Faults in the order in which they are met: before and after.
#[derive(Default)]
struct Script(Mutex<VecDeque<(Verdict, Answer)>>);

impl Script {
    fn of(faults: impl IntoIterator<Item = (Verdict, Answer)>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(faults.into_iter().collect())))
    }
}

impl Gate for Script {
    fn before(&self, _operation: Operation) -> BoxFuture<'_, Verdict> {
        let faults = self.0.lock().unwrap();
        let verdict = faults.front().map_or(Verdict::Pass, |(verdict, _)| verdict.clone());
        std::future::ready(verdict).boxed()
    }

    fn after(&self, _operation: Operation) -> BoxFuture<'_, Answer> {
        let answer = self.0.lock().unwrap().pop_front().map_or(Answer::Arrives, |(_, answer)| answer);
        std::future::ready(answer).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_behind_the_commit_is_found_in_the_journal() {
    let world = World::new();
    let gate = Script::of([(Verdict::Pass, Answer::Arrives), (Verdict::Pass, Answer::Lost)]);
    let database = world.process_behind(gate);
    let epoch = database.claim(&world.release, "1", 1).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    assert_eq!(database.expand(world.job(epoch), &file).await, Err(Failure::Unreachable));
    assert!(world.model.journal(&world.release, &world.plan.change).unwrap().applied.contains_key(&file));
    assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())));
    assert_eq!(world.model.committed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_its_effect_has_none() {
    let world = World::new();
    let gate = Script::of([(Verdict::Fail(Failure::Timeout), Answer::Arrives)]);
    let database = world.process_behind(gate);
    assert_eq!(database.claim(&world.release, "1", 2).await, Err(Failure::Timeout));
    assert_eq!((world.model.epoch(&world.release), world.model.committed().len()), (0, 0));
    assert_eq!(world.observe(&*database).await.access, Fact::Unknown(Why::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stands_still_in_its_transaction_is_in_the_way_until_the_server_ends_it() {
    let world = World::new();
    let gate = Script::of([
        (Verdict::Pass, Answer::Arrives),
        (Verdict::Freeze(Duration::from_secs(3_600)), Answer::Arrives),
    ]);
    let (frozen, other) = (world.process_behind(gate), world.process());
    let epoch = frozen.claim(&world.release, "1", 3).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    let step = frozen.expand(world.job(epoch), &file);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(other.claim(&world.release, "1", 4).await, Err(Failure::Lock), "the fence's row is held");
        tokio::time::sleep(Duration::from_secs(10)).await;
        other.claim(&world.release, "1", 5).await.unwrap()
    };
    let (outcome, newer) = futures_util::future::join(step, meanwhile).await;
    assert_eq!(outcome, Err(Failure::Unreachable));
    assert!(newer > epoch);
    assert_eq!(world.model.journal(&world.release, &world.plan.change), None);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stands_still_for_a_moment_commits_what_it_began() {
    let world = World::new();
    let gate = Script::of([
        (Verdict::Pass, Answer::Arrives),
        (Verdict::Freeze(Duration::from_secs(5)), Answer::Arrives),
    ]);
    let database = world.process_behind(gate);
    let epoch = database.claim(&world.release, "1", 6).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    let begun = tokio::time::Instant::now();
    assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_unreachable_and_one_that_is_restored_has_forgotten() {
    let world = World::new();
    let (database, model) = (world.process(), &world.model);
    let epoch = database.claim(&world.release, "1", 7).await.unwrap();
    let yesterday = model.backup();
    for file in world.files(FilePhase::Expand) {
        database.expand(world.job(epoch), &file).await.unwrap();
    }
    database.claim(&world.release, "1", 8).await.unwrap();
    model.set_reachable(false);
    assert_eq!(database.claim(&world.release, "1", 9).await, Err(Failure::Unreachable));
    assert_eq!(world.observe(&*database).await.access, Fact::Known(Access::Unreachable));
    model.restore(&yesterday);
    model.set_reachable(true);
    let seen = world.observe(&*database).await;
    assert_eq!(seen.journal, Fact::Absent);
    assert!(!model.exists(&world.plan.adds[0]));
    assert_eq!(model.epoch(&world.release), epoch.number(), "the fence went back as well");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_rotated_is_refused_until_it_is_read_again() {
    let world = World::new();
    let database = world.process();
    world.model.set_password(story::OURS, "new");
    assert_eq!(database.claim(&world.release, "1", 10).await, Err(Failure::Login));
    assert_eq!(world.observe(&*database).await.access, Fact::Known(Access::Denied));
    world.model.set_password(story::OURS, "ours");
    assert!(database.claim(&world.release, "1", 11).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_sessions_and_forgets_the_statistics_and_nothing_else() {
    let world = World::new();
    let (database, model) = (world.process(), &world.model);
    let epoch = database.claim(&world.release, "1", 12).await.unwrap();
    model.begin_session(
        "shop",
        "report",
        tidegate_simulation::database::Locks::table(
            &story::customers(),
            tidegate_schema::classify::lock::LockMode::AccessShare,
        ),
    );
    model.fail_over();
    for file in world.files(FilePhase::Expand) {
        assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_application_asks_of_a_server_that_is_gone_fails_once_and_is_not_made_up_for() {
    let world = World::new();
    let model = &world.model;
    model.set_running(&["shop:v1"]);
    model.set_reachable(false);
    world.clock.advance(SignedDuration::from_mins(1));
    model.set_reachable(true);
    assert_eq!(model.failed("shop:v1"), 79);
    world.clock.advance(SignedDuration::from_mins(1));
    model.advance(model.now());
    assert_eq!(model.failed("shop:v1"), 79);
    assert_eq!(model.rows(&story::customers()), 2_501, "one insert a minute");
}

#[tokio::test(start_paused = true)]
async fn an_index_whose_builder_was_killed_is_built_again() {
    let mut world = World::new();
    let text = "CREATE INDEX CONCURRENTLY customers_name ON customers (name);";
    world.plan = plan_of("index", &[("1_expand_a.sql", text)]);
    let (database, model) = (world.process(), &world.model);
    let epoch = database.claim(&world.release, "1", 13).await.unwrap();
    let step = async || database.expand(world.job(epoch), "1_expand_a.sql").await;
    let build =
        || model.journal(&world.release, &world.plan.change).unwrap().builds["1_expand_a.sql"].clone();
    for _ in 0..2 {
        assert_eq!(step().await, Ok(Attempt::Underway));
    }
    assert_eq!((build().attempts, build().running), (1, true));
    model.kill_builds();
    assert!(!build().running && !model.exists(&world.plan.adds[0]));
    assert_eq!(step().await, Ok(Attempt::Underway));
    assert_eq!((build().attempts, build().running), (2, true));
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(step().await, Ok(Attempt::Done(())));
    assert!(model.exists(&world.plan.adds[0]));
    assert!(model.journal(&world.release, &world.plan.change).unwrap().builds.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_claim_waits_for_a_step_that_waits_and_one_that_is_killed_holds_nothing() {
    let world = World::new();
    let (one, other, model) = (world.process(), world.process(), &world.model);
    let epoch = one.claim(&world.release, "1", 14).await.unwrap();
    let report = model.begin_session(
        "shop",
        "report",
        tidegate_simulation::database::Locks::table(
            &story::customers(),
            tidegate_schema::classify::lock::LockMode::AccessShare,
        ),
    );
    let file = world.files(FilePhase::Expand).remove(0);
    let step = async {
        let blocked = one.expand(world.job(epoch), &file).await;
        assert!(matches!(&blocked, Ok(Attempt::Blocked(by)) if by[0].pid == report), "{blocked:?}");
    };
    let claim = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let begun = tokio::time::Instant::now();
        let newer = other.claim(&world.release, "1", 15).await.unwrap();
        (newer, begun.elapsed())
    };
    let ((), (newer, waited)) = futures_util::future::join(step, claim).await;
    assert!(newer > epoch && waited >= Duration::from_millis(140), "{waited:?}");
    // A step that is cut off in the middle of its wait.
    let cut = tokio::time::timeout(Duration::from_millis(60), one.expand(world.job(newer), &file)).await;
    assert!(cut.is_err());
    let begun = tokio::time::Instant::now();
    other.claim(&world.release, "1", 16).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
