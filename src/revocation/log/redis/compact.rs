//! Entries whose time is over leave the log, so that a replay is as long as what is alive, not as
//! long as history.

use std::time::Duration;

use redis::cmd;

use crate::core::units::Span;
use crate::revocation::log::engine::Fault;

use super::connection::Purpose;
use super::driver::Driver;
use super::script::COMPACT;

/// Entries that one call of the script looks at: about a millisecond in the server.
const LOOK_AT: usize = 500;

/// A step and the pause after it take less.
const LEAST_LOCK_MS: u64 = 1000;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(20);

impl Driver {
    pub(super) async fn keep_compacting(&self) {
        let mut is_reported = false;
        loop {
            let compacted = self.compact().await;
            if let (Err(fault), false) = (&compacted, is_reported) {
                tracing::warn!(why = %fault, "expired revocations cannot be deleted from the log");
            }
            is_reported = compacted.is_err();
            tokio::time::sleep(self.config.compact_every.0).await;
        }
    }

    /// Deletes what is over, unless another replica does. Two at once would do no harm, only work.
    /// Each step makes the lock last longer, however long the log is, and ends the round when
    /// another replica has it.
    async fn compact(&self) -> Result<(), Fault> {
        // A connection of its own: nobody may wait for a long round.
        let silence = self.config.append_timeout.0;
        let (connection, _) = self.connect(Purpose::Read, silence).await?;
        let ours = format!("{:032x}", rand::random::<u128>());
        let every = millis(self.config.compact_every);
        let compacting = self.config.beside("compacting");
        let mut lock = cmd("SET");
        lock.arg(&compacting).arg(&ours).arg("NX");
        lock.arg("PX").arg(every);
        let taken: Option<String> = connection.run(&lock).await?;
        if taken.is_none() {
            return Ok(());
        }
        let horizon = self.config.beside("horizon");
        let (mut from, mut deleted) = ("-".to_owned(), 0_usize);
        loop {
            let mut step = COMPACT.key(&self.config.key);
            step.key(&horizon).key(&compacting).arg(&from).arg(LOOK_AT);
            step.arg(self.status.clock.steady_now().0);
            step.arg(millis(self.config.compact_grace));
            step.arg(&ours).arg(every.max(LEAST_LOCK_MS));
            let step: Option<(usize, usize, String)> = connection.call(&step).await?;
            let Some((seen, dropped, last)) = step else {
                tracing::debug!("another replica compacts the log");
                break;
            };
            deleted += dropped;
            if seen < LOOK_AT {
                break;
            }
            from = format!("({last}");
            tokio::time::sleep(PAUSE).await;
        }
        if deleted > 0 {
            tracing::info!(
                entries = deleted,
                "expired revocations were deleted from the log"
            );
        }
        Ok(())
    }
}

fn millis(span: Span) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}
