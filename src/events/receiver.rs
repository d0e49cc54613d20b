//! From a request to its answer: admit, read, authenticate, map, make durable, acknowledge.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{self, Failure};
use super::body;
use super::delivery::{Delivery, Verified};
use super::dialect::Origin;
use super::directory;
use super::keys::Keys;
use super::metrics::Ended;
use super::noted::{Counted, Understood, peer};
use super::outcome::{Effect, Rejection};
use super::provision;
use super::replay::{Before, Seen};
use super::resources::Asked;
use super::shared::Shared;
use super::source::{ListenerConfig, Source};
use crate::core::clock::UnixMillis;
use crate::net::Seat;

/// Handles events under one configuration.
pub struct Receiver {
    sources: HashMap<String, Arc<Source>>,
    limits: ListenerConfig,
    keys: Arc<dyn Keys>,
    shared: Arc<Shared>,
}

impl Receiver {
    #[must_use]
    pub fn new(
        sources: Vec<Source>,
        limits: ListenerConfig,
        keys: Arc<dyn Keys>,
        shared: Arc<Shared>,
    ) -> Self {
        for source in &sources {
            shared.metrics.expect(&source.name);
        }
        let named = sources
            .into_iter()
            .map(|source| (source.name.clone(), Arc::new(source)));
        Self {
            sources: named.collect(),
            limits,
            keys,
            shared,
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
        let started = match self.route(&request) {
            Route::Answered(response) => Err(response),
            Route::Event(source) => {
                let counted = Counted {
                    shared: Arc::clone(&self.shared),
                    source: Arc::clone(&source),
                    started: Instant::now(),
                    ended: Ended::SenderGone,
                    parent: self.shared.metrics.parent(request.headers()),
                };
                let answers = source.answers();
                Ok((counted, answers, tokio::spawn(self.handle(source, request))))
            }
        };
        async {
            let (mut counted, answers, work) = match started {
                Ok(started) => started,
                Err(response) => return response,
            };
            let finished = work.await;
            let finished =
                finished.unwrap_or_else(|died| Err(Failure::Unavailable(died.to_string())));
            match finished {
                Ok((ended, response)) => {
                    counted.ended = ended;
                    response.unwrap_or_else(|| answer::accepted(answers))
                }
                Err(failure) => {
                    counted.ended = failure.ended();
                    failure.answer(answers)
                }
            }
        }
    }

    /// Returns the source that an event is for, or the answer to what is no event.
    fn route(&self, request: &Request<Body>) -> Route {
        let path = request.uri().path().strip_prefix("/events/");
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Route::Answered(answer::not_found());
        };
        let (name, below) = path.split_once('/').unzip();
        let name = name.unwrap_or(path);
        let source = self
            .sources
            .get(name)
            .filter(|source| source.credentials.take_pushed() && source.takes(below));
        if matches!(*request.method(), Method::GET | Method::POST)
            && let Some(source) = source
            && let Some(handshake) = source.format.dialect().handshake(request)
        {
            let metrics = &self.shared.metrics;
            metrics.ended(name, Ended::Handshake, Duration::ZERO);
            return Route::Answered(answer::handshake(handshake));
        }
        let takes_any = source.is_some_and(|source| source.format.dialect().resources().is_some());
        if request.method() != Method::POST && !takes_any {
            return Route::Answered(answer::wrong_method());
        }
        let Some(source) = source else {
            self.shared.metrics.unknown_source();
            return Route::Answered(answer::not_found());
        };
        Route::Event(Arc::clone(source))
    }

    async fn handle(
        self: Arc<Self>,
        source: Arc<Source>,
        request: Request<Body>,
    ) -> Result<Done, Failure> {
        let peer = peer(&request);
        let handled = Arc::clone(&self).accept(&source, request).await;
        if let Err(failure) = &handled {
            self.shared.refused(&source.name, failure, peer).await;
        }
        handled
    }

