//! FusionAuth's webhook event log, which has every event that it tried to deliver.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::clock::UnixMillis;
use crate::events::answer::Failure;
use crate::events::metrics::Ended;
use crate::events::pull::ask::{Ask, Page, Since, Trouble};
use crate::events::pull::http::Server;
use crate::events::pull::reconcile::Config;
use crate::events::pull::sweep::{Entry, Logs, Sweep};

/// The longest that an event takes to appear in the log.
const OVERLAP: Duration = Duration::from_mins(1);

const SEARCH: [&str; 4] = ["api", "system", "webhook-event-log", "search"];

/// Asks one FusionAuth.
#[derive(Debug)]
pub(super) struct Asker {
    log: EventLog,
    sweep: Sweep,
    every: Duration,
}

impl Asker {
    /// # Errors
    /// When the address is not safe, or TLS cannot be set up.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        Ok(Self {
            log: EventLog(config.from.build()?),
            sweep: Sweep::new(OVERLAP),
            every: config.every.0,
        })
    }
}

impl Ask for Asker {
    fn every(&self) -> Duration {
        self.every
    }

    fn ask<'a>(&'a self, since: Since<'a>) -> BoxFuture<'a, Result<Page, Trouble>> {
        Box::pin(self.sweep.ask(&self.log, since))
    }

    fn settled(&self, ended: &[Result<Ended, Failure>]) {
        self.sweep.settled(ended);
    }
}

#[derive(Debug)]
struct EventLog(Server);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(default)]
    webhook_event_logs: Vec<Logged>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    id: String,
    insert_instant: u64,
    /// `Failed`, `Running` or `Succeeded`.
    event_result: Option<String>,
    event_type: Option<String>,
    /// What was or will be posted.
    event: Value,
}

impl Logs for EventLog {
    const COUNT: usize = 1;

    fn page(
        &self,
        _log: usize,
        from: UnixMillis,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, Trouble>> {
        let question = json!({ "search": {
            // Whether this very millisecond counts is not documented.
            "start": from.0.saturating_sub(1),
            // By default the end of the current minute, by a clock that may be behind.
            "end": from.0.saturating_add(1000 * 24 * 3600 * 1000),
            "orderBy": "insertInstant ASC",
            "startRow": 0,
            "numberOfResults": most,
        } });
        Box::pin(async move {
            let answer = self.0.post(&SEARCH, &question).await?;
            let found: Result<Found, _> = serde_json::from_slice(&answer.body);
            let found = found.map_err(|_| {
                "FusionAuth's answer has no list of events with id and insertInstant".to_owned()
            })?;
            Ok(found.webhook_event_logs.into_iter().map(entry).collect())
        })
    }
}

fn entry(logged: Logged) -> Entry {
    // A transaction that failed reactivated nobody. What should have ended tokens may end them.
    let failed = logged.event_result.as_deref() != Some("Succeeded");
    let lifts = logged.event_type.as_deref() == Some("user.reactivate");
    let body = match logged.event {
        _ if failed && lifts => json!({ "event": { "type": "test" } }),
        event if event["event"].is_object() => event,
        event => json!({ "event": event }),
    };
    Entry {
        at: UnixMillis(logged.insert_instant),
        id: logged.id,
        body: Bytes::from(body.to_string()),
    }
}
