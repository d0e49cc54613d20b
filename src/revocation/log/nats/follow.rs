//! Following: one session after another, for ever, from where the last one ended.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::time::{Instant, sleep, sleep_until};

use crate::revocation::log::{Cursor, Feed};

use super::batch::Place;
use super::session::{News, Session};
use super::stream::epoch;
use super::{Shared, Trouble, link, pause};

/// How often in a row the stream's end must be seen before our place, before it is believed that
/// the stream was put back: a new leader may lag for a moment.
const BEFORE_BELIEF: u32 = 3;

/// After so many silences in a row another server is tried: the one in use may be cut off.
const SILENCES: u32 = 5;

/// Between two looks at the stream, when a connection is there to look through: what is acknowledged
/// once the servers have recovered should not wait long for its followers.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A closed log passes on what it was acknowledged, if that is to be had in this time.
const LAST_CALL: Duration = Duration::from_secs(2);

struct Follower {
    nats: Shared,
    at: Option<At>,
    session: Option<Session>,
    ready: VecDeque<Feed>,
    /// The last loss that was reported; `None` while all is well.
    reported: Option<String>,
    failures: u32,
    silences: u32,
    put_back: u32,
    /// When the feed ends in any case, once the log was closed.
    last_call: Option<Instant>,
}

#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) epoch: [u8; 16],
    /// Behind the last message that was delivered: from here a session asks.
    pub(super) place: Place,
    /// The messages up to here, if it lies behind that place, were over before they were delivered.
    pub(super) over: u64,
}

impl At {
    /// Everything up to this message was delivered, or was over before it could be.
    pub(super) fn reach(self) -> u64 {
        self.place.sequence.max(self.over)
    }

    pub(super) fn cursor(self) -> Cursor {
        let place = if self.over > self.place.sequence {
            Place::unseen(self.over)
        } else {
            self.place
        };
        Cursor {
            epoch: self.epoch,
            position: place.position(),
        }
    }

    fn start(epoch: [u8; 16]) -> Self {
        Self {
            epoch,
            place: Place::START,
            over: 0,
        }
    }
}

pub(super) fn follow(nats: Shared, from: Option<Cursor>) -> BoxStream<'static, Feed> {
    let follower = Follower {
        nats,
        at: from.map(|cursor| At {
            epoch: cursor.epoch,
            place: Place::of_position(cursor.position),
            over: 0,
        }),
        session: None,
        ready: VecDeque::new(),
        reported: None,
        failures: 0,
        silences: 0,
        put_back: 0,
        last_call: None,
    };
    let next = |mut follower: Follower| async move {
        let feed = follower.next().await?;
        Some((feed, follower))
    };
    stream::unfold(follower, next).boxed()
}

impl Follower {
    /// What comes next; `None` once the log was closed and what it took before was passed on.
    async fn next(&mut self) -> Option<Feed> {
        let closed = self.nats.closed.clone();
        loop {
            if let Some(feed) = self.ready.pop_front() {
                return Some(feed);
            }
            if self.last_call.is_some() && self.has_all_of_ours() {
                return None;
            }
            let last_call = self.last_call;
            let last_call = async {
                match last_call {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // A step that is cut short loses nothing: the next one begins at the same place.
            let step = tokio::select! {
                biased;
                () = closed.cancelled(), if self.last_call.is_none() => {
                    self.last_call = Some(Instant::now() + LAST_CALL);
                    continue;
                }
                () = last_call => return None,
                step = self.step() => step,
            };
            if let Err(trouble) = step {
                self.lost(trouble).await;
            }
        }
    }

    fn has_all_of_ours(&self) -> bool {
        let appended = self.nats.appended.load(Ordering::Acquire);
        self.at.is_some_and(|at| at.reach() >= appended)
    }

    async fn step(&mut self) -> Result<(), Trouble> {
        match self.session.take() {
            Some(session) => self.listen(session).await,
            None => self.open().await,
        }
    }

    async fn listen(&mut self, mut session: Session) -> Result<(), Trouble> {
        match session.next().await? {
            News::Records(records, at) => {
                self.at = Some(at);
                if !records.is_empty() {
                    self.ready
                        .push_back(Feed::Records(records.into(), at.cursor()));
                }
            }
            News::InSync(at, asked) => {
                self.at = Some(at);
                self.reported = None;
                (self.failures, self.silences, self.put_back) = (0, 0, 0);
                self.ready.push_back(Feed::InSync(at.cursor(), asked));
            }
            News::Doubt(trouble) => self.report(trouble).await,
        }
        self.session = Some(session);
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Trouble> {
        wait(&self.nats, self.failures).await;
        let asked = self.nats.clock.moment();
        let info = self.nats.stream().await?;
        let (epoch, last) = (epoch(&info), info.state.last_sequence);
        let at = match self.at {
            None => At::start(epoch),
            Some(at) if at.epoch != epoch => self.reset(epoch, "the stream was made anew"),
            Some(at) if at.place.sequence > last => {
                self.put_back += 1;
                if self.put_back < BEFORE_BELIEF {
                    return Err(Trouble::new(format!(
                        "the stream ends at {last}, before our place {}",
                        at.place.sequence
                    )));
                }
                self.reset(epoch, "the stream was put back to an older state")
            }
            Some(at) if replaced(&self.nats, at).await? => {
                self.reset(epoch, "the stream holds other messages than before")
            }
            Some(at) => at,
        };
        self.put_back = 0;
        self.at = Some(at);
        self.session = Some(Session::open(&self.nats, at, last, asked).await?);
        Ok(())
    }

    /// Everything is read again. A reset that is followed by a failure is not lost: it is already
    /// on its way to the reader.
    fn reset(&mut self, epoch: [u8; 16], why: &str) -> At {
        tracing::warn!(stream = self.nats.config.stream, "{why}: reading all of it");
        let at = At::start(epoch);
        self.ready.push_back(Feed::Reset(at.cursor()));
        at
    }

    async fn lost(&mut self, trouble: Trouble) {
        self.failures = self.failures.saturating_add(1);
        self.report(trouble).await;
    }

    async fn report(&mut self, trouble: Trouble) {
        tracing::debug!(why = trouble.message, "following JetStream");
        self.silences = if trouble.silence {
            self.silences + 1
        } else {
            0
        };
        if self.silences >= SILENCES {
            self.silences = 0;
            // An error means that the client has ended, which the next attempt will say.
            let _ = self.nats.client.force_reconnect().await;
        }
        if self.reported.as_ref() != Some(&trouble.message) {
            self.reported = Some(trouble.message.clone());
            self.ready.push_back(Feed::Lost(trouble.message));
        }
    }
}

/// Waits longer after each failure, but no longer than until the connection is back.
async fn wait(nats: &Shared, failures: u32) {
    let mut link = nats.link.clone();
    let was_broken = link::broken(&nats.client, &link).is_some();
    let back = async {
        while !was_broken || link::broken(&nats.client, &link).is_some() {
            if link.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = sleep(pause(failures).min(LONGEST_PAUSE)) => {}
        () = back => {}
    }
}

/// Whether the message that was read at our place is not there any more. Another one means that the
/// stream was put back. None may mean that too, with messages before our place that we never saw: all
/// that is left is read again then. That is little, because what came before is over as well.
async fn replaced(nats: &Shared, at: At) -> Result<bool, Trouble> {
    if at.place.sequence == 0 {
        return Ok(false);
    }
    let found = nats.payload(at.place.sequence).await?;
    Ok(found.is_none_or(|payload| !at.place.confirms(&payload)))
}
