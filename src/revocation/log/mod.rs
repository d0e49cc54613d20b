//! The durable log of revocations.
//!
//! A new store is one folder that implements [`Log`], one line in [`Config`], and one line in the
//! contract suite `tests/it/log_contract.rs`.

mod contract;
pub mod embedded;
mod engine;
mod mirrored;
pub mod nats;
pub mod redis;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::clock::Clock;
use crate::core::config_error::ConfigErrors;
use crate::core::horizon::Horizon;
use crate::core::kv::KeyValueStore;
use crate::core::readiness::Readiness;

use super::retention::Retention;

use mirrored::Mirrored;
use nats::Nats;
use redis::Redis;

pub use contract::{AppendError, Cursor, Feed, Log, Records};
pub use embedded::Embedded;

/// The durable log of revocations.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Config {
    /// SQLite in a directory of this machine: for one replica.
    Embedded(embedded::Config),
    /// A stream of NATS JetStream: for any number of replicas.
    #[serde(skip_serializing)]
    Nats(nats::Config),
    /// A stream of Redis or Valkey: for any number of replicas, as durable as its server.
    #[serde(skip_serializing)]
    Redis(redis::Config),
}

impl Default for Config {
    fn default() -> Self {
        Self::Embedded(embedded::Config::default())
    }
}

impl Config {
    /// Returns whether several replicas may share it.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded(_))
    }

    /// Returns the same store, which is not made if it is missing.
    #[must_use]
    pub fn without_creating(&self) -> Self {
        let mut config = self.clone();
        match &mut config {
            Self::Embedded(_) => {}
            Self::Nats(nats) => nats.create = false,
            Self::Redis(redis) => redis.create = false,
        }
        config
    }

    pub fn check(&self, errors: &mut ConfigErrors) {
        match self {
            Self::Embedded(embedded) => {
                errors.within("embedded", |errors| embedded.check(errors));
            }
            Self::Nats(nats) => errors.within("nats", |errors| nats.check(errors)),
            Self::Redis(redis) => errors.within("redis", |errors| redis.check(errors)),
        }
    }
}

/// An opened store.
pub struct Store {
    pub log: Arc<dyn Log>,
    pub keep: Arc<dyn KeyValueStore>,
    pub horizon: Horizon,
}

/// Why a store cannot be opened. Servers that are down are no reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    #[error("revocations.store: {0}")]
    Engine(#[from] engine::OpenError),
}

/// Opens the configured store. An engine's log is mirrored in the directory `local`. Blocks on
/// the disk; must be called within a tokio runtime.
///
/// # Errors
/// When the store cannot be opened; the message names the place and the way out.
pub fn open(
    config: &Config,
    local: &embedded::Config,
    clock: &Clock,
    readiness: &Readiness,
    retention: &Retention,
) -> Result<Store, OpenError> {
    let directory = match config {
        Config::Embedded(config) => config,
        Config::Nats(_) | Config::Redis(_) => local,
    };
    let embedded = Arc::new(Embedded::open(directory, clock, readiness, retention)?);
    let horizon = embedded.horizon();
    let engine = engine(config, clock, retention, &horizon)?;
    let keep = Arc::clone(&embedded) as _;
    let log: Arc<dyn Log> = match engine {
        None => embedded,
        Some(engine) => Arc::new(Mirrored::new(
            engine,
            embedded,
            clock.clone(),
            readiness.clone(),
        )),
    };
    Ok(Store { log, keep, horizon })
}

/// Returns the log of the configured engine, as it is there; `None` for the embedded store.
pub(super) fn engine(
    config: &Config,
    clock: &Clock,
    retention: &Retention,
    horizon: &Horizon,
) -> Result<Option<Arc<dyn Log>>, OpenError> {
    Ok(match config {
        Config::Embedded(_) => None,
        Config::Nats(config) => Some(Arc::new(Nats::connect(config, clock, retention, horizon)?)),
        Config::Redis(config) => Some(Arc::new(Redis::connect(config, clock, retention, horizon)?)),
    })
}
