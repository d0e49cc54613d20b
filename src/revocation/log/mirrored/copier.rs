//! The task that writes the copy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::core::clock::UnixMillis;
use crate::core::kv::Kind;
use crate::core::readiness::Readiness;
use crate::revocation::log::embedded::Kept;
use crate::revocation::log::{AppendError, Cursor, Embedded, Log, Records};

use super::checkpoint::Checkpoint;

/// Between two writes, so that what comes in a stream shares syncs.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a disk that could not be written is tried again.
const PROBE: Duration = Duration::from_secs(1);

/// The name under which an incomplete copy is reported.
const DEGRADED: &str = "local copy";

/// How much of what was delivered the copy has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    Nothing,
    UpTo(Cursor),
    /// Something could not be written. The checkpoint is not moved any more, so that the engine is
    /// asked for it again once the disk can be written; until then there is nothing to wait for.
    Torn,
}

impl Reach {
    pub(super) fn covers(self, at: Cursor) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(cursor) => cursor.has_passed(at),
            Self::Torn => true,
        }
    }
}

/// What waits for the disk.
pub(super) struct Entry {
    pub(super) records: Records,
    /// Behind the records.
    pub(super) cursor: Cursor,
    /// Everything up to here was known at this moment.
    pub(super) in_sync_at: Option<UnixMillis>,
    /// Given back once it is written.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Writes the copy, all that waits at once.
pub(super) struct Copier {
    copy: Arc<Embedded>,
    reach: watch::Sender<Reach>,
    readiness: Readiness,
    saved: Option<Checkpoint>,
    /// The copy lacks what came behind its checkpoint, until that is read once more.
    is_incomplete: bool,
}

impl Copier {
    pub(super) fn new(
        copy: Arc<Embedded>,
        reach: watch::Sender<Reach>,
        readiness: Readiness,
        saved: Option<Checkpoint>,
    ) -> Self {
        let was_torn = matches!(*reach.borrow(), Reach::Torn);
        Self {
            is_incomplete: was_torn || copy.is_incomplete(),
            copy,
            reach,
            readiness,
            saved,
        }
    }

    /// Runs until nothing comes any more; or, when something could not be written, until the disk
    /// takes writes again. What came meanwhile is missing then.
    pub(super) async fn run(mut self, mut queued: mpsc::UnboundedReceiver<Entry>) {
        let mut entries = Vec::new();
        while queued.recv_many(&mut entries, usize::MAX).await > 0 {
            if let Err(error) = self.write(&entries).await {
                drop(entries);
                self.tear(&error);
                return self.wait_until_writable(&mut queued).await;
            }
            entries.clear();
            sleep(PAUSE).await;
        }
    }

    async fn write(&mut self, entries: &[Entry]) -> Result<(), AppendError> {
        let records = entries.iter().flat_map(|entry| entry.records.iter());
        let records: Vec<_> = records.cloned().collect();
        let checkpoint = entries.iter().rev().find_map(|entry| {
            let (cursor, in_sync_at) = (entry.cursor, entry.in_sync_at?);
            Some(Checkpoint { cursor, in_sync_at })
        });
        let is_due = |saved| checkpoint.is_some_and(|ours| ours.is_due_after(saved));
        let checkpoint = checkpoint.filter(|_| self.is_incomplete || self.saved.is_none_or(is_due));
        let kept = checkpoint.map(|checkpoint| Kept {
            kind: Kind::Place,
            name: String::new(),
            value: checkpoint.to_bytes(),
        });
        if !records.is_empty() || kept.is_some() {
            self.copy.write(records, kept).await?;
        }
        if let Some(last) = entries.last() {
            self.reach.send_replace(Reach::UpTo(last.cursor));
        }
        self.saved = checkpoint.or(self.saved);
        // An incomplete copy is complete again with its checkpoint.
        if self.is_incomplete && checkpoint.is_some() && self.mark(false).await {
            self.is_incomplete = false;
            self.readiness.recover(DEGRADED);
            tracing::info!("the local copy of the log is complete again");
        }
        Ok(())
    }

    fn tear(&self, error: &AppendError) {
        let damage = self.copy.failure();
        let why = match &damage {
            None => format!("it cannot be written: {error}"),
            Some(damage) => format!("{damage}; remove it and restart, to read the log again"),
        };
        tracing::error!(why, "the local copy of the log is incomplete");
        self.readiness.degrade(DEGRADED, why);
        self.reach.send_replace(Reach::Torn);
    }

    /// Notes on the disk whether the copy is incomplete. Returns whether that is durable.
    async fn mark(&self, incomplete: bool) -> bool {
        let copy = Arc::clone(&self.copy);
        let marked = spawn_blocking(move || copy.mark_incomplete(incomplete)).await;
        let marked = marked.map_err(io::Error::other).flatten();
        if let Err(error) = &marked {
            tracing::warn!(
                %error,
                incomplete,
                "the local copy cannot be marked as complete or incomplete: do not export it; \
                 trying again"
            );
        }
        marked.is_ok()
    }

    /// Drops what comes. A damaged copy takes no writes until it is replaced.
    async fn wait_until_writable(&self, queued: &mut mpsc::UnboundedReceiver<Entry>) {
        let mut is_marked = self.mark(true).await;
        let mut dropped = Vec::new();
        loop {
            tokio::select! {
                count = queued.recv_many(&mut dropped, usize::MAX) => {
                    if count == 0 {
                        return;
                    }
                    dropped.clear();
                }
                () = sleep(PROBE) => {
                    if self.copy.append(Vec::new()).await.is_ok() {
                        return;
                    }
                    is_marked = is_marked || self.mark(true).await;
                }
            }
        }
    }
}
