//! What releases break, at will: connections that leak, checkouts that are lost, and checkouts as CloudWatch gets them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Json, Router, body::Bytes, http::Uri, routing::get};
use serde_json::{Value, json};
use tidegate_shop::{customers::Customers, initial};
use tokio::net::TcpListener;

use crate::{
    cluster::Cluster,
    migrations::run,
    process::{Shop, command, free_address},
};

async fn database() -> Cluster {
    let cluster = Cluster::start();
    run(&mut cluster.connect().await, initial::SCHEMA).await;
    cluster
}

#[tokio::test]
async fn a_leak_takes_a_connection_with_every_so_manieth_request_up_to_its_limit() {
    let cluster = database().await;
    let shop = Shop::start_with(&cluster, 1, &[("SHOP_LEAK_EVERY", "2"), ("SHOP_LEAK_MOST", "12")]).await;
    let mut db = cluster.connect().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop-v1'";
    for (requests, leaked) in [(4, 2), (40, 12), (20, 12)] {
        for _ in 0..requests {
            assert_eq!(shop.call("GET /api/customers", None).await.0, 200);
        }
        // From one to five more are the pool's.
        let expected = leaked + 1..=leaked + 5;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !expected.contains(&sqlx::query_scalar::<_, i64>(open).fetch_one(&mut db).await.unwrap()) {
            assert!(Instant::now() < deadline, "not {leaked} after {requests} more requests");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_checkouts_are_told_by_customers_and_are_no_failed_requests() {
    let cluster = database().await;
    let shop = Shop::start_with(&cluster, 1, &[("SHOP_CHECKOUTS_LOST", "0.5")]).await;
    let customers = Customers::new(shop.address).rate(300).checkout_percent(40).start();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (report, _) = customers.stop().await;
    assert_eq!((report.failed, report.wrong, report.refused), (0, 0, 0), "{:?}", report.first_failures);
    assert!(report.bought > 30 && report.lost > 30, "{report:?}");
}

/// A metadata endpoint and a CloudWatch: answers, and the bodies that came.
async fn aws() -> (SocketAddr, Arc<Mutex<Vec<(String, Bytes)>>>) {
    let taken: Arc<Mutex<Vec<(String, Bytes)>>> = Arc::default();
    let keep = taken.clone();
    let task = || async { Json(json!({ "Family": "ecommerce", "Revision": "7" })) };
    let router =
        Router::new().route("/v4/t-1/task", get(task)).fallback(move |uri: Uri, body: Bytes| async move {
            keep.lock().unwrap().push((uri.path().to_owned(), body));
            ([("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")], &b"\xa0"[..])
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkouts_are_published_under_the_task_definition_and_the_last_ones_at_the_end() {
    let cluster = database().await;
    let (aws, taken) = aws().await;
    let endpoint = format!("http://{aws}");
    let metadata = format!("{endpoint}/v4/t-1");
    let environment = [
        ("SHOP_PUBLISH_EVERY", "600"),
        ("ECS_CONTAINER_METADATA_URI_V4", &metadata),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ];
    let shop = Shop::start_with(&cluster, 1, &environment).await;
    let (_, ann) = shop.call("POST /api/customers", Some(json!({"name": "Ann"}))).await;
    let request = format!("POST /api/customers/{}/checkout", ann["id"]);
    assert_eq!(shop.call(&request, None).await, (201, json!({ "shipped_to": ann })));
    assert_eq!(shop.call("POST /api/customers/77/checkout", None).await.0, 404);
    shop.terminate();
    assert_eq!(shop.ended().await.0.code(), Some(0));
    let taken = taken.lock().unwrap();
    let [(path, body)] = &taken[..] else { panic!("one call: {taken:?}") };
    assert_eq!(path, "/service/GraniteServiceVersion20100801/operation/PutMetricData");
    let text = String::from_utf8_lossy(body);
    for part in ["Shop", "Checkouts", "Revision", "ecommerce:7"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_shop_that_is_to_publish_and_does_not_know_what_it_is_says_so_and_fails() {
    let cluster = database().await;
    let output = command(1, free_address(), cluster.port).env("SHOP_PUBLISH_EVERY", "60").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["cause"], "there is no ECS_CONTAINER_METADATA_URI_V4: this is no ECS task");
}
