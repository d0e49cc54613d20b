//! One follower's view of the log: first the disk, then the news.
//!
//! The news come from memory, straight from the writer to whoever polls the stream. The disk is
//! read by a thread that lives no longer than the reading takes: at the start, and when a follower
//! is so far behind that memory no longer has what it needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use rusqlite::{Connection, Row};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::core::clock::{Clock, Moment};
use crate::revocation::record::View;

use super::super::records::Packed;
use super::super::{Cursor, Feed, Records};
use super::database::{self, Tally};
use super::error::is_damage;
use super::head::{Head, News};
use super::seal::Seal;

/// Records that are delivered at once, and the bytes of their texts.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 1 << 20;

/// How often a tail says that nothing came.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Deliveries from the disk that may wait for a follower.
const READ_AHEAD: usize = 4;

/// Everything after `from`, then what comes until `head` is closed.
pub(super) fn start(
    database: PathBuf,
    seal: Seal,
    head: &Arc<Head>,
    from: Option<Cursor>,
    clock: &Clock,
) -> BoxStream<'static, Feed> {
    let mut tail = Tail {
        database,
        seal,
        head: Arc::clone(head),
        clock: clock.clone(),
        position: 0,
        next: Next::Reset,
    };
    if let Some(position) = tail.place(from) {
        tail.position = position;
        tail.next = tail.read_disk();
    }
    Box::pin(stream::unfold(tail, async |mut tail| {
        tail.next().await.map(|feed| (feed, tail))
    }))
}

struct Tail {
    database: PathBuf,
    seal: Seal,
    head: Arc<Head>,
    clock: Clock,
    /// Everything up to here was delivered.
    position: u64,
    next: Next,
}

/// What a tail has to say next.
enum Next {
    /// The follower's place means nothing here: it begins anew.
    Reset,
    /// What the thread finds, and when it was sent.
    Disk(Receiver<Read>, Moment),
    /// Everything that the log had at this moment was delivered.
    InSync(Moment),
    News,
}

impl Tail {
    /// `None` for a cursor of another history, or from a future that this one never had.
    fn place(&self, from: Option<Cursor>) -> Option<u64> {
        let Some(from) = from else { return Some(0) };
        let head = u128::from(self.head.position());
        let known = from.epoch == self.seal.epoch && from.position <= head;
        u64::try_from(from.position).ok().filter(|_| known)
    }

    /// `None` when the log is closed or has failed.
    async fn next(&mut self) -> Option<Feed> {
        loop {
            match &mut self.next {
                Next::Reset => {
                    self.next = self.read_disk();
                    return Some(Feed::Reset(self.cursor()));
                }
                // Without its last word the reading has failed.
                Next::Disk(read, sent) => match read.recv().await? {
                    Read::Records(records, last) => return Some(self.deliver(records, last)),
                    Read::All(last) => {
                        self.next = Next::InSync(*sent);
                        self.position = last;
                    }
                },
                Next::InSync(asked) => {
                    let (asked, now) = (*asked, self.clock.moment());
                    self.next = Next::News;
                    let still_all = self.head.position() == self.position;
                    let asked = if still_all { now } else { asked };
                    return Some(Feed::InSync(self.cursor(), asked));
                }
                Next::News => {
                    let asked = self.clock.moment();
                    match self.head.after(self.position, HEARTBEAT).await {
                        News::Records(records, last) => {
                            self.next = Next::InSync(asked);
                            return Some(self.deliver(records.into(), last));
                        }
                        News::OnDisk => self.next = self.read_disk(),
                        News::Quiet => self.next = Next::InSync(asked),
                        News::Closed => return None,
                    }
                }
            }
        }
    }

    fn deliver(&mut self, records: Records, last: u64) -> Feed {
        self.position = last;
        Feed::Records(records, self.cursor())
    }

    /// Has a thread read what comes after the place of this tail.
    fn read_disk(&self) -> Next {
        let sent = self.clock.moment();
        let (feed, read) = mpsc::channel(READ_AHEAD);
        let reading = Reading {
            database: self.database.clone(),
            seal: self.seal,
            head: Arc::clone(&self.head),
            feed,
        };
        let position = self.position;
        let spawned = thread::Builder::new()
            .name("log-tail".to_owned())
            .spawn(move || reading.run(position));
        if let Err(error) = spawned {
            let why = format!("no thread to read the log: {error}");
            self.head.fail(why);
        }
        Next::Disk(read, sent)
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.seal.epoch,
            position: self.position.into(),
        }
    }
}

