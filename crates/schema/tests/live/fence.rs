//! Who may act in the database: the newest lease of the newest ledger, and nobody that comes late.

use tidegate_model::schema::FilePhase;
use tidegate_schema::{Attempt, Failure};

use crate::world::{LEDGER, World};

/// A ledger that was made after [`LEDGER`].
const NEWER_LEDGER: &str = "1780000000001-00000000";

fn is_fenced<T>(outcome: &Result<T, Failure>) -> bool {
    matches!(outcome, Err(Failure::Fenced { .. }))
}

#[tokio::test]
async fn a_process_that_was_overtaken_cannot_commit() {
    let world = World::new().await;
    world.customers().await;
    let (old, new) = (world.database(), world.database());
    let stale = world.claim(&old).await.unwrap();
    world.expand(&old, stale).await;
    let fresh = world.claim(&new).await.unwrap();
    assert!(fresh > stale);
    let fenced = Failure::Fenced { ours: stale.number(), found: fresh.number() };
    let file = world.files(FilePhase::Expand).remove(0);
    assert_eq!(old.expand(world.job(stale), &file).await, Err(fenced.clone()));
    assert_eq!(world.batch(&old, stale).await, Err(fenced.clone()));
    assert_eq!(old.purge(world.job(stale), &[]).await, Err(fenced));
    world.backfill(&new, fresh).await;
    assert_eq!(new.purge(world.job(fresh), &[]).await, Ok(Attempt::Done(())));
}

#[tokio::test]
async fn a_claim_of_an_older_lease_is_refused_and_the_leader_s_stays_good() {
    let world = World::new().await;
    let (leader, zombie) = (world.database(), world.database());
    let epoch = leader.claim(&world.release, LEDGER, 7).await.unwrap();
    let late = zombie.claim(&world.release, LEDGER, 6).await;
    assert_eq!(late, Err(Failure::Fenced { ours: 0, found: epoch.number() }));
    world.expand(&leader, epoch).await;
}

#[tokio::test]
async fn of_two_that_claim_at_once_the_newer_lease_holds_the_fence() {
    let world = World::new().await;
    let (one, other) = (world.database(), world.database());
    let (older, newer) =
        tokio::join!(one.claim(&world.release, LEDGER, 1), other.claim(&world.release, LEDGER, 2));
    let newer = newer.unwrap();
    assert!(is_fenced(&older) || older.unwrap() < newer);
    world.expand(&other, newer).await;
}

#[tokio::test]
async fn a_newer_ledger_takes_over_from_a_lost_one_and_never_the_other_way_round() {
    let world = World::new().await;
    let (lost, fresh) = (world.database(), world.database());
    let old = lost.claim(&world.release, LEDGER, 40).await.unwrap();
    let new = fresh.claim(&world.release, NEWER_LEDGER, 1).await.unwrap();
    assert!(new > old);
    assert!(is_fenced(&lost.claim(&world.release, LEDGER, 41).await));
    let file = world.files(FilePhase::Expand).remove(0);
    assert!(is_fenced(&lost.expand(world.job(old), &file).await));
    world.expand(&fresh, new).await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_made_again() {
    let world = World::new().await;
    let database = world.database();
    let lost = database.claim(&world.release, LEDGER, 3).await.unwrap();
    let again = database.claim(&world.release, LEDGER, 3).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    assert!(is_fenced(&database.expand(world.job(lost), &file).await));
    world.expand(&database, again).await;
}

#[tokio::test]
async fn a_fence_from_before_ledgers_had_names_is_older_than_any_claim() {
    let world = World::new().await;
    let database = world.database();
    let before = database.claim(&world.release, LEDGER, 9).await.unwrap();
    let earlier = "ALTER TABLE tidegate.fence DROP COLUMN ledger, DROP COLUMN lease";
    sqlx::raw_sql(earlier).execute(&mut world.admin().await).await.unwrap();
    let after = database.claim(&world.release, "1", 1).await.unwrap();
    assert!(after > before);
    world.expand(&database, after).await;
}
