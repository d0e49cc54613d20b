//! The writing end: what the event path may do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;

use super::Index;
use super::log::{AppendError, Cursor, Log};
use super::record::{Draft, Revocation};
use super::retention::Retention;

/// A look-up costs one hash per set of claim names, so their number is limited.
const MOST_SHAPES_PER_ISSUER: usize = 128;

/// A record that is longer than this on the wire is no revocation that anyone wrote on purpose.
const LONGEST_RECORD: usize = 64 * 1024;

/// Records events. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    pub(super) log: Arc<dyn Log>,
    pub(super) index: Arc<Index>,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    pub(super) applied: watch::Receiver<Option<Cursor>>,
    pub(super) sync_timeout: Duration,
}

impl Writer {
    /// Makes all of an event's drafts durable, or none. Returns once they are, and once this
    /// replica enforces them; for the latter it waits no longer than `sync_timeout`.
    ///
    /// # Errors
    /// [`AppendError::Rejected`] for what would be refused again, such as an issuer that is not
    /// configured. In every other case the sender must try again.
    pub async fn record(&self, drafts: Vec<Draft>) -> Result<(), AppendError> {
        let received = drafts.into_iter().map(|draft| self.receive(draft));
        let batch = received.collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        let cursor = self.log.append(batch).await?;
        self.enforced(cursor).await;
        Ok(())
    }

    fn receive(&self, draft: Draft) -> Result<Arc<Revocation>, AppendError> {
        let issuer = &draft.target.issuer;
        let Some(terms) = self.retention.terms(issuer) else {
            let message = format!("the issuer {issuer:?} is not configured");
            return Err(AppendError::Rejected(message));
        };
        let (shapes, known) = self.index.shapes_of(&draft.target);
        if !known && shapes >= MOST_SHAPES_PER_ISSUER {
            let message = format!(
                "revocations of {issuer:?} already match on {shapes} different sets of claims; \
                 each one makes every check dearer"
            );
            return Err(AppendError::Rejected(message));
        }
        let record = draft.receive(self.clock.now(), &terms);
        let length = record.encode().len();
        if length > LONGEST_RECORD {
            let message = format!("the record has {length} bytes, {LONGEST_RECORD} are allowed");
            return Err(AppendError::Rejected(message));
        }
        Ok(Arc::new(record))
    }

    /// Waits until the follower has come past `cursor`. If it does not in time, the records are
    /// durable all the same, and the age of the feed tells that something is wrong.
    async fn enforced(&self, cursor: Cursor) {
        let mut applied = self.applied.clone();
        let past = |at: &Option<Cursor>| {
            at.is_some_and(|at| at.epoch == cursor.epoch && at.position >= cursor.position)
        };
        if timeout(self.sync_timeout, applied.wait_for(past))
            .await
            .is_err()
        {
            tracing::warn!("an event is durable, but this replica does not enforce it yet");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
