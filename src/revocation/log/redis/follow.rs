//! The reading side. Nothing is believed to be complete that was not shown to be: each entry names
//! the one before it, and the head of the log is compared whenever nothing comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, Value, cmd, pipe};
use tokio_util::sync::CancellationToken;

use crate::core::clock::Moment;

use super::super::{Cursor, Feed};
use super::behind::Behind;
use super::config::Config;
use super::confirm::{Verdict, Witness};
use super::dial::Dialer;
use super::entry::{Entry, EntryId, Unreadable};
use super::fault::Fault;
use super::reply::{head_among, number_among, page_of};
use super::script::Scripts;
use super::session::{Head, Purpose, Question, Session};
use crate::net::Backoff;

/// Entries per read.
const PAGE: usize = 512;

/// How long a read waits for news before the head of the log is compared.
const HEARTBEAT: Duration = Duration::from_secs(1);

pub(super) struct Follower {
    config: Arc<Config>,
    dialer: Arc<Dialer>,
    scripts: Arc<Scripts>,
    horizon: Arc<AtomicU64>,
    behind: Arc<Behind>,
    /// How many entries were ever added up to our place, as far as that is known: a place that was
    /// resumed from is not known by its number.
    passed: Option<u64>,
    cursor: Option<Cursor>,
    session: Option<Session>,
    /// Whether the session leads to the primary.
    witness: Witness,
    backoff: Option<Backoff>,
    /// From the start of the log to its head, entries may be missing: those whose time was over.
    replaying: bool,
    /// A new connection may lead to a server with other entries: the first one that it gives has to
    /// follow what we have, in a replay too.
    resumed: bool,
    /// The last read reached the head, so the next one may wait there.
    at_head: Option<Arrival>,
    /// The read that waits at the head. It is kept while the sentinels are heard: another one
    /// would have to wait behind it.
    waiting: Option<Question>,
    ready: VecDeque<Feed>,
    /// Tells when the log is closed. `None` from then on: what was appended until then is still
    /// passed on.
    open: Option<CancellationToken>,
}

impl Follower {
    pub(super) fn new(
        config: Arc<Config>,
        dialer: Arc<Dialer>,
        scripts: Arc<Scripts>,
        horizon: Arc<AtomicU64>,
        behind: Arc<Behind>,
        closed: CancellationToken,
        from: Option<Cursor>,
    ) -> Self {
        Self {
            config,
            dialer,
            scripts,
            horizon,
            behind,
            passed: None,
            cursor: from,
            session: None,
            witness: Witness::default(),
            backoff: None,
            replaying: from.is_none_or(|cursor| cursor.position == 0),
            resumed: false,
            at_head: None,
            waiting: None,
            ready: VecDeque::new(),
            open: Some(closed),
        }
    }

    /// What comes next; `None` once the log was closed.
    pub(super) async fn next(&mut self) -> Option<Feed> {
        loop {
            if let Some(feed) = self.ready.pop_front() {
                return Some(feed);
            }
            if self.open.is_none() && self.at_head.is_some() {
                return None;
            }
            let outcome = match self.open.clone() {
                None => Some(self.pause_and_step().await),
                Some(closed) => closed.run_until_cancelled(self.pause_and_step()).await,
            };
            let Some(outcome) = outcome else {
                // The connection may be in the middle of a read that waits.
                self.hang_up();
                self.backoff = None;
                self.open = None;
                continue;
            };
            if let Err(fault) = outcome {
                self.hang_up();
                self.backoff.get_or_insert_default();
                self.open.as_ref()?;
                return Some(Feed::Lost(fault.to_string()));
            }
        }
    }

    fn hang_up(&mut self) {
        self.session = None;
        self.witness = Witness::default();
        self.at_head = None;
        self.waiting = None;
    }

    async fn pause_and_step(&mut self) -> Result<(), Fault> {
        if let Some(backoff) = &mut self.backoff
            && self.session.is_none()
        {
            tokio::time::sleep(backoff.pause()).await;
        }
        self.step().await
    }

    async fn step(&mut self) -> Result<(), Fault> {
        let Some(session) = self.session.clone() else {
            return self.connect().await;
        };
        if let Some(verdict) = self.witness.news() {
            return self.heed(verdict);
        }
        if self.at_head.is_some() {
            self.await_news(&session).await
        } else {
            self.read_on(&session).await
        }
    }

