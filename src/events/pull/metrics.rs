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
use crate::core::metrics::{add, add_in};

type OfSource = [(&'static str, String); 1];
type Ages = Family<OfSource, Gauge<f64, AtomicU64>>;
type Labels = [(&'static str, String); 2];

/// `portcullis_pull_requests_total{source,result}`, `portcullis_pull_events_total{source,result}`,
/// `portcullis_pull_success_age_seconds{source}` and `portcullis_pull_caught_up_age_seconds{source}`.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Labels, Counter>,
    events: Family<Labels, Counter>,
    success_age: Ages,
    caught_up_age: Ages,
    /// The sources for which this replica asks.
    asked: Mutex<HashMap<String, Asked>>,
    clock: Clock,
}

/// The times of a source; at first that at which it was first asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    succeeded: Moment,
    caught_up: Moment,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub(super) fn register(registry: &mut Registry, clock: Clock) -> Self {
        let registry = registry.sub_registry_with_prefix("pull");
        Self {
            requests: add(
                registry,
                "requests",
                "Questions to providers by source: answered or failed",
            ),
            events: add(
                registry,
                "events",
                "Events that were found by asking, by source and how they ended, as in portcullis_events",
            ),
            success_age: add_in(
                Unit::Seconds,
                registry,
                "success_age",
                "Time since the source was asked with success; absent where another replica asks",
            ),
            caught_up_age: add_in(
                Unit::Seconds,
                registry,
                "caught_up_age",
                "Time since every event that the source had was dealt with; absent where another replica asks",
            ),
            asked: Mutex::default(),
            clock,
        }
    }

    /// Brings the ages up to date.
    pub(super) fn refresh(&self) {
        for (source, asked) in &*self.asked() {
            let labels = [("source", source.clone())];
            for (ages, then) in [
                (&self.success_age, asked.succeeded),
                (&self.caught_up_age, asked.caught_up),
            ] {
                let age = self.clock.since(then).as_secs_f64();
                ages.get_or_create(&labels).set(age);
            }
        }
    }

    pub(super) fn found(&self, source: &str, result: &'static str) {
        let labels = [("source", source.to_owned()), ("result", result.to_owned())];
        self.events.get_or_create(&labels).inc();
    }

    /// Counts an answer. `is_last`: there is nothing more to ask for now.
    pub(super) fn answered(&self, source: &str, is_last: bool) {
        self.count(source, "answered");
        let now = self.clock.moment();
        let mut asked = self.asked();
        let asked = Self::of(&mut asked, source, now);
        asked.succeeded = now;
        if is_last {
            asked.caught_up = now;
        }
    }

    /// Counts a failure and returns how long it has lasted.
    pub(super) fn failed(&self, source: &str) -> Duration {
        self.count(source, "failed");
        let now = self.clock.moment();
        let mut asked = self.asked();
        self.clock
            .since(Self::of(&mut asked, source, now).succeeded)
    }

    /// Notes that another replica asks.
    pub(super) fn stands_by(&self, source: &str) {
        self.asked().remove(source);
        let labels = [("source", source.to_owned())];
        self.success_age.remove(&labels);
        self.caught_up_age.remove(&labels);
    }

    fn of<'a>(asked: &'a mut HashMap<String, Asked>, source: &str, now: Moment) -> &'a mut Asked {
        let first = Asked {
            succeeded: now,
            caught_up: now,
        };
        asked.entry(source.to_owned()).or_insert(first)
    }

    fn count(&self, source: &str, result: &'static str) {
        let labels = [("source", source.to_owned()), ("result", result.to_owned())];
        self.requests.get_or_create(&labels).inc();
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
