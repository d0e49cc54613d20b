//! One question of a proxy and its answer.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::Guard;
use futures_util::FutureExt;

use super::asserted::Asserted;
use super::config::TooLong;
use super::metrics::DoorMetrics;
use super::{Answers, Check, Doors, decision_log};
use crate::core::reason::Reason;
use crate::core::request::Request;
use crate::gate::{Answered, Decision, Denial, Permit};

/// One question at one door. It holds the configuration with which the request is decided and
/// answered, loaded once, so that no request mixes two.
pub(super) struct Exchange<'d, C> {
    pub(super) metrics: &'d DoorMetrics,
    current: Guard<Arc<C>>,
    doors: &'d Doors<C>,
}

impl<C: Check> Doors<C> {
    /// Begins an exchange at the door that counts in `metrics`.
    pub(super) fn begin<'d>(&'d self, metrics: &'d DoorMetrics) -> Exchange<'d, C> {
        Exchange {
            metrics,
            current: self.current.load(),
            doors: self,
        }
    }
}

impl<C: Check> Exchange<'_, C> {
    pub(super) fn answers(&self) -> &Answers {
        self.current.answers()
    }

    /// Decides about a request, counts the decision and logs it. Returns it with the assertion about the
    /// client, if one is configured.
    pub(super) async fn decide(&self, request: &Request<'_>) -> (Decision, Option<Asserted>) {
        let started = Instant::now();
        let mut decision = self.current.check(request).await;
        let mut asserted = None;
        if let Decision::Permit(permit) = &decision {
            match self.identify(permit, request) {
                Ok(found) => asserted = found,
                Err(reason) => decision = Decision::Deny(Denial::instead_of(permit, reason)),
            }
        }
        self.answered(request, &decision, started.elapsed());
        (decision, asserted)
    }

    /// Returns the assertion about the client. Fails if the upstream cannot be told who that is.
    fn identify(&self, permit: &Permit, request: &Request<'_>) -> Result<Option<Asserted>, Reason> {
        let answers = self.answers();
        let asserted = answers.asserted(permit)?;
        let fits = asserted.as_ref().is_none_or(Asserted::fits) && answers.fits(permit, request);
        if !fits {
            self.doors.metrics.identity_too_long.inc();
            if answers.too_long == TooLong::Refuse {
                return Err(Reason::IdentityTooLong);
            }
        }
        Ok(asserted)
    }

    /// Refuses a request that is not checked at all, counts the denial and logs it.
    pub(super) fn refuse(&self, request: &Request<'_>, reason: Reason) -> Denial {
        let denial = Denial::because(reason);
        let decision = Decision::Deny(denial.clone());
        self.answered(request, &decision, Duration::ZERO);
        denial
    }

    fn answered(&self, request: &Request<'_>, decision: &Decision, took: Duration) {
        let answered = Answered {
            door: self.metrics.door,
            request,
            decision,
        };
        self.current.count(&answered, took);
        decision_log::decided(&answered);
    }

    /// Runs `work` to its end. A panic, or more time than `check_timeout`, is a denial. Takes the
    /// work by reference: moved here, it would take its room twice.
    pub(super) async fn guarded<T>(
        &self,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Denial> {
        // A panic leaves nothing behind that is looked at again: the work's state is dropped.
        let mut work = AssertUnwindSafe(work).catch_unwind();
        // Nearly every check ends at once, and then needs no timer.
        let at_once = poll_fn(|cx| Poll::Ready(work.poll_unpin(cx))).await;
        let limit = self.doors.serve.check_timeout.0;
        let ended = match at_once {
            Poll::Ready(ended) => Ok(ended),
            Poll::Pending => tokio::time::timeout(limit, work).await,
        };
        let (what, counter) = match ended {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(_panic)) => ("panicked", &self.metrics.panicked),
            Err(_elapsed) => ("timed out", &self.metrics.timed_out),
        };
        counter.inc();
        let denial = self.refuse(&Request::unread(), Reason::NotReady);
        tracing::error!(decision_id = %denial.id, "a check {what}; the request is refused");
        Err(denial)
    }
}
