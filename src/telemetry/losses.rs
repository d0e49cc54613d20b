//! Limits repeated warnings, and says what the log left out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::ErrorCounter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Warnings of one kind, which is one place in the program, that are written in one second. A
/// stranger can cause one with each request.
const WARNINGS_PER_SECOND: u32 = 10;

/// Leaves out further warnings of a kind within a second. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// By place in the program: when its second began, and its warnings since then.
    kinds: Mutex<HashMap<Identifier, (Instant, u32)>>,
    left_out: AtomicUsize,
}

impl Limiter {
    /// Returns whether this warning is among the first of its kind in a second.
    fn admits(&self, kind: Identifier, now: Instant) -> bool {
        let mut kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = kinds.entry(kind).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= WARNINGS_PER_SECOND
    }
}

impl<S: Subscriber> Layer<S> for Limiter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let admitted =
            *metadata.level() != Level::WARN || self.admits(metadata.callsite(), Instant::now());
        if !admitted {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

/// What the log left out and has not said yet.
#[derive(Debug)]
pub struct Losses {
    pub(super) limiter: Limiter,
    dropped: [ErrorCounter; 2],
    told: AtomicUsize,
}

impl Losses {
    pub(super) fn new(limiter: Limiter, dropped: [ErrorCounter; 2]) -> Self {
        let told = AtomicUsize::new(0);
        Self {
            limiter,
            dropped,
            told,
        }
    }

    /// Logs once a second what was left out since. Never returns.
    pub async fn tell_every_second(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.tell();
        }
    }

    /// Logs what was left out since the last call, if anything was.
    pub(super) fn tell(&self) {
        let warnings = self.limiter.0.left_out.swap(0, Ordering::Relaxed);
        if warnings != 0 {
            tracing::warn!(warnings, "repeated warnings were left out");
        }
        let dropped: usize = self.dropped.iter().map(ErrorCounter::dropped_lines).sum();
        let lines = dropped - self.told.swap(dropped, Ordering::Relaxed);
        if lines != 0 {
            tracing::warn!(
                lines,
                "log lines were dropped: standard error is read too slowly"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_limiter_admits_some_lines_every_second() {
        let limiter = Limiter::default();
        let kind =
            tracing::callsite!(name: "here", kind: tracing::metadata::Kind::EVENT, fields: message);
        let kind = tracing::Callsite::metadata(kind).callsite();
        let now = Instant::now();
        let admitted = |now| {
            (0..50)
                .filter(|_| limiter.admits(kind.clone(), now))
                .count()
        };
        assert_eq!(admitted(now), 10);
        assert_eq!(admitted(now + Duration::from_millis(999)), 0);
        assert_eq!(admitted(now + Duration::from_secs(1)), 10);
    }
}
