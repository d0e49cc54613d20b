//! From verified claims to an assertion.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::config::Config;
use super::keys::Keys;
use crate::core::clock::UnixMillis;
use crate::verify::claims::{ClaimPath, Claims};

/// Makes assertions under one configuration.
#[derive(Debug)]
pub struct Assertions {
    config: Config,
    scope: ClaimPath,
    keys: Arc<Keys>,
}

/// A signed assertion.
#[derive(Debug)]
pub struct Signed {
    /// The JWT.
    pub text: String,
    /// Until then it may go along with further requests.
    pub fresh_until: UnixMillis,
}

impl Assertions {
    /// `config` must have passed its check.
    #[must_use]
    pub fn new(config: &Config, keys: Arc<Keys>) -> Self {
        Self {
            config: config.clone(),
            // By the name of RFC 8693 or by that of some providers.
            scope: ClaimPath::of_record("scope|scp"),
            keys,
        }
    }

    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.keys.clock().now()
    }

    /// Signs what is known about the bearer of a token, which ends at `until`, for `audience` or for the usual
    /// one. `id` is that of the decision. Returns `None` when the cryptography fails.
    #[must_use]
    pub fn sign(
        &self,
        claims: &Claims,
        until: UnixMillis,
        audience: Option<&str>,
        id: &str,
    ) -> Option<Signed> {
        let now = self.now();
        let lifetime = self.config.lifetime.0;
        let ends = now.plus(lifetime).min(until).seconds();
        let mut payload = self.payload(claims, (now.seconds(), ends), id);
        let audience = audience.unwrap_or(&self.config.audience);
        payload.insert("aud".to_owned(), json!(audience));
        let text = self.keys.sign(&payload)?;
        let fresh_until = now.plus(lifetime / 2);
        Some(Signed { text, fresh_until })
    }

    /// Returns the claims without `aud`. `iat` and `exp` are in seconds.
    fn payload(&self, claims: &Claims, (iat, exp): (u64, u64), id: &str) -> Map<String, Value> {
        let scopes = claims.values(&self.scope).join(" ");
        let optional = [
            ("sub", claims.subject.as_deref()),
            ("client_id", claims.client.as_deref()),
            ("scope", Some(&*scopes).filter(|scopes| !scopes.is_empty())),
        ];
        let own = [
            ("iss", json!(self.config.issuer)),
            ("iat", json!(iat)),
            // An assertion of a token's last second is good for that second.
            ("exp", json!(exp.max(iat + 1))),
            ("jti", json!(id)),
            ("token_iss", json!(&*claims.issuer)),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, json!(text?))));
        let own = own.into_iter().chain(optional);
        let more = self.config.claims.iter().filter_map(|(name, path)| {
            let values = claims.values(path);
            (!values.is_empty()).then(|| (name.as_str(), json!(values.as_slice())))
        });
        own.chain(more)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
