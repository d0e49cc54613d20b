//! Appends that come while another is under way share the next message: every message costs a round
//! of the stream's servers and a sync on each, and in a storm of events each would wait for all those
//! before it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::driver::{Driver, Member};

/// A message that takes longer does not keep the next one back.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a record takes in a message besides its own bytes, at most.
const FRAME: usize = 8;

/// Appends the records in one message, together with those of others that wait.
pub(super) async fn append(
    driver: &Arc<Driver>,
    records: Vec<Arc<Revocation>>,
) -> Result<Cursor, AppendError> {
    let queue = driver.queue.get_or_init(|| {
        let (queue, waiting) = mpsc::unbounded_channel();
        // It ends with the driver, which has the other end of the queue.
        tokio::spawn(serve(Arc::downgrade(driver), waiting));
        queue
    });
    let (reply, appended) = oneshot::channel();
    // If nobody takes it, the reply is dropped with it.
    let _ = queue.send(Member { records, reply });
    let lost = |_| AppendError::Unknown("the task that appends died".to_owned());
    appended.await.map_err(lost)?
}

async fn serve(driver: Weak<Driver>, mut waiting: mpsc::UnboundedReceiver<Member>) {
    let mut kept_back = None;
    loop {
        let first = match kept_back.take() {
            Some(member) => member,
            None => match waiting.recv().await {
                Some(member) => member,
                None => return,
            },
        };
        let Some(driver) = driver.upgrade() else {
            return;
        };
        // Nobody's records are torn apart only because others wait.
        let mut room = driver.room().saturating_sub(first.bytes());
        let mut members = vec![first];
        while let Ok(member) = waiting.try_recv() {
            let Some(left) = room.checked_sub(member.bytes()) else {
                kept_back = Some(member);
                break;
            };
            room = left;
            members.push(member);
        }
        let appending = tokio::spawn(append_together(driver, members));
        // Whether it is over or goes on beside the next one.
        let _ = timeout(PATIENCE, appending).await;
    }
}

async fn append_together(driver: Arc<Driver>, members: Vec<Member>) {
    let records = members.iter().flat_map(|member| &member.records);
    let records: Vec<_> = records.cloned().collect();
    let (appended, is_alone) = (driver.publish_all(&records).await, members.len() == 1);
    let each = members.into_iter().map(async |member| {
        let appended = match &appended {
            // It may be another member's record that the servers will never take.
            Err(AppendError::Rejected(_)) if !is_alone => driver.publish_all(&member.records).await,
            shared => shared.clone(),
        };
        // Whoever does not wait any more does not get it.
        let _ = member.reply.send(appended);
    });
    join_all(each).await;
}

impl Member {
    /// Returns about what the records take in a message.
    fn bytes(&self) -> usize {
        let bytes = self
            .records
            .iter()
            .map(|record| record.encode().len() + FRAME);
        bytes.sum()
    }
}
