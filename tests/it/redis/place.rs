//! The store as the contract suite opens it.

use std::sync::Arc;

use portcullis::core::clock::Clock;
use portcullis::core::horizon::Horizon;
use portcullis::core::kv::InMemory;
use portcullis::core::units::Span;
use portcullis::revocation::Retention;
use portcullis::revocation::log::Store;
use portcullis::revocation::log::redis::Redis;

use crate::support::redis::{LIMIT, Server};

/// A server that runs while the log on it is opened, closed and opened again.
pub(crate) struct RedisPlace {
    server: Server,
    keep: Arc<InMemory>,
}

impl RedisPlace {
    pub(crate) async fn start() -> Self {
        Self {
            server: Server::start().await,
            keep: Arc::default(),
        }
    }

    pub(crate) fn open(&self, clock: &Clock, retention: &Retention) -> Store {
        // Nothing fails in the contract suite, so nothing has to be noticed quickly.
        let mut config = super::config(self.server.socket());
        config.connect_timeout = Span(LIMIT);
        config.append_timeout = Span(LIMIT);
        let log = Redis::connect(&config, clock, retention, &Horizon::default()).unwrap();
        Store {
            horizon: log.horizon(),
            log: Arc::new(log),
            keep: Arc::clone(&self.keep) as _,
        }
    }
}
