//! The audit trail: one JSON line for each event, each action of an operator, each revocation by a client,
//! each reload, and each refusal because of a revocation, also one in shadow, in a hash chain.
//!
//! A thread of its own writes. What must not be lost waits for its line, with a limit; refusals and
//! strangers are sampled, and what is left out is counted in the chain. See decision 0031.

mod chain;
mod config;
mod file;
mod job;
mod metrics;
mod newest;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::core::clock::Clock;
use crate::core::hex::hex;
use crate::core::readiness::Readiness;
pub use chain::Link;
pub use config::Config;
pub use job::Sampled;
use job::{Body, Job, LeftOut};
pub use newest::Unreadable;
pub use verify::{Expected, Report, verify};
use writer::Writer;

/// What lines are about.
pub const KINDS: [&str; 9] = [
    "admin", "event", "left_out", "oauth", "refusal", "reload", "shadow", "started", "stopped",
];

/// Lines that wait for the disk, of each kind.
const MOST_WAITING: usize = 1024;

/// Sampled lines of a kind in a second.
const SAMPLES_PER_SECOND: u32 = 100;

/// How long an event or an operator waits for a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes lines for the audit trail. Cheap to clone. Without a configuration it takes none.
#[derive(Clone, Debug, Default)]
pub struct Audit(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Job>,
    /// For lines that must not be lost, and for samples.
    places: [Arc<Semaphore>; 2],
    left_out: Arc<LeftOut>,
    seconds: [Mutex<(Instant, u32)>; Sampled::ALL.len()],
    hash_subjects: bool,
    /// `None`: the standard output.
    file: Option<PathBuf>,
    clock: Clock,
    last: watch::Receiver<Link>,
}

/// The audit trail cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable;

/// Runs until the process ends, and ends with an error if the thread dies.
pub struct Task {
    audit: Audit,
    died: oneshot::Receiver<()>,
}

impl Audit {
    /// Opens the file and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file cannot be opened, or another process writes it.
    pub fn open(
        config: &Config,
        clock: &Clock,
        readiness: &Readiness,
        registry: &mut Registry,
    ) -> Result<(Self, Task), String> {
        let left_out = Arc::<LeftOut>::default();
        let (queue, jobs) = mpsc::channel();
        let metrics = metrics::Metrics::register(registry);
        let writer = Writer::open(config, clock, readiness, Arc::clone(&left_out), metrics)?;
        let last = writer.last();
        let (alive, died) = oneshot::channel();
        let run = move || {
            writer.run(&jobs);
            drop(alive);
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(run)
            .map_err(|error| format!("cannot start the thread of the audit trail: {error}"))?;
        let now = Instant::now();
        let audit = Self(Some(Arc::new(Inner {
            queue,
            places: [(); 2].map(|()| Arc::new(Semaphore::new(MOST_WAITING))),
            left_out,
            seconds: Sampled::ALL.map(|_| Mutex::new((now, 0))),
            hash_subjects: config.hash_subjects,
            file: config.path().map(Path::to_owned),
            clock: clock.clone(),
            last,
        })));
        let task = Task {
            audit: audit.clone(),
            died,
        };
        Ok((audit, task))
    }

    /// Writes a line and returns once it is in the file, or after [`PATIENCE`]. What could not be
    /// written is counted.
    pub async fn write(&self, kind: &'static str, body: impl FnOnce() -> Value) {
        let Some(inner) = &self.0 else { return };
        let (written, done) = oneshot::channel();
        let body = body();
        let work = async {
            let place = Arc::clone(&inner.places[0]).acquire_owned().await.ok()?;
            inner.send(kind, Box::new(move || body), Some(written), place);
            done.await.ok()
        };
        if tokio::time::timeout(PATIENCE, work).await.is_err() {
            tracing::warn!(kind, "a line of the audit trail is late");
        }
    }

    /// Returns whether lines are written at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a line unless there are too many of its kind. Never waits.
    pub fn sample(
        &self,
        sampled: Sampled,
        kind: &'static str,
        body: impl FnOnce() -> Value + Send + 'static,
    ) {
        let Some(inner) = &self.0 else { return };
        let place = inner.admits(sampled).then(|| {
            let places = Arc::clone(&inner.places[1]);
            places.try_acquire_owned().ok()
        });
        if let Some(place) = place.flatten() {
            inner.send(kind, Box::new(body), None, place);
        } else {
            inner.left_out.samples[sampled as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns an error if lines cannot be written now.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub async fn require(&self) -> Result<(), Unwritable> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let (written, done) = oneshot::channel();
        inner
            .queue
            .send(Job::Probe(written))
            .map_err(|_| Unwritable)?;
        let done = tokio::time::timeout(PATIENCE, done).await;
        done.map_err(|_| Unwritable)?.map_err(|_| Unwritable)
    }

    /// Returns a value of a claim as it is written: hashed with its issuer, if that is configured.
    #[must_use]
    pub fn subject(&self, issuer: &str, value: &str) -> String {
        match &self.0 {
            Some(inner) if inner.hash_subjects => {
                let text = format!("{issuer}\n{value}");
                let hash = hex(digest(&SHA256, text.as_bytes()).as_ref());
                format!("sha256:{hash}")
            }
            _ => value.to_owned(),
        }
    }

    /// Returns the last line that was written; `None` if nothing is.
    #[must_use]
    pub fn last(&self) -> Option<Link> {
        self.0.as_ref().map(|inner| *inner.last.borrow())
    }
}

impl Inner {
    fn send(
        &self,
        kind: &'static str,
        body: Body,
        written: Option<oneshot::Sender<()>>,
        place: OwnedSemaphorePermit,
    ) {
        let at = self.clock.now();
        // The thread ends with the process only.
        let _ = self.queue.send(Job::Line {
            at,
            kind,
            body,
            written,
            _place: place,
        });
    }

    /// Returns whether this is among the first samples of a second.
    fn admits(&self, sampled: Sampled) -> bool {
        let second = &self.seconds[sampled as usize];
        let mut second = second.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.saturating_duration_since(second.0) >= Duration::from_secs(1) {
            *second = (now, 0);
        }
        second.1 = second.1.saturating_add(1);
        second.1 <= SAMPLES_PER_SECOND
    }
}

impl Task {
    /// Waits for `shutdown`, and then until everything is written.
    ///
    /// # Errors
    /// When the thread died.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), String> {
        tokio::select! {
            _ = &mut self.died => return Err("the thread that writes it died".to_owned()),
            () = shutdown => {}
        }
        if let Some(inner) = &self.audit.0 {
            let _ = inner.queue.send(Job::Stop);
            let _ = tokio::time::timeout(PATIENCE, self.died).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
