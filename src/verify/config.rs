//! What an operator writes: `issuers:`, `keys:` and `cache:`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::algorithm::{Algorithm, Algorithms};
use super::claims::ClaimPath;
use super::fetch::safe_url;
use super::secret_key;
use crate::problem::Problems;
use crate::secret::{Encoding, Secret};
use crate::units::{Bytes, Span};

/// An issuer whose tokens are accepted, and on what terms.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The token's `iss`, compared byte by byte: a slash at the end matters.
    pub issuer: String,
    /// Where the issuer's public keys come from.
    #[serde(default)]
    pub jwks: Option<JwksConfig>,
    /// A secret shared with the issuer, for HS256, HS384 and HS512. It never verifies another
    /// algorithm, and a public key never verifies these.
    #[serde(default)]
    pub secret: Option<SecretConfig>,
    /// A token must be meant for at least one of these (`aud`).
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Accept tokens whoever they are meant for. A token that the issuer gave another service
    /// then works here too.
    #[serde(default)]
    pub any_audience: bool,
    /// The signature algorithms that are accepted. Default: every asymmetric one if there is
    /// `jwks`, and those HMAC ones for which a `secret` is long enough.
    #[serde(default)]
    pub algorithms: Option<Vec<Algorithm>>,
    /// The longest life of a token: one with `exp − iat` above it, plus `leeway`, is refused.
    /// Revocations are kept this long, so it is what makes forgetting them safe.
    #[serde(default = "max_token_lifetime")]
    pub max_token_lifetime: Span,
    /// How far the issuer's clock may differ from ours, and how far `exp − iat` may exceed
    /// `max_token_lifetime`.
    #[serde(default = "leeway")]
    pub leeway: Span,
    /// Refuse tokens without `iat`. Otherwise such a token counts as issued as early as its `exp`,
    /// `max_token_lifetime` and `leeway` allow.
    #[serde(default)]
    pub require_iat: bool,
    /// The kinds of token that are accepted (`typ` in the header), compared without case and with
    /// or without `application/`. Kinds that are not listed, such as `logout+jwt`, are refused.
    #[serde(default = "types")]
    pub types: Vec<String>,
    /// Accept tokens whose header has no `typ`.
    #[serde(default = "yes")]
    pub allow_untyped: bool,
    /// Claims that a token must have, with a value other than null.
    #[serde(default)]
    pub required_claims: Vec<ClaimPath>,
    /// The only clients whose tokens are accepted. Empty: any client.
    #[serde(default)]
    pub allowed_clients: Vec<String>,
    /// The claims that may name the client. The first that a token has counts.
    #[serde(default = "client_claims")]
    pub client_claims: Vec<ClaimPath>,
}

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

const LONGEST_LEEWAY: Span = Span::secs(600);
const LONGEST_LIFETIME: Span = Span::secs(366 * 24 * 3600);

const fn max_token_lifetime() -> Span {
    Span::secs(3600)
}

const fn leeway() -> Span {
    Span::secs(30)
}

const fn yes() -> bool {
    true
}

fn types() -> Vec<String> {
    ["JWT", "at+jwt"].map(str::to_owned).into()
}

fn client_claims() -> Vec<ClaimPath> {
    ["client_id", "azp", "applicationId"]
        .map(|name| name.parse().expect("it is a plain name"))
        .into()
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

/// Checks the list `issuers:`, each item and all together.
pub fn check_issuers(issuers: &[IssuerConfig], problems: &mut Problems) {
    if issuers.is_empty() {
        problems.push("issuers", "name at least one issuer");
    }
    problems.each("issuers", issuers, |problems, issuer| {
        issuer.check(problems);
    });
    for (i, issuer) in issuers.iter().enumerate() {
        if issuers[..i]
            .iter()
            .any(|other| other.issuer == issuer.issuer)
        {
            problems.push(
                &format!("issuers[{i}].issuer"),
                "this issuer stands here twice",
            );
        }
    }
}

impl IssuerConfig {
    /// Reports every mistake that can be seen without opening a file.
    pub fn check(&self, problems: &mut Problems) {
        if self.issuer.is_empty() {
            problems.push("issuer", "must not be empty");
        }
        self.check_keys(problems);
        self.check_algorithms(problems);
        if self.audiences.is_empty() && !self.any_audience {
            problems.push(
                "audiences",
                "name the audiences whose tokens are accepted, or set any_audience: true",
            );
        }
        if !self.audiences.is_empty() && self.any_audience {
            problems.push("any_audience", "contradicts audiences; give one of them");
        }
        if !(Span::secs(1)..=LONGEST_LIFETIME).contains(&self.max_token_lifetime) {
            let why = format!("must be between 1s and {LONGEST_LIFETIME}");
            problems.push("max_token_lifetime", why);
        }
        if self.leeway > LONGEST_LEEWAY {
            problems.push("leeway", format!("must be at most {LONGEST_LEEWAY}"));
        }
        if self.types.is_empty() && !self.allow_untyped {
            problems.push(
                "types",
                "no token could pass: list a type or set allow_untyped: true",
            );
        }
        let lists = [
            ("audiences", &self.audiences),
            ("types", &self.types),
            ("allowed_clients", &self.allowed_clients),
        ];
        for (field, list) in lists {
            if list.iter().any(String::is_empty) {
                problems.push(field, "must not contain an empty text");
            }
        }
        if !self.allowed_clients.is_empty() && self.client_claims.is_empty() {
            problems.push("client_claims", "allowed_clients needs a claim to look at");
        }
    }

    /// The longest `exp − iat` of a token that is accepted.
    pub(super) fn longest_life(&self) -> std::time::Duration {
        self.max_token_lifetime.0.saturating_add(self.leeway.0)
    }

    fn check_keys(&self, problems: &mut Problems) {
        if self.jwks.is_none() && self.secret.is_none() {
            problems.push("jwks", "give jwks, or a secret for HMAC");
        }
        if let Some(jwks) = &self.jwks {
            problems.within("jwks", |problems| jwks.check(&self.issuer, problems));
        }
        if let Some(secret) = &self.secret {
            problems.within("secret", |problems| secret.check(problems));
        }
    }

    fn check_algorithms(&self, problems: &mut Problems) {
        let Some(algorithms) = &self.algorithms else {
            return;
        };
        if algorithms.is_empty() {
            problems.push(
                "algorithms",
                "no token could pass: list one or leave this out",
            );
        }
        for algorithm in algorithms {
            if algorithm.is_hmac() && self.secret.is_none() {
                let why = format!("{algorithm:?} needs a secret; a public key never verifies it");
                problems.push("algorithms", why);
            }
            if !algorithm.is_hmac() && self.jwks.is_none() {
                problems.push("algorithms", format!("{algorithm:?} needs jwks"));
            }
        }
        if let Some(secret) = &self.secret
            && let Some(value) = &secret.value
        {
            let decoded = secret.encoding.decode(value.clone());
            let served = decoded.and_then(|value| secret_key::algorithms(self, &value));
            if let Err(why) = served {
                problems.push("secret.value", why);
            }
        }
    }

    /// The algorithms that public keys may verify.
    pub(super) fn asymmetric(&self) -> Algorithms {
        let listed = self.algorithms.as_deref().unwrap_or(&Algorithm::ALL);
        let asymmetric = listed.iter().copied().filter(|one| !one.is_hmac());
        asymmetric.filter(|_| self.jwks.is_some()).collect()
    }
}

impl JwksConfig {
    fn check(&self, issuer: &str, problems: &mut Problems) {
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
    fn check(&self, problems: &mut Problems) {
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
