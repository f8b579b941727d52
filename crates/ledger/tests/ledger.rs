//! The ledger on real files: what survives a kill, what is refused, and what is found damaged.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::{
    io::{self, BufRead as _, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, SqliteConnection};
use tidegate_ledger::{Damage, Lead, Ledger, LedgerError, Loaded, OpenError, lease, store::memory::Memory};
use tidegate_model::{
    ReleaseName,
    decision::Step,
    ledger::{Entry, Intent, ReleaseState, Resolution},
};

/// Where the child of the kill test appends; unset in every other run.
const KILLED_LEDGER: &str = "TIDEGATE_TEST_KILLED_LEDGER";

fn release(name: &str) -> ReleaseName {
    name.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap() + SignedDuration::from_nanos(123_456_789)
}

fn deployment(id: &str) -> Entry {
    Entry::DeploymentKnown(id.to_owned())
}

fn stop(intent: u64) -> [Entry; 2] {
    let step = Step::StopDeployment { deployment: format!("d-{intent}") };
    [
        Entry::Intended(Box::new(Intent { id: intent, step })),
        Entry::Resolved { intent, resolution: Resolution::NotApplied },
    ]
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    async fn open(&self) -> Ledger {
        let ledger = Ledger::open(&self.path()).await.unwrap();
        lead(&ledger, &["shop", "other"]).await;
        ledger
    }

    /// A ledger with three entries of `shop` and one of `other`.
    async fn filled() -> Self {
        let world = Self::new();
        let ledger = world.open().await;
        for (place, id) in ["d-1", "d-2", "d-3"].into_iter().enumerate() {
            ledger.append(&release("shop"), place as u64, at(1), &[deployment(id)]).await.unwrap();
        }
        ledger.append(&release("other"), 0, at(2), &[deployment("d-9")]).await.unwrap();
        drop(ledger);
        world
    }

    /// Changes the file as somebody with a prompt would who removed the triggers first.
    async fn tamper(&self, sql: &'static str) {
        let mut connection = connect(&self.path()).await;
        for trigger in ["DROP TRIGGER entries_are_not_changed", "DROP TRIGGER entries_are_not_removed"] {
            sqlx::query(trigger).execute(&mut connection).await.unwrap();
        }
        let done = sqlx::query(sql).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql} changed nothing");
        connection.close().await.unwrap();
    }

    async fn damage_after(sql: &'static str) -> Damage {
        let world = Self::filled().await;
        world.tamper(sql).await;
        let ledger = world.open().await;
        let loaded = ledger.load().await.unwrap();
        assert_eq!(length(&loaded[&release("other")]), 1, "damage of one release reached another");
        ledger.append(&release("other"), 1, at(3), &[deployment("d-10")]).await.unwrap();
        let Loaded::Damaged { why } = &loaded[&release("shop")] else { panic!("{sql} was not found") };
        let refused = ledger.append(&release("shop"), 3, at(3), &[deployment("d-4")]).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused}");
        assert!(ledger.history(&release("shop")).await.is_err());
        why.clone()
    }
}

