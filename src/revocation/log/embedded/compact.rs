//! Compaction: records whose time is over leave the log, a few at a time between two commits.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};

use crate::core::clock::{Clock, UnixMillis};
use crate::core::horizon::Horizon;
use crate::core::kv::Kind;
use crate::revocation::record::{Action, Revocation};
use crate::revocation::retention::Retention;

use super::database::{self, Tally};
use super::seal::Seal;

/// The rows that one step looks at, and the most that it deletes: a few milliseconds each.
const LOOK_AT: i64 = 2048;
const DELETE: usize = 128;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two rounds: to look through a long log costs a percent of a core.
const REST: Duration = Duration::from_mins(1);

pub(super) struct Compaction {
    retention: Retention,
    clock: Clock,
    horizon: Horizon,
    /// Rows up to here were looked at in this round.
    position: i64,
    next: Instant,
}

impl Compaction {
    pub(super) fn new(retention: Retention, clock: Clock, horizon: Horizon) -> Self {
        Self {
            retention,
            clock,
            horizon,
            position: 0,
            next: Instant::now() + PAUSE,
        }
    }

    /// Begins a round.
    pub(super) fn begin(&mut self) {
        self.position = 0;
    }

    /// Returns whether it is time for the next step.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next && self.retention.is_set()
    }

    /// Deletes what is over among the next rows. Returns whether the round is over.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        tally: &mut Tally,
    ) -> rusqlite::Result<bool> {
        let now = self.clock.steady_now();
        // The latest moment until which a token could have matched one of them.
        let (mut expired, mut latest, mut seen) = (Vec::new(), UnixMillis::default(), 0);
        let sql = "SELECT position, forget_after, record FROM records
                   WHERE position > ?1 ORDER BY position LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([self.position, LOOK_AT])?;
        while expired.len() < DELETE
            && let Some(row) = rows.next()?
        {
            self.position = row.get(0)?;
            seen += 1;
            // The stored time is never later than the one in force, so it sieves.
            if row.get::<_, i64>(1)?.cast_unsigned() >= now.0 {
                continue;
            }
            // What cannot be read is not for us to delete; the next replay will tell.
            let Ok(record) = Revocation::decode(row.get_ref(2)?.as_blob()?) else {
                continue;
            };
            let over = self.retention.forget_after(&record);
            if over < now {
                expired.push(self.position);
                // A lift that is forgotten lets nobody in.
                if record.action == Action::Revoke {
                    latest = latest.max(over);
                }
            }
        }
        drop(rows);
        drop(statement);
        let is_over = seen < LOOK_AT && expired.len() < DELETE;
        self.next = Instant::now() + if is_over { REST } else { PAUSE };
        if is_over {
            self.position = 0;
        }
        if !expired.is_empty() {
            self.delete(&expired, latest, connection, tally)?;
        }
        Ok(is_over)
    }

    /// The horizon as it is now, whoever raised it. It never falls, and only this thread writes it.
    pub(super) fn keep_horizon(
        &self,
        transaction: &Transaction<'_>,
        seal: Seal,
    ) -> rusqlite::Result<()> {
        let horizon = self.horizon.get().0.to_le_bytes();
        database::save(transaction, seal, Kind::Horizon, "", &horizon)
    }

    /// The horizon is durable no later than the deletion, and in force before it.
    fn delete(
        &self,
        expired: &[i64],
        latest: UnixMillis,
        connection: &mut Connection,
        tally: &mut Tally,
    ) -> rusqlite::Result<()> {
        self.horizon.raise(latest);
        let mut after = *tally;
        let transaction = connection.transaction()?;
        let mut delete = transaction.prepare_cached("DELETE FROM records WHERE position = ?1")?;
        for position in expired {
            after.records -= i64::from(delete.execute([position])? == 1);
        }
        drop(delete);
        self.keep_horizon(&transaction, after.seal)?;
        after.commit(transaction)?;
        *tally = after;
        tracing::debug!(records = expired.len(), "expired records left the log");
        Ok(())
    }
}
