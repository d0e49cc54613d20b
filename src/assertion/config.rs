//! `answer.assertion` — how assertions are made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::{ConfigErrors, shown_key};
use crate::core::units::Span;
use crate::verify::claims::ClaimPath;

/// A JWT about the client, signed by Portcullis, that upstreams can verify with the keys at
/// `/.well-known/jwks.json`. Claims: `iss`, `aud`, `iat`, `exp`, `jti` (the id of the decision for which it
/// was signed), `token_iss` (the issuer of the client's token) and, if the token has them, `sub`,
/// `client_id` and `scope`. One assertion goes along with all requests of the same token for half of its
/// lifetime, so `jti` is no protection against replays.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `iss`: how upstreams name this Portcullis, usually a URL. All replicas have the same one.
    pub issuer: String,
    /// `aud`: who is to accept it.
    pub audience: String,
    /// The request header that carries it. It is set or removed like those of `answer.headers`.
    #[serde(default = "header")]
    pub header: String,
    /// The time from `iat` to `exp`. An assertion ends no later than the token that it is about.
    #[serde(default = "lifetime")]
    pub lifetime: Span,
    /// More claims: name in the assertion → claim of the token, such as
    /// `roles: realm_access.roles`. Each is an array of text. A claim that the token lacks is left out.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimPath>,
    /// PEM files with private keys in PKCS#8: P-256 (ES256) or Ed25519 (`EdDSA`). The first one signs; all are in
    /// the key set. To replace a key, add the new one behind it, swap both once upstreams have fetched
    /// the key set, and remove the old one an hour later. The files are read again when they change.
    /// Replicas need the same files. Default: a generated key (ES256), kept in the store of this replica.
    #[serde(default)]
    pub key_files: Vec<PathBuf>,
    /// How often the generated key is replaced. The new one is in the key set a day before it signs, the old
    /// one for a day afterwards.
    pub rotate_every: Option<Span>,
}

fn header() -> String {
    "x-portcullis-assertion".to_owned()
}

const fn lifetime() -> Span {
    Span::secs(60)
}

/// The claims that the program sets, and those that mean something to who verifies a JWT.
const RESERVED: [&str; 11] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "token_iss",
    "cnf",
];

const DAY: u64 = 24 * 3600;

impl Config {
    /// Reports every mistake but those in the header's name.
    pub fn check(&self, errors: &mut ConfigErrors) {
        for (field, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.is_empty() {
                errors.push(field, "must not be empty");
            }
        }
        if !(10..=3600).contains(&self.lifetime.0.as_secs()) {
            errors.push("lifetime", "must be between 10s and 1h");
        }
        errors.within("claims", |errors| {
            for name in self.claims.keys() {
                if name.is_empty() || RESERVED.contains(&name.as_str()) {
                    errors.push(
                        &shown_key(name),
                        "is set by Portcullis: choose another name",
                    );
                }
            }
        });
        if self.rotate_every.is_some() && !self.key_files.is_empty() {
            errors.conflict(
                "rotate_every",
                "is for a generated key: leave out key_files",
            );
        }
        if self.rotation() < 3 * DAY {
            errors.push("rotate_every", "must be at least 3d");
        }
    }

    /// Returns how often the generated key is replaced, in seconds.
    pub(super) fn rotation(&self) -> u64 {
        self.rotate_every.map_or(30 * DAY, |span| span.0.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(yaml: &str) -> Vec<String> {
        let yaml = format!("{{ issuer: https://gate.example.com, audience: internal, {yaml} }}");
        let config: Config = serde_saphyr::from_str(&yaml).unwrap();
        let mut errors = ConfigErrors::new();
        config.check(&mut errors);
        errors
            .into_vec()
            .iter()
            .map(|error| error.path.clone())
            .collect()
    }

    #[test]
    fn impossible_settings_are_errors_in_their_place() {
        for (yaml, path) in [
            ("lifetime: 9s", "lifetime"),
            ("lifetime: 2h", "lifetime"),
            ("claims: { sub: email }", "claims.sub"),
            ("claims: { exp: email }", "claims.exp"),
            ("rotate_every: 2d", "rotate_every"),
            ("rotate_every: 7d, key_files: [a.pem]", "rotate_every"),
        ] {
            assert_eq!(errors(yaml), [path], "{yaml}");
        }
        for yaml in [
            "",
            "key_files: [a.pem, b.pem]",
            "rotate_every: 3d, claims: { roles: realm_access.roles }",
        ] {
            assert_eq!(errors(yaml), [""; 0], "{yaml}");
        }
    }
}
