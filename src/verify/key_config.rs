//! What an operator writes about key sets: `issuers[].jwks` and `keys:`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::issuer::TENANT;
use crate::core::units::{Bytes, Span};
use crate::net::{Files, safe_url};

/// Where public keys come from. Exactly one of `uri`, `discovery`, `file` and `inline` is given.
#[derive(Clone, Debug, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksConfig {
    /// The address of a JWK set. https, or http to this very machine.
    pub uri: Option<String>,
    /// Ask the issuer: `<issuer>/.well-known/openid-configuration`, then
    /// `/.well-known/oauth-authorization-server` (RFC 8414).
    pub discovery: bool,
    /// A file that holds a JWK set. It is read again whenever it changes.
    pub file: Option<PathBuf>,
    /// A JWK set right here, as an object or as JSON text.
    pub inline: Option<serde_json::Value>,
    /// The authorities that may vouch for the server, as PEM certificates in a file, in place of
    /// those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// A certificate that is shown to a server that asks for one: a PEM file with its chain.
    pub client_cert_file: Option<PathBuf>,
    /// The private key of `client_cert_file`, in PEM.
    pub client_key_file: Option<PathBuf>,
    /// A file that holds a bearer token for the server. It is sent to the configured host only. This
    /// file and the other three are read again at each fetch.
    pub bearer_token_file: Option<PathBuf>,
    /// Also use keys that are published with `use: jwt-svid`, as SPIFFE bundles have them.
    pub jwt_svid: bool,
    /// Allow plain http to other machines. Whoever can change that traffic can sign tokens, so each start
    /// warns of it.
    pub insecure: bool,
}

/// How key sets are fetched, for all issuers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// How often keys are fetched when the answer has no `Cache-Control: max-age`.
    pub refresh: Span,
    /// Keys are fetched no more often than this, whatever the answer's `max-age` says.
    pub min_refresh: Span,
    /// Keys are fetched no more seldom than this, whatever the answer's `max-age` says.
    pub max_refresh: Span,
    /// How often tokens may cause fetches of their issuer's keys: four in a row, then one per this
    /// time. Unknown `kid`s and bad signatures count apart. Tokens that would need a fetch meanwhile
    /// get 503.
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

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            refresh: Span::secs(300),
            min_refresh: Span::secs(60),
            max_refresh: Span::secs(3600),
            cooldown: Span::secs(5),
            timeout: Span::secs(5),
            startup_timeout: Span::secs(10),
            max_stale: Span::secs(24 * 3600),
            max_size: Bytes::mib(1),
        }
    }
}

impl JwksConfig {
    pub(super) fn check(&self, issuer: &str, errors: &mut ConfigErrors) {
        let given = [
            self.uri.is_some(),
            self.discovery,
            self.file.is_some(),
            self.inline.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            errors.push(
                "",
                "give exactly one of uri, discovery: true, file and inline",
            );
        }
        self.check_access(errors);
        if let Some(uri) = &self.uri
            && let Err(why) = safe_url(uri, self.insecure)
        {
            errors.push("uri", why);
        }
        if self.discovery && issuer.contains(TENANT) {
            let why = "cannot be used with an issuer pattern, because a discovery document is \
                       about one issuer: give the address of the shared key set as uri";
            errors.push("discovery", why);
        } else if self.discovery
            && let Err(why) = safe_url(issuer, self.insecure)
        {
            errors.push("discovery", format!("the issuer {why}"));
        }
    }

    fn check_access(&self, errors: &mut ConfigErrors) {
        let access = [
            ("ca_file", &self.ca_file),
            ("client_cert_file", &self.client_cert_file),
            ("client_key_file", &self.client_key_file),
            ("bearer_token_file", &self.bearer_token_file),
        ];
        if self.file.is_some() || self.inline.is_some() {
            for (field, _) in access.iter().filter(|(_, path)| path.is_some()) {
                errors.conflict(field, "is for keys that are fetched: uri or discovery");
            }
        }
        match (&self.client_cert_file, &self.client_key_file) {
            (Some(_), None) => {
                errors.conflict("client_key_file", "is missing beside the certificate");
            }
            (None, Some(_)) => errors.conflict("client_cert_file", "is missing beside the key"),
            _ => {}
        }
    }

    pub(super) fn files(&self) -> Files {
        Files {
            ca: self.ca_file.clone(),
            client_cert: self.client_cert_file.clone(),
            client_key: self.client_key_file.clone(),
            bearer: self.bearer_token_file.clone(),
        }
    }

    /// Returns the JSON text of an inline set.
    pub(super) fn inline_text(&self) -> Option<String> {
        self.inline.as_ref().map(|set| match set {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }
}

impl KeysConfig {
    /// Reports every mistake.
    pub fn check(&self, errors: &mut ConfigErrors) {
        let (second, minute, hour) = (Span::secs(1), Span::secs(60), Span::secs(3600));
        let (week, year) = (Span::secs(7 * 24 * 3600), Span::secs(366 * 24 * 3600));
        errors.range("refresh", self.refresh, second..=week);
        errors.range("min_refresh", self.min_refresh, second..=week);
        errors.range("max_refresh", self.max_refresh, second..=week);
        errors.range("cooldown", self.cooldown, second..=hour);
        errors.range("timeout", self.timeout, second..=minute);
        errors.range("startup_timeout", self.startup_timeout, second..=hour);
        errors.range("max_stale", self.max_stale, minute..=year);
        if self.max_refresh < self.min_refresh {
            errors.conflict("max_refresh", "must not be shorter than min_refresh");
        }
        if self.max_stale < self.refresh.max(self.max_refresh) {
            errors.conflict(
                "max_stale",
                "must not be shorter than refresh and max_refresh, or good keys run out in between",
            );
        }
        errors.range("max_size", self.max_size, Bytes::kib(1)..=Bytes::mib(16));
    }
}
