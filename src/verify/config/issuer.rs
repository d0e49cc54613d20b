//! An entry of `issuers:`.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretConfig;
use crate::core::config_error::ConfigErrors;
use crate::core::issuer::{IssuerPattern, is_tenant, overlap};
use crate::core::shorthand::TextOr;
use crate::core::units::Span;
use crate::verify::algorithm::{Algorithm, Algorithms};
use crate::verify::claims::{ClaimPath, Requirement};
use crate::verify::key_config::JwksConfig;
use crate::verify::profile::{Form, Profile};
use crate::verify::secret_key;
use crate::verify::session::SessionConfig;

/// An issuer whose tokens are accepted, and on what terms.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The token's `iss`, compared byte by byte: a slash at the end matters. For a multi-tenant
    /// provider, a pattern with `{tenant}` as one segment of its path, such as
    /// `https://login.example.com/{tenant}/v2.0`. The tenants share keys and settings; each
    /// tenant's issuer has its own revocations.
    pub issuer: String,
    /// The tenants whose tokens are accepted if `issuer` is a pattern: a list of tenants as they
    /// appear in `iss`, or `any`. With `any`, a token of everybody who can get a tenant at the
    /// provider is accepted.
    pub tenants: Option<Tenants>,
    /// Where the issuer's public keys come from.
    pub jwks: Option<JwksConfig>,
    /// A secret shared with the issuer, for HS256, HS384 and HS512. It never verifies another
    /// algorithm, and a public key never verifies these.
    pub secret: Option<SecretConfig>,
    /// The audiences (`aud`) that are accepted. A token must have one of them.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Accept tokens for any audience. A token that the issuer made for another service then works
    /// here too.
    #[serde(default)]
    pub any_audience: bool,
    /// The signature algorithms that are accepted. Default: with `jwks` all asymmetric algorithms,
    /// with `secret` the HMAC algorithms that it is long enough for. `Ed25519` is another name for
    /// `EdDSA`.
    pub algorithms: Option<Vec<Algorithm>>,
    /// The longest life of a token: one whose `exp − iat` exceeds it by more than `leeway` is refused.
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
    /// The provider, or the standard, whose access tokens are expected. A profile sets defaults for
    /// `types`, `allow_untyped` and `client_claims`, and requires and forbids claims, so that ID tokens
    /// and other tokens of the issuer are refused; [profiles.md](profiles.md) has the table. Default:
    /// `generic`.
    pub profile: Option<Profile>,
    /// The types of token (`typ` in the header) that are accepted, compared without case and with or
    /// without `application/`. Other types, such as `logout+jwt`, are refused. Default: the profile's;
    /// `[JWT, at+jwt]` for `generic`.
    pub types: Option<Vec<String>>,
    /// Accept tokens whose header has no `typ`. Default: the profile's; `true` for `generic`.
    pub allow_untyped: Option<bool>,
    /// Accept tokens with `at_hash`, `c_hash`, `s_hash` or `events`, the claims of ID tokens and
    /// logout tokens. Such tokens are refused by default, because they tell a client that somebody
    /// logged in or out, and grant no access to an API (RFC 8725 §3.11, RFC 9068 §4).
    #[serde(default)]
    pub allow_id_tokens: bool,
    /// What to do with a token that is bound to a key (`cnf`), by `DPoP` or mutual TLS.
    #[serde(default)]
    pub bound_tokens: BoundTokens,
    /// Claims that a token must have, such as `sub`, or must have with one of the given values, such
    /// as `{ claim: token_use, is: access }` or `{ claim: tenant, is: [acme, globex] }`. They are added
    /// to those of the profile; one with values replaces the profile's rule for the same claim.
    #[serde(default)]
    pub require_claims: Vec<Requirement>,
    /// The earlier name of `require_claims`. Both count.
    #[serde(default)]
    pub required_claims: Vec<Requirement>,
    /// Claims that a token must not have, such as `nonce`, or must not have with one of the given
    /// values, written like `require_claims`. They are added to those of the profile, which forbids no
    /// claim that `require_claims` names.
    #[serde(default)]
    pub forbid_claims: Vec<Requirement>,
    /// The clients whose tokens are accepted. Default: all.
    #[serde(default)]
    pub allowed_clients: Vec<String>,
    /// The claims that may name the client. The first one that a token has counts. Default: the
    /// profile's; `[client_id, azp, applicationId]` for `generic`.
    pub client_claims: Option<Vec<ClaimPath>>,
    /// How long the sessions of users last. Default: as long as their tokens.
    pub session: Option<SessionConfig>,
}

