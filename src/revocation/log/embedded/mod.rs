//! The embedded log: one SQLite file in a directory of this machine, for one replica. The same
//! file keeps what [`crate::core::kv`] wants kept.
//!
//! One thread writes ([`commit`]); a follower gets what it wrote from memory, and has a thread read
//! the disk when it begins or lags ([`tail`]). A transaction is
//! synced to the disk before anybody is told that it is there. SQLite has no checksums of its
//! pages and forgives a damaged write-ahead log, so [`seal`], [`wal`] and [`home`] see to it that
//! damage is noticed before anything is served.

mod commit;
mod compact;
mod database;
mod error;
mod head;
mod home;
mod seal;
mod tail;
mod view;
mod wal;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::core::clock::{Clock, UnixMillis};
use crate::core::config_error::ConfigErrors;
use crate::core::horizon::Horizon;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::readiness::Readiness;
use crate::revocation::record::Revocation;
use crate::revocation::retention::Retention;

use super::{AppendError, Cursor, Feed, Log};
use commit::{Committer, Job};
use compact::Compaction;
use database::Tally;
use head::Head;
use home::{Home, Witness};
use seal::Seal;

pub(super) use commit::Kept;
pub use error::OpenError;
pub use view::{View, read_all, view};

/// Batches that may wait for the writer. When there are more, senders are told to try again.
const QUEUE: usize = 4096;

/// A directory of this replica.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A directory on a local disk that no other process uses. It is created if it is missing.
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "./data".into(),
        }
    }
}

impl Config {
    pub fn check(&self, errors: &mut ConfigErrors) {
        if self.path.as_os_str().is_empty() {
            errors.push("path", "name a directory, such as /var/lib/portcullis");
        }
    }
}

/// An open store. When it is dropped, the writer finishes what it has and gives the directory
/// free.
#[derive(Debug)]
pub struct Embedded {
    database: PathBuf,
    seal: Seal,
    head: Arc<Head>,
    horizon: Horizon,
    reader: Mutex<Connection>,
    clock: Clock,
    /// `None` only while this is being dropped.
    jobs: Option<SyncSender<Job>>,
    committer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the store, and recovers what a crash left. Nothing is forgotten before `retention`
    /// was set.
    ///
    /// # Errors
    /// When the directory cannot be used, is in use, or its files are damaged.
    pub fn open(
        config: &Config,
        clock: &Clock,
        readiness: &Readiness,
        retention: &Retention,
    ) -> Result<Self, OpenError> {
        let home = Home::enter(&config.path)?;
        let database = home.database();
        let testimony = Witness::read(&home.witness())?;
        expect_database(testimony, &database)?;
        examine_crash(&home.wal(), &database)?;
        let (connection, tally) = database::open(&database)?;
        compare(testimony, &tally, &database)?;
        let witness = Witness::open(&home.witness(), tally.seal);
        let witness = witness.map_err(OpenError::unusable(&home.witness()))?;
        home.sync().map_err(OpenError::unusable(&config.path))?;
        let reader = database::open_reader(&database).map_err(OpenError::unreadable(&database))?;
        let horizon = kept_horizon(&reader, &tally, &database)?;
        let head = Arc::new(Head::new(tally.last_position.cast_unsigned()));
        let committer = Committer {
            connection,
            tally,
            witness,
            head: Arc::clone(&head),
            readiness: readiness.clone(),
            compaction: Compaction::new(retention.clone(), clock.clone(), horizon.clone()),
            failing: None,
            home,
        };
        let (jobs, waiting) = sync_channel(QUEUE);
        let committer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || committer.run(&waiting))
            .map_err(OpenError::unusable(&database))?;
        Ok(Self {
            database,
            seal: tally.seal,
            head,
            horizon,
            reader: Mutex::new(reader),
            clock: clock.clone(),
            jobs: Some(jobs),
            committer: Some(committer),
        })
    }

    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.horizon.clone()
    }

    /// Deletes all records whose time is over, and returns when that is done. It goes on by itself
    /// all the time, a little at once; this is for when it has to be over.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn compact(&self) -> io::Result<()> {
        self.run(None)
    }

    /// Appends records and keeps a value, both or neither.
    pub(super) async fn write(
        &self,
        records: Vec<Arc<Revocation>>,
        kept: Option<Kept>,
    ) -> Result<Cursor, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job {
            records,
            kept,
            compact: false,
            reply: Box::new(move |done| drop(reply.send(done))),
        })?;
        // The writer died between taking the job and answering.
        let lost = |_| AppendError::Unknown(self.why_not());
        answer.await.map_err(lost)?
    }

    /// Has the writer keep something, or compact the log, and waits for it.
    fn run(&self, kept: Option<Kept>) -> io::Result<()> {
        let (reply, answer) = sync_channel(1);
        self.send(Job {
            records: Vec::new(),
            compact: kept.is_none(),
            kept,
            // Whoever does not wait for the answer any more does not get it.
            reply: Box::new(move |done| drop(reply.send(done))),
        })
        .map_err(io::Error::other)?;
        let lost = |_| io::Error::other(self.why_not());
        answer
            .recv()
            .map_err(lost)?
            .map(drop)
            .map_err(io::Error::other)
    }

    /// Returns whether records are known to be missing: see [`Embedded::mark_incomplete`].
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        home::mark_of(&self.database).exists()
    }

    /// Notes beside the database that it lacks records of the log that it is a copy of, or that it
    /// has them again. Goes on without the database: that may be what cannot be written.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn mark_incomplete(&self, incomplete: bool) -> io::Result<()> {
        let mark = home::mark_of(&self.database);
        if incomplete {
            std::fs::File::create(&mark)?.sync_all()?;
            let directory = mark.parent().unwrap_or(&mark);
            return std::fs::File::open(directory)?.sync_all();
        }
        match std::fs::remove_file(mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn send(&self, job: Job) -> Result<(), AppendError> {
        let jobs = self.jobs.as_ref().expect("there until this is dropped");
        jobs.try_send(job).map_err(|error| {
            AppendError::Unavailable(match error {
                TrySendError::Full(_) => format!("{QUEUE} batches wait already"),
                TrySendError::Disconnected(_) => self.why_not(),
            })
        })
    }

    fn why_not(&self) -> String {
        let why = self.head.failure();
        why.unwrap_or_else(|| "the log is closed".to_owned())
    }
}

