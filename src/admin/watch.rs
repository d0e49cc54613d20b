//! Watch, for every protocol: revocations and lifts as they take effect on this replica.

use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::query::Filter;
use super::refused::Refused;
use super::shown::{Record, Time};
use crate::revocation::{Action, Effect, Position, Unwatched, Watcher};

/// A watch ends after this time. Whoever goes on shows the credential again, which may have been withdrawn.
const LIFE: Duration = Duration::from_mins(5);

/// The longest silence.
const PULSE: Duration = Duration::from_secs(15);

const MISSED: &str = "this replica no longer has what follows this position; list the revocations, and watch without \
                      a position";

/// The shutdown of the listener, in the extensions of a request.
#[derive(Clone, Debug)]
pub(super) struct Shutdown(pub(super) CancellationToken);

/// What a watcher is told.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[schemars(rename = "WatchEvent")]
pub(super) enum Event {
    /// Everything that had taken effect before the request was delivered; what follows is news.
    Live {
        /// Where to go on after this event.
        position: String,
    },
    /// A revocation took effect.
    Revoked(Happened),
    /// Earlier revocations of the same source, cause, issuer and `matches` were taken back.
    Lifted(Happened),
    /// Nothing happened for some seconds.
    Alive { position: String },
    /// The last event.
    End {
        position: String,
        /// Why, and how to go on.
        why: &'static str,
    },
}

/// A revocation or a lift that took effect.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Happened {
    /// Where to go on after this event.
    pub(super) position: String,
    /// When it took effect on this replica.
    pub(super) effective_at: Time,
    /// The record in the log.
    pub(super) record: Record,
}

/// Begins to watch from now on, or after a position that an event had.
pub(super) fn watch(
    api: &Api,
    filter: Filter,
    after: Option<&str>,
    Shutdown(shutdown): Shutdown,
) -> Result<impl Stream<Item = Event> + Send + use<>, Refused> {
    api.require_ready()?;
    let after = after.map(str::parse::<Position>).transpose();
    let after = after
        .map_err(|()| Refused::bad_request("after must be the position of an event of a watch"))?;
    let watcher = api.monitor.watch(after).map_err(|why| match why {
        Unwatched::Missed => Refused::new(StatusCode::GONE, MISSED),
        Unwatched::Busy => Refused::unavailable("too many watch this replica; try again later"),
    })?;
    let now = Instant::now();
    let watch = Watch {
        watcher,
        filter,
        shutdown,
        told_live: false,
        ends_at: now + LIFE,
        alive_at: now + PULSE,
    };
    Ok(unfold(Some(watch), async |watch| watch?.next().await))
}

struct Watch {
    watcher: Watcher,
    filter: Filter,
    shutdown: CancellationToken,
    told_live: bool,
    ends_at: Instant,
    alive_at: Instant,
}

impl Watch {
    /// Returns the next event, and what comes after it.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            let position = self.watcher.position().to_string();
            if !self.told_live && self.watcher.is_live() {
                self.told_live = true;
                return Some((Event::Live { position }, Some(self)));
            }
            let end = |why| {
                Some((
                    Event::End {
                        position: position.clone(),
                        why,
                    },
                    None,
                ))
            };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return end("the process is shutting down; go on at another one"),
                () = sleep_until(self.ends_at) => {
                    return end("a watch lasts for five minutes; go on after this position");
                }
                next = self.watcher.next() => match next {
                    Err(_) => return end("events were read too slowly, and some were missed; list the revocations"),
                    Ok(effect) if !self.filter.accepts(&effect.record) => {}
                    Ok(effect) => {
                        self.alive_at = Instant::now() + PULSE;
                        return Some((event(&effect), Some(self)));
                    }
                },
                () = sleep_until(self.alive_at) => {
                    self.alive_at = Instant::now() + PULSE;
                    return Some((Event::Alive { position }, Some(self)));
                }
            }
        }
    }
}

fn event(effect: &Effect) -> Event {
    let happened = Happened {
        position: effect.position.to_string(),
        effective_at: Time(effect.at),
        record: Record::new(&effect.record, effect.forget_after),
    };
    match effect.record.action {
        Action::Revoke => Event::Revoked(happened),
        Action::Lift => Event::Lifted(happened),
    }
}
