//! The reading side. Nothing is believed to be complete that was not shown to be: each entry names
//! the one before it, and the head of the log is compared whenever nothing comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::{Cmd, Value, cmd, from_redis_value_ref, pipe};

use crate::core::clock::{Moment, UnixMillis};
use crate::revocation::log::engine::{self, Fault, News, Progress};

use super::confirm::{Verdict, Witness};
use super::connection::Connection;
use super::driver::Driver;
use super::entry::{Entry, EntryId, RawEntry};
use super::script::Head;

/// What `XINFO` says of one thing.
type Fields = HashMap<String, Value>;

/// What `XREAD` answers: the entries of each stream that was asked for.
type Streams = Option<Vec<(String, Vec<RawEntry>)>>;

/// Entries per read.
const PAGE: usize = 512;

/// How long a read waits for news before the head of the log is compared.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

pub struct Session {
    driver: Arc<Driver>,
    connection: Connection,
    /// Whether the connection leads to the primary.
    witness: Witness,
    at: Progress,
    /// This connection may lead to a server with other entries: the first one that it gives has to
    /// follow what was read before, in a replay too.
    resumed: bool,
    /// When the log was asked for what turned out to be its head. The next read may wait there.
    at_head: Option<Moment>,
    /// Whether being at the head was told.
    is_told: bool,
    /// The read that waits at the head. It is kept while the sentinels are heard: another one
    /// would have to wait behind it.
    waiting: Option<(BoxFuture<'static, Result<Streams, Fault>>, Moment)>,
}

/// What a read of entries gave.
struct Page {
    count: usize,
    /// All of them were taken in: conclusions may be drawn from what follows.
    is_whole: bool,
    news: Option<News>,
}

impl engine::Session for Session {
    async fn next(&mut self) -> Result<News, Fault> {
        loop {
            if let Some(news) = self.tell_arrival() {
                return Ok(news);
            }
            let news = match self.witness.next().now_or_never() {
                Some(verdict) => heed(verdict)?,
                None if self.at_head.is_some() => self.wait().await?,
                None => self.read_on().await?,
            };
            if let Some(news) = news {
                return Ok(news);
            }
        }
    }
}

impl Session {
    pub(super) fn new(driver: Arc<Driver>, connection: Connection, at: Progress) -> Self {
        Self {
            witness: driver.witness(&connection),
            driver,
            connection,
            resumed: at.delivered.position > 0,
            at,
            at_head: None,
            is_told: false,
            waiting: None,
        }
    }

    /// Reads entries, and the head that they must lead to. The order matters: entries that came
    /// after the head was read do no harm, and how far the log forgot must be known for all that
    /// the entries lack. (A transaction would be refused by a server that is full.)
    async fn read_on(&mut self) -> Result<Option<News>, Fault> {
        let asked = self.driver.status.clock.moment();
        let key = &self.driver.config.key;
        let mut questions = pipe();
        questions
            .add_command(cmd("XINFO").arg("GROUPS").arg(key).take())
            .add_command(cmd("XINFO").arg("STREAM").arg(key).take())
            .add_command(self.read(None))
            .add_command(cmd("GET").arg(self.driver.config.beside("horizon")).take());
        let (groups, stream, entries, horizon): (Vec<Fields>, Fields, Streams, Option<u64>) =
            self.connection.run_all(&questions).await?;
        let epoch = self.at.delivered.epoch;
        let head = Head::among(&groups).filter(|head| head.epoch == epoch);
        let head = head
            .ok_or_else(|| Fault::Down(format!("{}: the log is gone", self.connection.server)))?;
        let status = Arc::clone(&self.driver.status);
        status.horizon.raise(UnixMillis(horizon.unwrap_or(0)));
        let number = |name| from_redis_value_ref::<u64>(stream.get(name)?).ok();
        let added = number("entries-added").unwrap_or(0);
        if self.at.delivered.position == 0 {
            let there = number("length").unwrap_or(0);
            self.at.count = Some(added.saturating_sub(there));
        }
        // Also when what comes next cannot be read.
        if let Some(count) = self.at.count {
            status.set_behind(added.saturating_sub(count));
        }
        let page = self.take(entries)?;
        if page.is_whole
            && let Some(gap) = self.compare_head(head, page.count, asked)
        {
            return Ok(Some(gap));
        }
        if self.at_head.is_some() {
            self.at.count = Some(added);
        }
        Ok(page.news)
    }

