//! Entries whose time is over leave the log, so that a replay is as long as what is alive, not as
//! long as history.

use std::sync::Arc;
use std::time::Duration;

use redis::cmd;
use tokio_util::sync::CancellationToken;

use crate::core::units::Span;
use crate::revocation::steady::Steady;

use super::config::Config;
use super::dial::Dialer;
use super::fault::Fault;
use super::script::Scripts;
use super::session::{Purpose, Session};

/// Entries that one call of the script looks at: about a millisecond in the server.
const LOOK_AT: usize = 500;

/// A step and the pause after it take less.
const LEAST_LOCK_MS: u64 = 1000;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Compaction {
    pub(super) config: Arc<Config>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) dialer: Arc<Dialer>,
    pub(super) clock: Steady,
}

impl Compaction {
    /// Until the log is closed.
    pub(super) async fn run(self, closed: CancellationToken) {
        closed.run_until_cancelled(self.go_round()).await;
    }

    async fn go_round(&self) {
        loop {
            if let Err(fault) = self.round().await {
                tracing::debug!(why = %fault, "the log could not be compacted");
            }
            tokio::time::sleep(self.config.compact_every.0).await;
        }
    }

    async fn round(&self) -> Result<(), Fault> {
        // A connection of its own: nobody may wait for a feed that happens not to be read.
        let silence = self.config.append_timeout.0;
        let opened = Session::open(
            &self.dialer,
            &self.config,
            &self.scripts,
            Purpose::Read,
            silence,
        );
        let session = opened.await?;
        let ours = format!("{:032x}", rand::random::<u128>());
        if !self.is_our_turn(&session, &ours).await? {
            return Ok(());
        }
        let (mut from, mut deleted) = ("-".to_owned(), 0_usize);
        loop {
            let now = self.clock.now().0;
            let grace = millis(self.config.compact_grace);
            let lock = (
                ours.as_str(),
                millis(self.config.compact_every).max(LEAST_LOCK_MS),
            );
            let step = self.scripts.compact(&from, LOOK_AT, (now, grace), lock);
            let step: Option<(usize, usize, String)> = session.run(&step).await?;
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
            tracing::info!(entries = deleted, "revocations that are over left the log");
        }
        Ok(())
    }

    /// Two replicas at once would do no harm, only work. Each step makes the lock last longer, however
    /// long the log is, and ends the round when another replica has it.
    async fn is_our_turn(&self, session: &Session, ours: &str) -> Result<bool, Fault> {
        let take = cmd("SET")
            .arg(self.config.beside("compacting"))
            .arg(ours)
            .arg("NX")
            .arg("PX")
            .arg(millis(self.config.compact_every))
            .take();
        let taken: Option<String> = session.run(&take).await?;
        Ok(taken.is_some())
    }
}

fn millis(span: Span) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}
