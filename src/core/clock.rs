//! The clocks. All time comes from here, so that tests can set it.

mod jump;
mod moment;
mod testing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jump::Jumps;
use moment::millis;
pub use moment::{Moment, UnixMillis};

use super::reason::Rejection;

/// Where the current time comes from. Clones share the hands of a manual clock, and what was seen of
/// jumps.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    jumps: Arc<Jumps>,
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Hands>),
}

/// Milliseconds.
struct Hands {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl Clock {
    /// Returns the clocks of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System)
    }

    fn of(source: Source) -> Self {
        let jumps = Arc::new(Jumps::since(source.moment()));
        Self { source, jumps }
    }

    /// Returns the time of the wall clock. It may jump; what forgets by time uses
    /// [`Clock::steady_now`].
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.source.now()
    }

    /// Returns the current moment, for [`Clock::since`].
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.source.moment()
    }

    /// Returns how long ago `then` was by the boot clock, or by the wall clock if that is longer. A wall
    /// clock that was set forward makes `then` look older than it is, never younger.
    #[must_use]
    pub fn since(&self, then: Moment) -> Duration {
        self.moment().since(then)
    }

    /// Returns by how many milliseconds the wall clock jumped; negative if it was set back. Returns 0
    /// if it did not jump, or if the new time is believed.
    #[must_use]
    pub fn jumped(&self) -> i64 {
        self.jumps.seen(self.moment())
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

    /// Judges at the present time. What a jump of the clock makes bad is the clock's fault.
    ///
    /// # Errors
    /// Those of `judged` or, if the clock jumped and `judged` has none at the time without the jump,
    /// `clock_disagreement`.
    pub fn judge<T>(
        &self,
        judged: impl Fn(UnixMillis) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        judged(self.now()).map_err(|refused| match self.without_jump().map(judged) {
            Some(Ok(_)) => Rejection::without_jump(),
            _ => refused,
        })
    }

    /// Takes note of what another machine's clock shows. If that is about the new time, the new time is
    /// believed. If it is about the old one, the hour begins anew. Otherwise it is no evidence.
    pub fn heard(&self, there: UnixMillis) {
        if let Some(old) = self.without_jump() {
            self.jumps.heard(there, old, self.moment());
        }
    }

    /// Takes note of when a trusted issuer made a token. The token may be old, so it can only confirm a
    /// jump forward. Costs next to nothing while nothing is in doubt.
    pub fn heard_of_issue(&self, issued_at: UnixMillis) {
        if self.jumps.in_doubt()
            && let (Some(old), now) = (self.without_jump(), self.now())
            && old < now
            && issued_at.0 > old.0.midpoint(now.0)
        {
            self.heard(issued_at);
        }
    }
}

impl Source {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    fn now(&self) -> UnixMillis {
        match self {
            Self::System => UnixMillis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, millis),
            ),
            Self::Manual(hands) => UnixMillis(hands.wall.load(Ordering::Relaxed)),
        }
    }

    fn moment(&self) -> Moment {
        let boot = match self {
            Self::System => boot_millis(),
            Self::Manual(hands) => hands.boot.load(Ordering::Relaxed).cast_signed(),
        };
        let wall = i64::try_from(self.now().0).unwrap_or(i64::MAX);
        Moment { boot, wall }
    }
}

fn boot_millis() -> i64 {
    use rustix::time::{ClockId, clock_gettime};
    // Elsewhere the monotonic clock goes on while the machine sleeps.
    #[cfg(target_os = "linux")]
    const BOOT: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const BOOT: ClockId = ClockId::Monotonic;
    let since_boot = clock_gettime(BOOT);
    since_boot.tv_sec * 1000 + since_boot.tv_nsec / 1_000_000
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::System => f.write_str("Clock::system"),
            Source::Manual(_) => write!(f, "Clock::manual({})", self.now().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn the_age_of_a_moment_is_the_larger_of_two_clocks() {
        let start = UnixMillis::from_seconds(1_800_000_000);
        let clock = Clock::manual(start);
        let then = clock.moment();
        assert_eq!(clock.since(then), Duration::ZERO);
        clock.advance(HOUR);
        assert_eq!(clock.since(then), HOUR, "suspended");
        clock.set(start.plus(HOUR * 5));
        assert_eq!(clock.since(then), HOUR * 5, "restored from a snapshot");
        clock.set(start.minus(HOUR * 5));
        assert_eq!(clock.since(then), HOUR, "set back");
        assert_eq!(clock.since(clock.moment().minus(HOUR)), HOUR);
        assert!(clock.moment() > then);
        assert_eq!(clock.moment().min(then), then);
    }

    #[test]
    fn the_system_clock_has_a_boot_clock_that_moves_on() {
        let clock = Clock::system();
        let then = clock.moment();
        assert!(then.boot > 0, "{then:?}");
        assert!(then <= clock.moment());
        let eternity = clock.since(then.minus(Duration::MAX));
        assert!(eternity > Duration::from_hours(24 * 365 * 1000));
    }
}
