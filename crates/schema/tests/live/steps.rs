//! Expand, backfill and purge: what commits together, what is refused, and who is named as being in the way.

use std::time::Duration;

use sqlx::Connection;
use tidegate_model::{
    Fact,
    schema::{Access, CheckReading, CheckScope, FilePhase, Object, TableName},
};
use tidegate_schema::{Attempt, Database, Endpoint, Failure, Limits, Secret, Wanted};

use crate::world::{World, limits, plan_of};

fn column(name: &str) -> Object {
    let table = TableName { schema: "public".into(), table: "customers".into() };
    Object::Column { table, column: name.into() }
}

const CHECKED: Wanted =
    Wanted { blockers: true, check: Some(CheckScope::Whole), evidence: false, certificate: false };

#[tokio::test]
async fn the_story_runs_from_expand_to_purge() {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let before = database.observe(&world.release, &world.plan, CHECKED).await;
    assert_eq!(before.access, Fact::Known(Access::Granted));
    assert_eq!((&before.journal, &before.check), (&Fact::Absent, &Fact::Absent));
    assert!(before.objects.known().unwrap()[&column("address")]);
    assert!(!before.objects.known().unwrap()[&column("city")]);

    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    assert_eq!(
        database.check(&world.plan).await.unwrap(),
        CheckReading { disagreeing: 3, unmapped: 3, ..CheckReading::default() }
    );
    world.backfill(&database, epoch).await;

    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    assert!(seen.objects.known().unwrap().values().all(|there| *there));
    assert_eq!(
        seen.check,
        Fact::Known(CheckReading { disagreeing: 0, unmapped: 3, ..CheckReading::default() })
    );
    assert_eq!((seen.blockers, seen.other_open), (Fact::Known(vec![]), Fact::Known(vec![])));
    let journal = seen.journal.known().unwrap();
    assert_eq!(journal.applied.len(), world.files(FilePhase::Expand).len());
    let strongest =
        journal.locks.values().filter(|told| told.contains("ACCESS EXCLUSIVE on public.customers"));
    assert_eq!(strongest.count(), 1, "{:?}", journal.locks);
    assert_eq!(
        (journal.epoch, journal.marker.as_str()),
        (epoch.number(), "tidegate:ecommerce/1-0a1b2c3d/i1")
    );
    assert!(journal.backfills.values().all(|backfill| backfill.done && backfill.rows == 3));

    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    let after = database.observe(&world.release, &world.plan, CHECKED).await;
    assert!(world.plan.removes.iter().all(|object| !after.objects.known().unwrap()[object]));
    assert!(after.objects.known().unwrap()[&column("city")]);
    assert!(after.journal.known().unwrap().purged_at.is_some());
    assert_eq!(after.check, Fact::Absent);
}

#[tokio::test]
async fn a_step_that_is_repeated_has_one_effect() {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    let again = world.batch(&database, epoch).await.unwrap();
    assert_eq!((again.rows, again.progress.done), (0, true));
    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
    assert_eq!(world.count("SELECT count(*) FROM tidegate.file").await, 4);
}

#[tokio::test]
async fn a_session_in_the_way_is_named_and_nothing_changes() {
    let world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut idle = world.shop().await;
    let mut open = idle.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM customers WHERE name = 'secret-canary'")
        .execute(&mut *open)
        .await
        .unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    let started = std::time::Instant::now();
    let attempt = database.expand(world.job(epoch), &file).await.unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(3));
    let Attempt::Blocked(blockers) = attempt else { panic!("the expand was not blocked") };
    let [blocker] = blockers.as_slice() else { panic!("{blockers:?}") };
    assert_eq!((blocker.role.as_str(), blocker.application.as_str()), ("shop", "shop-v1"));
    assert_eq!(blocker.state, "idle in transaction");
    assert!(!format!("{blocker:?} {blocker}").contains("canary"));
    let before = database.blockers(&world.plan).await.unwrap();
    assert_eq!(before.iter().map(|blocker| blocker.pid).collect::<Vec<_>>(), [blocker.pid]);
    assert_eq!(world.count("SELECT count(*) FROM tidegate.file").await, 0);
    open.rollback().await.unwrap();
    assert_eq!(database.blockers(&world.plan).await, Ok(vec![]));
    world.expand(&database, epoch).await;
}

