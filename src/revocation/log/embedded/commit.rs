//! The writer thread: the only one that writes. Everything that waits when it comes round goes
//! into one transaction and shares one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::core::kv::Kind;
use crate::core::readiness::Readiness;
use crate::core::thread_priority::lower_priority;
use crate::revocation::record::Revocation;

use super::super::{AppendError, Cursor};
use super::compact::Compaction;
use super::database::{self, Tally};
use super::error::{is_damage, refusal};
use super::head::Head;
use super::home::{Home, Witness};

/// How often the thread looks around when nobody wants anything.
const IDLE: Duration = Duration::from_millis(100);

/// How often a store that could not be written is tried when no sender does.
const PROBE: Duration = Duration::from_secs(1);

/// One transaction takes no more records than this, so that no sender waits long.
const MOST_RECORDS: usize = 4096;

const DEGRADED: &str = "store";

/// What one caller wants written.
pub(super) struct Job {
    pub(super) records: Vec<Arc<Revocation>>,
    pub(super) kept: Option<Kept>,
    /// See `Embedded::compact`.
    pub(super) compact: bool,
    /// Hears where the log ends once all of it is durable.
    pub(super) reply: Reply,
}

pub(super) type Reply = Box<dyn FnOnce(Result<Cursor, AppendError>) + Send>;

/// A value of [`crate::core::kv::KeyValueStore`].
pub(in crate::revocation::log) struct Kept {
    pub(in crate::revocation::log) kind: Kind,
    pub(in crate::revocation::log) name: String,
    pub(in crate::revocation::log) value: Vec<u8>,
}

pub(super) struct Committer {
    pub(super) connection: Connection,
    pub(super) tally: Tally,
    pub(super) witness: Witness,
    pub(super) head: Arc<Head>,
    pub(super) readiness: Readiness,
    pub(super) compaction: Compaction,
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
            if self.failing.is_none() && self.compaction.is_due() {
                self.compact();
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let written = self.write(&jobs).map_err(|error| {
            let refusal = refusal(&error);
            self.fails(&error);
            refusal
        });
        if written.is_ok() {
            self.works();
            let records = jobs.iter().flat_map(|job| job.records.iter().cloned());
            let records = records.collect();
            let last = self.tally.last_position.cast_unsigned();
            self.head.advance(records, last);
            if jobs.iter().any(|job| job.compact) {
                self.compaction.begin();
                while self.failing.is_none() && !self.compact() {}
            }
        }
        let answer = written.map(|()| self.tally.end());
        for job in jobs {
            (job.reply)(answer.clone());
        }
    }

    /// Writes all of it or nothing.
    fn write(&mut self, jobs: &[Job]) -> rusqlite::Result<()> {
        let mut tally = self.tally;
        let transaction = self.connection.transaction()?;
        for job in jobs {
            for record in &job.records {
                tally.append(&transaction, record)?;
            }
            if let Some(Kept { kind, name, value }) = &job.kept {
                database::save(&transaction, tally.seal, *kind, name, value)?;
                // What was passed over up to a place, because its time was over, must stay over.
                self.compaction.keep_horizon(&transaction, tally.seal)?;
            }
        }
        tally.commit(transaction)?;
        self.tally = tally;
        Ok(())
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

    /// Does a step of compaction. Returns whether the round is over.
    fn compact(&mut self) -> bool {
        let before = self.tally.commits;
        let step = self.compaction.step(&mut self.connection, &mut self.tally);
        if self.tally.commits > before {
            self.works();
        }
        step.unwrap_or_else(|error| {
            self.fails(&error);
            false
        })
    }

    /// The next start has nothing to recover.
    fn finish(&mut self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(sql, [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log is left for the next start");
        }
    }
}

/// Returns everything that waits, up to a limit.
fn gather(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut records = first.records.len();
    let mut gathered = vec![first];
    while records < MOST_RECORDS
        && let Ok(job) = jobs.try_recv()
    {
        records += job.records.len();
        gathered.push(job);
    }
    gathered
}
