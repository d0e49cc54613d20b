//! The options of the format `oidc-backchannel-logout`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::config_error::ConfigErrors;
use crate::core::units::Span;
use crate::verify::claims::ClaimPath;

/// The options of the format `oidc-backchannel-logout`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The ids of the clients whose logout messages count: one of them must be in the `aud` of a
    /// logout token.
    pub clients: Vec<String>,
    /// The claim of access tokens that has the session of a logout token's `sid`.
    pub session_claim: String,
    /// What to do about a session if access tokens do not say which session they belong to.
    /// Without it a message with a `sid` ends that session only.
    pub sid_fallback: Option<SidFallback>,
    /// The values that the header `typ` of a logout token may have. Most providers do not send the
    /// `logout+jwt` of the specification.
    pub types: Vec<String>,
    /// Whether a logout token may have no `typ`.
    pub allow_untyped: bool,
    /// Whether a logout token needs an `exp`, as the specification wants it. Switch it off for Ory
    /// Hydra.
    pub require_exp: bool,
    /// How long after its `iat` a logout token is taken. From 1s to 1d.
    pub max_age: Span,
    /// Added to every cut-off, for a provider that issues a token a moment after the logout that was
    /// to end it. At most 5m.
    pub grace: Span,
}

/// What a logout of one session ends if access tokens name no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SidFallback {
    /// All sessions of the user. A message that names no user is refused, because it reaches
    /// nothing.
    Subject,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            session_claim: "sid".to_owned(),
            sid_fallback: None,
            types: vec!["logout+jwt".to_owned(), "JWT".to_owned()],
            allow_untyped: true,
            require_exp: true,
            max_age: Span::secs(300),
            grace: Span::secs(0),
        }
    }
}

impl Config {
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        if self.clients.is_empty() || self.clients.iter().any(String::is_empty) {
            let message = "name the clients whose logout messages count, by their client ids";
            errors.push("clients", message);
        }
        if let Err(why) = ClaimPath::parse(&self.session_claim) {
            errors.push("session_claim", why.to_string());
        }
        if self.types.iter().any(String::is_empty) {
            errors.push("types", "a type must not be empty");
        }
        if self.types.is_empty() && !self.allow_untyped {
            errors.conflict("types", "no logout token could pass");
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
