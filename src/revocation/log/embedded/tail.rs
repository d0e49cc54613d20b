//! One follower's view of the log: first the disk, then the news.
//!
//! The news come from memory, straight from the writer to whoever polls the stream. The disk is
//! read by a thread that lives no longer than the reading takes: at the start, and when a follower
//! is so far behind that memory no longer has what it needs.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use rusqlite::Connection;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::core::clock::{Clock, Moment};

use super::super::{Cursor, Feed, Records};
use super::database;
use super::error::ReadError;
use super::head::{Head, News};
use super::seal::Seal;

/// Records that are delivered at once, and the bytes of their texts.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 1 << 20;

/// How often a tail says that nothing came.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Deliveries from the disk that may wait for a follower.
const READ_AHEAD: usize = 4;

/// Returns everything after `from`, then what comes until `head` is closed.
pub(super) fn start(
    database: PathBuf,
    seal: Seal,
    head: &Arc<Head>,
    from: Option<Cursor>,
    clock: &Clock,
) -> BoxStream<'static, Feed> {
    let reading = Reading {
        database,
        head: Arc::clone(head),
        clock: clock.clone(),
    };
    let end = u128::from(head.position());
    // A cursor of another history, or from a future that this one never had, means nothing here.
    let is_known = |from: Cursor| from.epoch == seal.epoch && from.position <= end;
    let position = from.map_or(Some(0), |from| is_known(from).then_some(from.position));
    let mut tail = Tail {
        // Before the disk is read, so that nothing is missed.
        news: head.subscribe(),
        at: Cursor {
            epoch: seal.epoch,
            position: position.unwrap_or(0),
        },
        next: Next::Reset,
        reading,
    };
    if position.is_some() {
        tail.next = tail.read_disk();
    }
    Box::pin(stream::unfold(tail, async |mut tail| {
        tail.next().await.map(|feed| (feed, tail))
    }))
}

struct Tail {
    reading: Reading,
    news: broadcast::Receiver<News>,
    /// Everything up to here was delivered.
    at: Cursor,
    next: Next,
}

/// What a tail has to say next.
enum Next {
    /// The follower's place means nothing here: it begins anew.
    Reset,
    /// What the thread finds.
    Disk(mpsc::Receiver<Feed>),
    /// Everything that the log had at this moment was delivered.
    InSync(Moment),
    News,
}

impl Tail {
    /// `None` when the log is closed or has failed.
    async fn next(&mut self) -> Option<Feed> {
        loop {
            match &mut self.next {
                Next::Reset => {
                    self.next = self.read_disk();
                    return Some(Feed::Reset(self.at));
                }
                Next::Disk(read) => match read.recv().await? {
                    // Without this last word the reading has failed.
                    Feed::InSync(at, asked) => {
                        self.at = at;
                        self.next = Next::InSync(asked);
                    }
                    feed => return Some(feed),
                },
                Next::InSync(asked) => {
                    let (asked, now) = (*asked, self.reading.clock.moment());
                    self.next = Next::News;
                    let still_all = u128::from(self.reading.head.position()) == self.at.position;
                    let asked = if still_all { now } else { asked };
                    return Some(Feed::InSync(self.at, asked));
                }
                Next::News => {
                    let asked = self.reading.clock.moment();
                    match timeout(HEARTBEAT, self.news.recv()).await {
                        Ok(Ok((records, last))) if u128::from(last) > self.at.position => {
                            self.next = Next::InSync(asked);
                            self.at.position = last.into();
                            return Some(Feed::Records(records.into(), self.at));
                        }
                        // The disk had them already.
                        Ok(Ok(_)) => {}
                        Ok(Err(RecvError::Lagged(_))) => self.next = self.read_disk(),
                        Ok(Err(RecvError::Closed)) => return None,
                        Err(_elapsed) => self.next = Next::InSync(asked),
                    }
                }
            }
        }
    }

    /// Has a thread read what comes after the place of this tail.
    fn read_disk(&self) -> Next {
        let (feed, read) = mpsc::channel(READ_AHEAD);
        let (reading, at) = (self.reading.clone(), self.at);
        let spawned = thread::Builder::new()
            .name("log-tail".to_owned())
            .spawn(move || reading.run(at, &feed));
        if let Err(error) = spawned {
            let why = format!("no thread to read the log: {error}");
            self.reading.head.fail(why);
        }
        Next::Disk(read)
    }
}

/// Reads the disk.
#[derive(Clone)]
struct Reading {
    database: PathBuf,
    head: Arc<Head>,
    clock: Clock,
}

impl Reading {
    fn run(&self, at: Cursor, feed: &mpsc::Sender<Feed>) {
        let opened = database::open_reader(&self.database).map_err(ReadError::from);
        match opened.and_then(|connection| self.replay(&connection, at, feed)) {
            Ok(()) | Err(ReadError::Stopped(_)) => {}
            Err(why) => {
                let place = self.database.display();
                let why = format!("{place} cannot be read: {why}; see docs/recovery.md");
                self.head.fail(why);
            }
        }
    }

