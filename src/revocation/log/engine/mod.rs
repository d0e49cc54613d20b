//! A log on an engine: everything that NATS and Redis have in common.
//!
//! An [`Engine`] is a [`Log`] over a [`Driver`], which speaks to the servers. The follower
//! (`follow`) decides when a log has another history, what is reported and when to try again; the
//! writer (`append`) decides what is tried again, and probes whether the log can be written.

mod append;
pub(super) mod batch;
mod driver;
mod fault;
mod follow;
pub(super) mod login;
mod status;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::DropGuard;

use crate::core::horizon::Horizon;
use crate::revocation::record::Revocation;

use super::{AppendError, Cursor, Feed, Log};

use follow::Follower;

pub(super) use append::insist;
pub(super) use driver::{Driver, News, Progress, Session};
pub(super) use fault::Fault;
pub(super) use status::Status;

/// The log on an engine. Dropping it ends its feeds.
pub struct Engine<D: Driver> {
    driver: Arc<D>,
    status: Arc<Status>,
    _closed_when_dropped: DropGuard,
}

impl<D: Driver> Engine<D> {
    pub(super) fn new(driver: D, status: Arc<Status>) -> Self {
        Self {
            driver: Arc::new(driver),
            _closed_when_dropped: status.closed.clone().drop_guard(),
            status,
        }
    }

    /// Returns the horizon. Every follower raises it before it is in sync, as
    /// far as the log has forgotten.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.status.horizon.clone()
    }
}

impl<D: Driver> Log for Engine<D> {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        async move {
            let at = self.driver.append(batch).await?;
            self.status.note_append(at);
            Ok(at)
        }
        .boxed()
    }

    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let (driver, status) = (Arc::clone(&self.driver), Arc::clone(&self.status));
        let ended = status.closed.child_token();
        let guard = ended.clone().drop_guard();
        let follower = Follower::new(Arc::clone(&driver), Arc::clone(&status), from, guard);
        // On its own: appends wait for what it holds, and must not wait for whoever reads the feed.
        tokio::spawn(async move {
            let upkeep =
                async { tokio::join!(append::keep_probing(&*driver, &status), driver.upkeep()) };
            ended.run_until_cancelled(upkeep).await;
        });
        let feed = stream::unfold(follower, |mut follower| async {
            let feed = follower.next().await?;
            Some((feed, follower))
        });
        feed.boxed()
    }

    fn behind(&self, _at: Cursor) -> Option<u64> {
        self.status.behind()
    }

    fn unwritable(&self) -> Option<String> {
        self.status.unwritable.load().as_deref().cloned()
    }

    fn clock_apart(&self) -> Option<i64> {
        Some(self.status.apart()).filter(|apart| *apart != 0)
    }

    /// Whatever is wrong may pass: servers come back, logs are mended.
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<D: Driver> fmt::Debug for Engine<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
