//! Compaction: records whose time is over leave the log, a few at a time between two commits.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use crate::core::clock::{Clock, UnixMillis};
use crate::core::horizon::Horizon;
use crate::core::kv::Kind;
use crate::revocation::record::{Action, Revocation};
use crate::revocation::retention::Retention;

use super::database::{self, Tally};
use super::seal::Seal;

/// The rows that one step looks at, and the most that it deletes: a few milliseconds each.
const LOOK_AT: i64 = 2048;
const DELETE: i64 = 128;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(100);

/// After the end of the log was reached; longer and longer as long as rounds find nothing to do,
/// because to look through a long log costs a percent of a core.
const REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_mins(8);

pub(super) struct Compaction {
    retention: Retention,
    clock: Clock,
    horizon: Horizon,
    /// Rows up to here were looked at in this round.
    position: i64,
    next: Instant,
    pause: Duration,
    rest: Duration,
    at_rest: bool,
}

/// What one step found.
struct Expired {
    positions: Vec<i64>,
    /// The latest moment until which a token could have matched one of them.
    horizon: UnixMillis,
    /// Where the next step goes on; `None` at the end of the log.
    next: Option<i64>,
}

impl Compaction {
    pub(super) fn new(retention: Retention, clock: Clock, horizon: Horizon) -> Self {
        Self {
            retention,
            clock,
            horizon,
            position: 0,
            next: Instant::now() + PAUSE,
            pause: PAUSE,
            rest: REST / 2,
            at_rest: false,
        }
    }

    /// Begins a round at once, without pauses until its end.
    pub(super) fn start_over(&mut self) {
        self.position = 0;
        self.at_rest = false;
        self.next = Instant::now();
        self.pause = Duration::ZERO;
    }

    /// Whether the end of the log was reached and nothing was begun since.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// Does a little if it is time to. Returns whether it changed the database.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        tally: &mut Tally,
    ) -> rusqlite::Result<bool> {
        if Instant::now() < self.next || !self.retention.is_set() {
            self.at_rest |= !self.retention.is_set();
            return Ok(false);
        }
        self.next = Instant::now() + self.pause;
        self.at_rest = false;
        let expired = self.find(connection)?;
        if !expired.positions.is_empty() {
            self.delete(&expired, connection, tally)?;
            self.rest = REST / 2;
        }
        self.position = expired.next.unwrap_or(0);
        if expired.next.is_none() {
            self.rest = (self.rest * 2).min(LONGEST_REST);
            self.next = Instant::now() + self.rest;
            self.pause = PAUSE;
            self.at_rest = true;
        }
        Ok(!expired.positions.is_empty())
    }

    fn find(&self, connection: &Connection) -> rusqlite::Result<Expired> {
        let sql = "SELECT max(position), count(*) FROM
                   (SELECT position FROM records WHERE position > ?1 ORDER BY position LIMIT ?2)";
        let mut window = connection.prepare_cached(sql)?;
        let (end, rows): (Option<i64>, i64) = window
            .query_row([self.position, LOOK_AT], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut expired = Expired {
            positions: Vec::new(),
            horizon: UnixMillis::default(),
            next: end.filter(|_| rows == LOOK_AT),
        };
        let now = self.clock.steady_now();
        // The stored time is never later than the one in force, so it sieves.
        let sql = "SELECT position, record FROM records
                   WHERE position > ?1 AND position <= ?2 AND forget_after < ?3
                   ORDER BY position LIMIT ?4";
        let now_ms = i64::try_from(now.0).unwrap_or(i64::MAX);
        let mut candidates = connection.prepare_cached(sql)?;
        let mut candidates =
            candidates.query(params![self.position, end.unwrap_or(0), now_ms, DELETE])?;
        let mut seen = 0;
        while let Some(row) = candidates.next()? {
            let position = row.get(0)?;
            seen += 1;
            if seen == DELETE {
                expired.next = Some(position);
            }
            // What cannot be read is not for us to delete; the next replay will tell.
            if let Ok(record) = Revocation::decode(row.get_ref(1)?.as_blob()?) {
                expired.take(position, &record, self.retention.forget_after(&record), now);
            }
        }
        Ok(expired)
    }

    /// The horizon as it is now, whoever raised it. It never falls, and only this thread writes it.
    pub(super) fn keep_horizon(
        &self,
        transaction: &Transaction<'_>,
        seal: Seal,
    ) -> rusqlite::Result<()> {
        let horizon = self.horizon.get().0.to_le_bytes();
        database::save(transaction, seal, Kind::Horizon.as_str(), "", &horizon)
    }

    /// The horizon is durable no later than the deletion, and in force before it.
    fn delete(
        &self,
        expired: &Expired,
        connection: &mut Connection,
        tally: &mut Tally,
    ) -> rusqlite::Result<()> {
        self.horizon.raise(expired.horizon);
        let mut after = *tally;
        let transaction = connection.transaction()?;
        let mut delete = transaction.prepare_cached("DELETE FROM records WHERE position = ?1")?;
        for position in &expired.positions {
            after.records -= i64::from(delete.execute([position])? == 1);
        }
        drop(delete);
        self.keep_horizon(&transaction, after.seal)?;
        after.commit(transaction)?;
        *tally = after;
        tracing::debug!(
            records = expired.positions.len(),
            "expired records left the log"
        );
        Ok(())
    }
}

impl Expired {
    fn take(&mut self, position: i64, record: &Revocation, over: UnixMillis, now: UnixMillis) {
        if over >= now {
            return;
        }
        self.positions.push(position);
        // A lift that is forgotten lets nobody in.
        if record.action == Action::Revoke {
            self.horizon = self.horizon.max(over);
        }
    }
}