    /// Are we where the log ends? `count` entries were read on the way.
    fn compare_head(&mut self, head: Head, count: usize, asked: Moment) -> Option<News> {
        let (end, at) = (head.last.position(), self.at.delivered.position);
        let is_short = count < PAGE && at < end;
        if is_short && !self.at.replayed && !self.resumed {
            // The last entries are over and deleted.
            self.move_to(end);
        } else if is_short || (count == 0 && at > end) {
            return Some(News::Gap("the log does not end where its entries do"));
        }
        if self.at.delivered.position >= end {
            self.arrive(asked);
        }
        None
    }

    /// Waits at the head for the next entry, or for the sentinels.
    async fn wait(&mut self) -> Result<Option<News>, Fault> {
        let (mut answer, asked) = self.waiting.take().unwrap_or_else(|| {
            let asked = self.driver.status.clock.moment();
            let (connection, read) = (self.connection.clone(), self.read(Some(HEARTBEAT)));
            (async move { connection.run(&read).await }.boxed(), asked)
        });
        let entries = tokio::select! {
            biased;
            entries = &mut answer => entries?,
            verdict = self.witness.next() => {
                self.waiting = Some((answer, asked));
                return heed(verdict);
            }
        };
        let page = self.take(entries)?;
        self.at_head = None;
        if page.is_whole && page.count > 0 && page.count < PAGE {
            // The read was not cut short, so it went up to the head of some moment since it began.
            // Which one is not known: the answer may have waited long for this process.
            self.arrive(asked);
        }
        Ok(page.news)
    }

    fn arrive(&mut self, asked: Moment) {
        self.at.replayed = true;
        self.at_head = Some(asked);
        self.is_told = false;
        self.driver.status.set_behind(0);
    }

    /// Being at the head of a log is worth telling only if it is the log: see [`Witness`].
    fn tell_arrival(&mut self) -> Option<News> {
        let asked = self.at_head.filter(|_| !self.is_told)?;
        let as_of = self.witness.as_of(asked)?;
        self.is_told = true;
        Some(News::InSync(self.at, as_of))
    }

    fn read(&self, wait: Option<Duration>) -> Cmd {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE);
        if let Some(wait) = wait {
            let wait = u64::try_from(wait.as_millis()).unwrap_or(1);
            read.arg("BLOCK").arg(wait);
        }
        read.arg("STREAMS").arg(&self.driver.config.key);
        read.arg(EntryId::at(self.at.delivered.position).to_string());
        read
    }

    fn move_to(&mut self, position: u128) {
        self.at.delivered.position = position;
        self.at.reached.position = position;
    }

    /// Takes a page of entries in, as far as it can be read.
    fn take(&mut self, streams: Streams) -> Result<Page, Fault> {
        let only = streams.unwrap_or_default().pop();
        let entries = only.map(|(_key, entries)| entries).unwrap_or_default();
        let mut records = Vec::new();
        let mut is_whole = true;
        for entry in &entries {
            let entry = match Entry::read(entry) {
                Ok(entry) => entry,
                // It is never skipped: what is not understood is not enforced.
                Err(unreadable) if records.is_empty() => return Err(Fault::Down(unreadable)),
                Err(_) => {
                    is_whole = false;
                    break;
                }
            };
            let must_follow = self.at.replayed || self.resumed;
            if must_follow && entry.before.position() != self.at.delivered.position {
                return Ok(Page {
                    count: entries.len(),
                    is_whole: false,
                    news: Some(News::Gap("entries of the log are missing")),
                });
            }
            self.resumed = false;
            self.move_to(entry.id.position());
            self.at.count = self.at.count.map(|count| count + 1);
            records.extend(entry.records);
        }
        Ok(Page {
            count: entries.len(),
            is_whole,
            news: (!entries.is_empty()).then_some(News::Records(records, self.at)),
        })
    }
}

/// What is read goes on through a doubt: each record that comes is enforced.
fn heed(verdict: Verdict) -> Result<Option<News>, Fault> {
    match verdict {
        Verdict::Open | Verdict::Confirmed(..) => Ok(None),
        Verdict::Doubt(why) => Ok(Some(News::Doubt(Fault::Down(why)))),
        Verdict::Refuted(why) => Err(Fault::Retry(why)),
    }
}
