//! A log on an engine, with what this replica knows of it kept on its own disk.
//!
//! A replica that restarts while the engine is out of reach comes up with what it knew, and says
//! how old that is. One that restarts while the engine is there asks it only for what is new.
//!
//! What comes is enforced first and copied next, see decision 0010: the engine has it already.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;

use super::embedded::Embedded;
use super::{AppendError, Cursor, Feed, Log, Records};
use crate::clock::{Clock, UnixMillis};
use crate::keep::{Keep, Kind};
use crate::revocation::record::Revocation;

/// Deliveries that may wait for the follower.
const FEED: usize = 8;

/// Records that may wait for the disk. When there are more, reading on waits.
const WAITING: usize = 65_536;

/// Between two writes, so that what comes in a stream shares syncs.
const PAUSE: Duration = Duration::from_millis(5);

/// How often the place is written down at most. After a restart the engine is asked for what came
/// since, which the copy has already.
const PLACE_EVERY: Duration = Duration::from_secs(1);

/// How often when nothing came. The place tells how old the copy is.
const QUIET_PLACE_EVERY: Duration = Duration::from_secs(5);

/// An engine's log and the local copy of it.
#[derive(Debug)]
pub(super) struct Mirrored {
    engine: Arc<dyn Log>,
    copy: Arc<Embedded>,
    clock: Clock,
    reach: watch::Sender<Reach>,
}

impl Mirrored {
    pub(super) fn new(engine: Arc<dyn Log>, copy: Arc<Embedded>, clock: Clock) -> Self {
        Self {
            engine,
            copy,
            clock,
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
        let mirror = Mirror {
            engine: Arc::clone(&self.engine),
            copy: Arc::clone(&self.copy),
            clock: self.clock.clone(),
            reach: self.reach.clone(),
            feed,
        };
        // If this task dies, the stream ends, and with it the process.
        tokio::spawn(mirror.run());
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

    fn failure(&self) -> Option<String> {
        self.copy.failure().or_else(|| self.engine.failure())
    }
}

/// How much of what was delivered the copy has.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Nothing,
    UpTo(Cursor),
    /// Something could not be written. The place is not moved any more, so that the next start
    /// asks the engine for it again; until then there is nothing to wait for.
    Torn,
}

impl Reach {
    fn covers(self, at: Cursor) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(cursor) => cursor.has_passed(at),
            Self::Torn => true,
        }
    }
}

/// How far the copy reaches, and when it was known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    cursor: Cursor,
    in_sync_at: UnixMillis,
}

