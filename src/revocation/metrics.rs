//! Metrics of revocations: `portcullis_revocations_…`.

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

/// Defines [`Metrics`] from one table: the name, the type, how it starts, the unit, the help.
macro_rules! metrics {
    ($($name:ident: $metric:ty = $start:expr, $unit:expr, $help:literal;)*) => {
        #[derive(Debug)]
        pub struct Metrics {
            /// The labels of `live` at the last scrape.
            labels: Mutex<BTreeSet<String>>,
            $(pub(super) $name: $metric,)*
        }

        impl Metrics {
            /// Creates the metrics and registers them.
            pub fn register(registry: &mut Registry) -> Self {
                let registry = registry.sub_registry_with_prefix("revocations");
                $(
                    let ($name, help, unit): ($metric, _, Option<Unit>) = ($start, $help, $unit);
                    match unit {
                        None => registry.register(stringify!($name), help, $name.clone()),
                        Some(unit) => {
                            registry.register_with_unit(stringify!($name), help, unit, $name.clone());
                        }
                    }
                )*
                Self { labels: Mutex::default(), $($name,)* }
            }
        }
    };
}

type Float = Gauge<f64, AtomicU64>;

metrics! {
    live: Family<[(&'static str, String); 1], Gauge> = Family::default(), None,
        "Revocations in force, by the claims they match";
    lifts: Gauge = Gauge::default(), None,
        "Lifts that are remembered";
    memory: Gauge = Gauge::default(), Some(Unit::Bytes),
        "Memory of the index";
    feed_age: Float = Gauge::default(), Some(Unit::Seconds),
        "Time since the log last said that everything was delivered";
    feed_lag: Float = unknown(), Some(Unit::Other("records".to_owned())),
        "Records that the log had, when it was last heard of, and this replica has not applied; an \
         engine's events count once each; NaN while it cannot be told";
    horizon_timestamp: Gauge = Gauge::default(), Some(Unit::Seconds),
        "Time, since the Unix epoch, up to which revocations may have been forgotten; tokens that \
         end before it get 503 clock_disagreement";
    clock_disagreement: Float = Gauge::default(), Some(Unit::Seconds),
        "How far the wall clock jumped, or the clock of the store's server is away from it; 0 while \
         they agree";
    writable: Gauge = Gauge::default(), None,
        "1 while this replica can append to the log, as far as it knows";
    replayed: Counter = Counter::default(), None,
        "Records read from the log before this replica was ready";
    applied: Counter = Counter::default(), None,
        "Records taken into the index since this replica was ready";
    forgotten: Counter = Counter::default(), None,
        "Entries that left the index because no matching token can be valid any more";
    lifts_dropped: Counter = Counter::default(), None,
        "Lifts that were not recorded because they came from the future by this replica's clock";
    received_to_enforced: Histogram = Histogram::new(BUCKETS), Some(Unit::Seconds),
        "Time from the receipt of an event to its enforcement on this replica";
    event_to_enforced: Histogram = Histogram::new(BUCKETS), Some(Unit::Seconds),
        "Time from the event, by its sender's clock, to its enforcement on this replica";
}

fn unknown() -> Float {
    let gauge = Float::default();
    gauge.set(f64::NAN);
    gauge
}

impl Metrics {
    pub(super) fn enforced(&self, since_receipt: Duration, since_event: Duration) {
        self.applied.inc();
        self.received_to_enforced
            .observe(since_receipt.as_secs_f64());
        self.event_to_enforced.observe(since_event.as_secs_f64());
    }

    /// `jumped` and `apart` are milliseconds.
    pub(super) fn clocks(&self, horizon: UnixMillis, jumped: i64, apart: i64) {
        let seconds = i64::try_from(horizon.seconds()).unwrap_or(i64::MAX);
        self.horizon_timestamp.set(seconds);
        let most = jumped.unsigned_abs().max(apart.unsigned_abs());
        let most = Duration::from_millis(most).as_secs_f64();
        self.clock_disagreement.set(most);
    }

    pub(super) fn set_feed_lag(&self, records: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "nobody is 2^53 records behind")]
        let records = records.map_or(f64::NAN, |records| records as f64);
        self.feed_lag.set(records);
    }

    /// Looks at every shard. To be called at a scrape.
    pub(super) fn index(&self, index: &Index) {
        let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        self.memory.set(size(index.memory()));
        self.lifts.set(size(index.lifts()));
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let live = index.live();
        for gone in labels.iter().filter(|label| !live.contains_key(*label)) {
            self.live.remove(&[("claims", gone.clone())]);
        }
        for (label, count) in &live {
            let gauge = self.live.get_or_create(&[("claims", label.clone())]);
            gauge.set(size(*count));
        }
        *labels = live.into_keys().collect();
    }
}
