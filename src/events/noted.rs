//! What is counted, logged and written to the audit trail about a request when it is over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::Request;
use serde_json::json;

use super::answer::Failure;
use super::metrics::Ended;
use super::shared::Shared;
use super::source::Source;
use crate::audit::Sampled;
use crate::core::clock::UnixMillis;
use crate::core::trace::Parent;
use crate::net::Seat;

/// An event that was understood.
pub(super) struct Understood<'a> {
    pub(super) source: &'a str,
    pub(super) event: &'a str,
    pub(super) id: Option<&'a str>,
    /// Records that it left.
    pub(super) revocations: usize,
    pub(super) received_at: UnixMillis,
    /// `None` if it was asked for.
    pub(super) peer: Option<SocketAddr>,
}

/// Counts a request when it is over, however it ends.
pub(super) struct Counted {
    pub(super) shared: Arc<Shared>,
    pub(super) source: Arc<Source>,
    pub(super) started: Instant,
    pub(super) ended: Ended,
    pub(super) parent: Option<Parent>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.shared
            .metrics
            .ended(&self.source.name, self.ended, took);
        let (name, metrics) = (&self.source.name, &self.shared.metrics);
        metrics.trace(name, self.ended, took, self.parent);
    }
}

/// Returns the address of the sender; `None` in tests without a connection.
pub(super) fn peer(request: &Request<Body>) -> Option<SocketAddr> {
    let seat = request.extensions().get::<Arc<Seat>>()?;
    seat.peer()
}

impl Shared {
    /// Notes an event. Returns once the audit trail has it.
    pub(super) async fn understood(
        &self,
        understood: &Understood<'_>,
        ended: Ended,
        notice: Option<&str>,
    ) {
        let Understood {
            source,
            event,
            revocations,
            received_at,
            peer,
            ..
        } = *understood;
        self.metrics
            .understood(source, event, revocations, received_at);
        let id = understood.id.unwrap_or_default();
        match (ended, notice) {
            (Ended::Accepted, None) => {
                tracing::info!(source, event, id, revocations, "event accepted");
            }
            (_, Some(notice)) => {
                tracing::warn!(source, event, id, revocations, notice, "event accepted");
            }
            _ => tracing::debug!(source, event, id, "event {}", ended.label()),
        }
        let line = || {
            json!({
                "source": source,
                "event": event,
                "outcome": ended.label(),
                "records": revocations,
                "id": understood.id,
                "peer": peer,
                "notice": notice,
            })
        };
        self.audit.write("event", line).await;
    }

    /// Notes an event that was not acknowledged. What a stranger can cause is sampled.
    pub(super) async fn refused(&self, source: &str, failure: &Failure, peer: Option<SocketAddr>) {
        failure.log(source);
        let outcome = failure.ended();
        let (source, label) = (source.to_owned(), outcome.label());
        let line = move || json!({ "source": source, "outcome": label, "peer": peer });
        if matches!(outcome, Ended::Unresolved | Ended::Unavailable) {
            self.audit.write("event", line).await;
        } else {
            self.audit.sample(Sampled::Strangers, "event", line);
        }
    }
}