impl Log for Embedded {
    fn append(&self, records: Vec<Arc<Revocation>>) -> BoxFuture<'_, Result<Cursor, AppendError>> {
        Box::pin(self.write(records, None))
    }

    fn follow(&self, from: Option<Cursor>) -> BoxStream<'static, Feed> {
        tail::start(
            self.database.clone(),
            self.seal,
            &self.head,
            from,
            &self.clock,
        )
    }

    /// Positions of records that were forgotten are counted too.
    fn behind(&self, at: Cursor) -> Option<u64> {
        let position = u64::try_from(at.position).ok()?;
        (at.epoch == self.seal.epoch).then(|| self.head.position().saturating_sub(position))
    }

    fn failure(&self) -> Option<String> {
        self.head.failure()
    }
}

impl KeyValueStore for Embedded {
    fn load(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        database::load(&reader, self.seal, kind, name).map_err(io::Error::other)
    }

    fn save(&self, kind: Kind, name: &str, value: &[u8]) -> io::Result<()> {
        self.run(Some(Kept {
            kind,
            name: name.to_owned(),
            value: value.to_vec(),
        }))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(committer) = self.committer.take() {
            // It catches its panics, and has told of them.
            let _ = committer.join();
        }
    }
}

/// Tells what a crash left to recover, and refuses what no crash leaves.
fn examine_crash(wal: &Path, database: &Path) -> Result<(), OpenError> {
    let found = wal::examine(wal).map_err(OpenError::unusable(wal))?;
    let found = found.map_err(|damage| OpenError::damaged(database, damage.0))?;
    if found.bytes > 0 {
        tracing::warn!(
            bytes = found.bytes,
            transactions = found.transactions,
            pages = found.whole,
            torn_pages = found.torn,
            "the last process did not shut down: its write-ahead log is being recovered; \
             torn pages belong to an event that was not acknowledged"
        );
    }
    Ok(())
}

/// SQLite makes a new database where it finds none, or an empty file.
fn expect_database(testimony: Option<([u8; 16], u64)>, database: &Path) -> Result<(), OpenError> {
    let length = match std::fs::metadata(database) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(OpenError::unusable(database)(error)),
    };
    match testimony {
        Some((_, acknowledged)) if length == 0 => Err(OpenError::damaged(
            database,
            format!("{acknowledged} commits were acknowledged, but it is missing or empty"),
        )),
        _ => Ok(()),
    }
}

/// Returns whether the database has everything that was acknowledged.
fn compare(
    testimony: Option<([u8; 16], u64)>,
    tally: &Tally,
    database: &Path,
) -> Result<(), OpenError> {
    let Some((epoch, acknowledged)) = testimony else {
        return Ok(());
    };
    let has = tally.commits.cast_unsigned();
    let detail = if epoch != tally.seal.epoch {
        format!("it is not the database of which {acknowledged} commits were acknowledged")
    } else if has < acknowledged {
        format!("{acknowledged} commits were acknowledged, but it has only {has}")
    } else {
        return Ok(());
    };
    Err(OpenError::damaged(database, detail))
}

fn kept_horizon(reader: &Connection, tally: &Tally, database: &Path) -> Result<Horizon, OpenError> {
    let kept = database::load(reader, tally.seal, Kind::Horizon, "")
        .map_err(OpenError::unreadable(database))?;
    let Some(bytes) = kept else {
        return Ok(Horizon::default());
    };
    let bytes = bytes.try_into();
    bytes
        .map(|bytes| Horizon::at(UnixMillis(u64::from_le_bytes(bytes))))
        .map_err(|_| OpenError::damaged(database, "its horizon is unreadable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> Embedded {
        let config = Config {
            path: directory.path().to_owned(),
        };
        let clock = Clock::manual(UnixMillis(0));
        Embedded::open(
            &config,
            &clock,
            &Readiness::default(),
            &Retention::default(),
        )
        .unwrap()
    }

    /// What an engine's follower passes over, because it is over, is not in the copy.
    #[test]
    fn the_horizon_is_as_durable_as_the_place_that_was_reached_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(&directory);
        log.horizon().raise(UnixMillis(4711));
        log.save(Kind::Place, "", b"far").unwrap();
        drop(log);
        let log = open(&directory);
        assert_eq!(log.load(Kind::Place, "").unwrap().unwrap(), b"far");
        assert_eq!(log.horizon().get(), UnixMillis(4711));
    }
}
