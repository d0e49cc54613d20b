//! The store as the contract suite opens it.

use std::sync::Arc;
use std::time::Duration;

use portcullis::core::clock::Clock;
use portcullis::core::horizon::Horizon;
use portcullis::core::kv::InMemory;
use portcullis::core::units::Span;
use portcullis::revocation::Retention;
use portcullis::revocation::log::Store;
use portcullis::revocation::log::nats::Nats;

use crate::support::nats::{Server, Settings};

/// A server that runs while the log on it is opened, closed and opened again.
pub(crate) struct NatsPlace {
    server: Server,
    keep: Arc<InMemory>,
}

impl NatsPlace {
    pub(crate) fn start() -> Self {
        Self {
            server: Server::start(&Settings::default()),
            keep: Arc::default(),
        }
    }

    pub(crate) fn open(&self, clock: &Clock, retention: &Retention) -> Store {
        let mut config = super::config(&[self.server.url()]);
        config.heartbeat = Span(Duration::from_millis(50));
        let log = Nats::connect(&config, clock, retention, &Horizon::default()).unwrap();
        Store {
            horizon: log.horizon(),
            log: Arc::new(log),
            keep: Arc::clone(&self.keep) as _,
        }
    }
}
