//! Agrees with the log on the issuers of a changed configuration while the process runs.
//!
//! The new bounds stand in the log before any token is judged by them, as at a start: see
//! [`super::history`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::history::Before;
use super::patience::Patience;
use super::{Histories, Issuer, Reader};
use crate::core::kv::KeyValueStore;
use crate::core::lifetime::Current;

/// How long the log may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The end of those who change the configuration.
#[derive(Clone, Debug)]
pub struct Agree {
    ask: mpsc::Sender<Question>,
    patience: Arc<ArcSwap<Patience>>,
}

#[derive(Debug)]
struct Question {
    issuers: Vec<(Issuer, Current)>,
    done: oneshot::Sender<Result<(), String>>,
}

/// The follower's end.
pub(super) struct Agreement {
    asked: mpsc::Receiver<Question>,
    /// Whoever waits for the log, and how it was before.
    waiting: Option<(oneshot::Sender<Result<(), String>>, Before)>,
    keep: Arc<dyn KeyValueStore>,
    pub(super) patience: Arc<ArcSwap<Patience>>,
}

impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreement").finish_non_exhaustive()
    }
}

/// Returns both ends. The requests of the first configuration are judged by `reader`.
pub(super) fn channel(reader: &Reader, keep: Arc<dyn KeyValueStore>) -> (Agree, Agreement) {
    let (ask, asked) = mpsc::channel(1);
    let patience = Arc::new(ArcSwap::new(Arc::clone(&reader.patience)));
    let agreement = Agreement {
        asked,
        waiting: None,
        keep,
        patience: Arc::clone(&patience),
    };
    (Agree { ask, patience }, agreement)
}

impl Agree {
    /// Returns once the log has the bounds of these issuers and this replica judges by them. Issuers that are not
    /// named keep theirs.
    ///
    /// # Errors
    /// When the log cannot be written, for people. Nothing is changed then, except that a change which the log
    /// has all the same holds on every replica.
    pub async fn on(&self, issuers: Vec<(Issuer, Current)>) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let answered = async {
            self.ask.send(Question { issuers, done }).await.ok()?;
            answer.await.ok()
        };
        let answered = timeout(PATIENCE, answered).await;
        answered.unwrap_or(None).unwrap_or_else(|| {
            Err(
                "the log of revocations cannot be reached or written, and it must hold max_token_lifetime and \
                 leeway before tokens are judged by them"
                    .to_owned(),
            )
        })
    }

    /// Lets the follower report readiness by the `max_staleness` of this reader.
    pub fn judge_by(&self, reader: &Reader) {
        self.patience.store(Arc::clone(&reader.patience));
    }
}

impl Agreement {
    /// Waits for somebody who changes the configuration, while nobody else does.
    pub(super) async fn question(&mut self) -> Option<Asked> {
        if self.waiting.is_some() {
            return None;
        }
        self.asked.recv().await.map(Asked)
    }

    /// Takes up the issuers that somebody asks for. The log is asked next.
    pub(super) fn begin(&mut self, Asked(question): Asked, histories: &mut Histories) {
        let Question { issuers, done } = question;
        if done.is_closed() {
            return;
        }
        match histories.configure(issuers, &*self.keep) {
            Ok(before) => self.waiting = Some((done, before)),
            Err(why) => drop(done.send(Err(why))),
        }
    }

    /// Answers once the log has everything. Goes back if nobody waits any more.
    pub(super) fn settle(&mut self, histories: &mut Histories) {
        let is_over =
            |(done, _): &mut (oneshot::Sender<_>, _)| done.is_closed() || histories.is_written();
        if let Some((done, before)) = self.waiting.take_if(is_over)
            // Whoever asked may have gone at this very moment.
            && (!histories.is_written() || done.send(Ok(())).is_err())
        {
            histories.restore(before);
        }
    }
}

/// A question that was taken out of the channel.
pub(super) struct Asked(Question);