#[tokio::test]
async fn a_prepared_transaction_is_a_blocker_too() {
    let world = World::new().await;
    let mut shop = world.shop().await;
    for sql in ["BEGIN", "DELETE FROM customers", "PREPARE TRANSACTION 'forgotten'"] {
        sqlx::raw_sql(sql).execute(&mut shop).await.unwrap();
    }
    tokio::time::sleep(limits().lock * 2).await;
    let blockers = world.database().blockers(&world.plan).await.unwrap();
    assert_eq!(
        blockers.iter().map(|blocker| blocker.state.as_str()).collect::<Vec<_>>(),
        ["prepared transaction"]
    );
}

#[tokio::test]
async fn a_short_transaction_is_no_blocker() {
    let world = World::new().await;
    let mut shop = world.shop().await;
    let mut open = shop.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM customers").execute(&mut *open).await.unwrap();
    let mut slow = limits();
    slow.lock = std::time::Duration::from_secs(60);
    let secret = Secret::new(r#"{"username":"tidegate","password":"hunter2-canary"}"#.into());
    let endpoint = Endpoint { host: "127.0.0.1".into(), port: world.cluster.port(), database: "shop".into() };
    let patient = Database::open(&secret, Some(&endpoint), None, slow).unwrap();
    assert_eq!(patient.blockers(&world.plan).await, Ok(vec![]));
}

#[tokio::test]
async fn applied_text_is_immutable() {
    let mut world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let file = world.plan.files[0].name.clone();
    world.plan.files[0].checksum = tidegate_model::Digest::of("something else");
    assert_eq!(world.batch(&database, epoch).await, Err(Failure::Changed(file.clone())));
    assert_eq!(database.purge(world.job(epoch), &[]).await, Err(Failure::Changed(file)));
    world.plan.files.remove(0);
    assert!(matches!(database.purge(world.job(epoch), &[]).await, Err(Failure::Changed(_))));
}

#[tokio::test]
async fn a_database_that_is_not_as_expected_is_left_alone() {
    let world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut shop = world.shop().await;
    sqlx::query("ALTER TABLE customers ADD COLUMN state text").execute(&mut shop).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    let drift = Failure::Unexpected { object: column("state"), exists: true };
    assert_eq!(database.expand(world.job(epoch), &file).await, Err(drift));
    assert_eq!(world.count("SELECT count(*) FROM tidegate.change").await, 0);
    sqlx::query("ALTER TABLE customers DROP COLUMN state").execute(&mut shop).await.unwrap();
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    sqlx::query("ALTER TABLE customers DISABLE TRIGGER customers_address_sync")
        .execute(&mut shop)
        .await
        .unwrap();
    assert!(matches!(
        database.purge(world.job(epoch), &[]).await,
        Err(Failure::Unexpected { exists: false, .. })
    ));
    assert_eq!(world.count("SELECT count(address) FROM customers").await, 0);
}

#[tokio::test]
async fn a_file_that_fails_halfway_leaves_nothing_behind() {
    let mut world = World::new().await;
    world.plan = plan_of(
        "halfway",
        &[(
            "1_expand_a.sql",
            "ALTER TABLE customers ADD COLUMN x text; ALTER TABLE missing ADD COLUMN y text;",
        )],
    );
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let failure = database.expand(world.job(epoch), "1_expand_a.sql").await.unwrap_err();
    assert_eq!(failure.to_string(), "the database server answered with SQLSTATE 42P01");
    assert_eq!(world.count("SELECT count(*) FROM pg_attribute WHERE attname = 'x'").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM tidegate.change").await, 0);
}

#[tokio::test]
async fn one_change_is_open_in_a_database_at_a_time() {
    let mut world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.plan = plan_of("other", &[("1_expand_a.sql", "ALTER TABLE suppliers ADD COLUMN x text;")]);
    let failure = database.expand(world.job(epoch), "1_expand_a.sql").await.unwrap_err();
    assert!(matches!(failure, Failure::OtherChange(open) if open.change.as_str() == "structured-address"));
    let seen = database.observe(&world.release, &world.plan, Wanted::default()).await;
    assert_eq!(seen.journal, Fact::Absent);
    assert_eq!(seen.other_open.known().unwrap()[0].change.as_str(), "structured-address");
}

#[tokio::test]
async fn a_backfill_goes_in_batches_and_goes_on_where_it_was_stopped() {
    let mut world = World::new().await;
    world.many_customers(2_500).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let first = world.batch(&database, epoch).await.unwrap();
    assert_eq!((first.rows, first.progress.cursor, first.progress.done), (1000, 1000, false));
    assert_eq!(first.progress.keys_left(), 1500);
    // Another process takes over; the spec was edited meanwhile, which changes the marker and nothing else.
    database.close().await;
    world.marker = "tidegate:ecommerce/2-0a1b2c3d/i9".parse().unwrap();
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let second = world.batch(&database, epoch).await.unwrap();
    // The batch was far below its target, so the next one is larger, by a fifth.
    assert_eq!((second.rows, second.progress.rows), (1_201, 2_201));
    let last = world.batch(&database, epoch).await.unwrap();
    assert_eq!((last.rows, last.progress.done, last.progress.keys_left()), (299, true, 0));
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE city = 'New York'").await, 2_500);
    assert_eq!(
        world
            .count("SELECT count(*) FROM customers WHERE address NOT LIKE '% Main St, New York, NY, 10001'")
            .await,
        0
    );
}

#[tokio::test]
async fn batches_shrink_until_they_take_as_long_as_they_should_and_the_pace_is_told() {
    let world = World::new().await;
    world.many_customers(2_500).await;
    let hurried = Limits { batch_target: Duration::from_millis(1), ..limits() };
    let database = world.database_with(hurried);
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let mut sizes = Vec::new();
    loop {
        let batch = world.batch(&database, epoch).await.unwrap();
        sizes.push(batch.rows);
        if batch.progress.done {
            break;
        }
    }
    assert_eq!(sizes.iter().sum::<u64>(), 2_500);
    assert_eq!(sizes[..3], [1_000, 500, 250], "at most halved each time");
    assert!(
        sizes.len() > 10 && sizes[sizes.len() - 2] >= 50,
        "never so small that only transactions are done: {sizes:?}"
    );
    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    let progress = seen.journal.known().unwrap().backfills.values().next().copied().unwrap();
    assert_eq!((progress.batches, progress.rows), (sizes.len() as u64, 2_500));
    assert!(progress.milliseconds > 0, "{progress:?}");
    assert_eq!(seen.pressure, Fact::Known(vec![]));
}

#[tokio::test]
async fn a_batch_that_runs_into_its_time_limit_is_tried_again_at_half_its_size() {
    let world = World::new().await;
    world.many_customers(1_000).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut world.admin().await).await.unwrap();
    let database = world.database_with(Limits { batch: Duration::from_millis(800), ..limits() });
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let first = world.batch(&database, epoch).await.unwrap();
    assert_eq!((first.rows, first.progress.cursor, first.progress.batch), (0, 0, 500));
    while !world.batch(&database, epoch).await.unwrap().progress.done {}
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE city = 'New York'").await, 1_000);
}

#[tokio::test]
async fn a_vacuum_of_the_table_is_a_sign_to_pause() {
    let world = World::new().await;
    world.many_customers(2_000).await;
    let mut admin = world.admin().await;
    // As slow as the server lets it be, so that it is still at work when it is looked for.
    let slow = "UPDATE customers SET name = 'y'; SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1";
    sqlx::raw_sql(slow).execute(&mut admin).await.unwrap();
    let vacuum =
        tokio::spawn(async move { sqlx::raw_sql("VACUUM customers").execute(&mut admin).await.map(drop) });
    let database = world.database();
    let begun = std::time::Instant::now();
    loop {
        let seen = database.observe(&world.release, &world.plan, CHECKED).await;
        if seen.pressure.known().is_some_and(|signs| {
            signs.iter().any(|sign| sign.to_string() == "autovacuum works on public.customers")
        }) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", seen.pressure);
    }
    vacuum.abort();
}

#[tokio::test]
async fn a_checkpoint_that_was_asked_for_is_a_sign_to_pause() {
    let world = World::new().await;
    let database = world.database();
    let signs = async || {
        let seen = database.observe(&world.release, &world.plan, CHECKED).await;
        seen.pressure.known().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(signs().await, Vec::<String>::new());
    sqlx::raw_sql("CHECKPOINT").execute(&mut world.admin().await).await.unwrap();
    let begun = std::time::Instant::now();
    while !signs().await.iter().any(|sign| sign.contains("asked for a checkpoint")) {
        assert!(begun.elapsed().as_secs() < 20);
    }
}

#[tokio::test]
async fn a_journal_of_an_earlier_version_is_brought_up_to_date_by_the_next_claim() {
    let world = World::new().await;
    world.many_customers(1_500).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.batch(&database, epoch).await.unwrap();
    let earlier = "DROP TABLE tidegate.build; DROP TABLE tidegate.hide; ALTER TABLE tidegate.backfill DROP COLUMN next_batch, \
                   DROP COLUMN batches, DROP COLUMN active_ms; ALTER TABLE tidegate.fence DROP COLUMN ledger, DROP COLUMN lease";
    sqlx::raw_sql(earlier).execute(&mut world.admin().await).await.unwrap();
    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    assert_eq!(seen.journal.known().unwrap().backfills.values().next().unwrap().rows, 1_000);
    let epoch = world.claim(&database).await.unwrap();
    let batch = world.batch(&database, epoch).await.unwrap();
    assert_eq!((batch.rows, batch.progress.done), (500, true));
}

#[tokio::test]
async fn a_batch_that_is_cut_off_moves_neither_rows_nor_cursor() {
    let world = World::new().await;
    world.many_customers(1_500).await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    let mut shop = world.shop().await;
    let mut holder = shop.begin().await.unwrap();
    sqlx::query("SELECT id FROM customers WHERE id = 700 FOR UPDATE").execute(&mut *holder).await.unwrap();
    let file = world.files(FilePhase::Backfill).remove(0);
    let attempt = database.backfill(world.job(epoch), &file).await.unwrap();
    assert!(matches!(attempt, Attempt::Blocked(blockers) if blockers.len() == 1));
    // The next one loses its connection while it waits for the row.
    let mut admin = world.admin().await;
    let job = world.job(epoch);
    let killer = async {
        loop {
            let killed: i64 = sqlx::query_scalar(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = 'tidegate' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut admin)
            .await
            .unwrap();
            if killed > 0 {
                break;
            }
        }
    };
    let (attempt, ()) = tokio::join!(database.backfill(job, &file), killer);
    assert_eq!(attempt, Err(Failure::Unreachable));
    assert_eq!(world.count("SELECT count(*) FROM tidegate.backfill").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE city IS NOT NULL").await, 0);
    holder.rollback().await.unwrap();
    assert_eq!(world.backfill(&database, epoch).await, 2);
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE city IS NULL").await, 0);
}

#[tokio::test]
async fn a_backfill_of_an_empty_table_is_done_at_once() {
    let world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    assert!(world.batch(&database, epoch).await.unwrap().progress.done);
}

#[tokio::test]
async fn a_file_that_does_more_than_its_text_tells_is_rolled_back() {
    let mut world = World::new().await;
    world.many_customers(10).await;
    // A domain with a constraint makes the server look at every row; the text only has its name.
    let files = [
        ("1_expand_domain.sql", "CREATE DOMAIN positive AS integer CHECK (VALUE > 0);"),
        ("2_expand_column.sql", "ALTER TABLE customers ADD COLUMN points positive DEFAULT 1;"),
    ];
    world.plan = plan_of("points", &files);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    database.expand(world.job(epoch), "1_expand_domain.sql").await.unwrap();
    let told = database.expand(world.job(epoch), "2_expand_column.sql").await.unwrap_err().to_string();
    assert!(told.contains("it rewrites public.customers; its text did not tell"), "{told}");
    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    assert!(!seen.objects.known().unwrap()[&column("points")]);
    assert_eq!(seen.journal.known().unwrap().applied.len(), 1);
}

/// Splitting at commas into a short column, whatever the text is: the guide's own form.
fn short(world: &mut World) {
    let backfill = "-- tidegate: key=id batch=80\nUPDATE customers SET state = btrim(split_part(address, ',', 3)) \
                    WHERE id > $1 AND id <= $2;";
    let files = [
        ("1_expand_a.sql", "ALTER TABLE customers ADD COLUMN state varchar(2);"),
        ("2_backfill_a.sql", backfill),
        ("3_check_a.sql", "SELECT count(*) FROM customers WHERE state IS NULL;"),
    ];
    world.plan = plan_of("short", &files);
}

#[tokio::test]
async fn rows_that_a_backfill_cannot_fill_are_told_by_count_and_keys_before_anything_is_written() {
    let mut world = World::new().await;
    world.many_customers(200).await;
    let mut shop = world.shop().await;
    // Keys need not be without gaps.
    sqlx::raw_sql("DELETE FROM customers WHERE id % 3 = 0; UPDATE customers SET address = 'no comma, France, FRA' WHERE id IN (91, 122)")
        .execute(&mut shop)
        .await
        .unwrap();
    short(&mut world);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    for _ in 0..2 {
        let told = world.batch(&database, epoch).await.unwrap_err().to_string();
        let wanted = "at least 2 of 134 rows cannot be filled (SQLSTATE 22001), those with key 91, 122";
        assert_eq!(told, wanted);
    }
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE state IS NOT NULL").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM tidegate.backfill").await, 0);
    let mend = "UPDATE customers SET address = 'a, b, NY' WHERE id IN (91, 122)";
    sqlx::raw_sql(mend).execute(&mut shop).await.unwrap();
    world.backfill(&database, epoch).await;
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE state IS NULL").await, 0);
}

#[tokio::test]
async fn a_row_that_breaks_a_later_batch_is_told_by_its_key_and_nothing_of_its_batch_stays() {
    let mut world = World::new().await;
    world.many_customers(200).await;
    short(&mut world);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.batch(&database, epoch).await.unwrap();
    let mut shop = world.shop().await;
    sqlx::raw_sql("UPDATE customers SET address = 'no comma, France, FRA' WHERE id = 122")
        .execute(&mut shop)
        .await
        .unwrap();
    let told = world.batch(&database, epoch).await.unwrap_err().to_string();
    assert!(told.ends_with("those with key 122"), "{told}");
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE state IS NOT NULL").await, 80);
    sqlx::raw_sql("UPDATE customers SET address = 'a, b, NY' WHERE id = 122")
        .execute(&mut shop)
        .await
        .unwrap();
    world.backfill(&database, epoch).await;
    assert_eq!(world.count("SELECT count(*) FROM customers WHERE state IS NULL").await, 0);
}

#[tokio::test]
async fn a_key_that_cannot_order_the_walk_is_refused() {
    let mut world = World::new().await;
    let backfill =
        "-- tidegate: key=email batch=10\nUPDATE customers SET x = '' WHERE email > $1 AND email <= $2;";
    let files = [
        ("1_expand_a.sql", "ALTER TABLE customers ADD COLUMN x text;"),
        ("2_backfill_a.sql", backfill),
        ("3_check_a.sql", "SELECT count(*) FROM customers WHERE x IS NULL;"),
    ];
    world.plan = plan_of("bad-key", &files);
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    assert_eq!(world.batch(&database, epoch).await, Err(Failure::Key));
}

#[tokio::test]
async fn steps_keep_their_order() {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    assert_eq!(database.purge(world.job(epoch), &[]).await, Err(Failure::TooEarly));
    assert_eq!(world.batch(&database, epoch).await, Err(Failure::TooEarly));
    world.expand(&database, epoch).await;
    assert_eq!(database.purge(world.job(epoch), &[]).await, Err(Failure::TooEarly));
    assert_eq!(database.expand(world.job(epoch), "9_expand_x.sql").await, Err(Failure::NoSuchFile));
}

#[tokio::test]
async fn purge_is_all_or_nothing() {
    let world = World::new().await;
    world.customers().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    world.expand(&database, epoch).await;
    world.backfill(&database, epoch).await;
    let mut shop = world.shop().await;
    sqlx::query("CREATE VIEW cards AS SELECT id, address FROM customers").execute(&mut shop).await.unwrap();
    assert_eq!(database.purge(world.job(epoch), &[]).await, Err(Failure::Dependents));
    let seen = database.observe(&world.release, &world.plan, CHECKED).await;
    assert!(seen.objects.known().unwrap().values().all(|there| *there));
    assert_eq!(seen.journal.known().unwrap().purged_at, None);
    sqlx::query("DROP VIEW cards").execute(&mut shop).await.unwrap();
    let mut open = shop.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM customers").execute(&mut *open).await.unwrap();
    assert!(
        matches!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Blocked(blockers)) if blockers.len() == 1)
    );
    open.rollback().await.unwrap();
    assert_eq!(database.purge(world.job(epoch), &[]).await, Ok(Attempt::Done(())));
}

