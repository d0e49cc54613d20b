//! A log on an engine, with what this replica knows of it kept on its own disk.
//!
//! A replica that restarts while the engine is out of reach comes up with what it knew, and says
//! how old that is. One that restarts while the engine is there asks it only for what is new.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::embedded::Embedded;
use super::{AppendError, Cursor, Feed, Log, Records};
use crate::clock::{Clock, UnixMillis};
use crate::keep::{Keep, Kind};
use crate::revocation::record::Revocation;

/// Deliveries that may wait for the follower.
const FEED: usize = 8;

/// Records of a replay that are written to the copy at once.
const REPLAYED: usize = 16 * 1024;

/// How often the place is written down at most. After a restart the engine is asked for what came
/// since, which the copy has already.
const PLACE_EVERY: Duration = Duration::from_secs(1);

/// How often when nothing came. The place tells how old the copy is.
const QUIET_PLACE_EVERY: Duration = Duration::from_secs(5);

/// An engine's log and the local copy of it.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) engine: Arc<dyn Log>,
    pub(super) copy: Arc<Embedded>,
    pub(super) clock: Clock,
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
            feed,
            saved: None,
            is_whole: true,
            replaying: true,
            waiting: Vec::new(),
            writing: None,
        };
        // If this task dies, the stream ends, and with it the process.
        tokio::spawn(mirror.run());
        Box::pin(ReceiverStream::new(stream))
    }

    fn behind(&self, at: Cursor) -> Option<u64> {
        self.engine.behind(at)
    }

    fn failure(&self) -> Option<String> {
        self.copy.failure().or_else(|| self.engine.failure())
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
}

struct Mirror {
    engine: Arc<dyn Log>,
    copy: Arc<Embedded>,
    clock: Clock,
    feed: mpsc::Sender<Feed>,
    saved: Option<Place>,
    /// Whether the copy has every record that was delivered. When one could not be written, the
    /// place is not moved any more, so the next start asks the engine for it again.
    is_whole: bool,
    /// Until the log was read to its end once, or is given up for now. Nothing is enforced before
    /// that, so the copy may lag behind, and be written in few large pieces while more is read.
    replaying: bool,
    /// Records of the replay that are not being written yet.
    waiting: Vec<Arc<Revocation>>,
    writing: Option<JoinHandle<Result<Cursor, AppendError>>>,
}

/// The follower went away: there is nobody to mirror for.
struct Gone;

impl Mirror {
    async fn run(mut self) {
        // What ends this is seen by the follower: its stream ends.
        let _ = self.mirror().await;
    }

    async fn mirror(&mut self) -> Result<(), Gone> {
        if !self.replay_copy().await? {
            return Ok(());
        }
        self.saved = self.load_place().await;
        let mut known_until = self.saved.map(|place| place.in_sync_at);
        let from = self.saved.map(|place| place.cursor);
        let mut news = self.engine.follow(from);
        while let Some(feed) = news.next().await {
            match &feed {
                Feed::Records(records, _) => self.copy(records).await,
                Feed::InSync(cursor, asked) => {
                    known_until = None;
                    self.end_replay().await;
                    self.move_place(*cursor, *asked).await;
                }
                Feed::Lost(_) => {
                    if let Some(at) = known_until.take() {
                        // What was read so far is enforced from now on.
                        self.end_replay().await;
                        self.send(Feed::Restored(at)).await?;
                    }
                }
                Feed::Reset(_) | Feed::Restored(_) => {}
            }
            self.send(feed).await?;
        }
        Ok(())
    }

    /// Delivers what the copy has. `false` when it cannot be read to its end.
    async fn replay_copy(&self) -> Result<bool, Gone> {
        let mut copy = self.copy.follow(None);
        while let Some(feed) = copy.next().await {
            if let Feed::InSync(..) = feed {
                return Ok(true);
            }
            self.send(feed).await?;
        }
        Ok(false)
    }

    /// In a replay some of it later. Otherwise nothing is passed on that the copy does not have:
    /// what was refused once is refused after a crash, too.
    async fn copy(&mut self, records: &Records) {
        if !self.replaying {
            let written = self.copy.append(records.clone().into_whole()).await;
            return self.note(written.map(drop));
        }
        self.waiting.extend(records.clone());
        if self.waiting.len() >= REPLAYED {
            self.write_waiting().await;
        }
    }

    async fn end_replay(&mut self) {
        if self.replaying {
            self.write_waiting().await;
            self.written().await;
            self.replaying = false;
        }
    }

    async fn write_waiting(&mut self) {
        self.written().await;
        let (copy, records) = (Arc::clone(&self.copy), std::mem::take(&mut self.waiting));
        self.writing = Some(tokio::spawn(async move { copy.append(records).await }));
    }

    async fn written(&mut self) {
        if let Some(writing) = self.writing.take() {
            let written = writing
                .await
                .unwrap_or_else(|died| Err(AppendError::Unknown(died.to_string())));
            self.note(written.map(drop));
        }
    }

    fn note(&mut self, written: Result<(), AppendError>) {
        if let Err(error) = written
            && std::mem::replace(&mut self.is_whole, false)
        {
            tracing::error!(%error, "the local copy of the log is no longer complete; a restart \
                will ask the engine for what is missing");
        }
    }

    async fn move_place(&mut self, cursor: Cursor, asked: Instant) {
        let in_sync_at = self.clock.now().minus(asked.elapsed());
        let is_due = self.saved.is_none_or(|saved| {
            let pause = if saved.cursor == cursor {
                QUIET_PLACE_EVERY
            } else {
                PLACE_EVERY
            };
            in_sync_at.since(saved.in_sync_at) >= pause
        });
        if !is_due || !self.is_whole {
            return;
        }
        let place = Place { cursor, in_sync_at };
        let copy = Arc::clone(&self.copy);
        let save = move || copy.save(Kind::Place, "", &place.to_bytes());
        let saved = tokio::task::spawn_blocking(save).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => self.saved = Some(place),
            Err(error) => tracing::warn!(%error, "the place in the log could not be kept"),
        }
    }

    /// Without a place everything is asked for again, which costs time and loses nothing.
    async fn load_place(&self) -> Option<Place> {
        let copy = Arc::clone(&self.copy);
        let load = move || copy.load(Kind::Place, "");
        let loaded = tokio::task::spawn_blocking(load).await.ok()?;
        Place::from_bytes(&loaded.ok()??)
    }

    async fn send(&self, feed: Feed) -> Result<(), Gone> {
        self.feed.send(feed).await.map_err(|_| Gone)
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
}
