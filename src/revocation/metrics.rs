//! What the event side of revocations counts.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::core::clock::UnixMillis;

use super::Index;

/// From a write that shares a sync to a delivery that came hours late.
const BUCKETS: [f64; 12] = [
    0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 3600.0,
];

/// `portcullis_revocations_…`.
#[derive(Debug)]
pub struct Metrics {
    live: Family<[(&'static str, String); 1], Gauge>,
    labels: Mutex<BTreeSet<String>>,
    lifts: Gauge,
    memory: Gauge,
    feed_age: Gauge<f64, AtomicU64>,
    feed_lag: Gauge<f64, AtomicU64>,
    horizon: Gauge,
    clock_disagreement: Gauge<f64, AtomicU64>,
    writable: Gauge,
    replayed: Counter,
    applied: Counter,
    forgotten: Counter,
    lifts_dropped: Counter,
    received_to_enforced: Histogram,
    event_to_enforced: Histogram,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("revocations");
        let metrics = Self {
            live: Family::default(),
            labels: Mutex::default(),
            lifts: Gauge::default(),
            memory: Gauge::default(),
            feed_age: Gauge::default(),
            feed_lag: Gauge::default(),
            horizon: Gauge::default(),
            clock_disagreement: Gauge::default(),
            writable: Gauge::default(),
            replayed: Counter::default(),
            applied: Counter::default(),
            forgotten: Counter::default(),
            lifts_dropped: Counter::default(),
            received_to_enforced: Histogram::new(BUCKETS),
            event_to_enforced: Histogram::new(BUCKETS),
        };
        metrics.feed_lag(None);
        metrics.register_gauges(registry);
        metrics.register_clocks(registry);
        metrics.register_events(registry);
        metrics
    }

    fn register_clocks(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "horizon_timestamp",
            "Time, since the Unix epoch, up to which revocations may have been forgotten; tokens that \
             end before it get 503 clock_disagreement",
            Unit::Seconds,
            self.horizon.clone(),
        );
        registry.register_with_unit(
            "clock_disagreement",
            "How far the wall clock jumped, or the clock of the store's server is away from it; 0 \
             while they agree",
            Unit::Seconds,
            self.clock_disagreement.clone(),
        );
        registry.register(
            "writable",
            "1 while this replica can append to the log, as far as it knows",
            self.writable.clone(),
        );
    }

    fn register_gauges(&self, registry: &mut Registry) {
        registry.register(
            "live",
            "Revocations in force, by the claims they match",
            self.live.clone(),
        );
        registry.register("lifts", "Lifts that are remembered", self.lifts.clone());
        registry.register_with_unit(
            "memory",
            "Memory of the index",
            Unit::Bytes,
            self.memory.clone(),
        );
        registry.register_with_unit(
            "feed_age",
            "Time since the log last said that everything was delivered",
            Unit::Seconds,
            self.feed_age.clone(),
        );
        registry.register_with_unit(
            "feed_lag",
            "Records that the log had, when it was last heard of, and this replica has not \
             applied; an engine's events count once each; NaN while it cannot be told",
            Unit::Other("records".to_owned()),
            self.feed_lag.clone(),
        );
    }

    fn register_events(&self, registry: &mut Registry) {
        registry.register(
            "replayed",
            "Records read from the log before this replica was ready",
            self.replayed.clone(),
        );
        registry.register(
            "applied",
            "Records taken into the index since this replica was ready",
            self.applied.clone(),
        );
        registry.register(
            "forgotten",
            "Entries that left the index because no matching token can be valid any more",
            self.forgotten.clone(),
        );
        registry.register(
            "lifts_dropped",
            "Lifts that were not recorded because they came from the future by this replica's clock",
            self.lifts_dropped.clone(),
        );
        registry.register_with_unit(
            "received_to_enforced",
            "Time from the receipt of an event to its enforcement on this replica",
            Unit::Seconds,
            self.received_to_enforced.clone(),
        );
        registry.register_with_unit(
            "event_to_enforced",
            "Time from the event, by its sender's clock, to its enforcement on this replica",
            Unit::Seconds,
            self.event_to_enforced.clone(),
        );
    }

    pub(super) fn replayed(&self, records: usize) {
        self.replayed.inc_by(records as u64);
    }

    pub(super) fn applied(&self, since_receipt: Duration, since_event: Duration) {
        self.applied.inc();
        self.received_to_enforced
            .observe(since_receipt.as_secs_f64());
        self.event_to_enforced.observe(since_event.as_secs_f64());
    }

    pub(super) fn forgotten(&self, entries: usize) {
        self.forgotten.inc_by(entries as u64);
    }

    pub(super) fn dropped_lift(&self) {
        self.lifts_dropped.inc();
    }

    pub(super) fn feed_age(&self, age: Duration) {
        self.feed_age.set(age.as_secs_f64());
    }

    /// `apart`: milliseconds.
    pub(super) fn clocks(&self, horizon: UnixMillis, jumped: Duration, apart: i64) {
        let seconds = i64::try_from(horizon.seconds()).unwrap_or(i64::MAX);
        self.horizon.set(seconds);
        let apart = Duration::from_millis(apart.unsigned_abs());
        self.clock_disagreement.set(jumped.max(apart).as_secs_f64());
    }

    pub(super) fn writable(&self, is: bool) {
        self.writable.set(is.into());
    }

    pub(super) fn feed_lag(&self, records: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "nobody is 2^53 records behind")]
        let records = records.map_or(f64::NAN, |records| records as f64);
        self.feed_lag.set(records);
    }

    /// Costs a look at every shard, so it is done when somebody reads the metrics.
    pub(super) fn index(&self, index: &Index) {
        self.memory
            .set(i64::try_from(index.memory()).unwrap_or(i64::MAX));
        self.lifts
            .set(i64::try_from(index.lifts()).unwrap_or(i64::MAX));
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let live = index.live();
        for gone in labels.iter().filter(|label| !live.contains_key(*label)) {
            self.live.remove(&[("claims", gone.clone())]);
        }
        for (label, count) in &live {
            let gauge = self.live.get_or_create(&[("claims", label.clone())]);
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        *labels = live.into_keys().collect();
    }
}
