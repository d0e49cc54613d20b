//! The writing side: a batch is one entry, made by one script, and safe to send again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::revocation::record::Revocation;
use crate::revocation::retention::Retention;

use super::super::{AppendError, Cursor};
use super::config::Config;
use super::confirm::Witness;
use super::dial::Dialer;
use super::entry::{EntryId, epoch_from_hex, fingerprint, frame};
use super::fault::Fault;
use super::script::{Batch, Scripts};
use super::session::{Purpose, Session};
use crate::net::Backoff;

/// Keeps one connection for all appends of this process.
#[derive(Debug)]
pub(super) struct Writer {
    config: Arc<Config>,
    dialer: Arc<Dialer>,
    scripts: Arc<Scripts>,
    retention: Retention,
    link: Mutex<Link>,
    unwritable: ArcSwapOption<String>,
}

#[derive(Debug, Default)]
struct Link {
    /// Numbers the sessions, so that only the broken one is thrown away.
    number: u64,
    session: Option<(Session, Witness)>,
    /// The last attempt failed like this; nobody tries again before then.
    resting: Option<(Instant, Fault)>,
    backoff: Backoff,
}

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// After a lost answer, before asking again.
const BREATH: Duration = Duration::from_millis(20);

/// Every event of a burst reports the same failure, but not each one dials for itself.
const LONGEST_REST: Duration = Duration::from_millis(500);

impl Writer {
    pub(super) fn new(
        config: Arc<Config>,
        dialer: Arc<Dialer>,
        scripts: Arc<Scripts>,
        retention: Retention,
    ) -> Self {
        Self {
            config,
            dialer,
            scripts,
            retention,
            link: Mutex::default(),
            unwritable: ArcSwapOption::empty(),
        }
    }

    /// See [`super::super::Log::append`].
    ///
    /// A lost answer is asked for again while there is time: the script knows the records that
    /// it took already.
    pub(super) async fn append(&self, batch: &[Arc<Revocation>]) -> Result<Cursor, AppendError> {
        let deadline = Instant::now() + self.config.append_timeout.0;
        let batch = self.prepare(batch);
        let mut doubt: Option<Fault> = None;
        let mut was_moved = false;
        loop {
            match self.attempt(&batch, deadline).await {
                Ok(cursor) => return Ok(cursor),
                Err(fault @ Fault::Lost(_)) => doubt = Some(fault),
                // All the time that there was went into waiting for it.
                Err(fault @ Fault::Unconfirmed(_)) => return Err(fault.into()),
                Err(Fault::Moved(_)) if !was_moved => was_moved = true,
                Err(fault) if doubt.is_none() => return Err(fault.into()),
                Err(_) => {}
            }
            let is_late = Instant::now() + BREATH >= deadline;
            match doubt {
                Some(fault) if is_late => return Err(fault.into()),
                _ => tokio::time::sleep(BREATH).await,
            }
        }
    }

    /// Tries again and again whether an append would succeed, until the log is closed.
    pub(super) async fn keep_probing(&self, closed: CancellationToken) {
        let probing = async {
            loop {
                let trouble = self.probe().await.err().map(|fault| fault.to_string());
                self.unwritable.store(trouble.map(Arc::new));
                tokio::time::sleep(PROBE_EVERY).await;
            }
        };
        closed.run_until_cancelled(probing).await;
    }

    /// See [`super::super::Log::unwritable`].
    pub(super) fn unwritable(&self) -> Option<String> {
        self.unwritable.load().as_deref().cloned()
    }

    async fn probe(&self) -> Result<(), Fault> {
        let (number, (session, mut witness)) = self.session().await?;
        let deadline = Instant::now() + self.config.append_timeout.0;
        let probed = timeout_at(deadline, async {
            let asked = Instant::now();
            session.run::<redis::Value>(&self.scripts.probe()).await?;
            witness.confirm_since(asked).await
        });
        let probed = probed.await.unwrap_or_else(|_elapsed| {
            let place = &session.place;
            Err(Fault::Down(format!(
                "{place}: a test of writing is not confirmed in time"
            )))
        });
        if probed.is_err() {
            self.discard(number).await;
        }
        probed
    }

