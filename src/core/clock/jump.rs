//! Jumps of the wall clock, which the boot clock contradicts.
//!
//! After a jump nobody knows whether the old or the new time is right. So revocations are forgotten by
//! the earlier of both, and a token is refused for its times only if both say so. The doubt ends when
//! another machine's clock confirms the new time, when the clock returns to the old time, or after an
//! hour. `docs/decisions/0023-a-jump-of-the-clock-is-doubted.md` says why.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Clock, Moment, UnixMillis};

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

impl Clock {
    /// Returns by how many milliseconds the wall clock jumped; negative if it was set back. Returns 0
    /// if it did not jump, or if the new time is believed.
    #[must_use]
    pub fn jumped(&self) -> i64 {
        let now = self.moment();
        let mut state = self.jumps.state();
        let by = now.gained_since(state.anchor);
        let known = state.jump.filter(|known| (by - known.by).abs() <= SLEW_MS);
        let first_seen = known.map_or(now, |known| known.first_seen);
        let is_believed = by.abs() <= SLEW_MS || self.since(first_seen) >= BELIEVED_AFTER;
        self.jumps.in_doubt.store(!is_believed, Ordering::Relaxed);
        if is_believed {
            *state = State::believed(now);
            return 0;
        }
        state.jump = Some(Jump { by, first_seen });
        by
    }

    /// Returns the time to forget by: that of the wall clock, or the time without the jump if that is
    /// earlier.
    #[must_use]
    pub fn steady_now(&self) -> UnixMillis {
        // In this order: a jump in between makes the result too early, never too late.
        let now = self.now();
        UnixMillis(now.0.saturating_sub(self.jumped().max(0).unsigned_abs()))
    }

    /// Returns what the wall clock would show if it had not jumped; `None` unless it is in doubt.
    #[must_use]
    pub fn without_jump(&self) -> Option<UnixMillis> {
        let jumped = self.jumped();
        let now = self.now().0;
        (jumped != 0).then(|| UnixMillis(now.saturating_add_signed(-jumped)))
    }

    /// Takes note of what another machine's clock shows. If that is about the new time, the new time is
    /// believed. If it is about the old one, the hour begins anew. Otherwise it is no evidence.
    pub fn heard(&self, there: UnixMillis) {
        let Some(old) = self.without_jump() else {
            return;
        };
        let (new, now) = (self.now(), self.moment());
        let is_about = |time: UnixMillis| there.0.abs_diff(time.0) < new.0.abs_diff(old.0) / 2;
        let mut state = self.jumps.state();
        if is_about(new) {
            *state = State::believed(now);
        } else if is_about(old)
            && let Some(jump) = &mut state.jump
        {
            jump.first_seen = now;
        }
    }

    /// Takes note of when a trusted issuer made a token. The token may be old, so it can only confirm a
    /// jump forward. Costs next to nothing while nothing is in doubt.
    pub fn heard_of_issue(&self, issued_at: UnixMillis) {
        if self.jumps.in_doubt.load(Ordering::Relaxed)
            && let (Some(old), now) = (self.without_jump(), self.now())
            && old < now
            && issued_at.0 > old.0.midpoint(now.0)
        {
            self.heard(issued_at);
        }
    }
}

impl Jumps {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn believed(anchor: Moment) -> Self {
        Self { anchor, jump: None }
    }
}

impl Moment {
    /// Returns by how many milliseconds the wall clock has gained on the boot clock since `then`.
    const fn gained_since(self, then: Self) -> i64 {
        let wall = self.wall.saturating_sub(then.wall);
        wall.saturating_sub(self.boot.saturating_sub(then.boot))
    }
}

#[cfg(test)]
mod tests {
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
    fn a_day_forward_and_back_leaves_no_trace() {
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
    fn a_clock_that_stays_where_it_jumped_to_is_believed_after_an_hour() {
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
