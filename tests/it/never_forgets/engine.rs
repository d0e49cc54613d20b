//! An engine as NATS is one: its leader's clock decides when a record leaves the shared log.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use portcullis::core::clock::{Clock, UnixMillis};
use portcullis::core::horizon::Horizon;
use portcullis::revocation::log::{AppendError, Cursor, Feed, Log};
use portcullis::revocation::{Retention, Revocation};
use tokio::sync::watch;

/// How far clocks may be apart without harm.
const SLACK: Duration = Duration::from_secs(150);

/// The shared log. Positions are numbers of records.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) leader: Clock,
    kept: Mutex<Vec<Kept>>,
    dropped: Mutex<Vec<Kept>>,
    pub(super) last: watch::Sender<u128>,
}

#[derive(Clone, Debug)]
struct Kept {
    position: u128,
    /// Until when its writer wants it to be kept.
    until: UnixMillis,
    record: Arc<Revocation>,
}

impl Engine {
    pub(super) fn new(now: UnixMillis) -> Self {
        Self {
            leader: Clock::manual(now),
            kept: Mutex::default(),
            dropped: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    fn append(&self, records: impl Iterator<Item = (UnixMillis, Arc<Revocation>)>) -> u128 {
        let mut kept = self.kept.lock().unwrap();
        let mut position = *self.last.borrow();
        for (until, record) in records {
            position += 1;
            kept.push(Kept {
                position,
                until,
                record,
            });
        }
        self.last.send_replace(position);
        position
    }

    /// Drops what is over by the leader's clock.
    pub(super) fn trim(&self) {
        let now = self.leader.now().minus(2 * SLACK);
        let mut kept = self.kept.lock().unwrap();
        let over = kept.extract_if(.., |one| one.until < now);
        self.dropped.lock().unwrap().extend(over);
    }

    /// What an operator does before the leader's clock is set right: `export` on a replica that was there all
    /// the time, and `import`.
    pub(super) fn put_back(&self, now: UnixMillis) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap());
        let live = dropped.into_iter().filter(|one| one.until >= now);
        self.append(live.map(|one| (one.until, one.record)));
    }
}

/// A replica's connection to the engine.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) engine: Arc<Engine>,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    pub(super) horizon: Horizon,
    pub(super) awake: watch::Receiver<bool>,
    /// Counts the heartbeats that the world wants.
    pub(super) beat: watch::Receiver<u64>,
    /// The heartbeat and the position that the follower has processed.
    pub(super) done: Arc<watch::Sender<(u64, u128)>>,
}

/// Where a follower is.
struct Session {
    line: Line,
    at: u128,
    told: u64,
    /// Records were missing since it was last in sync.
    gap: bool,
}

impl Log for Line {
    fn append(&self, batch: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        let batch = batch.into_iter();
        let batch = batch.map(|record| (self.retention.forget_after(&record), record));
        let end = self.engine.append(batch);
        Box::pin(std::future::ready(Ok(cursor(end))))
    }

    fn follow(&self, _from: Option<Cursor>) -> BoxStream<'static, Feed> {
        let session = Session {
            line: self.clone(),
            at: 0,
            told: 0,
            gap: false,
        };
        let feed = |mut session: Session| async {
            let next = session.next().await?;
            Some((next, session))
        };
        stream::unfold(session, feed).boxed()
    }

    fn behind(&self, _at: Cursor) -> Option<u64> {
        None
    }

    fn clock_apart(&self) -> Option<i64> {
        let (there, here) = (self.engine.leader.now().0, self.clock.now().0);
        let apart = there.cast_signed() - here.cast_signed();
        (u128::from(apart.unsigned_abs()) > SLACK.as_millis()).then_some(apart)
    }

    fn failure(&self) -> Option<String> {
        None
    }
}

impl Session {
    async fn next(&mut self) -> Option<Feed> {
        loop {
            // What was handed on before has been processed: more is asked for.
            self.line.done.send_replace((self.told, self.at));
            let mut last = self.line.engine.last.subscribe();
            self.line.awake.wait_for(|awake| *awake).await.ok()?;
            let end = *last.borrow_and_update();
            let beat = *self.line.beat.borrow_and_update();
            if end > self.at {
                return Some(self.records(end));
            }
            if beat > self.told {
                self.told = beat;
                return Some(self.heartbeat());
            }
            tokio::select! {
                _ = last.changed() => {}
                _ = self.line.beat.changed() => {}
                _ = self.line.awake.changed() => {}
            }
        }
    }

    fn records(&mut self, end: u128) -> Feed {
        self.compare_clocks();
        let kept = self.line.engine.kept.lock().unwrap();
        let news = kept.iter().filter(|one| one.position > self.at);
        let news: Vec<_> = news.map(|one| Arc::clone(&one.record)).collect();
        self.gap |= (news.len() as u128) < end - self.at;
        self.at = end;
        Feed::Records(news.into(), cursor(end))
    }

    fn heartbeat(&mut self) -> Feed {
        let asked = self.line.clock.moment();
        self.compare_clocks();
        if self.gap && self.line.clock_apart().is_some_and(|apart| apart > 0) {
            return Feed::Lost("records are missing, and the leader's clock is ahead".to_owned());
        }
        self.gap = false;
        Feed::InSync(cursor(self.at), asked)
    }

    fn compare_clocks(&self) {
        let Line {
            engine,
            clock,
            horizon,
            ..
        } = &self.line;
        let there = engine.leader.now();
        clock.heard(there);
        horizon.raise(there.min(clock.steady_now()).minus(SLACK));
    }
}

fn cursor(position: u128) -> Cursor {
    Cursor {
        epoch: [1; 16],
        position,
    }
}
