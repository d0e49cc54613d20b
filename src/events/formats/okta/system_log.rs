//! Okta's System Log, asked in polling requests: without an end, and in the order in which Okta stored the
//! events. Each answer has the link to what comes after it, so that link is the cursor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::kind::Kind;
use crate::core::clock::UnixMillis;
use crate::events::pull::ask::{Ask, Page, Since, Trouble};
use crate::events::pull::http::Server;
use crate::events::pull::reconcile::Config;

/// How many events are asked for at once. Okta gives up to 1000.
const PAGE: &str = "200";

/// Asks one organization.
#[derive(Debug)]
pub(super) struct Asker {
    server: Server,
    every: Duration,
    /// Okta does not take the cursor any more.
    begins_anew: AtomicBool,
}

impl Asker {
    /// # Errors
    /// When the address is not safe, or TLS cannot be set up.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        Ok(Self {
            server: config.from.build()?,
            every: config.every.0,
            begins_anew: AtomicBool::new(false),
        })
    }
}

impl Ask for Asker {
    fn every(&self) -> Duration {
        self.every
    }

    fn ask<'a>(&'a self, since: Since<'a>) -> BoxFuture<'a, Result<Page, Trouble>> {
        Box::pin(async move {
            let begins_anew = self.begins_anew.load(Ordering::Relaxed);
            let cursor = since.cursor.filter(|_| !begins_anew);
            let query = cursor.map_or_else(|| first(since.earliest), str::to_owned);
            let answer = self.server.get(&[], &query).await;
            let answer = answer.inspect_err(|trouble| {
                self.begins_anew
                    .store(trouble.is_refusal, Ordering::Relaxed);
            })?;
            self.begins_anew.store(false, Ordering::Relaxed);
            let events: Vec<Value> = serde_json::from_slice(&answer.body).map_err(|_| {
                "Okta's answer is no list of events: is the endpoint that of the System Log, such as \
                 https://acme.okta.com/api/v1/logs?"
                    .to_owned()
            })?;
            Ok(Page {
                more: !events.is_empty() && answer.next.is_some(),
                cursor: answer.next.or_else(|| cursor.map(str::to_owned)),
                events: events.iter().map(as_delivery).collect(),
                warning: None,
            })
        })
    }
}

/// Returns the query of the first page.
fn first(earliest: UnixMillis) -> String {
    let since = UNIX_EPOCH + Duration::from_millis(earliest.0);
    let filter = Kind::ALL.map(|kind| format!("eventType eq \"{}\"", kind.as_str()));
    let mut query = Serializer::new(String::new());
    query.append_pair(
        "since",
        &humantime::format_rfc3339_millis(since).to_string(),
    );
    query.append_pair("sortOrder", "ASCENDING");
    query.append_pair("limit", PAGE);
    query.append_pair("filter", &filter.join(" or "));
    query.finish()
}

/// Wraps an event as an event hook does.
fn as_delivery(event: &Value) -> Bytes {
    let delivery = json!({ "eventId": event["uuid"], "data": { "events": [event] } });
    Bytes::from(delivery.to_string())
}
