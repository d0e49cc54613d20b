//! Writes log lines on a thread of its own, so that a full pipe stops the log and not the checks.
//!
//! Errors have a queue of their own, and warnings are limited by kind: neither a flood of refusals
//! nor one of odd requests may cost the line that an operator needs. `tracing-appender` has one
//! queue for all and a system call for each line, so it holds neither this nor the cost of a
//! flood.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the reader. Further ones are dropped, and how many is said as soon as
/// there is room again.
const WAITING: usize = 8 * 1024;

/// Errors that wait beside them.
const URGENT: usize = 1024;

/// Warnings of one kind, which is one place in the program, that are written in one second. A
/// stranger can cause one with each request.
const WARNINGS_PER_SECOND: u32 = 10;

/// Standard error behind a queue. Dropping it writes what waits, for a moment at most.
#[derive(Debug)]
pub struct Stderr {
    writer: Writer,
    written: Receiver<()>,
}

/// How long the end waits for a reader that is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// Between two writes. With a write for each line, a flood of refusals costs a wake-up and a system
/// call each, more than finding out that the token is bad.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// An error waits in the other queue, or the end has come.
    Look,
}

/// The writing end.
#[derive(Clone, Debug)]
pub struct Writer {
    lines: SyncSender<Message>,
    urgent: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

/// The reading ends.
struct Waiting {
    lines: Receiver<Message>,
    urgent: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    ending: AtomicBool,
    /// By place in the program: when its second began, and its warnings since then.
    warnings: Mutex<HashMap<Identifier, (Instant, u32)>>,
}

/// Writes the line of one event.
#[derive(Debug)]
pub struct Line<'a> {
    writer: &'a Writer,
    level: Level,
    /// False when there were too many of its kind.
    counts: bool,
}

impl Stderr {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        Self::over(io::stderr())
    }

    fn over(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting_lines) = sync_channel(WAITING);
        let (urgent, waiting_urgent) = sync_channel(URGENT);
        let (done, written) = channel();
        let shared = Arc::<Shared>::default();
        let waiting = Waiting {
            lines: waiting_lines,
            urgent: waiting_urgent,
            shared: Arc::clone(&shared),
        };
        let writer = Writer {
            lines,
            urgent,
            shared,
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                waiting.write_all(out);
                // Fails only when nobody waits for it.
                let _ = done.send(());
            })?;
        Ok(Self { writer, written })
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer.clone()
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.writer.shared.ending.store(true, Ordering::Release);
        // Wakes the thread; a full queue does that as well.
        let _ = self.writer.lines.try_send(Message::Look);
        let _ = self.written.recv_timeout(PATIENCE);
    }
}

impl Waiting {
    /// Nobody is left to tell when standard error cannot be written.
    fn write_all(&self, mut out: impl Write) {
        let mut lines = Vec::with_capacity(BATCH);
        while self.gather(&mut lines) {
            let _ = out.write_all(&lines);
            lines.clear();
            let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
            if dropped != 0 {
                let message = format!("{dropped} log lines were dropped");
                let _ = writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{message}\"}}");
            }
            // What comes in the meantime wakes nobody and leaves with one write.
            if !self.is_ending() {
                std::thread::sleep(PAUSE);
            }
        }
        let _ = out.flush();
    }

    /// Waits for something to write, then takes what there is as far as a batch goes, errors first.
    /// False at the end.
    fn gather(&self, lines: &mut Vec<u8>) -> bool {
        let mut first = None;
        if !self.is_ending() {
            let Ok(message) = self.lines.recv() else {
                return false;
            };
            first = Some(message);
        }
        let urgent = self.urgent.try_iter();
        urgent.for_each(|line| lines.extend_from_slice(&line));
        while lines.len() < BATCH
            && let Some(message) = first.take().or_else(|| self.lines.try_recv().ok())
        {
            if let Message::Line(line) = message {
                lines.extend_from_slice(&line);
            }
        }
        // The last look finds nothing.
        !lines.is_empty() || !self.is_ending()
    }

    fn is_ending(&self) -> bool {
        self.shared.ending.load(Ordering::Acquire)
    }
}

