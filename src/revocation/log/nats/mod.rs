//! The log on NATS JetStream: one stream that all replicas append to and follow.
//!
//! A message holds what one event says, or several, so an event is kept whole or not at all. It is
//! acknowledged once most of the stream's servers have it; whether that means *on disk* is for
//! the servers' `sync_interval` to say (`docs/stores/nats.md`).

mod append;
mod batch;
mod config;
mod durability;
mod ends;
mod follow;
mod group;
mod link;
mod session;
mod settings;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_nats::Client;
use async_nats::jetstream;
use futures_util::future::BoxFuture;
use futures_util::stream::{self as streams, BoxStream};
use futures_util::{FutureExt, StreamExt};
use rand::Rng;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::core::clock::Clock;
use crate::revocation::record::Revocation;
use crate::revocation::retention::Retention;
use crate::revocation::steady::Steady;

use super::{AppendError, Cursor, Feed, Log};
use group::Group;
use link::Link;

pub use config::{Auth, Config, Tls};

/// The log in a JetStream stream. Dropping it ends the feeds.
pub struct Nats {
    shared: Shared,
    _closed_when_dropped: DropGuard,
}

/// What appends and followers have in common.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    clock: Clock,
    /// What is over is passed over by this clock.
    steady: Steady,
    retention: Retention,
    client: Client,
    jetstream: jetstream::Context,
    link: watch::Receiver<Link>,
    /// The history in use; `None` until the stream was found fit.
    epoch: Arc<ArcSwapOption<[u8; 16]>>,
    checked: Arc<Mutex<stream::Checked>>,
    /// The stream at the last look.
    seen: Arc<ArcSwapOption<stream::Seen>>,
    /// The highest sequence number that this process was acknowledged.
    appended: Arc<AtomicU64>,
    horizon: Arc<AtomicU64>,
    group: Arc<Group>,
    /// See [`Log::clock_apart`]; 0 while the clocks agree.
    apart: Arc<AtomicI64>,
    /// See [`Log::unwritable`].
    unwritable: Arc<ArcSwapOption<String>>,
    closed: CancellationToken,
}

/// What is wrong with the configuration's files or addresses. Servers that are down are no such
/// error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

/// Why the stream cannot be used now. It may pass.
#[derive(Debug)]
struct Trouble {
    message: String,
    /// Nobody answered: another server might.
    silence: bool,
}

impl Trouble {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            silence: false,
        }
    }

    fn silence(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            silence: true,
        }
    }
}

impl Nats {
    /// Begins to connect and returns at once; the servers may be down. Until they are reached,
    /// appends fail as unavailable and followers see [`Feed::Lost`]. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn connect(
        config: &Config,
        clock: &Clock,
        retention: &Retention,
    ) -> Result<Self, OpenError> {
        let (client, link) = link::connect(config)?;
        let closed = CancellationToken::new();
        let shared = Shared {
            jetstream: jetstream::new(client.clone()),
            client,
            link,
            config: Arc::new(config.clone()),
            clock: clock.clone(),
            steady: Steady::new(clock.clone()),
            retention: retention.clone(),
            epoch: Arc::default(),
            checked: Arc::default(),
            seen: Arc::default(),
            appended: Arc::default(),
            horizon: Arc::default(),
            group: Arc::default(),
            apart: Arc::default(),
            unwritable: Arc::default(),
            closed: closed.clone(),
        };
        Ok(Self {
            shared,
            _closed_when_dropped: closed.drop_guard(),
        })
    }

    /// Raises this horizon instead of one of its own.
    #[must_use]
    pub fn sharing_horizon(mut self, horizon: Arc<AtomicU64>) -> Self {
        self.shared.horizon = horizon;
        self
    }

    /// See [`crate::revocation::Index::horizon`]. It follows the servers' clock, by which messages
    /// leave the stream, as far as our own has reached, and every follower learns of it before it is
    /// in sync.
    #[must_use]
    pub fn horizon(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.horizon)
    }
}

impl Log for Nats {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        group::append(&self.shared, batch).boxed()
    }

    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let feed = follow::follow(self.shared.clone(), from);
        let probe = streams::once(append::keep_probing(self.shared.clone()));
        let probe = probe.filter_map(|()| std::future::ready(None));
        streams::select(feed, probe).boxed()
    }

    fn behind(&self, at: Cursor) -> Option<u64> {
        self.shared.seen.load().as_ref()?.behind(at)
    }

    fn unwritable(&self) -> Option<String> {
        self.shared.unwritable.load().as_deref().cloned()
    }

    fn clock_apart(&self) -> Option<i64> {
        match self.shared.apart.load(Ordering::Relaxed) {
            0 => None,
            apart => Some(apart),
        }
    }

    /// Whatever is wrong may pass: servers come back, streams are mended.
    fn failure(&self) -> Option<String> {
        None
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("stream", &self.shared.config.stream)
            .finish_non_exhaustive()
    }
}

/// How long to wait before another attempt: nothing before the first, then twice as long each
/// time up to 5 seconds, and a random part of it, so that replicas do not come back in step.
fn pause(failures: u32) -> Duration {
    const LONGEST: u64 = 5000;
    if failures == 0 {
        return Duration::ZERO;
    }
    let step = 100_u64
        .saturating_mul(1 << failures.min(10) >> 1)
        .min(LONGEST);
    Duration::from_millis(rand::rng().random_range(step / 2..=step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(pause(0), Duration::ZERO);
        for failures in [1, 2, 5, 20, u32::MAX] {
            let pause = pause(failures);
            assert!(pause >= Duration::from_millis(50), "{failures}: {pause:?}");
            assert!(pause <= Duration::from_secs(5), "{failures}: {pause:?}");
        }
        assert!(pause(1) <= Duration::from_millis(100));
    }
}
