//! Registration of metrics.

use prometheus_client::registry::{Metric, Registry, Unit};

/// Registers a metric that begins at its default, which is zero, and returns it.
pub(crate) fn add<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Like [`add`]. The unit becomes the end of the name.
pub(crate) fn add_in<M: Metric + Clone + Default>(
    unit: Unit,
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}
