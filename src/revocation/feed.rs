//! The age of the feed from the log. The follower writes it, and every request reads it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::core::clock::{Clock, Moment};

/// Measures the age of the feed by [`Clock::since`], so that a suspended machine and a restored snapshot
/// do not take an old feed for a fresh one.
#[derive(Debug)]
pub(super) struct FeedState {
    clock: Clock,
    started: Moment,
    /// `None` until the replay is over.
    in_sync: ArcSwapOption<Moment>,
    moved: Notify,
}

impl FeedState {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            started: clock.moment(),
            clock,
            in_sync: ArcSwapOption::empty(),
            moved: Notify::new(),
        }
    }

    /// Marks the index complete as of `then`; never moves back. Only the follower calls it.
    pub(super) fn was_in_sync(&self, then: Moment) {
        let known = self.in_sync.load();
        if known.as_deref().is_none_or(|known| *known <= then) {
            self.in_sync.store(Some(Arc::new(then)));
            self.moved.notify_waiters();
        }
    }

    pub(super) fn is_replayed(&self) -> bool {
        self.in_sync.load().is_some()
    }

    /// Waits until the index is complete as of `then`, or once the replay is over if that is `None`.
    pub(super) async fn reaches(&self, then: Option<Moment>) {
        loop {
            // From here on no change is missed.
            let moved = self.moved.notified();
            let in_sync = self.in_sync.load_full();
            if in_sync.is_some_and(|at| then.is_none_or(|then| then <= *at)) {
                return;
            }
            moved.await;
        }
    }

    /// Returns the time since the log last said that everything was delivered, or since the start if it
    /// never did.
    pub(super) fn age(&self) -> Duration {
        let in_sync = self.in_sync.load();
        self.clock
            .since(in_sync.as_deref().copied().unwrap_or(self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::UnixMillis;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: UnixMillis = UnixMillis::from_seconds(1_800_000_000);

    #[test]
    fn the_age_of_the_feed_counts_from_the_confirmation() {
        let clock = Clock::manual(NOW);
        let feed = FeedState::new(clock.clone());
        assert!(!feed.is_replayed());
        let asked = clock.moment();
        clock.advance(SECOND * 7);
        feed.was_in_sync(asked);
        assert!(feed.is_replayed());
        assert_eq!(feed.age(), SECOND * 7);
        feed.was_in_sync(clock.moment().minus(SECOND * 9));
        assert_eq!(feed.age(), SECOND * 7, "it never moves back");
        feed.was_in_sync(clock.moment().minus(SECOND));
        assert_eq!(feed.age(), SECOND);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hide_what_comes_after() {
        let clock = Clock::manual(NOW);
        let feed = FeedState::new(clock.clone());
        feed.was_in_sync(clock.moment());
        clock.set(NOW.minus(SECOND * 1000));
        clock.advance(SECOND);
        feed.was_in_sync(clock.moment());
        // The virtual machine is frozen, and its wall clock is set right afterwards.
        clock.set(clock.now().plus(SECOND * 90));
        assert_eq!(feed.age(), SECOND * 90);
    }

    #[test]
    fn an_unknown_feed_age_is_stale() {
        let clock = Clock::manual(NOW);
        let feed = FeedState::new(clock.clone());
        feed.was_in_sync(clock.moment().minus(Duration::MAX));
        assert!(feed.is_replayed());
        assert!(feed.age() > Duration::from_hours(24 * 365 * 1000));
    }
}
