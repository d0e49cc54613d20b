//! Where the log ends at the moment: the writer moves it, the tails hear of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast;

use crate::revocation::record::Revocation;

/// How many of the last transactions are handed to tails from memory. A tail that is further behind
/// reads the disk.
const RECENT: usize = 256;

/// The records of one transaction, and the position of the last of them.
pub(super) type News = (Vec<Arc<Revocation>>, u64);

#[derive(Debug)]
pub(super) struct Head {
    position: AtomicU64,
    failed: OnceLock<String>,
    /// `None` once nothing comes any more.
    news: Mutex<Option<broadcast::Sender<News>>>,
}

impl Head {
    pub(super) fn new(position: u64) -> Self {
        Self {
            position: position.into(),
            failed: OnceLock::new(),
            news: Mutex::new(Some(broadcast::Sender::new(RECENT))),
        }
    }

    /// `records` are durable, the last of them at `position`.
    pub(super) fn advance(&self, records: Vec<Arc<Revocation>>, position: u64) {
        self.position.store(position, Ordering::Release);
        if let Some(news) = &*self.news() {
            // An error means that nobody follows.
            let _ = news.send((records, position));
        }
    }

    /// Returns what comes from now on. Ends when the log is closed.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<News> {
        match &*self.news() {
            Some(news) => news.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.news().take();
    }

    /// Nothing works any more. The first reason stays.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(%why, "the log of revocations has failed");
        let _ = self.failed.set(why);
        self.close();
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failed.get().cloned()
    }

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    fn news(&self) -> MutexGuard<'_, Option<broadcast::Sender<News>>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
