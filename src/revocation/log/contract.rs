//! What every store implements, and what its followers see.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::core::clock::{Moment, UnixMillis};
use crate::revocation::record::Revocation;

/// A place in a log. Positions rise within an epoch; a new epoch is another history (a stream
/// that was deleted and made again), in which old positions mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub epoch: [u8; 16],
    pub position: u128,
}

impl Cursor {
    /// Returns whether this place is at or behind `other`. Places of different epochs never are.
    #[must_use]
    pub fn has_passed(self, other: Self) -> bool {
        self.epoch == other.epoch && self.position >= other.position
    }
}

/// Why an append was not acknowledged. Except for [`AppendError::Rejected`], the sender is told to try again;
/// records are idempotent, so that is always safe.
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
    /// Everything that the log had at this moment, up to this place, was delivered. The first one ends
    /// the replay; later ones are heartbeats. The moment is when the log was asked, not when its answer was
    /// read. The age of the feed is counted from it.
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
    /// Makes a batch durable and returns the place behind it. Atomic, except that a batch over the store's
    /// limit may be stored in part when it fails. Returns once no crash of this process, or, where the store
    /// says so, of its machine, can lose the batch. A record that is in the log already counts as appended.
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>>;

    /// Delivers everything after `from`, or from the start, and then new records as they come. The stream
    /// ends only when the log has failed for good, or is embedded and closed.
    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed>;

    /// Waits until this replica could restore everything up to `at` from its own disk. Returns at once for a
    /// log without a local copy.
    fn kept(&self, _at: Cursor) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Returns how many records lie behind `at`, as of the last contact with the log. Where an engine keeps
    /// an event's records together, they count as one. `None` if it is not known.
    fn behind(&self, at: Cursor) -> Option<u64>;

    /// Returns why nothing can be appended at the moment, as far as a probe has shown.
    fn unwritable(&self) -> Option<String> {
        None
    }

    /// Returns how many milliseconds the clock of the log's server is ahead of ours (negative: behind), as of
    /// the last contact, if that is more than it may be.
    fn clock_apart(&self) -> Option<i64> {
        None
    }

    /// Returns why the log has failed for good, if it has.
    fn failure(&self) -> Option<String>;
}
