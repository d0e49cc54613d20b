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

    /// Everything that the log had so long before `then` is in the index. What was known once stays known.
    pub(super) fn was_in_sync(&self, before: Duration, then: Instant) {
        let at = self.millis_of(then).saturating_sub(millis(before));
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
        let age = self.millis_of(Instant::now()).saturating_sub(in_sync);
        Duration::from_millis(age.try_into().unwrap_or(0))
    }

    fn millis_of(&self, instant: Instant) -> i64 {
        match instant.checked_duration_since(self.started) {
            Some(after) => millis(after),
            None => -millis(self.started.duration_since(instant)),
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_age_counts_from_the_moment_however_late_it_is_noted() {
        let feed = FeedState::new();
        assert!(!feed.is_replayed());
        let asked = Instant::now();
        tokio::time::advance(SECOND * 7).await;
        feed.was_in_sync(Duration::ZERO, asked);
        assert!(feed.is_replayed());
        assert_eq!(feed.age(), SECOND * 7);
        feed.was_in_sync(SECOND * 9, Instant::now());
        assert_eq!(feed.age(), SECOND * 7, "what was known stays known");
        feed.was_in_sync(SECOND, Instant::now());
        assert_eq!(feed.age(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn moments_before_the_start_count_too() {
        let before = Instant::now();
        tokio::time::advance(SECOND).await;
        let feed = FeedState::new();
        feed.was_in_sync(SECOND * 2, before);
        assert_eq!(feed.age(), SECOND * 3);
    }

    #[test]
    fn an_unknown_age_is_older_than_any_patience() {
        let feed = FeedState::new();
        feed.was_in_sync(Duration::MAX, Instant::now());
        assert!(feed.is_replayed());
        assert!(feed.age() > Duration::from_hours(24 * 365 * 1000));
    }
}
