//! Reads the logs of a provider in the order of their times.
//!
//! A provider writes an event with the time at which it happened and shows it a little later, when its
//! transaction is over. So a sweep begins some time before the newest event that is known, goes page by page
//! to the end, and recognizes what it has seen. A page begins at the very time at which the one before it
//! ended: events of one millisecond may lie on both.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::ask::{Page, Since, Trouble};
use crate::core::clock::UnixMillis;
use crate::events::answer::Failure;
use crate::events::metrics::Ended;

/// How many events are asked for at once.
pub(in crate::events) const PAGE: usize = 200;

/// One event of a log.
#[derive(Clone, Debug)]
pub(in crate::events) struct Entry {
    pub(in crate::events) at: UnixMillis,
    pub(in crate::events) id: String,
    pub(in crate::events) body: Bytes,
}

/// The logs of one provider.
pub(in crate::events) trait Logs: fmt::Debug + Send + Sync {
    /// How many there are.
    const COUNT: usize;

    /// Returns the first `most` events of a log that have this time or a later one, by time.
    fn page(
        &self,
        log: usize,
        from: UnixMillis,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, Trouble>>;
}

/// Where the reading of the logs stands.
#[derive(Debug)]
pub(in crate::events) struct Sweep {
    overlap: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The cursor that belongs to the rest.
    cursor: Option<String>,
    logs: Vec<Log>,
    /// The events of the last page with their logs, in the order of the page.
    page: Vec<(usize, Known)>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    /// Where the next page begins; `None` where the last one was the end.
    next: Option<UnixMillis>,
    /// When the sweep began. What appears later may have an earlier time than what was read by then.
    began: UnixMillis,
    /// The events since the beginning of the sweep that need not be looked at again.
    seen: BTreeSet<Known>,
}

type Known = (UnixMillis, String);

impl Sweep {
    /// `overlap` is how much later than its time an event may appear.
    pub(in crate::events) fn new(overlap: Duration) -> Self {
        Self {
            overlap,
            state: Mutex::default(),
        }
    }

    /// Reads a page of each log.
    pub(in crate::events) async fn ask<L: Logs>(
        &self,
        logs: &L,
        since: Since<'_>,
    ) -> Result<Page, Trouble> {
        let mut newest = read(since.cursor, L::COUNT);
        self.expect::<L>(since.cursor);
        let (mut page, mut known, mut nexts) = (Page::default(), Vec::new(), Vec::new());
        for (log, newest) in newest.iter_mut().enumerate() {
            // A clock of the provider that was ahead must not hide what comes after it was set right.
            let edge = newest.map_or(since.earliest, |newest| newest.min(since.now));
            let edge = edge.max(since.earliest).minus(self.overlap);
            let (from, began) = self.start(log, edge, since.now);
            let (entries, is_full) = one_page(logs, log, from).await?;
            let last = entries.last().map(|entry| entry.at);
            *newest = (*newest).max(last.map(|last| last.min(began)));
            nexts.push(last.filter(|_| is_full));
            page.more |= is_full;
            let seen = &self.state().logs[log].seen;
            for Entry { at, id, body } in entries {
                let id = (at, id);
                if !seen.contains(&id) {
                    known.push((log, id));
                    page.events.push(body);
                }
            }
        }
        page.cursor = write(&newest);
        let mut state = self.state();
        state.cursor.clone_from(&page.cursor);
        state.page = known;
        for (log, next) in state.logs.iter_mut().zip(nexts) {
            log.next = next;
        }
        Ok(page)
    }

    /// Remembers what needs no second look. After a failure that passes, the sweep begins anew.
    pub(in crate::events) fn settled(&self, ended: &[Result<Ended, Failure>]) {
        let mut state = self.state();
        let page = std::mem::take(&mut state.page);
        for ((log, known), result) in page.into_iter().zip(ended) {
            if result.as_ref().is_err_and(Failure::passes) {
                state.cursor = None;
                state.logs.iter_mut().for_each(|log| log.next = None);
            } else {
                state.logs[log].seen.insert(known);
            }
        }
    }

    /// Forgets everything unless it belongs to this cursor: another replica has asked, or the log that had
    /// the events is another one.
    fn expect<L: Logs>(&self, cursor: Option<&str>) {
        let mut state = self.state();
        if state.cursor.as_deref() != cursor || state.logs.is_empty() {
            state.logs = vec![Log::default(); L::COUNT];
        }
    }

    /// Returns where the next page of a log begins, and when the sweep did. A new sweep begins at `edge`.
    fn start(&self, log: usize, edge: UnixMillis, now: UnixMillis) -> (UnixMillis, UnixMillis) {
        let log = &mut self.state().logs[log];
        log.seen = log.seen.split_off(&(edge, String::new()));
        if log.next.is_none() {
            log.began = now;
        }
        (log.next.unwrap_or(edge), log.began)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a page, and whether more may follow. It reaches beyond the time at which it begins, so that the
/// next one can begin at its end.
async fn one_page<L: Logs>(
    logs: &L,
    log: usize,
    from: UnixMillis,
) -> Result<(Vec<Entry>, bool), Trouble> {
    let mut most = PAGE;
    loop {
        let entries = logs.page(log, from, most).await?;
        if !entries.is_sorted_by_key(|entry| entry.at) {
            let why =
                "the provider does not list events by time, oldest first: its version is too old";
            return Err(why.to_owned().into());
        }
        let is_full = entries.len() >= most;
        if is_full && entries.last().is_some_and(|last| last.at <= from) {
            most *= 10;
        } else {
            return Ok((entries, is_full));
        }
    }
}

/// Reads the time of the newest known event of each log.
fn read(cursor: Option<&str>, count: usize) -> Vec<Option<UnixMillis>> {
    let words = cursor.into_iter().flat_map(|cursor| cursor.split(' '));
    let mut newest: Vec<_> = words
        .map(|word| word.parse().ok().map(UnixMillis))
        .collect();
    newest.resize(count, None);
    newest
}

/// Writes a cursor, which is nothing before there is an event.
fn write(newest: &[Option<UnixMillis>]) -> Option<String> {
    newest.iter().find_map(|newest| *newest)?;
    let words = newest.iter();
    let words = words.map(|newest| newest.map_or("-".to_owned(), |at| at.0.to_string()));
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
