//! From a request to its answer: admit, read, authenticate, map, make durable, acknowledge.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{self, Failure};
use super::delivery::{Delivery, Unproven};
use super::format::Origin;
use super::keys::{Keys, Record};
use super::metrics::{Ended, Metrics};
use super::outcome::{Effect, Outcome};
use super::source::{ListenerConfig, Source};
use crate::clock::Clock;
use crate::revocation::Draft;

/// Everything that the handling of an event depends on. It is replaced as a whole when the
/// configuration changes.
pub struct Receiver {
    sources: HashMap<String, Source>,
    keys: Arc<dyn Keys>,
    record: Arc<dyn Record>,
    metrics: Arc<Metrics>,
    clock: Clock,
    limits: ListenerConfig,
    in_flight: Semaphore,
    /// The second in which a forged event was last logged: strangers must not fill the log.
    last_stranger: AtomicU64,
}

/// An event that was understood, and what came of it.
struct Handled {
    event: &'static str,
    id: Option<String>,
    ended: Ended,
    revocations: usize,
}

impl Receiver {
    #[must_use]
    pub fn new(
        sources: Vec<Source>,
        limits: ListenerConfig,
        keys: Arc<dyn Keys>,
        record: Arc<dyn Record>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        for source in &sources {
            metrics.expect(&source.name);
        }
        let named = sources
            .into_iter()
            .map(|source| (source.name.clone(), source));
        Self {
            sources: named.collect(),
            keys,
            record,
            metrics,
            clock,
            in_flight: Semaphore::new(limits.max_in_flight),
            limits,
            last_stranger: AtomicU64::new(0),
        }
    }

    pub(super) const fn limits(&self) -> &ListenerConfig {
        &self.limits
    }

    /// Handles one event for the source `name`.
    pub(super) async fn handle(&self, name: &str, request: Request<Body>) -> Response {
        let started = Instant::now();
        let Some(source) = self.sources.get(name) else {
            self.metrics.unknown_source();
            return answer::not_found();
        };
        let (ended, response) = match self.accept(source, request).await {
            Ok(event) => {
                self.note_success(source, &event);
                (event.ended, answer::accepted())
            }
            Err(failure) => {
                self.note_failure(source, &failure);
                (failure.ended(), failure.into_response())
            }
        };
        self.metrics.ended(&source.name, ended, started.elapsed());
        response
    }

    /// The whole story. Head and body are gone before the disk is waited for: as long as they live,
    /// the connection needs new memory to read on.
    async fn accept(&self, source: &Source, request: Request<Body>) -> Result<Handled, Failure> {
        let (_place, outcome) = self.understand(source, request).await?;
        let Outcome { event, id, effect } = outcome;
        let (ended, revocations) = match effect {
            Effect::Record(drafts) => {
                let revocations = self.make_durable(drafts).await?;
                (Ended::Accepted, revocations)
            }
            Effect::RefetchKeys => {
                self.keys.refetch(&source.issuer);
                (Ended::Accepted, 0)
            }
            Effect::Nothing => (Ended::Ignored, 0),
        };
        Ok(Handled {
            event,
            id,
            ended,
            revocations,
        })
    }

    /// What has to be done, and a place to do it in. The credentials in the headers come first, so
    /// that a stranger can neither make us read a body nor take a place from those who may send
    /// one.
    async fn understand(
        &self,
        source: &Source,
        request: Request<Body>,
    ) -> Result<(SemaphorePermit<'_>, Outcome), Failure> {
        let (head, body) = request.into_parts();
        if !source.credentials.admit(&head.headers) {
            return Err(Failure::Unauthenticated("the credentials do not match"));
        }
        let place = self.in_flight.try_acquire().map_err(|_| Failure::Busy)?;
        if !is_json(&head.headers) {
            return Err(Failure::WrongType);
        }
        let body = self.read(&head.headers, body).await?;
        let delivery = Delivery::new(head.headers, body, self.clock.now());
        let delivery = delivery.authenticate(source, &*self.keys).await?;
        let origin = Origin {
            source: &source.name,
            issuer: &source.issuer,
        };
        let outcome = source.format.revocations(&delivery, origin);
        Ok((place, outcome.map_err(Failure::Malformed)?))
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

    async fn make_durable(&self, drafts: Vec<Draft>) -> Result<usize, Failure> {
        let recorded = self.record.record(drafts);
        match tokio::time::timeout(self.limits.record_timeout.0, recorded).await {
            Ok(Ok(recorded)) => Ok(recorded),
            Ok(Err(error)) => Err(Failure::Unavailable(error.to_string())),
            Err(_) => Err(Failure::Unavailable(
                "the store did not answer in time".to_owned(),
            )),
        }
    }

    fn note_success(&self, source: &Source, handled: &Handled) {
        let Handled {
            event, revocations, ..
        } = *handled;
        self.metrics.understood(&source.name, event, revocations);
        let id = handled.id.as_deref().unwrap_or_default();
        if handled.ended == Ended::Accepted {
            tracing::info!(
                source = source.name,
                event,
                id,
                revocations,
                "event accepted"
            );
        } else {
            tracing::debug!(source = source.name, event, id, "event ignored");
        }
    }

    fn note_failure(&self, source: &Source, failure: &Failure) {
        let source = &*source.name;
        match failure {
            Failure::Unauthenticated(why) => {
                let second = self.clock.now().seconds();
                if self.last_stranger.swap(second, Ordering::Relaxed) != second {
                    tracing::warn!(source, why, "event refused: unauthenticated");
                }
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
}

impl From<Unproven> for Failure {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Forged(why) => Self::Unauthenticated(why),
            Unproven::KeysUnavailable(why) => Self::Unavailable(why),
        }
    }
}

/// `application/json`, with any parameters, and not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next());
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
