//! The binary `shop` in its four versions.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tidegate_shop::initial;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    cluster::{Cluster, PASSWORD},
    migrations::{contract, expand, run},
    process::{Shop, command, free_address, message, read_answer},
};

const ELM: &str = "9 Elm St, Boston, MA, 02101";

async fn database(expanded: bool) -> Cluster {
    let cluster = Cluster::start();
    let mut db = cluster.connect().await;
    run(&mut db, initial::SCHEMA).await;
    if expanded {
        expand(&mut db).await;
    }
    cluster
}

fn structured() -> Value {
    json!({"name": "Ann", "street_address": "9 Elm St", "city": "Boston", "state": "MA", "zip_code": "02101"})
}

#[tokio::test]
async fn version_1_keeps_text_and_its_customers_can_be_created_read_changed_listed_and_deleted() {
    let cluster = database(false).await;
    let shop = Shop::start(&cluster, 1).await;
    assert_eq!(shop.call("GET /health", None).await, (200, json!({"status": "ok", "version": 1})));
    assert_eq!(shop.call("GET /version", None).await, (200, json!({"version": 1})));
    let (status, ann) = shop.call("POST /api/customers", Some(json!({"name": "Ann", "address": ELM}))).await;
    assert_eq!((status, &ann), (201, &json!({"id": 1, "name": "Ann", "email": null, "address": ELM})));
    assert_eq!(shop.call("GET /api/customers/1", None).await, (200, ann));
    let changed = Some(json!({"name": "Anna", "email": "a@example.com", "city": "ignored"}));
    let anna = json!({"id": 1, "name": "Anna", "email": "a@example.com", "address": null});
    assert_eq!(shop.call("PUT /api/customers/1", changed).await, (200, anna.clone()));
    shop.call("POST /api/customers", Some(json!({"name": "Bob"}))).await;
    assert_eq!(shop.call("GET /api/customers?limit=1", None).await.1[0]["name"], "Bob");
    assert_eq!(shop.call("GET /api/customers", None).await.1[1], anna);
    assert_eq!(shop.call("DELETE /api/customers/1", None).await, (204, Value::Null));
    for gone in ["GET /api/customers/1", "DELETE /api/customers/1"] {
        assert_eq!(shop.call(gone, None).await.0, 404);
    }
    assert_eq!(shop.call("PUT /api/customers/1", Some(json!({"name": "x"}))).await.0, 404);
}