    /// Delivers what one snapshot of the disk has after `at`.
    fn replay(
        &self,
        connection: &Connection,
        mut at: Cursor,
        feed: &mpsc::Sender<Feed>,
    ) -> Result<(), ReadError> {
        let say = |said| {
            let sent = feed.blocking_send(said);
            sent.map_err(|_| ReadError::Stopped("the follower is gone".to_owned()))
        };
        let asked = self.clock.moment();
        let from = u64::try_from(at.position).unwrap_or(u64::MAX);
        let (mut batch, mut bytes, mut count) = (Vec::with_capacity(BATCH), 0, 0);
        let tally = database::read(connection, from, |(record, position, length), tally| {
            at.position = position.into();
            batch.push(record);
            bytes += length;
            count += 1;
            if batch.len() == BATCH || bytes > BATCH_BYTES {
                let mut records =
                    Records::from(mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                if from == 0 {
                    records.to_come = usize::try_from(tally.records - count).unwrap_or(0);
                }
                say(Feed::Records(records, at))?;
                bytes = 0;
            }
            Ok(())
        })?;
        at.position = at.position.max(tally.last_position.cast_unsigned().into());
        if !batch.is_empty() {
            say(Feed::Records(batch.into(), at))?;
        }
        say(Feed::InSync(at, asked))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::StreamExt;
    use tokio::time::sleep;

    use super::super::{Config, Embedded};
    use super::*;
    use crate::core::clock::UnixMillis;
    use crate::core::readiness::Readiness;
    use crate::revocation::log::Log;
    use crate::revocation::{Action, Retention, Revocation, Target};

    const EPOCH: UnixMillis = UnixMillis(0);

    fn open(directory: &tempfile::TempDir) -> Embedded {
        let config = Config {
            path: directory.path().to_owned(),
        };
        let retention = Retention::default();
        Embedded::open(
            &config,
            &Clock::manual(EPOCH),
            &Readiness::default(),
            &retention,
        )
        .unwrap()
    }

    fn record(number: usize) -> Arc<Revocation> {
        Arc::new(Revocation {
            id: number.to_string(),
            target: Target {
                issuer: "https://id.example.com".to_owned(),
                matches: BTreeMap::from([("sub".to_owned(), number.to_string())]),
            },
            action: Action::Revoke,
            issued_at_or_before: None,
            expires_at_or_before: None,
            occurred_at: EPOCH,
            forget_after: UnixMillis::MAX,
            source: "test".to_owned(),
            cause: "lock".to_owned(),
            received_at: EPOCH,
            bounds: None,
            turn: None,
            note: None,
            original: None,
        })
    }

    async fn append(log: &Embedded, numbers: std::ops::Range<usize>) {
        log.append(numbers.map(record).collect()).await.unwrap();
    }

    /// Takes what comes until the feed is in sync with record number `last`.
    async fn up_to(feed: &mut BoxStream<'static, Feed>, last: usize, seen: &mut Vec<usize>) {
        loop {
            match feed.next().await.unwrap() {
                Feed::Records(records, cursor) => {
                    seen.extend(records.iter().map(|one| one.id.parse::<usize>().unwrap()));
                    assert_eq!(cursor.position, seen.len() as u128);
                }
                Feed::InSync(cursor, _) if cursor.position > last as u128 => return,
                Feed::InSync(cursor, _) => assert_eq!(cursor.position, seen.len() as u128),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_row_with_the_digest_of_version_0_1_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(&directory);
        append(&log, 0..1).await;
        let (seal, digest, bytes) = (log.seal, [9_u8; 16], record(0).encode());
        drop(log);
        let database = Connection::open(directory.path().join("portcullis.db")).unwrap();
        let sum = seal.of_row(1, &digest, i64::MAX, &bytes);
        let sql = "UPDATE records SET digest = ?1, sum = ?2";
        database.execute(sql, (digest, sum)).unwrap();
        drop(database);
        let log = open(&directory);
        let mut seen = Vec::new();
        up_to(&mut log.follow(None), 0, &mut seen).await;
        assert_eq!(seen, [0]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_reader_reads_from_the_disk_and_then_follows_again() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(&directory);
        let mut seen = Vec::new();
        append(&log, 0..3).await;
        let mut feed = log.follow(None);
        up_to(&mut feed, 2, &mut seen).await;
        // Far more transactions than memory holds, while nobody looks.
        for start in (3..6_003).step_by(10) {
            append(&log, start..start + 10).await;
        }
        up_to(&mut feed, 6_002, &mut seen).await;
        append(&log, 6_003..6_008).await;
        up_to(&mut feed, 6_007, &mut seen).await;
        assert!(seen.into_iter().eq(0..6_008));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn records_arrive_once_and_in_order_at_any_pace() {
        const LAST: usize = 29_999;
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(open(&directory));
        let writer = Arc::clone(&log);
        let writing = tokio::spawn(async move {
            for start in (0..=LAST).step_by(30) {
                append(&writer, start..start + 30).await;
            }
        });
        let followers = (1..4).map(|pace| {
            let mut feed = log.follow(None);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for last in (0..=LAST).step_by(10_000) {
                    sleep(Duration::from_millis(pace * 40)).await;
                    up_to(&mut feed, last, &mut seen).await;
                }
                up_to(&mut feed, LAST, &mut seen).await;
                seen
            })
        });
        for follower in followers.collect::<Vec<_>>() {
            assert!(follower.await.unwrap().into_iter().eq(0..=LAST));
        }
        writing.await.unwrap();
    }
}
