//! Jumps of the wall clock, which the boot clock contradicts.
//!
//! After a jump nobody knows whether the old or the new time is right. So revocations are forgotten by
//! the earlier of both, and a token is refused for its times only if both say so. The doubt ends when
//! another machine's clock confirms the new time, when the clock returns to the old time, or after an
//! hour. `docs/decisions/0023-a-jump-of-the-clock-is-doubted.md` says why.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::moment::{Moment, UnixMillis};

/// The most that NTP may slew between two looks at the clocks. More is a jump.
const SLEW_MS: i64 = 1000;

/// After this time the new time is believed, and the horizon guards what is forgotten by mistake.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);

/// What was seen of jumps.
#[derive(Debug)]
pub(super) struct Jumps {
    state: Mutex<State>,
    /// Whether the last look found a jump that is not believed.
    in_doubt: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// The last moment at which the wall clock was believed.
    anchor: Moment,
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    /// Milliseconds; negative if the wall clock was set back.
    by: i64,
    first_seen: Moment,
}

impl Jumps {
    pub(super) fn since(anchor: Moment) -> Self {
        Self {
            state: Mutex::new(State::believed(anchor)),
            in_doubt: AtomicBool::new(false),
        }
    }
}

impl Jumps {
    /// Looks at the clocks: see [`Clock::jumped`](super::Clock::jumped).
    pub(super) fn seen(&self, now: Moment) -> i64 {
        let mut state = self.state();
        let by = now.gained_since(state.anchor);
        let known = state.jump.filter(|known| (by - known.by).abs() <= SLEW_MS);
        let first_seen = known.map_or(now, |known| known.first_seen);
        let is_believed = by.abs() <= SLEW_MS || now.since(first_seen) >= BELIEVED_AFTER;
        self.in_doubt.store(!is_believed, Ordering::Relaxed);
        if is_believed {
            *state = State::believed(now);
            return 0;
        }
        state.jump = Some(Jump { by, first_seen });
        by
    }

    /// Returns whether the last look found a jump that is not believed.
    pub(super) fn in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// Takes note that another machine's clock shows `there`, where this one would show `old` if it had
    /// not jumped.
    pub(super) fn heard(&self, there: UnixMillis, old: UnixMillis, now: Moment) {
        let new = now.wall.cast_unsigned();
        let is_about = |time: u64| there.0.abs_diff(time) < new.abs_diff(old.0) / 2;
        let mut state = self.state();
        if is_about(new) {
            *state = State::believed(now);
        } else if is_about(old.0)
            && let Some(jump) = &mut state.jump
        {
            jump.first_seen = now;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn believed(anchor: Moment) -> Self {
        Self { anchor, jump: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Clock;
    use super::*;

    const START: UnixMillis = UnixMillis::from_seconds(1_800_000_000);
    const DAY: Duration = Duration::from_hours(24);
    const DAY_MS: i64 = 86_400_000;
    const MINUTE: Duration = Duration::from_mins(1);

    fn assert_believed(clock: &Clock) {
        assert_eq!(clock.jumped(), 0);
        assert_eq!(clock.steady_now(), clock.now());
        assert_eq!(clock.without_jump(), None);
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let clock = Clock::manual(START);
        for _ in 0..3 {
            clock.advance(DAY);
            assert_believed(&clock);
        }
    }

    #[test]
    fn a_clock_jump_forward_and_back_leaves_no_trace() {
        let clock = Clock::manual(START);
        clock.set(START.plus(DAY));
        clock.advance(MINUTE);
        assert_eq!(clock.jumped(), DAY_MS);
        assert_eq!(clock.steady_now(), START.plus(MINUTE));
        assert_eq!(clock.without_jump(), Some(START.plus(MINUTE)));
        clock.set(START.plus(MINUTE));
        assert_believed(&clock);
    }

    #[test]
    fn a_clock_that_was_set_back_is_in_doubt_and_forgets_less_at_once() {
        let clock = Clock::manual(START);
        clock.set(START.minus(DAY));
        assert_eq!(clock.jumped(), -DAY_MS);
        assert_eq!(clock.steady_now(), START.minus(DAY));
        assert_eq!(clock.without_jump(), Some(START));
        clock.advance(BELIEVED_AFTER);
        assert_believed(&clock);
    }

    #[test]
    fn a_jumped_clock_is_trusted_after_an_hour() {
        let clock = Clock::manual(START);
        clock.set(START.plus(DAY));
        assert_eq!(clock.jumped(), DAY_MS);
        clock.advance(MINUTE * 59);
        assert_eq!(clock.jumped(), DAY_MS);
        clock.set(clock.now().plus(DAY));
        assert_eq!(clock.jumped(), 2 * DAY_MS, "another jump, another hour");
        clock.advance(MINUTE * 59);
        assert_eq!(clock.jumped(), 2 * DAY_MS);
        clock.advance(MINUTE);
        assert_believed(&clock);
    }

    #[test]
    fn another_clock_confirms_or_contradicts_the_new_time() {
        let clock = Clock::manual(START);
        clock.set(START.plus(DAY));
        for _ in 0..3 {
            clock.heard(clock.without_jump().unwrap());
            clock.advance(MINUTE * 59);
        }
        assert_eq!(clock.jumped(), DAY_MS, "it is contradicted again and again");
        clock.heard(clock.now().plus(DAY));
        assert_eq!(clock.jumped(), DAY_MS, "the other clock is wrong itself");
        clock.heard(clock.now().plus(MINUTE));
        assert_believed(&clock);
        clock.set(clock.now().minus(DAY));
        clock.heard(clock.now());
        assert_believed(&clock);
    }

    #[test]
    fn a_new_token_confirms_a_jump_forward_and_an_old_one_nothing() {
        let clock = Clock::manual(START);
        clock.set(START.plus(DAY));
        assert_eq!(clock.jumped(), DAY_MS);
        clock.heard_of_issue(START.plus(MINUTE));
        assert_eq!(clock.jumped(), DAY_MS);
        clock.heard_of_issue(START.plus(DAY).minus(MINUTE));
        assert_believed(&clock);
        clock.set(START);
        assert_eq!(clock.jumped(), -DAY_MS);
        clock.heard_of_issue(START.minus(MINUTE));
        assert_eq!(clock.jumped(), -DAY_MS);
    }

    #[test]
    fn another_process_has_seen_no_jump() {
        let clock = Clock::manual(START);
        clock.set(START.plus(DAY));
        assert_believed(&clock.restarted());
        assert_eq!(clock.jumped(), DAY_MS);
    }
}
