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
use crate::core::reason::{Fault, Reason};
use crate::core::request::Request;
use crate::core::trace::{self, Kind, Parent, Span};
use crate::gate::{Answered, Decision, Denial, Permit};

/// One question at one door. It holds the configuration with which the request is decided and
/// answered, loaded once, so that no request mixes two.
pub(super) struct Exchange<'d, C> {
    pub(super) metrics: &'d DoorMetrics,
    current: Guard<Arc<C>>,
    doors: &'d Doors<C>,
    /// What the proxy itself says of the trace of its question.
    parent: Option<Parent>,
}

impl<C: Check> Doors<C> {
    /// Begins an exchange at the door that counts in `metrics`.
    pub(super) fn begin<'d>(&'d self, metrics: &'d DoorMetrics) -> Exchange<'d, C> {
        Exchange {
            metrics,
            current: self.current.load(),
            doors: self,
            parent: None,
        }
    }
}

impl<C: Check> Exchange<'_, C> {
    pub(super) fn answers(&self) -> &Answers {
        self.current.answers()
    }

    /// Notes the `traceparent` of the question, if anybody wants to know.
    pub(super) fn is_part_of<'h>(&mut self, header: impl FnOnce() -> Option<&'h [u8]>) {
        if self.current.tracer().is_some() {
            self.parent = header().and_then(Parent::parse);
        }
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
        if let Some(tracer) = self.current.tracer() {
            let own = || Parent::parse(request.headers.text(trace::HEADER)?.as_bytes());
            let parent = self.parent.or_else(own);
            tracer.ended(parent, took, |parent, took| span(&answered, parent, took));
        }
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

/// Returns the span of a check. It says nothing about the client that is not verified.
fn span(answered: &Answered<'_, '_>, parent: Option<Parent>, took: Duration) -> Span {
    let decision = answered.decision;
    let mut attributes = vec![
        ("portcullis.door", answered.door.to_owned()),
        ("portcullis.outcome", decision.outcome().to_owned()),
        ("portcullis.decision_id", decision.id().to_string()),
    ];
    let (issuer, reason) = match decision {
        Decision::Permit(permit) => (Some(&permit.verified().claims.issuer), None),
        Decision::Bypass(_) => (None, None),
        Decision::Deny(denial) => (denial.issuer.as_ref(), Some(denial.reason)),
    };
    attributes.extend(issuer.map(|issuer| ("portcullis.issuer", issuer.to_string())));
    attributes.extend(reason.map(|reason| ("portcullis.reason", reason.as_str().to_owned())));
    Span {
        name: "check",
        kind: Kind::Server,
        parent,
        took,
        attributes,
        is_failure: reason.is_some_and(|reason| reason.fault() == Fault::Portcullis),
    }
}
