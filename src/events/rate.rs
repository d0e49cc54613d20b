//! How many events a source may send, so that a sender gone wild cannot take the log from the others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;

/// How many events a source may send. More get 429 with `Retry-After`, and nothing of them is recorded.
/// Only events whose sender proved itself count, so strangers use up nothing. Each replica counts for
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Events per second, in the long run.
    pub per_second: u32,
    /// How many may come at once after a pause. Default: as many as `per_second`.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// The most events per second that can be told apart.
const MOST: u32 = 1_000_000;

impl Config {
    /// Reports what is wrong, with `rate_limit` as the current place.
    pub(super) fn check(self, errors: &mut ConfigErrors) {
        errors.range("per_second", self.per_second, 1..=MOST);
        if let Some(burst) = self.burst {
            errors.range("burst", burst, 1..=MOST);
        }
    }

    pub(super) fn build(self) -> RateLimit {
        let interval = 1_000_000 / u64::from(self.per_second.clamp(1, MOST));
        let burst = self.burst.unwrap_or(self.per_second).max(1);
        RateLimit {
            interval,
            slack: interval * u64::from(burst - 1),
            due: Mutex::default(),
        }
    }
}

/// Counts by the generic cell rate algorithm (ITU-T I.371): one number says when the next event would
/// come if all were evenly spaced. Times are microseconds.
#[derive(Debug)]
pub(super) struct RateLimit {
    interval: u64,
    /// How far ahead of its time an event may come.
    slack: u64,
    due: Mutex<u64>,
}

impl RateLimit {
    /// Counts an event that came `now`.
    ///
    /// # Errors
    /// How long the sender has to wait, when it sent too many. This event is not counted then.
    pub(super) fn take(&self, now: UnixMillis) -> Result<(), Duration> {
        let now = now.0.saturating_mul(1000);
        let latest = now.saturating_add(self.slack);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not keep the sender out for as long.
        *due = (*due).clamp(now, latest.saturating_add(self.interval));
        if *due > latest {
            return Err(Duration::from_micros(*due - latest));
        }
        *due += self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: Option<u32>) -> RateLimit {
        Config { per_second, burst }.build()
    }

    fn taken(limit: &RateLimit, now: u64) -> usize {
        (0..1000)
            .take_while(|_| limit.take(UnixMillis(now)).is_ok())
            .count()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let limit = limit(10, Some(5));
        assert_eq!(taken(&limit, 1_000_000), 5);
        let wait = limit.take(UnixMillis(1_000_000)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(taken(&limit, 1_000_099), 0);
        assert_eq!(taken(&limit, 1_000_100), 1);
        assert_eq!(taken(&limit, 1_000_400), 3);
        assert_eq!(taken(&limit, 2_000_000), 5, "a pause saves up one burst");
    }

    #[test]
    fn without_a_burst_one_second_of_events_is_admitted_at_once() {
        assert_eq!(taken(&limit(7, None), 1), 7);
        assert_eq!(taken(&limit(1, None), 1), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_a_burst() {
        let limit = limit(10, Some(5));
        assert_eq!(taken(&limit, 1_000_000_000), 5);
        let wait = limit.take(UnixMillis(1000)).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(taken(&limit, 1500), 5);
    }
}