#[tokio::test]
async fn every_version_shows_what_every_other_version_wrote() {
    let cluster = database(true).await;
    let shops =
        [Shop::start(&cluster, 1).await, Shop::start(&cluster, 2).await, Shop::start(&cluster, 3).await];
    let text = json!({"name": "Ann", "address": ELM});
    let mut both = structured();
    both["address"] = json!(ELM);
    for (writer, body) in [
        (0, &text),
        (0, &both),
        (1, &text),
        (1, &structured()),
        (1, &both),
        (2, &text),
        (2, &structured()),
        (2, &both),
    ] {
        let (status, created) = shops[writer].call("POST /api/customers", Some(body.clone())).await;
        assert_eq!(status, 201, "{body}");
        let path = format!("GET /api/customers/{}", created["id"]);
        let seen = [
            shops[0].call(&path, None).await.1,
            shops[1].call(&path, None).await.1,
            shops[2].call(&path, None).await.1,
        ];
        assert_eq!(
            (&seen[0]["address"], seen[0].get("city")),
            (&json!(ELM), None),
            "version {} wrote {body}",
            writer + 1
        );
        assert_eq!((&seen[1]["address"], &seen[1]["city"]), (&json!(ELM), &json!("Boston")));
        assert_eq!((seen[2].get("address"), &seen[2]["zip_code"]), (None, &json!("02101")));
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_mapped_fails_no_write_of_a_version_that_can_keep_it() {
    let cluster = database(true).await;
    let body = json!({"name": "Ann", "address": "The Old Mill, 12 River Rd, Dover, DE, 19901"});
    for (version, expected) in [(1, 201), (2, 201), (3, 422)] {
        let shop = Shop::start(&cluster, version).await;
        let (status, answer) = shop.call("POST /api/customers", Some(body.clone())).await;
        assert_eq!(status, expected, "version {version}: {answer}");
        assert_eq!(
            shop.call("POST /api/customers", Some(json!({"name": "Ann", "address": null}))).await.0,
            201
        );
        let too_long = json!({"name": "Ann", "city": "Albany", "state": "New York"});
        let expected = if version == 1 { 201 } else { 422 };
        assert_eq!(shop.call("POST /api/customers", Some(too_long)).await.0, expected);
    }
}

#[tokio::test]
async fn version_2_fails_every_write_after_contract_while_its_health_stays_green() {
    let cluster = database(true).await;
    let (two, three) = (Shop::start(&cluster, 2).await, Shop::start(&cluster, 3).await);
    for shop in [&two, &three] {
        assert_eq!(shop.call("POST /api/customers", Some(structured())).await.0, 201);
    }
    let mut db = cluster.connect().await;
    contract(&mut db).await;
    let (status, answer) = two.call("POST /api/customers", Some(structured())).await;
    assert_eq!((status, &answer["sqlstate"]), (500, &json!("42703")));
    assert_eq!(two.call("GET /health", None).await.0, 200);
    assert_eq!(three.call("POST /api/customers", Some(structured())).await.0, 201);
    assert_eq!(three.call("GET /api/customers/1", None).await.0, 200);
}

#[tokio::test]
async fn version_4_starts_healthy_and_fails_only_after_it_has_served_some_requests() {
    let cluster = database(true).await;
    let shop = Shop::start_with(&cluster, 4, &[("SHOP_FAULT_AFTER", "3"), ("SHOP_FAULT_SHARE", "1")]).await;
    for _ in 0..3 {
        assert_eq!(shop.call("GET /health", None).await.0, 200);
        assert_eq!(shop.call("POST /api/customers", Some(structured())).await.0, 201);
    }
    for _ in 0..3 {
        assert_eq!(shop.call("GET /api/customers/1", None).await.0, 500);
        assert_eq!(shop.call("GET /health", None).await.0, 200);
    }
}

#[tokio::test]
async fn its_sessions_are_few_and_carry_its_version() {
    let cluster = database(true).await;
    let shop = Shop::start(&cluster, 3).await;
    let requests = (0..40).map(|_| shop.call("GET /api/customers", None));
    for (status, _) in futures_util::future::join_all(requests).await {
        assert_eq!(status, 200);
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop-v3'";
    let sessions: i64 = sqlx::query_scalar(count).fetch_one(&mut cluster.connect().await).await.unwrap();
    assert!((1..=5).contains(&sessions), "{sessions} sessions");
}

#[tokio::test]
async fn health_fails_when_the_database_is_gone() {
    let cluster = database(false).await;
    let shop = Shop::start(&cluster, 1).await;
    drop(cluster);
    assert_eq!(shop.call("GET /health", None).await.0, 503);
}

#[tokio::test]
async fn on_sigterm_running_requests_finish_kept_connections_are_told_and_the_exit_is_0() {
    let cluster = database(false).await;
    let shop = Shop::start(&cluster, 1).await;
    let mut idle = TcpStream::connect(shop.address).await.unwrap();
    idle.write_all(&message("GET /version", None, "keep-alive")).await.unwrap();
    let mut answer = [0; 1024];
    let length = idle.read(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer[..length]).contains("connection: close"));

    let mut db = cluster.connect().await;
    run(&mut db, "BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await;
    let mut slow = TcpStream::connect(shop.address).await.unwrap();
    slow.write_all(&message("POST /api/customers", Some(json!({"name": "Ann"})), "keep-alive"))
        .await
        .unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let deadline = Instant::now() + Duration::from_secs(10);
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut db).await.unwrap() == 0 {
        assert!(Instant::now() < deadline, "the request does not wait for the lock");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shop.terminate();
    while TcpStream::connect(shop.address).await.is_ok() {
        assert!(Instant::now() < deadline, "connections are still accepted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A request on the connection that was idle is still answered, and that is its last.
    idle.write_all(&message("GET /version", None, "keep-alive")).await.unwrap();
    let mut last = String::new();
    idle.read_to_string(&mut last).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");

    run(&mut db, "COMMIT").await;
    assert_eq!(read_answer(&mut slow).await.0, 201);
    let (status, log) = shop.ended().await;
    assert_eq!(status.code(), Some(0));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<&Value> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["shop started", "shop stopped"]);
    assert_eq!(lines[1]["drained"], true);
}

#[tokio::test]
async fn without_its_database_it_says_so_and_fails() {
    let no_database = free_address().port();
    let output = command(1, free_address(), no_database).stdout(Stdio::piped()).output().unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(log.contains("open database") && log.contains("database cannot be reached"), "{log}");

    let cluster = Cluster::start();
    let started = || command(1, free_address(), cluster.port).env("DB_PASSWORD", "wrong-secret").output();
    // On a busy machine the server may not answer within the shop's 5 seconds: that is another answer, not a wrong one.
    let answered = |output: &std::process::Output| {
        !String::from_utf8_lossy(&output.stdout).contains("database cannot be reached")
    };
    let output = (0..6).map(|_| started().unwrap()).find(answered).expect("an answer of the server");
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("SQLSTATE 28P01"), "{log}");
    assert!(!log.contains("wrong-secret") && !log.contains(PASSWORD) && output.stderr.is_empty(), "{log}");
}
