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
    /// Since the start.
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
    /// What [`Losses::tell`] has said: warnings, lines.
    told: [AtomicUsize; 2],
}

impl Losses {
    pub(super) fn new(limiter: Limiter, dropped: [ErrorCounter; 2]) -> Self {
        let told = <[AtomicUsize; 2]>::default();
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

    /// Returns what counts the losses since the start, by kind.
    pub fn totals(&self) -> impl Fn() -> [(&'static str, usize); 2] + Send + Sync + use<> {
        let (limiter, dropped) = (self.limiter.clone(), self.dropped.clone());
        move || {
            let warnings = limiter.0.left_out.load(Ordering::Relaxed);
            let lines = dropped.iter().map(ErrorCounter::dropped_lines).sum();
            [("warnings", warnings), ("lines", lines)]
        }
    }

    /// Logs what was left out since the last call, if anything was.
    pub(super) fn tell(&self) {
        let [(_, warnings), (_, lines)] = self.totals()();
        let since = |index: usize, total| total - self.told[index].swap(total, Ordering::Relaxed);
        let (warnings, lines) = (since(0, warnings), since(1, lines));
        if warnings != 0 {
            tracing::warn!(warnings, "repeated warnings were left out");
        }
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
