//! The options of the format `shared-signals`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::kind::Kind;
use super::poll::PollConfig;
use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::events::subject::{Part, Subjects};

/// The options of the format `shared-signals`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The `iss` of the transmitter, whose keys sign its events, if it is another than the issuer of
    /// the tokens. It must be one of `issuers` too.
    pub transmitter: Option<String>,
    /// The `aud` of the stream; one of these must be in the `aud` of an event.
    pub audience: Vec<String>,
    /// The claim of access tokens for each kind of subject. Usual are `iss_sub: sub`, `opaque: sub`,
    /// `email: email`, `phone_number: phone_number`, `jwt_id: jti` and `session: sid`. The others
    /// (`account`, `did`, `uri`, and `application`, `device`, `group`, `org_unit`, `tenant` of
    /// complex subjects) have none: name one if access tokens carry it.
    pub subjects: Subjects,
    /// The members of complex subjects that the transmitter calls critical. An event with such a
    /// member is refused unless `subjects` has a claim for it. Others without a claim are passed
    /// over, so that the event reaches more tokens and never fewer.
    pub critical_subject_members: Vec<Part>,
    /// Switches events on or off. On are `session-revoked`, `token-claims-change`,
    /// `credential-change` (but for a credential that was created), `account-disabled`,
    /// `account-purged`, `account-credential-change-required`, `credential-compromise`,
    /// `sessions-revoked` and `tokens-revoked`.
    pub on: BTreeMap<Kind, bool>,
    /// The values that the header `typ` of an event may have.
    pub types: Vec<String>,
    /// Whether an event may have no `typ`.
    pub allow_untyped: bool,
    /// How long after its `iat` an event is taken. From 1m to 90d.
    pub max_age: Span,
    /// Added to every cut-off, for a provider that issues a token a moment after the event that was
    /// to end it. At most 5m.
    pub grace: Span,
    /// Ask the transmitter for events. Without it they are pushed to `/events/<name>`.
    pub poll: Option<Box<PollConfig>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transmitter: None,
            audience: Vec::new(),
            subjects: Subjects::default(),
            critical_subject_members: Vec::new(),
            on: BTreeMap::new(),
            types: vec!["secevent+jwt".to_owned()],
            allow_untyped: false,
            max_age: Span::secs(7 * 24 * 3600),
            grace: Span::secs(0),
            poll: None,
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            let message = "name the aud of the stream: without it, events for others would count";
            errors.push("audience", message);
        }
        errors.within("subjects", |errors| self.subjects.check(errors));
        if self.types.iter().any(String::is_empty) {
            errors.push("types", "a type must not be empty");
        }
        if self.types.is_empty() && !self.allow_untyped {
            errors.conflict("types", "no event could pass");
        }
        if !(Span::secs(60)..=Span::secs(90 * 24 * 3600)).contains(&self.max_age) {
            errors.push("max_age", "must be from 1m to 90d");
        }
        if let Some(poll) = &self.poll {
            errors.within("poll", |errors| poll.check(errors));
        }
        if self.grace > Span::secs(300) {
            let message = "must be at most 5m: new log-ins would be refused for that long";
            errors.push("grace", message);
        }
    }

    pub(super) fn is_on(&self, kind: Kind) -> bool {
        let configured = self.on.get(&kind).copied();
        configured.unwrap_or_else(|| kind.is_on_by_default())
    }
}
