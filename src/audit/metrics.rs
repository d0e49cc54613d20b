//! What the audit trail counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::core::metrics::add;

/// The metrics of the audit trail, each from zero.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) written: Counter,
    /// Attempts to write.
    pub(super) failures: Counter,
    left_out: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            written: add(
                registry,
                "audit_lines",
                "Lines that were written to the audit trail",
            ),
            failures: add(
                registry,
                "audit_failures",
                "Attempts to write the audit trail that failed",
            ),
            left_out: add(
                registry,
                "audit_left_out",
                "Lines that the audit trail does not have: sampled refusals and strangers, and lines \
                 that could not be written",
            ),
        };
        for kind in ["refusals", "shadow", "strangers", "lines"] {
            let _ = metrics.left_out.get_or_create(&[("kind", kind)]);
        }
        metrics
    }

    pub(super) fn left_out(&self, kind: &'static str, count: u64) {
        self.left_out.get_or_create(&[("kind", kind)]).inc_by(count);
    }
}
