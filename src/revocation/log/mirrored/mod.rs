//! A log on an engine, with a copy on this replica's own disk.
//!
//! A replica that restarts while the engine is out of reach comes up with what it knew, and says
//! how old that is. One that restarts while the engine is there reads only what is new.
//!
//! Deliveries are enforced first and copied next, see decision 0010: the engine has them already.

mod checkpoint;
mod copier;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::embedded::Embedded;
use super::{AppendError, Cursor, Feed, Log, Records};
use crate::core::clock::Clock;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::readiness::Readiness;
use crate::revocation::record::Revocation;

use checkpoint::Checkpoint;
use copier::{Copier, Entry, Reach};

/// Deliveries that may wait for the follower.
const FEED: usize = 8;

/// Records that may wait for the disk. When there are more, reading on waits.
const WAITING: usize = 65_536;

/// An engine's log and the local copy of it.
#[derive(Clone, Debug)]
pub(super) struct Mirrored {
    engine: Arc<dyn Log>,
    copy: Arc<Embedded>,
    clock: Clock,
    readiness: Readiness,
    reach: watch::Sender<Reach>,
}

impl Mirrored {
    pub(super) fn new(
        engine: Arc<dyn Log>,
        copy: Arc<Embedded>,
        clock: Clock,
        readiness: Readiness,
    ) -> Self {
        Self {
            engine,
            copy,
            clock,
            readiness,
            reach: watch::Sender::new(Reach::Nothing),
        }
    }
}

impl Log for Mirrored {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        self.engine.append(batch)
    }

    /// Always from the start: the copy has it.
    fn follow(&self, _from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let (feed, stream) = mpsc::channel(FEED);
        let log = self.clone();
        let mirror = Mirror { log, feed };
        // If this task dies, the stream ends, and with it the process.
        tokio::spawn(async move {
            // What ends this is seen by the follower: its stream ends.
            let _ = mirror.mirror().await;
        });
        Box::pin(ReceiverStream::new(stream))
    }

    fn kept(&self, at: Cursor) -> BoxFuture<'_, ()> {
        let mut reach = self.reach.subscribe();
        Box::pin(async move {
            // This log holds the other end, so there is always one.
            let _ = reach.wait_for(|reach| reach.covers(at)).await;
        })
    }

    fn behind(&self, at: Cursor) -> Option<u64> {
        self.engine.behind(at)
    }

    fn unwritable(&self) -> Option<String> {
        self.engine.unwritable()
    }

    fn clock_apart(&self) -> Option<i64> {
        self.engine.clock_apart()
    }

    fn failure(&self) -> Option<String> {
        self.copy.failure().or_else(|| self.engine.failure())
    }
}

/// Passes on what comes, first from the copy and then from the engine.
struct Mirror {
    log: Mirrored,
    feed: mpsc::Sender<Feed>,
}

/// The follower went away, and there is nobody to mirror for; or the engine's feed ended, or the
/// copier died.
struct Gone;

impl Mirror {
    async fn mirror(&self) -> Result<(), Gone> {
        if !self.replay_copy().await? {
            return Ok(());
        }
        let mut is_first = true;
        loop {
            let saved = self.load_checkpoint().await;
            self.pass_on(saved, is_first).await?;
            is_first = false;
        }
    }

    /// Passes on what the engine has behind the checkpoint. Returns when the copy lacks some of it,
    /// and can be written again: it has to follow from its checkpoint once more.
    async fn pass_on(&self, saved: Option<Checkpoint>, is_first: bool) -> Result<(), Gone> {
        let mut known_until = saved.filter(|_| is_first).map(|saved| saved.in_sync_at);
        let (queue, queued) = mpsc::unbounded_channel();
        let (copy, reach) = (Arc::clone(&self.log.copy), self.log.reach.clone());
        let copier = Copier::new(copy, reach, self.log.readiness.clone(), saved);
        let mut copying = tokio::spawn(copier.run(queued));
        let room = Arc::new(Semaphore::new(WAITING));
        let mut news = self.log.engine.follow(saved.map(|saved| saved.cursor));
        loop {
            let feed = tokio::select! {
                biased;
                ended = &mut copying => return ended.map_err(|_| Gone),
                feed = news.next() => feed.ok_or(Gone)?,
            };
            if let Some(entry) = self.entry(&feed, &room).await
                && queue.send(entry).is_err()
            {
                // The follower gets it all the same.
                self.send(feed).await?;
                return (&mut copying).await.map_err(|_| Gone);
            }
            if matches!(feed, Feed::InSync(..)) {
                known_until = None;
            } else if matches!(feed, Feed::Lost(_))
                && let Some(at) = known_until.take()
            {
                // What was read so far is enforced from now on.
                self.send(Feed::Restored(at)).await?;
            }
            self.send(feed).await?;
        }
    }

    /// Returns what the copy has to learn of a delivery, once there is room for it.
    async fn entry(&self, feed: &Feed, room: &Arc<Semaphore>) -> Option<Entry> {
        let (records, cursor, in_sync_at) = match feed {
            Feed::Records(records, cursor) => (records.clone(), *cursor, None),
            Feed::InSync(cursor, asked) => {
                let clock = &self.log.clock;
                let at = clock.now().minus(clock.since(*asked));
                (Records::default(), *cursor, Some(at))
            }
            Feed::Reset(cursor) => (Records::default(), *cursor, None),
            Feed::Restored(_) | Feed::Lost(_) => return None,
        };
        let wanted = u32::try_from(records.len().min(WAITING)).expect("far below 2^32");
        let room = Arc::clone(room).acquire_many_owned(wanted).await;
        Some(Entry {
            records,
            cursor,
            in_sync_at,
            _room: room.expect("nobody closes it"),
        })
    }

    /// Delivers what the copy has. Returns `false` when it cannot be read to its end.
    async fn replay_copy(&self) -> Result<bool, Gone> {
        let mut copy = self.log.copy.follow(None);
        while let Some(feed) = copy.next().await {
            if let Feed::InSync(cursor, _) = feed {
                self.log.reach.send_replace(Reach::UpTo(cursor));
                return Ok(true);
            }
            self.send(feed).await?;
        }
        Ok(false)
    }

    /// Without a checkpoint everything is read again, which costs time and loses nothing.
    async fn load_checkpoint(&self) -> Option<Checkpoint> {
        let copy = Arc::clone(&self.log.copy);
        let load = move || copy.load(Kind::Place, "");
        let loaded = tokio::task::spawn_blocking(load).await.ok()?;
        Checkpoint::from_bytes(&loaded.ok()??)
    }

    async fn send(&self, feed: Feed) -> Result<(), Gone> {
        self.feed.send(feed).await.map_err(|_| Gone)
    }
}
