//! The task that writes the copy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::sleep;

use crate::core::clock::UnixMillis;
use crate::core::kv::{KeyValueStore, Kind};
use crate::core::readiness::Readiness;
use crate::revocation::log::{AppendError, Cursor, Embedded, Log, Records};

use super::Reach;
use super::place::Place;

/// Between two writes, so that what comes in a stream shares syncs.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a disk that could not be written is tried again.
const PROBE: Duration = Duration::from_secs(1);

/// The name under which an incomplete copy is reported.
const DEGRADED: &str = "local copy";

/// What waits for the disk.
pub(super) struct Entry {
    records: Records,
    /// The place behind them.
    cursor: Cursor,
    /// Everything up to here was known at this moment.
    in_sync_at: Option<UnixMillis>,
    /// Given back once it is written.
    _room: OwnedSemaphorePermit,
}

impl Entry {
    pub(super) const fn new(
        records: Records,
        cursor: Cursor,
        in_sync_at: Option<UnixMillis>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            records,
            cursor,
            in_sync_at,
            _room: room,
        }
    }
}

/// Writes the copy, all that waits at once.
pub(super) struct Copier {
    copy: Arc<Embedded>,
    reach: watch::Sender<Reach>,
    readiness: Readiness,
    saved: Option<Place>,
    /// The copy lacks what came behind its place, until that is read once more.
    is_incomplete: bool,
}

impl Copier {
    pub(super) fn new(
        copy: Arc<Embedded>,
        reach: watch::Sender<Reach>,
        readiness: Readiness,
        saved: Option<Place>,
    ) -> Self {
        Self {
            is_incomplete: copy.is_incomplete(),
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
        let place = entries.iter().rev().find_map(|entry| {
            let (cursor, in_sync_at) = (entry.cursor, entry.in_sync_at?);
            Some(Place { cursor, in_sync_at })
        });
        if let Some(place) = place {
            self.move_place(place).await;
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
        if let Err(error) = self.copy.mark_incomplete(true) {
            tracing::debug!(%error, "the local copy cannot be marked");
        }
    }

    /// Drops what comes. A damaged copy takes no writes until it is replaced.
    async fn wait_until_writable(&self, queued: &mut mpsc::UnboundedReceiver<Entry>) {
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
                }
            }
        }
    }

    async fn move_place(&mut self, place: Place) {
        let is_due = self.saved.is_none_or(|saved| place.is_due_after(saved));
        if !is_due && !self.is_incomplete {
            return;
        }
        let copy = Arc::clone(&self.copy);
        let save = move || copy.save(Kind::Place, "", &place.to_bytes());
        let saved = tokio::task::spawn_blocking(save).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.saved = Some(place);
                self.heal();
            }
            Err(error) => tracing::warn!(%error, "the place in the log could not be kept"),
        }
    }

    fn heal(&mut self) {
        if !self.is_incomplete {
            return;
        }
        match self.copy.mark_incomplete(false) {
            Ok(()) => {
                self.is_incomplete = false;
                self.readiness.recover(DEGRADED);
                tracing::info!("the local copy of the log is complete again");
            }
            Err(error) => tracing::warn!(%error, "the mark of the local copy cannot be removed"),
        }
    }
}