#[tokio::test]
async fn readers_wait_no_longer_than_the_lock_budget() {
    let world = World::new().await;
    let database = world.database();
    let epoch = world.claim(&database).await.unwrap();
    let mut idle = world.shop().await;
    let mut open = idle.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM customers").execute(&mut *open).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    let mut reader = world.shop().await;
    let reads = async {
        let mut slowest = std::time::Duration::ZERO;
        for _ in 0..30 {
            let started = std::time::Instant::now();
            sqlx::query("SELECT count(*) FROM customers").execute(&mut reader).await.unwrap();
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        slowest
    };
    let (attempt, slowest) = tokio::join!(database.expand(world.job(epoch), &file), reads);
    assert!(matches!(attempt, Ok(Attempt::Blocked(_))));
    assert!(slowest < limits().lock * 3, "a reader waited {slowest:?}");
}

#[tokio::test]
async fn access_says_what_is_wrong_and_leaks_nothing() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    sqlx::query("CREATE ROLE stranger LOGIN PASSWORD 'hunter2-canary'").execute(&mut admin).await.unwrap();
    let preflight = async |database: Database| database.preflight(&world.plan).await;
    assert_eq!(preflight(world.database()).await, Ok(Access::Granted));
    assert_eq!(preflight(world.database_of("stranger", "hunter2-canary")).await, Ok(Access::Denied));
    assert_eq!(preflight(world.database_of("tidegate", "wrong-canary")).await, Ok(Access::Denied));
    let secret = Secret::new(
        r#"{"username":"tidegate","password":"hunter2-canary","host":"127.0.0.1","port":1,"dbname":"shop"}"#
            .into(),
    );
    let nobody = Database::open(&secret, None, None, limits()).unwrap();
    assert_eq!(preflight(nobody.clone()).await, Ok(Access::Unreachable));
    let seen = nobody.observe(&world.release, &world.plan, CHECKED).await;
    assert_eq!(seen.access, Fact::Known(Access::Unreachable));
    assert!(seen.journal.unknown().is_some() && seen.objects.unknown().is_some());
    assert!(!format!("{seen:?} {:?}", world.claim(&nobody).await).contains("canary"));
}
