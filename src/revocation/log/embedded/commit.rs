//! The writer thread: the only one that writes. Everything that waits when it comes round goes
//! into one transaction and shares one sync.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::core::readiness::Readiness;
use crate::core::thread_priority::lower_priority;
use crate::revocation::record::Revocation;

use super::super::{AppendError, Cursor};
use super::batch::Batch;
use super::compact::Compaction;
use super::database::{self, Tally};
use super::error::{is_damage, refusal};
use super::head::Head;
use super::home::{Home, Witness};
use super::recent::Recent;

/// How often the thread looks around when nobody wants anything.
const IDLE: Duration = Duration::from_millis(100);

/// How often a store that could not be written is tried when no sender does.
const PROBE: Duration = Duration::from_secs(1);

/// One transaction takes no more records than this, so that no sender waits long.
const MOST_RECORDS: usize = 4096;

const DEGRADED: &str = "store";

pub(super) enum Job {
    Append {
        records: Vec<Arc<Revocation>>,
        reply: oneshot::Sender<Result<Cursor, AppendError>>,
    },
    Save {
        kind: &'static str,
        name: String,
        value: Vec<u8>,
        reply: SyncSender<io::Result<()>>,
    },
    /// See [`super::Embedded::compact`].
    Compact { reply: SyncSender<io::Result<()>> },
}

pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) tally: Tally,
    pub(super) witness: Witness,
    pub(super) head: Arc<Head>,
    pub(super) readiness: Readiness,
    pub(super) compaction: Compaction,
    pub(super) recent: Recent,
    pub(super) failing: Option<Instant>,
    /// Held until the last byte is written.
    pub(super) home: Home,
}

impl Committer {
    /// Runs until every sender of jobs is gone. However it ends, the tails learn of it.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        lower_priority();
        let head = Arc::clone(&self.head);
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve(jobs)));
        match ended {
            Ok(()) => head.close(),
            Err(_) => head.fail("the thread that writes the log panicked".to_owned()),
        }
    }

    fn serve(&mut self, jobs: &Receiver<Job>) {
        while self.head.failure().is_none() {
            match jobs.recv_timeout(IDLE) {
                Ok(first) => self.commit(gather(first, jobs)),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            self.compact();
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        match self.write(&jobs) {
            Ok(written) => {
                self.works();
                let last = self.tally.last_position.cast_unsigned();
                self.head.advance(written.into_iter(), last);
                if jobs.iter().any(|job| matches!(job, Job::Compact { .. })) {
                    self.compact_all();
                }
                let cursor = super::cursor(&self.tally);
                for job in jobs {
                    job.done(cursor);
                }
            }
            Err(error) => {
                let refusal = refusal(&error);
                self.fails(&error);
                for job in jobs {
                    job.refused(&refusal);
                }
            }
        }
    }

    /// Writes all of it or nothing. Returns the records that were new.
    fn write(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Arc<Revocation>>> {
        let mut tally = self.tally;
        let transaction = self.connection.transaction()?;
        let mut batch = Batch::new(&transaction, &self.recent);
        for job in jobs {
            match job {
                Job::Append { records, .. } => {
                    for record in records {
                        batch.append(&mut tally, record)?;
                    }
                }
                Job::Save {
                    kind, name, value, ..
                } => {
                    database::save(&transaction, tally.seal, kind, name, value)?;
                    // What was passed over up to a place, because its time was over, must stay over.
                    self.compaction.keep_horizon(&transaction, tally.seal)?;
                }
                Job::Compact { .. } => {}
            }
        }
        let (written, places) = batch.end();
        tally.commit(transaction)?;
        self.tally = tally;
        for (digest, place) in places {
            self.recent.note(digest, place);
        }
        Ok(written)
    }

    /// The disk took a transaction.
    fn works(&mut self) {
        if let Err(error) = self.witness.note(self.tally.commits.cast_unsigned()) {
            tracing::warn!(%error, "the witness of acknowledged commits cannot be written");
        }
        if self.failing.take().is_some() {
            tracing::info!("the store can be written again");
            self.readiness.recover(DEGRADED);
        }
    }

    fn fails(&mut self, error: &rusqlite::Error) {
        if is_damage(error) {
            let place = self.home.database();
            let text = format!(
                "{} is damaged: {error}; see docs/recovery.md",
                place.display()
            );
            return self.head.fail(text);
        }
        if self.failing.replace(Instant::now()).is_none() {
            tracing::error!(%error, "the store cannot be written; senders are told to try again");
        }
        self.readiness.degrade(DEGRADED, error.to_string());
    }

    /// Finds out that there is room again also when no sender tries.
    fn probe(&mut self) {
        if self.failing.is_some_and(|since| since.elapsed() > PROBE) {
            self.commit(Vec::new());
        }
    }

    fn compact(&mut self) {
        if self.failing.is_some() {
            return;
        }
        let step = self.compaction.step(&mut self.connection, &mut self.tally);
        match step {
            Ok(true) => self.works(),
            Ok(false) => {}
            Err(error) => self.fails(&error),
        }
    }

    fn compact_all(&mut self) {
        self.compaction.start_over();
        while self.failing.is_none() && !self.compaction.is_at_rest() {
            self.compact();
        }
    }

    /// The next start has nothing to recover.
    fn finish(&mut self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(sql, [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log is left for the next start");
        }
    }
}

/// Everything that waits, up to a limit.
fn gather(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut records = first.records();
    let mut gathered = vec![first];
    while records < MOST_RECORDS
        && let Ok(job) = jobs.try_recv()
    {
        records += job.records();
        gathered.push(job);
    }
    gathered
}

impl Job {
    fn records(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.len(),
            Self::Save { .. } | Self::Compact { .. } => 1,
        }
    }

    // Whoever does not wait for the answer any more does not get it.
    fn done(self, cursor: Cursor) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Ok(cursor))),
            Self::Save { reply, .. } | Self::Compact { reply } => drop(reply.send(Ok(()))),
        }
    }

    fn refused(self, refusal: &AppendError) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(refusal.clone()))),
            Self::Save { reply, .. } | Self::Compact { reply } => {
                drop(reply.send(Err(io::Error::other(refusal.clone()))));
            }
        }
    }
}
