//! Keycloak's admin API, as far as it tells events.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::form_urlencoded::Serializer;

use super::config::Config;
use super::kind::Kind;
use crate::core::clock::UnixMillis;
use crate::events::answer::Failure;
use crate::events::metrics::Ended;
use crate::events::pull::ask::{Ask, Page, Since, Trouble};
use crate::events::pull::http::Server;
use crate::events::pull::sweep::{Entry, Logs, Sweep};

/// How often it is looked what the realm saves.
const SETTINGS_LAST: Duration = Duration::from_mins(1);

/// What an administrator does to these is asked for.
const RESOURCES: [&str; 6] = [
    "CLIENT_ROLE_MAPPING",
    "GROUP_MEMBERSHIP",
    "REALM",
    "REALM_ROLE_MAPPING",
    "USER",
    "USER_SESSION",
];

const OPERATIONS: [&str; 3] = ["ACTION", "DELETE", "UPDATE"];

/// Asks one realm.
#[derive(Debug)]
pub(super) struct Asker {
    api: Api,
    sweep: Sweep,
    every: Duration,
}

impl Asker {
    /// # Errors
    /// When the address is not safe, or TLS cannot be set up.
    pub(super) fn build(config: &Config) -> Result<Self, String> {
        let kinds = Kind::ALL.into_iter();
        Ok(Self {
            api: Api {
                server: config.from.build()?,
                wanted: kinds.filter(|kind| config.is_on(*kind)).collect(),
                settings: Mutex::default(),
            },
            sweep: Sweep::new(config.overlap.0),
            every: config.every.0,
        })
    }
}

impl Ask for Asker {
    fn every(&self) -> Duration {
        self.every
    }

    fn ask<'a>(&'a self, since: Since<'a>) -> BoxFuture<'a, Result<Page, Trouble>> {
        Box::pin(async move {
            let settings = self.api.settings().await?;
            let page = self.sweep.ask(&self.api, since).await?;
            let reach = since.now.since(since.earliest);
            Ok(Page {
                warning: settings.warning(&self.api.wanted, reach),
                ..page
            })
        })
    }

    fn settled(&self, ended: &[Result<Ended, Failure>]) {
        self.sweep.settled(ended);
    }
}

#[derive(Debug)]
struct Api {
    server: Server,
    /// What is switched on.
    wanted: BTreeSet<Kind>,
    settings: Mutex<Option<(Instant, Settings)>>,
}

/// Which events the realm saves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Settings {
    events_enabled: bool,
    /// Seconds; absent or 0 if events are kept for ever.
    events_expiration: u64,
    enabled_event_types: BTreeSet<String>,
    admin_events_enabled: bool,
    admin_events_details_enabled: bool,
}

impl Logs for Api {
    /// What administrators did, and what users did.
    const COUNT: usize = 2;

    fn page(
        &self,
        log: usize,
        from: UnixMillis,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, Trouble>> {
        let mut query = Serializer::new(String::new());
        query.append_pair("dateFrom", &from.0.to_string());
        query.append_pair("direction", "asc");
        query.append_pair("max", &most.to_string());
        let mut add = |name, values: &[&str]| {
            query.extend_pairs(values.iter().map(|value| (name, value)));
        };
        let path = if log == 0 {
            add("resourceTypes", &RESOURCES);
            add("operationTypes", &OPERATIONS);
            "admin-events"
        } else {
            let types = self.types();
            if types.is_empty() {
                return async { Ok(Vec::new()) }.boxed();
            }
            add("type", &types);
            "events"
        };
        let query = query.finish();
        Box::pin(async move {
            let answer = self.server.get(&[path], &query).await?;
            entries(&answer.body).ok_or_else(|| {
                let why = "answers no list of events with id and time: it is no realm of Keycloak, or one \
                           of a version before 26";
                format!("{path} of the admin API {why}").into()
            })
        })
    }
}

impl Api {
    /// Returns what the realm saves.
    async fn settings(&self) -> Result<Settings, Trouble> {
        let known = self.known_settings();
        if let Some((at, settings)) = known
            && at.elapsed() < SETTINGS_LAST
        {
            return Ok(settings);
        }
        let answer = self.server.get(&["events", "config"], "").await?;
        let settings: Settings = serde_json::from_slice(&answer.body).map_err(|_| {
            "events/config of the admin API answers no settings: is the endpoint a realm's, such as \
             https://id.example.com/admin/realms/acme?"
                .to_owned()
        })?;
        let known = Some((Instant::now(), settings.clone()));
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(settings)
    }

    fn known_settings(&self) -> Option<(Instant, Settings)> {
        let settings = self.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the user events to ask for. Keycloak answers 500 to a type that its version does not have,
    /// and everything if none is named.
    fn types(&self) -> Vec<&'static str> {
        let saved = self
            .known_settings()
            .map(|(_, settings)| settings.enabled_event_types);
        let saved = saved.unwrap_or_default();
        let wanted = self.wanted.iter().filter(|kind| kind.is_user_event());
        let wanted = wanted.map(|kind| kind.as_str());
        wanted.filter(|name| saved.contains(*name)).collect()
    }
}

impl Settings {
    /// Returns what keeps the realm from telling everything; `reach` is how long a token may live.
    fn warning(&self, wanted: &BTreeSet<Kind>, reach: Duration) -> Option<String> {
        let mut faults = Vec::new();
        if !self.admin_events_enabled {
            faults.push("\"Save events\" of the admin events is off, so nobody learns that a user was disabled or deleted".to_owned());
        } else if !self.admin_events_details_enabled {
            faults.push("\"Include representation\" of the admin events is off, so every change of a user ends the user's tokens".to_owned());
        }
        let missing: Vec<_> = wanted
            .iter()
            .filter(|kind| kind.is_user_event() && kind.is_saved_by_default())
            .map(|kind| kind.as_str())
            .filter(|name| !self.enabled_event_types.contains(*name))
            .collect();
        if !self.events_enabled {
            faults.push("\"Save events\" of the user events is off, so nobody learns of a logout or a changed password".to_owned());
        } else if !missing.is_empty() {
            faults.push(format!(
                "the user events {} are not saved",
                missing.join(", ")
            ));
        }
        if (1..reach.as_secs()).contains(&self.events_expiration) {
            faults.push(format!(
                "user events expire after {} s, before the tokens that they end",
                self.events_expiration
            ));
        }
        (!faults.is_empty()).then(|| {
            let faults = faults.join("; ");
            format!("{faults}: change it in Keycloak under Realm settings, Events")
        })
    }
}

/// Reads a list of events, of which each has an id and a time.
fn entries(body: &[u8]) -> Option<Vec<Entry>> {
    let events: Vec<Value> = serde_json::from_slice(body).ok()?;
    let entries = events.into_iter().map(|event| {
        Some(Entry {
            at: UnixMillis(event["time"].as_u64()?),
            id: event["id"].as_str()?.to_owned(),
            body: Bytes::from(event.to_string()),
        })
    });
    entries.collect()
}
