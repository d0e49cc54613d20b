//! The durable log of revocations: what every store implements.
//!
//! A new store is one file that implements [`Log`], one line in [`Config`], and one line in the
//! contract suite `tests/it/log_contract.rs`.

pub mod embedded;
mod engine;
mod mirrored;
pub mod nats;
pub mod redis;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::clock::{Clock, Moment, UnixMillis};
use crate::core::config_error::ConfigErrors;
use crate::core::horizon::Horizon;
use crate::core::kv::KeyValueStore;
use crate::core::readiness::Readiness;

use super::record::Revocation;
use super::retention::Retention;

use mirrored::Mirrored;
use nats::Nats;
use redis::Redis;

pub use embedded::Embedded;

/// A place in a log. Positions rise within an epoch; a new epoch is another history (a stream
/// that was deleted and made again), in which old positions mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: [u8; 16],
    pub position: u128,
}

impl Cursor {
    /// Whether everything up to `other` lies before this place. Never true in another history.
    #[must_use]
    pub fn has_passed(self, other: Self) -> bool {
        self.epoch == other.epoch && self.position >= other.position
    }
}

/// Why an append was not acknowledged. The sender is told to try again in every case but
/// [`AppendError::Rejected`]; records are idempotent, so trying again is always safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The store will never take this record.
    #[error("the store rejected the record: {0}")]
    Rejected(String),
    /// The store has no room.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store cannot be reached or written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The answer was lost: the record may be stored, now or later.
    #[error("the store did not say whether it kept the record: {0}")]
    Unknown(String),
}

/// Records in log order.
#[derive(Clone, Debug, Default)]
pub struct Records {
    list: Vec<Arc<Revocation>>,
    /// How many are still to come in this replay; 0 when the log has not counted them.
    pub to_come: usize,
}

impl From<Vec<Arc<Revocation>>> for Records {
    fn from(list: Vec<Arc<Revocation>>) -> Self {
        Self { list, to_come: 0 }
    }
}

impl Deref for Records {
    type Target = [Arc<Revocation>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl IntoIterator for Records {
    type Item = Arc<Revocation>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// What a follower sees.
#[derive(Clone, Debug)]
pub enum Feed {
    /// Records in log order, and the place behind the last of them.
    Records(Records, Cursor),
    /// Everything that the log had at this moment, up to this place, was delivered. The first one
    /// ends the replay; later ones are heartbeats. The age of the feed is counted from the moment,
    /// which is when the log was asked: its answer may have waited long to be read.
    InSync(Cursor, Moment),
    /// What was delivered so far comes from this replica's own disk and was complete at that
    /// moment; the log itself cannot be reached.
    Restored(UnixMillis),
    /// The connection to the log is gone and is being sought again. What is known stays.
    Lost(String),
    /// Another history begins: everything is replayed from its start and united with what is
    /// known. Nothing that is still live is dropped.
    Reset(Cursor),
}

/// A durable, ordered, append-only log of revocations.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// Makes a batch durable, all of it or nothing, unless it is too long for the store to take at
    /// once: then what was not acknowledged may be there in part. Returns the place behind the batch once no
    /// crash of this process or, where the store says so, of its machine can lose it. A record
    /// that is in the log already counts as appended.
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>>;

    /// Everything after `from`, or from the start; then what comes. The stream ends only when
    /// the log is closed or has failed for good.
    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed>;

    /// Returns once a restart of this replica would bring back what was delivered up to `at`, even
    /// if nothing but its own disk were there; at once where it has no disk of its own.
    fn kept(&self, _at: Cursor) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How many records the log had, when it was last heard of, behind `at`. Where an engine keeps
    /// an event's records together, they count as one. `None` when it cannot tell.
    fn behind(&self, at: Cursor) -> Option<u64>;

    /// Why nothing can be appended at the moment, as far as a probe has shown.
    fn unwritable(&self) -> Option<String> {
        None
    }

    /// How many milliseconds the clock of the log's server is ahead of ours (behind, if negative),
    /// when it was last heard of and that is more than it may be.
    fn clock_apart(&self) -> Option<i64> {
        None
    }

    /// Why the log cannot be used any more, if it cannot.
    fn failure(&self) -> Option<String>;
}

/// The durable log of revocations.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
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
    /// The same store, which is not made if it is missing.
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
    #[error("the NATS store cannot be used: {0}")]
    Nats(#[from] nats::OpenError),
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
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

/// The log of the configured engine, as it is there; `None` for the embedded store.
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
