//! The doors: from a proxy's question to a [`Request`], from a [`Decision`] to the proxy's answer.
//!
//! [`ext_authz`] speaks Envoy's gRPC, [`forward_auth`] speaks HTTP to everyone else. Both read
//! the request without copying it, ask one [`Check`], and write what [`answer`] says. Whatever
//! goes wrong on the way, a panic included, becomes a denial.

pub mod answer;
mod audit;
mod batch;
pub mod config;
mod encode;
pub mod ext_authz;
pub mod forward_auth;
mod guard;
mod health;
pub mod identity;
pub mod metrics;
mod permit;
pub mod serve;
pub mod wire;

#[cfg(test)]
mod testing;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;

use crate::core::readiness::Readiness;
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::core::token::Sources;
use crate::gate::{Decision, Denial, Gate};

pub use answer::Answers;
pub use config::Config;
pub use metrics::Metrics;

/// Decides about requests. The gate does; tests of the doors bring their own.
pub trait Check: Send + Sync + 'static {
    fn check(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send;

    /// Counts what a door answers at last, once for each request.
    fn count(&self, _decision: &Decision, _took: Duration) {}
}

/// A gate that can be replaced as a whole; today it is built once. A check under way would end with
/// the old one.
pub type SharedGate = ArcSwap<Gate>;

impl Check for SharedGate {
    async fn check(&self, request: &Request<'_>) -> Decision {
        self.load().check(request).await
    }

    fn count(&self, decision: &Decision, took: Duration) {
        self.load().metrics.decided(decision, took);
    }
}

/// What both doors share.
#[derive(Debug)]
pub struct Doors<C> {
    check: Arc<C>,
    /// Can be replaced; today built once, at the start.
    pub answers: ArcSwap<Answers>,
    serve: serve::Config,
    readiness: Readiness,
    metrics: Metrics,
}

impl<C: Check> Doors<C> {
    /// Both configurations were checked before.
    #[must_use]
    pub fn new(
        check: Arc<C>,
        answer: &Config,
        sources: Sources,
        serve: &serve::Config,
        readiness: Readiness,
        registry: &mut Registry,
    ) -> Arc<Self> {
        Arc::new(Self {
            check,
            answers: ArcSwap::from_pointee(Answers::new(answer, sources)),
            serve: serve.clone(),
            readiness,
            metrics: Metrics::register(registry),
        })
    }

    /// Decides about a request, counts the decision and logs it.
    async fn decide(&self, door: &'static str, request: &Request<'_>) -> Decision {
        let started = Instant::now();
        let mut decision = self.check.check(request).await;
        let answers = self.answers.load();
        if let Decision::Permit(permit) = &decision
            && !answers.identity.fits(&permit.verified().claims)
        {
            self.metrics.identity_too_long.inc();
            if answers.too_long == config::TooLong::Refuse {
                decision = Decision::Deny(Denial {
                    id: permit.id,
                    reason: Reason::IdentityTooLong,
                    detail: None,
                });
            }
        }
        self.check.count(&decision, started.elapsed());
        audit::decided(door, request, &decision);
        decision
    }

    /// Refuses a request before anybody checks it, counts that and logs it.
    fn refuse(&self, door: &'static str, request: Option<&Request<'_>>, reason: Reason) -> Denial {
        let denial = Denial::because(reason);
        let decision = Decision::Deny(denial.clone());
        self.check.count(&decision, Duration::ZERO);
        let unread = Request::unread();
        audit::decided(door, request.unwrap_or(&unread), &decision);
        denial
    }
}
