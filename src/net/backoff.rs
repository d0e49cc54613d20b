//! Waiting between attempts.

use std::time::Duration;

/// Pauses that double, with jitter, so that replicas do not retry in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(Duration::from_millis(50), Duration::from_secs(5))
    }
}

impl Backoff {
    #[must_use]
    pub const fn between(shortest: Duration, longest: Duration) -> Self {
        Self {
            next: shortest,
            longest,
        }
    }

    /// Returns how long to wait now: between half and all of a pause that doubles each time.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        rand::random_range(whole / 2..=whole)
    }
}
