//! Event sources and the listener's limits, as configured.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Answers;
use super::auth::{self, Credentials};
use super::directory::{self, Directory};
use super::formats::{self, Format};
use super::pull::ask::Ask;
use super::rate::{self, RateLimit};
use crate::core::clock::UnixMillis;
use crate::core::config_error::ConfigErrors;
use crate::core::network::CLIENT_IP;
use crate::core::units::{Bytes, Span};
use crate::revocation::Draft;

/// One sender of events, which posts to `/events/<name>`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The last part of the path, in `a`–`z`, `0`–`9` and `-`. It also stands in logs, metrics and
    /// records.
    pub name: String,
    /// What the sender speaks: the name of a format such as `fusionauth`, or
    /// `{ fusionauth: { … } }` with options.
    #[serde(deserialize_with = "formats::deserialize")]
    #[schemars(schema_with = "formats::schema")]
    pub format: Format,
    /// The issuer whose tokens this sender may revoke, exactly as in `issuers`. Of an issuer with
    /// `tenants`, one tenant's: the pattern with the tenant filled in.
    pub issuer: String,
    /// How the sender proves who it is. Formats whose events are signed tokens need nothing here.
    #[serde(default)]
    pub auth: auth::Config,
    /// In place of `event_listener.record_timeout`, for this sender.
    #[serde(default)]
    pub record_timeout: Option<Span>,
    /// Whom events mean that name an e-mail address or the like, where tokens have something else.
    #[serde(default)]
    pub directory: Option<directory::Config>,
    /// Refuses nothing because of its events. They are recorded, with `shadow/` before the name of the source, and
    /// what they would refuse is counted, logged and kept as such.
    #[serde(default)]
    pub shadow: bool,
    /// How many events it may send. Default: as many as it likes.
    #[serde(default)]
    pub rate_limit: Option<rate::Config>,
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
    /// How long checking and recording an event may take before the sender is told to try again.
    /// The event is recorded all the same, if that is possible. Keep it below the sender's own time
    /// limit: most senders never try again. Default: by the format, `800ms` for `shared-signals`,
    /// `2500ms` for `global-token-revocation`, `5s` for `scim`, `1500ms` for the others.
    pub record_timeout: Option<Span>,
    /// How many events are handled at once; more get 503. Read at start.
    pub max_in_flight: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            body_limit: Bytes::mib(1),
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(10),
            record_timeout: None,
            max_in_flight: 512,
        }
    }
}

impl ListenerConfig {
    /// Reports what is wrong, with `event_listener` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        let sizes = Bytes::kib(4)..=Bytes::mib(16);
        if !sizes.contains(&self.body_limit) {
            errors.push("body_limit", "must be from 4KiB to 16MiB");
        }
        for (field, span) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
        ] {
            check_timeout(field, Some(span), errors);
        }
        check_timeout("record_timeout", self.record_timeout, errors);
        if !(1..=100_000).contains(&self.max_in_flight) {
            errors.push("max_in_flight", "must be from 1 to 100000");
        }
    }
}

fn check_timeout(field: &str, span: Option<Span>, errors: &mut ConfigErrors) {
    if span.is_some_and(|span| span.0.is_zero() || span > Span::secs(300)) {
        errors.push(field, "must be greater than zero and at most 5m");
    }
}

/// Reports what is wrong with the list `events`, with the whole file as the current place. Whether
/// the issuers are configured is checked where both lists are known.
pub fn check(sources: &[SourceConfig], errors: &mut ConfigErrors) {
    let mut names = BTreeSet::new();
    errors.each("events", sources, |errors, source| {
        source.check(errors);
        if !names.insert(source.name.clone()) {
            let message = format!("duplicate source name {:?}", source.name);
            errors.push("name", message);
        }
    });
}

impl SourceConfig {
    /// Returns the issuer that signs its events, if that is not the issuer of the tokens, after the
    /// path of the field that names it.
    #[must_use]
    pub fn signer(&self) -> Option<(String, &str)> {
        let signer = self.format.dialect().signer();
        signer.map(|(field, issuer)| (format!("format.{field}"), issuer))
    }

    /// Returns whether its events may revoke by the address that requests come from.
    #[must_use]
    pub fn names_networks(&self) -> bool {
        self.format.dialect().claims().contains(&CLIENT_IP)
    }

