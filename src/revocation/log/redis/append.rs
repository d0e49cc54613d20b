//! The writing side: a batch is one entry, made by one script.

use std::sync::Arc;
use std::time::Duration;

use redis::ScriptInvocation;
use tokio::time::{Instant, timeout_at};

use crate::revocation::log::engine::{Fault, batch, insist};
use crate::revocation::log::{AppendError, Cursor};
use crate::revocation::record::Revocation;

use super::connection::Purpose;
use super::driver::{Driver, Link};
use super::script::{APPEND, Head};

/// Every event of a burst reports the same failure, but not each one dials for itself.
const REST: Duration = Duration::from_millis(250);

impl Driver {
    /// See [`crate::revocation::log::Log::append`].
    pub(super) async fn write(&self, batch: &[Arc<Revocation>]) -> Result<Cursor, AppendError> {
        let deadline = Instant::now() + self.config.append_timeout.0;
        let forget_after = |record| self.status.retention.forget_after(record);
        let forget_after = batch.iter().map(|record| forget_after(record)).max();
        let mut append = APPEND.key(&self.config.key);
        append.arg(self.config.candidate());
        append.arg(forget_after.unwrap_or_default().0);
        append.arg(batch::encode(batch));
        insist(deadline, || self.attempt(&append, deadline)).await
    }

    async fn attempt(
        &self,
        append: &ScriptInvocation<'_>,
        deadline: Instant,
    ) -> Result<Cursor, Fault> {
        let opened = timeout_at(deadline, self.link()).await;
        let link = opened.unwrap_or_else(|_elapsed| {
            Err(Fault::Down(
                "no connection to the server in time".to_owned(),
            ))
        })?;
        let answer = timeout_at(deadline, self.exchange(&link, append, deadline)).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            let server = &link.connection.server;
            Err(Fault::Lost(format!("{server}: no answer in time")))
        });
        // An answer that says no may mean that the server is not the primary any more. The next
        // connection will find out.
        if matches!(
            answer,
            Err(Fault::Lost(_) | Fault::Down(_) | Fault::Retry(_))
        ) {
            self.discard(&link).await;
        }
        answer
    }

    async fn exchange(
        &self,
        link: &Link,
        append: &ScriptInvocation<'_>,
        deadline: Instant,
    ) -> Result<Cursor, Fault> {
        let connection = &link.connection;
        let (epoch, id): (String, String) = connection.call(append).await?;
        // Leave a moment for the answer itself to arrive.
        let left = deadline.saturating_duration_since(Instant::now());
        connection.confirm(left.mul_f64(0.9)).await?;
        let mut witness = link.witness.clone();
        let confirmed = timeout_at(deadline, witness.confirm_since(Instant::now())).await;
        let server = &connection.server;
        confirmed.unwrap_or_else(|_elapsed| {
            let why = witness.doubt();
            Err(Fault::Unconfirmed(format!("{server}: stored, but {why}")))
        })?;
        let head = Head::read(&epoch, id.as_bytes());
        head.map(Head::cursor)
            .ok_or_else(|| Fault::Lost(format!("{server}: the answer cannot be read")))
    }

    /// Tries whether an append would succeed.
    pub(super) async fn probe_writing(&self) -> Result<(), Fault> {
        let link = self.link().await?;
        let deadline = Instant::now() + self.config.append_timeout.0;
        let mut witness = link.witness.clone();
        let probed = timeout_at(deadline, async {
            let asked = Instant::now();
            self.look(&link.connection, Purpose::Write).await?;
            witness.confirm_since(asked).await
        });
        let probed = probed.await.unwrap_or_else(|_elapsed| {
            let server = &link.connection.server;
            let why = format!("{server}: a test of writing is not confirmed in time");
            Err(Fault::Down(why))
        });
        if probed.is_err() {
            self.discard(&link).await;
        }
        probed
    }

    async fn link(&self) -> Result<Arc<Link>, Fault> {
        let mut writer = self.writer.lock().await;
        if let Some(link) = &writer.link {
            return Ok(Arc::clone(link));
        }
        if let Some((until, fault)) = &writer.resting
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        match self
            .connect(Purpose::Write, self.config.append_timeout.0)
            .await
        {
            Ok((connection, _)) => {
                let witness = self.witness(&connection);
                let link = Arc::new(Link {
                    connection,
                    witness,
                });
                writer.link = Some(Arc::clone(&link));
                writer.resting = None;
                Ok(link)
            }
            Err(fault) => {
                writer.resting = Some((Instant::now() + REST, fault.clone()));
                Err(fault)
            }
        }
    }

    /// Throws a broken connection away, unless another one is there already.
    async fn discard(&self, broken: &Arc<Link>) {
        let mut writer = self.writer.lock().await;
        if writer
            .link
            .as_ref()
            .is_some_and(|link| Arc::ptr_eq(link, broken))
        {
            writer.link = None;
        }
    }
}
