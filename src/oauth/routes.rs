//! The routes, and which pages may use them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, body::Body};
use http::{HeaderValue, Method, StatusCode, header};

use super::api::Api;
use super::endpoints;
use crate::net::problem;

impl Api {
    /// Returns the routes below `/oauth2/`.
    pub fn router(self) -> Router {
        let api = Arc::new(self);
        Router::new()
            .route("/oauth2/revoke", post(endpoints::revoke))
            .route("/oauth2/introspect", post(endpoints::introspect))
            .fallback(async || problem::<Body>(StatusCode::NOT_FOUND, "no such OAuth endpoint"))
            .layer(from_fn_with_state(Arc::clone(&api), share))
            .with_state(api)
    }
}

/// Lets pages of the configured origins revoke tokens (Fetch standard, CORS). A page never sends cookies
/// here, and nothing that counts is taken from one.
async fn share(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let clients = Arc::clone(&api.clients.load());
    if clients.is_empty() {
        return problem::<Body>(StatusCode::NOT_FOUND, "no OAuth clients are configured");
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_allowed =
        |origin: &HeaderValue| clients.origins.iter().any(|one| origin == one.as_str());
    let origin = origin.filter(is_allowed);
    let origin = origin.filter(|_| request.uri().path() == "/oauth2/revoke");
    let is_question = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_question && origin.is_some() {
        let mut response = StatusCode::NO_CONTENT.into_response();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
