//! The front door: what clients, operators and identity providers see of the real process behind
//! the real Envoy and the real nginx.

mod bypass;
mod clocks;
mod connections;
mod durable;
mod events;
mod floods;
mod grpc;
mod hostile;
mod key_access;
mod keys;
mod kinds;
mod limits;
mod reasons;
mod sessions;
mod shared_secret;
mod spoofing;
mod startup;
mod tenants;
mod tls;

use serde_json::Value;

use crate::support::{World, until};

/// What Envoy's access log says about the one request that had this path.
async fn logged(world: &World, path: &str) -> Value {
    until(&format!("Envoy's access log has {path}"), async || {
        let lines = world.envoy.process.lines();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["path"] == path)
    })
    .await
}

/// How many requests were refused for this reason so far.
async fn denials(world: &World, reason: &str) -> f64 {
    let sample = format!("portcullis_decisions_total{{outcome=\"deny\",reason=\"{reason}\"}}");
    let count = world.portcullis.metric(&sample).await;
    count.unwrap_or_else(|| panic!("{sample} is not among the metrics"))
}

/// No check ended in a panic or ran out of time.
async fn nothing_broke(world: &World) {
    let metrics = world.portcullis.metrics().await;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let broken = line.contains("panicked") || line.contains("timed_out");
        assert!(!broken || line.ends_with(" 0"), "{line}");
    }
    let lines = world.portcullis.process.lines();
    assert!(!lines.iter().any(|line| line.contains("panicked")));
}
