//! The routes of the admin API.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::StatusCode;

use super::access::{Door, admit};
use super::api::Api;
use super::audited::{Below, audited};
use super::refused::Refused;
use super::rest;

/// Returns the routes below `/v1`. `openapi` describes each of them.
pub(super) fn router(api: Arc<Api>, door: Door) -> Router {
    let audit = api.audit.clone();
    Router::new()
        .route("/revocations", get(rest::list).post(rest::revoke))
        .route("/revocations/{id}", get(rest::find).delete(rest::lift))
        .route("/revocations/{id}/promote", post(rest::promote))
        .route("/preview", post(rest::preview))
        .route("/approvals", get(rest::approvals))
        .route(
            "/approvals/{id}",
            get(rest::approval)
                .post(rest::approve)
                .delete(rest::withdraw),
        )
        .route("/watch", get(rest::watch))
        .route("/decisions", get(rest::decisions))
        .route("/decisions/{id}", get(rest::decision))
        .route("/audit", get(rest::audit))
        .route("/status", get(rest::status))
        .route("/replicas", get(rest::replicas))
        .route("/configuration", get(rest::configuration))
        .route("/reload", post(rest::reload))
        .route("/explain", post(rest::explain))
        .method_not_allowed_fallback(async || {
            let why = "this path does not know the method; the header Allow lists those it knows";
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, why)
        })
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "the admin API has no such path"))
        .layer(from_fn_with_state(audit, audited))
        .layer(from_fn_with_state(door, admit))
        .layer(Extension(Below("/v1")))
        // It says nothing about this installation, so it needs no credential.
        .route("/openapi.json", get(rest::openapi))
        .with_state(api)
}
