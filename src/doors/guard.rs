//! Whatever happens inside a door, a denial comes out.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;

use super::metrics::Failures;
use crate::core::reason::Reason;
use crate::gate::Denial;

/// Runs `work` to its end, or `refuse`s with [`Reason::NotReady`] when it panics or takes longer
/// than `limit`.
pub(super) async fn guarded<T>(
    work: impl Future<Output = T>,
    limit: Duration,
    failures: &Failures,
    refuse: impl FnOnce(Denial) -> T,
) -> T {
    // A panic leaves nothing behind that is looked at again: the work's state is dropped.
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    // Nearly every check ends at once, and then needs no timer.
    let at_once = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    let ended = match at_once {
        Poll::Ready(ended) => Ok(ended),
        Poll::Pending => tokio::time::timeout(limit, work).await,
    };
    let (what, counter) = match ended {
        Ok(Ok(done)) => return done,
        Ok(Err(_panic)) => ("panicked", &failures.panicked),
        Err(_elapsed) => ("timed out", &failures.timed_out),
    };
    let denial = Denial::because(Reason::NotReady);
    counter.inc();
    tracing::error!(decision_id = %denial.id, "a check {what}; the request is refused");
    refuse(denial)
}
