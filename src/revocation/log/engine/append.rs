//! The writing side: what is tried again, and whether the log can be written at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::net::Backoff;
use crate::revocation::log::{AppendError, Cursor};

use super::driver::Driver;
use super::fault::Fault;
use super::status::Status;

/// Between two attempts of one append.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Repeats an attempt until `deadline`, as long as it may still succeed. A record that is stored
/// twice does no harm.
pub(in crate::revocation::log) async fn insist<A>(
    deadline: Instant,
    mut attempt: impl FnMut() -> A + Send,
) -> Result<Cursor, AppendError>
where
    A: Future<Output = Result<Cursor, Fault>> + Send,
{
    let mut backoff = Backoff::default();
    let mut lost = None;
    loop {
        let fault = match attempt().await {
            Ok(cursor) => return Ok(cursor),
            Err(fault) => fault,
        };
        match fault {
            Fault::Lost(_) => lost = Some(fault.clone()),
            Fault::Retry(_) => {}
            // The connection that took the record is gone, and it is not known what became of it.
            Fault::Down(_) if lost.is_some() => {}
            _ => return Err(fault.into()),
        }
        let pause = backoff.pause().min(LONGEST_PAUSE);
        if Instant::now() + pause >= deadline {
            return Err(lost.unwrap_or(fault).into());
        }
        sleep(pause).await;
    }
}

/// Keeps [`Status::unwritable`] true.
pub(super) async fn keep_probing<D: Driver>(driver: &D, status: &Status) {
    loop {
        let trouble = driver.probe().await.err().map(|fault| fault.to_string());
        let known = status.unwritable.load_full();
        if known.as_deref() != trouble.as_ref() {
            if let Some(why) = &trouble {
                tracing::warn!(why, "revocations cannot be recorded");
            }
            status.unwritable.store(trouble.map(Arc::new));
        }
        let _ = timeout(PROBE_EVERY, driver.changed()).await;
    }
}
