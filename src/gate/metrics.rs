//! What the gate counts.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Decision;
use crate::reason::Reason;

/// `portcullis_decisions_total{outcome,reason}` and `portcullis_check_seconds`.
#[derive(Debug)]
pub struct Metrics {
    permitted: Counter,
    bypassed: Counter,
    denied: [Counter; Reason::ALL.len()],
    seconds: Histogram,
}

/// From a cache hit of a microsecond to a stall of a second.
const BUCKETS: [f64; 10] = [
    0.000_001, 0.000_005, 0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.002, 0.01, 0.1, 1.0,
];

impl Metrics {
    /// Creates the metrics and registers them, every reason from zero.
    pub fn register(registry: &mut Registry) -> Self {
        let decisions = Family::<[(&'static str, &'static str); 2], Counter>::default();
        registry.register(
            "decisions",
            "Decisions by outcome and reason",
            decisions.clone(),
        );
        let counter = |outcome, reason| {
            decisions
                .get_or_create(&[("outcome", outcome), ("reason", reason)])
                .clone()
        };
        let seconds = Histogram::new(BUCKETS);
        registry.register(
            "check_seconds",
            "Time from the request's arrival at the gate to its decision",
            seconds.clone(),
        );
        Self {
            permitted: counter("permit", ""),
            bypassed: counter("bypass", ""),
            denied: Reason::ALL.map(|reason| counter("deny", reason.as_str())),
            seconds,
        }
    }

    pub(super) fn decided(&self, decision: &Decision, took: Duration) {
        match decision {
            Decision::Permit(_) => &self.permitted,
            Decision::Bypass(_) => &self.bypassed,
            Decision::Deny(denial) => &self.denied[denial.reason as usize],
        }
        .inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