    /// Returns the names of which its sender's certificate must hold one; none if it needs no certificate.
    #[must_use]
    pub fn certificate_names(&self) -> &[String] {
        let certificate = self.auth.client_certificate.as_ref();
        certificate.map_or(&[], |certificate| &certificate.names.0)
    }

    /// Returns whether its events are asked for, so that nobody has to push them.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.format.dialect().is_asked()
    }

    fn check(&self, errors: &mut ConfigErrors) {
        errors.name("name", &self.name);
        errors.within("format", |errors| self.format.check(errors));
        let proof = self.format.dialect().proof();
        errors.within("auth", |errors| self.auth.check(&proof, errors));
        check_timeout("record_timeout", self.record_timeout, errors);
        if let Some(directory) = &self.directory {
            errors.within("directory", |errors| directory.check(errors));
        }
        if let Some(limit) = self.rate_limit {
            errors.within("rate_limit", |errors| limit.check(errors));
        }
    }
}

/// A source with its secrets at hand.
#[derive(Debug)]
pub struct Source {
    pub(super) name: String,
    /// Its name in records.
    pub(super) recorded_as: String,
    pub(super) issuer: String,
    pub(super) format: Format,
    pub(super) credentials: Credentials,
    pub(super) directory: Option<Arc<Directory>>,
    /// Asks the provider, if its events are not only pushed.
    pub(super) asker: Option<Box<dyn Ask>>,
    /// Of its own, or else the format's.
    record_timeout: Option<Duration>,
    rate_limit: Option<RateLimit>,
}

impl Source {
    /// Reads the secrets of a checked configuration.
    ///
    /// # Errors
    /// A sentence that names the source, the field and the file.
    pub fn build(config: &SourceConfig) -> Result<Self, String> {
        let proof = config.format.dialect().proof();
        let of_source = |error| format!("event source {}: {error}", config.name);
        let credentials = Credentials::build(&config.auth, proof, &config.issuer);
        let credentials = credentials.map_err(of_source)?;
        let directory = config.directory.as_ref().map(directory::Config::build);
        let directory = directory.transpose().map_err(of_source)?;
        Ok(Self {
            name: config.name.clone(),
            recorded_as: if config.shadow {
                Draft::source_in_shadow(&config.name)
            } else {
                config.name.clone()
            },
            issuer: config.issuer.clone(),
            format: config.format.clone(),
            credentials,
            directory: directory.map(Arc::new),
            asker: config.format.dialect().asker().map_err(of_source)?,
            record_timeout: config.record_timeout.map(|span| span.0),
            rate_limit: config.rate_limit.map(rate::Config::build),
        })
    }

    /// Returns whether its sender may ask for this path below its own.
    pub(super) fn takes(&self, below: Option<&str>) -> bool {
        let dialect = self.format.dialect();
        match dialect.resources() {
            None => below.is_none_or(|below| dialect.paths().contains(&below)),
            Some(resources) => {
                let rest = below.and_then(|below| below.strip_prefix(resources.root()));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Gives drafts the name of the source in records.
    pub(super) fn in_records(&self, mut drafts: Vec<Draft>) -> Vec<Draft> {
        for draft in &mut drafts {
            draft.source.clone_from(&self.recorded_as);
        }
        drafts
    }

    /// Returns how its sender wants to be answered.
    pub(super) fn answers(&self) -> Answers {
        Answers {
            challenge: self.credentials.challenge(),
            ..self.format.dialect().answers()
        }
    }

    /// Counts an event of a sender that proved itself.
    ///
    /// # Errors
    /// How long the sender has to wait, when it sent too many.
    pub(super) fn count(&self, now: UnixMillis) -> Result<(), Duration> {
        self.rate_limit
            .as_ref()
            .map_or(Ok(()), |limit| limit.take(now))
    }

    /// Returns how long checking and recording its events may take.
    pub(super) fn record_timeout(&self, limits: &ListenerConfig) -> Duration {
        let common = limits.record_timeout.map(|span| span.0);
        let set = self.record_timeout.or(common);
        set.unwrap_or_else(|| self.format.dialect().patience())
    }
}
