//! What an operator writes: `issuers:`, `keys:` and `cache:`.

mod issuer;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::fetch::safe_url;
use crate::problem::Problems;
use crate::secret::{Encoding, Secret};
use crate::units::{Bytes, Span};

pub use issuer::{BoundTokens, IssuerConfig, check_issuers};

/// Where public keys come from. Exactly one of `uri`, `discovery`, `file` and `inline` is given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksConfig {
    /// The address of a JWK set. https, or http to this very machine.
    #[serde(default)]
    pub uri: Option<String>,
    /// Ask the issuer: `<issuer>/.well-known/openid-configuration`, then
    /// `/.well-known/oauth-authorization-server` (RFC 8414).
    #[serde(default)]
    pub discovery: bool,
    /// A file that holds a JWK set. It is read again whenever it changes.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A JWK set right here, as an object or as JSON text.
    #[serde(default)]
    pub inline: Option<serde_json::Value>,
    /// Allow plain http to other machines. Whoever can change that traffic can sign tokens.
    #[serde(default)]
    pub allow_http: bool,
}

/// A secret for HMAC. At least as long as the hash: 32, 48 or 64 bytes (RFC 7518 §3.2).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The secret itself.
    #[serde(default)]
    pub value: Option<Secret>,
    /// A file that holds the secret. One line break at the end of text is dropped.
    #[serde(default)]
    pub value_file: Option<PathBuf>,
    /// How the secret is written: `plain`, or `base64` for bytes that are no text.
    #[serde(default)]
    pub encoding: Encoding,
    /// The `kid` of tokens that are signed with it. A token may lack it; another one is refused.
    /// Without this setting the token's `kid` does not matter.
    #[serde(default)]
    pub kid: Option<String>,
}

/// How key sets are fetched, for all issuers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// How often keys are fetched when the answer has no `Cache-Control: max-age`.
    pub refresh: Span,
    /// Keys are fetched no more often than this, whatever the answer's `max-age` says.
    pub min_refresh: Span,
    /// Keys are fetched no more seldom than this, whatever the answer's `max-age` says.
    pub max_refresh: Span,
    /// The shortest time between two fetches of an issuer's keys because of unknown `kid`s.
    pub cooldown: Span,
    /// The longest that one fetch may take, and that a request waits for one.
    pub timeout: Span,
    /// How long the start waits for an issuer's keys. Then its tokens get 503, the others are
    /// served, and fetching goes on.
    pub startup_timeout: Span,
    /// How long the last good keys are used while newer ones cannot be fetched.
    pub max_stale: Span,
    /// A larger answer is refused.
    pub max_size: Bytes,
}

/// The cache of verified tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The memory that verified tokens may take. `0B` turns the cache off.
    pub max_size: Bytes,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            refresh: Span::secs(300),
            min_refresh: Span::secs(60),
            max_refresh: Span::secs(3600),
            cooldown: Span::secs(10),
            timeout: Span::secs(5),
            startup_timeout: Span::secs(10),
            max_stale: Span::secs(24 * 3600),
            max_size: Bytes::mib(1),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_size: Bytes::mib(64),
        }
    }
}

impl JwksConfig {
    pub(super) fn check(&self, issuer: &str, problems: &mut Problems) {
        let given = [
            self.uri.is_some(),
            self.discovery,
            self.file.is_some(),
            self.inline.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            problems.push(
                "",
                "give exactly one of uri, discovery: true, file and inline",
            );
        }
        if let Some(uri) = &self.uri
            && let Err(why) = safe_url(uri, self.allow_http)
        {
            problems.push("uri", why);
        }
        if self.discovery
            && let Err(why) = safe_url(issuer, self.allow_http)
        {
            problems.push("discovery", format!("the issuer {why}"));
        }
    }

    /// The JSON text of an inline set.
    pub(super) fn inline_text(&self) -> Option<String> {
        self.inline.as_ref().map(|set| match set {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }
}

impl SecretConfig {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.value.is_some() == self.value_file.is_some() {
            problems.push("", "give exactly one of value and value_file");
        }
    }
}

impl KeysConfig {
    /// Reports every mistake.
    pub fn check(&self, problems: &mut Problems) {
        let (second, minute, week) = (Span::secs(1), Span::secs(60), Span::secs(7 * 24 * 3600));
        let bounded = [
            ("refresh", self.refresh, second, week),
            ("min_refresh", self.min_refresh, second, week),
            ("max_refresh", self.max_refresh, second, week),
            ("cooldown", self.cooldown, second, Span::secs(3600)),
            ("timeout", self.timeout, second, minute),
            (
                "startup_timeout",
                self.startup_timeout,
                second,
                Span::secs(3600),
            ),
            (
                "max_stale",
                self.max_stale,
                minute,
                Span::secs(366 * 24 * 3600),
            ),
        ];
        for (field, span, least, most) in bounded {
            if !(least..=most).contains(&span) {
                problems.push(field, format!("must be between {least} and {most}"));
            }
        }
        if self.max_refresh < self.min_refresh {
            problems.push("max_refresh", "must not be shorter than min_refresh");
        }
        if self.max_stale < self.refresh.max(self.max_refresh) {
            problems.push(
                "max_stale",
                "must not be shorter than refresh and max_refresh, or good keys run out in between",
            );
        }
        if self.max_size < Bytes::kib(1) || self.max_size > Bytes::mib(16) {
            problems.push("max_size", "must be between 1KiB and 16MiB");
        }
    }
}

impl CacheConfig {
    /// Reports every mistake: there is none to make yet.
    pub fn check(&self, _problems: &mut Problems) {}
}