/// The tenants of an issuer pattern.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "TextOr<AnyTenant, Vec<String>>")]
#[schemars(with = "TextOr<AnyTenant, Vec<String>>")]
pub enum Tenants {
    Any,
    Listed(Vec<String>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AnyTenant {
    /// Every tenant.
    Any,
}

impl From<TextOr<AnyTenant, Vec<String>>> for Tenants {
    fn from(written: TextOr<AnyTenant, Vec<String>>) -> Self {
        match written {
            TextOr::Text(AnyTenant::Any) => Self::Any,
            TextOr::More(listed) => Self::Listed(listed),
        }
    }
}

/// What to do with a token that is bound to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BoundTokens {
    /// Refuse it. Portcullis does not check the proof that the sender has the key, and without the
    /// proof a stolen token works (RFC 9449, RFC 8705).
    #[default]
    Refuse,
    /// Accept it like any other token. Use this only where the proxy checks the proof itself.
    Ignore,
}

const LONGEST_LEEWAY: Span = Span::secs(600);
const LONGEST_LIFETIME: Span = Span::secs(366 * 24 * 3600);

const fn max_token_lifetime() -> Span {
    Span::secs(3600)
}

const fn leeway() -> Span {
    Span::secs(30)
}

/// Checks the list `issuers:`, each item and all together.
pub fn check_issuers(issuers: &[IssuerConfig], errors: &mut ConfigErrors) {
    if issuers.is_empty() {
        errors.push("issuers", "must have at least one issuer");
    }
    errors.each("issuers", issuers, |errors, issuer| {
        issuer.check(errors);
    });
    let (mut exact, mut patterns) = (BTreeSet::<String>::new(), Vec::<String>::new());
    for (i, issuer) in issuers.iter().enumerate() {
        let (names, is_pattern) = (issuer.names(), issuer.accepts_any_tenant());
        let is_taken = |name: &&String| {
            exact.contains(*name)
                || patterns.iter().any(|other| overlap(name, other))
                || is_pattern && exact.iter().any(|other| overlap(name, other))
        };
        if let Some(name) = names.iter().find(is_taken) {
            let why = format!("duplicate issuer: an earlier entry accepts tokens of {name:?}");
            errors.push(&format!("issuers[{i}].issuer"), why);
        }
        if is_pattern {
            patterns.extend(names);
        } else {
            exact.extend(names);
        }
    }
}

impl IssuerConfig {
    /// Reports every mistake that can be seen without opening a file.
    pub fn check(&self, errors: &mut ConfigErrors) {
        self.check_names(errors);
        self.check_keys(errors);
        self.check_algorithms(errors);
        if self.audiences.is_empty() && !self.any_audience {
            errors.conflict(
                "audiences",
                "list the accepted audiences, or set any_audience: true",
            );
        }
        if !self.audiences.is_empty() && self.any_audience {
            errors.conflict("any_audience", "contradicts audiences: remove one of them");
        }
        let lifetimes = Span::secs(1)..=LONGEST_LIFETIME;
        errors.range("max_token_lifetime", self.max_token_lifetime, lifetimes);
        if self.leeway > LONGEST_LEEWAY {
            errors.push("leeway", format!("must be at most {LONGEST_LEEWAY}"));
        }
        let form = self.form();
        if form.types.is_empty() && !form.allow_untyped {
            errors.conflict(
                "types",
                "no token could pass: list a type or set allow_untyped: true",
            );
        }
        let lists = [
            ("audiences", &self.audiences),
            ("types", &form.types),
            ("allowed_clients", &self.allowed_clients),
        ];
        for (field, list) in lists {
            if list.iter().any(String::is_empty) {
                errors.push(field, "must not contain an empty string");
            }
        }
        if !self.allowed_clients.is_empty() && form.client_claims.is_empty() {
            errors.conflict(
                "client_claims",
                "must not be empty, because allowed_clients is set",
            );
        }
        let forbidden = |one: &&Requirement| self.forbid_claims.contains(one);
        if let Some(both) = self.require_claims().find(forbidden) {
            let why = format!("no token could pass: {both} is also required");
            errors.conflict("forbid_claims", why);
        }
    }

