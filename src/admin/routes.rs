//! The routes of the admin API.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::StatusCode;

use super::access::{Door, admit};
use super::api::Api;
use super::refused::Refused;
use super::shown::answer;
use super::{explain, reload, revocations};

/// Returns the routes below `/v1`.
pub(super) fn router(api: Api, door: Door) -> Router {
    let status = |State(api): State<Arc<Api>>| async move { answer(StatusCode::OK, &api.status()) };
    Router::new()
        .route(
            "/revocations",
            get(revocations::list).post(revocations::revoke),
        )
        .route(
            "/revocations/{id}",
            get(revocations::find).delete(revocations::lift),
        )
        .route("/status", get(status))
        .route("/reload", post(reload::reload))
        .route("/explain", post(explain::explain))
        .method_not_allowed_fallback(async || {
            let why = "this path does not know the method; the header Allow lists those it knows";
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, why)
        })
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "the admin API has no such path"))
        .layer(from_fn_with_state(door, admit))
        .with_state(Arc::new(api))
}
