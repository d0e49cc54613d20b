//! The horizon: up to when revocations may have been forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::UnixMillis;

/// The latest end of a revocation that was ever forgotten. Clones share it. It never falls.
///
/// A token that was good until before it (`exp` + leeway) may have lost its revocation. So such a token
/// is refused even if the clock, which may have been set back, says that it is still valid.
#[derive(Clone, Debug, Default)]
pub struct Horizon(Arc<AtomicU64>);

impl Horizon {
    /// Returns a horizon that was saved earlier.
    #[must_use]
    pub fn at(saved: UnixMillis) -> Self {
        Self(Arc::new(AtomicU64::new(saved.0)))
    }

    #[must_use]
    pub fn get(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Acquire))
    }

    /// Raises the horizon to `end`, or leaves it if it is later already. Call it before the revocations
    /// that end by then are forgotten.
    pub fn raise(&self, end: UnixMillis) {
        self.0.fetch_max(end.0, Ordering::AcqRel);
    }
}