/// What is logged meanwhile.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn lead(ledger: &Ledger, releases: &[&str]) {
    for name in releases {
        assert!(matches!(ledger.lead(&release(name)).await.unwrap(), Lead::Leading(_)));
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

fn length(loaded: &Loaded) -> u64 {
    match loaded {
        Loaded::State(state) => state.length,
        Loaded::Damaged { why } => panic!("damaged: {why}"),
    }
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_drop_without_close() {
    let world = World::new();
    let entries = [stop(0).to_vec(), vec![Entry::Hold { present: true }]].concat();
    let mut folded = ReleaseState::default();
    let ledger = world.open().await;
    assert!(ledger.load().await.unwrap().is_empty());
    for (place, entry) in entries.iter().enumerate() {
        let when = at(place as i64);
        ledger.append(&release("shop"), folded.length, when, std::slice::from_ref(entry)).await.unwrap();
        folded.apply(when, entry);
    }
    drop(ledger);

    let again = world.open().await;
    let loaded = again.load().await.unwrap();
    assert_eq!(loaded[&release("shop")], Loaded::State(Box::new(folded)));
    let history: Vec<_> = again.history(&release("shop")).await.unwrap().collect();
    assert_eq!(history.iter().map(|record| record.entry.clone()).collect::<Vec<_>>(), entries);
    assert_eq!((history[2].seq, history[2].at), (2, at(2)));
}

#[tokio::test]
async fn entries_of_one_append_are_all_there_or_none() {
    let ledger = Ledger::in_memory();
    lead(&ledger, &["shop"]).await;
    ledger.append(&release("shop"), 0, at(0), &stop(0)).await.unwrap();
    let late = ledger.append(&release("shop"), 1, at(1), &stop(1)).await.unwrap_err();
    assert!(matches!(late, LedgerError::Conflict { expected: 1, found: 2, .. }), "{late}");
    assert_eq!(ledger.history(&release("shop")).await.unwrap().count(), 2);
    assert_eq!(ledger.history(&release("unheard-of")).await.unwrap().count(), 0);
}

#[tokio::test]
async fn of_two_appends_with_the_same_expected_length_one_is_refused() {
    let ledger = Ledger::in_memory();
    lead(&ledger, &["shop"]).await;
    let name = release("shop");
    let (first, second) = ([deployment("d-1")], [deployment("d-2")]);
    let (one, other) =
        tokio::join!(ledger.append(&name, 0, at(0), &first), ledger.append(&name, 0, at(0), &second));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    assert_eq!(length(&ledger.load().await.unwrap()[&name]), 1);
}

#[tokio::test]
async fn a_second_process_is_told_which_file_is_locked() {
    let world = World::new();
    let first = world.open().await;
    let Err(OpenError::Locked { path }) = Ledger::open(&world.path()).await else {
        panic!("two ledgers on one file")
    };
    assert_eq!(path, world.folder.path().join("ledger.db.lock"));
    drop(first);
    world.open().await;
}

#[tokio::test]
async fn nothing_is_appended_once_the_lock_file_is_gone() {
    let world = World::new();
    let ledger = world.open().await;
    let lock = world.folder.path().join("ledger.db.lock");
    std::fs::remove_file(&lock).unwrap();
    let lost = ledger.append(&release("shop"), 0, at(0), &[deployment("d-1")]).await.unwrap_err();
    assert!(matches!(lost, LedgerError::LockLost { .. }), "{lost}");
    std::fs::write(&lock, "").unwrap();
    let lost = ledger.lead(&release("shop")).await.unwrap_err();
    assert!(matches!(lost, LedgerError::LockLost { .. }), "a file made anew is not the one that is locked");
}

#[tokio::test]
async fn nothing_is_appended_once_the_file_itself_is_gone() {
    let world = World::new();
    let ledger = world.open().await;
    let file = world.folder.path().join("ledger.db");
    let copy = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let gone = ledger.append(&release("shop"), 0, at(0), &[deployment("d-1")]).await.unwrap_err();
    assert!(matches!(gone, LedgerError::Replaced { .. }) && gone.is_fatal(), "{gone}");
    std::fs::write(&file, copy).unwrap();
    let replaced = ledger.lead(&release("shop")).await.unwrap_err();
    assert!(matches!(replaced, LedgerError::Replaced { .. }), "a copy that was put back is another file");
}

#[tokio::test]
async fn a_changed_body_is_found() {
    let why = World::damage_after(
        r#"UPDATE entries SET body = '{"deploymentKnown":"d-X"}' WHERE release = 'shop' AND seq = 1"#,
    );
    assert_eq!(why.await, Damage::BadHash { seq: 1 });
}

#[tokio::test]
async fn a_changed_time_is_found() {
    let why = World::damage_after(
        "UPDATE entries SET at = '2020-01-01T00:00:00Z' WHERE release = 'shop' AND seq = 2",
    );
    assert_eq!(why.await, Damage::BadHash { seq: 2 });
}

#[tokio::test]
async fn an_entry_of_another_release_is_found() {
    let why = World::damage_after(
        "INSERT INTO entries SELECT 'shop', 3, at, format, body, (SELECT hash FROM entries WHERE release = 'shop' AND seq = 2), hash
         FROM entries WHERE release = 'other'",
    );
    assert_eq!(why.await, Damage::BadHash { seq: 3 });
}

#[tokio::test]
async fn a_gap_is_found() {
    let why = World::damage_after("DELETE FROM entries WHERE release = 'shop' AND seq = 1");
    assert_eq!(why.await, Damage::Gap { expected: 1, found: 2 });
    let why = World::damage_after("DELETE FROM entries WHERE release = 'shop' AND seq = 0");
    assert_eq!(why.await, Damage::Gap { expected: 0, found: 1 });
}

#[tokio::test]
async fn a_row_is_not_changed_by_accident() {
    let world = World::filled().await;
    let mut connection = connect(&world.path()).await;
    for sql in ["UPDATE entries SET body = ''", "DELETE FROM entries"] {
        let refused = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn a_newer_layout_and_a_foreign_database_are_refused_and_left_alone() {
    let world = World::filled().await;
    let mut connection = connect(&world.path()).await;
    sqlx::query("PRAGMA user_version = 7").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let Err(OpenError::Newer { found: 7, known: 1, .. }) = Ledger::open(&world.path()).await else {
        panic!("a newer layout was opened")
    };

    let foreign = World::new();
    std::fs::write(foreign.path(), "").unwrap();
    let mut connection = connect(&foreign.path()).await;
    sqlx::query("CREATE TABLE music (title TEXT)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(foreign.path()).unwrap();
    let Err(OpenError::NotALedger { .. }) = Ledger::open(&foreign.path()).await else {
        panic!("a foreign database was opened")
    };
    assert_eq!(std::fs::read(foreign.path()).unwrap(), before);
}

#[tokio::test]
async fn ten_thousand_entries_fold_quickly() {
    let world = World::new();
    let ledger = world.open().await;
    let entries: Vec<Entry> = (0..5_000).flat_map(|pair| stop(pair * 2)).collect();
    ledger.append(&release("shop"), 0, at(0), &entries).await.unwrap();
    let began = Instant::now();
    assert_eq!(length(&ledger.load().await.unwrap()[&release("shop")]), 10_000);
    assert!(began.elapsed() < Duration::from_secs(5), "folding took {:?}", began.elapsed());
}

#[tokio::test]
async fn every_acknowledged_entry_survives_kill_9() {
    let world = World::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "appends_until_it_is_killed", "--ignored", "--nocapture"])
        .env(KILLED_LEDGER, world.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let acknowledged: Vec<u64> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .filter_map(|line| line.ok()?.strip_prefix("appended ")?.parse().ok())
        .take(40)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(acknowledged.len(), 40, "the child ended before it was killed");
    let ledger = world.open().await;
    let kept = length(&ledger.load().await.unwrap()[&release("shop")]);
    assert!(kept >= *acknowledged.last().unwrap(), "{kept} kept of {acknowledged:?}");
    ledger.append(&release("shop"), kept, at(9), &[deployment("d-after")]).await.unwrap();
}

/// Not a test of its own: the child of the one above.
#[tokio::test]
#[ignore = "appends for ever; run by every_acknowledged_entry_survives_kill_9"]
async fn appends_until_it_is_killed() {
    let ledger = Ledger::open(Path::new(&std::env::var(KILLED_LEDGER).unwrap())).await.unwrap();
    lead(&ledger, &["shop"]).await;
    for pair in 0.. {
        ledger.append(&release("shop"), pair * 2, at(0), &stop(pair * 2)).await.unwrap();
        println!("\nappended {}", (pair + 1) * 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_goes_on_to_another_daemon_when_it_ends_and_the_first_one_is_fenced() {
    let store = Memory::default();
    let [first, second] = ["one", "two"].map(|holder| Ledger::on(Arc::new(store.clone()), holder));
    let (shop, call) = (release("shop"), Duration::from_secs(35));
    assert_eq!(first.lead(&shop).await.unwrap(), Lead::Leading(1));
    assert_eq!(second.lead(&shop).await.unwrap(), Lead::Following { leader: "one".into() });
    first.append(&shop, 0, at(0), &[deployment("d-1")]).await.unwrap();

    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(first.leads_for(&shop, call), None, "a call would not be over before the lease may end");
    first.renew().await.unwrap();
    assert_eq!(first.leads_for(&shop, call), Some(1));

    tokio::time::advance(lease::TERM).await;
    assert_eq!(second.lead(&shop).await.unwrap(), Lead::Leading(2));
    let fenced = first.append(&shop, 1, at(1), &[deployment("d-2")]).await.unwrap_err();
    assert!(matches!(fenced, LedgerError::Fenced { .. }), "{fenced}");
    assert_eq!(second.history(&shop).await.unwrap().count(), 1, "who begins to lead reads the chain first");
    second.append(&shop, 1, at(1), &[deployment("d-3")]).await.unwrap();
    assert_eq!(first.lead(&shop).await.unwrap(), Lead::Following { leader: "two".into() });
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_back_is_free_at_once() {
    let store = Memory::default();
    let [first, second] = ["one", "two"].map(|holder| Ledger::on(Arc::new(store.clone()), holder));
    let shop = release("shop");
    first.lead(&shop).await.unwrap();
    first.resign().await.unwrap();
    assert_eq!(first.leads_for(&shop, Duration::ZERO), None);
    assert_eq!(second.lead(&shop).await.unwrap(), Lead::Leading(2));
    assert_eq!(first.lead(&shop).await.unwrap(), Lead::Following { leader: "two".into() });
}

#[tokio::test(start_paused = true)]
async fn a_renewal_finds_out_that_a_lease_was_lost() {
    let store = Memory::default();
    let [first, second] = ["one", "two"].map(|holder| Ledger::on(Arc::new(store.clone()), holder));
    let shop = release("shop");
    first.lead(&shop).await.unwrap();
    tokio::time::advance(lease::TERM).await;
    second.lead(&shop).await.unwrap();
    first.renew().await.unwrap();
    assert_eq!(first.leads_for(&shop, Duration::ZERO), None);
    assert_eq!(second.leads_for(&shop, Duration::ZERO), Some(2));
}

#[tokio::test]
async fn a_file_keeps_its_identity_and_counts_how_often_it_was_opened() {
    let world = World::new();
    let first = world.open().await;
    let identity = first.identity().to_owned();
    assert_eq!(first.lead(&release("shop")).await.unwrap(), Lead::Leading(1));
    drop(first);
    let second = world.open().await;
    assert_eq!(second.identity(), identity);
    assert_ne!(World::new().open().await.identity(), identity, "another file is another ledger");
    assert_eq!(second.lead(&release("shop")).await.unwrap(), Lead::Leading(2));
}

#[tokio::test]
async fn rows_under_a_name_that_is_no_release_s_are_told_and_left_out() {
    let world = World::filled().await;
    let log = Log::default();
    let _until_the_end = log.begin();
    assert_eq!(world.open().await.load().await.unwrap().len(), 2);
    assert!(!log.text().contains("no release's"), "{}", log.text());
    world.tamper("UPDATE entries SET release = 'No Release' WHERE release = 'other'").await;
    let loaded = world.open().await.load().await.unwrap();
    assert_eq!(loaded.keys().collect::<Vec<_>>(), [&release("shop")]);
    assert!(
        log.text().contains("the ledger has rows under a name that is no release's rows=1"),
        "{}",
        log.text()
    );
}