impl Shared {
    /// Whether this warning is among the first of its kind in a second.
    fn admits(&self, kind: Identifier, now: Instant) -> bool {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = warnings.entry(kind).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= WARNINGS_PER_SECOND
    }
}

impl Write for Line<'_> {
    /// Takes a whole line: that is how `tracing_subscriber` writes.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Writer {
            lines,
            urgent,
            shared,
        } = self.writer;
        let sent = self.counts
            && if self.level == Level::ERROR {
                let sent = urgent.try_send(line.to_vec()).is_ok();
                // A queue that is full keeps the thread awake as well.
                let _ = lines.try_send(Message::Look);
                sent
            } else {
                lines.try_send(Message::Line(line.to_vec())).is_ok()
            };
        if !sent {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    /// For what has no level.
    fn make_writer(&'a self) -> Line<'a> {
        Line {
            writer: self,
            level: Level::INFO,
            counts: true,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        let level = *event.level();
        let counts = level != Level::WARN || self.shared.admits(event.callsite(), Instant::now());
        Line {
            writer: self,
            level,
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Blocks its writer while the test holds the lock.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs while the reader is stuck; returns what was written in the end.
    fn behind_a_stuck_reader(log: impl FnOnce()) -> String {
        let pipe = Pipe::default();
        let stderr = Stderr::over(pipe.clone()).unwrap();
        let filter = tracing_subscriber::EnvFilter::new("trace");
        let writer = stderr.writer();
        let subscriber = super::super::subscriber(super::super::Format::Json, filter, writer);
        let stuck = pipe.0.lock().unwrap();
        tracing::subscriber::with_default(subscriber, log);
        drop(stuck);
        drop(stderr);
        let written = pipe.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    fn count(written: &str, message: &str) -> usize {
        let message = format!("\"message\":\"{message}\"");
        written
            .lines()
            .filter(|line| line.contains(&message))
            .count()
    }

    #[test]
    fn a_stuck_reader_stops_nobody_and_losses_are_told() {
        // More than the queue and what the thread has in its hands.
        let written = behind_a_stuck_reader(|| {
            (0..WAITING + BATCH).for_each(|_| tracing::info!("denied"));
        });
        assert!(count(&written, "denied") >= WAITING);
        assert!(written.contains("log lines were dropped"), "nothing told");
    }

    #[test]
    fn an_error_is_written_whatever_flood_it_comes_in() {
        let written = behind_a_stuck_reader(|| {
            for _ in 0..WAITING + BATCH {
                tracing::info!("denied");
                tracing::warn!("odd request");
            }
            tracing::error!("the disk is full");
        });
        assert_eq!(count(&written, "the disk is full"), 1);
    }

    #[test]
    fn warnings_are_limited_by_kind_and_what_was_left_out_is_told() {
        let written = behind_a_stuck_reader(|| {
            (0..1000).for_each(|_| tracing::warn!("odd request"));
            tracing::warn!("another kind");
            (0..1000).for_each(|_| tracing::info!("denied"));
        });
        // The flood may take more than one second on a busy machine, but not a hundred.
        let odd = count(&written, "odd request");
        assert!((10..1000).contains(&odd), "{odd}");
        assert_eq!(count(&written, "another kind"), 1);
        assert_eq!(count(&written, "denied"), 1000, "these are no warnings");
        assert!(written.contains("log lines were dropped"), "nothing told");
    }

    #[test]
    fn every_second_admits_some() {
        let shared = Shared::default();
        let kind =
            tracing::callsite!(name: "here", kind: tracing::metadata::Kind::EVENT, fields: message);
        let kind = tracing::Callsite::metadata(kind).callsite();
        let now = Instant::now();
        let admitted = |now| (0..50).filter(|_| shared.admits(kind.clone(), now)).count();
        assert_eq!(admitted(now), 10);
        assert_eq!(admitted(now + Duration::from_millis(999)), 0);
        assert_eq!(admitted(now + Duration::from_secs(1)), 10);
    }
}
