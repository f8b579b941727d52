//! The sandbox's clock, over HTTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, routing::get};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_controller::{Clock as _, ClockError, Remote};

type Told = Arc<Mutex<Value>>;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

async fn sandbox(told: &Told) -> (String, tokio::task::JoinHandle<()>) {
    let app = Router::new()
        .route(
            "/_sandbox/clock",
            get(|State(told): State<Told>| async move { Json(told.lock().unwrap().clone()) }),
        )
        .with_state(Arc::clone(told));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

#[tokio::test]
async fn it_is_extrapolated_and_wakes_sleepers_at_its_speed() {
    let told = Arc::new(Mutex::new(json!({"now": at(0), "speed": 600.0})));
    let (url, server) = sandbox(&told).await;
    let clock = Remote::connect(&url).await.unwrap();
    let began = Instant::now();
    clock.sleep_until(at(60)).await;
    assert!(clock.now() >= at(60));
    assert!(began.elapsed() < Duration::from_secs(5), "a minute took {:?}", began.elapsed());
    server.abort();
}

#[tokio::test]
async fn a_jump_wakes_sleepers_and_time_never_goes_back() {
    let told = Arc::new(Mutex::new(json!({"now": at(0), "speed": 0.0})));
    let (url, server) = sandbox(&told).await;
    let clock = Remote::connect(&url).await.unwrap();
    assert_eq!(clock.now(), at(0), "a clock of speed 0 stands");
    *told.lock().unwrap() = json!({"now": at(3_600), "speed": 0.0});
    clock.sleep_until(at(3_600)).await;
    *told.lock().unwrap() = json!({"now": at(0), "speed": 0.0});
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(clock.now(), at(3_600));
    server.abort();
}

#[tokio::test]
async fn a_clock_that_cannot_be_used_is_refused_at_the_start() {
    assert!(matches!(Remote::connect("http://192.0.2.1:80").await, Err(ClockError::NotLoopback)));
    let told = Arc::new(Mutex::new(json!({"time": "noon"})));
    let (url, server) = sandbox(&told).await;
    assert!(matches!(Remote::connect(&url).await, Err(ClockError::Unusable(_))));
    server.abort();
}
