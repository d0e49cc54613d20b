//! The parts over the embedded store, as one process has them.

use std::path::Path;

use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::*;
use super::ISSUER;

pub(in crate::revocation) struct Process {
    pub(in crate::revocation) turns: Turns,
    pub(in crate::revocation) notes: Arc<Notes>,
    pub(in crate::revocation) writer: Writer,
    follower: JoinHandle<Result<(), String>>,
    shutdown: CancellationToken,
}

impl Process {
    /// Tokens of the issuer live for an hour.
    pub(in crate::revocation) fn start(directory: &Path, clock: &Clock) -> Self {
        let config = json!({ "store": { "embedded": { "path": directory } } });
        let config: Config = serde_saphyr::from_str(&config.to_string()).unwrap();
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            max_token_lifetime: Duration::from_hours(1),
            leeway: Duration::ZERO,
        };
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let parts = open(&config, &[issuer], clock, &Readiness::default(), metrics).unwrap();
        let shutdown = CancellationToken::new();
        Self {
            turns: parts.turns,
            notes: parts.notes,
            writer: parts.writer,
            follower: tokio::spawn(parts.follower.run(shutdown.clone())),
            shutdown,
        }
    }

    pub(in crate::revocation) async fn stop(self) {
        self.shutdown.cancel();
        self.follower.await.unwrap().unwrap();
    }
}
