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

/// Where the current time comes from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::set`] moves it. Clones share the hand.
    #[must_use]
    pub fn manual(start: UnixMillis) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.0))))
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
            Source::Manual(hand) => UnixMillis(hand.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock, forwards or backwards.
    ///
    /// # Panics
    /// On the system clock: only tests turn the hand.
    pub fn set(&self, now: UnixMillis) {
        match &self.0 {
            Source::System => panic!("the system clock cannot be set"),
            Source::Manual(hand) => hand.store(now.0, Ordering::Relaxed),
        }
    }

    /// Moves a manual clock forward. Panics like [`Clock::set`].
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::System => f.write_str("Clock::system"),
            Source::Manual(_) => write!(f, "Clock::manual({})", self.now().0),
        }
    }
}
