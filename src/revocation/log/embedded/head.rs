//! Where the log ends at the moment: the writer moves it, the tails wait for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::revocation::record::Revocation;

/// How many of the last records are handed to tails from memory. A tail that is further behind
/// reads the disk.
const RECENT: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Head {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    position: u64,
    /// The records up to `position`, without a gap.
    recent: VecDeque<Arc<Revocation>>,
    closed: bool,
    failed: Option<String>,
}

/// What a tail learns.
pub(super) enum News {
    /// These follow at once on what the tail has.
    Records(Vec<Arc<Revocation>>, u64),
    /// There is more, but only the disk has it.
    OnDisk,
    Quiet,
    Closed,
}

impl Head {
    pub(super) fn new(position: u64) -> Self {
        let head = Self::default();
        head.state().position = position;
        head
    }

    /// `records` are durable, the last of them at `position`.
    pub(super) fn advance(&self, records: impl Iterator<Item = Arc<Revocation>>, position: u64) {
        let mut state = self.state();
        state.recent.extend(records);
        let surplus = state.recent.len().saturating_sub(RECENT);
        state.recent.drain(..surplus);
        state.position = position;
        self.changed.notify_waiters();
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    /// Nothing works any more. The first reason stays.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(%why, "the log of revocations has failed");
        let mut state = self.state();
        state.failed.get_or_insert(why);
        state.closed = true;
        self.changed.notify_waiters();
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.state().failed.clone()
    }

    pub(super) fn position(&self) -> u64 {
        self.state().position
    }

    /// What comes after `position`; waits for it, but no longer than `patience`.
    pub(super) async fn after(&self, position: u64, patience: Duration) -> News {
        let news = async {
            loop {
                // It hears of what changes from here on, so nothing is missed after the look.
                let changed = self.changed.notified();
                match self.news(position) {
                    News::Quiet => changed.await,
                    news => return news,
                }
            }
        };
        let waited = tokio::time::timeout(patience, news).await;
        waited.unwrap_or(News::Quiet)
    }

    fn news(&self, position: u64) -> News {
        let state = self.state();
        let behind = state.position.saturating_sub(position);
        let held = state.recent.len();
        match usize::try_from(behind) {
            Ok(0) if state.closed => News::Closed,
            Ok(0) => News::Quiet,
            Ok(behind) if behind <= held => {
                let news = state.recent.range(held - behind..).cloned().collect();
                News::Records(news, state.position)
            }
            // What is durable is delivered before the end is.
            _ if state.failed.is_some() => News::Closed,
            _ => News::OnDisk,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
