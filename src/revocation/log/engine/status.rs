//! What is known about an engine while its log is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::core::clock::{Clock, UnixMillis};
use crate::core::horizon::Horizon;
use crate::revocation::retention::Retention;

/// An answer may be this old. Clocks that differ by less count as equal.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// What appends, followers and readers of metrics share.
#[derive(Debug)]
pub struct Status {
    pub(in crate::revocation::log) clock: Clock,
    pub(in crate::revocation::log) retention: Retention,
    pub(in crate::revocation::log) horizon: Horizon,
    pub(super) unwritable: ArcSwapOption<String>,
    /// See [`crate::revocation::log::Log::clock_apart`]; 0 while the clocks agree.
    apart: AtomicI64,
    /// See [`crate::revocation::log::Log::behind`]; [`UNKNOWN`] before that can be told.
    behind: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Status {
    pub(in crate::revocation::log) fn new(
        clock: &Clock,
        retention: &Retention,
        horizon: &Horizon,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            retention: retention.clone(),
            horizon: horizon.clone(),
            unwritable: ArcSwapOption::empty(),
            apart: AtomicI64::new(0),
            behind: AtomicU64::new(UNKNOWN),
        })
    }

    /// Notes what the server's clock says. Clocks may differ by `allowed`.
    pub(in crate::revocation::log) fn compare_clocks(&self, there: UnixMillis, allowed: Duration) {
        self.clock.heard(there);
        let here = self.clock.now();
        let apart = there.0.cast_signed().saturating_sub(here.0.cast_signed());
        let allowed = allowed.max(ANSWERED_WITHIN).as_millis();
        let is_wrong = u128::from(apart.unsigned_abs()) > allowed;
        let apart = if is_wrong { apart } else { 0 };
        self.apart.store(apart, Ordering::Relaxed);
    }

    /// Returns how many milliseconds the server's clock is ahead; 0 while the clocks agree.
    pub(in crate::revocation::log) fn apart(&self) -> i64 {
        self.apart.load(Ordering::Relaxed)
    }

    /// Notes how many entries were not handed on yet.
    pub(in crate::revocation::log) fn set_behind(&self, entries: u64) {
        self.behind.store(entries, Ordering::Relaxed);
    }

    pub(super) fn behind(&self) -> Option<u64> {
        let entries = self.behind.load(Ordering::Relaxed);
        (entries != UNKNOWN).then_some(entries)
    }
}
