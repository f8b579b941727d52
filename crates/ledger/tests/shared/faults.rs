//! What happens to servers and wires: nothing is half there, nothing hangs, and what is not known is read again.

use std::time::{Duration, Instant};

use tidegate_ledger::{Head, Lead, Ledger, LedgerError, Loaded, Sealed, store::Store};

use crate::{
    proxy::{Commit, Proxy},
    world::{World, at, deployment, lead, length, release},
};

/// No request to a ledger may take longer than a pass may wait.
const LONGEST: Duration = Duration::from_secs(10);

async fn append(ledger: &Ledger, place: u64, id: &str) -> Result<(), LedgerError> {
    ledger.append(&release("shop"), place, at(), &[deployment(id)]).await
}

fn is_unknown(answer: &Result<(), LedgerError>) -> bool {
    matches!(answer, Err(LedgerError::Server { .. }))
}

/// An append whose commit meets this fate, and how many entries there are once the chain was read again and gone on with.
async fn after(fate: Commit) -> usize {
    let world = World::new().await;
    let proxy = Proxy::to(world.port()).await;
    let ledger = Ledger::shared(world.connect_by(proxy.port)).await.unwrap();
    lead(&ledger, "shop").await;
    append(&ledger, 0, "d-1").await.unwrap();
    proxy.set(fate);
    let begun = Instant::now();
    let answer = append(&ledger, 1, "d-2").await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert!(begun.elapsed() < LONGEST, "{fate:?} took {:?}", begun.elapsed());
    proxy.set(Commit::Passes);
    // What was read may be older than a commit that is still on its way; the append behind it then waits and is refused.
    loop {
        let entries = length(&ledger, "shop").await;
        match append(&ledger, entries as u64, "d-3").await {
            Err(LedgerError::Conflict { .. }) => {}
            answer => {
                answer.unwrap();
                return length(&ledger, "shop").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_wrote_nothing() {
    assert_eq!(after(Commit::IsLost).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_by_reading() {
    assert_eq!(after(Commit::IsNotAnswered).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_swallows_everything_keeps_nobody_waiting() {
    assert_eq!(after(Commit::Vanishes).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_between_two_statements_wrote_nothing() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    append(&ledger, 0, "d-1").await.unwrap();
    world
        .run(
            "CREATE FUNCTION public.kill() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
             CREATE TRIGGER kill AFTER INSERT ON tidegate_ledger.entry FOR EACH ROW EXECUTE FUNCTION public.kill()",
        )
        .await;
    let answer = append(&ledger, 1, "d-2").await;
    assert!(is_unknown(&answer), "{answer:?}");
    world.run("DROP TRIGGER kill ON tidegate_ledger.entry").await;
    assert_eq!(length(&ledger, "shop").await, 1);
    append(&ledger, 1, "d-3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_on_disk_though_the_database_s_default_is_not_to_wait_for_that() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    world
        .run(
            "ALTER DATABASE ledger SET synchronous_commit = off; CREATE TABLE public.seen (setting text);
             CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
             CREATE TRIGGER look AFTER INSERT ON tidegate_ledger.entry FOR EACH ROW EXECUTE FUNCTION public.look()",
        )
        .await;
    let other = world.daemon().await;
    ledger.resign().await.unwrap();
    lead(&other, "shop").await;
    append(&other, 0, "d-1").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM public.seen WHERE setting = 'on'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_lease_s_row_keeps_others_waiting_for_a_limited_time() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    let mut admin = world.admin("ledger").await;
    sqlx::raw_sql("BEGIN; SELECT FROM tidegate_ledger.lease FOR UPDATE").execute(&mut admin).await.unwrap();
    let begun = Instant::now();
    let answer = append(&ledger, 0, "d-1").await;
    let locked = Err(LedgerError::Server { action: "write", source: tidegate_postgres::Fault::Lock });
    assert_eq!(format!("{answer:?}"), format!("{:?}", locked as Result<(), LedgerError>));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut admin).await.unwrap();
    append(&ledger, 0, "d-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_every_request_ends_in_time() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    lead(&ledger, "shop").await;
    tokio::task::spawn_blocking(|| drop(world)).await.unwrap();
    let begun = Instant::now();
    let (other, shop) = (release("other"), release("shop"));
    let entry = [deployment("d-1")];
    let (lead, append, renew, read) = tokio::join!(
        ledger.lead(&other),
        ledger.append(&shop, 0, at(), &entry),
        ledger.renew(),
        ledger.history(&shop)
    );
    assert!(lead.is_err() && append.is_err() && renew.is_err() && read.is_err());
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    assert!(matches!(ledger.lead(&shop).await, Ok(Lead::Leading(1))), "a lease lasts without the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_one_leads_until_it_resigns_and_the_other_begins_where_it_ended() {
    let world = World::new().await;
    let (one, other) = tokio::join!(world.daemon(), world.daemon());
    assert_eq!(one.identity(), other.identity(), "two that begin at once make one ledger");
    let shop = release("shop");
    lead(&one, "shop").await;
    let Lead::Following { leader } = other.lead(&shop).await.unwrap() else { panic!("two leaders") };
    assert!(leader.contains(&std::process::id().to_string()), "{leader}");
    append(&one, 0, "d-1").await.unwrap();
    let refused = append(&other, 0, "d-2").await.unwrap_err();
    assert!(matches!(refused, LedgerError::Fenced { .. }), "{refused}");

    one.publish(&shop, Some("one")).await.unwrap();
    other.publish(&shop, Some("other")).await.unwrap();
    assert_eq!(other.published(&shop).await.unwrap().as_deref(), Some("one"));

    one.resign().await.unwrap();
    assert_eq!(other.lead(&shop).await.unwrap(), Lead::Leading(2));
    assert_eq!(length(&other, "shop").await, 1);
    append(&other, 1, "d-2").await.unwrap();
    assert!(append(&one, 1, "d-3").await.is_err());
}

/// Each takes the lease for a moment, so that it changes hands all the time, and appends what it read the end of.
async fn contend(store: impl Store, holder: &str, rounds: u64) -> Vec<String> {
    let shop = release("shop");
    let mut kept = vec![];
    for round in 0..rounds {
        let grant = store.lease(&shop, holder, Duration::ZERO).await.unwrap();
        let tidegate_ledger::store::Grant::Held { epoch, .. } = grant else { continue };
        let mut last = None;
        store.read(Some(&shop), &mut |row| last = row.sealed).await.unwrap();
        let head = last.map(|row| Head { length: row.seq + 1, hash: row.hash }).unwrap_or_default();
        let hash = format!("{epoch}-{holder}-{round}");
        let row = Sealed {
            seq: head.length,
            at: String::new(),
            format: 1,
            body: epoch.to_string(),
            previous: head.hash.clone(),
            hash: hash.clone(),
        };
        match store.append(&shop, epoch, &head, &[row]).await {
            Ok(()) => kept.push(hash),
            Err(LedgerError::Conflict { .. } | LedgerError::Fenced { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_of_two_daemons_never_interleave() {
    let world = World::new().await;
    let (one, other) = tokio::join!(
        tokio::spawn(contend(world.store().await, "one", 150)),
        tokio::spawn(contend(world.store().await, "other", 150))
    );
    let mut kept = [one.unwrap(), other.unwrap()].concat();
    let mut rows = vec![];
    world.store().await.read(None, &mut |row| rows.push(row.sealed.unwrap())).await.unwrap();
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row.seq, place as u64);
        let before = place.checked_sub(1).map(|before| &rows[before]);
        assert_eq!(row.previous, before.map(|row| row.hash.clone()).unwrap_or_default());
        let epoch = |row: &Sealed| row.body.parse::<u64>().unwrap();
        assert!(
            before.is_none_or(|before| epoch(before) <= epoch(row)),
            "an older leader wrote behind a newer"
        );
    }
    let mut found: Vec<String> = rows.into_iter().map(|row| row.hash).collect();
    kept.sort();
    found.sort();
    assert_eq!(found, kept, "every append that was acknowledged is there, and no other");
    assert!(["one", "other"].iter().all(|who| found.iter().any(|hash| hash.contains(who))), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_body_is_found_and_only_that_release_is_closed() {
    let world = World::new().await;
    let ledger = world.daemon().await;
    for name in ["shop", "other"] {
        lead(&ledger, name).await;
        ledger.append(&release(name), 0, at(), &[deployment("d-1"), deployment("d-2")]).await.unwrap();
    }
    world
        .run(
            "ALTER TABLE tidegate_ledger.entry DISABLE TRIGGER ALL;
             UPDATE tidegate_ledger.entry SET body = '{\"deploymentKnown\":\"d-X\"}' WHERE release = 'shop' AND seq = 1",
        )
        .await;
    let loaded = world.daemon().await.load().await.unwrap();
    assert!(matches!(loaded[&release("shop")], Loaded::Damaged { .. }), "{loaded:?}");
    assert!(matches!(loaded[&release("other")], Loaded::State(_)), "{loaded:?}");
}
