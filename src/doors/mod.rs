//! The doors: from a proxy's question to a [`Request`], from a [`Decision`] to the proxy's answer.
//!
//! [`ext_authz`] speaks Envoy's gRPC, [`forward_auth`] speaks HTTP to everyone else. Both read
//! the request without copying it, ask one [`Check`], and write what its [`Answers`] say. Whatever
//! goes wrong on the way, a panic included, becomes a denial.

pub(crate) mod answer;
mod asserted;
mod batch;
pub mod check_request;
mod check_response;
pub(crate) mod config;
mod decision_log;
mod documents;
mod exchange;
pub mod ext_authz;
pub mod forward_auth;
mod health;
pub(crate) mod identity;
mod kept;
pub(crate) mod metrics;
mod refusal;
mod route;
pub mod serve;
mod template;

#[cfg(test)]
mod testing;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use prometheus_client::registry::Registry;

use crate::core::readiness::Readiness;
use crate::core::request::Request;
use crate::core::trace::Tracer;
use crate::gate::{Answered, Decision};

pub use answer::Answers;
pub(crate) use config::Config;
pub use metrics::Metrics;
pub(crate) use refusal::status;

/// Decides about requests and says how they are answered, under one configuration. Tests of the
/// doors bring their own.
pub trait Check: Send + Sync + 'static {
    /// Decides about one request.
    fn check(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send;

    /// Counts the decision that a door answers with, once per request.
    fn count(&self, answered: &Answered<'_, '_>, took: Duration);

    /// Returns where the spans of checks go, if anywhere.
    fn tracer(&self) -> Option<&Tracer> {
        None
    }

    /// Returns how decisions are answered.
    fn answers(&self) -> &Answers;
}

/// What both doors share.
#[derive(Debug)]
pub struct Doors<C> {
    /// Replaced as a whole. Each request loads it once: see [`exchange::Exchange`].
    current: Arc<ArcSwap<C>>,
    serve: serve::Config,
    readiness: Readiness,
    metrics: Metrics,
}

impl<C: Check> Doors<C> {
    /// Creates the doors. `serve` must have passed its check.
    #[must_use]
    pub fn new(
        current: Arc<ArcSwap<C>>,
        serve: &serve::Config,
        readiness: Readiness,
        registry: &mut Registry,
    ) -> Arc<Self> {
        Arc::new(Self {
            current,
            serve: serve.clone(),
            readiness,
            metrics: Metrics::register(registry),
        })
    }

    /// Returns the routes of the documents for everybody, for other listeners than the doors'.
    pub fn documents(self: &Arc<Self>) -> Router {
        let doors = Arc::clone(self);
        let answer = async move |request: http::Request<Body>| -> http::Response<Body> {
            let (head, _body) = request.into_parts();
            doors.current.load().answers().documents.answer(&head)
        };
        Router::new().route("/.well-known/{*path}", get(answer))
    }
}
