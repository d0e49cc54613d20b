//! Reading a whole store beside the process that uses it.

use std::sync::Arc;

use futures_util::stream::BoxStream;

use crate::core::clock::Clock;
use crate::revocation::log::Feed;

use super::database::{self, Tally};
use super::head::Head;
use super::home::{self, Witness};
use super::{Config, OpenError, compare, expect_database, tail};

/// Everything that is in a store at this moment.
pub struct Snapshot {
    /// Ends after the first [`Feed::InSync`], or without it when the store cannot be read.
    pub feed: BoxStream<'static, Feed>,
    head: Arc<Head>,
}

impl Snapshot {
    /// Returns why the feed ended before its time.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.head.failure()
    }
}

/// Reads a store without its lock: the process that uses it is not disturbed.
///
/// # Errors
/// When there is no store that could be read, or it is known to lack records.
pub fn snapshot(config: &Config) -> Result<Snapshot, OpenError> {
    let database = config.path.join(home::DATABASE);
    if home::mark_of(&database).exists() {
        let why = "it is a copy that lacks records of its log; export from the log itself, or \
                   let its replica read what is missing first";
        return Err(OpenError::damaged(&database, why));
    }
    // Before the database is read: later commits may follow.
    let testimony = Witness::read(&config.path.join(home::WITNESS))?;
    expect_database(testimony, &database)?;
    let reader = database::open_reader(&database).map_err(OpenError::unreadable(&database))?;
    let tally = Tally::read(&reader).map_err(OpenError::unreadable(&database))?;
    compare(testimony, &tally, &database)?;
    let head = Arc::new(Head::new(tally.last_position.cast_unsigned()));
    head.close();
    let feed = tail::start(database, tally.seal, &head, None, &Clock::system());
    Ok(Snapshot { feed, head })
}
