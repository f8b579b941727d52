//! The read-only HTTP side of the daemon: health, metrics, API and one plain page.
//!
//! Called by the binary, which hands over what the controller publishes. Nothing here changes anything: every route takes
//! GET and HEAD only, and a test over the route table proves it. No AWS, no database, no secret comes here; what is shown
//! is [`tidegate_model::status`], which cannot hold one.

mod api;
mod metrics;
mod page;
mod security;
mod serve;

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::MethodRouter};
use jiff::{SignedDuration, Timestamp};
use tidegate_model::status::Published;
use tokio::sync::watch;
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

pub use metrics::{Metrics, ROLLOUT_PHASES};
pub use serve::serve;

/// Longest time that one answer may take, its wait for a free slot included.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Requests that are answered at the same time; more wait, and give up after [`ANSWER_TIMEOUT`].
const CONCURRENCY: usize = 64;

/// No route takes a body; this much is tolerated from clients that send one with a GET.
const BODY_LIMIT: usize = 1_024;

/// The controller's clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What every answer is made of.
#[derive(Clone)]
pub struct Shared {
    /// What the controller publishes.
    pub published: watch::Receiver<Arc<Published>>,
    /// The daemon's own work, in numbers.
    pub metrics: Metrics,
    /// The clock by which ages are shown and readiness is judged.
    pub now: Now,
    /// How long a release at rest is not looked at.
    pub resync: SignedDuration,
}

impl Shared {
    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    fn now(&self) -> Timestamp {
        (self.now)()
    }
}

/// Every route. A route that is not in this table does not exist.
fn routes() -> [(&'static str, MethodRouter<Shared>); 8] {
    use axum::routing::get;
    [
        ("/healthz", get(api::healthz)),
        ("/readyz", get(api::readyz)),
        ("/metrics", get(api::metrics)),
        ("/api/v1/releases", get(api::releases)),
        ("/api/v1/releases/{name}", get(api::release)),
        ("/schema", get(api::schema)),
        ("/", get(page::overview)),
        ("/releases/{name}", get(page::release)),
    ]
}

/// The whole HTTP surface.
pub fn router(shared: Shared) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(api::no_such_page)
        .with_state(shared)
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(CONCURRENCY))
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIMEOUT))
        .layer(axum::middleware::map_response(security::headers))
}

#[cfg(test)]
mod tests;
