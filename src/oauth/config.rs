//! Who may use the OAuth endpoints, as configured.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::core::config_error::ConfigErrors;
use crate::core::secret::{Secret, Sources};

/// The source of the records that the revocation endpoint makes.
pub const SOURCE: &str = "oauth";

/// Who may use `POST /oauth2/revoke` (RFC 7009) and `POST /oauth2/introspect` (RFC 7662), which
/// `listen.events` serves if there are clients.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The clients.
    #[serde(default)]
    pub clients: Vec<ClientConfig>,
    /// The origins of pages that may revoke tokens from a browser, such as `https://shop.example.com`.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// What the `aud` of a token by which a client proves itself (`private_key_jwt`) may be: the addresses of
    /// these endpoints, as clients know them.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// One client of the OAuth endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The `client_id`. It also stands in the cause of its revocations.
    pub id: String,
    /// The `client_secret`, of at least 16 bytes, which the client sends by HTTP Basic or in the body
    /// (RFC 6749 §2.3.1). During a rotation a list of the new one and the old one. Without it and without
    /// `jwks_file` the client is public, as one in a browser is: whoever has a token of it may revoke that token.
    #[serde(default)]
    pub secret: Option<Sources>,
    /// Which tokens it may revoke.
    #[serde(default)]
    pub revoke: Revocable,
    /// A file with the public keys of the client, a JWK set, for `private_key_jwt` (RFC 7523) in place of
    /// a secret. It is read at the start and at a reload. `audiences` must be set.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Whether it may introspect tokens. It needs a secret or keys.
    #[serde(default)]
    pub introspect: bool,
}

/// Which tokens a client may revoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Revocable {
    /// Those that were issued to it, by the issuer's `client_claims`.
    #[default]
    Own,
    /// Those of all clients. It needs a secret or keys.
    Any,
    /// None.
    None,
}

/// The fewest bytes of a secret.
const SHORTEST: usize = 16;

impl Config {
    /// Reports what is wrong, with `oauth` as the current place.
    pub fn check(&self, errors: &mut ConfigErrors) {
        let mut ids = BTreeSet::new();
        errors.each("clients", &self.clients, |errors, client| {
            let is_printable = client.id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if !is_printable || !(1..=128).contains(&client.id.len()) {
                errors.push("id", "must have 1 to 128 printable ASCII characters");
            } else if !ids.insert(client.id.clone()) {
                errors.push("id", format!("duplicate client {:?}", client.id));
            }
            client.check(errors);
            if client.jwks_file.is_some() && self.audiences.is_empty() {
                errors.push(
                    "jwks_file",
                    "needs oauth.audiences: what its tokens are for",
                );
            }
        });
        if self.audiences.iter().any(String::is_empty) {
            errors.push("audiences", "must not hold an empty name");
        }
        for origin in &self.allowed_origins {
            let parsed = url::Url::parse(origin).ok();
            let canonical = parsed.map(|url| url.origin().ascii_serialization());
            if canonical.as_deref() != Some(origin) {
                let message =
                    format!("{origin:?} is no origin; write it like https://shop.example.com");
                errors.push("allowed_origins", message);
            }
        }
    }
}

impl ClientConfig {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.secret.is_some() && self.jwks_file.is_some() {
            errors.conflict("jwks_file", "a client has a secret or keys, not both");
        }
        let Some(secret) = &self.secret else {
            if self.jwks_file.is_some() {
                return;
            }
            if self.introspect {
                errors.conflict(
                    "introspect",
                    "needs a secret or keys: anybody could test stolen tokens",
                );
            }
            if self.revoke == Revocable::Any {
                errors.conflict(
                    "revoke",
                    "any needs a secret or keys: anybody could say this client_id",
                );
            }
            return;
        };
        Sources::check("secret", Some(secret), None, errors);
        if let Some(message) = secret
            .inline()
            .find_map(|secret| check_secret(secret).err())
        {
            errors.push("secret", message);
        }
    }
}

/// Returns what is wrong with a secret, for people.
pub(super) fn check_secret(secret: &Secret) -> Result<(), String> {
    if secret.expose().len() < SHORTEST {
        return Err(format!("the secret must have at least {SHORTEST} bytes"));
    }
    Ok(())
}
