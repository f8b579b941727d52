//! Probes against a real HTTP server that remembers what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::json;
use tidegate_model::spec::Expect;

use super::*;

/// What the server was asked: method and path, in order.
type Asked = Arc<Mutex<Vec<String>>>;

struct World {
    address: String,
    asked: Asked,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    async fn new() -> Self {
        let asked = Asked::default();
        let app = Router::new().fallback(any(answer)).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, asked, server }
    }

    async fn verify(&self, probes: Vec<Probe>) -> Option<String> {
        let verify = Verify { address: self.address.clone(), production: false, probes };
        Prober::new().unwrap().verify(&verify).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(asked): State<Asked>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    asked.lock().unwrap().push(format!("{} {path}", request.method()));
    match path.as_str() {
        "/customers" => (StatusCode::CREATED, Json(json!({"id": "a/b c", "name": "secret"}))).into_response(),
        "/dots" => Json(json!({"id": ".."})).into_response(),
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "secret").into_response(),
        "/elsewhere" => (StatusCode::FOUND, [(header::LOCATION, "/customers")]).into_response(),
        "/large" => vec![b'x'; 2 << 20].into_response(),
        "/text" => "secret".into_response(),
        "/header" => {
            let given = request.headers().get("x-probe").is_some_and(|value| value == "yes");
            if given { StatusCode::OK } else { StatusCode::BAD_REQUEST }.into_response()
        }
        _ => Json(json!({"name": "probe"})).into_response(),
    }
}

fn probe(method: Method, path: &str) -> Probe {
    Probe {
        method,
        path: path.to_owned(),
        headers: BTreeMap::new(),
        json: None,
        expect: Expect::default(),
        save: BTreeMap::new(),
        always: false,
    }
}

fn get(path: &str) -> Probe {
    probe(Method::Get, path)
}

fn saving(path: &str) -> Probe {
    Probe { save: BTreeMap::from([("id".into(), "/id".into())]), ..probe(Method::Post, path) }
}

fn cleanup() -> Probe {
    Probe { always: true, ..probe(Method::Delete, "/customers/{id}") }
}

#[tokio::test]
async fn what_one_probe_saves_the_next_ones_ask_for() {
    let world = World::new().await;
    let read_back = Probe {
        expect: Expect { status: Some(200), json: BTreeMap::from([("/name".into(), json!("probe"))]) },
        ..get("/customers/{id}")
    };
    assert_eq!(world.verify(vec![saving("/customers"), read_back, cleanup()]).await, None);
    assert_eq!(
        world.asked(),
        ["POST /customers", "GET /customers/a%2Fb%20c", "DELETE /customers/a%2Fb%20c"],
        "a saved value stays one path segment"
    );
}

#[tokio::test]
async fn after_a_failure_only_cleaning_up_is_sent() {
    let world = World::new().await;
    let failure = world.verify(vec![saving("/customers"), get("/broken"), get("/ok"), cleanup()]).await;
    assert_eq!(failure.unwrap(), "probe 2 (GET) got status 500 where 2xx was expected");
    assert_eq!(world.asked(), ["POST /customers", "GET /broken", "DELETE /customers/a%2Fb%20c"]);
}

#[tokio::test]
async fn the_first_failure_is_told_though_cleaning_up_fails_too() {
    let world = World::new().await;
    let failure = world.verify(vec![get("/broken"), cleanup()]).await;
    assert!(failure.unwrap().starts_with("probe 1 (GET) got status 500"));
    assert_eq!(world.asked(), ["GET /broken"], "nothing was saved, so nothing is deleted");
}

#[tokio::test]
async fn every_failure_is_told_without_a_word_of_the_answer() {
    let world = World::new().await;
    let expecting = |path: &str, status| Probe {
        expect: Expect { status: Some(status), json: BTreeMap::from([("/name".into(), json!("probe"))]) },
        ..get(path)
    };
    for (probe, told) in [
        (expecting("/customers", 200), "got status 201 where 200 was expected"),
        (expecting("/customers", 201), "got an answer without the expected value at /name (status 201)"),
        (expecting("/text", 200), "got an answer that is not JSON (status 200)"),
        (get("/elsewhere"), "got status 302 where 2xx was expected"),
        (get("/large"), "got an answer larger than 1048576 bytes (status 200)"),
        (get("/customers/{id}"), "needs {id}, which no earlier probe saved"),
        (get("@127.0.0.1:1/"), "cannot be sent: its path or headers are not well formed for this listener"),
    ] {
        assert_eq!(world.verify(vec![probe]).await.unwrap(), format!("probe 1 (GET) {told}"));
    }
    for path in ["/customer", "/dots"] {
        let failure = world.verify(vec![saving(path)]).await.unwrap();
        assert_eq!(failure, "probe 1 (POST) got an answer without a value to save at /id (status 200)");
    }
}

#[tokio::test]
async fn headers_are_sent() {
    let world = World::new().await;
    assert!(world.verify(vec![get("/header")]).await.is_some());
    let with = Probe { headers: BTreeMap::from([("X-Probe".into(), "yes".into())]), ..get("/header") };
    assert_eq!(world.verify(vec![with]).await, None);
}

#[tokio::test]
async fn a_listener_that_refuses_is_a_failure() {
    let world = World::new().await;
    let port = {
        let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        unused.local_addr().unwrap()
    };
    let verify = Verify { address: format!("http://{port}"), production: true, probes: vec![get("/")] };
    let failure = Prober::new().unwrap().verify(&verify).await.unwrap();
    assert_eq!(failure, "probe 1 (GET) got no answer: the connection was refused or broke");
    assert!(world.asked().is_empty());
}

/// Virtual time: the server never answers, and nobody waits ten seconds for that.
#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let verify = Verify { address, production: true, probes: vec![get("/")] };
    let failure = Prober::new().unwrap().verify(&verify).await.unwrap();
    assert_eq!(failure, "probe 1 (GET) got no answer within 10 s");
}
