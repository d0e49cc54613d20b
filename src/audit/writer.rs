//! The thread that writes the audit trail.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};

use super::chain::Link;
use super::config::Config;
use super::file::{Found, Trail};
use super::job::{Job, LeftOut, Sampled};
use super::metrics::Metrics;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::readiness::Readiness;

/// The name in `degraded`.
const PLACE: &str = "audit";

/// How often it is tried again, and said what was left out.
const TICK: Duration = Duration::from_secs(1);

/// Lines that are written at once.
const BATCH: usize = 256;

/// Bytes that wait while nothing can be written. What comes then is counted as left out.
const MOST_PENDING: usize = 1024 * 1024;

enum Place {
    File(Trail),
    Stdout,
}

pub(super) struct Writer {
    place: Place,
    link: Link,
    /// Chained already.
    pending: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    left_out: Arc<LeftOut>,
    said: Instant,
    clock: Clock,
    readiness: Readiness,
    metrics: Metrics,
    last: watch::Sender<Link>,
}

impl Writer {
    /// Opens the file and writes the line that says so.
    pub(super) fn open(
        config: &Config,
        clock: &Clock,
        readiness: &Readiness,
        left_out: Arc<LeftOut>,
        metrics: Metrics,
    ) -> Result<Self, String> {
        let (place, found) = match config.path() {
            Some(path) => {
                let (trail, found) = Trail::open(path)?;
                (Place::File(trail), found)
            }
            None => (Place::Stdout, Found::default()),
        };
        if found.is_cut {
            tracing::error!(
                "lines were removed from the end of the audit trail; `portcullis audit verify` says which"
            );
        }
        let mut writer = Self {
            place,
            link: found.last,
            pending: Vec::new(),
            waiting: Vec::new(),
            left_out,
            said: Instant::now(),
            clock: clock.clone(),
            readiness: readiness.clone(),
            metrics,
            last: watch::Sender::new(found.last),
        };
        let started = json!({
            "version": crate::core::version::VERSION,
            "torn_bytes": found.torn,
            "lines_are_missing": found.is_cut,
        });
        writer.add(clock.now(), "started", &started);
        let written = writer.flush();
        written.map_err(|error| format!("the audit trail cannot be written: {error}"))?;
        Ok(writer)
    }

    pub(super) fn last(&self) -> watch::Receiver<Link> {
        self.last.subscribe()
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(TICK) {
                Ok(job) => {
                    let more = std::iter::once(job).chain(jobs.try_iter()).take(BATCH);
                    for job in more {
                        if !self.take(job) {
                            return self.stop();
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.said.elapsed() >= TICK {
                self.say_left_out();
            }
            self.try_flush();
        }
    }

    fn stop(mut self) {
        self.say_left_out();
        self.add(self.clock.now(), "stopped", &json!({}));
        self.try_flush();
    }

    /// Handles a job. Returns whether to go on.
    fn take(&mut self, job: Job) -> bool {
        match job {
            Job::Line {
                at,
                kind,
                body,
                written,
                _place,
            } => {
                if self.pending.len() > MOST_PENDING {
                    // Who waits for it hears of it by the end of the channel.
                    self.left_out.lines.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.add(at, kind, &body());
                    self.waiting.extend(written);
                }
            }
            Job::Probe(written) => self.waiting.push(written),
            Job::Stop => return false,
        }
        true
    }

    fn add(&mut self, at: UnixMillis, kind: &str, body: &Value) {
        let (text, link) = self.link.next(&at.rfc3339(), kind, body);
        self.pending.extend_from_slice(text.as_bytes());
        self.link = link;
        self.metrics.written.inc();
    }

    /// Adds a line about what was left out, if anything was.
    fn say_left_out(&mut self) {
        self.said = Instant::now();
        if self.pending.len() > MOST_PENDING {
            return;
        }
        let samples = Sampled::ALL.iter().zip(&self.left_out.samples);
        let samples = samples.map(|(sampled, count)| (sampled.name(), count));
        let all = samples.chain([("lines", &self.left_out.lines)]);
        let all = all.map(|(name, count)| (name, count.swap(0, Ordering::Relaxed)));
        let all: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        let mut body = Map::new();
        for (name, count) in all {
            self.metrics.left_out(name, count);
            body.insert(name.to_owned(), count.into());
        }
        if !body.is_empty() {
            self.add(self.clock.now(), "left_out", &body.into());
        }
    }

    /// Writes what is pending and tells those who wait. They hear of a failure by the end of the channel.
    fn try_flush(&mut self) {
        if self.pending.is_empty() && self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        match self.flush() {
            Ok(()) => {
                self.readiness.recover(PLACE);
                for written in waiting {
                    let _ = written.send(());
                }
            }
            Err(error) => {
                self.metrics.failures.inc();
                let why = format!("the audit trail cannot be written: {error}");
                if !self.readiness.state().degraded.contains_key(PLACE) {
                    tracing::error!(why, "what cannot be written will be counted");
                }
                self.readiness.degrade(PLACE, why);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::File(trail) => trail.write(&mut self.pending, &self.link)?,
            Place::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.pending)?;
                out.flush()?;
                self.pending.clear();
            }
        }
        self.last.send_replace(self.link);
        Ok(())
    }
}
