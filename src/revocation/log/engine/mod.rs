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
mod testing;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio_util::task::AbortOnDropHandle;

use crate::core::clock::Clock;
use crate::core::horizon::Horizon;
use crate::revocation::record::Revocation;
use crate::revocation::retention::Retention;

use super::{AppendError, Cursor, Feed, Log};

use follow::Follower;

pub(super) use append::insist;
pub(super) use driver::{Driver, News, Progress, Session};
pub(super) use fault::{Fault, OpenError};
pub(super) use status::Status;

/// The log on an engine.
pub struct Engine<D: Driver> {
    driver: Arc<D>,
    status: Arc<Status>,
}

impl<D: Driver> Engine<D> {
    /// Prepares the log and returns at once. Servers that are down, or must not be used as they are
    /// configured, show in [`Log::append`] and [`Log::follow`], which keep trying. Raises `horizon` as
    /// far as the log has forgotten. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the configuration names a file or an address that cannot be used.
    pub fn connect(
        config: &D::Config,
        clock: &Clock,
        retention: &Retention,
        horizon: &Horizon,
    ) -> Result<Self, OpenError> {
        let status = Status::new(clock, retention, horizon);
        let driver = Arc::new(D::new(config, Arc::clone(&status))?);
        Ok(Self { driver, status })
    }
}

impl<D: Driver> Log for Engine<D> {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        self.driver.append(batch).boxed()
    }

    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let (driver, status) = (Arc::clone(&self.driver), Arc::clone(&self.status));
        // On its own: appends wait for what it holds, and must not wait for whoever reads the feed.
        let upkeep = tokio::spawn(async move {
            tokio::join!(append::keep_probing(&*driver, &status), driver.upkeep());
        });
        let upkeep = AbortOnDropHandle::new(upkeep);
        let follower = Follower::new(Arc::clone(&self.driver), from, upkeep);
        let feed = stream::unfold(follower, |mut follower| async {
            Some((follower.next().await, follower))
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
