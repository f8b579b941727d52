//! The customers: what they find, what they remember, and a whole roll of versions under their eyes.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tidegate_shop::{
    customers::{Cause, Customers, Forms, Report, Wrong},
    initial,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    cluster::Cluster,
    migrations::{backfill, contract, counts, expand, run},
    process::{Shop, free_address},
};

/// Passes each new connection to the next of its targets.
struct Switch {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Switch {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::<SocketAddr>::new()));
        let (shared, next) = (Arc::clone(&targets), AtomicUsize::new(0));
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let target = {
                    let targets = shared.lock().unwrap();
                    targets[next.fetch_add(1, Ordering::Relaxed) % targets.len()]
                };
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, targets }
    }

    fn to(&self, shops: &[&Shop]) {
        *self.targets.lock().unwrap() = shops.iter().map(|shop| shop.address).collect();
    }
}

#[track_caller]
fn assert_faultless(report: &Report) {
    assert_eq!((report.failed, report.wrong), (0, 0), "{:?}", report.first_failures);
}

/// Takes the old shop out of the switch, as deregistration does, and then stops it.
async fn replace(switch: &Switch, old: Shop, new: &[&Shop]) {
    switch.to(new);
    tokio::time::sleep(Duration::from_millis(200)).await;
    old.terminate();
    assert_eq!(old.ended().await.0.code(), Some(0));
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_roll_from_version_1_to_contract_fails_no_request_and_loses_no_write() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, &initial::script(2000, NonZeroU32::new(50))).await;
    let (switch, one) = (Switch::start().await, Shop::start(&cluster, 1).await);
    switch.to(&[&one]);
    let customers = Customers::new(switch.address).awkward_percent(10).start();
    a_while().await;

    expand(&mut db).await;
    backfill(&mut db).await;
    assert_eq!(counts(&mut db).await.0, 0);
    let two = Shop::start(&cluster, 2).await;
    switch.to(&[&one, &two]);
    a_while().await;
    replace(&switch, one, &[&two]).await;
    customers.set_awkward_percent(0);
    let three = Shop::start(&cluster, 3).await;
    switch.to(&[&two, &three]);
    a_while().await;
    replace(&switch, two, &[&three]).await;
    assert_eq!(counts(&mut db).await.0, 0);
    assert!(counts(&mut db).await.1 > 0, "some addresses were awkward");

    // Reading back while they go on: what was acknowledged up to now is here, in both forms.
    let before = customers.read_back(&mut db, Forms::Both).await.unwrap();
    assert_eq!((before.wrong, &before.first_wrong[..]), (0, &[][..]));
    assert!(before.checked > 100, "{before:?}");

    contract(&mut db).await;
    a_while().await;
    let (report, writes) = customers.stop().await;
    assert_faultless(&report);
    let after = writes.read_back(&mut db, Forms::New, SystemTime::now()).await.unwrap();
    assert_eq!(after.wrong, 0, "{after:?}");
    assert!(after.checked > before.checked);
    assert_eq!(writes.acknowledged().unknown, 0);
    let kept = report.sent_on_kept as f64 / report.sent as f64;
    assert!((0.45..0.55).contains(&kept), "half on kept connections: {kept}");
    let full: Vec<u64> =
        report.history[1..report.history.len() - 1].iter().map(|second| second.sent).collect();
    assert!(full.iter().sum::<u64>() > 100 * full.len() as u64, "{full:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_3_refuses_text_it_has_no_column_for_and_that_is_no_failure() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    expand(&mut db).await;
    let shop = Shop::start(&cluster, 3).await;
    let customers = Customers::new(shop.address).rate(300).awkward_percent(50).start();
    a_while().await;
    let (report, writes) = customers.stop().await;
    assert_faultless(&report);
    assert!(report.refused > 10, "{report:?}");
    assert_eq!(writes.read_back(&mut db, Forms::Both, SystemTime::now()).await.unwrap().wrong, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_changed_writes_are_found_by_reading_back_and_by_the_customers_themselves() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    expand(&mut db).await;
    let shop = Shop::start(&cluster, 2).await;
    let customers = Customers::new(shop.address).rate(300).start();
    a_while().await;
    run(&mut db, "ALTER TABLE customers DISABLE TRIGGER USER").await;
    run(&mut db, "DELETE FROM customers WHERE id % 3 = 0").await;
    run(&mut db, "UPDATE customers SET city = 'Elsewhere' WHERE id % 3 = 1").await;
    let found = customers.read_back(&mut db, Forms::Both).await.unwrap();
    assert!(found.wrong > 10, "{found:?}");
    for how in [Wrong::Missing, Wrong::Differs] {
        assert!(found.first_wrong.iter().any(|row| row.how == how), "{found:?}");
    }
    a_while().await;
    let (report, _) = customers.stop().await;
    assert!(report.wrong > 10 && report.failed == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_4s_failures_are_counted_with_their_status_and_lose_no_acknowledged_write() {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    expand(&mut db).await;
    let shop = Shop::start_with(&cluster, 4, &[("SHOP_FAULT_AFTER", "20")]).await;
    let customers = Customers::new(shop.address).rate(300).start();
    a_while().await;
    let (report, writes) = customers.stop().await;
    assert!(report.failed > 20 && report.failed < report.sent / 2, "{report:?}");
    assert_eq!(report.causes.keys().collect::<Vec<_>>(), [&Cause::Status(500)]);
    assert_eq!(report.wrong, 0, "{:?}", report.first_failures);
    assert!(writes.acknowledged().unknown > 0);
    assert_eq!(writes.read_back(&mut db, Forms::Both, SystemTime::now()).await.unwrap().wrong, 0);
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses() {
    let customers = Customers::new(free_address()).start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (report, _) = customers.stop().await;
    assert!(report.sent > 10);
    assert_eq!((report.failed, report.causes.get(&Cause::Refused)), (report.sent, Some(&report.sent)));
}

/// A server that takes connections and does with them what it is told.
async fn bad_server<F: Future<Output = ()> + Send + 'static>(treat: fn(TcpStream) -> F) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(treat(stream));
        }
    });
    address
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_a_reset() {
    let address = bad_server(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let customers = Customers::new(address).start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (report, _) = customers.stop().await;
    assert!(report.sent > 10);
    assert_eq!((report.failed, report.causes.get(&Cause::Reset)), (report.sent, Some(&report.sent)));
}

#[tokio::test]
async fn no_answer_within_two_seconds_is_too_late() {
    let address = bad_server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let customers = Customers::new(address).start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (report, _) = customers.stop().await;
    assert!(report.sent > 10);
    assert_eq!((report.failed, report.causes.get(&Cause::TooLate)), (report.sent, Some(&report.sent)));
}