    fn prepare(&self, records: &[Arc<Revocation>]) -> Batch {
        let mut known = HashSet::new();
        let mut batch = Batch::default();
        for record in records {
            let name = fingerprint(record);
            if known.insert((name.clone(), record.forget_after)) {
                batch.seen.push(self.config.beside(&format!("seen:{name}")));
                batch.framed.push(frame(record));
                batch.forget_each_after.push(record.forget_after.0);
            }
            let forget_after = self.retention.forget_after(record).0;
            batch.forget_after = batch.forget_after.max(forget_after);
        }
        batch
    }

    async fn attempt(&self, batch: &Batch, deadline: Instant) -> Result<Cursor, Fault> {
        let opened = timeout_at(deadline, self.session()).await;
        let (number, (session, witness)) = opened.unwrap_or_else(|_elapsed| {
            Err(Fault::Down(
                "no connection to the server in time".to_owned(),
            ))
        })?;
        let answer = timeout_at(deadline, self.exchange(&session, witness, batch, deadline)).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(Fault::Lost(format!("{}: no answer in time", session.place)))
        });
        // An answer that says no may mean that the server is not the primary any more. The next
        // connection will find out.
        if matches!(
            answer,
            Err(Fault::Lost(_) | Fault::Down(_) | Fault::Moved(_))
        ) {
            self.discard(number).await;
        }
        answer
    }

    async fn exchange(
        &self,
        session: &Session,
        mut witness: Witness,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<Cursor, Fault> {
        let memory = self.config.remember_duplicates.0.as_millis();
        let memory = u64::try_from(memory).unwrap_or(u64::MAX);
        let append = self.scripts.append(batch, memory);
        let reply: Vec<String> = session.run(&append).await?;
        // Leave a moment for the answer itself to arrive.
        let left = deadline.saturating_duration_since(Instant::now());
        session.confirm(left.mul_f64(0.9)).await?;
        let confirmed = timeout_at(deadline, witness.confirm_since(Instant::now())).await;
        confirmed.unwrap_or_else(|_elapsed| {
            let (place, why) = (&session.place, witness.doubt());
            Err(Fault::Unconfirmed(format!("{place}: stored, but {why}")))
        })?;
        cursor_of(&reply).ok_or_else(|| {
            Fault::Lost(format!(
                "{}: the answer cannot be understood",
                session.place
            ))
        })
    }

    async fn session(&self) -> Result<(u64, (Session, Witness)), Fault> {
        let mut link = self.link.lock().await;
        if let Some(session) = &link.session {
            return Ok((link.number, session.clone()));
        }
        if let Some((until, fault)) = &link.resting
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        let silence = self.config.append_timeout.0;
        let opened = Session::open(
            &self.dialer,
            &self.config,
            &self.scripts,
            Purpose::Write,
            silence,
        )
        .await;
        match opened {
            Ok(session) => {
                let number = link.number + 1;
                let witness = Witness::of(&self.dialer, &session.place);
                let session = (session, witness);
                *link = Link {
                    number,
                    session: Some(session.clone()),
                    ..Link::default()
                };
                Ok((number, session))
            }
            Err(fault) => {
                let is_news = link.resting.as_ref().is_none_or(|(_, said)| *said != fault);
                if is_news {
                    tracing::warn!(why = %fault, "revocations cannot be recorded");
                }
                let rest = link.backoff.pause().min(LONGEST_REST);
                link.resting = Some((Instant::now() + rest, fault.clone()));
                Err(fault)
            }
        }
    }

    async fn discard(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.number == number {
            link.session = None;
        }
    }
}

/// Reads the epoch and the ids of entries; the furthest of them is the place behind the batch.
fn cursor_of(reply: &[String]) -> Option<Cursor> {
    let (epoch, entries) = reply.split_first()?;
    let entries = entries.iter().map(|id| EntryId::parse(id.as_bytes()));
    let furthest = entries.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    Some(Cursor {
        epoch: epoch_from_hex(epoch)?,
        position: furthest.position(),
    })
}
