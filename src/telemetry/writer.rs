//! Writes log lines on a thread of its own, so that a full pipe stops the log and not the checks.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the reader. Further ones are dropped, and how many is said as soon as
/// there is room again.
const WAITING: usize = 8 * 1024;

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
    /// Write what waits, then end.
    End,
}

/// The writing end, one per event.
#[derive(Clone, Debug)]
pub struct Writer {
    lines: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    ending: AtomicBool,
}

impl Stderr {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        Self::over(io::stderr())
    }

    fn over(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let (done, written) = channel();
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            lines,
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_all(&waiting, &shared, out);
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
        let _ = self.writer.lines.try_send(Message::End);
        let _ = self.written.recv_timeout(PATIENCE);
    }
}

/// Nobody is left to tell when standard error cannot be written.
fn write_all(waiting: &Receiver<Message>, shared: &Shared, mut out: impl Write) {
    let mut lines = Vec::with_capacity(BATCH);
    while gather(waiting, shared, &mut lines) {
        let _ = out.write_all(&lines);
        lines.clear();
        let dropped = shared.dropped.swap(0, Ordering::Relaxed);
        if dropped != 0 {
            let message = format!("{dropped} log lines were dropped");
            let _ = writeln!(out, "{{\"level\":\"WARN\",\"message\":\"{message}\"}}");
        }
        // What comes in the meantime wakes nobody and leaves with one write.
        if !shared.ending.load(Ordering::Acquire) {
            std::thread::sleep(PAUSE);
        }
    }
    let _ = out.flush();
}

/// Takes the next line and what waits behind it, as far as a batch goes. False at the end.
fn gather(waiting: &Receiver<Message>, shared: &Shared, lines: &mut Vec<u8>) -> bool {
    let Some(first) = next(waiting, shared) else {
        return false;
    };
    lines.extend_from_slice(&first);
    while lines.len() < BATCH
        && let Ok(Message::Line(line)) = waiting.try_recv()
    {
        lines.extend_from_slice(&line);
    }
    true
}

fn next(waiting: &Receiver<Message>, shared: &Shared) -> Option<Vec<u8>> {
    loop {
        let message = if shared.ending.load(Ordering::Acquire) {
            waiting.try_recv().ok()?
        } else {
            waiting.recv().ok()?
        };
        if let Message::Line(line) = message {
            return Some(line);
        }
    }
}

impl Write for Writer {
    /// Takes a whole line: that is how `tracing_subscriber` writes.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Message::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
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

    #[test]
    fn a_stuck_reader_stops_nobody_and_losses_are_told() {
        let pipe = Pipe::default();
        let stderr = Stderr::over(pipe.clone()).unwrap();
        let mut writer = stderr.writer();
        let stuck = pipe.0.lock().unwrap();
        // More than the queue and what the thread has in its hands.
        for _ in 0..WAITING + BATCH {
            writer.write_all(b"line\n").unwrap();
        }
        drop(stuck);
        drop(stderr);
        let written = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert!(written.lines().filter(|line| *line == "line").count() >= WAITING);
        assert!(written.contains("log lines were dropped"), "nothing told");
    }
}
