//! How far the follower is behind, for who asks while it follows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Entries of the log that were not handed on yet; [`Behind::UNKNOWN`] before that can be told.
#[derive(Debug)]
pub(super) struct Behind(AtomicU64);

impl Behind {
    const UNKNOWN: u64 = u64::MAX;

    pub(super) fn entries(&self) -> Option<u64> {
        let entries = self.0.load(Ordering::Relaxed);
        (entries != Self::UNKNOWN).then_some(entries)
    }

    pub(super) fn set(&self, entries: u64) {
        self.0.store(entries, Ordering::Relaxed);
    }
}

impl Default for Behind {
    fn default() -> Self {
        Self(AtomicU64::new(Self::UNKNOWN))
    }
}
