//! Turns: which replica asks a provider for the events of a source, and where its next question begins.
//!
//! A [`Turn`] is a record in the log. All replicas read the log in one order, so they agree who has a
//! turn, and all of them know the cursor. A turn keeps replicas from asking at once and nothing more: two
//! that ask at once record the same events twice, which changes nothing (`docs/decisions/0027`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::log::AppendError;
use super::record::{Revocation, Turn};
use super::writer::Writer;
use crate::core::clock::{Clock, Moment, UnixMillis};

/// A turn that nobody renewed for this long may be taken.
pub(crate) const LASTS: Duration = Duration::from_mins(1);

/// A turn is renewed once it is as old as this.
const RENEWED_AFTER: Duration = Duration::from_secs(15);

/// The cause in the records of turns, which no event has.
const CAUSE: &str = "portcullis_turn";

/// Takes turns for this process.
pub(crate) struct Turns {
    writer: Writer,
    known: Known,
    /// A random number that stands for this process.
    holder: u64,
    /// Whether the log is this process's alone, so that nobody else can ask.
    is_alone: bool,
}

impl Turns {
    pub(super) fn new(writer: &Writer, known: Known, is_alone: bool) -> Self {
        Self {
            writer: writer.clone(),
            known,
            holder: rand::random(),
            is_alone,
        }
    }

