//! The shop's HTTP API: customers and their checkouts, health and version.
//!
//! Called by: the service. Must not: log requests, or answer with a server's error message (it may hold data).

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRef, Path, Query, Request as HttpRequest, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    conduct::Conduct,
    customer::{Customer, Refused, Request},
    store::Store,
};

/// Largest request body in bytes: all members at their longest, escaped, fit.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long `/health` waits for the database: shorter than the 5 s that a target group waits for `/health`.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Customers in a list when the client does not say how many, and at most.
const LIST_LIMIT: i64 = 20;
const LIST_LIMIT_MAX: i64 = 100;

/// The routes of a version of the shop.
pub(crate) fn router(store: Store, conduct: Conduct) -> Router {
    let customers = Router::new()
        .route("/api/customers", get(list).post(create))
        .route("/api/customers/{id}", get(read).put(update).delete(remove))
        .route("/api/customers/{id}/checkout", post(check_out))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(conduct.clone(), behave));
    Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .merge(customers)
        .with_state(Shop { store, conduct })
}

/// What the handlers need.
#[derive(Clone)]
struct Shop {
    store: Store,
    conduct: Conduct,
}

impl FromRef<Shop> for Store {
    fn from_ref(shop: &Shop) -> Self {
        shop.store.clone()
    }
}

impl FromRef<Shop> for Conduct {
    fn from_ref(shop: &Shop) -> Self {
        shop.conduct.clone()
    }
}

async fn create(State(store): State<Store>, Json(body): Json<Request>) -> Result<Response, ApiError> {
    let customer = store.create(&body.draft(store.version())?).await?;
    Ok((StatusCode::CREATED, Json(customer)).into_response())
}

async fn read(State(store): State<Store>, Path(id): Path<i64>) -> Result<Json<Customer>, ApiError> {
    store.read(id).await?.map(Json).ok_or(ApiError::NotFound)
}

async fn update(
    State(store): State<Store>,
    Path(id): Path<i64>,
    Json(body): Json<Request>,
) -> Result<Json<Customer>, ApiError> {
    store.update(id, &body.draft(store.version())?).await?.map(Json).ok_or(ApiError::NotFound)
}

async fn remove(State(store): State<Store>, Path(id): Path<i64>) -> Result<StatusCode, ApiError> {
    if store.delete(id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound) }
}

/// The customer buys what is in the basket, which this shop does not know, and has it sent to the address.
async fn check_out(
    State(store): State<Store>,
    State(conduct): State<Conduct>,
    Path(id): Path<i64>,
) -> Result<Response, ApiError> {
    let customer = store.read(id).await?.ok_or(ApiError::NotFound)?;
    if !conduct.checkouts.takes_one() {
        return Err(ApiError::PaymentRefused);
    }
    Ok((StatusCode::CREATED, Json(json!({"shipped_to": customer}))).into_response())
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<i64>,
}

async fn list(
    State(store): State<Store>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Customer>>, ApiError> {
    let limit = query.limit.unwrap_or(LIST_LIMIT).clamp(0, LIST_LIMIT_MAX);
    Ok(Json(store.list(limit).await?))
}

/// Healthy is: the database answers in time. Like many a real health check it says nothing about the schema.
async fn health(State(store): State<Store>) -> Response {
    let version = store.version().number();
    match tokio::time::timeout(HEALTH_TIMEOUT, store.ping()).await {
        Ok(Ok(())) => Json(json!({"status": "ok", "version": version})).into_response(),
        Ok(Err(_)) | Err(_) => {
            let body = Json(json!({"status": "database does not answer", "version": version}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn version(State(store): State<Store>) -> Response {
    Json(json!({"version": store.version().number()})).into_response()
}

async fn behave(State(conduct): State<Conduct>, request: HttpRequest, next: Next) -> Response {
    conduct.leak.counts_a_request();
    conduct.pace.wait().await;
    if conduct.fault.strikes() {
        let body = Json(json!({"error": "internal error"}));
        return (StatusCode::INTERNAL_SERVER_ERROR, body).into_response();
    }
    next.run(request).await
}

#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("no such customer")]
    NotFound,
    #[error("payment is refused")]
    PaymentRefused,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("database failed")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.to_string()});
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::PaymentRefused => StatusCode::PAYMENT_REQUIRED,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Database(error) => {
                // The code says which rule was broken (42703: no such column); the message could hold data.
                if let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
                    body["sqlstate"] = code.into();
                }
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, Json(body)).into_response()
    }
}
