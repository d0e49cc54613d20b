//! The state of the revocations, for operators.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::effects::{Effects, Position, Unwatched, Watcher};
use super::feed::FeedState;
use super::log::{Cursor, Log};
use super::{Index, Reader, Writer};
use crate::core::clock::UnixMillis;

/// Reports the state of the revocations on this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    index: Arc<Index>,
    feed: Arc<FeedState>,
    log: Arc<dyn Log>,
    applied: watch::Receiver<Option<Cursor>>,
    effects: Effects,
}

/// The state of the revocations at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Live revocations, without remembered lifts.
    pub live: usize,
    /// The time since the log last said that everything was delivered; `None` before the replay is over.
    pub feed_age: Option<Duration>,
    /// How many records of the log this replica has not applied; `None` when it cannot tell.
    pub feed_lag: Option<u64>,
    /// Up to when revocations may have been forgotten.
    pub horizon: UnixMillis,
}

impl Monitor {
    pub(super) fn new(writer: &Writer, reader: &Reader, effects: Effects) -> Self {
        Self {
            index: Arc::clone(&writer.index),
            feed: Arc::clone(&reader.feed),
            log: Arc::clone(&writer.log),
            applied: writer.applied.clone(),
            effects,
        }
    }

    /// Watches revocations and lifts as they take effect on this replica; see [`Effects::watch`].
    ///
    /// # Errors
    /// When the position is not known any more, or too many watch.
    pub fn watch(&self, after: Option<Position>) -> Result<Watcher, Unwatched> {
        self.effects.watch(after)
    }

    /// Returns a random number that stands for the process, which positions of watches begin with.
    #[must_use]
    pub fn instance(&self) -> String {
        self.effects.instance()
    }

    /// Returns the state of this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let applied = *self.applied.borrow();
        Status {
            live: self.index.len().saturating_sub(self.index.lifts()),
            feed_age: self.feed.is_replayed().then(|| self.feed.age()),
            feed_lag: applied.and_then(|at| self.log.behind(at)),
            horizon: self.index.horizon(),
        }
    }
}
