//! One follower's view of the log, made by a thread of its own: first the disk, then the news.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::stream::BoxStream;
use rusqlite::{Connection, Row};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;

use crate::revocation::record::Revocation;

use super::super::{Cursor, Feed};
use super::database::{self, Tally};
use super::error::is_damage;
use super::head::{Head, News};
use super::seal::Seal;

/// Records that are delivered at once.
const BATCH: usize = 512;

/// How often a tail says that nothing came.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Deliveries that may wait for a follower.
const FEED: usize = 8;

/// Reads the log in a thread of its own: everything after `from`, then what comes until `head` is
/// closed. Without its thread the stream ends at once.
pub(super) fn start(
    database: PathBuf,
    seal: Seal,
    head: &Arc<Head>,
    from: Option<Cursor>,
) -> BoxStream<'static, Feed> {
    let (feed, stream) = mpsc::channel(FEED);
    let tail = Tail {
        database,
        seal,
        head: Arc::clone(head),
        feed,
    };
    let spawned = thread::Builder::new()
        .name("log-tail".to_owned())
        .spawn(move || tail.run(from));
    if let Err(error) = spawned {
        head.fail(format!("no thread to read the log: {error}"));
    }
    Box::pin(ReceiverStream::new(stream))
}

struct Tail {
    database: PathBuf,
    seal: Seal,
    head: Arc<Head>,
    feed: Sender<Feed>,
}

/// Why a tail stops.
enum End {
    /// The follower is gone or the log was closed.
    Quiet,
    /// The log cannot be read.
    Failed(String),
}

impl From<rusqlite::Error> for End {
    fn from(error: rusqlite::Error) -> Self {
        let damage = if is_damage(&error) {
            "it is damaged: "
        } else {
            ""
        };
        Self::Failed(format!("{damage}{error}"))
    }
}

impl Tail {
    fn run(self, from: Option<Cursor>) {
        if let Err(End::Failed(why)) = self.follow(from) {
            let place = self.database.display();
            self.head.fail(format!(
                "{place} cannot be read: {why}; see docs/recovery.md"
            ));
        }
    }

    fn follow(&self, from: Option<Cursor>) -> Result<(), End> {
        let connection = database::open_reader(&self.database)?;
        let mut position = self.start(from)?;
        position = self.replay(&connection, position)?;
        loop {
            self.say(Feed::InSync(self.cursor(position)))?;
            match self.head.after(position, HEARTBEAT) {
                News::Records(records, last) => {
                    position = last;
                    self.say(Feed::Records(records, self.cursor(position)))?;
                }
                News::OnDisk => position = self.replay(&connection, position)?,
                News::Quiet => {}
                News::Closed => return Err(End::Quiet),
            }
        }
    }

    /// A cursor of another history, or from a future that this one never had, starts anew.
    fn start(&self, from: Option<Cursor>) -> Result<u64, End> {
        let Some(from) = from else { return Ok(0) };
        let head = u128::from(self.head.position());
        match u64::try_from(from.position) {
            Ok(position) if from.epoch == self.seal.epoch && from.position <= head => Ok(position),
            _ => {
                self.say(Feed::Reset(self.cursor(0)))?;
                Ok(0)
            }
        }
    }

    /// Delivers what one snapshot of the disk has after `position`, checking every byte of it.
    fn replay(&self, connection: &Connection, position: u64) -> Result<u64, End> {
        let snapshot = connection.unchecked_transaction()?;
        let tally = Tally::read(&snapshot)?;
        let tally = tally.ok_or_else(|| End::Failed("its tally has a wrong checksum".into()))?;
        let mut statement = snapshot.prepare_cached(
            "SELECT position, digest, forget_after, sum, record
             FROM records WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([position.cast_signed()])?;
        let mut batch = Vec::with_capacity(BATCH);
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let (at, record) = self.read(row)?;
            batch.push(Arc::new(record));
            read += 1;
            if batch.len() == BATCH {
                let batch = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                self.say(Feed::Records(batch, self.cursor(at)))?;
            }
        }
        if position == 0 && read != tally.records {
            let counted = tally.records;
            let text = format!("it has {read} records, but {counted} were counted");
            return Err(End::Failed(text));
        }
        let last = tally.last_position.cast_unsigned().max(position);
        if !batch.is_empty() {
            self.say(Feed::Records(batch, self.cursor(last)))?;
        }
        Ok(last)
    }

    fn read(&self, row: &Row<'_>) -> Result<(u64, Revocation), End> {
        let position: i64 = row.get(0)?;
        let digest = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let record = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
        let sum: i64 = row.get(3)?;
        if sum != self.seal.of_row(position, digest, row.get(2)?, record) {
            let text = format!("the record at position {position} has a wrong checksum");
            return Err(End::Failed(text));
        }
        let record = Revocation::decode(record)
            .map_err(|error| End::Failed(format!("the record at position {position}: {error}")))?;
        Ok((position.cast_unsigned(), record))
    }

    fn say(&self, feed: Feed) -> Result<(), End> {
        self.feed.blocking_send(feed).map_err(|_| End::Quiet)
    }

    fn cursor(&self, position: u64) -> Cursor {
        Cursor {
            epoch: self.seal.epoch,
            position: position.into(),
        }
    }
}
