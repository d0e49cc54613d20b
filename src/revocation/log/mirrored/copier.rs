//! The task that writes the copy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::core::clock::UnixMillis;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::readiness::Readiness;
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
        let records = entries.iter().map(|entry| entry.records.clone());
        let records: Vec<_> = records.flatten().collect();
        if !records.is_empty() {
            self.copy.append(records).await?;
        }
        if let Some(last) = entries.last() {
            self.reach.send_replace(Reach::UpTo(last.cursor));
        }
        let checkpoint = entries.iter().rev().find_map(|entry| {
            let (cursor, in_sync_at) = (entry.cursor, entry.in_sync_at?);
            Some(Checkpoint { cursor, in_sync_at })
        });
        if let Some(checkpoint) = checkpoint {
            self.save(checkpoint).await;
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

    /// Notes on the disk that the copy is incomplete. Returns whether that is durable.
    async fn mark(&self) -> bool {
        let copy = Arc::clone(&self.copy);
        let marked = spawn_blocking(move || copy.mark_incomplete(true)).await;
        let marked = marked.map_err(io::Error::other).flatten();
        if let Err(error) = &marked {
            tracing::warn!(
                %error,
                "the local copy cannot be marked as incomplete: do not export it; trying again"
            );
        }
        marked.is_ok()
    }

    /// Drops what comes. A damaged copy takes no writes until it is replaced.
    async fn wait_until_writable(&self, queued: &mut mpsc::UnboundedReceiver<Entry>) {
        let mut is_marked = self.mark().await;
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
                    is_marked = is_marked || self.mark().await;
                }
            }
        }
    }

    /// Saves a checkpoint if it is due. An incomplete copy is complete again with it.
    async fn save(&mut self, checkpoint: Checkpoint) {
        let is_due = self
            .saved
            .is_none_or(|saved| checkpoint.is_due_after(saved));
        if !is_due && !self.is_incomplete {
            return;
        }
        let copy = Arc::clone(&self.copy);
        let is_incomplete = self.is_incomplete;
        let save = move || {
            copy.save(Kind::Place, "", &checkpoint.to_bytes())?;
            if is_incomplete {
                copy.mark_incomplete(false)?;
            }
            Ok(())
        };
        match spawn_blocking(save)
            .await
            .map_err(io::Error::other)
            .flatten()
        {
            Ok(()) => {
                self.saved = Some(checkpoint);
                if std::mem::take(&mut self.is_incomplete) {
                    self.readiness.recover(DEGRADED);
                    tracing::info!("the local copy of the log is complete again");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the checkpoint of the local copy cannot be saved");
            }
        }
    }
}
