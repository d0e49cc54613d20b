//! What an engine's driver implements, for the one follower and the one writer.

use std::future::{self, Future};
use std::sync::Arc;

use crate::core::clock::Moment;
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::fault::{Fault, OpenError};
use super::status::Status;

/// Speaks to the servers of an engine.
pub trait Driver: Sized + Send + Sync + 'static {
    type Config;
    /// The log as it was found, before it is read.
    type Found: Send;
    type Session: Session;

    /// How often in a row the log's end must be seen before our position, before it is believed
    /// that the log was put back to an older state.
    const BEFORE_BELIEF: u32;

    /// Prepares to speak to the servers; none is asked yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the configuration names a file or an address that cannot be used.
    fn new(config: &Self::Config, status: Arc<Status>) -> Result<Self, OpenError>;

    /// See [`crate::revocation::log::Log::append`].
    fn append(
        self: &Arc<Self>,
        batch: Vec<Arc<Revocation>>,
    ) -> impl Future<Output = Result<Cursor, AppendError>> + Send;

    /// Tries whether an append would succeed. Leaves nothing behind.
    fn probe(&self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Returns when it is worth probing again at once. Never by default.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        future::pending()
    }

    /// Returns once a connection that is broken now is back. Never by default.
    fn back(&self) -> impl Future<Output = ()> + Send {
        future::pending()
    }

    /// Does what the log needs besides, such as deleting what is over.
    fn upkeep(&self) -> impl Future<Output = ()> + Send {
        future::pending()
    }

    /// Finds the log, or makes it, and returns where it ends.
    fn find(&self) -> impl Future<Output = Result<(Cursor, Self::Found), Fault>> + Send;

    /// Returns whether the log still holds what was read before `at`, as far as can be told before
    /// reading on.
    fn confirms(&self, _at: Cursor) -> impl Future<Output = Result<bool, Fault>> + Send {
        future::ready(Ok(true))
    }

    /// Begins to read behind `at`.
    fn open(
        self: &Arc<Self>,
        found: Self::Found,
        at: Progress,
    ) -> impl Future<Output = Result<Self::Session, Fault>> + Send;
}

/// Reads a log until anything goes wrong.
pub trait Session: Send {
    /// Returns what comes next. An error ends the session; everything before it was returned.
    fn next(&mut self) -> impl Future<Output = Result<News, Fault>> + Send;
}

/// What a session reads.
#[derive(Debug)]
pub enum News {
    /// Entries, perhaps with no live record in them.
    Records(Vec<Arc<Revocation>>, Progress),
    /// Everything that the log had when it was asked at this moment was returned.
    InSync(Progress, Moment),
    /// Nobody knows whether the log is still the log. The session goes on.
    Doubt(Fault),
    /// The entries do not follow those that were read before.
    Gap(&'static str),
}

/// How far a log was read.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Behind the last entry that was delivered. The next session begins here.
    pub delivered: Cursor,
    /// Behind the entries that were over before they could be delivered, if they lie further on.
    pub reached: Cursor,
    /// How many entries were ever added up to `delivered`, if the engine counts them and it is known.
    pub count: Option<u64>,
    /// The log was read to its end once since its start: from now on no entry may be missing.
    pub replayed: bool,
}

impl Progress {
    /// Returns the progress of a follower that has delivered everything up to `cursor`.
    pub(in crate::revocation::log) const fn at(cursor: Cursor) -> Self {
        Self {
            delivered: cursor,
            reached: cursor,
            count: None,
            replayed: cursor.position != 0,
        }
    }
}
