//! The metrics of events that are asked for: `portcullis_pull_…`.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::core::clock::{Clock, Moment};

type OfSource = [(&'static str, String); 1];
type Labels = [(&'static str, String); 2];

/// `portcullis_pull_requests_total{source,result}`, `portcullis_pull_events_total{source,result}` and
/// `portcullis_pull_success_age_seconds{source}`.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Labels, Counter>,
    events: Family<Labels, Counter>,
    success_age: Family<OfSource, Gauge<f64, AtomicU64>>,
    /// When a source was last asked with success, or first tried, if this replica asks.
    succeeded: Mutex<HashMap<String, Moment>>,
    clock: Clock,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub(super) fn register(registry: &mut Registry, clock: Clock) -> Self {
        let registry = registry.sub_registry_with_prefix("pull");
        let metrics = Self {
            requests: Family::default(),
            events: Family::default(),
            success_age: Family::default(),
            succeeded: Mutex::default(),
            clock,
        };
        registry.register(
            "requests",
            "Questions to providers by source: answered or failed",
            metrics.requests.clone(),
        );
        registry.register(
            "events",
            "Events that were found by asking, by source and how they ended, as in portcullis_events",
            metrics.events.clone(),
        );
        registry.register_with_unit(
            "success_age",
            "Time since the source was asked with success; absent where another replica asks",
            Unit::Seconds,
            metrics.success_age.clone(),
        );
        metrics
    }

    /// Brings the ages up to date.
    pub(super) fn refresh(&self) {
        for (source, then) in &*self.succeeded() {
            let age = self.clock.since(*then).as_secs_f64();
            let gauge = self
                .success_age
                .get_or_create(&[("source", source.clone())]);
            gauge.set(age);
        }
    }

    pub(super) fn found(&self, source: &str, result: &'static str) {
        let labels = [("source", source.to_owned()), ("result", result.to_owned())];
        self.events.get_or_create(&labels).inc();
    }

    pub(super) fn answered(&self, source: &str) {
        self.asked(source, "answered");
        let now = self.clock.moment();
        self.succeeded().insert(source.to_owned(), now);
    }

    /// Counts a failure and returns how long it has lasted.
    pub(super) fn failed(&self, source: &str) -> Duration {
        self.asked(source, "failed");
        let now = self.clock.moment();
        let mut succeeded = self.succeeded();
        let since = succeeded.entry(source.to_owned()).or_insert(now);
        self.clock.since(*since)
    }

    /// Notes that another replica asks.
    pub(super) fn stands_by(&self, source: &str) {
        self.succeeded().remove(source);
        self.success_age.remove(&[("source", source.to_owned())]);
    }

    fn asked(&self, source: &str, result: &'static str) {
        let labels = [("source", source.to_owned()), ("result", result.to_owned())];
        self.requests.get_or_create(&labels).inc();
    }

    fn succeeded(&self) -> MutexGuard<'_, HashMap<String, Moment>> {
        self.succeeded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
