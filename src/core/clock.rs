//! Time comes from here, so that tests can turn the hand themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in **milliseconds** since the Unix epoch. JWT times are in seconds: convert at the
/// edge with [`UnixMillis::from_seconds`] and [`UnixMillis::seconds`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The end of time: later than any moment that a token or an event can name.
    pub const MAX: Self = Self(u64::MAX);

    /// The first millisecond of a whole second.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The whole second this moment lies in.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Saturates instead of wrapping.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// Stops at the epoch instead of wrapping.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn signed_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A point in time on two clocks, for measuring how long ago it was with [`Clock::since`].
///
/// The boot clock (`CLOCK_BOOTTIME`) never steps and counts the time that a suspended machine
/// sleeps. It stops while a virtual machine is frozen and restored from a snapshot; the wall clock
/// shows that gap as soon as it is set right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the boot.
    boot: i64,
    /// Milliseconds since the Unix epoch.
    wall: i64,
}

impl Moment {
    /// The moment `span` earlier. Saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let span = signed_millis(span);
        Self {
            boot: self.boot.saturating_sub(span),
            wall: self.wall.saturating_sub(span),
        }
    }

    /// Whether this moment came after `other`. The wall clock has no say: it may be set back.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.boot > other.boot
    }

    /// The earlier of both.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if self.is_after(other) { other } else { self }
    }
}

/// Where the current time comes from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Hands>),
}

/// Milliseconds.
#[derive(Default)]
struct Hands {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved. Clones share the hands.
    #[must_use]
    pub fn manual(start: UnixMillis) -> Self {
        let clock = Self(Source::Manual(Arc::default()));
        clock.set(start);
        clock
    }

    /// The current time. The wall clock may step back; callers that forget by time must not
    /// rely on it being monotone.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Source::System => UnixMillis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, millis),
            ),
            Source::Manual(hands) => UnixMillis(hands.wall.load(Ordering::Relaxed)),
        }
    }

    /// The current moment, to be handed to [`Clock::since`] later.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let boot = match &self.0 {
            Source::System => boot_millis(),
            Source::Manual(hands) => hands.boot.load(Ordering::Relaxed).cast_signed(),
        };
        let wall = i64::try_from(self.now().0).unwrap_or(i64::MAX);
        Moment { boot, wall }
    }

    /// Returns how long ago `then` was: what the boot clock says, or the wall clock if that says
    /// more. A wall clock that was set forward makes `then` look older than it is, never younger.
    #[must_use]
    pub fn since(&self, then: Moment) -> Duration {
        let now = self.moment();
        let boot = now.boot.saturating_sub(then.boot);
        let wall = now.wall.saturating_sub(then.wall);
        Duration::from_millis(boot.max(wall).try_into().unwrap_or(0))
    }

    /// Returns by how many milliseconds the wall clock has gained on the boot clock since `then`;
    /// negative where it was set back.
    #[must_use]
    pub fn gained(&self, then: Moment) -> i64 {
        let now = self.moment();
        let wall = now.wall.saturating_sub(then.wall);
        wall.saturating_sub(now.boot.saturating_sub(then.boot))
    }

    /// Sets the wall clock of a manual clock, forwards or backwards, as an operator, NTP or the
    /// restored snapshot of a virtual machine does. The boot clock stays.
    ///
    /// # Panics
    /// On the system clock: only tests turn the hands.
    pub fn set(&self, now: UnixMillis) {
        self.hands().wall.store(now.0, Ordering::Relaxed);
    }

    /// Moves both hands of a manual clock forward, as time and a suspended machine do. Panics like
    /// [`Clock::set`].
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
        let hands = self.hands();
        hands.boot.fetch_add(millis(span), Ordering::Relaxed);
    }

    fn hands(&self) -> &Hands {
        match &self.0 {
            Source::System => panic!("the system clock cannot be set"),
            Source::Manual(hands) => hands,
        }
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
        match &self.0 {
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
    fn a_moment_is_as_old_as_the_clock_that_went_further_says() {
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
        assert!(clock.moment().is_after(then));
        assert_eq!(clock.moment().min(then), then);
    }

    #[test]
    fn the_system_clock_has_a_boot_clock_that_moves_on() {
        let clock = Clock::system();
        let then = clock.moment();
        assert!(then.boot > 0, "{then:?}");
        assert!(!then.is_after(clock.moment()));
        let eternity = clock.since(then.minus(Duration::MAX));
        assert!(eternity > Duration::from_hours(24 * 365 * 1000));
    }
}
