//! Writes log lines on threads of their own, so that a full pipe stops the log and not the checks.
//!
//! Two queues, both lossy: one for warnings and errors, one for everything else. No flood of
//! refusals costs the line that an operator needs.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

/// Lines that wait in each queue. Further ones are dropped and counted.
const WAITING: usize = 8 * 1024;

/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// Between two writes. Without it, each line of a flood costs a wake-up and a system call: 4 µs
/// instead of 0.2, more than it takes to find out that a token is bad.
const PAUSE: Duration = Duration::from_millis(10);

/// The writing ends. The threads write what is left when the guards are dropped, for a second at
/// most.
#[derive(Debug)]
pub(super) struct Queues {
    urgent: NonBlocking,
    others: NonBlocking,
    _guards: [WorkerGuard; 2],
}

impl Queues {
    /// Starts one thread for each queue. Each writes to an `out` of its own.
    pub(super) fn over<W: Write + Send + 'static>(out: impl Fn() -> W) -> Self {
        let start = |name| {
            let queue = NonBlockingBuilder::default().buffered_lines_limit(WAITING);
            let out = Paced(BufWriter::with_capacity(BATCH, out()));
            queue.thread_name(name).finish(out)
        };
        let (urgent, urgent_guard) = start("log: warnings");
        let (others, others_guard) = start("log");
        Self {
            urgent,
            others,
            _guards: [urgent_guard, others_guard],
        }
    }

    pub(super) fn writer(&self) -> impl for<'a> MakeWriter<'a> + Send + Sync + use<> {
        let urgent = self.urgent.clone().with_max_level(Level::WARN);
        urgent.or_else(self.others.clone())
    }

    /// Count the lines that found their queue full.
    pub(super) fn dropped(&self) -> [ErrorCounter; 2] {
        [&self.urgent, &self.others].map(NonBlocking::error_counter)
    }
}

/// Writes a batch whenever the queue is empty, and then lets lines gather.
struct Paced<W: Write>(BufWriter<W>);

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(PAUSE);
        Ok(())
    }
}
