//! From a request to its answer: admit, read, authenticate, map, make durable, acknowledge.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{self, Failure};
use super::delivery::{Delivery, Unverified};
use super::dialect::Origin;
use super::keys::{Keys, Record};
use super::later::Later;
use super::metrics::{Ended, Metrics};
use super::outcome::{Effect, Outcome};
use super::source::{ListenerConfig, Source};
use crate::core::clock::Clock;
use crate::net::Seat;

/// Handles events. It can be replaced as a whole; today it is built once, at the start.
pub struct Receiver {
    sources: HashMap<String, Arc<Source>>,
    keys: Arc<dyn Keys>,
    record: Arc<dyn Record>,
    later: Arc<Later>,
    metrics: Arc<Metrics>,
    clock: Clock,
    limits: ListenerConfig,
    in_flight: Arc<Semaphore>,
}

impl Receiver {
    #[must_use]
    pub fn new(
        sources: Vec<Source>,
        limits: ListenerConfig,
        keys: Arc<dyn Keys>,
        record: Arc<dyn Record>,
        later: Arc<Later>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        for source in &sources {
            metrics.expect(&source.name);
        }
        let named = sources
            .into_iter()
            .map(|source| (source.name.clone(), Arc::new(source)));
        Self {
            sources: named.collect(),
            keys,
            record,
            later,
            metrics,
            clock,
            in_flight: Arc::new(Semaphore::new(limits.max_in_flight)),
            limits,
        }
    }

    pub(super) const fn limits(&self) -> &ListenerConfig {
        &self.limits
    }

    /// Returns how long a request with a whole head may take until its answer.
    pub(super) fn longest_request(&self) -> Duration {
        let sources = self.sources.values();
        let recorded = sources.map(|source| source.record_timeout(&self.limits));
        self.limits.body_timeout.0 + recorded.max().unwrap_or_default()
    }