    /// Returns whether this process may ask for the events of `source` now. Takes the turn if nobody has
    /// it. `issuer` is whose tokens the source may revoke.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) async fn take(&self, source: &str, issuer: &str) -> Result<bool, AppendError> {
        match self.age(source) {
            _ if self.is_alone => return Ok(true),
            Some(age) if age < LASTS => return Ok(self.is_ours(source)),
            _ => {}
        }
        let (term, cursor) = match &self.known.lock().get(source) {
            Some(heard) => (heard.turn.term + 1, heard.turn.cursor.clone()),
            None => (0, None),
        };
        self.write(source, issuer, term, cursor).await?;
        Ok(self.is_ours(source))
    }

    /// Returns where the next question begins; `None` if the log does not say.
    #[must_use]
    pub(crate) fn cursor(&self, source: &str) -> Option<String> {
        self.known.lock().get(source)?.turn.cursor.clone()
    }

    /// Notes that everything before `cursor` was made durable, and renews the turn. Writes nothing while
    /// the turn is young and the cursor the same.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) async fn advance(
        &self,
        source: &str,
        issuer: &str,
        cursor: Option<String>,
    ) -> Result<(), AppendError> {
        let is_ours = self.is_ours(source);
        let is_young = |age| self.is_alone || age < RENEWED_AFTER;
        if self.cursor(source) == cursor && self.age(source).is_none_or(is_young) {
            return Ok(());
        }
        let term = match self.known.lock().get(source) {
            Some(heard) if is_ours => heard.turn.term,
            // The one that took over goes on from its own cursor.
            Some(_) if !self.is_alone => return Ok(()),
            Some(heard) => heard.turn.term + 1,
            None => 0,
        };
        self.write(source, issuer, term, cursor).await
    }

    /// Returns the time before which no event of `source` can reach a token of `issuer` that is still
    /// valid. A poller without a cursor begins there.
    #[must_use]
    pub(crate) fn earliest(&self, issuer: &str) -> UnixMillis {
        let terms = self.writer.retention.terms(issuer);
        let reach = terms.map_or(Duration::ZERO, |terms| terms.longest_life + terms.leeway);
        self.writer.clock.now().minus(reach)
    }

    #[must_use]
    pub(crate) fn now(&self) -> UnixMillis {
        self.writer.clock.now()
    }

    /// Returns how long ago the turn was taken or renewed.
    fn age(&self, source: &str) -> Option<Duration> {
        let at = self.known.lock().get(source)?.at;
        Some(self.writer.clock.since(at))
    }

    fn is_ours(&self, source: &str) -> bool {
        let known = self.known.lock();
        let heard = known.get(source);
        heard.is_some_and(|heard| heard.turn.holder == self.holder)
    }

    async fn write(
        &self,
        source: &str,
        issuer: &str,
        term: u64,
        cursor: Option<String>,
    ) -> Result<(), AppendError> {
        let turn = Turn {
            holder: self.holder,
            term,
            cursor,
        };
        let now = self.writer.clock.now();
        let mut record = record(source, issuer, turn, now);
        let terms = self.writer.retention.terms(issuer);
        record.forget_after = terms.map_or(now, |terms| terms.forget_after(&record));
        let latest = Instant::now() + self.writer.sync_timeout;
        self.writer.append(vec![Arc::new(record)], latest).await
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

/// A lift of a cause that nothing else has: see [`Revocation::turn`].
fn record(source: &str, issuer: &str, turn: Turn, now: UnixMillis) -> Revocation {
    let id = format!("turn-{:016x}-{}-{}", turn.holder, turn.term, now.0);
    Revocation {
        turn: Some(Box::new(turn)),
        ..Revocation::without_effect(id, issuer, source, CAUSE, now)
    }
}

/// What the log said about turns, by source. Clones share it; the follower writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<String, Heard>>>);

#[derive(Debug)]
struct Heard {
    turn: Turn,
    /// When the record was written, as far as can be told here.
    at: Moment,
}

impl Known {
    /// Takes in a record of the log, if it is a turn.
    pub(super) fn learn(&self, record: &Revocation, clock: &Clock) {
        let Some(turn) = record.turn.as_deref() else {
            return;
        };
        let mut known = self.lock();
        let counts = known.get(&record.source).is_none_or(|heard| {
            let same = turn.term == heard.turn.term && turn.holder == heard.turn.holder;
            same || turn.term > heard.turn.term
        });
        if counts {
            let age = clock.now().since(record.received_at);
            let at = clock.moment().minus(age);
            let turn = turn.clone();
            known.insert(record.source.clone(), Heard { turn, at });
        }
    }

    /// Forgets everything: another history of the log may lack events before our cursors.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::tests::{ISSUER, NOW, Process};

    /// Another process that follows the same log.
    fn replica(process: &Process) -> Turns {
        Turns::new(&process.writer, process.turns.known.clone(), false)
    }

    async fn has(turns: &Turns) -> bool {
        turns.take("okta", ISSUER).await.unwrap()
    }

    async fn advance(turns: &Turns, cursor: &str) {
        let advanced = turns.advance("okta", ISSUER, Some(cursor.to_owned()));
        advanced.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_replica_polls_and_the_next_continues_from_its_cursor() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let process = Process::start(directory.path(), &clock);
        let (first, second) = (replica(&process), replica(&process));
        assert!(has(&first).await);
        assert!(!has(&second).await);
        advance(&first, "1").await;
        assert_eq!(second.cursor("okta").as_deref(), Some("1"));
        clock.advance(LASTS / 2);
        advance(&first, "1").await;
        clock.advance(LASTS / 2);
        assert!(!has(&second).await, "it was renewed");
        clock.advance(LASTS);
        assert!(has(&second).await);
        assert!(!has(&first).await);
        advance(&first, "0").await;
        assert_eq!(first.cursor("okta").as_deref(), Some("1"), "it is late");
        advance(&second, "2").await;
        assert_eq!(first.cursor("okta").as_deref(), Some("2"));
        assert_eq!(first.cursor("another"), None);
        process.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_replicas_that_claim_the_turn_the_first_in_the_log_polls() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let process = Process::start(directory.path(), &clock);
        let (first, second) = (replica(&process), replica(&process));
        for turns in [&first, &second] {
            turns.write("okta", ISSUER, 7, None).await.unwrap();
        }
        assert!(has(&first).await);
        assert!(!has(&second).await);
        process.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_single_replica_polls_at_once_after_a_restart_from_its_cursor() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let process = Process::start(directory.path(), &clock);
        assert!(has(&process.turns).await);
        advance(&process.turns, "1").await;
        process.stop().await;
        let process = Process::start(directory.path(), &clock);
        assert!(has(&process.turns).await);
        advance(&process.turns, "1").await;
        assert_eq!(process.turns.cursor("okta").as_deref(), Some("1"));
        advance(&process.turns, "2").await;
        assert_eq!(process.turns.cursor("okta").as_deref(), Some("2"));
        let earliest = process.turns.earliest(ISSUER);
        assert_eq!(earliest, NOW.minus(Duration::from_hours(1)));
        process.turns.known.forget();
        assert_eq!(process.turns.cursor("okta"), None, "another history");
        process.stop().await;
    }
}
