//! What the metrics say about the process itself.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::admin::Refresh;
use crate::core::metrics::add;
use crate::core::readiness::Readiness;
use crate::core::version::{COMMIT, VERSION};

/// Registers `portcullis_build_info{version,commit}`, `portcullis_ready`, `portcullis_degraded{part}` and
/// `portcullis_log_lost_total{kind}`. Returns what brings them up to date.
pub(super) fn register(
    registry: &mut Registry,
    readiness: Readiness,
    losses: impl Fn() -> [(&'static str, usize); 2] + Send + Sync + 'static,
) -> Refresh {
    let build: Family<[(&'static str, &'static str); 2], Gauge> =
        add(registry, "build_info", "The build, as labels");
    build
        .get_or_create(&[("version", VERSION), ("commit", COMMIT)])
        .set(1);
    let ready: Gauge = add(
        registry,
        "ready",
        "1 while a proxy should send requests here, as /readyz says",
    );
    let degraded: Family<[(&'static str, String); 1], Gauge> = add(
        registry,
        "degraded",
        "1 for each part that does not work while requests are served",
    );
    let lost: Family<[(&'static str, &'static str); 1], Counter> = add(
        registry,
        "log_lost",
        "What the log left out: repeated `warnings`, and `lines` because standard error is read too slowly",
    );
    Box::new(move || {
        let state = readiness.state();
        ready.set(i64::from(state.is_ready()));
        degraded.clear();
        for part in state.degraded.into_keys() {
            degraded.get_or_create(&[("part", part)]).set(1);
        }
        for (kind, total) in losses() {
            let counter = lost.get_or_create_owned(&[("kind", kind)]);
            counter
                .inner()
                .store(u64::try_from(total).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    })
}
