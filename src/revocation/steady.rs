//! The clock to forget by. A wall clock that jumps forward says that revocations are over whose tokens
//! may live, so a jump that the boot clock contradicts is not believed at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::core::clock::{Clock, Moment, UnixMillis};

/// What NTP may gain between two looks without a jump.
const SLEW_MS: i64 = 1000;

/// After this time a new time is believed: the old one was wrong. What is forgotten by mistake later
/// on stays refused by the horizon.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);

/// A wall clock without its jumps forward. Clones share what they have seen.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The last moment at which the wall clock was believed.
    anchor: Moment,
    /// How far it had jumped, and when that was first seen.
    jump: Option<(i64, Moment)>,
}

impl Steady {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State {
            anchor: clock.moment(),
            jump: None,
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Returns the time of the wall clock less what it jumped forward. Follows it at once when it is
    /// set back.
    pub(super) fn now(&self) -> UnixMillis {
        // In this order: a jump in between then makes it too early, never too late.
        let now = self.clock.now();
        now.minus(self.ahead())
    }

    /// Returns how far the wall clock jumped forward, as long as that is not believed; else zero.
    pub(super) fn ahead(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = self.clock.gained(state.anchor);
        let (first, since) = match state.jump {
            Some((first, since)) if (gained - first).abs() <= SLEW_MS => (first, since),
            _ => (gained, self.clock.moment()),
        };
        if gained <= SLEW_MS || self.clock.since(since) >= BELIEVED_AFTER {
            state.anchor = self.clock.moment();
            state.jump = None;
            return Duration::ZERO;
        }
        state.jump = Some((first, since));
        Duration::from_millis(gained.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis::from_seconds(1_800_000_000);
    const DAY: Duration = Duration::from_hours(24);

    fn steady() -> (Clock, Steady) {
        let clock = Clock::manual(START);
        (clock.clone(), Steady::new(clock))
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let (clock, steady) = steady();
        for _ in 0..3 {
            clock.advance(DAY);
            assert_eq!(
                (steady.now(), steady.ahead()),
                (clock.now(), Duration::ZERO)
            );
        }
    }

    #[test]
    fn a_day_forward_and_back_leaves_no_trace() {
        let (clock, steady) = steady();
        clock.set(START.plus(DAY));
        clock.advance(Duration::from_mins(1));
        assert_eq!(steady.now(), START.plus(Duration::from_mins(1)));
        assert_eq!(steady.ahead(), DAY);
        clock.set(START.plus(Duration::from_mins(1)));
        assert_eq!(
            (steady.now(), steady.ahead()),
            (clock.now(), Duration::ZERO)
        );
    }

    #[test]
    fn a_clock_that_stays_where_it_jumped_to_is_believed_in_the_end() {
        let (clock, steady) = steady();
        clock.set(START.plus(DAY));
        assert_eq!(steady.ahead(), DAY);
        clock.advance(Duration::from_mins(59));
        assert_eq!(steady.ahead(), DAY);
        clock.advance(Duration::from_mins(1));
        assert_eq!(
            (steady.ahead(), steady.now()),
            (Duration::ZERO, clock.now())
        );
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let (clock, steady) = steady();
        clock.set(START.minus(DAY));
        assert_eq!(
            (steady.now(), steady.ahead()),
            (clock.now(), Duration::ZERO)
        );
        clock.set(START);
        assert_eq!(
            steady.now(),
            START.minus(DAY),
            "nobody knows which one was right"
        );
    }
}