/// What the thread found on the disk.
enum Read {
    /// And the position of the last of them.
    Records(Records, u64),
    /// That was all, up to this position.
    All(u64),
}

struct Reading {
    database: PathBuf,
    seal: Seal,
    head: Arc<Head>,
    feed: Sender<Read>,
}

/// Why a reading stops before its end.
enum End {
    /// The follower is gone.
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

impl Reading {
    fn run(self, position: u64) {
        let opened = database::open_reader(&self.database).map_err(End::from);
        let read = opened.and_then(|connection| self.replay(&connection, position));
        if let Err(End::Failed(why)) = read {
            let place = self.database.display();
            self.head.fail(format!(
                "{place} cannot be read: {why}; see docs/recovery.md"
            ));
        }
    }

    /// Delivers what one snapshot of the disk has after `position`, checking every byte of it.
    fn replay(&self, connection: &Connection, position: u64) -> Result<(), End> {
        let snapshot = connection.unchecked_transaction()?;
        let tally = Tally::read(&snapshot)?;
        let tally = tally.ok_or_else(|| End::Failed("its tally has a wrong checksum".into()))?;
        let all = (position == 0).then_some(tally.records);
        let mut statement = snapshot.prepare_cached(
            "SELECT position, digest, forget_after, sum, record
             FROM records WHERE position > ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([position.cast_signed()])?;
        let mut batch = Packed::default();
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let at = self.take(row, &mut batch)?;
            read += 1;
            if batch.len() == BATCH || batch.bytes() > BATCH_BYTES {
                let to_come = all.map_or(0, |all| usize::try_from(all - read).unwrap_or(0));
                self.say(Read::Records(batch.take().before(to_come), at))?;
            }
        }
        if let Some(counted) = all
            && read != counted
        {
            let text = format!("it has {read} records, but {counted} were counted");
            return Err(End::Failed(text));
        }
        let last = tally.last_position.cast_unsigned().max(position);
        if batch.len() > 0 {
            self.say(Read::Records(batch.into(), last))?;
        }
        self.say(Read::All(last))
    }

    /// Checks a row and adds it to the batch. Returns its position.
    fn take(&self, row: &Row<'_>, batch: &mut Packed) -> Result<u64, End> {
        let position: i64 = row.get(0)?;
        let digest = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let record = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
        let sum: i64 = row.get(3)?;
        let forget_after = row.get(2)?;
        let holds = |digest| sum == self.seal.of_row(position, digest, forget_after, record);
        if !digest.try_into().is_ok_and(holds) {
            let text = format!("the record at position {position} has a wrong checksum");
            return Err(End::Failed(text));
        }
        let record = View::decode(record)
            .map_err(|error| End::Failed(format!("the record at position {position}: {error}")))?;
        batch.push(&record);
        Ok(position.cast_unsigned())
    }

    fn say(&self, read: Read) -> Result<(), End> {
        self.feed.blocking_send(read).map_err(|_| End::Quiet)
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
    async fn who_lags_gets_the_rest_from_the_disk_and_then_the_news_again() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(&directory);
        let mut seen = Vec::new();
        append(&log, 0..3).await;
        let mut feed = log.follow(None);
        up_to(&mut feed, 2, &mut seen).await;
        // Far more than memory holds, while nobody looks.
        for start in (3..20_003).step_by(1000) {
            append(&log, start..start + 1000).await;
        }
        up_to(&mut feed, 20_002, &mut seen).await;
        append(&log, 20_003..20_008).await;
        up_to(&mut feed, 20_007, &mut seen).await;
        assert!(seen.into_iter().eq(0..20_008));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn at_any_pace_everything_comes_once_and_in_order() {
        const LAST: usize = 29_999;
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(open(&directory));
        let writer = Arc::clone(&log);
        let writing = tokio::spawn(async move {
            for start in (0..=LAST).step_by(300) {
                append(&writer, start..start + 300).await;
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
