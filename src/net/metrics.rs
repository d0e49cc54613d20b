//! What every listener counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::core::metrics::add;

/// `portcullis_connections{listener}` and
/// `portcullis_connections_turned_away_total{listener,reason}`.
#[derive(Debug)]
pub struct Metrics {
    open: Family<[(&'static str, &'static str); 1], Gauge>,
    turned_away: Family<[(&'static str, &'static str); 2], Counter>,
}

/// Those of one listener.
#[derive(Debug)]
pub(super) struct OfListener {
    pub(super) open: Gauge,
    pub(super) crowded_out: Counter,
    pub(super) late: Counter,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            open: add(registry, "connections", "Open connections"),
            turned_away: add(
                registry,
                "connections_turned_away",
                "New connections that were closed: `late` sent no whole request in time, `crowded` had \
                 to make room for newer ones",
            ),
        }
    }

    pub(super) fn of(&self, listener: &'static str) -> OfListener {
        let turned_away = |reason| {
            let labels = [("listener", listener), ("reason", reason)];
            self.turned_away.get_or_create(&labels).clone()
        };
        OfListener {
            open: self.open.get_or_create(&[("listener", listener)]).clone(),
            crowded_out: turned_away("crowded"),
            late: turned_away("late"),
        }
    }
}
