//! Health, readiness, metrics, and the releases as JSON.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidegate_model::status::{Published, ReleaseStatus};

use crate::Shared;

/// A daemon whose last complete look at the world is older than this is not ready, by the controller's clock, and one that looks seldom
/// if two looks are missing.
const STALE: SignedDuration = SignedDuration::from_mins(2);

/// `GET /api/v1/releases`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseList<'a> {
    api_version: &'static str,
    ready: bool,
    last_pass: Option<Timestamp>,
    releases: Vec<&'a ReleaseStatus>,
}

/// What is answered instead of a document. Input is never echoed.
#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

/// The process lives.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// 503 until every release was looked at once, and whenever the last look is too old.
pub(crate) async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match not_ready(&shared.published(), shared.now(), STALE.max(shared.resync * 2)) {
        None => (StatusCode::OK, "ready\n"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn not_ready(published: &Published, now: Timestamp, stale: SignedDuration) -> Option<&'static str> {
    if !published.ready {
        return Some("not ready: the first complete pass is not over\n");
    }
    let fresh = published.last_pass.is_some_and(|last| now.duration_since(last) <= stale);
    if fresh { None } else { Some("not ready: the last pass is too old\n") }
}

/// Prometheus' text format.
pub(crate) async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.render(&shared.published()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::warn!(%error, "metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Every release, by name.
pub(crate) async fn releases(State(shared): State<Shared>) -> Response {
    let published = shared.published();
    Json(ReleaseList {
        api_version: "tidegate/v1",
        ready: published.ready,
        last_pass: published.last_pass,
        releases: published.releases.values().collect(),
    })
    .into_response()
}

/// One release.
pub(crate) async fn release(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let published = shared.published();
    match name.parse().ok().and_then(|name| published.releases.get(&name)) {
        Some(status) => Json(status).into_response(),
        None => missing("no such release"),
    }
}

/// The JSON Schema of a spec.
pub(crate) async fn schema() -> Response {
    let schema = tidegate_model::spec::json_schema();
    ([(header::CONTENT_TYPE, "application/schema+json")], schema.to_string()).into_response()
}

/// Everything that is not in the route table.
pub(crate) async fn no_such_page() -> Response {
    missing("no such page")
}

fn missing(error: &'static str) -> Response {
    (StatusCode::NOT_FOUND, Json(Problem { error })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_needs_a_complete_and_recent_pass() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
        let at = |minutes| Some(now - SignedDuration::from_mins(minutes));
        let ready = |ready, last_pass| {
            not_ready(&Published { ready, last_pass, ..Published::default() }, now, STALE).is_none()
        };
        assert!(ready(true, at(0)));
        assert!(ready(true, at(2)));
        assert!(!ready(true, at(3)));
        assert!(!ready(true, None));
        assert!(!ready(false, at(0)));
    }
}