    async fn connect(&mut self) -> Result<(), Fault> {
        // An answer may take as long as a read waits, and then some.
        let silence = HEARTBEAT + self.config.append_timeout.0;
        let session = Session::open(
            &self.dialer,
            &self.config,
            &self.scripts,
            Purpose::Read,
            silence,
        )
        .await?;
        self.compare_epoch(session.head);
        self.resumed = self.cursor.is_some_and(|cursor| cursor.position > 0);
        self.witness = Witness::of(&self.dialer, &session.place);
        self.session = Some(session);
        self.at_head = None;
        Ok(())
    }

    fn compare_epoch(&mut self, head: Head) {
        match self.cursor {
            None => self.cursor = Some(start_of(head.epoch)),
            Some(cursor) if cursor.epoch != head.epoch => self.reset(head.epoch),
            Some(_) => {}
        }
    }

    /// Another history, or a gap in this one: everything from the start.
    fn reset(&mut self, epoch: [u8; 16]) {
        let start = start_of(epoch);
        self.cursor = Some(start);
        self.replaying = true;
        self.passed = None;
        self.resumed = false;
        self.at_head = None;
        self.ready.push_back(Feed::Reset(start));
    }

    /// Reads entries, and the head that they must lead to. The order matters: entries that came
    /// after the head was read do no harm, and how far the log forgot must be known for all that
    /// the entries lack. (A transaction would be refused by a server that is full.)
    async fn read_on(&mut self, session: &Session) -> Result<(), Fault> {
        let cursor = self.cursor_or_start(session);
        let asked = self.dialer.clock.moment();
        let mut questions = pipe();
        questions
            .add_command(cmd("XINFO").arg("GROUPS").arg(&self.config.key).take())
            .add_command(cmd("XINFO").arg("STREAM").arg(&self.config.key).take())
            .add_command(self.read(cursor, None))
            .add_command(cmd("GET").arg(self.config.beside("horizon")).take());
        let (groups, stream, entries, horizon): (Value, Value, Value, Option<u64>) = questions
            .query_async(&mut session.connection.clone())
            .await
            .map_err(|error| Fault::in_use(&session.place, &error))?;
        let head = head_among(&groups)
            .ok_or_else(|| Fault::Down(format!("{}: the log is gone", session.place)))?;
        self.horizon
            .fetch_max(horizon.unwrap_or(0), Ordering::Relaxed);
        if head.epoch != cursor.epoch {
            self.reset(head.epoch);
            return Ok(());
        }
        let added = number_among(&stream, b"entries-added").unwrap_or(0);
        if cursor == start_of(cursor.epoch) {
            let there = number_among(&stream, b"length").unwrap_or(0);
            self.passed = Some(added.saturating_sub(there));
        }
        let took = self.take(&entries, cursor);
        if matches!(took, Ok(Took::All)) {
            self.compare_head(head, page_of(&entries).len(), asked);
        }
        self.count(added);
        took.map(drop)
    }

    /// Keeps account of what is still to come, of so many entries that were ever `added`.
    fn count(&mut self, added: u64) {
        let passed = if self.at_head.is_some() {
            Some(added.max(self.passed.unwrap_or(0)))
        } else {
            self.passed
        };
        self.passed = passed;
        if let Some(passed) = passed {
            self.behind.set(added.saturating_sub(passed));
        }
    }

    /// Are we where the log ends? `count` entries were read on the way.
    fn compare_head(&mut self, head: Head, count: usize, asked: Moment) {
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        let end = head.last.position();
        let is_short = count < PAGE && cursor.position < end;
        if is_short && self.replaying && !self.resumed {
            // The last entries are over and deleted.
            cursor.position = end;
        } else if is_short || (count == 0 && cursor.position > end) {
            // Somebody deleted what we did not see, or the server forgot what we saw.
            return self.reset(head.epoch);
        }
        if cursor.position >= end {
            self.reached(asked);
        }
    }