impl Place {
    fn to_bytes(self) -> Vec<u8> {
        let Cursor { epoch, position } = self.cursor;
        [
            &epoch[..],
            &position.to_be_bytes(),
            &self.in_sync_at.0.to_be_bytes(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        Some(Self {
            cursor: Cursor {
                epoch: *epoch,
                position: u128::from_be_bytes(*position),
            },
            in_sync_at: UnixMillis(u64::from_be_bytes(rest.try_into().ok()?)),
        })
    }

    /// Whether this one is worth writing, when that one is on the disk.
    fn is_due_after(self, saved: Self) -> bool {
        // The clock was set back: the saved moment would make the copy look younger than it is.
        if self.in_sync_at < saved.in_sync_at {
            return true;
        }
        let pause = if saved.cursor == self.cursor {
            QUIET_PLACE_EVERY
        } else {
            PLACE_EVERY
        };
        self.in_sync_at.since(saved.in_sync_at) >= pause
    }
}

/// Passes on what comes, first from the copy and then from the engine.
struct Mirror {
    engine: Arc<dyn Log>,
    copy: Arc<Embedded>,
    clock: Clock,
    reach: watch::Sender<Reach>,
    feed: mpsc::Sender<Feed>,
}

/// The follower went away, and there is nobody to mirror for; or the copier died.
struct Gone;

impl Mirror {
    async fn run(self) {
        // What ends this is seen by the follower: its stream ends.
        let _ = self.mirror().await;
    }

    async fn mirror(&self) -> Result<(), Gone> {
        if !self.replay_copy().await? {
            return Ok(());
        }
        let saved = self.load_place().await;
        let mut known_until = saved.map(|place| place.in_sync_at);
        let from = saved.map(|place| place.cursor);
        let (queue, queued) = mpsc::unbounded_channel();
        tokio::spawn(self.copier(saved).run(queued));
        let room = Arc::new(Semaphore::new(WAITING));
        let mut news = self.engine.follow(from);
        while let Some(feed) = news.next().await {
            if let Some(entry) = self.entry(&feed, &room).await {
                queue.send(entry).map_err(|_| Gone)?;
            }
            match feed {
                Feed::InSync(..) => known_until = None,
                Feed::Lost(_) => {
                    if let Some(at) = known_until.take() {
                        // What was read so far is enforced from now on.
                        self.send(Feed::Restored(at)).await?;
                    }
                }
                _ => {}
            }
            self.send(feed).await?;
        }
        Ok(())
    }

    /// What the copy has to learn of a delivery.
    async fn entry(&self, feed: &Feed, room: &Arc<Semaphore>) -> Option<Entry> {
        let (records, cursor, in_sync_at) = match feed {
            Feed::Records(records, cursor) => (records.clone(), *cursor, None),
            Feed::InSync(cursor, asked) => {
                let at = self.clock.now().minus(self.clock.since(*asked));
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

    /// Delivers what the copy has. `false` when it cannot be read to its end.
    async fn replay_copy(&self) -> Result<bool, Gone> {
        let mut copy = self.copy.follow(None);
        while let Some(feed) = copy.next().await {
            if let Feed::InSync(cursor, _) = feed {
                self.reach.send_replace(Reach::UpTo(cursor));
                return Ok(true);
            }
            self.send(feed).await?;
        }
        Ok(false)
    }

    /// Without a place everything is asked for again, which costs time and loses nothing.
    async fn load_place(&self) -> Option<Place> {
        let copy = Arc::clone(&self.copy);
        let load = move || copy.load(Kind::Place, "");
        let loaded = tokio::task::spawn_blocking(load).await.ok()?;
        Place::from_bytes(&loaded.ok()??)
    }

    fn copier(&self, saved: Option<Place>) -> Copier {
        Copier {
            copy: Arc::clone(&self.copy),
            reach: self.reach.clone(),
            saved,
        }
    }

    async fn send(&self, feed: Feed) -> Result<(), Gone> {
        self.feed.send(feed).await.map_err(|_| Gone)
    }
}

/// What waits for the disk.
struct Entry {
    records: Records,
    /// The place behind them.
    cursor: Cursor,
    /// Everything up to here was known at this moment.
    in_sync_at: Option<UnixMillis>,
    /// Given back once it is written.
    _room: OwnedSemaphorePermit,
}

/// Writes the copy, all that waits at once.
struct Copier {
    copy: Arc<Embedded>,
    reach: watch::Sender<Reach>,
    saved: Option<Place>,
}

impl Copier {
    async fn run(mut self, mut queued: mpsc::UnboundedReceiver<Entry>) {
        let mut entries = Vec::new();
        while queued.recv_many(&mut entries, usize::MAX).await > 0 {
            self.write(&entries).await;
            entries.clear();
            sleep(PAUSE).await;
        }
    }

    async fn write(&mut self, entries: &[Entry]) {
        let records = entries.iter().map(|entry| entry.records.clone());
        let records: Vec<_> = records.flatten().collect();
        if !records.is_empty()
            && let Err(error) = self.copy.append(records).await
        {
            self.tear(&error);
        }
        if self.is_torn() {
            return;
        }
        if let Some(last) = entries.last() {
            self.reach.send_replace(Reach::UpTo(last.cursor));
        }
        let place = entries.iter().rev().find_map(|entry| {
            let (cursor, in_sync_at) = (entry.cursor, entry.in_sync_at?);
            Some(Place { cursor, in_sync_at })
        });
        if let Some(place) = place {
            self.move_place(place).await;
        }
    }

    fn is_torn(&self) -> bool {
        matches!(*self.reach.borrow(), Reach::Torn)
    }

    fn tear(&self, error: &AppendError) {
        if !self.is_torn() {
            tracing::error!(%error, "the local copy of the log is no longer complete; a restart \
                will ask the engine for what is missing");
            self.reach.send_replace(Reach::Torn);
        }
    }

    async fn move_place(&mut self, place: Place) {
        if self.saved.is_some_and(|saved| !place.is_due_after(saved)) {
            return;
        }
        let copy = Arc::clone(&self.copy);
        let save = move || copy.save(Kind::Place, "", &place.to_bytes());
        let saved = tokio::task::spawn_blocking(save).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => self.saved = Some(place),
            Err(error) => tracing::warn!(%error, "the place in the log could not be kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_a_torn_one_does_not() {
        let place = Place {
            cursor: Cursor {
                epoch: [7; 16],
                position: u128::MAX - 1,
            },
            in_sync_at: UnixMillis(1_700_000_000_123),
        };
        let bytes = place.to_bytes();
        assert_eq!(Place::from_bytes(&bytes), Some(place));
        assert_eq!(Place::from_bytes(&bytes[..39]), None);
        assert_eq!(Place::from_bytes(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn a_place_is_written_now_and_then_and_at_once_when_the_clock_was_set_back() {
        let place = |position, in_sync_at| Place {
            cursor: Cursor {
                epoch: [7; 16],
                position,
            },
            in_sync_at: UnixMillis(in_sync_at),
        };
        let saved = place(5, 10_000);
        assert!(!place(6, 10_999).is_due_after(saved));
        assert!(place(6, 11_000).is_due_after(saved));
        assert!(!place(5, 14_999).is_due_after(saved));
        assert!(place(5, 15_000).is_due_after(saved));
        assert!(place(5, 9_999).is_due_after(saved));
    }
}
