//! Making tokens, good and bad.

use std::sync::Arc;

use portcullis::core::clock::Clock;
use serde_json::{Map, Value};

use super::keys::{SigningKey, base64url};

/// A token in the making. It starts good; each call makes it something else.
#[derive(Clone)]
pub(crate) struct Mint {
    key: Arc<SigningKey>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Mint {
    /// Issued now, good for five minutes.
    pub(crate) fn new(key: Arc<SigningKey>, issuer: &str, audience: &str, subject: &str) -> Self {
        let now = Clock::system().now().seconds();
        let mut mint = Self {
            header: Map::new(),
            claims: Map::new(),
            key: Arc::clone(&key),
        };
        mint = mint.key(key).header("typ", "JWT");
        mint.claim("iss", issuer)
            .claim("aud", audience)
            .claim("sub", subject)
            .claim("iat", now)
            .claim("exp", now + 300)
            .claim("jti", ulid::Ulid::new().to_string())
    }

    /// Sets a claim, whatever its type.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Moves `iat` and `exp` by so many seconds.
    pub(crate) fn shifted(self, seconds: i64) -> Self {
        let moved = |claims: &Map<String, Value>, name| claims[name].as_i64().unwrap() + seconds;
        let (iat, exp) = (moved(&self.claims, "iat"), moved(&self.claims, "exp"));
        self.claim("iat", iat).claim("exp", exp)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with another key, and says so in `alg` and `kid`.
    pub(crate) fn key(mut self, key: Arc<SigningKey>) -> Self {
        self = self.header("alg", key.alg).header("kid", key.kid.as_str());
        self.key = key;
        self
    }

    /// Signs with another key, and leaves the header alone.
    pub(crate) fn forged_with(mut self, key: Arc<SigningKey>) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn value(&self, claim: &str) -> &Value {
        &self.claims[claim]
    }

    pub(crate) fn sign(&self) -> String {
        let header = Value::Object(self.header.clone()).to_string();
        self.sign_texts(&header, &Value::Object(self.claims.clone()).to_string())
    }

    /// A valid signature over any two texts, which need not be JSON.
    pub(crate) fn sign_texts(&self, header: &str, payload: &str) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(payload.as_bytes())
        );
        let signature = base64url(&self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The header as text, to be changed by hand for [`Mint::sign_texts`].
    pub(crate) fn header_text(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }

    pub(crate) fn payload_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }
}

/// The token with one letter of its payload changed.
pub(crate) fn tampered(token: &str) -> String {
    let middle = token.find('.').unwrap() + 10;
    let other = if &token[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    format!("{}{other}{}", &token[..middle], &token[middle + 1..])
}
