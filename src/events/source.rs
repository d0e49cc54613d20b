//! Event sources and the listener's limits, as configured.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credentials::{self, Credentials};
use super::format::{self, Format};
use crate::problem::Problems;
use crate::units::{Bytes, Span};

/// One sender of events, which posts to `/events/<name>`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The last part of the path, in `a`–`z`, `0`–`9` and `-`. It also stands in logs, metrics and
    /// records.
    pub name: String,
    /// What the sender speaks: `fusionauth`, or `{ fusionauth: { … } }` with options.
    #[serde(deserialize_with = "format::deserialize")]
    #[schemars(schema_with = "format::schema")]
    pub format: Format,
    /// The issuer whose tokens this sender may revoke, exactly as in `issuers`.
    pub issuer: String,
    /// How the sender proves who it is.
    pub auth: credentials::Config,
}

/// How much time and room the senders of events get, all of them together.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerConfig {
    /// The largest body. A larger one gets 413, and what it says is lost: leave room for users
    /// with much custom data, whose events carry all of it.
    pub body_limit: Bytes,
    /// How long a sender may take for the head of a request; also how long a connection may idle.
    pub header_timeout: Span,
    /// How long a sender may take for the body of a request.
    pub body_timeout: Span,
    /// How long the store may take before the sender is told to try again.
    pub record_timeout: Span,
    /// How many events are handled at once; more get 503. Read at start and at reload.
    pub max_in_flight: usize,
    /// How many connections are open at once; more wait. Read at start.
    pub max_connections: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            body_limit: Bytes::mib(1),
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(10),
            record_timeout: Span::secs(10),
            max_in_flight: 512,
            max_connections: 1024,
        }
    }
}

impl ListenerConfig {
    /// Reports what is wrong, with `event_listener` as the current place.
    pub fn check(&self, problems: &mut Problems) {
        let sizes = Bytes::kib(4)..=Bytes::mib(16);
        if !sizes.contains(&self.body_limit) {
            problems.push("body_limit", "must be from 4KiB to 16MiB");
        }
        for (field, span) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("record_timeout", self.record_timeout),
        ] {
            if span.0.is_zero() || span > Span::secs(300) {
                problems.push(field, "must be more than zero and at most 5m");
            }
        }
        for (field, count) in [
            ("max_in_flight", self.max_in_flight),
            ("max_connections", self.max_connections),
        ] {
            if !(1..=100_000).contains(&count) {
                problems.push(field, "must be from 1 to 100000");
            }
        }
    }
}

/// Reports what is wrong with the list `events`, with the whole file as the current place. Whether
/// the issuers are configured is checked where both lists are known.
pub fn check(sources: &[SourceConfig], problems: &mut Problems) {
    let mut names = BTreeSet::new();
    problems.each("events", sources, |problems, source| {
        source.check(problems);
        if !names.insert(source.name.clone()) {
            let message = format!("two sources are called {:?}", source.name);
            problems.push("name", message);
        }
    });
}

impl SourceConfig {
    fn check(&self, problems: &mut Problems) {
        if !is_name(&self.name) {
            problems.push("name", "a name has 1 to 64 characters of a-z, 0-9 and -");
        }
        problems.within("format", |problems| self.format.check(problems));
        problems.within("auth", |problems| self.auth.check(problems));
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// A source with its secrets at hand.
#[derive(Debug)]
pub struct Source {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) format: Format,
    pub(super) credentials: Credentials,
}

impl Source {
    /// Reads the secrets of a checked configuration.
    ///
    /// # Errors
    /// A sentence that names the source, the field and the file.
    pub fn build(config: &SourceConfig) -> Result<Self, String> {
        let credentials = Credentials::build(&config.auth)
            .map_err(|error| format!("event source {}: {error}", config.name))?;
        Ok(Self {
            name: config.name.clone(),
            issuer: config.issuer.clone(),
            format: config.format.clone(),
            credentials,
        })
    }
}
