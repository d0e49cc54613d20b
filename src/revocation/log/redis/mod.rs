//! The log on Redis or Valkey: one stream, on the one server that holds it at a time.
//!
//! # What lies there
//! A batch is one entry of the stream `key`, with the fields `r` (the records), `p` (the id of
//! the entry before it) and `x` (when the last of its records may be forgotten). A consumer group
//! of the stream, which nobody reads with, carries the epoch and the id of the newest entry. Keys
//! beside the stream remember for a while which records are in it.
//!
//! # What is promised
//! An acknowledged record is as durable as the server is configured, and not more: see
//! `docs/stores/redis.md`.

mod address;
mod append;
mod behind;
mod compact;
mod config;
mod confirm;
mod dial;
mod entry;
mod fault;
mod follow;
mod reply;
mod script;
mod sentinels;
mod session;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::core::clock::Clock;
use crate::revocation::record::Revocation;
use crate::revocation::retention::Retention;
use crate::revocation::steady::Steady;

use super::{AppendError, Cursor, Feed, Log};

pub use address::Server;
pub use config::{Config, Sentinel, Tls};

use append::Writer;
use behind::Behind;
use compact::Compaction;
use dial::Dialer;
use follow::Follower;
use script::Scripts;

/// Why the store cannot even be tried: a file is missing or unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revocations.store.redis: {0}")]
pub struct OpenError(String);

/// The log on Redis or Valkey.
#[derive(Debug)]
pub struct Redis {
    config: Arc<Config>,
    dialer: Arc<Dialer>,
    scripts: Arc<Scripts>,
    writer: Arc<Writer>,
    horizon: Arc<AtomicU64>,
    /// What the follower has not handed on yet.
    behind: Arc<Behind>,
    /// What is over is deleted by this clock.
    steady: Steady,
    closed: CancellationToken,
    _close_on_drop: DropGuard,
}

impl Redis {
    /// Prepares the log. No server is asked yet: one that is down, or must not be used as it is
    /// configured, shows in [`Log::append`] and [`Log::follow`], which keep trying.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn connect(
        config: &Config,
        clock: &Clock,
        retention: &Retention,
    ) -> Result<Self, OpenError> {
        let dialer = Arc::new(Dialer::new(config, clock)?);
        let scripts = Arc::new(Scripts::new(config));
        let config = Arc::new(config.clone());
        let writer = Arc::new(Writer::new(
            Arc::clone(&config),
            Arc::clone(&dialer),
            Arc::clone(&scripts),
            retention.clone(),
        ));
        let closed = CancellationToken::new();
        Ok(Self {
            _close_on_drop: closed.clone().drop_guard(),
            closed,
            config,
            dialer,
            scripts,
            writer,
            horizon: Arc::default(),
            behind: Arc::default(),
            steady: Steady::new(clock.clone()),
        })
    }

    /// Raises this horizon instead of one of its own.
    #[must_use]
    pub fn sharing_horizon(mut self, horizon: Arc<AtomicU64>) -> Self {
        self.horizon = horizon;
        self
    }

    /// See [`crate::revocation::Index::horizon`]. Compaction by any replica raises it, and every
    /// follower learns of it before it is in sync.
    #[must_use]
    pub fn horizon(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.horizon)
    }

    fn compaction(&self) -> Compaction {
        Compaction {
            config: Arc::clone(&self.config),
            scripts: Arc::clone(&self.scripts),
            dialer: Arc::clone(&self.dialer),
            clock: self.steady.clone(),
        }
    }
}

impl Log for Redis {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        Box::pin(async move { self.writer.append(&batch).await })
    }

    /// The stream also compacts the log while it is polled, so that no task runs unseen.
    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let follower = Follower::new(
            Arc::clone(&self.config),
            Arc::clone(&self.dialer),
            Arc::clone(&self.scripts),
            Arc::clone(&self.horizon),
            Arc::clone(&self.behind),
            self.closed.clone(),
            from,
        );
        let feed = stream::unfold(follower, |mut follower| async {
            let feed = follower.next().await?;
            Some((feed, follower))
        });
        // On its own: it takes the writer's turn, which must not wait for whoever reads the feed.
        let writer = Arc::clone(&self.writer);
        let closed = self.closed.clone();
        tokio::spawn(async move { writer.keep_probing(closed).await });
        let upkeep = stream::once(self.compaction().run(self.closed.clone()));
        let upkeep = upkeep.filter_map(|()| std::future::ready(None));
        stream::select(feed, upkeep).boxed()
    }

    /// Ids of entries cannot be counted, so this is what was not handed on yet.
    fn behind(&self, _at: Cursor) -> Option<u64> {
        self.behind.entries()
    }

    fn unwritable(&self) -> Option<String> {
        self.writer.unwritable()
    }

    fn failure(&self) -> Option<String> {
        None
    }
}
