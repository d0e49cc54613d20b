//! Waiting between attempts.

use std::time::Duration;

/// Pauses that double, with jitter, so that replicas do not retry in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Default for Backoff {
    fn default() -> Self {
        Self {
            next: SHORTEST_PAUSE,
        }
    }
}

impl Backoff {
    /// Returns how long to wait now: between half and all of a pause that doubles each time.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST_PAUSE);
        rand::random_range(whole / 2..=whole)
    }
}
