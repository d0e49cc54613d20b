//! What is known about the feed from the log: written by the follower, read by every request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The age of the feed is measured on the monotone clock: the wall clock may be set.
#[derive(Debug)]
pub(super) struct FeedState {
    started: Instant,
    max_staleness: Duration,
    /// Milliseconds after `started`, plus one; 0 until the replay is over.
    in_sync: AtomicU64,
}

impl FeedState {
    pub(super) fn new(max_staleness: Duration) -> Self {
        Self {
            started: Instant::now(),
            max_staleness,
            in_sync: AtomicU64::new(0),
        }
    }

    /// Everything that the log has is in the index.
    pub(super) fn is_in_sync(&self) {
        let since_start = millis(self.started.elapsed());
        self.in_sync
            .store(since_start.saturating_add(1), Ordering::Release);
    }

    pub(super) fn is_replayed(&self) -> bool {
        self.in_sync.load(Ordering::Acquire) != 0
    }

    pub(super) fn is_stale(&self) -> bool {
        self.age() > self.max_staleness
    }

    /// Since the log last said that everything was delivered; since the start before that.
    pub(super) fn age(&self) -> Duration {
        let in_sync = self.in_sync.load(Ordering::Acquire).saturating_sub(1);
        let since_start = millis(self.started.elapsed());
        Duration::from_millis(since_start.saturating_sub(in_sync))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