    /// Starts to handle a request and returns its answer. The work begins at once, in a task of its
    /// own: an event that was sent in full is recorded although its sender may have hung up by now. A
    /// sender that hangs up is counted when the answer is dropped.
    pub(super) fn receive(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> impl Future<Output = Response> + Send + use<> {
        let started = self.source(&request).map(|source| {
            let counted = Counted {
                metrics: Arc::clone(&self.metrics),
                source: Arc::clone(&source),
                started: Instant::now(),
                ended: Ended::SenderGone,
            };
            (counted, tokio::spawn(self.handle(source, request)))
        });
        async {
            let (mut counted, work) = match started {
                Ok(started) => started,
                Err(refusal) => return refusal(),
            };
            let finished = work.await;
            let finished =
                finished.unwrap_or_else(|died| Err(Failure::Unavailable(died.to_string())));
            match finished {
                Ok(ended) => {
                    counted.ended = ended;
                    answer::accepted()
                }
                Err(failure) => {
                    counted.ended = failure.ended();
                    failure.answer()
                }
            }
        }
    }

    /// Returns the source that a request is for, or how to refuse it.
    fn source(&self, request: &Request<Body>) -> Result<Arc<Source>, fn() -> Response> {
        let name = request.uri().path().strip_prefix("/events/");
        let name = name.filter(|name| !name.is_empty() && !name.contains('/'));
        let name = name.ok_or(answer::not_found as fn() -> Response)?;
        if request.method() != Method::POST {
            return Err(answer::wrong_method);
        }
        self.sources.get(name).cloned().ok_or_else(|| {
            self.metrics.unknown_source();
            answer::not_found as fn() -> Response
        })
    }

    async fn handle(
        self: Arc<Self>,
        source: Arc<Source>,
        request: Request<Body>,
    ) -> Result<Ended, Failure> {
        let handled = self.accept(&source, request).await;
        if let Err(failure) = &handled {
            log_failure(&source, failure);
        }
        handled
    }

    /// Admits the sender, reads its event and waits until it is dealt with. That goes on when time
    /// is over: a record is never left half-way. The credentials in the headers come first, so that
    /// a stranger can neither make us read a body nor take a place from those who may send one.
    async fn accept(
        self: Arc<Self>,
        source: &Arc<Source>,
        request: Request<Body>,
    ) -> Result<Ended, Failure> {
        let (head, body) = request.into_parts();
        let admitted = source.credentials.admit(&head.headers);
        let admitted = admitted.ok_or(Failure::Unauthenticated("the credentials do not match"))?;
        if let Some(seat) = head.extensions.get::<Arc<Seat>>() {
            seat.settle();
        }
        let place = Arc::clone(&self.in_flight).try_acquire_owned();
        let place = place.map_err(|_| Failure::Busy)?;
        // Read in any case: a known sender keeps its connection.
        let body = self.read(&head.headers, body).await?;
        if !is_json(&head.headers) {
            return Err(Failure::WrongType);
        }
        let delivery = Delivery::new(admitted, head.headers, body, self.clock.now());
        let patience = source.record_timeout(&self.limits);
        let work = tokio::spawn(self.finish(Arc::clone(source), delivery, place));
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(finished)) => finished,
            Ok(Err(died)) => Err(Failure::Unavailable(died.to_string())),
            Err(_) => Err(Failure::Unavailable(format!(
                "it was not durable within {}",
                humantime::format_duration(patience)
            ))),
        }
    }

    /// Authenticates, maps, makes durable. Head and body are dropped before the disk is waited for: as
    /// long as they live, the connection needs new memory to read on.
    async fn finish(
        self: Arc<Self>,
        source: Arc<Source>,
        delivery: Delivery<Unverified>,
        _place: OwnedSemaphorePermit,
    ) -> Result<Ended, Failure> {
        let dialect = source.format.dialect();
        let (credentials, signature) = (&source.credentials, dialect.signature());
        let proven = delivery.authenticate(credentials, signature, &source.issuer, &*self.keys);
        let delivery = proven.await?;
        let origin = Origin {
            source: &source.name,
            issuer: &source.issuer,
        };
        let outcome = dialect.map(&delivery, origin);
        let Outcome { event, id, effect } = outcome.map_err(Failure::Malformed)?;
        let received_at = delivery.received_at();
        drop(delivery);
        let (ended, revocations) = match effect {
            Effect::Record(drafts) => {
                // Being enforced here is worth waiting for, but not an answer that comes too late.
                let within = source.record_timeout(&self.limits) * 3 / 4;
                let recorded = self.record.record(drafts, within).await;
                let recorded = recorded.map_err(|error| Failure::Unavailable(error.to_string()))?;
                (Ended::Accepted, recorded)
            }
            Effect::RecordLater(drafts, delay) => {
                let revocations = drafts.len();
                let added = self.later.add(drafts, received_at.plus(delay)).await;
                added.map_err(|error| Failure::Unavailable(error.to_string()))?;
                (Ended::Accepted, revocations)
            }
            Effect::RefetchKeys => {
                self.keys.refetch(&source.issuer);
                (Ended::Accepted, 0)
            }
            Effect::Nothing => (Ended::Ignored, 0),
        };
        self.metrics.understood(&source.name, event, revocations);
        let (source, id) = (&*source.name, id.as_deref().unwrap_or_default());
        if ended == Ended::Accepted {
            tracing::info!(source, event, id, revocations, "event accepted");
        } else {
            tracing::debug!(source, event, id, "event ignored");
        }
        Ok(ended)
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
        let limit = self.limits.body_limit.len();
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Failure::TooLarge);
        }
        let whole = Limited::new(body, limit).collect();
        match tokio::time::timeout(self.limits.body_timeout.0, whole).await {
            Err(_) => Err(Failure::Slow),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
            Ok(Err(_)) => Err(Failure::Broken),
        }
    }
}

/// Counts a request when it is over, however it ends.
struct Counted {
    metrics: Arc<Metrics>,
    source: Arc<Source>,
    started: Instant,
    ended: Ended,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.ended(&self.source.name, self.ended, took);
    }
}

fn log_failure(source: &Source, failure: &Failure) {
    let source = &*source.name;
    match failure {
        Failure::Unauthenticated(why) => {
            tracing::warn!(source, why, "event refused: unauthenticated");
        }
        Failure::Unavailable(why) => {
            tracing::error!(source, why, "event not acknowledged: not durable");
        }
        Failure::Malformed(rejection) => {
            let why = rejection.to_string();
            tracing::warn!(source, why = ?why, "event refused: not understood");
        }
        other => tracing::warn!(source, why = ?other, "event refused"),
    }
}

/// Returns whether the body is `application/json`, with any parameters, and not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()?.split(';').next());
    let coding = headers.get(header::CONTENT_ENCODING);
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        && coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("sources", &self.sources.values().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
