//! The whole surface, asked as a client asks.

pub(crate) mod sample;
mod serving;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use tidegate_model::status::{Published, ReleaseStatus};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::{Metrics, Shared, router, routes};
use sample::{now, published, release};

/// A surface that shows `published`; the sender keeps it open.
pub(crate) fn surface(published: Published) -> (watch::Sender<Arc<Published>>, Shared) {
    let (sender, receiver) = watch::channel(Arc::new(published));
    let metrics = Metrics::new("0.0.0").unwrap();
    (
        sender,
        Shared { published: receiver, metrics, now: Arc::new(now), resync: SignedDuration::from_mins(1) },
    )
}

async fn ask(router: &Router, method: Method, path: &str) -> (StatusCode, axum::http::HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(published: Published, path: &str) -> (StatusCode, String) {
    let (_sender, shared) = surface(published);
    let (status, _, body) = ask(&router(shared), Method::GET, path).await;
    (status, body)
}

#[tokio::test]
async fn every_route_takes_get_and_head_and_nothing_else() {
    let (_sender, shared) = surface(published([release("shop")]));
    let router = router(shared);
    for (route, _) in routes() {
        let path = route.replace("{name}", "shop");
        let (status, _, body) = ask(&router, Method::GET, &path).await;
        assert_eq!(status, StatusCode::OK, "GET {path}");
        assert!(!body.is_empty(), "GET {path}");
        let (status, _, body) = ask(&router, Method::HEAD, &path).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "HEAD {path}");
        let brew = Method::from_bytes(b"BREW").unwrap();
        for method in [
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::CONNECT,
            Method::TRACE,
            brew,
        ] {
            let (status, headers, _) = ask(&router, method.clone(), &path).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(headers[header::ALLOW], "GET,HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_locked_down_and_kept_nowhere() {
    let (_sender, shared) = surface(published([release("shop")]));
    let router = router(shared);
    for path in
        ["/", "/releases/shop", "/api/v1/releases", "/metrics", "/schema", "/nowhere", "/releases/none"]
    {
        let (_, headers, _) = ask(&router, Method::GET, path).await;
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn the_page_keeps_its_own_policy() {
    let (status, body) = get(published([release("shop")]), "/releases/shop").await;
    assert_eq!(status, StatusCode::OK);
    for forbidden in ["<script", " style=", "javascript:", "<form", "<iframe", " onclick", "http://", "src="]
    {
        assert!(!body.contains(forbidden), "{forbidden} stands in the page");
    }
    assert_eq!(body.matches("<style>").count(), 1);
    assert!(
        body.contains(&format!("<style>{}</style>", crate::page::STYLE)),
        "the style is what was digested"
    );
}

#[tokio::test]
async fn the_page_tells_the_waiting_record_before_anything_else() {
    let (_, body) = get(published([release("shop")]), "/releases/shop").await;
    let order = [
        "role=status",
        "v2 has run for 4 of 8 minutes",
        "<h1>shop</h1>",
        "point of<br>no return",
        "green ▲",
        "instant",
        "✓ pass",
        "structured-address",
        "in-sync",
        "SpecAccepted",
    ];
    let mut from = 0;
    for piece in order {
        let found = body[from..].find(piece);
        assert!(found.is_some(), "{piece} does not stand where it belongs");
        from += found.unwrap();
    }
}

#[tokio::test]
async fn everything_from_outside_is_escaped() {
    const EVIL: &str = "\"><img src=x onerror='alert(1)'>&";
    let mut status = release("shop");
    evil(&mut status, EVIL);
    for path in ["/", "/releases/shop"] {
        let (_, body) = get(published([status.clone()]), path).await;
        assert!(!body.contains("<img"), "{path}");
        assert!(body.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;"), "{path}");
    }
}

/// Puts a text wherever one can come from AWS, a database or a person.
fn evil(status: &mut ReleaseStatus, text: &str) {
    let rollout = &mut status.rollout;
    for field in [&mut rollout.phase, &mut rollout.cluster, &mut rollout.service, &mut rollout.engine] {
        text.clone_into(field);
    }
    for field in [&mut rollout.blue, &mut rollout.green, &mut rollout.deployment, &mut rollout.cause] {
        *field = Some(text.to_owned());
    }
    for wait in &mut status.waiting {
        text.clone_into(&mut wait.message);
        text.clone_into(&mut wait.unblock);
        wait.blocked_by = Some(text.to_owned());
        wait.measured = Some(text.to_owned());
        wait.required = Some(text.to_owned());
    }
    for event in &mut status.events {
        text.clone_into(&mut event.reason);
        text.clone_into(&mut event.message);
    }
    for condition in &mut status.conditions {
        text.clone_into(&mut condition.message);
    }
    status.led_by = Some(text.to_owned());
    text.clone_into(&mut status.rollback.how);
    status.rollback.unproven = vec![text.to_owned()];
    if let Some(schema) = &mut status.schema {
        text.clone_into(&mut schema.phase);
        schema.last_reader = Some(text.to_owned());
        schema.removes = vec![text.to_owned()];
        schema.removes_added = vec![text.to_owned()];
    }
    if let Some(verdict) = &mut status.verdict {
        text.clone_into(&mut verdict.message);
    }
}

#[tokio::test]
async fn the_api_gives_the_documents_as_they_are_published() {
    let (status, body) = get(published([release("shop"), release("forum")]), "/api/v1/releases/shop").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(serde_json::from_str::<ReleaseStatus>(&body).unwrap(), release("shop"));
    let (_, body) = get(published([release("shop"), release("forum")]), "/api/v1/releases").await;
    let list: serde_json::Value = serde_json::from_str(&body).unwrap();
    let names: Vec<_> = list["releases"].as_array().unwrap().iter().map(|release| &release["name"]).collect();
    assert_eq!(names, ["forum", "shop"]);
    assert_eq!(list["ready"], true);
}

#[tokio::test]
async fn a_release_that_another_daemon_leads_is_shown_with_who_does() {
    let mut shown = published([ReleaseStatus { led_by: Some("host-7".into()), ..release("shop") }]);
    shown.followed.insert("shop".parse().unwrap(), "host-7".into());
    for path in ["/", "/releases/shop"] {
        let (status, body) = get(shown.clone(), path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(body.contains("led by") && body.contains("host-7"), "{path}");
    }
    let (_, body) = get(shown.clone(), "/api/v1/releases/shop").await;
    assert_eq!(serde_json::from_str::<ReleaseStatus>(&body).unwrap().led_by.as_deref(), Some("host-7"));
    assert_eq!(get(shown, "/readyz").await.0, StatusCode::OK, "who only follows is ready too");
}

#[tokio::test]
async fn what_is_not_there_is_said_without_an_echo() {
    for path in [
        "/api/v1/releases/nothing-here",
        "/api/v1/releases/%3Cb%3E",
        "/nothing-here",
        "/releases/nothing-here",
    ] {
        let (status, body) = get(published([]), path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!body.contains("nothing-here") && !body.contains("<b>"), "{path}: {body}");
    }
}

#[tokio::test]
async fn readiness_follows_what_is_published_and_life_does_not() {
    let (sender, shared) = surface(Published::default());
    let router = router(shared);
    let status = async |path| ask(&router, Method::GET, path).await.0;
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("/healthz").await, StatusCode::OK);
    sender.send_replace(Arc::new(published([])));
    assert_eq!(status("/readyz").await, StatusCode::OK);
    let old = now() - SignedDuration::from_mins(3);
    sender.send_replace(Arc::new(Published { last_pass: Some(old), ..published([]) }));
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("/healthz").await, StatusCode::OK);
}

#[tokio::test]
async fn the_schema_of_a_spec_is_published() {
    let (status, body) = get(published([]), "/schema").await;
    assert_eq!(status, StatusCode::OK);
    let schema: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(schema, tidegate_model::spec::json_schema());
}

#[tokio::test]
async fn five_hundred_releases_make_a_page_of_bounded_size() {
    let many = published((0..500).map(|number| release(&format!("release-{number}"))));
    let (_, body) = get(many.clone(), "/").await;
    let (_, metrics) = get(many, "/metrics").await;
    assert!(body.len() < 500_000, "{} bytes", body.len());
    assert!(metrics.contains("release=\"release-499\""));
}
