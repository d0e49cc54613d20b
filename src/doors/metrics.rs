//! What the doors count.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::core::metrics::add;

/// The metrics of both doors.
#[derive(Debug)]
pub struct Metrics {
    pub(super) ext_authz: DoorMetrics,
    pub(super) forward_auth: DoorMetrics,
    /// `portcullis_identity_too_long_total`.
    pub(super) identity_too_long: Counter,
}

/// `portcullis_door_failures_total{door,failure}` of one door: requests that were refused because
/// asking, not the request, went wrong.
#[derive(Debug)]
pub(super) struct DoorMetrics {
    /// The door's name in metrics and logs.
    pub(super) door: &'static str,
    /// A bug in Portcullis.
    pub(super) panicked: Counter,
    /// The check took longer than `check_timeout`.
    pub(super) timed_out: Counter,
    /// The proxy's message cannot be read, or does not name the original request.
    pub(super) unreadable: Counter,
    /// The proxy's message is larger than `max_message`.
    pub(super) too_large: Counter,
}

impl Metrics {
    /// Creates the metrics and registers them, every failure from zero.
    pub fn register(registry: &mut Registry) -> Self {
        let failures: Family<[(&'static str, &'static str); 2], Counter> = add(
            registry,
            "door_failures",
            "Requests refused because asking about them went wrong",
        );
        let of = |door| {
            let counter = |failure| {
                let labels = [("door", door), ("failure", failure)];
                failures.get_or_create(&labels).clone()
            };
            DoorMetrics {
                door,
                panicked: counter("panicked"),
                timed_out: counter("timed_out"),
                unreadable: counter("unreadable"),
                too_large: counter("too_large"),
            }
        };
        Self {
            ext_authz: of("ext_authz"),
            forward_auth: of("forward_auth"),
            identity_too_long: add(
                registry,
                "identity_too_long",
                "Good tokens with a claim that does not fit into its identity header",
            ),
        }
    }
}
