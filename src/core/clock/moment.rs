//! Points in time.

use std::time::{Duration, UNIX_EPOCH};

/// The last millisecond that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

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

    /// Returns the time in RFC 3339 with milliseconds, in UTC.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let at = UNIX_EPOCH + Duration::from_millis(self.0.min(LAST));
        humantime::format_rfc3339_millis(at).to_string()
    }

    /// Returns how long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn signed_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A point in time on two clocks, for [`Clock::since`](super::Clock::since). Ordered by the boot clock
/// first, because the wall clock may be set back.
///
/// The boot clock (`CLOCK_BOOTTIME`) never steps and counts the time that a suspended machine
/// sleeps. It stops while a virtual machine is frozen and restored from a snapshot; the wall clock
/// shows that gap as soon as it is set right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since the boot.
    pub(super) boot: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) wall: i64,
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

    /// Returns the milliseconds since the boot, which no jump of the wall clock changes.
    #[must_use]
    pub fn since_boot(self) -> u64 {
        self.boot.max(0).cast_unsigned()
    }

    /// Returns how long ago `then` was by the boot clock, or by the wall clock if that is longer.
    pub(super) fn since(self, then: Self) -> Duration {
        let boot = self.boot.saturating_sub(then.boot);
        let wall = self.wall.saturating_sub(then.wall);
        Duration::from_millis(boot.max(wall).try_into().unwrap_or(0))
    }

    /// Returns by how many milliseconds the wall clock has gained on the boot clock since `then`.
    pub(super) const fn gained_since(self, then: Self) -> i64 {
        let wall = self.wall.saturating_sub(then.wall);
        wall.saturating_sub(self.boot.saturating_sub(then.boot))
    }
}
