//! The options of the format `global-token-revocation`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::events::subject::Subjects;

/// The options of the format `global-token-revocation`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The `iss` of the sender's bearer token, whose keys sign it, if it is another than the issuer
    /// of the tokens to be ended. It must be one of `issuers` too.
    pub caller: Option<String>,
    /// The `aud` of the bearer token, which is the URL of this endpoint at Okta; one of these must be
    /// in it.
    pub audience: Vec<String>,
    /// The `sub` of the bearer token. An access token of the same issuer must never pass for it, so
    /// give it wherever you know it.
    pub caller_subject: Option<String>,
    /// The claim of access tokens for each kind of subject. Usual are `iss_sub: sub`, `opaque: sub`,
    /// `email: email`, `phone_number: phone_number`, `jwt_id: jti` and `session: sid`.
    pub subjects: Subjects,
    /// The answer to a subject that cannot be found in access tokens, such as a phone number if no
    /// claim holds one. Who exists is not known here, so any other subject gets 204.
    pub unknown_subject: UnknownSubject,
    /// The values that the header `typ` of the bearer token may have.
    pub types: Vec<String>,
    /// Whether the bearer token may have no `typ`.
    pub allow_untyped: bool,
    /// How long after its `iat` the bearer token is taken, if it has one. From 1s to 1d.
    pub max_age: Span,
    /// Added to every cut-off, for a provider that issues a token a moment after the request that was
    /// to end it. At most 5m.
    pub grace: Span,
}

/// The answer to a subject that cannot be found in access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownSubject {
    /// 422: the user cannot be logged out.
    #[default]
    Unprocessable,
    /// 404: there is no such user.
    NotFound,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            caller: None,
            audience: Vec::new(),
            caller_subject: None,
            subjects: Subjects::default(),
            unknown_subject: UnknownSubject::default(),
            types: vec!["global-token-revocation+jwt".to_owned()],
            allow_untyped: false,
            max_age: Span::secs(3600),
            grace: Span::secs(0),
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            let message = "name the aud of the sender's tokens: without it, tokens for others would \
                           count";
            errors.push("audience", message);
        }
        errors.within("subjects", |errors| self.subjects.check(errors));
        if self.types.iter().any(String::is_empty) {
            errors.push("types", "a type must not be empty");
        }
        if self.types.is_empty() && !self.allow_untyped {
            errors.conflict("types", "no bearer token could pass");
        }
        let is_usual = |typ: &String| {
            let typ = typ.to_ascii_lowercase();
            matches!(typ.as_str(), "jwt" | "at+jwt" | "application/at+jwt")
        };
        let is_plain = self.allow_untyped || self.types.iter().any(is_usual);
        if is_plain && self.caller_subject.is_none() {
            errors.conflict(
                "caller_subject",
                "is missing: with these types, any token of the issuer with this aud could end \
                 anybody's sessions",
            );
        }
        if !(Span::secs(1)..=Span::secs(24 * 3600)).contains(&self.max_age) {
            errors.push("max_age", "must be from 1s to 1d");
        }
        if self.grace > Span::secs(300) {
            let message = "must be at most 5m: new log-ins would be refused for that long";
            errors.push("grace", message);
        }
    }
}
