//! The clocks. All time comes from here, so that tests can set it.

mod jump;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jump::Jumps;

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
    /// Later than any time that a token or an event can name.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the first millisecond of a second.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Returns the whole second.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Adds a span. Saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// Subtracts a span. Stops at the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Returns how long ago `earlier` was; zero if it is in the future.
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

/// A point in time on two clocks, for [`Clock::since`]. Ordered by the boot clock first, because the wall
/// clock may be set back.
///
/// The boot clock (`CLOCK_BOOTTIME`) never steps and counts the time that a suspended machine
/// sleeps. It stops while a virtual machine is frozen and restored from a snapshot; the wall clock
/// shows that gap as soon as it is set right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since the boot.
    boot: i64,
    /// Milliseconds since the Unix epoch.
    wall: i64,
}

impl Moment {
    /// Returns the moment `span` earlier. Saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let span = signed_millis(span);
        Self {
            boot: self.boot.saturating_sub(span),
            wall: self.wall.saturating_sub(span),
        }
    }
}

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
        let now = self.moment();
        let boot = now.boot.saturating_sub(then.boot);
        let wall = now.wall.saturating_sub(then.wall);
        Duration::from_millis(boot.max(wall).try_into().unwrap_or(0))
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