    /// Returns the issuers whose tokens are accepted, or the pattern if any tenant's are.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match (IssuerPattern::parse(&self.issuer), &self.tenants) {
            (Ok(Some(pattern)), Some(Tenants::Listed(tenants))) => tenants
                .iter()
                .map(|tenant| pattern.issuer_of(tenant))
                .collect(),
            _ => vec![self.issuer.clone()],
        }
    }

    /// Returns whether another entry has the same keys for the same issuers.
    pub(in crate::verify) fn has_keys_of(&self, other: &Self) -> bool {
        self.names() == other.names()
            && self.issuer == other.issuer
            && self.jwks == other.jwks
            && self.secret == other.secret
            && self.algorithms == other.algorithms
    }

    /// Returns the entry with these keys in place of its own, for a trial without the issuer. They sign
    /// with ES256.
    #[must_use]
    pub(crate) fn with_keys(&self, jwks: serde_json::Value) -> Self {
        Self {
            jwks: Some(JwksConfig {
                inline: Some(jwks),
                ..JwksConfig::default()
            }),
            secret: None,
            algorithms: Some(vec![Algorithm::ES256]),
            ..self.clone()
        }
    }

    /// Returns the type that the header of a token may have, if it needs one.
    #[must_use]
    pub(crate) fn usual_type(&self) -> Option<String> {
        self.form().types.into_iter().next()
    }

    /// Shows the accepted issuers to people.
    pub(in crate::verify) fn shown(&self) -> String {
        match &self.tenants {
            Some(Tenants::Listed(_)) => format!("{} of a listed tenant", self.issuer),
            _ => self.issuer.clone(),
        }
    }

    /// Returns whether the issuer is a pattern without a list of tenants.
    pub(in crate::verify) fn accepts_any_tenant(&self) -> bool {
        matches!(self.tenants, Some(Tenants::Any))
    }

    fn check_names(&self, errors: &mut ConfigErrors) {
        if self.issuer.is_empty() {
            errors.push("issuer", "must not be empty");
        }
        match (IssuerPattern::parse(&self.issuer), &self.tenants) {
            (Err(why), _) => errors.push("issuer", why),
            (Ok(None), Some(_)) => {
                errors.conflict("tenants", "needs {tenant} in the issuer's path");
            }
            (Ok(Some(_)), None) => {
                errors.conflict(
                    "issuer",
                    "is a pattern: list its tenants, or set tenants: any",
                );
            }
            (Ok(Some(_)), Some(Tenants::Listed(tenants))) => check_tenants(tenants, errors),
            (Ok(None), None) | (Ok(Some(_)), Some(Tenants::Any)) => {}
        }
    }

    /// Returns what tokens must look like, by the profile and these settings.
    pub(in crate::verify) fn form(&self) -> Form {
        let mut form = self.profile.unwrap_or_default().form();
        // An own rule replaces the profile's only if it names the good values. One that merely asks
        // for the claim must not lift what the profile asks for.
        form.require.retain(|one| {
            let mut own = self.require_claims();
            !own.any(|own| own.claim == one.claim && !own.is.is_empty())
        });
        form.require.extend(self.require_claims().cloned());
        form.forbid
            .retain(|one| self.require_claims().all(|own| own.claim != one.claim));
        form.forbid.extend(self.forbid_claims.iter().cloned());
        form.types = self.types.clone().unwrap_or(form.types);
        form.allow_untyped = self.allow_untyped.unwrap_or(form.allow_untyped);
        form.client_claims = self.client_claims.clone().unwrap_or(form.client_claims);
        form
    }

    /// Returns the longest `exp − iat` of an accepted token.
    pub(in crate::verify) fn longest_life(&self) -> Duration {
        self.max_token_lifetime.0.saturating_add(self.leeway.0)
    }

    /// Returns what this entry requires beside the profile.
    pub(in crate::verify) fn require_claims(&self) -> impl Iterator<Item = &Requirement> {
        self.require_claims.iter().chain(&self.required_claims)
    }

    fn check_keys(&self, errors: &mut ConfigErrors) {
        if self.jwks.is_none() && self.secret.is_none() {
            errors.conflict("jwks", "is required, unless there is a secret for HMAC");
        }
        if let Some(jwks) = &self.jwks {
            errors.within("jwks", |errors| jwks.check(&self.issuer, errors));
        }
        if let Some(secret) = &self.secret {
            let listed = self.listed_hmac();
            let check = |secret: &_| secret_key::check_length(listed, secret);
            errors.within("secret", |errors| secret.check(check, errors));
        }
    }

    fn check_algorithms(&self, errors: &mut ConfigErrors) {
        let Some(algorithms) = &self.algorithms else {
            return;
        };
        if algorithms.is_empty() {
            errors.push(
                "algorithms",
                "no token could pass: list an algorithm, or leave this out",
            );
        }
        for algorithm in algorithms {
            if algorithm.is_hmac() && self.secret.is_none() {
                let why = format!("{algorithm:?} needs a secret: a public key never verifies it");
                errors.conflict("algorithms", why);
            }
            if !algorithm.is_hmac() && self.jwks.is_none() {
                errors.conflict("algorithms", format!("{algorithm:?} needs jwks"));
            }
        }
    }

    /// Returns the HMAC algorithms of the list; `None` without a list.
    pub(in crate::verify) fn listed_hmac(&self) -> Option<Algorithms> {
        let listed = self.algorithms.as_ref()?.iter().copied();
        Some(listed.filter(|algorithm| algorithm.is_hmac()).collect())
    }

    /// Returns the algorithms that public keys may verify.
    pub(in crate::verify) fn asymmetric(&self) -> Algorithms {
        let listed = self.algorithms.as_deref().unwrap_or(&Algorithm::ALL);
        let asymmetric = listed.iter().copied().filter(|one| !one.is_hmac());
        asymmetric.filter(|_| self.jwks.is_some()).collect()
    }
}

fn check_tenants(tenants: &[String], errors: &mut ConfigErrors) {
    if tenants.is_empty() {
        errors.push(
            "tenants",
            "no token could pass: list a tenant, or set tenants: any",
        );
    }
    let mut earlier = BTreeSet::new();
    for (i, tenant) in tenants.iter().enumerate() {
        let at = format!("tenants[{i}]");
        if !is_tenant(tenant) {
            let why = "must be one path segment of letters, digits, `-`, `.`, `_` and `~`";
            errors.push(&at, why);
        } else if !earlier.insert(tenant) {
            errors.push(&at, "duplicate tenant");
        }
    }
}