    /// Waits at the head for the next entry, or for the sentinels.
    async fn await_news(&mut self, session: &Session) -> Result<(), Fault> {
        let cursor = self.cursor_or_start(session);
        let waiting = self.waiting.take();
        let mut waiting = waiting.unwrap_or_else(|| {
            let asked = self.dialer.clock.moment();
            session.ask(self.read(cursor, Some(HEARTBEAT)), asked)
        });
        let entries = tokio::select! {
            biased;
            entries = &mut waiting.answer => entries?,
            verdict = self.witness.next() => {
                self.waiting = Some(waiting);
                return self.heed(verdict);
            }
        };
        let count = page_of(&entries).len();
        if self.take(&entries, cursor)? == Took::Gap {
            return Ok(());
        }
        match self.cursor {
            // The read was not cut short, so it went up to the head of some moment since it began.
            // Which one is not known: the answer may have waited long for this process.
            Some(_) if count > 0 && count < PAGE => self.reached(waiting.asked),
            _ => self.at_head = None,
        }
        Ok(())
    }

    fn reached(&mut self, asked: Moment) {
        self.replaying = false;
        self.at_head = Some(Arrival {
            asked,
            is_told: false,
        });
        self.behind.set(0);
        self.tell_arrival();
    }

    /// Being at the head of a log is worth telling only if it is the log: see [`Witness`].
    fn tell_arrival(&mut self) {
        let (Some(cursor), Some(arrival)) = (self.cursor, &mut self.at_head) else {
            return;
        };
        if let (false, Some(as_of)) = (arrival.is_told, self.witness.as_of(arrival.asked)) {
            arrival.is_told = true;
            self.backoff = None;
            self.ready.push_back(Feed::InSync(cursor, as_of));
        }
    }

    /// What is read goes on through a doubt: each record that comes is enforced.
    fn heed(&mut self, verdict: Verdict) -> Result<(), Fault> {
        match verdict {
            Verdict::Open => {}
            Verdict::Confirmed(..) => self.tell_arrival(),
            Verdict::Doubt(why) => self.ready.push_back(Feed::Lost(why)),
            Verdict::Refuted(why) => return Err(Fault::Moved(why)),
        }
        Ok(())
    }

    fn read(&self, cursor: Cursor, wait: Option<Duration>) -> Cmd {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE);
        if let Some(wait) = wait {
            read.arg("BLOCK")
                .arg(u64::try_from(wait.as_millis()).unwrap_or(1));
        }
        read.arg("STREAMS").arg(&self.config.key);
        read.arg(EntryId::at(cursor.position).to_string());
        read
    }

    fn cursor_or_start(&self, session: &Session) -> Cursor {
        self.cursor.unwrap_or_else(|| start_of(session.head.epoch))
    }

    /// Passes a page of entries on, as far as it can be read.
    fn take(&mut self, reply: &Value, mut cursor: Cursor) -> Result<Took, Fault> {
        let mut records = Vec::new();
        let mut stopped: Option<Unreadable> = None;
        for value in page_of(reply) {
            let entry = match Entry::read(value) {
                Ok(entry) => entry,
                Err(unreadable) => {
                    stopped = Some(unreadable);
                    break;
                }
            };
            let must_follow = !self.replaying || self.resumed;
            if must_follow && entry.before.position() != cursor.position {
                tracing::warn!(entry = %entry.id, "entries before this one are missing");
                self.reset(cursor.epoch);
                return Ok(Took::Gap);
            }
            self.resumed = false;
            cursor.position = entry.id.position();
            self.passed = self.passed.map(|passed| passed + 1);
            records.extend(entry.records);
        }
        self.cursor = Some(cursor);
        if !records.is_empty() {
            self.ready.push_back(Feed::Records(records.into(), cursor));
        }
        match stopped {
            // It is never skipped: what is not understood is not enforced.
            Some(unreadable) if self.ready.is_empty() => Err(Fault::Down(unreadable.to_string())),
            Some(_) => {
                self.at_head = None;
                Ok(Took::Gap)
            }
            None => Ok(Took::All),
        }
    }
}

/// When the log was asked for what turned out to be its head, and whether that was told.
struct Arrival {
    asked: Moment,
    is_told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Took {
    All,
    /// Not the whole page: what follows it must not be concluded from it.
    Gap,
}

fn start_of(epoch: [u8; 16]) -> Cursor {
    Cursor {
        epoch,
        position: EntryId::START.position(),
    }
}
