//! What is known about the feed from the log: written by the follower, read by every request.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The age of the feed is measured on the monotone clock: the wall clock may be set.
#[derive(Debug)]
pub(super) struct FeedState {
    started: Instant,
    /// Milliseconds after `started`, negative before it; [`NEVER`] until the replay is over.
    in_sync: AtomicI64,
}

/// The replay is not over.
const NEVER: i64 = i64::MIN;

impl FeedState {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            in_sync: AtomicI64::new(NEVER),
        }
    }

    /// Everything that the log had so long `ago` is in the index. What was known once stays known.
    pub(super) fn was_in_sync(&self, ago: Duration) {
        let at = self.since_start().saturating_sub(millis(ago));
        self.in_sync.fetch_max(at.max(NEVER + 1), Ordering::Release);
    }

    pub(super) fn is_replayed(&self) -> bool {
        self.in_sync.load(Ordering::Acquire) != NEVER
    }

    /// Since the log last said that everything was delivered; since the start before that.
    pub(super) fn age(&self) -> Duration {
        let in_sync = match self.in_sync.load(Ordering::Acquire) {
            NEVER => 0,
            at => at,
        };
        let age = self.since_start().saturating_sub(in_sync);
        Duration::from_millis(age.try_into().unwrap_or(0))
    }

    fn since_start(&self) -> i64 {
        millis(self.started.elapsed())
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
