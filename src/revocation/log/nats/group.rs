//! Appends that come while another is under way share the next message: every message costs a round
//! of the stream's servers and a sync on each, and in a storm of events each would wait for all those
//! before it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{MutexGuard, oneshot};
use tokio::time::timeout;

use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::driver::Driver;

/// A message that takes longer does not keep the next one back.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a record takes in a message besides its own bytes, at most.
const FRAME: usize = 8;

type Appended = Result<Cursor, AppendError>;

#[derive(Debug, Default)]
pub(super) struct Group {
    turn: tokio::sync::Mutex<()>,
    waiting: std::sync::Mutex<VecDeque<Member>>,
}

#[derive(Debug)]
struct Member {
    records: Vec<Arc<Revocation>>,
    /// About what the records take in a message.
    bytes: usize,
    reply: oneshot::Sender<Appended>,
}

impl Group {
    pub(super) async fn append(driver: &Arc<Driver>, records: Vec<Arc<Revocation>>) -> Appended {
        let group = &driver.group;
        if let Ok(turn) = group.turn.try_lock() {
            return within(turn, driver.publish_all(&records).boxed()).await;
        }
        let (reply, appended) = oneshot::channel();
        let bytes = records.iter().map(|record| record.encode().len() + FRAME);
        let member = Member {
            bytes: bytes.sum(),
            records,
            reply,
        };
        if group.join(member) {
            // On its own: whoever joined first may go away while others wait.
            tokio::spawn(append_together(Arc::clone(driver)));
        }
        let lost = |_| AppendError::Unknown("the task that appends died".to_owned());
        appended.await.map_err(lost)?
    }

    /// Returns whether the member is the first of a group.
    fn join(&self, member: Member) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(member);
        waiting.len() == 1
    }

    /// Returns as many as one message has room for, and at least one: nobody's records are torn
    /// apart only because others wait. Also says whether there are more.
    fn leave(&self, mut room: usize) -> (Vec<Member>, bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut members = Vec::new();
        while let Some(next) = waiting.front()
            && (members.is_empty() || next.bytes <= room)
        {
            room = room.saturating_sub(next.bytes);
            members.extend(waiting.pop_front());
        }
        (members, !waiting.is_empty())
    }
}

/// Appends those that wait and fit into one message; the others get a task of their own.
fn append_together(driver: Arc<Driver>) -> BoxFuture<'static, ()> {
    async move {
        let turn = driver.group.turn.lock().await;
        let (members, more) = driver.group.leave(driver.room());
        if more {
            tokio::spawn(append_together(Arc::clone(&driver)));
        }
        let records: Vec<_> = members
            .iter()
            .flat_map(|member| member.records.clone())
            .collect();
        let appended = within(turn, driver.publish_all(&records).boxed()).await;
        let each = members.into_iter().map(async |member| {
            let appended = match &appended {
                // It may be another member's record that the servers will never take.
                Err(AppendError::Rejected(_)) => driver.publish_all(&member.records).await,
                shared => shared.clone(),
            };
            // Whoever does not wait any more does not get it.
            let _ = member.reply.send(appended);
        });
        join_all(each).await;
    }
    .boxed()
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
