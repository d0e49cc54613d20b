//! A clock that tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::moment::{UnixMillis, millis};
use super::{Clock, Hands, Source};

impl Clock {
    /// Returns a clock that stands still until a test moves it.
    #[must_use]
    pub fn manual(start: UnixMillis) -> Self {
        let hands = Hands {
            wall: AtomicU64::new(start.0),
            boot: AtomicU64::default(),
        };
        Self::of(Source::Manual(Arc::new(hands)))
    }

    /// Returns a clock with the same hands that has seen no jump yet, as another process has.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self::of(self.source.clone())
    }

    /// Sets the wall clock of a manual clock, forward or back, as an operator, NTP or a restored
    /// snapshot does. The boot clock stays.
    ///
    /// # Panics
    /// On the system clock.
    pub fn set(&self, now: UnixMillis) {
        self.hands().wall.store(now.0, Ordering::Relaxed);
    }

    /// Moves both hands of a manual clock forward, as time and a suspended machine do.
    ///
    /// # Panics
    /// On the system clock.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
        let hands = self.hands();
        hands.boot.fetch_add(millis(span), Ordering::Relaxed);
    }

    fn hands(&self) -> &Hands {
        match &self.source {
            Source::System => panic!("the system clock cannot be set"),
            Source::Manual(hands) => hands,
        }
    }
}
