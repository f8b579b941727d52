//! Indexes built beside everybody's work: begun once, found again after a crash, never somebody else's.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tidegate_model::schema::{FilePhase, IndexBuild, Journal};
use tidegate_schema::{Attempt, Database, Epoch, Failure};

use crate::world::{World, plan_of};

const FILE: &str = "1_expand_index.sql";
const BUILD: &str = "CREATE INDEX CONCURRENTLY customers_name ON customers (name);";
const LIMIT: Duration = Duration::from_secs(30);

async fn world(build: &str) -> World {
    let mut world = World::new().await;
    world.many_customers(500).await;
    world.plan = plan_of("name-index", &[(FILE, build)]);
    world
}

async fn expand(world: &World, database: &Database, epoch: Epoch) -> Result<Attempt<()>, Failure> {
    database.expand(world.job(epoch), &world.files(FilePhase::Expand)[0]).await
}

async fn journal(world: &World, database: &Database) -> Journal {
    let seen = database.observe(&world.release, &world.plan, tidegate_schema::Wanted::default()).await;
    seen.journal.known().unwrap().clone()
}

async fn build(world: &World, database: &Database) -> Option<IndexBuild> {
    journal(world, database).await.builds.get(FILE).cloned()
}

/// Takes the step again and again until it is done, as the daemon does.
async fn until_done(world: &World, database: &Database, epoch: Epoch) {
    let begun = Instant::now();
    while expand(world, database, epoch).await != Ok(Attempt::Done(())) {
        assert!(begun.elapsed() < LIMIT, "the index was not built");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn valid_indexes(world: &World) -> i64 {
    world
        .count("SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('customers_name') AND indisvalid AND indisready")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_beside_everybodys_work_and_recorded_once_it_is_valid() {
    let world = world(BUILD).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    assert_eq!(expand(&world, &database, epoch).await, Ok(Attempt::Underway));
    until_done(&world, &database, epoch).await;
    assert_eq!(valid_indexes(&world).await, 1);
    let told = journal(&world, &database).await;
    assert!(told.applied.contains_key(FILE) && told.builds.is_empty(), "{told:?}");
    assert_eq!(
        expand(&world, &database, epoch).await,
        Ok(Attempt::Done(())),
        "a repeated step has one effect"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_waits_for_older_transactions_while_writers_go_on_and_the_journal_tells_so() {
    let world = world(BUILD).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut reader = world.shop().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM customers")
        .execute(&mut reader)
        .await
        .unwrap();
    assert_eq!(expand(&world, &database, epoch).await, Ok(Attempt::Underway));
    until("the journal tells of the build", async || {
        build(&world, &database).await.is_some_and(|build| build.running && build.phase.is_some())
    })
    .await;

    // A process that knows nothing of the first one's sessions neither begins a second build nor takes it for done.
    let other = world.database();
    let newer = world.claim(&other).await.unwrap();
    assert_eq!(expand(&world, &other, newer).await, Ok(Attempt::Underway));
    assert_eq!(build(&world, &other).await.unwrap().attempts, 1);
    world.many_customers(5).await;

    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    until_done(&world, &other, newer).await;
    assert_eq!(valid_indexes(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_killed_leaves_nothing_but_its_own_invalid_index_and_that_is_built_again() {
    let world = world(BUILD).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut reader = world.shop().await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM customers")
        .execute(&mut reader)
        .await
        .unwrap();
    assert_eq!(expand(&world, &database, epoch).await, Ok(Attempt::Underway));
    until("the build waits", async || {
        build(&world, &database).await.is_some_and(|build| build.phase.is_some())
    })
    .await;
    let mut admin = world.admin().await;
    sqlx::raw_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
        .execute(&mut admin)
        .await
        .unwrap();
    until("the build is gone", async || build(&world, &database).await.is_some_and(|build| !build.running))
        .await;
    let left =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('customers_name') AND NOT indisvalid";
    assert_eq!(world.count(left).await, 1, "PostgreSQL leaves an invalid index");
    let object = &world.plan.adds[0];
    let seen = database.observe(&world.release, &world.plan, tidegate_schema::Wanted::default()).await;
    assert!(!seen.objects.known().unwrap()[object], "an invalid index is not there");

    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    until_done(&world, &database, epoch).await;
    assert_eq!((valid_indexes(&world).await, world.count(left).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_a_unique_index_are_told_before_it_is_tried_again() {
    let unique = "-- tidegate: allow MIGR111 no two names are equal\n\
                  CREATE UNIQUE INDEX CONCURRENTLY customers_name ON customers (name);";
    let world = world(unique).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    assert_eq!(expand(&world, &database, epoch).await, Ok(Attempt::Underway));
    until("the build failed", async || build(&world, &database).await.is_some_and(|build| !build.running))
        .await;
    assert_eq!(expand(&world, &database, epoch).await, Err(Failure::Build("23505".into())));
    sqlx::raw_sql("UPDATE customers SET name = name || id").execute(&mut world.shop().await).await.unwrap();
    until_done(&world, &database, epoch).await;
    assert_eq!(valid_indexes(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_somebody_else_is_neither_taken_for_ours_nor_dropped() {
    let world = world(BUILD).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    sqlx::raw_sql("CREATE INDEX customers_name ON customers (name)")
        .execute(&mut world.shop().await)
        .await
        .unwrap();
    let refused = expand(&world, &database, epoch).await;
    assert!(matches!(refused, Err(Failure::Unexpected { exists: true, .. })), "{refused:?}");
    assert_eq!(valid_indexes(&world).await, 1);
    let mut admin = world.admin().await;
    sqlx::raw_sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'customers_name'::regclass")
        .execute(&mut admin)
        .await
        .unwrap();
    let refused = expand(&world, &database, epoch).await;
    assert!(matches!(refused, Err(Failure::Unexpected { exists: true, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_overtaken_begins_no_build_and_changed_text_is_refused() {
    let mut world = world(BUILD).await;
    let database = world.database();
    let old = world.claim(&database).await.unwrap();
    let epoch = world.claim(&database).await.unwrap();
    assert!(matches!(expand(&world, &database, old).await, Err(Failure::Fenced { .. })));
    assert_eq!(world.count("SELECT count(*) FROM tidegate.build").await, 0);

    assert_eq!(expand(&world, &database, epoch).await, Ok(Attempt::Underway));
    until("the build is over", async || build(&world, &database).await.is_some_and(|build| !build.running))
        .await;
    world.plan = plan_of("name-index", &[(FILE, &BUILD.replace("(name)", "(email)"))]);
    assert!(matches!(expand(&world, &database, epoch).await, Err(Failure::Changed(_))));
}
