//! Claims that were verified: the JWT's payload (RFC 7519 §4) as the rest of the program reads it.

use std::borrow::Cow;

use serde_json::{Map, Value};
use smallvec::SmallVec;

/// The claims of one token. A value of this type exists only after every check of `verify` passed.
#[derive(Clone)]
pub struct Claims {
    /// `iss`, exactly as configured.
    pub issuer: Box<str>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// The first that the token has of the issuer's `client_claims`.
    pub client: Option<Box<str>>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `iat` in whole seconds since the epoch, rounded down; `None` when the token has none.
    pub issued_at: Option<u64>,
    /// `iat`; for a token without one, the earliest second in which it may have been issued, which
    /// is `exp − max_token_lifetime` unless that was raised since. Seconds.
    pub counts_as_issued_at: u64,
    /// `exp` in whole seconds since the epoch, rounded down.
    pub expires_at: u64,
    /// The whole payload.
    pub all: Map<String, Value>,
}

/// The texts that a revocation compares with: one for a scalar claim, one per scalar item of an
/// array.
pub type Values<'a> = SmallVec<[Cow<'a, str>; 4]>;

impl Claims {
    /// The values of a claim, or of the first present one of several names joined by `|`. A claim
    /// that is `null` counts as absent; an object has no values.
    #[must_use]
    pub fn values(&self, name: &str) -> Values<'_> {
        let mut names = name.split('|');
        let present = names.find_map(|name| self.all.get(name).filter(|value| !value.is_null()));
        match present {
            None => Values::new(),
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(value) => scalar(value).into_iter().collect(),
        }
    }
}

/// A scalar as text: `5` and `"5"` are the same tenant to an operator.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The issuer only: claims are about people.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}
