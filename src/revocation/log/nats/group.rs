//! Appends that come while another is under way share the next message: every message costs a round
//! of the stream's servers and a sync on each, and in a storm of events each would wait for all those
//! before it.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{MutexGuard, oneshot};
use tokio::time::timeout;

use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::{Shared, append};

/// A message that takes longer does not keep the next one back.
const PATIENCE: Duration = Duration::from_millis(250);

type Appended = Result<Cursor, AppendError>;

#[derive(Debug, Default)]
pub(super) struct Group {
    turn: tokio::sync::Mutex<()>,
    waiting: std::sync::Mutex<Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    records: Vec<Arc<Revocation>>,
    reply: oneshot::Sender<Appended>,
}

impl Group {
    /// `true` for the first of a group.
    fn join(&self, member: Member) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(member);
        waiting.len() == 1
    }

    fn leave(&self) -> Vec<Member> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *waiting)
    }
}

pub(super) async fn append(nats: &Shared, records: Vec<Arc<Revocation>>) -> Appended {
    if let Ok(turn) = nats.group.turn.try_lock() {
        return within(turn, append::append(nats, &records).boxed()).await;
    }
    let (reply, appended) = oneshot::channel();
    if nats.group.join(Member { records, reply }) {
        // On its own: whoever joined first may go away while others wait.
        tokio::spawn(append_together(nats.clone()));
    }
    let lost = |_| AppendError::Unknown("the task that appends died".to_owned());
    appended.await.map_err(lost)?
}

async fn append_together(nats: Shared) {
    let turn = nats.group.turn.lock().await;
    let members = nats.group.leave();
    let records = members.iter().flat_map(|member| member.records.clone());
    let records: Vec<_> = records.collect();
    let appended = within(turn, append::append(&nats, &records).boxed()).await;
    for member in members {
        let appended = match &appended {
            // It may be another one's record that the servers will never take.
            Err(AppendError::Rejected(_)) => append::append(&nats, &member.records).await,
            appended => appended.clone(),
        };
        // Whoever does not wait any more does not get it.
        let _ = member.reply.send(appended);
    }
}

/// Gives the turn back when the message is acknowledged, or takes too long.
async fn within(turn: MutexGuard<'_, ()>, mut appending: BoxFuture<'_, Appended>) -> Appended {
    let in_time = timeout(PATIENCE, &mut appending).await;
    drop(turn);
    match in_time {
        Ok(appended) => appended,
        Err(_) => appending.await,
    }
}