    /// Admits the sender, reads its event and waits until it is dealt with. That goes on when time
    /// is over: a record is never left half-way. The credentials in the headers come first, so that
    /// a stranger can neither make us read a body nor take a place from those who may send one. Where
    /// only the body proves the sender, strangers have a share of the places.
    async fn accept(
        self: Arc<Self>,
        source: &Arc<Source>,
        request: Request<Body>,
    ) -> Result<Done, Failure> {
        let peer = peer(&request);
        let (head, body) = request.into_parts();
        let mut seat = head.extensions.get::<Arc<Seat>>().cloned();
        let shown = seat.as_ref().map(|seat| seat.names()).unwrap_or_default();
        let admitted = source.credentials.admit(&head.headers, shown);
        let admitted = admitted.ok_or(Failure::Stranger)?;
        let places = if admitted.is_known() {
            settle(seat.take());
            &self.shared.in_flight
        } else {
            &self.shared.strangers
        };
        let place = take_place(places)?;
        // Read in any case: a known sender keeps its connection.
        let (limit, within) = (self.limits.body_limit.len(), self.limits.body_timeout.0);
        let body = body::read(&head.headers, body, limit, within).await?;
        let asked = asked(source, &head, &body, self.shared.clock.now());
        let media_types = source.format.dialect().media_types();
        let has_type = asked.is_none() || !body.is_empty();
        if has_type && !body::is_of(media_types, &head.headers) {
            return Err(Failure::WrongType(media_types));
        }
        let is_known = admitted.is_known();
        let delivery = Delivery::new(admitted, head.headers, body, self.shared.clock.now());
        let patience = source.record_timeout(&self.limits);
        let work = {
            let (receiver, source) = (Arc::clone(&self), Arc::clone(source));
            tokio::spawn(async move {
                let proven = delivery.authenticate(&source.credentials, &*receiver.keys);
                let delivery = proven.await?;
                source
                    .count(receiver.shared.clock.now())
                    .map_err(Failure::TooMany)?;
                let _place = if is_known {
                    place
                } else {
                    settle(seat);
                    take_place(&receiver.shared.in_flight)?
                };
                match asked {
                    Some(asked) => receiver.provision(&source, &asked, peer).await,
                    None => Ok((receiver.finish(&source, delivery, peer).await?, None)),
                }
            })
        };
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(finished)) => finished,
            Ok(Err(died)) => Err(Failure::Unavailable(died.to_string())),
            Err(_) => Err(Failure::Unavailable(format!(
                "it was not durable within {}",
                humantime::format_duration(patience)
            ))),
        }
    }

    /// Answers a request about a resource.
    async fn provision(
        &self,
        source: &Source,
        asked: &Asked,
        peer: Option<SocketAddr>,
    ) -> Result<Done, Failure> {
        let resources = source.format.dialect().resources();
        let resources = resources.ok_or(Failure::Broken)?;
        let within = source.record_timeout(&self.limits) * 3 / 4;
        let context = (within, peer);
        let done = provision::serve(&self.shared, source, resources, asked, context).await;
        done.map(|(ended, response)| (ended, Some(response)))
    }

    /// Returns when the last event of each source was understood; `None` if none was since the start.
    pub fn last_events(&self) -> Vec<(String, Option<UnixMillis>)> {
        let at = |name: &String| self.shared.metrics.understood_at(name);
        let names = self.sources.keys();
        names.map(|name| (name.clone(), at(name))).collect()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values()
    }

    /// Handles an event that was asked for, as if it had been pushed.
    pub(super) async fn take(&self, source: &Source, body: Bytes) -> Result<Ended, Failure> {
        let now = self.shared.clock.now();
        let handled = async {
            let delivery = Delivery::asked(body, now, &source.credentials, &*self.keys);
            self.finish(source, delivery.await?, None).await
        };
        let handled = handled.await;
        if let Err(failure) = &handled {
            self.shared.refused(&source.name, failure, None).await;
        }
        handled
    }

    /// Maps, makes durable. Head and body are dropped before the disk is waited for: as long as they
    /// live, the connection needs new memory to read on.
    async fn finish(
        &self,
        source: &Source,
        delivery: Delivery<Verified>,
        peer: Option<SocketAddr>,
    ) -> Result<Ended, Failure> {
        let origin = Origin {
            source: &source.recorded_as,
            issuer: &source.issuer,
        };
        let outcome = source.format.dialect().map(&delivery, origin);
        let mut outcome = outcome.map_err(Failure::Malformed)?;
        outcome.id = outcome.id.or_else(|| delivery.id().map(str::to_owned));
        let (event, id) = (&*outcome.event, outcome.id.as_deref());
        let content = match delivery.claims() {
            // A sender may sign the same token anew.
            claims if source.credentials.id_covers_body() && !claims.is_empty() => claims,
            _ => delivery.body(),
        };
        let history = self.shared.record.history();
        let seen = id.map(|id| Seen::of(history, &source.name, id, content));
        let before = seen.and_then(|seen| self.shared.replays.before(seen));
        let received_at = delivery.received_at();
        drop(delivery);
        let (ended, revocations) = match before {
            Some(Before::Same) => (Ended::Duplicate, 0),
            Some(Before::Other) if !source.credentials.id_covers_body() => {
                return Err(Failure::Refused(Rejection {
                    path: "jti".to_owned(),
                    message: "the token was used before, for another request".to_owned(),
                }));
            }
            _ => {
                let (directory, effect) = (source.directory.as_ref(), outcome.effect);
                let (effect, missed) = directory::resolve(directory, effect).await?;
                // Recorded in any case: tokens may carry what the event names.
                let done = self.effect(source, effect, received_at).await?;
                outcome.notice = outcome.notice.or(missed?);
                done
            }
        };
        if let Some(seen) = seen.filter(|_| ended == Ended::Accepted) {
            self.shared.replays.remember(seen);
        }
        let understood = Understood {
            source: &source.name,
            event,
            id,
            revocations,
            received_at,
            peer,
        };
        let notice = outcome.notice;
        self.shared.understood(&understood, ended, notice).await;
        Ok(ended)
    }

    /// Does what an event asks for, and returns how many records it left.
    async fn effect(
        &self,
        source: &Source,
        effect: Effect,
        received_at: UnixMillis,
    ) -> Result<(Ended, usize), Failure> {
        match effect {
            Effect::Record(drafts) => {
                // Being enforced here is worth waiting for, but not an answer that comes too late.
                let within = source.record_timeout(&self.limits) * 3 / 4;
                let recorded = self.shared.record.record(drafts, within).await;
                Ok((Ended::Accepted, recorded?))
            }
            Effect::RecordLater(drafts, delay) => {
                let revocations = drafts.len();
                let added = self.shared.later.add(drafts, received_at.plus(delay)).await;
                added.map_err(|error| Failure::Unavailable(error.to_string()))?;
                Ok((Ended::Accepted, revocations))
            }
            Effect::RefetchKeys => {
                self.keys.refetch(&source.issuer);
                Ok((Ended::Accepted, 0))
            }
            Effect::Unresolved(rejection) => Err(Failure::Unresolved(rejection)),
            Effect::Nothing => Ok((Ended::Ignored, 0)),
        }
    }
}

/// How a request ended, and its answer if that is not the one of the format.
type Done = (Ended, Option<Response>);

/// Returns the request of a source that has resources.
fn asked(source: &Source, head: &Parts, body: &Bytes, received_at: UnixMillis) -> Option<Asked> {
    let root = source.format.dialect().resources()?.root();
    let base = format!("/events/{}/{root}", source.name);
    Some(Asked {
        method: head.method.clone(),
        path: head.uri.path().strip_prefix(&base)?.to_owned(),
        base,
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: body.clone(),
        received_at,
    })
}

/// Where a request leads.
enum Route {
    Event(Arc<Source>),
    Answered(Response),
}

fn take_place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| Failure::Busy)
}

/// Keeps the connection of a sender that proved itself.
fn settle(seat: Option<Arc<Seat>>) {
    if let Some(seat) = seat {
        seat.settle();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("sources", &self.sources.values().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
