//! Asks a transmitter for events (RFC 8936).

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::events::answer::Failure;
use crate::events::metrics::Ended;
use crate::events::pull::ask::{Ask, Page, Since, Trouble};
use crate::events::pull::http::{self, Server};

/// A transmitter with more has to be asked again.
const MOST_EVENTS: usize = 100;

/// Asks the transmitter for events (RFC 8936). An event is acknowledged once it is durable.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// How the transmitter is reached. The endpoint is the `endpoint_url` in the `delivery` of the stream.
    pub from: http::Config,
    /// How long to wait after an answer without events. From 1s to 1h.
    #[serde(default = "default_every")]
    pub every: Span,
}

fn default_every() -> Span {
    Span::secs(5)
}

impl PollConfig {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        errors.within("from", |errors| self.from.check(errors));
        errors.range("every", self.every, Span::secs(1)..=Span::secs(3600));
    }

    pub(super) fn build(&self) -> Result<Poll, String> {
        let server = self.from.build();
        Ok(Poll {
            server: server.map_err(|why| format!("poll.from.{why}"))?,
            every: self.every.0,
            answers: Mutex::default(),
        })
    }
}

/// A stream that is polled.
#[derive(Debug)]
pub(super) struct Poll {
    server: Server,
    every: Duration,
    answers: Mutex<Answers>,
}

/// What the transmitter has not been told yet. What is lost in a crash comes again.
#[derive(Debug, Default)]
struct Answers {
    /// The ids of the last page, in its order.
    page: Vec<String>,
    ack: Vec<String>,
    set_errs: BTreeMap<String, Value>,
}

/// RFC 8936 §2.5: the events by `jti`.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    sets: BTreeMap<String, String>,
    #[serde(default, rename = "moreAvailable")]
    more_available: bool,
}

impl Ask for Poll {
    fn every(&self) -> Duration {
        self.every
    }

    fn ask<'a>(&'a self, _since: Since<'a>) -> BoxFuture<'a, Result<Page, Trouble>> {
        Box::pin(async {
            let (ack, set_errs) = {
                let answers = self.answers();
                (answers.ack.clone(), answers.set_errs.clone())
            };
            let question = json!({
                "maxEvents": MOST_EVENTS,
                "returnImmediately": true,
                "ack": ack,
                "setErrs": set_errs,
            });
            let answer = self.server.post(&[], &question).await?;
            let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| {
                "the transmitter's answer is no JSON object with sets (RFC 8936 §2.5): is the endpoint \
                 the endpoint_url of a stream whose delivery is poll?"
                    .to_owned()
            })?;
            let (page, events): (Vec<_>, Vec<_>) = answer.sets.into_iter().unzip();
            // Whoever gave answers wants to hear of them at once.
            let more = answer.more_available || !page.is_empty();
            *self.answers() = Answers {
                page,
                ..Answers::default()
            };
            Ok(Page {
                events: events.into_iter().map(Bytes::from).collect(),
                more,
                ..Page::default()
            })
        })
    }

    /// Acknowledges what is durable or means nothing, and refuses what can never succeed. The rest comes
    /// again.
    fn settled(&self, ended: &[Result<Ended, Failure>]) {
        let mut answers = self.answers();
        let page = mem::take(&mut answers.page);
        for (id, result) in page.into_iter().zip(ended) {
            match result {
                Ok(_) => answers.ack.push(id),
                Err(failure) if failure.passes() => {}
                Err(failure) => {
                    answers.set_errs.insert(id, failure.security_event_error());
                }
            }
        }
    }
}

impl Poll {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
