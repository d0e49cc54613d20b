//! The private listener: health, readiness, metrics and the admin API.

mod access;
mod api;
mod approvals;
mod audited;
mod body;
mod caller;
mod config;
mod configuration;
mod console;
mod credentials;
mod decisions;
mod explain;
mod grpc;
mod openapi;
mod order;
mod peers;
mod preview;
mod promote;
mod query;
mod refused;
mod reload;
mod replicas;
mod rest;
mod revocations;
mod routes;
mod shown;
mod state;
mod status;
mod trail;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{StatusCode, header};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::core::readiness::Readiness;
use crate::net::{self, Listener, Patience, Places, Seat, problem};

pub(crate) use access::Current;
pub(crate) use api::{Api, Sources};
pub(crate) use approvals::Approvals;
pub(crate) use config::{Config, SOURCE};
pub(crate) use configuration::{Configuration, Failure, Question, Reload};
pub(crate) use credentials::Credentials;
pub(crate) use openapi::openapi;

/// Updates a gauge at every scrape, so it must be quick.
pub type Refresh = Box<dyn Fn() + Send + Sync>;

/// The metrics that `/metrics` shows. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    refresh: Arc<Vec<Refresh>>,
}

impl Metrics {
    #[must_use]
    pub fn new(registry: Registry, refresh: Vec<Refresh>) -> Self {
        Self {
            registry: Arc::new(Mutex::new(registry)),
            refresh: Arc::new(refresh),
        }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        self.refresh.iter().for_each(|refresh| refresh());
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Scrapers keep their connections. Closing a connection that a scraper is about to use would cost a
/// scrape, so an idle one lives longer than the usual interval.
const PATIENCE: Patience = Patience {
    head: Duration::from_mins(5),
    life: Duration::from_hours(1),
    last: Duration::from_secs(1),
};

/// Serves until `shutdown`, then ends the requests under way. Keep its listener private.
pub async fn serve(
    listener: Listener,
    places: Arc<Places>,
    router: Router,
    shutdown: CancellationToken,
) {
    let plain = console::PlainLoopback(listener.is_plain_loopback());
    let router = router
        .layer(map_request(settle))
        .layer(Extension(plain))
        .layer(Extension(watch::Shutdown(shutdown.clone())));
    let each =
        |connection, seat| net::http(connection, seat, router.clone(), PATIENCE, shutdown.clone());
    net::serve(listener, places, PATIENCE.last, shutdown.clone(), each).await;
}

/// Settles a connection after one whole request: the listener is private.
async fn settle(Extension(seat): Extension<Arc<Seat>>, request: Request) -> Request {
    seat.settle();
    request
}

impl Api {
    /// Returns all routes of the admin listener.
    pub fn router(self, metrics: Metrics) -> Router {
        let door = access::Door::new(&self.credentials, &self.clock, &self.audit);
        let api = Arc::new(self);
        open_router(api.readiness.clone(), metrics)
            .merge(console::router(&door))
            .route("/openapi.json", get(rest::openapi))
            .merge(grpc::router(Arc::clone(&api), door.clone()))
            .nest("/v1", routes::router(api, door))
    }
}

/// Returns the routes that need no credential.
fn open_router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
        .fallback(async || problem::<Body>(StatusCode::NOT_FOUND, ""))
}

/// Answers 200 when a proxy should send requests here, else 503. The body is `{"ready", "draining",
/// "awaited": {name: why}, "degraded": {name: why}}` in both cases.
async fn ready(State(readiness): State<Readiness>) -> Response {
    let state = readiness.state();
    let status = if state.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    shown::answer(status, &shown::Readiness::from(state))
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use http_body_util::BodyExt;
    use prometheus_client::metrics::gauge::Gauge;
    use tower::ServiceExt;

    use super::*;

    async fn call(router: &Router, path: &str) -> (StatusCode, String) {
        let request = http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    fn empty() -> Metrics {
        Metrics::new(Registry::default(), Vec::new())
    }

    #[tokio::test]
    async fn ready_says_what_is_awaited() {
        let readiness = Readiness::default();
        let router = open_router(readiness.clone(), empty());
        readiness.wait_for("log", "replaying");
        let (status, body) = call(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["awaited"]["log"], "replaying");
        assert_eq!(body["ready"], false);

        readiness.arrived("log");
        readiness.reached().await;
        readiness.degrade("keys", "unreachable");
        let (status, body) = call(&router, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            body.contains("\"degraded\":{\"keys\":\"unreachable\"}"),
            "{body}"
        );

        readiness.drain();
        assert_eq!(
            call(&router, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(call(&router, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn gauges_are_fresh_when_scraped() {
        let mut registry = Registry::with_prefix("portcullis");
        let gauge = Gauge::<i64, AtomicI64>::default();
        registry.register("live", "Test", gauge.clone());
        let source = Arc::new(AtomicI64::new(7));
        let read = Arc::clone(&source);
        let refresh: Refresh = Box::new(move || {
            gauge.set(read.load(Ordering::Relaxed));
        });
        let router = open_router(Readiness::default(), Metrics::new(registry, vec![refresh]));
        source.store(8, Ordering::Relaxed);
        let (status, body) = call(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("portcullis_live 8\n"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
