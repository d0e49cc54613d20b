//! Lifts that were acknowledged and take effect later.
//!
//! A sender may announce a reactivation before it commits it, so the lift waits in this replica's
//! local store, where it survives a crash. When it is due it is recorded like any event, with the time
//! at which it occurred: what was revoked in the meantime stays revoked. A replica that loses its
//! directory loses the lift, which refuses too much and never too little.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::keys::Record;
use crate::core::clock::{Clock, UnixMillis};
use crate::core::kv::{KeyValueStore, Kind};
use crate::revocation::Draft;
use crate::revocation::log::AppendError;

/// The delayed lifts of this replica.
pub struct Later {
    store: Arc<dyn KeyValueStore>,
    /// The name under which they are stored.
    name: &'static str,
    record: Arc<dyn Record>,
    clock: Clock,
    waiting: Mutex<Vec<Waiting>>,
    /// Held while a change is saved.
    saving: tokio::sync::Mutex<()>,
    added: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    due: UnixMillis,
    drafts: Vec<Draft>,
}

/// The names under which lifts may wait. All but the last are skipped when their value is damaged.
const NAMES: [&str; 3] = ["", "2", "3"];

fn load(store: &dyn KeyValueStore, name: &str) -> io::Result<Vec<Waiting>> {
    match store.load(Kind::Lifts, name)? {
        Some(stored) => Ok(serde_json::from_slice(&stored)?),
        None => Ok(Vec::new()),
    }
}

/// Reactivations are rare; more than this many at once are a mistake.
const MAX_WAITING: usize = 10_000;

/// How often the list is searched for lifts that are due.
const TICK: Duration = Duration::from_millis(500);

impl Later {
    /// Reads what waited when the process ended. Blocks on the disk. A value that cannot be read is
    /// left where it is, and the next of [`NAMES`] is used.
    pub fn open(store: Arc<dyn KeyValueStore>, record: Arc<dyn Record>, clock: Clock) -> Self {
        let read = |name: &'static str| match load(&*store, name) {
            Ok(waiting) => Some((name, waiting)),
            Err(error) => {
                tracing::error!(
                    kind = Kind::Lifts.as_str(), name, %error,
                    "delayed lifts in the local store cannot be read and will not take effect; \
                     send these reactivations again"
                );
                None
            }
        };
        let found = NAMES.into_iter().find_map(read);
        let (name, waiting) = found.unwrap_or((NAMES[NAMES.len() - 1], Vec::new()));
        Self {
            store,
            name,
            record,
            clock,
            waiting: Mutex::new(waiting),
            saving: tokio::sync::Mutex::default(),
            added: Notify::new(),
        }
    }

    /// Stores `drafts` until `due`. Durable when it returns. The same drafts again change nothing.
    ///
    /// # Errors
    /// When they cannot be stored.
    pub(super) async fn add(&self, drafts: Vec<Draft>, due: UnixMillis) -> io::Result<()> {
        self.change(|waiting| {
            if waiting.iter().any(|one| one.drafts == drafts) {
                return Ok(());
            }
            if waiting.len() >= MAX_WAITING {
                return Err(io::Error::other("too many delayed lifts are waiting"));
            }
            waiting.push(Waiting { due, drafts });
            Ok(())
        })
        .await?;
        self.added.notify_one();
        Ok(())
    }

    /// Records lifts when they are due, until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let work = async {
            loop {
                if self.waiting().is_empty() {
                    self.added.notified().await;
                }
                self.record_due().await;
                tokio::time::sleep(TICK).await;
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    /// Records the lifts that are due. Those that cannot be recorded now go on waiting.
    pub(super) async fn record_due(&self) {
        let now = self.clock.now();
        let due: Vec<Waiting> = {
            let waiting = self.waiting();
            let due = waiting.iter().filter(|one| one.due <= now);
            due.cloned().collect()
        };
        for one in due {
            match self.record.record(one.drafts.clone(), Duration::ZERO).await {
                Ok(0) => {}
                Ok(drafts) => tracing::info!(drafts, "a delayed lift takes effect"),
                Err(AppendError::Rejected(why)) => {
                    tracing::error!(why, "a delayed lift was rejected and will not take effect");
                }
                Err(error) => {
                    tracing::warn!(%error, "a delayed lift cannot be recorded yet");
                    return;
                }
            }
            let crossed_off = self.change(|waiting| {
                waiting.retain(|other| *other != one);
                Ok(())
            });
            if let Err(error) = crossed_off.await {
                // It is recorded again after a restart, which changes nothing.
                tracing::warn!(%error, "a delayed lift took effect but stays on the list");
            }
        }
    }

    /// Changes the list in the store, then in memory.
    async fn change(
        &self,
        change: impl FnOnce(&mut Vec<Waiting>) -> io::Result<()>,
    ) -> io::Result<()> {
        let _alone = self.saving.lock().await;
        let mut next = self.waiting().clone();
        change(&mut next)?;
        let (store, name) = (Arc::clone(&self.store), self.name);
        let bytes = serde_json::to_vec(&next)?;
        let save = move || store.save(Kind::Lifts, name, &bytes);
        tokio::task::spawn_blocking(save).await??;
        *self.waiting() = next;
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
